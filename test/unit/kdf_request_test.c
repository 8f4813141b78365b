/*
 * What a request to a KDF may be: its parts are read once and have to fit, its
 * numbers have to be ones that there are, its secrets are shown only if asked
 * for at start, and what goes along with it is what a call of its own has.
 */
#include "claims.h"
#include "fake_inside.h"
#include "kdf_call.h"
#include "secret.h"
#include "tls_kdf.h"

#include <string.h>

/* ---- under the call ------------------------------------------------------ */

/* A copy of |from| that may be overwritten. */
static struct kdf_piece fragile(unsigned char *room, const void *from,
                                size_t len)
{
    memcpy(room, from, len);
    return PIECE(room, len);
}

/* Every parameter is overwritten as soon as it was looked at once. */
static void test_parameters_are_read_once(void)
{
    static const unsigned char master[48] = {6}, traffic[32] = {7};
    unsigned char key[48], prefix[6], label[16], data[64], calm[40], got[40];

    for (int hostile = 0; hostile < 2; hostile++) {
        unsigned char *out = hostile ? got : calm;
        struct kdf_request r = {.which = KDF_TLS13, .mode = KDF_EXPAND};

        fake_inside_hostile = hostile;
        r.key = fragile(key, traffic, 32);
        r.prefix = fragile(prefix, "tls13 ", 6);
        r.label = fragile(label, "finished", 8);
        CHECK(ours(&r, 1, out, 32) == 1);
        fake_inside_hostile = 0;
    }
    CHECK(memcmp(calm, got, 32) == 0);
    for (int hostile = 0; hostile < 2; hostile++) {
        struct kdf_request r;

        r = request12(PRF_SHA256, fragile(label, "key expansion", 13),
                      fragile(data, randoms, 64), fragile(key, master, 48));
        fake_inside_hostile = hostile;
        CHECK(ours(&r, 1, hostile ? got : calm, 40) == 1);
        fake_inside_hostile = 0;
    }
    CHECK(memcmp(calm, got, 40) == 0);
}

/* ---- the key log --------------------------------------------------------- */

static void test_secrets_are_shown_only_if_asked_for_at_start(void)
{
    static const unsigned char nothing[64];
    unsigned char master[48] = {5}, handle[48] = {5}, out[40], stage[32] = {9};
    unsigned char room[64] = {0};
    struct mpkprov_frame f;
    struct kdf_request r12, r13 = {.which = KDF_TLS13,
                                   .mode = KDF_EXPAND,
                                   .key = PIECE(stage, 32),
                                   .prefix = WORD("tls13 "),
                                   .label = WORD("c ap traffic"),
                                   .data = PIECE(randoms, 32)};

    secret_seal(SECRET_MASTER, handle, 48);
    r12 = request12(PRF_SHA256, WORD("key expansion"), PIECE(randoms, 64),
                    PIECE(handle, 48));
    CHECK(ours(&r12, 1, out, 40) == 1 && last.out2_len == 0);
    CHECK(ours(&r13, 1, out, 32) == 1 && last.out2_len == 0);
    set_flags(KDF_REVEAL);
    CHECK(ours(&r12, 1, out, 40) == 1 && last.out2_len == 80);
    CHECK(memcmp(last.out2, randoms + 32, 32) == 0);
    CHECK(memcmp((unsigned char *)last.out2 + 32, master, 48) == 0);
    CHECK(ours(&r13, 1, out, 32) == 1 && last.out2_len == 64);
    CHECK(memcmp(last.out2, out, 32) == 0);
    secret_open(SECRET_TRAFFIC, out, 32);
    CHECK(memcmp((unsigned char *)last.out2 + 32, out, 32) == 0);
    /* Not where the caller has no room for it. */
    f = (struct mpkprov_frame){.in = &r13,
                               .in_len = sizeof(r13),
                               .out = out,
                               .out_len = 32,
                               .out2 = room,
                               .out2_len = 63};
    CHECK(kdf_derive_stub(&f) == 1 && f.out2_len == 64);
    CHECK(memcmp(room, nothing, sizeof(room)) == 0);
    r13.label = WORD("res master");
    CHECK(ours(&r13, 1, out, 32) == 1 && last.out2_len == 0);
    set_flags(0);
}

/* ---- what no proxy asks for ---------------------------------------------- */

static int is_too_long(const struct kdf_request *r)
{
    unsigned char out[32];

    return ours(r, 0, out, sizeof(out)) == 0 &&
           strstr(last.error.text, "too long") != NULL;
}

