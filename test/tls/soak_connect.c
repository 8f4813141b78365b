/*
 * soak_connect.c - one connection of a soak, with a wire that can be cut: all
 * that an end sends before it waits is a flight, and the cut one arrives only
 * in part.
 */
#include "soak.h"

#include "../interop/ends.h"
#include "../interop/interop.h"
#include "pair.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

static const char early_text[] = "an early line";

struct connection {
    const struct plan *plan;
    struct side *side;
    struct soak_counts *counts;
    SSL *end[2];  /* client, server */
    BIO *wire[2]; /* what each end sends */
    int flight;   /* how many have been sent */
    bool cut;
};

/* ---- the ends ----------------------------------------------------------- */

static int accept_any(int ok, X509_STORE_CTX *ctx)
{
    (void)ok;
    (void)ctx;
    return 1;
}

static SSL_CTX *context(OSSL_LIB_CTX *libctx, const SSL_METHOD *method)
{
    static const char *const type[] = {"RSA-2048", "P-256"};
    SSL_CTX *ctx = SSL_CTX_new_ex(libctx, NULL, method);

    for (int i = 0; i < 2; i++) {
        const struct key_type *t = key_type_find(type[i]);
        EVP_PKEY *key = libctx == NULL ? key_load(t) : NULL;

        ends_certify(ctx, libctx, t, key != NULL ? key : key_reference(t));
        EVP_PKEY_free(key);
    }
    SSL_CTX_set_security_level(ctx, 1);
    return ctx;
}

void side_open(struct side *side, const char *name, OSSL_LIB_CTX *client,
               OSSL_LIB_CTX *server)
{
    *side = (struct side){.name = name};
    side->client = context(client, TLS_client_method());
    side->server = context(server, TLS_server_method());
    SSL_CTX_set_options(side->server, SSL_OP_ALLOW_CLIENT_RENEGOTIATION |
                                          SSL_OP_NO_ANTI_REPLAY);
    SSL_CTX_set_max_early_data(side->server, 4096);
    SSL_CTX_sess_set_cache_size(side->server, 128);
    CHECK(SSL_CTX_set_session_id_context(side->server,
                                         (const unsigned char *)"soak", 4));
}

#if OPENSSL_VERSION_PREREQ(3, 4)
#define flush_sessions SSL_CTX_flush_sessions_ex
#else
#define flush_sessions SSL_CTX_flush_sessions
#endif

void side_forget(struct side *side)
{
    for (int i = 0; i < SOAK_SUITES * 2; i++) {
        SSL_SESSION_free(side->session[i / 2][i % 2]);
        side->session[i / 2][i % 2] = NULL;
    }
    flush_sessions(side->server, LONG_MAX);
}

void side_close(struct side *side)
{
    side_forget(side);
    SSL_CTX_free(side->client);
    SSL_CTX_free(side->server);
}

static SSL_SESSION **kept_session(const struct connection *c)
{
    return &c->side->session[c->plan->suite_number][!c->plan->ticket];
}

static bool has_tls13(const struct plan *p)
{
    return p->suite->version == TLS1_3_VERSION;
}

/* |first| goes before the group of the plan. For TLS 1.2 the curve of the
 * certificates follows it, and a group that libssl knows by name: a client
 * without one sends no groups. */
static void configure(SSL *ssl, const struct plan *p, const char *first)
{
    bool more = !has_tls13(p);
    char list[64];

    snprintf(list, sizeof(list), "%s%s%s%s", first, p->group,
             more && strcmp(p->group, "P-256") != 0 ? ":P-256" : "",
             more && strcmp(p->group, "X448") != 0 ? ":X448" : "");
    CHECK(SSL_set1_groups_list(ssl, list));
    CHECK(SSL_set_min_proto_version(ssl, p->suite->version));
    CHECK(SSL_set_max_proto_version(ssl, p->suite->version));
    CHECK(has_tls13(p) ? SSL_set_ciphersuites(ssl, p->suite->name)
                       : SSL_set_cipher_list(ssl, p->suite->name));
}

static void configure_client(const struct connection *c)
{
    const struct plan *p = c->plan;

    configure(c->end[0], p, p->retry ? "P-521:" : "");
    if (p->rsa && has_tls13(p)) {
        CHECK(SSL_set1_sigalgs_list(c->end[0], "RSA-PSS+SHA256"));
    }
    if (p->resume && *kept_session(c) != NULL) {
        /* A copy: a connection without a goodbye spoils its session. */
        SSL_SESSION *session = SSL_SESSION_dup(*kept_session(c));

        CHECK(SSL_set_session(c->end[0], session));
        SSL_SESSION_free(session);
    }
}

static void configure_server(const struct connection *c)
{
    const struct plan *p = c->plan;

    configure(c->end[1], p, "");
    if (!p->ticket) {
        SSL_set_options(c->end[1], SSL_OP_NO_TICKET);
    }
    if (p->client_certificate) {
        SSL_set_verify(c->end[1],
                       SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                       accept_any);
    }
}

static void open_ends(struct connection *c)
{
    c->end[0] = SSL_new(c->side->client);
    c->end[1] = SSL_new(c->side->server);
    ends_join(c->end[0], c->end[1], c->wire);
    configure_client(c);
    configure_server(c);
}

static void close_ends(struct connection *c)
{
    for (int i = 0; i < 2; i++) {
        if (!c->cut && !c->plan->abrupt) {
            SSL_shutdown(c->end[i]);
        }
    }
    for (int i = 0; i < 2; i++) {
        SSL_free(c->end[i]);
        BIO_free(c->wire[i]);
    }
}

