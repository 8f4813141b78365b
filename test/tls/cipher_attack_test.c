/*
 * What an attacker who can call and write everything outside might try with a
 * cipher context: buffers in the domain, lengths that wrap, parameters longer
 * than what the inner cipher has room for, a changed context. Nothing of it may
 * read or write the domain.
 */
#include "../unit/claims.h"
#include "attack_cipher.h"
#include "cipher.h"
#include "pair.h"

#include <malloc.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <stdlib.h>
#include <string.h>

/* ---- buffers ------------------------------------------------------------ */

/* What a message may be: data alone, a record of 1.3, a record of 1.2. */
enum kind { STREAM, RECORD13, RECORD12, KINDS };

static void start_message(void *ctx, enum kind kind, size_t len)
{
    unsigned char aad[13] = {23, 3, 3};

    if (kind == RECORD12) {
        aad[11] = (unsigned char)((len - 16) >> 8);
        aad[12] = (unsigned char)(len - 16);
        CHECK(set(ctx, OSSL_CIPHER_PARAM_AEAD_TLS1_AAD, aad, 13));
        return;
    }
    CHECK(nonce(ctx));
    if (kind == RECORD13) {
        aad[3] = (unsigned char)((len + 16) >> 8);
        aad[4] = (unsigned char)(len + 16);
        CHECK(update(ctx, NULL, aad, 5));
    }
}

static void buffers_must_be_outside(size_t key_len, size_t fixed_len)
{
    static unsigned char outside[64];
    unsigned char *const bad[] = {
        heap_end - 4096,        /* a page of the heap */
        heap_end,               /* where it will grow */
        domain_start - 32,      /* straddles the start */
        heap_end + (1UL << 29), /* deep in the reservation */
        (unsigned char *)-48,   /* wraps */
        heap_end - 32,          /* straddles what is committed */
    };
    unsigned char fixed[12] = "fixed nonce";

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        for (int kind = 0; kind < KINDS; kind++) {
            void *ctx = context(1, key_len);

            if (kind == RECORD12) {
                set(ctx, OSSL_CIPHER_PARAM_AEAD_TLS1_IV_FIXED, fixed,
                    fixed_len);
            }
            start_message(ctx, kind, 64);
            CHECK(!update(ctx, bad[i], outside, 64));
            start_message(ctx, kind, 64);
            CHECK(!update(ctx, outside, bad[i], 64));
            start_message(ctx, kind, 64);
            CHECK(!update(ctx, bad[i], bad[i], 64));
            CHECK(!update(ctx, NULL, bad[i], 64)); /* AAD, going in alone */
            ERR_clear_error();
            drop(ctx);
        }
    }
}

/* Less room than the message takes. */
static void room_is_not_overrun(size_t key_len, size_t fixed_len)
{
    unsigned char in[64] = {0}, out[64] = {0}, fixed[12] = "fixed nonce";
    size_t n;

    for (int kind = 0; kind < KINDS; kind++) {
        void *ctx = context(1, key_len);

        if (kind == RECORD12) {
            set(ctx, OSSL_CIPHER_PARAM_AEAD_TLS1_IV_FIXED, fixed, fixed_len);
            /* The first one takes its nonce along. */
            start_message(ctx, kind, 64);
            CHECK(update(ctx, in, in, 64));
        }
        start_message(ctx, kind, 64);
        CHECK(!FN(update, OSSL_FUNC_CIPHER_UPDATE)(ctx, out, &n, 10, in, 64));
        CHECK(out[10] == 0 && memcmp(out + 10, out + 11, 53) == 0);
        ERR_clear_error();
        drop(ctx);
    }
}

/*
 * A record's stub runs on its caller's stack, which is outside. A message to
 * or from there would overwrite its return addresses with what the caller
 * likes, or tell what it has spilled. Seen to fail without touches_light_stack
 * of copy.c.
 */
static __attribute__((noinline)) void
what_a_record_runs_on_is_no_buffer(size_t key_len)
{
    static unsigned char outside[64];
    /* Below what the calls on the way in take, 3 KiB in an instrumented build,
     * and not below what the stub has. */
    unsigned char *here = (unsigned char *)__builtin_frame_address(0) - 4000;
    const char *backend = getenv("MPK_TEST_BACKEND");

    if (backend != NULL && strcmp(backend, "mprotect") == 0) {
        return; /* it has a stack of the domain */
    }
    for (int kind = 0; kind < KINDS - 1; kind++) {
        void *ctx = context(1, key_len);

        start_message(ctx, kind, 64);
        CHECK(!update(ctx, here, outside, 64));
        start_message(ctx, kind, 64);
        CHECK(!update(ctx, outside, here, 64));
        start_message(ctx, kind, 64);
        CHECK(update(ctx, outside, outside, 64));
        ERR_clear_error();
        drop(ctx);
    }
}

