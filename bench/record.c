/*
 * record.c - what a record costs the server, sending and receiving.
 *
 * Records are written or read in blocks, so that reading the clock is no part
 * of the figure; the client's side of each block is not measured.
 */
#include "material.h"
#include "tlspair.h"

#include <stdlib.h>
#include <string.h>

#define RECORD_MAX 16384
#define BLOCK_BYTES (256 * 1024)
#define BLOCK_RECORDS 64
/* What a block is in between the two, with what the records add to it. */
#define ROOM (BLOCK_BYTES + BLOCK_RECORDS * 256 + 16384)

struct record_case {
    struct bench_case base;
    int version;
    const char *cipher;
    size_t len;
    bool send;
};

#define WAY(version, suite, name, bytes, text, is_send, way)                   \
    {                                                                          \
        {name "-" text "-" way, "P-256"}, version, suite, bytes, is_send       \
    }
#define SIZE(version, suite, name, bytes, text)                                \
    WAY(version, suite, name, bytes, text, true, "send"),                      \
        WAY(version, suite, name, bytes, text, false, "receive")
#define SUITE(version, suite, name)                                            \
    SIZE(version, suite, name, 16384, "16k"),                                  \
        SIZE(version, suite, name, 4096, "4k"),                                \
        SIZE(version, suite, name, 1024, "1k"),                                \
        SIZE(version, suite, name, 256, "256")

static const struct record_case cases[] = {
    SUITE(TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256", "tls13-aes128gcm"),
    SUITE(TLS1_3_VERSION, "TLS_AES_256_GCM_SHA384", "tls13-aes256gcm"),
    SUITE(TLS1_3_VERSION, "TLS_CHACHA20_POLY1305_SHA256", "tls13-chacha20"),
    SUITE(TLS1_2_VERSION, "ECDHE-ECDSA-AES128-GCM-SHA256", "tls12-aes128gcm"),
    SUITE(TLS1_2_VERSION, "ECDHE-ECDSA-AES256-GCM-SHA384", "tls12-aes256gcm"),
    SUITE(TLS1_2_VERSION, "ECDHE-ECDSA-CHACHA20-POLY1305", "tls12-chacha20"),
};

struct state {
    const struct record_case *c;
    SSL_CTX *server;
    struct peer_ctx *client;
    struct tls_pair pair;
    struct meter unused; /* connecting and ending are not measured */
    unsigned char data[RECORD_MAX], got[RECORD_MAX];
};

static const struct bench_case *case_at(size_t i)
{
    return i < sizeof(cases) / sizeof(cases[0]) ? &cases[i].base : NULL;
}

static bool write_records(struct state *s, size_t n)
{
    size_t done = 0;
    bool ok = true;

    for (size_t i = 0; i < n && ok; i++) {
        ok = SSL_write_ex(s->pair.ssl, s->data, s->c->len, &done) &&
             done == s->c->len;
    }
    return ok;
}

static bool client_sends(struct state *s, size_t n)
{
    bool ok = true;

    for (size_t i = 0; i < n && ok; i++) {
        ok = peer_send(s->pair.peer, s->data, s->c->len);
    }
    return ok && tls_carry(&s->pair);
}

/* One read is one record, and the last one is what was written. */
static bool read_records(struct state *s, size_t n)
{
    size_t done = 0;
    bool ok = true;

    for (size_t i = 0; i < n && ok; i++) {
        ok = SSL_read_ex(s->pair.ssl, s->got, sizeof(s->got), &done) &&
             done == s->c->len;
    }
    return ok && memcmp(s->got, s->data, s->c->len) == 0;
}

static bool client_receives(struct state *s, size_t n)
{
    bool ok = tls_carry(&s->pair);

    for (size_t i = 0; i < n && ok; i++) {
        ok = peer_receive(s->pair.peer, s->got, sizeof(s->got)) == s->c->len;
    }
    return ok && memcmp(s->got, s->data, s->c->len) == 0;
}

static bool run_block(struct state *s, size_t n, struct meter *m)
{
    bool ok = s->c->send || client_sends(s, n);

    meter_start(m);
    ok = ok && (s->c->send ? write_records(s, n) : read_records(s, n));
    meter_stop(m);
    meter_lap(m, n);
    return ok && (!s->c->send || client_receives(s, n));
}

static size_t block_of(const struct record_case *c)
{
    size_t n = BLOCK_BYTES / c->len;

    return n < BLOCK_RECORDS ? n : BLOCK_RECORDS;
}

static bool run(void *state, size_t n, struct meter *m)
{
    struct state *s = state;
    size_t block = block_of(s->c);
    bool ok = true;

    while (n > 0 && ok) {
        size_t now = n < block ? n : block;

        ok = run_block(s, now, m);
        n -= now;
    }
    return ok;
}

static void close_state(void *state)
{
    struct state *s = state;

    tls_disconnect(&s->pair, &s->unused);
    SSL_CTX_free(s->server);
    peer_ctx_free(s->client);
    free(s);
}

static void *open_state(const struct bench_case *c, const struct column *column,
                        const char *material, char *why)
{
    struct state *s = calloc(1, sizeof(*s));
    const struct tls_session none = {0};
    struct tls_setup setup = {0};
    bool ok;

    if (s == NULL) {
        return NULL;
    }
    s->c = (const struct record_case *)c;
    for (size_t i = 0; i < sizeof(s->data); i++) {
        s->data[i] = (unsigned char)(i * 31 >> 3);
    }
    setup.version = s->c->version;
    setup.cipher = s->c->cipher;
    s->server = tls_end_new(&setup, column, material, why);
    s->client = s->server != NULL ? tls_peer_new(&setup, material, why) : NULL;
    ok = s->client != NULL;
    if (ok &&
        !tls_connect(&s->pair, s->server, s->client, &none, ROOM, &s->unused)) {
        material_why(why, "the connection");
        ok = false;
    }
    if (!ok) {
        close_state(s);
        return NULL;
    }
    return s;
}

static const char *const columns[] = {"stock", "full", "full-mprotect",
                                      "full-none", NULL};

int main(int argc, char **argv)
{
    static const struct benchmark record = {.name = "record",
                                            .operation = "record",
                                            .columns = columns,
                                            .case_at = case_at,
                                            .open = open_state,
                                            .run = run,
                                            .close = close_state};

    return bench_main(&record, argc, argv);
}
