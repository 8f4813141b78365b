/*
 * Both sides of the handles at once: what a KDF hands out as a handle is, when
 * opened, what the default provider derives from the opened inputs, in TLS 1.3;
 * keys can be taken once.
 */
#include "claims.h"
#include "fake_inside.h"
#include "kdf_call.h"
#include "secret.h"
#include "tls_kdf.h"

#include <openssl/rand.h>
#include <string.h>
#include <time.h>

static const struct {
    const char *label;
    int in, out; /* 0: in the clear */
    size_t data, len;
} expansions[] = {{"c e traffic", SECRET_STAGE, SECRET_TRAFFIC, 32, 32},
                  {"c hs traffic", SECRET_STAGE, SECRET_TRAFFIC, 32, 32},
                  {"s hs traffic", SECRET_STAGE, SECRET_TRAFFIC, 32, 32},
                  {"c ap traffic", SECRET_STAGE, SECRET_TRAFFIC, 32, 32},
                  {"s ap traffic", SECRET_STAGE, SECRET_TRAFFIC, 32, 32},
                  {"res binder", SECRET_STAGE, SECRET_TRAFFIC, 32, 32},
                  {"ext binder", SECRET_STAGE, SECRET_TRAFFIC, 32, 32},
                  {"exp master", SECRET_STAGE, SECRET_EXPORT, 32, 32},
                  {"e exp master", SECRET_STAGE, SECRET_EXPORT, 32, 32},
                  {"res master", SECRET_STAGE, SECRET_RESUME, 32, 32},
                  {"resumption", SECRET_RESUME, SECRET_PSK, 8, 32},
                  {"traffic upd", SECRET_TRAFFIC, SECRET_TRAFFIC, 0, 32},
                  {"quic ku", SECRET_TRAFFIC, SECRET_TRAFFIC, 0, 32},
                  {"key", SECRET_TRAFFIC, SECRET_KEY, 0, 16},
                  {"key", SECRET_TRAFFIC, SECRET_KEY, 0, 32},
                  {"quic key", SECRET_TRAFFIC, SECRET_KEY, 0, 16},
                  {"iv", SECRET_TRAFFIC, 0, 0, 12},
                  {"quic iv", SECRET_TRAFFIC, 0, 0, 12},
                  {"quic hp", SECRET_TRAFFIC, 0, 0, 32},
                  {"quicv2 ku", SECRET_TRAFFIC, SECRET_TRAFFIC, 0, 32},
                  {"quicv2 key", SECRET_TRAFFIC, SECRET_KEY, 0, 16},
                  {"quicv2 iv", SECRET_TRAFFIC, 0, 0, 12},
                  {"quicv2 hp", SECRET_TRAFFIC, 0, 0, 32},
                  {"finished", SECRET_TRAFFIC, 0, 0, 32},
                  {"client in", 0, SECRET_TRAFFIC, 0, 32},
                  {"server in", 0, SECRET_TRAFFIC, 0, 32},
                  {"ech accept confirmation", 0, 0, 32, 8},
                  {"hrr ech accept confirmation", 0, 0, 32, 8},
                  {"EXPORTER-x", SECRET_EXPORT, SECRET_EXPORT2, 32, 32},
                  {"exporter", SECRET_EXPORT2, 0, 32, 77}};

static void test_expansions_have_their_types(void)
{
    for (size_t i = 0; i < sizeof(expansions) / sizeof(expansions[0]); i++) {
        unsigned char secret[32], handle[32], got[80], want[80], data[32];
        struct kdf_request r = {.which = KDF_TLS13,
                                .mode = KDF_EXPAND,
                                .digest = PRF_SHA256,
                                .prefix = WORD("tls13 ")};
        size_t len = expansions[i].len;
        int out = expansions[i].out;

        RAND_bytes(secret, sizeof(secret));
        RAND_bytes(data, sizeof(data));
        memcpy(handle, secret, sizeof(handle));
        if (expansions[i].in != 0) {
            secret_seal((enum secret_type)expansions[i].in, handle, 32);
        }
        r.label = PIECE(expansions[i].label, strlen(expansions[i].label));
        r.data =
            PIECE(expansions[i].data != 0 ? data : NULL, expansions[i].data);
        r.key = PIECE(handle, 32);
        CHECK(ours(&r, 1, got, len) == 1);
        r.key = PIECE(secret, 32);
        stock(&r, want, len);
        CHECK(out == 0 || memcmp(got, want, len) != 0);
        if (out == SECRET_KEY) {
            CHECK(key_take(got, len) == (strcmp(expansions[i].label, "key") == 0
                                             ? KEY_OF_TLS13
                                             : KEY_OF_QUIC));
            CHECK(key_take(got, len) == KEY_RAW); /* as it is */
        } else if (out != 0) {
            secret_open((enum secret_type)out, got, len);
        }
        CHECK(memcmp(got, want, len) == 0);
    }
}