/* ---- the wire ----------------------------------------------------------- */

static void shorten(BIO *wire, int percent)
{
    char *data, *copy;
    long len = BIO_get_mem_data(wire, &data), keep = len * percent / 100;

    copy = interop_new((size_t)len + 1);
    memcpy(copy, data, (size_t)len);
    (void)BIO_reset(wire);
    if (keep > 0) {
        CHECK(BIO_write(wire, copy, (int)keep) == keep);
    }
    free(copy);
}

/* |end| has sent, perhaps; true when that is the flight that is cut. */
static bool sent(struct connection *c, int end)
{
    if (c->cut || BIO_pending(c->wire[end]) == 0) {
        return c->cut;
    }
    if (c->flight == c->plan->cut_flight) {
        shorten(c->wire[end], c->plan->cut_percent);
        c->counts->cut[c->flight]++;
        c->cut = true;
    }
    c->flight++;
    return c->cut;
}

/* One step of |end|, whose peer then sees what is left of it. */
static bool step(struct connection *c, int end)
{
    if (!ends_step(c->end[end])) {
        ERR_print_errors_fp(stdout);
        return CHECK(!"a step of the handshake");
    }
    if (sent(c, end)) {
        ends_step(c->end[!end]);
        return false;
    }
    return true;
}

static bool finished(const struct connection *c)
{
    return SSL_is_init_finished(c->end[0]) && SSL_is_init_finished(c->end[1]);
}

static bool shake_hands(struct connection *c)
{
    for (int i = 0; i < 10; i++) {
        if (!step(c, 0) || !step(c, 1)) {
            return false;
        }
        if (finished(c)) {
            return true;
        }
    }
    return CHECK(!"hands were shaken");
}

/* ---- before and after the handshake ------------------------------------- */

/* A session says by itself whether it may send some. */
static bool wants_early_data(const struct connection *c)
{
    SSL_SESSION *session = SSL_get0_session(c->end[0]);

    return c->plan->early && !c->plan->retry && session != NULL &&
           SSL_SESSION_get_max_early_data(session) > 0;
}

static bool send_early_data(struct connection *c)
{
    char got[32];
    size_t n = 0, done = 0;
    int ret;

    if (SSL_write_early_data(c->end[0], early_text, sizeof(early_text), &n) !=
        1) {
        ERR_print_errors_fp(stdout);
        CHECK(!"early data is sent");
        return false;
    }
    if (sent(c, 0)) {
        ends_step(c->end[1]);
        return false;
    }
    do {
        ret =
            SSL_read_early_data(c->end[1], got + done, sizeof(got) - done, &n);
        done += ret == SSL_READ_EARLY_DATA_SUCCESS ? n : 0;
    } while (ret == SSL_READ_EARLY_DATA_SUCCESS);
    if (SSL_get_early_data_status(c->end[1]) == SSL_EARLY_DATA_ACCEPTED) {
        CHECK_MEM(got, done, early_text, sizeof(early_text));
        c->counts->early++;
    }
    /* What the server has answered already is its flight. */
    if (sent(c, 1)) {
        ends_step(c->end[0]);
        return false;
    }
    return true;
}

static bool pass_both_ways(struct connection *c)
{
    size_t len = 1 + pair_random(3000);

    for (int i = 0; i < 2; i++) {
        ends_pass(c->end[i], c->end[!i], len, (unsigned)len);
    }
    return interop_failures() == 0;
}

static void update_keys(struct connection *c)
{
    CHECK_INT(SSL_key_update(c->end[pair_random(2)],
                             pair_random(2) ? SSL_KEY_UPDATE_REQUESTED
                                            : SSL_KEY_UPDATE_NOT_REQUESTED),
              1);
    c->counts->updated++;
    pass_both_ways(c);
    pass_both_ways(c);
}

static void renegotiate(struct connection *c)
{
    char none[8];

    CHECK_INT(SSL_renegotiate(c->end[0]), 1);
    for (int i = 0; i < 4; i++) {
        CHECK(ends_step(c->end[0]));
        CHECK(SSL_read(c->end[1], none, sizeof(none)) <= 0);
    }
    CHECK(finished(c) && SSL_renegotiate_pending(c->end[0]) == 0);
    c->counts->renegotiated++;
    pass_both_ways(c);
}

static void keep_session(struct connection *c)
{
    SSL_SESSION **kept = kept_session(c);

    SSL_SESSION_free(*kept);
    *kept = SSL_SESSION_dup(SSL_get0_session(c->end[0]));
}

static void use(struct connection *c)
{
    const struct plan *p = c->plan;

    c->counts->whole++;
    c->counts->resumed += (unsigned)SSL_session_reused(c->end[0]);
    c->counts->retried += p->retry;
    c->counts->client_certificate +=
        p->client_certificate && !SSL_session_reused(c->end[0]);
    if (!pass_both_ways(c)) {
        return;
    }
    if (p->update) {
        update_keys(c);
    }
    if (p->renegotiate) {
        renegotiate(c);
    }
    keep_session(c);
}

void soak_connect(struct side *side, const struct plan *p,
                  struct soak_counts *counts)
{
    struct connection c = {.plan = p, .side = side, .counts = counts};

    open_ends(&c);
    if ((!wants_early_data(&c) || send_early_data(&c)) && shake_hands(&c)) {
        use(&c);
    }
    close_ends(&c);
}
