/*
 * handshake.c - what a handshake costs a server, or a client.
 *
 * One operation is all that an end does for a connection that carries one
 * small request: SSL_new, the handshake, the request and its answer, SSL_free.
 * So work that a provider puts off is measured, too.
 *
 * With --keys, there are so many servers, each with a key and an SSL_CTX of its
 * own, as for names of SNI; each connection goes to one of them at random.
 */
#include "material.h"
#include "tlspair.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROOM (64 * 1024)
#define REQUEST 16

struct handshake_case {
    struct bench_case base;
    int version;
    bool resumed;
    const char *group;
    bool client; /* is measured */
    bool mutual; /* the client has a certificate, too */
};

#define CASE(name, label, v, ...)                                              \
    {                                                                          \
        .base = {name, label}, .version = v, __VA_ARGS__                       \
    }
/* A curve of the key has to be among TLS 1.2's groups, too. */
#define CASES(key, label)                                                      \
    CASE("tls13-full-" key "-x25519", label, TLS1_3_VERSION,                   \
         .group = "X25519"),                                                   \
        CASE("tls13-full-" key "-p256", label, TLS1_3_VERSION,                 \
             .group = "P-256"),                                                \
        CASE("tls13-resumed-" key "-x25519", label, TLS1_3_VERSION,            \
             .resumed = true, .group = "X25519"),                              \
        CASE("tls13-resumed-" key "-p256", label, TLS1_3_VERSION,              \
             .resumed = true, .group = "P-256"),                               \
        CASE("tls12-full-" key "-x25519", label, TLS1_2_VERSION,               \
             .group = "X25519:P-256"),                                         \
        CASE("tls12-full-" key "-p256", label, TLS1_2_VERSION,                 \
             .group = "P-256"),                                                \
        CASE("tls12-resumed-" key, label, TLS1_2_VERSION, .resumed = true,     \
             .group = "X25519:P-256")
/* The same for a client, and for both ends when both have certificates. A
 * client of TLS 1.2 offers no group of ours unless X448 is among them. */
#define ENDS(name, version, list)                                              \
    CASE("client-" name, "P-256", version, .group = list, .client = true),     \
        CASE("mutual-" name, "P-256", version, .group = list, .mutual = true), \
        CASE("mutual-client-" name, "P-256", version, .group = list,           \
             .client = true, .mutual = true)

static const struct handshake_case cases[] = {
    CASES("p256", "P-256"),
    CASES("rsa2048", "RSA-2048"),
    CASES("ed25519", "Ed25519"),
    ENDS("tls13-full-p256-x25519", TLS1_3_VERSION, "X25519"),
    ENDS("tls12-full-p256-x25519", TLS1_2_VERSION, "X25519:P-256:X448"),
    CASE("client-tls13-resumed-p256-x25519", "P-256", TLS1_3_VERSION,
         .resumed = true, .group = "X25519", .client = true),
#if OPENSSL_VERSION_PREREQ(3, 5)
    /* What servers and clients that have it agree on by themselves. */
    CASE("tls13-full-p256-mlkem768", "P-256", TLS1_3_VERSION,
         .group = "X25519MLKEM768"),
    CASE("tls13-resumed-p256-mlkem768", "P-256", TLS1_3_VERSION,
         .resumed = true, .group = "X25519MLKEM768"),
    CASE("client-tls13-full-p256-mlkem768", "P-256", TLS1_3_VERSION,
         .group = "X25519MLKEM768", .client = true),
#endif
};

struct state {
    const struct handshake_case *c;
    SSL_CTX **ends; /* measured */
    size_t n;
    struct peer_ctx *peer;
    uint64_t random;
    struct tls_session session;
};

static const struct bench_case *case_at(size_t i)
{
    return i < sizeof(cases) / sizeof(cases[0]) ? &cases[i].base : NULL;
}

static const unsigned char request[REQUEST] = {1}, answer[REQUEST] = {2};

static bool is(const unsigned char *got, size_t n, const unsigned char *text)
{
    return n == REQUEST && memcmp(got, text, REQUEST) == 0;
}

static bool serve(struct tls_pair *p, struct meter *m)
{
    unsigned char buf[REQUEST];
    size_t n = 0;
    bool ok;

    if (!peer_send(p->peer, request, REQUEST) || !tls_carry(p)) {
        return false;
    }
    meter_start(m);
    ok = SSL_read_ex(p->ssl, buf, sizeof(buf), &n) && is(buf, n, request) &&
         SSL_write_ex(p->ssl, answer, REQUEST, &n);
    meter_stop(m);
    /* The client reads the tickets of TLS 1.3 on its way. */
    return ok && tls_carry(p) &&
           is(buf, peer_receive(p->peer, buf, sizeof(buf)), answer);
}

