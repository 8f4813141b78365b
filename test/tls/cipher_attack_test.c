/*
 * What an attacker who can call and write everything outside might try with a
 * cipher context: buffers in the domain, lengths that wrap, parameters longer
 * than what the inner cipher has room for, another object's handle, a changed
 * context. Nothing of it may read or write the domain.
 */
#include "../attack/module.h"
#include "../interop/kdf_ask.h"
#include "../unit/claims.h"
#include "cipher.h"
#include "pair.h"

#include <malloc.h>
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- the domain, as anybody can find it --------------------------------- */

static unsigned char *domain_start, *heap_end;

/* Mappings do not say where the domain begins: others may touch it, which a
 * sanitizer's do. The heap grows into a reservation of gigabytes. */
static void find_domain(void)
{
    FILE *f = fopen("/proc/self/maps", "r");
    unsigned char *domain_end = NULL;
    unsigned long start, end;
    char line[4096], perm[8];

    module_domain(&domain_start, &domain_end);
    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        if (sscanf(line, "%lx-%lx %7s", &start, &end, perm) == 3 &&
            end - start > 1UL << 30 && strcmp(perm, "---p") == 0 &&
            start >= (unsigned long)domain_start &&
            end <= (unsigned long)domain_end) {
            heap_end = (unsigned char *)start;
        }
    }
    if (f == NULL || heap_end == NULL) {
        puts("no domain is to be found");
        exit(1);
    }
    fclose(f);
}

/* ---- a context without EVP in between ----------------------------------- */

static const OSSL_DISPATCH *functions;
static void *provctx;

static void (*function(int id))(void)
{
    const OSSL_DISPATCH *d = functions;

    while (d->function_id != 0 && d->function_id != id) {
        d++;
    }
    return d->function;
}
#define FN(type, id) ((OSSL_FUNC_cipher_##type##_fn *)function(id))

static void use(const char *name)
{
    OSSL_PROVIDER *prov = OSSL_PROVIDER_load(NULL, "MPK");
    const OSSL_ALGORITHM *a;
    int no_cache;

    a = prov != NULL
            ? OSSL_PROVIDER_query_operation(prov, OSSL_OP_CIPHER, &no_cache)
            : NULL;
    while (a != NULL && a->algorithm_names != NULL &&
           strncasecmp(a->algorithm_names, name, strlen(name)) != 0) {
        a++;
    }
    if (a == NULL || a->algorithm_names == NULL) {
        printf("no %s\n", name);
        exit(1);
    }
    functions = a->implementation;
    provctx = OSSL_PROVIDER_get0_provider_ctx(prov);
}

static const unsigned char iv[12] = "nonce, twel";

static void *context(int encrypt, size_t key_len)
{
    void *ctx = FN(newctx, OSSL_FUNC_CIPHER_NEWCTX)(provctx);
    unsigned char key[SIDES][32];

    pair_key(true, key_len, key);
    if (encrypt) {
        CHECK(FN(encrypt_init, OSSL_FUNC_CIPHER_ENCRYPT_INIT)(
            ctx, key[OURS], key_len, NULL, 0, NULL));
    } else {
        CHECK(FN(decrypt_init, OSSL_FUNC_CIPHER_DECRYPT_INIT)(
            ctx, key[OURS], key_len, NULL, 0, NULL));
    }
    return ctx;
}

static void drop(void *ctx)
{
    FN(freectx, OSSL_FUNC_CIPHER_FREECTX)(ctx);
}

static int nonce(void *ctx)
{
    return FN(encrypt_init, OSSL_FUNC_CIPHER_ENCRYPT_INIT)(ctx, NULL, 0, iv,
                                                           sizeof(iv), NULL);
}

static int update(void *ctx, void *out, const void *in, size_t len)
{
    size_t n;

    return FN(update, OSSL_FUNC_CIPHER_UPDATE)(ctx, out, &n, len, in, len);
}

static int set(void *ctx, const char *name, void *data, size_t len)
{
    OSSL_PARAM params[] = {OSSL_PARAM_construct_octet_string(name, data, len),
                           OSSL_PARAM_END};

    return FN(set_ctx_params, OSSL_FUNC_CIPHER_SET_CTX_PARAMS)(ctx, params);
}

static int get(void *ctx, const char *name, void *data, size_t len)
{
    OSSL_PARAM params[] = {OSSL_PARAM_construct_octet_string(name, data, len),
                           OSSL_PARAM_END};

    return FN(get_ctx_params, OSSL_FUNC_CIPHER_GET_CTX_PARAMS)(ctx, params);
}

