/* tlspair.c - a server and a client joined by memory. */
#include "tlspair.h"

#include "material.h"

#include <openssl/provider.h>

static OSSL_LIB_CTX *stock(void)
{
    static OSSL_LIB_CTX *ctx;

    if (ctx == NULL) {
        ctx = OSSL_LIB_CTX_new();
        if (ctx != NULL && OSSL_PROVIDER_load(ctx, "default") == NULL) {
            OSSL_LIB_CTX_free(ctx);
            ctx = NULL;
        }
    }
    return ctx;
}

static bool set_up(SSL_CTX *ctx, const struct tls_setup *s)
{
    if (ctx == NULL || !SSL_CTX_set_min_proto_version(ctx, s->version) ||
        !SSL_CTX_set_max_proto_version(ctx, s->version)) {
        return false;
    }
    if (s->cipher != NULL && !(s->version == TLS1_3_VERSION
                                   ? SSL_CTX_set_ciphersuites(ctx, s->cipher)
                                   : SSL_CTX_set_cipher_list(ctx, s->cipher))) {
        return false;
    }
    return s->group == NULL || SSL_CTX_set1_groups_list(ctx, s->group);
}

static bool set_up_server(SSL_CTX *ctx, const struct tls_setup *s,
                          const char *material, EVP_PKEY *key)
{
    X509 *cert = material_certificate(material);
    bool ok = set_up(ctx, s) && cert != NULL &&
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

static SSL_CTX *client_for(const struct tls_setup *s)
{
    SSL_CTX *ctx = s->client;

    if (ctx != NULL) {
        return SSL_CTX_up_ref(ctx) ? ctx : NULL;
    }
    ctx = SSL_CTX_new_ex(stock(), NULL, TLS_client_method());
    if (!set_up(ctx, s)) {
        SSL_CTX_free(ctx);
        ctx = NULL;
    }
    return ctx;
}

bool tls_ends_new(struct tls_ends *e, const struct tls_setup *setup,
                  const struct column *column, const char *material, char *why)
{
    EVP_PKEY *key = material_key(material, column, why);
    bool ok = false;

    *e = (struct tls_ends){0};
    if (key == NULL) {
        return false;
    }
    e->server = SSL_CTX_new(TLS_server_method());
    e->client = client_for(setup);
    if (!set_up_server(e->server, setup, material, key) || e->client == NULL) {
        material_why(why, "setting up TLS");
    } else {
        ok = server_is_right(e->server, column, why);
    }
    EVP_PKEY_free(key);
    if (!ok) {
        tls_ends_free(e);
    }
    return ok;
}

void tls_ends_free(struct tls_ends *e)
{
    SSL_CTX_free(e->server);
    SSL_CTX_free(e->client);
    *e = (struct tls_ends){0};
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

    for (int i = 0; i < 20 && (client == 0 || server == 0); i++) {
        if (client == 0) {
            client = step(p->client);
        }
        if (server == 0) {
            start(m);
            server = step(p->server);
            stop(m);
        }
    }
    return client == 1 && server == 1;
}

static bool join(struct tls_pair *p, size_t room)
{
    BIO *a = NULL, *b = NULL;

    if (!BIO_new_bio_pair(&a, room, &b, room)) {
        return false;
    }
    SSL_set_bio(p->client, a, a);
    SSL_set_bio(p->server, b, b);
    SSL_set_connect_state(p->client);
    SSL_set_accept_state(p->server);
    return true;
}

bool tls_connect(struct tls_pair *p, const struct tls_ends *e,
                 SSL_SESSION *resume, size_t room, struct meter *m)
{
    bool ok;

    start(m);
    p->server = SSL_new(e->server);
    stop(m);
    p->client = SSL_new(e->client);
    ok = p->server != NULL && p->client != NULL && join(p, room) &&
         (resume == NULL || SSL_set_session(p->client, resume)) &&
         shake_hands(p, m);
    if (!ok) {
        tls_disconnect(p, NULL);
    }
    return ok;
}

void tls_disconnect(struct tls_pair *p, struct meter *m)
{
    /* No alerts, but no broken connection either: its session stays good. */
    if (p->client != NULL) {
        SSL_set_shutdown(p->client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    }
    if (p->server != NULL) {
        SSL_set_shutdown(p->server, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    }
    SSL_free(p->client);
    start(m);
    SSL_free(p->server);
    stop(m);
    *p = (struct tls_pair){0};
}
