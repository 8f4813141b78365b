/* peer.c - an end of TLS with an OpenSSL of its own. */
#include "peer.h"

#include "tlslimit.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdlib.h>

struct peer {
    SSL *ssl;
    BIO *in, *out; /* the connection's own */
};

/* An opaque name for a type of the inside, and back. */
static SSL_CTX *ctx_of(const struct peer_ctx *ctx)
{
    return (SSL_CTX *)ctx;
}

static SSL_SESSION *session_of(const struct peer_session *session)
{
    return (SSL_SESSION *)session;
}

/*
 * The column's configuration is not for this one, and nothing of it runs when
 * the process ends.
 */
static bool start(void)
{
    return OPENSSL_init_ssl(
               OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT, NULL) == 1;
}

static X509 *certificate(const char *pem)
{
    BIO *in = BIO_new_mem_buf(pem, -1);
    X509 *cert = PEM_read_bio_X509(in, NULL, NULL, NULL);

    BIO_free(in);
    return cert;
}

static bool use_identity(SSL_CTX *ctx, const char *pem)
{
    X509 *cert = certificate(pem);
    BIO *in = BIO_new_mem_buf(pem, -1);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(in, NULL, NULL, NULL);
    bool ok = cert != NULL && key != NULL &&
              SSL_CTX_use_certificate(ctx, cert) == 1 &&
              SSL_CTX_use_PrivateKey(ctx, key) == 1;

    EVP_PKEY_free(key);
    BIO_free(in);
    X509_free(cert);
    return ok;
}

static bool trust(SSL_CTX *ctx, const char *pem)
{
    X509 *cert = certificate(pem);
    bool ok = cert != NULL &&
              X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), cert) == 1;

    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                       NULL);
    X509_free(cert);
    return ok;
}

static bool set_up(SSL_CTX *ctx, const struct peer_setup *s)
{
    static const unsigned char name[] = "peer";

    return tls_limit(ctx, s->version, s->cipher, s->groups) &&
           SSL_CTX_set_session_id_context(ctx, name, sizeof(name)) == 1 &&
           (s->identity == NULL || use_identity(ctx, s->identity)) &&
           (s->trusted == NULL || trust(ctx, s->trusted));
}

struct peer_ctx *peer_ctx_new(const struct peer_setup *s)
{
    SSL_CTX *ctx = start() ? SSL_CTX_new(s->server ? TLS_server_method()
                                                   : TLS_client_method())
                           : NULL;

    if (!set_up(ctx, s)) {
        SSL_CTX_free(ctx);
        ctx = NULL;
    }
    return (struct peer_ctx *)ctx;
}

void peer_ctx_free(struct peer_ctx *ctx)
{
    SSL_CTX_free(ctx_of(ctx));
}

/* An empty one means "later", not "the end". */
static BIO *bytes_new(void)
{
    BIO *bio = BIO_new(BIO_s_mem());

    if (bio != NULL) {
        BIO_set_mem_eof_return(bio, -1);
    }
    return bio;
}

static bool join(struct peer *p)
{
    p->in = bytes_new();
    p->out = bytes_new();
    if (p->in == NULL || p->out == NULL) {
        BIO_free(p->in);
        BIO_free(p->out);
        return false;
    }
    SSL_set_bio(p->ssl, p->in, p->out);
    if (SSL_is_server(p->ssl)) { /* as its method says */
        SSL_set_accept_state(p->ssl);
    } else {
        SSL_set_connect_state(p->ssl);
    }
    return true;
}

struct peer *peer_new(const struct peer_ctx *ctx,
                      const struct peer_session *resume)
{
    struct peer *p = calloc(1, sizeof(*p));

    if (p == NULL) {
        return NULL;
    }
    p->ssl = SSL_new(ctx_of(ctx));
    if (p->ssl == NULL || !join(p) ||
        (resume != NULL && !SSL_set_session(p->ssl, session_of(resume)))) {
        peer_free(p);
        return NULL;
    }
    return p;
}

void peer_free(struct peer *p)
{
    if (p == NULL) {
        return;
    }
    if (p->ssl != NULL) {
        /* No alerts, but no broken connection either: the session is good. */
        SSL_set_shutdown(p->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    }
    SSL_free(p->ssl);
    free(p);
}

bool peer_feed(struct peer *p, const void *data, size_t len)
{
    size_t done = 0;

    return BIO_write_ex(p->in, data, len, &done) && done == len;
}

size_t peer_fetch(struct peer *p, void *data, size_t room)
{
    size_t n = 0;

    return BIO_read_ex(p->out, data, room, &n) ? n : 0;
}

int peer_step(struct peer *p)
{
    int ret = SSL_do_handshake(p->ssl);

    if (ret == 1) {
        return 1;
    }
    return SSL_get_error(p->ssl, ret) == SSL_ERROR_WANT_READ ? 0 : -1;
}

bool peer_send(struct peer *p, const void *data, size_t len)
{
    size_t done = 0;

    return SSL_write_ex(p->ssl, data, len, &done) && done == len;
}

size_t peer_receive(struct peer *p, void *data, size_t room)
{
    size_t n = 0;

    return SSL_read_ex(p->ssl, data, room, &n) ? n : 0;
}

struct peer_session *peer_session(struct peer *p)
{
    return (struct peer_session *)SSL_get1_session(p->ssl);
}

void peer_session_free(struct peer_session *session)
{
    SSL_SESSION_free(session_of(session));
}

const char *peer_why(void)
{
    unsigned long e = ERR_peek_last_error();

    ERR_clear_error();
    return e != 0 ? ERR_reason_error_string(e) : NULL;
}