/* Each part is copied to a place of fixed size, inside. */
static void test_parts_have_to_fit(void)
{
    static const unsigned char many[(1 << 17) + 1];
    const struct kdf_request good = {.which = KDF_TLS13,
                                     .mode = KDF_EXPAND,
                                     .key = PIECE(many, 32),
                                     .prefix = WORD("tls13 "),
                                     .label = WORD("iv")};
    unsigned char out[32];
    struct kdf_request r = good;

    CHECK(ours(&r, 0, out, 12) == 1);
    r.key.len = KDF_KEY_MAX + 1;
    CHECK(is_too_long(&r));
    r = good;
    r.prefix = PIECE(many, 8);
    CHECK(is_too_long(&r));
    r = good;
    r.label = PIECE(many, 257);
    CHECK(is_too_long(&r));
    r = good;
    r.data = PIECE(many, 257);
    CHECK(is_too_long(&r));
    r = request12(PRF_SHA256, WORD("EXPORTER-x"), PIECE(many, 1 << 17),
                  PIECE(many, 48));
    CHECK(ours(&r, 0, out, sizeof(out)) == 1);
    r.seed[1].len = (1 << 17) + 1;
    CHECK(ours(&r, 0, out, sizeof(out)) == 0);
}

static void test_numbers_have_to_be_ones_that_there_are(void)
{
    static const unsigned char none[64];
    static unsigned char out[KDF_OUT_MAX + 1];
    struct kdf_request r = request12(PRF_SHA256, WORD("EXPORTER-x"),
                                     PIECE(none, 64), PIECE(none, 48));
    struct mpkprov_frame f = {
        .in = &r, .in_len = sizeof(r), .out = out, .out_len = 32};

    CHECK(kdf_derive_stub(&f) == 1);
    f.in_len = sizeof(r) - 1;
    CHECK(kdf_derive_stub(&f) == 0);
    CHECK(ours(&r, 0, out, 0) == 0);
    CHECK(ours(&r, 0, out, KDF_OUT_MAX) == 1);
    CHECK(ours(&r, 0, out, KDF_OUT_MAX + 1) == 0);
    r.mode = KDF_EXPAND;
    CHECK(ours(&r, 0, out, 32) == 0);
    r.mode = KDF_NO_MODE;
    for (int d = -1; d <= PRF_DIGESTS; d += PRF_DIGESTS + 1) {
        r.digest = d;
        CHECK(ours(&r, 0, out, 32) == 0);
        CHECK(strstr(last.error.text, "digest or length") != NULL);
    }
    r = request12(PRF_SHA256, WORD("master secret"), PIECE(none, 64),
                  (struct kdf_piece){NULL, 0});
    CHECK(ours(&r, 0, out, 48) == 0);
}

/* Behind the last seed of a request there is something else. */
static void test_there_are_no_more_seeds_than_have_room(void)
{
    static const unsigned char none[64];
    unsigned char out[32];
    struct kdf_work w = {.digest = PRF_SHA256,
                         .key_len = 48,
                         .has_key = 1,
                         .out = out,
                         .out_len = sizeof(out)};
    struct mpkprov_frame f = {0};
    struct {
        struct kdf_request r;
        struct kdf_piece behind;
    } x = {.r = request12(PRF_SHA256, WORD("EXPORTER-x"), PIECE(none, 64),
                          PIECE(none, 48)),
           .behind = PIECE(none, 1)};

    for (int n = 2; n < KDF_SEEDS; n++) {
        x.r.seed[n] = PIECE(none, 1);
    }
    x.r.n_seeds = KDF_SEEDS;
    CHECK(kdf_tls1_derive(&f, &w, &x.r) == 1);
    x.r.n_seeds = KDF_SEEDS + 1;
    CHECK(kdf_tls1_derive(&f, &w, &x.r) == 0);
}

/* ---- derivations that go along ------------------------------------------- */

static struct mpkprov_frame along(const struct kdf_request *r, void *out,
                                  const struct kdf_next *next, size_t n)
{
    return (struct mpkprov_frame){.in = r,
                                  .in_len = sizeof(*r),
                                  .out = out,
                                  .out_len = 12,
                                  .in2 = next,
                                  .in2_len = n};
}

