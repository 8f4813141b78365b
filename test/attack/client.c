/* client.c - see client.h. */
#include "client.h"
#include "needles.h"
#include "schedule.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/ssl.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define MAX_SECRETS 8
#define KEY_LEN 32 /* of every suite here */
#define HASH_MAX 48

/* The suite's hash: SHA-384 with AES-256-GCM, SHA-256 with ChaCha20. */
static const char *hash = "SHA384";
static size_t hash_len = 48;

static struct {
    unsigned char value[HASH_MAX];
    bool traffic; /* record keys come of it */
} secret[MAX_SECRETS];
static int n_secrets;

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "client: %s\n", what);
    ERR_print_errors_fp(stderr);
    _exit(1);
}

/* "LABEL client-random secret", the last two in hexadecimal. */
static void take_line(const SSL *ssl, const char *line)
{
    const char *hex = strrchr(line, ' ');
    size_t n = 0;

    (void)ssl;
    if (hex == NULL || n_secrets == MAX_SECRETS ||
        strlen(hex + 1) != 2 * hash_len) {
        die("a key log line");
    }
    for (hex++; n < hash_len; hex += 2) {
        char two[3] = {hex[0], hex[1], '\0'};

        secret[n_secrets].value[n++] = (unsigned char)strtoul(two, NULL, 16);
    }
    secret[n_secrets++].traffic = strstr(line, "_TRAFFIC_SECRET_0") != NULL;
}

static void derive(const char *kdf_name, OSSL_PARAM params[],
                   unsigned char *out, size_t len)
{
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, kdf_name, NULL);
    EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);

    if (ctx == NULL || EVP_KDF_derive(ctx, out, len, params) != 1) {
        die(kdf_name);
    }
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
}

/* The key, and what AES-GCM makes of it. */
static void send_aes_key(int out, const unsigned char key[KEY_LEN])
{
    struct pattern_set set = {0};

    needles_send(out, key, KEY_LEN);
    if (schedule_add(&set, 0, "record key", key, KEY_LEN) != 0) {
        die("the key's schedule");
    }
    for (size_t i = 0; i < set.pieces_len; i++) {
        needles_send(out, set.pieces[i].bytes, set.pieces[i].len);
    }
    patterns_free(&set);
}

/* As ChaCha20 works on four or eight blocks at once: each 32-bit word of the
 * key in as many lanes of a vector. */
static void send_lanes(int out, const unsigned char key[KEY_LEN], size_t lanes)
{
    unsigned char spread[8 * KEY_LEN];

    for (size_t word = 0; word < KEY_LEN / 4; word++) {
        for (size_t lane = 0; lane < lanes; lane++) {
            memcpy(spread + 4 * (lanes * word + lane), key + 4 * word, 4);
        }
    }
    needles_send(out, spread, lanes * KEY_LEN);
}

/* RFC 8446, 7.3. */
static void send_key_13(int out, unsigned char value[HASH_MAX])
{
    unsigned char key[KEY_LEN];
    int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)hash,
                                         0),
        OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, value, hash_len),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PREFIX,
                                          (char *)"tls13 ", 6),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_LABEL, (char *)"key",
                                          3),
        OSSL_PARAM_construct_end()};

    derive("TLS13-KDF", params, key, sizeof(key));
    if (hash_len == 32) {
        send_lanes(out, key, 4);
        send_lanes(out, key, 8);
    }
    send_aes_key(out, key);
}

/* RFC 5246, 6.3: for an AEAD the block begins with the two keys. */
static void send_keys_12(int out, const SSL *ssl, unsigned char *master,
                         size_t len)
{
    unsigned char block[2 * KEY_LEN], randoms[64];
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)hash,
                                         0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SECRET, master, len),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SEED,
                                          (char *)"key expansion", 13),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SEED, randoms,
                                          sizeof(randoms)),
        OSSL_PARAM_construct_end()};

    SSL_get_server_random(ssl, randoms, 32);
    SSL_get_client_random(ssl, randoms + 32, 32);
    derive("TLS1-PRF", params, block, sizeof(block));
    send_aes_key(out, block);
    send_aes_key(out, block + KEY_LEN);
}

static void tell(int out, const SSL *ssl, int version, enum client_secrets what)
{
    unsigned char master[SSL_MAX_MASTER_KEY_LENGTH];
    size_t len = SSL_SESSION_get_master_key(SSL_get0_session(ssl), master,
                                            sizeof(master));

    if (what == CLIENT_SECRETS) {
        needles_send(out, master, len); /* TLS 1.3: the resumption secret */
    }
    if (version == TLS1_2_VERSION) {
        if (what == CLIENT_RECORD_KEYS) {
            send_keys_12(out, ssl, master, len);
        }
        return;
    }
    for (int i = 0; i < n_secrets; i++) {
        if (what == CLIENT_SECRETS) {
            needles_send(out, secret[i].value, hash_len);
        } else if (secret[i].traffic) {
            send_key_13(out, secret[i].value);
        }
    }
}

_Noreturn void client_main(int socket, int out, int version,
                           enum client_secrets what)
{
    static char data[16384];
    SSL_CTX *ctx;
    SSL *ssl;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (what == CLIENT_CHACHA_KEYS) {
        hash = "SHA256";
        hash_len = 32;
    }
    setenv("OPENSSL_CONF", "/dev/null", 1);
    ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_min_proto_version(ctx, version);
    SSL_CTX_set_max_proto_version(ctx, version);
    SSL_CTX_set_ciphersuites(ctx, what == CLIENT_CHACHA_KEYS
                                      ? "TLS_CHACHA20_POLY1305_SHA256"
                                      : "TLS_AES_256_GCM_SHA384");
    SSL_CTX_set_cipher_list(ctx, "ECDHE-RSA-AES256-GCM-SHA384");
    if (version != TLS1_2_VERSION) {
        SSL_CTX_set_keylog_callback(ctx, take_line);
    }
    ssl = SSL_new(ctx);
    SSL_set_fd(ssl, socket);
    if (SSL_connect(ssl) != 1 || SSL_write(ssl, "x", 1) != 1 ||
        SSL_read(ssl, data, 1) != 1) {
        die("the connection");
    }
    tell(out, ssl, version, what);
    close(out);
    while (SSL_read(ssl, data, sizeof(data)) > 0) {
    }
    _exit(0);
}
