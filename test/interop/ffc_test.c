/*
 * Parameters of DSA and DH that the inner OpenSSL believes: the name of a
 * digest, to which it keeps a pointer, and lengths that it has no room for.
 *
 * Seen to fail: without ffc_digest.c (the key gives out what lies where the
 * name was), and without is_too_long and is_hash_too_short in params.c (the
 * process ends: a stack was written past the end of a variable).
 */
#include "interop.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <string.h>

/* Of 1,024 bits, and as many as |q_bytes| say; no primes. */
struct ffc {
    const char *type, *digest;
    size_t q_bytes, seed_bytes;
};

static EVP_PKEY *parameters(const struct ffc *f)
{
    static unsigned char seed[1024];
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *ctx =
        EVP_PKEY_CTX_new_from_name(NULL, f->type, "provider=mpk");
    BIGNUM *p = BN_new(), *q = BN_new(), *g = BN_new();
    OSSL_PARAM *params;
    EVP_PKEY *key = NULL;

    CHECK(BN_set_bit(p, 2047) && BN_set_bit(p, 0) &&
          BN_set_bit(q, 8 * (int)f->q_bytes - 1) && BN_set_bit(q, 0) &&
          BN_set_word(g, 2) && OSSL_PARAM_BLD_push_BN(bld, "p", p) &&
          OSSL_PARAM_BLD_push_BN(bld, "q", q) &&
          OSSL_PARAM_BLD_push_BN(bld, "g", g));
    if (f->digest != NULL) {
        CHECK(OSSL_PARAM_BLD_push_utf8_string(bld, "digest", f->digest, 0));
    }
    if (f->seed_bytes != 0) {
        CHECK(OSSL_PARAM_BLD_push_octet_string(bld, "seed", seed,
                                               f->seed_bytes) &&
              OSSL_PARAM_BLD_push_int(bld, "pcounter", 1));
    }
    params = OSSL_PARAM_BLD_to_param(bld);
    CHECK(EVP_PKEY_fromdata_init(ctx) > 0);
    EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEY_PARAMETERS, params);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(bld);
    EVP_PKEY_CTX_free(ctx);
    BN_free(p);
    BN_free(q);
    BN_free(g);
    return key;
}

/* From 4.0 on the default provider's keys do not tell it either. */
static bool may_be_silent(void)
{
    return OpenSSL_version_num() >= 0x40000000UL;
}

static void check_answer(EVP_PKEY *key, const char *name, const char *want)
{
    char got[256] = "";
    OSSL_PARAM ask[] = {
        OSSL_PARAM_construct_utf8_string((char *)name, got, sizeof(got)),
        OSSL_PARAM_END};

    EVP_PKEY_get_params(key, ask);
    CHECK_STR(got, *got == '\0' && may_be_silent() ? "" : want);
    ERR_clear_error();
}

/* Others come to lie where the name was. */
static void test_the_digest_of_a_key_is_a_digest(const char *type)
{
    struct ffc f = {type, "SHA2-256", 32, 0};
    EVP_PKEY *key = parameters(&f), *others[50];

    interop_subject("%s", type);
    CHECK(key != NULL);
    for (int i = 0; i < 50; i++) {
        f.digest = i % 2 ? "SHA2-384" : "SHA2-512";
        others[i] = parameters(&f);
        CHECK(others[i] != NULL);
    }
    check_answer(key, OSSL_PKEY_PARAM_FFC_DIGEST, "SHA2-256");
    for (int i = 0; i < 50; i++) {
        EVP_PKEY_free(others[i]);
    }
    EVP_PKEY_free(key);
    f.digest = "no-such-digest";
    key = parameters(&f); /* some versions take it, for none */
    if (key != NULL) {
        check_answer(key, OSSL_PKEY_PARAM_FFC_DIGEST, "");
    }
    ERR_clear_error();
    EVP_PKEY_free(key);
}

static void test_q_is_no_longer_than_a_digest(const char *type)
{
    struct ffc f = {type, NULL, 64, 64};
    EVP_PKEY *key = parameters(&f);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, "provider=mpk");

    interop_subject("%s with a long q", type);
    CHECK(EVP_PKEY_param_check(ctx) <= 0);
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(key);
    f.q_bytes = 200;
    key = parameters(&f);
    CHECK(key == NULL);
    CHECK_QUEUE_FILLED();
    ctx = key != NULL ? EVP_PKEY_CTX_new_from_pkey(NULL, key, "provider=mpk")
                      : NULL;
    CHECK(ctx == NULL || EVP_PKEY_param_check(ctx) <= 0);
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(key);
    f.seed_bytes = 0;
    key = parameters(&f);
    CHECK(key != NULL);
    EVP_PKEY_free(key);
}

static void test_nor_one_that_is_made(const char *type)
{
    static unsigned char seed[1000];
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, "provider=mpk");
    size_t pbits = 2048, qbits = 1600;
    char fips[] = "fips186_4";
    OSSL_PARAM params[] = {
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_FFC_TYPE, fips,
                               sizeof(fips) - 1),
        OSSL_PARAM_size_t(OSSL_PKEY_PARAM_FFC_PBITS, &pbits),
        OSSL_PARAM_size_t(OSSL_PKEY_PARAM_FFC_QBITS, &qbits),
        OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_FFC_SEED, seed, sizeof(seed)),
        OSSL_PARAM_END};
    EVP_PKEY *key = NULL;

    interop_subject("%s is made with a long q", type);
    CHECK(EVP_PKEY_paramgen_init(ctx) > 0);
    if (!CHECK(EVP_PKEY_CTX_set_params(ctx, params) <= 0)) {
        EVP_PKEY_paramgen(ctx, &key);
    }
    ERR_clear_error();
    EVP_PKEY_free(key);
    EVP_PKEY_CTX_free(ctx);
}

int main(void)
{
    static const char *const types[] = {"DSA", "DHX"};

    interop_start();
    for (size_t i = 0; i < 2 && interop_protected(); i++) {
        test_the_digest_of_a_key_is_a_digest(types[i]);
        test_q_is_no_longer_than_a_digest(types[i]);
        test_nor_one_that_is_made(types[i]);
    }
    return interop_finish();
}
