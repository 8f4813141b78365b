/* tlspair.c - a server and a client joined by memory. */
#include "tlspair.h"

#include "material.h"
#include "tlslimit.h"

#include <limits.h>
#include <openssl/err.h>

/* Whether the measured end shows a certificate, and whether it wants one. */
static bool has_identity(const struct tls_setup *s)
{
    return !s->client || s->mutual;
}

static bool asks(const struct tls_setup *s)
{
    return s->client || s->mutual;
}

/* Both ends have the one certificate, which is signed by itself. */
static bool use_certificate(SSL_CTX *ctx, const struct tls_setup *s,
                            const char *material)
{
    X509 *cert = material_certificate(material);
    bool ok = cert != NULL &&
              (!has_identity(s) || SSL_CTX_use_certificate(ctx, cert) == 1);

    if (ok && asks(s)) {
        ok = X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), cert) == 1;
        SSL_CTX_set_verify(
            ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    }
    X509_free(cert);
    return ok;
}

static bool set_up(SSL_CTX *ctx, const struct tls_setup *s,
                   const char *material)
{
    bool ok = tls_limit(ctx, s->version, s->cipher, s->group) &&
              use_certificate(ctx, s, material);

    if (ok) {
        /* Tickets only: a session cache would be another thing to measure. */
        SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
        SSL_CTX_set_mode(ctx, SSL_MODE_NO_AUTO_CHAIN);
        if (!s->tickets) {
            SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
            SSL_CTX_set_num_tickets(ctx, 0);
        }
    }
    return ok;
}

/* What SSL_CTX_use_PrivateKey keeps must be where the column wants it, too. */
static bool use_key(SSL_CTX *ctx, const struct column *c, const char *material,
                    char *why)
{
    EVP_PKEY *key = material_key(material, c, why);
    bool ok = key != NULL && SSL_CTX_use_PrivateKey(ctx, key) == 1;

    if (key != NULL && !ok) {
        material_why(why, "the key of this end");
    }
    EVP_PKEY_free(key);
    return ok && column_holds(c, SSL_CTX_get0_privatekey(ctx), why, WHY_ROOM);
}

SSL_CTX *tls_end_new(const struct tls_setup *setup, const struct column *column,
                     const char *material, char *why)
{
    SSL_CTX *ctx =
        SSL_CTX_new(setup->client ? TLS_client_method() : TLS_server_method());
    bool ok = set_up(ctx, setup, material);

    if (!ok) {
        material_why(why, "setting up the measured end");
    }
    ok = ok && (!has_identity(setup) || use_key(ctx, column, material, why)) &&
         column_has_secrets(column, why, WHY_ROOM);
    if (!ok) {
        SSL_CTX_free(ctx);
        ctx = NULL;
    }
    return ctx;
}

/* The peer's reason, if the measured end knows none. */
static void raise_for_peer(void)
{
    const char *reason = peer_why();

    if (ERR_peek_last_error() == 0) {
        ERR_raise_data(ERR_LIB_USER, ERR_R_INTERNAL_ERROR, "its peer: %s",
                       reason != NULL ? reason : "failed");
    }
}

struct peer_ctx *tls_peer_new(const struct tls_setup *s, const char *material,
                              char *why)
{
    const struct peer_setup setup = {
        .version = s->version,
        .cipher = s->cipher,
        .groups = s->group,
        .server = s->client,
        .identity = asks(s) ? material : NULL,
        .trusted = s->mutual ? material : NULL,
    };
    struct peer_ctx *ctx = peer_ctx_new(&setup);

    if (ctx == NULL) {
        raise_for_peer();
        material_why(why, "setting up the peer");
    }
    return ctx;
}

/* ---- connections -------------------------------------------------------- */

/* No byte of it is copied twice: both ends lend their own buffer. */
bool tls_carry(struct tls_pair *p)
{
    char *buf;
    size_t n;
    int len;

    while ((len = BIO_nread(p->wire, &buf, INT_MAX)) > 0) {
        if (!peer_feed(p->peer, buf, (size_t)len)) {
            return false;
        }
    }
    while ((len = BIO_nwrite0(p->wire, &buf)) > 0 &&
           (n = peer_fetch(p->peer, buf, (size_t)len)) > 0) {
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

/* One turn of the measured end, or of its peer. */
static bool turn(struct tls_pair *p, bool peer, int *done, struct meter *m)
{
    if (*done == 0 && peer) {
        *done = peer_step(p->peer);
    } else if (*done == 0) {
        meter_start(m);
        *done = step(p->ssl);
        meter_stop(m);
    }
    return *done >= 0 && tls_carry(p);
}

static bool shake_hands(struct tls_pair *p, struct meter *m)
{
    bool peer = SSL_is_server(p->ssl); /* a client is first */
    int done[2] = {0};                 /* the measured end, its peer */
    bool ok = true;

    for (int i = 0; i < 40 && ok && (done[0] == 0 || done[1] == 0); i++) {
        ok = turn(p, peer, &done[peer], m);
        peer = !peer;
    }
    return ok && done[0] == 1 && done[1] == 1;
}

static bool join(struct tls_pair *p, size_t room)
{
    BIO *b = NULL;

    if (!BIO_new_bio_pair(&p->wire, room, &b, room)) {
        return false;
    }
    SSL_set_bio(p->ssl, b, b);
    if (SSL_is_server(p->ssl)) { /* as its method says */
        SSL_set_accept_state(p->ssl);
    } else {
        SSL_set_connect_state(p->ssl);
    }
    return true;
}

/* What goes with a connection that resumes. */
static bool resume(struct tls_pair *p, const struct tls_session *session)
{
    return session->own == NULL || SSL_set_session(p->ssl, session->own) == 1;
}

bool tls_connect(struct tls_pair *p, SSL_CTX *end, struct peer_ctx *peer,
                 const struct tls_session *session, size_t room,
                 struct meter *m)
{
    bool ok;

    meter_start(m);
    p->ssl = SSL_new(end);
    ok = p->ssl != NULL && resume(p, session);
    meter_stop(m);
    p->peer = peer_new(peer, session->of_peer);
    ok = ok && p->peer != NULL && join(p, room) && shake_hands(p, m);
    if (!ok) {
        raise_for_peer();
    }
    return ok;
}

void tls_disconnect(struct tls_pair *p, struct meter *m)
{
    /* No alerts, but no broken connection either: its session stays good. */
    if (p->ssl != NULL) {
        SSL_set_shutdown(p->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    }
    peer_free(p->peer);
    BIO_free(p->wire);
    meter_start(m);
    SSL_free(p->ssl);
    meter_stop(m);
    *p = (struct tls_pair){0};
}

void tls_session_keep(struct tls_session *s, const struct tls_pair *p)
{
    tls_session_free(s);
    if (SSL_is_server(p->ssl)) {
        s->of_peer = peer_session(p->peer);
    } else {
        s->own = SSL_get1_session(p->ssl);
    }
}

void tls_session_free(struct tls_session *s)
{
    peer_session_free(s->of_peer);
    SSL_SESSION_free(s->own);
    *s = (struct tls_session){0};
}