/* ---- parameters --------------------------------------------------------- */

#define LARGE 4096

static void a_nonce_is_no_way_in(void)
{
    unsigned char *large = malloc(LARGE), fixed[4] = {1, 2, 3, 4};
    unsigned char out[64], part[12] = "part of one";
    size_t eight = 8;
    OSSL_PARAM shorter[] = {
        OSSL_PARAM_construct_octet_string(
            OSSL_CIPHER_PARAM_AEAD_TLS1_SET_IV_INV, part, sizeof(part)),
        OSSL_PARAM_construct_size_t(OSSL_CIPHER_PARAM_AEAD_IVLEN, &eight),
        OSSL_PARAM_END};
    void *ctx = context(0, 16);

    memset(large, 0xee, LARGE);
    CHECK(set(ctx, OSSL_CIPHER_PARAM_AEAD_TLS1_IV_FIXED, fixed, 4));
    /* Before the nonce, and behind it. */
    CHECK(!set(ctx, OSSL_CIPHER_PARAM_AEAD_TLS1_SET_IV_INV, large, LARGE));
    CHECK(!set(ctx, OSSL_CIPHER_PARAM_AEAD_TLS1_SET_IV_INV, large, 13));
    CHECK(!set(ctx, OSSL_CIPHER_PARAM_AEAD_TLS1_IV_FIXED, large, LARGE));
    CHECK(!set(ctx, OSSL_CIPHER_PARAM_AEAD_TLS1_IV_FIXED, large, 129));
    CHECK(!set(ctx, OSSL_CIPHER_PARAM_AEAD_TLS1_IV_FIXED, NULL, 4));
    CHECK(!set(ctx, OSSL_CIPHER_PARAM_AEAD_TLS1_AAD, NULL, 13));
    /* One that is counted cannot become shorter than its counter. */
    CHECK(!set_iv_len(ctx, 1));
    CHECK(!FN(decrypt_init, OSSL_FUNC_CIPHER_DECRYPT_INIT)(ctx, NULL, 0, large,
                                                           3, NULL));
    CHECK(!set(ctx, OSSL_CIPHER_PARAM_AEAD_TLS1_SET_IV_INV, NULL, 0));
    /* Nor in the same breath, before a part of the old length. */
    CHECK(!FN(set_ctx_params, OSSL_FUNC_CIPHER_SET_CTX_PARAMS)(ctx, shorter));
    CHECK(works(ctx));
    drop(ctx);

    /* As any thread may call them. */
    ctx = context(1, 16);
    CHECK(!FN(encrypt_init, OSSL_FUNC_CIPHER_ENCRYPT_INIT)(ctx, large, LARGE,
                                                           NULL, 0, NULL));
    CHECK(!FN(encrypt_init, OSSL_FUNC_CIPHER_ENCRYPT_INIT)(
        ctx, large, LARGE, iv, sizeof(iv), shorter));
    CHECK(!FN(encrypt_init, OSSL_FUNC_CIPHER_ENCRYPT_INIT)(ctx, NULL, 0, large,
                                                           LARGE, NULL));
    drop(ctx);

    ctx = context(1, 16);
    CHECK(set(ctx, OSSL_CIPHER_PARAM_AEAD_TLS1_IV_FIXED, fixed, 4));
    memset(out, 0xaa, sizeof(out));
    /* For 0 bytes GCM writes all of its nonce. */
    CHECK(get(ctx, OSSL_CIPHER_PARAM_AEAD_TLS1_GET_IV_GEN, out, 0));
    CHECK(memcmp(out, fixed, 4) == 0 && out[12] == 0xaa);
    CHECK(get(ctx, OSSL_CIPHER_PARAM_AEAD_TLS1_GET_IV_GEN, large, LARGE));
    CHECK(large[12] == 0xee);
    CHECK(
        !get(ctx, OSSL_CIPHER_PARAM_AEAD_TLS1_GET_IV_GEN, heap_end - 4096, 12));
    CHECK(works(ctx));
    drop(ctx);
    ERR_clear_error();
    free(large);
}