/* For a cipher key, from a secret of 32 bytes. */
static struct kdf_request key_request(const unsigned char *secret)
{
    return (struct kdf_request){.which = KDF_TLS13,
                                .mode = KDF_EXPAND,
                                .digest = PRF_SHA256,
                                .key = PIECE(secret, 32),
                                .prefix = WORD("tls13 "),
                                .label = WORD("key")};
}

/* As long as there is none: a cipher would take the handle for a key. */
static void test_without_memory_for_a_key_there_is_no_handle(void)
{
    static const unsigned char nothing[64];
    unsigned char secret[48] = {1}, out[40] = {0};
    struct kdf_request r = key_request(secret);

    fake_inside_full = 1;
    CHECK(ours(&r, 1, out, 16) == 0);
    CHECK(last.error.reason == MPKPROV_R_MEMORY);
    CHECK(memcmp(out, nothing, 16) == 0);
    r = (struct kdf_request){
        .which = KDF_TLS1,
        .digest = PRF_SHA256,
        .n_seeds = 2,
        .seed = {WORD("key expansion"), PIECE(nothing, 64)},
        .key = PIECE(secret, 48)};
    CHECK(ours(&r, 1, out, sizeof(out)) == 0);
    CHECK(last.error.reason == MPKPROV_R_MEMORY);
    CHECK(memcmp(out, nothing, sizeof(out)) == 0);
    fake_inside_full = 0;
    CHECK(ours(&r, 1, out, sizeof(out)) == 1);
}

/* The same key nine times in one call, and again and again in others. */
static void test_a_key_that_is_asked_for_again_is_no_more_keys(void)
{
    unsigned char secret[32] = {0}, key[32], again[KDF_NEXT_MAX][32], p[32];
    struct kdf_request r = key_request(secret);
    struct kdf_next next[KDF_NEXT_MAX];
    struct mpkprov_frame f = {.in = &r,
                              .in_len = sizeof(r),
                              .out = key,
                              .out_len = sizeof(key),
                              .in2 = next,
                              .in2_len = KDF_NEXT_MAX};

    RAND_bytes(secret, sizeof(secret));
    for (int i = 0; i < KDF_NEXT_MAX; i++) {
        next[i] = (struct kdf_next){.mode = KDF_EXPAND,
                                    .key = r.key,
                                    .label = r.label,
                                    .out = again[i],
                                    .out_len = sizeof(again[i])};
    }
    CHECK(kdf_derive_stub(&f) == 1 && f.handle2 == KDF_NEXT_MAX);
    CHECK(memcmp(again[KDF_NEXT_MAX - 1], key, sizeof(key)) == 0);
    memcpy(p, key, sizeof(p));
    CHECK(key_take(p, sizeof(p)) == KEY_OF_TLS13);
    memcpy(p, key, sizeof(p));
    CHECK(key_take(p, sizeof(p)) == KEY_GONE);
    for (int i = 0; i < 5; i++) {
        CHECK(ours(&r, 1, key, sizeof(key)) == 1);
    }
    for (int i = 0; i < 5; i++) {
        memcpy(p, key, sizeof(p));
        CHECK(key_take(p, sizeof(p)) == (i < 2 ? KEY_OF_TLS13 : KEY_GONE));
    }
}

