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
    struct tls_ends ends;
    struct tls_pair pair;
    unsigned char data[RECORD_MAX];
};

static const struct bench_case *case_at(size_t i)
{
    return i < sizeof(cases) / sizeof(cases[0]) ? &cases[i].base : NULL;
}

static bool write_records(SSL *ssl, const struct state *s, size_t n)
{
    size_t done = 0;
    bool ok = true;

    for (size_t i = 0; i < n && ok; i++) {
        ok = SSL_write_ex(ssl, s->data, s->c->len, &done) && done == s->c->len;
    }
    return ok;
}

/* One read is one record, and it is what was written. */
static bool read_records(SSL *ssl, const struct state *s, size_t n)
{
    static unsigned char got[RECORD_MAX];
    size_t done = 0;
    bool ok = true;

    for (size_t i = 0; i < n && ok; i++) {
        ok = SSL_read_ex(ssl, got, sizeof(got), &done) && done == s->c->len;
    }
    return ok && memcmp(got, s->data, s->c->len) == 0;
}

static bool run_block(struct state *s, size_t n, struct meter *m)
{
    bool ok = s->c->send || write_records(s->pair.client, s, n);

    meter_start(m);
    ok = ok && (s->c->send ? write_records(s->pair.server, s, n)
                           : read_records(s->pair.server, s, n));
    meter_stop(m);
    meter_lap(m, n);
    return ok && (!s->c->send || read_records(s->pair.client, s, n));
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

    tls_disconnect(&s->pair, NULL);
    tls_ends_free(&s->ends);
    free(s);
}

static void *open_state(const struct bench_case *c, const struct column *column,
                        const char *material, char *why)
{
    struct state *s = calloc(1, sizeof(*s));
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
    ok = tls_ends_new(&s->ends, &setup, column, material, why);
    if (ok && !tls_connect(&s->pair, &s->ends, NULL, ROOM, NULL)) {
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