/* One handle is another secret as another type, and so is another handle. */
static void test_each_is_what_it_is_in_a_call_of_its_own(void)
{
    static const unsigned char one[32] = {1}, two[32] = {2}, hash[32] = {3};
    const struct {
        const unsigned char *key;
        struct kdf_piece label, data;
        size_t len;
    } list[] = {{one, WORD("finished"), {NULL, 0}, 32},
                {one, WORD("exporter"), PIECE(hash, 32), 32},
                {one, WORD("res binder"), PIECE(hash, 32), 32},
                {one, WORD("iv"), {NULL, 0}, 12},
                {two, WORD("iv"), {NULL, 0}, 12}};
    enum { N = sizeof(list) / sizeof(list[0]) };
    unsigned char iv[12], got[N][32], alone[32];
    struct kdf_request r = {.which = KDF_TLS13,
                            .mode = KDF_EXPAND,
                            .key = PIECE(one, 32),
                            .prefix = WORD("tls13 "),
                            .label = WORD("iv")};
    struct kdf_next next[N];
    struct mpkprov_frame f = along(&r, iv, next, N);

    for (int i = 0; i < N; i++) {
        next[i] = (struct kdf_next){.mode = KDF_EXPAND,
                                    .key = PIECE(list[i].key, 32),
                                    .label = list[i].label,
                                    .data = list[i].data,
                                    .out = got[i],
                                    .out_len = list[i].len};
    }
    CHECK(kdf_derive_stub(&f) == 1 && f.handle2 == N);
    for (int i = 0; i < N; i++) {
        r.key = PIECE(list[i].key, 32);
        r.label = list[i].label;
        r.data = list[i].data;
        CHECK(ours(&r, 1, alone, list[i].len) == 1);
        CHECK(memcmp(got[i], alone, list[i].len) == 0);
    }
}

static void test_what_does_not_go_along(void)
{
    static const unsigned char secret[32] = {1}, raw[X448_SECRET] = {1};
    static unsigned char out[KDF_SMALL_OUT + 1];
    struct kdf_request r = {.which = KDF_TLS13,
                            .mode = KDF_EXPAND,
                            .key = PIECE(secret, 32),
                            .prefix = WORD("tls13 "),
                            .label = WORD("iv")};
    struct kdf_next next[KDF_NEXT_MAX + 1];
    struct mpkprov_frame f;

    for (int i = 0; i <= KDF_NEXT_MAX; i++) {
        next[i] = (struct kdf_next){.mode = KDF_EXPAND,
                                    .key = r.key,
                                    .label = r.label,
                                    .out = out,
                                    .out_len = 12};
    }
    f = along(&r, out, next, KDF_NEXT_MAX + 1);
    CHECK(kdf_derive_stub(&f) == 1 && f.handle2 == 0);
    for (int d = -1; d <= PRF_DIGESTS; d += PRF_DIGESTS + 1) {
        f = along(&r, out, next, 1);
        kdf_follow(&f, d);
        CHECK(f.handle2 == 0);
    }
    /* A key log has each from a call of its own. */
    set_flags(KDF_REVEAL);
    f = along(&r, out, next, 1);
    CHECK(kdf_derive_stub(&f) == 1 && f.handle2 == 0);
    set_flags(0);
    f = along(&r, out, next, 1);
    CHECK(kdf_derive_stub(&f) == 1 && f.handle2 == 1);
    /* More than there is room for; and nothing. */
    next[0].label = WORD("exporter");
    next[0].data = PIECE(randoms, 32);
    next[0].out_len = sizeof(out);
    f = along(&r, out, next, 1);
    CHECK(kdf_derive_stub(&f) == 1 && f.handle2 == 0);
    next[0].out_len = KDF_SMALL_OUT;
    f = along(&r, out, next, 1);
    CHECK(kdf_derive_stub(&f) == 1 && f.handle2 == 1);
    next[0].out_len = 0;
    f = along(&r, out, next, 1);
    CHECK(kdf_derive_stub(&f) == 1 && f.handle2 == 0);
    /* A secret in the clear, whatever its own call would be told. */
    next[0] = (struct kdf_next){.mode = KDF_NO_MODE,
                                .key = PIECE(raw, 32),
                                .label = WORD("master secret"),
                                .data = PIECE(randoms, 64),
                                .out = out,
                                .out_len = 48};
    f = along(&r, out, next, 1);
    CHECK(kdf_derive_stub(&f) == 1 && f.handle2 == 0);
    set_flags(KDF_LEAVE_X448);
    next[0].key.len = X448_SECRET;
    f = along(&r, out, next, 1);
    CHECK(kdf_derive_stub(&f) == 1 && f.handle2 == 0);
    set_flags(0);
}

int main(void)
{
    kdf_start();
    test_parameters_are_read_once();
    test_secrets_are_shown_only_if_asked_for_at_start();
    test_parts_have_to_fit();
    test_numbers_have_to_be_ones_that_there_are();
    test_there_are_no_more_seeds_than_have_room();
    test_each_is_what_it_is_in_a_call_of_its_own();
    test_what_does_not_go_along();
    return claims_end();
}