static int set_iv_len(void *ctx, size_t len)
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_size_t(OSSL_CIPHER_PARAM_AEAD_IVLEN, &len),
        OSSL_PARAM_END};

    return FN(set_ctx_params, OSSL_FUNC_CIPHER_SET_CTX_PARAMS)(ctx, params);
}

/* The context still does its work. */
static int works(void *ctx)
{
    unsigned char data[32] = {0};
    const unsigned char aad[5] = {23, 3, 3, 0, 32 + 16};

    return nonce(ctx) && update(ctx, NULL, aad, 5) &&
           update(ctx, data, data, sizeof(data));
}

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

/* ---- the entries of a record --------------------------------------------- */

static int64_t (*call)(uint32_t op, void *frame);

/* The number of a context stands near its start: generation and row, the only
 * word of that shape. */
static uint64_t *handle_of(void *ctx)
{
    uint64_t *word = ctx;

    for (size_t i = 1; i < 4; i++) {
        if ((word[i] >> 32) != 0 && (word[i] >> 32) < 1000 &&
            (uint32_t)word[i] < 100000) {
            return &word[i];
        }
    }
    CHECK(!"a context has a handle");
    return &word[1];
}

static unsigned char text[64];

/* A record that both entries take, with |change| made to it. */
static int record(void *ctx, void (*change)(struct cipher_record *r))
{
    int good = 0;

    for (uint32_t op = OP_cipher_record; op <= OP_cipher_record_deep; op++) {
        struct cipher_record r = {.handle = *handle_of(ctx),
                                  .in = text,
                                  .out = text,
                                  .len = sizeof(text),
                                  .encrypt = 1,
                                  .tag_len = CIPHER_TAG_MAX,
                                  .aad = {23, 3, 3, 0, 64 + 16}};

        change(&r);
        good += call(op, &r) == 1 && r.done;
    }
    return good;
}

static unsigned char *aim;

static void as_it_is(struct cipher_record *r)
{
    (void)r;
}
static void from_there(struct cipher_record *r)
{
    r->in = aim;
}
static void to_there(struct cipher_record *r)
{
    r->out = aim;
}
static void in_place_there(struct cipher_record *r)
{
    r->in = r->out = aim;
}
static void from_nowhere(struct cipher_record *r)
{
    r->in = NULL;
}
static void to_nowhere(struct cipher_record *r)
{
    r->out = NULL;
}
static void nothing_at_all(struct cipher_record *r)
{
    r->in = r->out = NULL;
    r->len = 0;
}
static void nothing_from_nowhere(struct cipher_record *r)
{
    r->in = NULL;
    r->len = 0;
}
static void nothing_to_nowhere(struct cipher_record *r)
{
    r->out = NULL;
    r->len = 0;
}
static void too_long(struct cipher_record *r)
{
    r->len = (size_t)0 - 1;
}
static void long_tag(struct cipher_record *r)
{
    r->tag_len = CIPHER_TAG_MAX + 1;
}
static void longer_tag_expected(struct cipher_record *r)
{
    r->encrypt = 0;
    r->tag_len = 0xffffffff;
}
static void of_tls12(struct cipher_record *r)
{
    r->is_tls12 = 1;
}
static void by_no_handle(struct cipher_record *r)
{
    r->handle = 0;
}
static void by_a_later_one(struct cipher_record *r)
{
    r->handle += (uint64_t)1 << 32;
}

/* As libssl has it; and then with each pointer, length and number of the frame
 * as somebody else would. Seen to fail without each condition of fits() in
 * cipher_record.c. */
static void a_record_is_looked_at(void)
{
    static void (*const changes[])(struct cipher_record *) = {
        from_nowhere,       to_nowhere,    nothing_at_all, nothing_from_nowhere,
        nothing_to_nowhere, too_long,      long_tag,       longer_tag_expected,
        by_no_handle,       by_a_later_one};
    unsigned char *const bad[] = {heap_end - 4096, heap_end, domain_start - 32,
                                  heap_end + (1UL << 29), (unsigned char *)-48};
    void *ctx = context(1, 16);

    call = (int64_t(*)(uint32_t, void *))module_find_symbol("mpk_call");
    CHECK(call != NULL && works(ctx));
    if (call == NULL) {
        return;
    }
    CHECK(record(ctx, as_it_is) == 2);
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        CHECK(record(ctx, changes[i]) == 0);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        aim = bad[i];
        CHECK(record(ctx, from_there) == 0);
        CHECK(record(ctx, to_there) == 0);
        CHECK(record(ctx, in_place_there) == 0);
    }
    CHECK(works(ctx));
    drop(ctx);

    /* Without a nonce to count from. */
    ctx = context(1, 16);
    CHECK(record(ctx, of_tls12) == 0);
    CHECK(works(ctx));
    drop(ctx);
    ERR_clear_error();
}

