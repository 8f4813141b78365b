/* tlspair.c - a server and a client joined by memory. */
#include "tlspair.h"

#include "material.h"
#include "tlslimit.h"

#include <limits.h>
#include <openssl/err.h>

static bool set_up_server(SSL_CTX *ctx, const struct tls_setup *s,
                          const char *material, EVP_PKEY *key)
{
    X509 *cert = material_certificate(material);
    bool ok = tls_limit(ctx, s->version, s->cipher, s->group) && cert != NULL &&
              SSL_CTX_use_certificate(ctx, cert) == 1 &&
              SSL_CTX_use_PrivateKey(ctx, key) == 1;

    if (ok) {
        /* Tickets only: a session cache would be another thing to measure. */
        SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
        SSL_CTX_set_mode(ctx, SSL_MODE_NO_AUTO_CHAIN);
        if (!s->tickets) {
            SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
            SSL_CTX_set_num_tickets(ctx, 0);
        }
    }
    X509_free(cert);
    return ok;
}

/* What SSL_CTX_use_PrivateKey keeps must be where the column wants it, too. */
static bool server_is_right(const SSL_CTX *ctx, const struct column *c,
                            char *why)
{
    return column_holds(c, SSL_CTX_get0_privatekey(ctx), why, WHY_ROOM) &&
           column_has_secrets(c, why, WHY_ROOM);
}

SSL_CTX *tls_server_new(const struct tls_setup *setup,
                        const struct column *column, const char *material,
                        char *why)
{
    EVP_PKEY *key = material_key(material, column, why);
    SSL_CTX *ctx;
    bool ok = false;

    if (key == NULL) {
        return NULL;
    }
    ctx = SSL_CTX_new(TLS_server_method());
    if (!set_up_server(ctx, setup, material, key)) {
        material_why(why, "setting up the server");
    } else {
        ok = server_is_right(ctx, column, why);
    }
    EVP_PKEY_free(key);
    if (!ok) {
        SSL_CTX_free(ctx);
        ctx = NULL;
    }
    return ctx;
}

/* The client's reason, if the server knows none. */
static void raise_for_client(void)
{
    const char *reason = peer_why();

    if (ERR_peek_last_error() == 0) {
        ERR_raise_data(ERR_LIB_USER, ERR_R_INTERNAL_ERROR, "the client: %s",
                       reason != NULL ? reason : "failed");
    }
}

struct peer_ctx *tls_client_new(const struct tls_setup *s, char *why)
{
    struct peer_ctx *ctx = peer_ctx_new(s->version, s->cipher, s->group);

    if (ctx == NULL) {
        raise_for_client();
        material_why(why, "setting up the client");
    }
    return ctx;
}

/* ---- connections -------------------------------------------------------- */

static void start(struct meter *m)
{
    if (m != NULL) {
        meter_start(m);
    }
}

static void stop(struct meter *m)
{
    if (m != NULL) {
        meter_stop(m);
    }
}

/* No byte of it is copied twice: both ends lend their own buffer. */
bool tls_carry(struct tls_pair *p)
{
    char *buf;
    size_t n;
    int len;

    while ((len = BIO_nread(p->wire, &buf, INT_MAX)) > 0) {
        if (!peer_feed(p->client, buf, (size_t)len)) {
            return false;
        }
    }
    while ((len = BIO_nwrite0(p->wire, &buf)) > 0 &&
           (n = peer_fetch(p->client, buf, (size_t)len)) > 0) {
        BIO_nwrite(p->wire, &buf, (int)n);
    }
    return true;
}

/* 1 done, 0 the other side's turn, -1 failed. */
static int step(SSL *ssl)
{
    int ret = SSL_do_handshake(ssl), why;

    if (ret == 1) {
        return 1;
    }
    why = SSL_get_error(ssl, ret);
    return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

static bool shake_hands(struct tls_pair *p, struct meter *m)
{
    int client = 0, server = 0;
    bool ok = true;

    for (int i = 0; i < 20 && ok && (client == 0 || server == 0); i++) {
        if (client == 0) {
            client = peer_step(p->client);
        }
        ok = tls_carry(p);
        if (ok && server == 0) {
            start(m);
            server = step(p->server);
            stop(m);
        }
        ok = ok && tls_carry(p);
    }
    return ok && client == 1 && server == 1;
}

static bool join(struct tls_pair *p, size_t room)
{
    BIO *b = NULL;

    if (!BIO_new_bio_pair(&p->wire, room, &b, room)) {
        return false;
    }
    SSL_set_bio(p->server, b, b);
    SSL_set_accept_state(p->server);
    return true;
}

bool tls_connect(struct tls_pair *p, SSL_CTX *server, struct peer_ctx *client,
                 const struct peer_session *resume, size_t room,
                 struct meter *m)
{
    bool ok;

    start(m);
    p->server = SSL_new(server);
    stop(m);
    p->client = peer_new(client, resume);
    ok = p->server != NULL && p->client != NULL && join(p, room) &&
         shake_hands(p, m);
    if (!ok) {
        raise_for_client();
        tls_disconnect(p, NULL);
    }
    return ok;
}

void tls_disconnect(struct tls_pair *p, struct meter *m)
{
    /* No alerts, but no broken connection either: its session stays good. */
    if (p->server != NULL) {
        SSL_set_shutdown(p->server, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    }
    peer_free(p->client);
    BIO_free(p->wire);
    start(m);
    SSL_free(p->server);
    stop(m);
    *p = (struct tls_pair){0};
}
