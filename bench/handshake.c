/*
 * handshake.c - what a handshake costs the server.
 *
 * One operation is all that a server does for a connection that carries one
 * small request: SSL_new, the handshake, reading the request, answering it,
 * SSL_free. So work that a provider puts off is measured, too.
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
};

#define CASES(key, label)                                                      \
    {{"tls13-full-" key "-x25519", label}, TLS1_3_VERSION, false, "X25519"},   \
        {{"tls13-full-" key "-p256", label}, TLS1_3_VERSION, false, "P-256"},  \
        {{"tls13-resumed-" key "-x25519", label},                              \
         TLS1_3_VERSION,                                                       \
         true,                                                                 \
         "X25519"},                                                            \
        {{"tls13-resumed-" key "-p256", label},                                \
         TLS1_3_VERSION,                                                       \
         true,                                                                 \
         "P-256"},                                                             \
        {{"tls12-full-" key "-x25519", label},                                 \
         TLS1_2_VERSION,                                                       \
         false,                                                                \
         "X25519:P-256"},                                                      \
        {{"tls12-full-" key "-p256", label}, TLS1_2_VERSION, false, "P-256"},  \
    {                                                                          \
        {"tls12-resumed-" key, label}, TLS1_2_VERSION, true, "X25519:P-256"    \
    }

/* A curve of the key has to be among TLS 1.2's groups, too. */
static const struct handshake_case cases[] = {
    CASES("p256", "P-256"),
    CASES("rsa2048", "RSA-2048"),
    CASES("ed25519", "Ed25519"),
};

struct state {
    const struct handshake_case *c;
    SSL_CTX **servers;
    struct peer_ctx *client;
    size_t n;
    uint64_t random;
    struct peer_session *session;
};

static const struct bench_case *case_at(size_t i)
{
    return i < sizeof(cases) / sizeof(cases[0]) ? &cases[i].base : NULL;
}

/* A request and its answer; the server's part is measured. */
static bool exchange(struct tls_pair *p, struct meter *m)
{
    unsigned char request[REQUEST] = {1}, answer[REQUEST] = {2}, buf[REQUEST];
    size_t n = 0;
    bool ok;

    if (!peer_send(p->client, request, sizeof(request)) || !tls_carry(p)) {
        return false;
    }
    if (m != NULL) {
        meter_start(m);
    }
    ok = SSL_read_ex(p->server, buf, sizeof(buf), &n) && n == sizeof(request) &&
         SSL_write_ex(p->server, answer, sizeof(answer), &n);
    if (m != NULL) {
        meter_stop(m);
    }
    /* The client reads the tickets of TLS 1.3 on its way. */
    return ok && tls_carry(p) &&
           peer_receive(p->client, buf, sizeof(buf)) == sizeof(answer) &&
           memcmp(buf, answer, sizeof(answer)) == 0;
}

static bool connection(struct state *s, struct meter *m)
{
    SSL_CTX *server = s->servers[stats_random(&s->random) % s->n];
    struct tls_pair p = {0};
    bool ok = tls_connect(&p, server, s->client, s->session, ROOM, m) &&
              exchange(&p, m);

    /* A resumption that silently became a full handshake is no figure. */
    if (ok && m != NULL) {
        ok = (SSL_session_reused(p.server) == 1) == s->c->resumed;
    }
    if (ok && m == NULL) {
        s->session = peer_session(p.client);
    }
    if (p.server != NULL) {
        tls_disconnect(&p, m);
    }
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

    peer_session_free(s->session);
    peer_ctx_free(s->client);
    for (size_t i = 0; i < s->n; i++) {
        SSL_CTX_free(s->servers[i]);
    }
    free(s->servers);
    free(s);
}

/* A server for each key; the client is one. */
static bool open_ends(struct state *s, const struct column *column,
                      const char *material, char *why)
{
    struct tls_setup setup = {
        .version = s->c->version, .group = s->c->group, .tickets = true};

    s->servers = calloc(material_count(material), sizeof(SSL_CTX *));
    for (; s->servers != NULL && material != NULL;
         material = material_next(material)) {
        SSL_CTX *server = tls_server_new(&setup, column, material, why);

        if (server == NULL) {
            return false;
        }
        s->servers[s->n++] = server;
    }
    if (s->n > 1 && s->c->resumed) {
        snprintf(why, WHY_ROOM, "a resumption uses no key: without --keys");
        return false;
    }
    s->client = s->n > 0 ? tls_client_new(&setup, why) : NULL;
    return s->client != NULL;
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
    /* All resume the one session; its connection is not measured. */
    if (s->c->resumed && !connection(s, NULL)) {
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
