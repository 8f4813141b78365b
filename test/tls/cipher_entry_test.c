/*
 * What an attacker might try with the entries of ciphers themselves: frames of
 * a record with each pointer, length and number as he likes, ciphers that there
 * are not, another object's handle, and a key of TLS for something else.
 * Nothing of it may read or write the domain, or give a key another use.
 */
#include "../attack/module.h"
#include "../interop/kdf_ask.h"
#include "../unit/claims.h"
#include "attack_cipher.h"
#include "cipher.h"
#include "pair.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <string.h>

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
    struct mpkprov_frame f = {.what = RUN_UPDATE,
                              .in = text,
                              .in_len = sizeof(text),
                              .out = text,
                              .out_len = sizeof(text)};
    const unsigned char raw[32] = {1};
    void *ctx;

    use("ARIA-256-GCM");
    ctx = context(1, 32);
    r.handle = *handle_of(ctx);
    CHECK(call(OP_cipher_record, &r) == CIPHER_DEEP);
    CHECK(call(OP_cipher_record_deep, &r) == 1 && r.done);
    drop(ctx);
    ctx = FN(newctx, OSSL_FUNC_CIPHER_NEWCTX)(provctx);
    CHECK(FN(encrypt_init, OSSL_FUNC_CIPHER_ENCRYPT_INIT)(ctx, raw, 32, iv, 12,
                                                          NULL));
    f.handle = *handle_of(ctx);
    CHECK(call(OP_cipher_run, &f) == CIPHER_DEEP);
    CHECK(call(OP_cipher_draw, &f) == 1);
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
    pair_seed(pair_seed_from(argc, argv));
    pair_start();
    use("AES-128-GCM");
    find_domain();
    a_record_is_looked_at();
    no_cipher_runs_where_it_must_not();
    no_number_is_drawn_there();
    no_tag_is_shown();
    only_ciphers_that_there_are();
    a_nonce_that_is_restored_fits();
    a_records_key_is_for_its_records();
    another_handle_is_refused();
    return claims_end();
}