static void extract_with(enum prf_digest d, size_t key_len, int psk)
{
    size_t n = prf_size(d), sealed = key_len;
    unsigned char secret[1100], handle[1100], salt[48], salt_handle[48];
    unsigned char got[48], want[48];
    struct kdf_request r = {.which = KDF_TLS13,
                            .mode = KDF_EXTRACT,
                            .digest = d,
                            .prefix = WORD("tls13 "),
                            .label = WORD("derived")};

    RAND_bytes(secret, sizeof(secret));
    RAND_bytes(salt, sizeof(salt));
    memcpy(salt_handle, salt, sizeof(salt));
    secret_seal(SECRET_STAGE, salt_handle, n);
    if (psk) {
        memcpy(handle, secret, n);
        secret_seal(SECRET_PSK, handle, n);
    } else if (key_len != 0) {
        premaster_seal(handle, secret, key_len);
        sealed += PREMASTER_MORE;
    }
    r.key = PIECE(key_len != 0 ? handle : NULL, sealed);
    r.salt = PIECE(psk ? NULL : salt_handle, psk ? 0 : n);
    CHECK(ours(&r, 1, got, n) == 1);
    CHECK(last.what == 0);
    r.key = PIECE(key_len != 0 ? secret : NULL, key_len);
    r.salt = PIECE(psk ? NULL : salt, psk ? 0 : n);
    stock(&r, want, n);
    secret_open(SECRET_STAGE, got, n);
    CHECK(memcmp(got, want, n) == 0);
}

static void test_extracts_have_their_types(void)
{
    static const size_t lengths[] = {0, 32, 48, 56, 64, 66, 256, 1024};

    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        extract_with(PRF_SHA256, lengths[i], 0);
        extract_with(PRF_SHA384, lengths[i], 0);
    }
    extract_with(PRF_SHA256, 32, 1);
    extract_with(PRF_SHA384, 48, 1);
}

static void test_an_exchange_for_tls12_is_refused(void)
{
    unsigned char secret[32] = {1}, key[48], salt[32] = {2}, out[32];
    struct kdf_request r = {.which = KDF_TLS13,
                            .mode = KDF_EXTRACT,
                            .digest = PRF_SHA256,
                            .key = PIECE(key, 48),
                            .salt = PIECE(salt, 32),
                            .prefix = WORD("tls13 "),
                            .label = WORD("derived")};

    premaster_seal_tls12(key, secret, sizeof(secret));
    for (int strict = 0; strict < 2; strict++) {
        CHECK(ours(&r, strict, out, 32) == 0);
        CHECK(strstr(last.error.text, "compressed") != NULL);
    }
}

static void test_a_raw_exchange_is_refused_or_told(void)
{
    unsigned char raw[32] = {1}, salt[32] = {2}, out[32];
    struct kdf_request r = {.which = KDF_TLS13,
                            .mode = KDF_EXTRACT,
                            .digest = PRF_SHA256,
                            .key = PIECE(raw, 32),
                            .salt = PIECE(salt, 32),
                            .prefix = WORD("tls13 "),
                            .label = WORD("derived")};

    CHECK(ours(&r, 1, out, 32) == 0);
    CHECK(strstr(last.error.text, "role = tls first") != NULL);
    CHECK(ours(&r, 0, out, 32) == 1);
    CHECK(last.what == KDF_RAW);
}

/* ---- for a reader -------------------------------------------------------- */

static void print_cost(void)
{
    unsigned char stage[32] = {9}, out[32];
    struct kdf_request r = {.which = KDF_TLS13,
                            .mode = KDF_EXPAND,
                            .key = PIECE(stage, 32),
                            .prefix = WORD("tls13 "),
                            .label = WORD("c ap traffic"),
                            .data = PIECE(randoms, 32)};
    struct timespec a, b;
    double best = 1e9;

    for (int round = 0; round < 50; round++) {
        double ns;

        clock_gettime(CLOCK_MONOTONIC, &a);
        for (int i = 0; i < 200; i++) {
            ours(&r, 1, out, 32);
        }
        clock_gettime(CLOCK_MONOTONIC, &b);
        ns = ((double)(b.tv_sec - a.tv_sec) * 1e9 +
              (double)(b.tv_nsec - a.tv_nsec)) /
             200;
        best = ns < best ? ns : best;
    }
    printf("HKDF-Expand-Label with its handles, inside: %.0f ns\n", best);
}

int main(void)
{
    kdf_start();
    test_without_memory_for_a_key_there_is_no_handle();
    test_expansions_have_their_types();
    test_a_key_that_is_asked_for_again_is_no_more_keys();
    test_extracts_have_their_types();
    test_an_exchange_for_tls12_is_refused();
    test_a_raw_exchange_is_refused_or_told();
    print_cost();
    return claims_end();
}