/* CCM gives of the place of its nonce as much as it is asked for. */
static void a_nonce_is_no_way_out(void)
{
    unsigned char *large = malloc(LARGE);
    const char *const name[] = {OSSL_CIPHER_PARAM_IV,
                                OSSL_CIPHER_PARAM_UPDATED_IV};
    void *ctx, *given;

    use("AES-128-CCM");
    ctx = FN(newctx, OSSL_FUNC_CIPHER_NEWCTX)(provctx);
    memset(large, 0x11, LARGE);
    CHECK(FN(encrypt_init, OSSL_FUNC_CIPHER_ENCRYPT_INIT)(
        ctx, (const unsigned char *)"sixteen bytes...", 16, NULL, 0, NULL));
    CHECK(!get(ctx, OSSL_CIPHER_PARAM_AEAD_TAG, NULL, 16));
    for (int i = 0; i < 2; i++) {
        OSSL_PARAM by_reference[] = {
            OSSL_PARAM_construct_octet_ptr(name[i], &given, LARGE),
            OSSL_PARAM_END};

        CHECK(get(ctx, name[i], large, LARGE));
        for (size_t at = 16; at < LARGE; at++) {
            if (large[at] != 0x11) {
                CHECK(!"more than the nonce came out");
                break;
            }
        }
        given = NULL;
        by_reference[0].data_size = LARGE;
        FN(get_ctx_params, OSSL_FUNC_CIPHER_GET_CTX_PARAMS)(ctx, by_reference);
        CHECK(by_reference[0].return_size == OSSL_PARAM_UNMODIFIED ||
              by_reference[0].return_size <= 16);
        CHECK((unsigned char *)given < domain_start ||
              (unsigned char *)given > heap_end);
    }
    drop(ctx);
    ERR_clear_error();
    free(large);
}

/* ---- the context outside ------------------------------------------------ */

/* Where a context keeps what it holds back: behind a nonce that we know. */
static struct cipher_held *held_of(void *ctx)
{
    unsigned char *p;

    CHECK(nonce(ctx));
    p = memmem(ctx, malloc_usable_size(ctx), iv, sizeof(iv));
    return p != NULL
               ? (struct cipher_held *)(p - offsetof(struct cipher_held, iv))
               : NULL;
}

static void what_is_held_is_looked_at(void)
{
    unsigned char data[32] = {0};
    struct cipher_held *held;
    void *ctx;

    for (int i = 0; i < 2; i++) {
        ctx = context(1, 16);
        held = held_of(ctx);
        CHECK(held != NULL);
        if (held == NULL) {
            return;
        }
        /* One at a time: the other would be refused for it. */
        held->what |= i == 0 ? HELD_AAD : HELD_TAG;
        held->aad_len = i == 0 ? CIPHER_AAD_MAX + 1 : 0;
        held->tag_len = i == 0 ? 16 : 1U << 20;
        CHECK(!update(ctx, data, data, sizeof(data)));
        CHECK(held->what & HELD_IV); /* and is not lost */
        held->what = HELD_IV;
        CHECK(works(ctx));
        drop(ctx);
    }
    ERR_clear_error();
}

/* A GCM context whose nonce has |iv_len| bytes, of which it was given none,
 * and which holds |what|. */
static void *context_that_holds(uint32_t what, size_t iv_len)
{
    void *ctx = context(1, 16), *copy = context(1, 16);
    struct cipher_held *held = held_of(copy);

    CHECK(held != NULL && (iv_len == 12 || set_iv_len(ctx, iv_len)));
    if (held != NULL) {
        held =
            (struct cipher_held *)((char *)ctx + ((char *)held - (char *)copy));
        held->what = what;
        held->encrypt = 1;
        held->aad_len = 5;
    }
    drop(copy);
    return ctx;
}

/*
 * What is held goes past the checks of a parameter: a fixed part for a nonce
 * of one byte would have all the heap behind it filled with random bytes, one
 * that is not noticed would let the nonce become shorter than its counter.
 */
static void only_what_can_be_held_is(void)
{
    static const uint32_t never[] = {HELD_FIXED_IV | HELD_DIRECTION,
                                     HELD_TAG_LEN,
                                     HELD_LENGTH,
                                     HELD_AAD,
                                     512,
                                     1U << 31,
                                     HELD_FIXED_IV};
    const size_t n = sizeof(never) / sizeof(never[0]);
    unsigned char data[32] = {0}, key[SIDES][32];
    void *ctx;

    pair_key(true, 16, key);
    for (size_t i = 0; i < n; i++) {
        /* The last one only where the nonce is too short for it. */
        for (size_t iv_len = 1; iv_len <= (i == n - 1 ? 1 : 12); iv_len += 11) {
            ctx = context_that_holds(never[i], iv_len);
            CHECK(!update(ctx, data, data, sizeof(data)));
            drop(ctx);
            ctx = context_that_holds(never[i], iv_len);
            CHECK(!FN(encrypt_init, OSSL_FUNC_CIPHER_ENCRYPT_INIT)(
                ctx, key[OURS], 16, NULL, 0, NULL));
            drop(ctx);
            ctx = context_that_holds(never[i], iv_len);
            CHECK(!get(ctx, OSSL_CIPHER_PARAM_AEAD_TLS1_GET_IV_GEN, data, 12));
            drop(ctx);
        }
    }
    ERR_clear_error();
}