static bool ask(struct tls_pair *p, struct meter *m)
{
    unsigned char buf[REQUEST];
    size_t n = 0;
    bool ok;

    meter_start(m);
    ok = SSL_write_ex(p->ssl, request, REQUEST, &n);
    meter_stop(m);
    ok = ok && tls_carry(p) &&
         is(buf, peer_receive(p->peer, buf, sizeof(buf)), request) &&
         peer_send(p->peer, answer, REQUEST) && tls_carry(p);
    meter_start(m);
    ok = ok && SSL_read_ex(p->ssl, buf, sizeof(buf), &n) && is(buf, n, answer);
    meter_stop(m);
    return ok;
}

/* A resumption that silently became a full handshake is no figure, nor is a
 * peer that nobody looked at. */
static bool is_right(const struct handshake_case *c, const SSL *ssl)
{
    return (SSL_session_reused(ssl) == 1) == c->resumed &&
           SSL_get_verify_result(ssl) == X509_V_OK &&
           (SSL_get0_peer_certificate(ssl) != NULL) == (c->client || c->mutual);
}

static bool open_pair(struct state *s, struct tls_pair *p, struct meter *m)
{
    SSL_CTX *end = s->ends[stats_random(&s->random) % s->n];

    return tls_connect(p, end, s->peer, &s->session, ROOM, m) &&
           (s->c->client ? ask(p, m) : serve(p, m));
}

static bool connection(struct state *s, struct meter *m)
{
    struct tls_pair p = {0};
    bool ok = open_pair(s, &p, m) && is_right(s->c, p.ssl);

    tls_disconnect(&p, m);
    return ok;
}

/* What all the others resume; it is not measured. */
static bool first_connection(struct state *s)
{
    struct meter unused = {0};
    struct tls_pair p = {0};
    bool ok = open_pair(s, &p, &unused);

    if (ok) {
        tls_session_keep(&s->session, &p);
    }
    tls_disconnect(&p, &unused);
    return ok;
}

static bool run(void *state, size_t n, struct meter *m)
{
    bool ok = true;

    for (size_t i = 0; i < n && ok; i++) {
        ok = connection(state, m);
        meter_lap(m, 1);
    }
    return ok;
}

static void close_state(void *state)
{
    struct state *s = state;

    tls_session_free(&s->session);
    peer_ctx_free(s->peer);
    for (size_t i = 0; i < s->n; i++) {
        SSL_CTX_free(s->ends[i]);
    }
    free(s->ends);
    free(s);
}

/* An end for each key; their peer is one. */
static bool open_ends(struct state *s, const struct column *column,
                      const char *material, char *why)
{
    struct tls_setup setup = {.version = s->c->version,
                              .group = s->c->group,
                              .tickets = true,
                              .client = s->c->client,
                              .mutual = s->c->mutual};
    const char *first = material;

    s->ends = calloc(material_count(material), sizeof(SSL_CTX *));
    for (; s->ends != NULL && material != NULL;
         material = material_next(material)) {
        SSL_CTX *end = tls_end_new(&setup, column, material, why);

        if (end == NULL) {
            return false;
        }
        s->ends[s->n++] = end;
    }
    if (s->n > 1 && (s->c->resumed || s->c->client || s->c->mutual)) {
        snprintf(why, WHY_ROOM,
                 "a resumption uses no key, and a client one: "
                 "without --keys");
        return false;
    }
    s->peer = s->n > 0 ? tls_peer_new(&setup, first, why) : NULL;
    return s->peer != NULL;
}

static void *open_state(const struct bench_case *c, const struct column *column,
                        const char *material, char *why)
{
    struct state *s = calloc(1, sizeof(*s));

    if (s == NULL) {
        return NULL;
    }
    s->c = (const struct handshake_case *)c;
    s->random = 1;
    if (!open_ends(s, column, material, why)) {
        close_state(s);
        return NULL;
    }
    if (s->c->resumed && !first_connection(s)) {
        material_why(why, "the session to resume");
        close_state(s);
        return NULL;
    }
    return s;
}

static const char *const columns[] = {"stock",         "loaded",    "keys",
                                      "keys-mprotect", "keys-none", "full",
                                      "full-mprotect", "full-none", NULL};

int main(int argc, char **argv)
{
    static const struct benchmark handshake = {.name = "handshake",
                                               .operation = "handshake",
                                               .columns = columns,
                                               .case_at = case_at,
                                               .open = open_state,
                                               .run = run,
                                               .close = close_state};

    return bench_main(&handshake, argc, argv);
}
