/* client.h - a stock TLS client that tells the secrets of its connection. */
#ifndef MPK_TEST_ATTACK_CLIENT_H
#define MPK_TEST_ATTACK_CLIENT_H

enum client_secrets {
    CLIENT_SECRETS,
    CLIENT_RECORD_KEYS,
    CLIENT_CHACHA_KEYS, /* record keys; TLS 1.3 with ChaCha20-Poly1305 */
};

/* client_main connects over |socket|, exchanges a byte, writes the secrets to
 * |out| with needles_send, closes that, and reads until the server ends. */
_Noreturn void client_main(int socket, int out, int version,
                           enum client_secrets what);

#endif