/* Whoever calls the gate himself does not get a cipher's key on his stack. */
static void no_cipher_runs_where_it_must_not(void)
{
#ifndef OPENSSL_NO_ARIA
    struct cipher_record r = {.in = text,
                              .out = text,
                              .len = sizeof(text),
                              .encrypt = 1,
                              .tag_len = CIPHER_TAG_MAX};
    void *ctx;

    use("ARIA-256-GCM");
    ctx = context(1, 32);
    r.handle = *handle_of(ctx);
    CHECK(call(OP_cipher_record, &r) == CIPHER_DEEP);
    CHECK(call(OP_cipher_record_deep, &r) == 1 && r.done);
    drop(ctx);
    use("AES-128-GCM");
#endif
}

/* Nor one whose code has there the tag that a message should have. */
static void no_tag_is_shown(void)
{
    static const unsigned char dtls[13] = {0, 0,  0,    0,    0, 0, 0,
                                           0, 23, 0xfe, 0xfd, 0, 48};
    struct cipher_record r = {.in = text,
                              .out = text,
                              .len = sizeof(text),
                              .is_tls12 = 1,
                              .tag_len = CIPHER_TAG_MAX};
    struct mpkprov_frame f = {.what = RUN_UPDATE,
                              .in = text,
                              .in_len = sizeof(text),
                              .out = text,
                              .out_len = sizeof(text)};
    int64_t ret;
    void *ctx;

    use("AES-128-CCM");
    ctx = context(0, 16);
    f.handle = r.handle = *handle_of(ctx);
    memcpy(r.aad, dtls, sizeof(dtls));
    CHECK(call(OP_cipher_record, &r) == CIPHER_DEEP);
    ret = call(OP_cipher_run, &f);
    /* Without AES-NI it never runs there. */
    CHECK(ret == CIPHER_DEEP ||
          (ret == 0 && strstr(f.error.text, "not on this stack") != NULL));
    drop(ctx);
    use("AES-128-GCM");
}

/* Where nonces begin is drawn ahead. When all are taken, the generator does not
 * run on the caller's stack. */
static void no_number_is_drawn_there(void)
{
    static const struct cipher_held held = {.what = HELD_FIXED_IV};
    void *ctx = context(1, 16);
    struct mpkprov_frame f = {.handle = *handle_of(ctx),
                              .what = RUN_NOTHING,
                              .in2 = &held,
                              .in2_len = sizeof(held)};
    int64_t ret = 1;

    for (int i = 0; i < 10000 && ret == 1; i++) {
        f.in2_len = sizeof(held);
        ret = call(OP_cipher_run, &f);
    }
    /* Without AES-NI nothing runs there. */
    CHECK(ret == CIPHER_DRAW || ret == CIPHER_DEEP);
    CHECK(call(OP_cipher_draw, &f) == 1);
    drop(ctx);
}

/* ---- the entries of a context -------------------------------------------- */

static void only_ciphers_that_there_are(void)
{
    static const int32_t type[] = {-1, CIPHER_SLOTS, -1000, 1 << 20};
    static const uint32_t op[] = {OP_cipher_init, OP_cipher_start,
                                  OP_cipher_set, OP_cipher_get, OP_cipher_info};

    for (size_t i = 0; i < sizeof(op) / sizeof(op[0]); i++) {
        for (size_t t = 0; t < sizeof(type) / sizeof(type[0]); t++) {
            struct mpkprov_frame f = {.type = type[t],
                                      .what = op[i] == OP_cipher_info ? 1 : -1};

            CHECK(call(op[i], &f) == 0);
            CHECK(strstr(f.error.text, "no such cipher") != NULL);
        }
    }
}

/* A nonce that is restored is as long as the one that there is. A shorter one
 * would be made longer by what is behind it, inside; and where there is no room
 * for a counter, that would be written before it. */
static void a_nonce_that_is_restored_fits(void)
{
    unsigned char nonces[256] = {7};

    for (size_t len = 1; len <= 12; len += 11) {
        void *ctx = context(1, 16);
        struct mpkprov_frame f = {.handle = *handle_of(ctx), .in = nonces};

        CHECK(len == 12 || set_iv_len(ctx, len));
        for (f.in_len = 0; f.in_len <= sizeof(nonces); f.in_len++) {
            size_t n = f.in_len;

            CHECK((call(OP_cipher_set, &f) == 1) == (n == 12 && len == 12));
            f.in_len = n;
        }
        drop(ctx);
    }
}

/* ---- a key of TLS, past the context outside ------------------------------ */

