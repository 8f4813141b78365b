/* end.h - an end of a TLS connection over memory: what scan_subject and its
 * peer in scan_matrix set up alike. */
#ifndef MPK_TEST_SCAN_END_H
#define MPK_TEST_SCAN_END_H

#include <openssl/ssl.h>
#include <stdbool.h>

/*
 * end_server makes the context of a server that has the certificates and keys
 * |files| names in turn, a NULL after the last; end_client that of a client.
 * They end the program on failure, with libcrypto's reason.
 */
SSL_CTX *end_server(char *const *files);
SSL_CTX *end_client(void);

/* end_open makes a connection whose wire is two BIOs of memory. |groups| may be
 * empty, for libssl's. NULL on failure. */
SSL *end_open(SSL_CTX *ctx, int version, const char *suites,
              const char *groups);

/* end_ask has a server ask for a certificate, and take any. */
void end_ask(SSL *ssl, bool required);

/* end_show has a client show a certificate when it is asked. */
bool end_show(SSL *ssl, const char *certificate, const char *key);

/* Whether |ret| is no failure of |ssl|: to wait for the other end is none. */
bool end_waits(SSL *ssl, int ret);

/* end_read_early reads early data as a server, and adds to |*early| whether
 * there was any; |*more| whether there may be more. False on failure. */
bool end_read_early(SSL *ssl, bool *early, bool *more);

#endif