/* The same by an init, which changes the nonce's length before the rest. */
static void a_part_fits_the_nonce_it_comes_with(void)
{
    unsigned char part[12] = "part of one";
    OSSL_PARAM fixed[] = {OSSL_PARAM_construct_octet_string(
                              OSSL_CIPHER_PARAM_AEAD_TLS1_IV_FIXED, part, 4),
                          OSSL_PARAM_END},
               inverse[] = {
                   OSSL_PARAM_construct_octet_string(
                       OSSL_CIPHER_PARAM_AEAD_TLS1_SET_IV_INV, part, 12),
                   OSSL_PARAM_END};
    void *ctx = context(1, 16);

    CHECK(!FN(encrypt_init, OSSL_FUNC_CIPHER_ENCRYPT_INIT)(ctx, NULL, 0, iv, 1,
                                                           fixed));
    CHECK(works(ctx));
    drop(ctx);
    ctx = context(0, 16);
    CHECK(set(ctx, OSSL_CIPHER_PARAM_AEAD_TLS1_IV_FIXED, part, 4));
    CHECK(!FN(decrypt_init, OSSL_FUNC_CIPHER_DECRYPT_INIT)(ctx, NULL, 0, iv, 8,
                                                           inverse));
    CHECK(works(ctx));
    drop(ctx);
    ERR_clear_error();
}

static bool inner_is_at_least_4(void)
{
    char *info = NULL;
    OSSL_PARAM params[] = {
        OSSL_PARAM_utf8_ptr(OSSL_PROV_PARAM_BUILDINFO, &info, 0),
        OSSL_PARAM_END};
    OSSL_PROVIDER *prov = OSSL_PROVIDER_load(NULL, "MPK");
    bool later = OSSL_PROVIDER_get_params(prov, params) && info != NULL &&
                 strstr(info, "OpenSSL 3.") == NULL;

    OSSL_PROVIDER_unload(prov);
    return later;
}

/* The random generator stays off the caller's stack: what GCM draws a nonce
 * for is another entry's. Cheated is the context that believes it has one. */
static void records_draw_no_nonce(void)
{
    unsigned char data[32] = {0}, drawn[12];
    struct cipher_held *held;
    void *ctx = context(1, 16);
    size_t n;

    held = held_of(ctx);
    CHECK(held != NULL);
    if (held != NULL) {
        held->what = 0;
        CHECK(!update(ctx, data, data, sizeof(data)));
        CHECK(!update(ctx, NULL, data, sizeof(data)));
        CHECK(!FN(cipher, OSSL_FUNC_CIPHER_CIPHER)(ctx, data, &n, sizeof(data),
                                                   data, sizeof(data)));
        CHECK(!FN(final, OSSL_FUNC_CIPHER_FINAL)(ctx, data, &n, sizeof(data)));
        /* Another entry: later ones make one up. */
        CHECK(!get(ctx, OSSL_CIPHER_PARAM_IV, drawn, sizeof(drawn)) ||
              inner_is_at_least_4());
    }
    CHECK(works(ctx));
    drop(ctx);
    ERR_clear_error();
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        size_t key_len, fixed_len;
    } cipher[] = {{"AES-128-GCM", 16, 4}, {"ChaCha20-Poly1305", 32, 12}};

    pair_seed(pair_seed_from(argc, argv));
    pair_start();
    for (size_t i = 0; i < sizeof(cipher) / sizeof(cipher[0]); i++) {
        use(cipher[i].name);
        if (domain_start == NULL) {
            find_domain();
        }
        buffers_must_be_outside(cipher[i].key_len, cipher[i].fixed_len);
        room_is_not_overrun(cipher[i].key_len, cipher[i].fixed_len);
    }
    use("AES-128-GCM");
    /* ChaCha20's may run inside (record_stack_test). */
    what_a_record_runs_on_is_no_buffer(16);
    a_nonce_is_no_way_in();
    what_is_held_is_looked_at();
    only_what_can_be_held_is();
    a_part_fits_the_nonce_it_comes_with();
    records_draw_no_nonce();
    a_nonce_is_no_way_out();
    return claims_end();
}
