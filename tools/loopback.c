#include "loopback.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <string.h>

#include "throwaway.h"

/* More than any handshake has flights. */
#define ROUNDS 50

static void take_line(const SSL *ssl, const char *line)
{
    struct loopback_log *log = SSL_get_app_data(ssl);
    size_t len = strlen(line);

    if (log != NULL && log->len + len + 1 <= sizeof(log->text)) {
        memcpy(log->text + log->len, line, len);
        log->text[log->len + len] = '\n';
        log->len += len + 1;
    }
}

static int use_cert(SSL_CTX *ctx, X509 *cert)
{
    unsigned char *der = NULL;
    int len = i2d_X509(cert, &der);
    int ok = len > 0 && SSL_CTX_use_certificate_ASN1(ctx, len, der) > 0;

    OPENSSL_free(der);
    return ok;
}

static int use_key(SSL_CTX *ctx, EVP_PKEY *made)
{
    BIO *bio = throwaway_pem(made);
    EVP_PKEY *key =
        bio == NULL ? NULL : PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    int ok = key != NULL && SSL_CTX_use_PrivateKey(ctx, key) > 0;

    EVP_PKEY_free(key);
    BIO_free(bio);
    return ok;
}

static int identify(SSL_CTX *ctx, OSSL_LIB_CTX *stock, EVP_PKEY *key)
{
    X509 *cert = key == NULL ? NULL : throwaway_cert(stock, key);
    int ok = cert != NULL && use_cert(ctx, cert) && use_key(ctx, key);

    X509_free(cert);
    return ok;
}

/*
 * What the configuration asks for in each connection is not what is looked at:
 * a version that is switched off, a certificate of the client's.
 */
static int set_up(SSL_CTX *ctx, int version)
{
    if (ctx == NULL || !SSL_CTX_set_min_proto_version(ctx, version) ||
        !SSL_CTX_set_max_proto_version(ctx, version)) {
        return 0;
    }
    SSL_CTX_clear_options(ctx, SSL_OP_NO_TLSv1_2 | SSL_OP_NO_TLSv1_3);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_keylog_callback(ctx, take_line);
    SSL_CTX_set_num_tickets(ctx, 1);
    return 1;
}

/*
 * The library context keeps no ssl_conf away from the client. In TLS 1.2 it
 * has to know the curve of the server's certificate, too.
 */
static void know_more_groups(SSL_CTX *ctx, int version)
{
    if (version == TLS1_2_VERSION) {
        (void)SSL_CTX_set1_groups_list(ctx, "X25519:P-256:P-384:P-521:X448");
    }
}

int loopback_init(struct loopback *l, OSSL_LIB_CTX *stock, int version,
                  EVP_PKEY *const keys[], size_t n)
{
    int has_key = 0;

    memset(l, 0, sizeof(*l));
    l->client_ctx = SSL_CTX_new_ex(stock, NULL, TLS_client_method());
    l->server_ctx = SSL_CTX_new(TLS_server_method());
    l->failed = "making a server";
    if (!set_up(l->client_ctx, version) || !set_up(l->server_ctx, version)) {
        return -1;
    }
    know_more_groups(l->client_ctx, version);
    /* Where each ticket is good for one time only there are no tickets. */
    SSL_CTX_set_options(l->server_ctx, SSL_OP_NO_ANTI_REPLAY);
    SSL_CTX_set_max_early_data(l->server_ctx, 1);
    l->failed = "giving the server its key";
    for (size_t i = 0; i < n; i++) {
        has_key |= identify(l->server_ctx, stock, keys[i]);
    }
    if (!has_key) {
        return -1;
    }
    ERR_clear_error(); /* one key is enough */
    return 0;
}

static int join(struct loopback *l)
{
    BIO *a = NULL;
    BIO *b = NULL;

    l->server = SSL_new(l->server_ctx);
    l->client = SSL_new(l->client_ctx);
    if (l->server == NULL || l->client == NULL ||
        !BIO_new_bio_pair(&a, 0, &b, 0)) {
        return 0;
    }
    SSL_set_bio(l->server, a, a);
    SSL_set_bio(l->client, b, b);
    SSL_set_app_data(l->server, &l->server_log);
    SSL_set_app_data(l->client, &l->client_log);
    SSL_set_accept_state(l->server);
    SSL_set_connect_state(l->client);
    return 1;
}

static bool waits(const SSL *ssl, int ret)
{
    int why = SSL_get_error(ssl, ret);

    return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE;
}

/* TLS 1.2 has it until the client's share has come. The server of a KEM has
 * none but the client's. */
static void see_exchange(struct loopback *l)
{
    EVP_PKEY *key = NULL;

    if (l->exchange == NULL && (SSL_get_tmp_key(l->server, &key) > 0 ||
                                SSL_get_peer_tmp_key(l->server, &key) > 0)) {
        l->exchange = EVP_PKEY_get0_provider(key);
        EVP_PKEY_free(key);
    }
}

/* As SSL_do_handshake, of a server that still takes early data or does not. */
static int serve(SSL *server, bool *early)
{
    char byte;
    size_t len;
    int is = SSL_READ_EARLY_DATA_SUCCESS;

    while (*early && is == SSL_READ_EARLY_DATA_SUCCESS) {
        is = SSL_read_early_data(server, &byte, 1, &len);
        *early = is != SSL_READ_EARLY_DATA_FINISH;
    }
    return *early ? -1 : SSL_do_handshake(server);
}

static int shake(struct loopback *l, bool early)
{
    int client = 0;
    int server = 0;

    for (int i = 0; i < ROUNDS && (client != 1 || server != 1); i++) {
        client = SSL_do_handshake(l->client);
        if (client != 1 && !waits(l->client, client)) {
            return 0;
        }
        server = serve(l->server, &early);
        if (server != 1 && !waits(l->server, server)) {
            return 0;
        }
        see_exchange(l);
    }
    return client == 1 && server == 1;
}

/* Whether the connection begins with early data. */
static bool send_early(struct loopback *l, const SSL_SESSION *session)
{
    size_t len;

    return session != NULL && SSL_SESSION_get_max_early_data(session) > 0 &&
           SSL_write_early_data(l->client, "x", 1, &len) == 1;
}

/* One byte; on its way the reader takes what else has come, like tickets. */
static int send_byte(SSL *from, SSL *to)
{
    char byte = 'x';

    return SSL_write(from, &byte, 1) == 1 && SSL_read(to, &byte, 1) == 1;
}

int loopback_connect(struct loopback *l, SSL_SESSION *session)
{
    l->server_log.len = 0;
    l->client_log.len = 0;
    l->exchange = NULL;
    l->failed = "making a connection";
    if (!join(l) || (session != NULL && !SSL_set_session(l->client, session))) {
        return -1;
    }
    l->failed = "the handshake";
    if (!shake(l, send_early(l, session))) {
        return -1;
    }
    l->failed = "sending a byte";
    return send_byte(l->server, l->client) && send_byte(l->client, l->server)
               ? 0
               : -1;
}

void loopback_disconnect(struct loopback *l)
{
    if (l->client != NULL) {
        SSL_shutdown(l->client);
    }
    if (l->server != NULL) {
        SSL_shutdown(l->server);
    }
    SSL_free(l->server);
    SSL_free(l->client);
    l->server = NULL;
    l->client = NULL;
}

void loopback_free(struct loopback *l)
{
    loopback_disconnect(l);
    SSL_CTX_free(l->server_ctx);
    SSL_CTX_free(l->client_ctx);
    OPENSSL_cleanse(l, sizeof(*l));
}