static void tls13_key(unsigned char handle[16])
{
    unsigned char secret[32], traffic[32];

    pair_bytes(secret, sizeof(secret));
    CHECK(ask_expand(NULL, "SHA2-256", secret, "client in", NONE, traffic,
                     sizeof(traffic)));
    CHECK(ask_expand(NULL, "SHA2-256", traffic, "key", NONE, handle, 16));
}

static void *context_of_tls13(void)
{
    void *ctx = FN(newctx, OSSL_FUNC_CIPHER_NEWCTX)(provctx);
    unsigned char key[16];

    tls13_key(key);
    CHECK(FN(encrypt_init, OSSL_FUNC_CIPHER_ENCRYPT_INIT)(ctx, key, 16, NULL, 0,
                                                          NULL));
    return ctx;
}

static void of_a_handshake(struct cipher_record *r)
{
    r->aad[0] = 22;
}
static void of_another_length(struct cipher_record *r)
{
    r->aad[4]--;
}
static void of_tls12_whole(struct cipher_record *r)
{
    r->is_tls12 = 1;
    r->aad[12] = sizeof(text) - 16;
}

static int takes_any_message(void *ctx)
{
    unsigned char data[32] = {0};
    int ok = nonce(ctx) && update(ctx, data, data, sizeof(data));

    ERR_clear_error();
    return ok;
}

static int counts_its_nonces(void *ctx)
{
    unsigned char fixed[4] = {1}, now[12];

    /* A question is what has it go in. */
    return set(ctx, OSSL_CIPHER_PARAM_AEAD_TLS1_IV_FIXED, fixed, 4) &&
           get(ctx, OSSL_CIPHER_PARAM_IV, now, sizeof(now));
}

/* A record's key is for nothing else, by whatever entry, nor is a copy's, nor
 * one that came with an init that failed. */
static void a_records_key_is_for_its_records(void)
{
    unsigned char fixed[200] = "fixed", key[16] = {1};
    OSSL_PARAM bad[] = {
        OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TLS1_IV_FIXED,
                                          fixed, sizeof(fixed)),
        OSSL_PARAM_END};
    void *ctx = context_of_tls13(), *copy;

    CHECK(record(ctx, as_it_is) == 2);
    CHECK(record(ctx, of_a_handshake) == 0);
    CHECK(record(ctx, of_another_length) == 0);
    CHECK(counts_its_nonces(ctx));
    CHECK(record(ctx, of_tls12_whole) == 0);
    copy = FN(dupctx, OSSL_FUNC_CIPHER_DUPCTX)(ctx);
    CHECK(copy != NULL && !takes_any_message(copy));
    drop(copy);
    CHECK(!takes_any_message(ctx));
    drop(ctx);

    /* Any other key is for what there is. */
    ctx = context(1, 16);
    CHECK(counts_its_nonces(ctx));
    CHECK(record(ctx, of_tls12_whole) == 2);
    CHECK(record(ctx, of_a_handshake) == 2);
    drop(ctx);

    ctx = FN(newctx, OSSL_FUNC_CIPHER_NEWCTX)(provctx);
    CHECK(FN(encrypt_init, OSSL_FUNC_CIPHER_ENCRYPT_INIT)(ctx, key, 16, NULL, 0,
                                                          NULL));
    CHECK(takes_any_message(ctx));
    tls13_key(key);
    CHECK(!FN(encrypt_init, OSSL_FUNC_CIPHER_ENCRYPT_INIT)(ctx, key, 16, NULL,
                                                           0, bad));
    CHECK(!takes_any_message(ctx));
    drop(ctx);
    ERR_clear_error();
}

static void another_handle_is_refused(void)
{
    void *ctx = context(1, 16);
    unsigned char data[32] = {0};
    uint64_t *handle = handle_of(ctx), mine = *handle;
    int taken = 0;
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, "provider=mpk", "ED25519");

    CHECK(key != NULL);
    for (uint32_t row = 1; row <= 256; row++) {
        for (uint64_t generation = 0; generation < 16; generation++) {
            *handle = generation << 32 | row;
            taken += *handle != mine && nonce(ctx) &&
                     update(ctx, data, data, sizeof(data));
        }
    }
    CHECK(taken == 0);
    *handle = mine;
    CHECK(works(ctx));
    EVP_PKEY_free(key);
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
    a_record_is_looked_at();
    no_cipher_runs_where_it_must_not();
    no_number_is_drawn_there();
    no_tag_is_shown();
    only_ciphers_that_there_are();
    a_nonce_that_is_restored_fits();
    a_records_key_is_for_its_records();
    another_handle_is_refused();
    a_nonce_is_no_way_out();
    return claims_end();
}
