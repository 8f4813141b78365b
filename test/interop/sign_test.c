/*
 * Signatures with all keys but RSA: each curve and digest, made by one side
 * and verified by the other, and what default refuses is refused.
 */

#include "interop.h"
#include "ops.h"

#include <openssl/core_names.h>
#include <stdlib.h>
#include <string.h>

static const char *const digests[] = {
    "SHA1",       "SHA224",   "SHA256",         "SHA384",   "SHA512",
    "SHA512-256", "SHA3-224", "SHA3-256",       "SHA3-512", "SHAKE256",
    "MD5",        "SM3",      "no-such-digest",
};
#define DIGESTS (sizeof(digests) / sizeof(digests[0]))

/* The answer of the reference; a bad signature is one for any version. */
static void check_same_verdict(int got, int want)
{
    CHECK_INT_AS_REF(got, want);
    CHECK_INT(got > 0, want > 0);
}

/* Every cut and every changed bit of this signature gets default's answer. */
static void check_rejects(EVP_PKEY *key, EVP_PKEY *ref, const char *md,
                          const void *msg, size_t len, struct bytes *sig)
{
    size_t full = sig->len;

    for (size_t i = 0; i < sig->len; i += 1 + sig->len / 16) {
        sig->data[i] ^= 0x40;
        check_same_verdict(digest_verify(key, md, NULL, msg, len, sig),
                           digest_verify(ref, md, NULL, msg, len, sig));
        sig->data[i] ^= 0x40;
    }
    for (sig->len = 0; sig->len < full; sig->len += 1 + full / 8) {
        check_same_verdict(digest_verify(key, md, NULL, msg, len, sig),
                           digest_verify(ref, md, NULL, msg, len, sig));
    }
    sig->len = full;
    if (len != 0) {
        check_same_verdict(digest_verify(key, md, NULL, msg, len - 1, sig),
                           digest_verify(ref, md, NULL, msg, len - 1, sig));
    }
    ERR_clear_error();
}

static void check_both_ways(EVP_PKEY *key, const struct key_type *type,
                            const char *md, const void *msg, size_t len)
{
    EVP_PKEY *ref = key_reference(type);
    struct bytes mine, theirs;

    CHECK_INT_AS_REF(digest_sign(key, md, NULL, msg, len, &mine),
                     digest_sign(ref, md, NULL, msg, len, &theirs));
    if (mine.data != NULL && theirs.data != NULL) {
        CHECK_QUEUE_EMPTY();
        CHECK_INT(digest_verify(ref, md, NULL, msg, len, &mine), 1);
        CHECK_INT(digest_verify(key, md, NULL, msg, len, &theirs), 1);
        CHECK_INT(digest_verify(key, md, NULL, msg, len, &mine), 1);
        CHECK_QUEUE_EMPTY();
        check_rejects(key, ref, md, msg, len, &theirs);
    }
    ERR_clear_error();
    bytes_free(&mine);
    bytes_free(&theirs);
}

static void check_prehash(EVP_PKEY *key, const struct key_type *type,
                          const char *md, size_t len)
{
    EVP_PKEY *ref = key_reference(type);
    OSSL_PARAM params[2] = {OSSL_PARAM_END, OSSL_PARAM_END};
    unsigned char tbs[128];
    struct bytes mine, theirs;

    if (md != NULL) {
        params[0] = OSSL_PARAM_construct_utf8_string(
            OSSL_SIGNATURE_PARAM_DIGEST, (char *)md, 0);
    }
    fill(tbs, sizeof(tbs), 9);
    CHECK_INT(prehash_sign(key, params, tbs, len, &mine),
              prehash_sign(ref, params, tbs, len, &theirs));
    if (mine.data != NULL && theirs.data != NULL) {
        CHECK_INT(prehash_verify(ref, params, tbs, len, &mine), 1);
        CHECK_INT(prehash_verify(key, params, tbs, len, &theirs), 1);
        tbs[0] ^= 1;
        CHECK_INT(prehash_verify(key, params, tbs, len, &theirs),
                  prehash_verify(ref, params, tbs, len, &theirs));
    }
    ERR_clear_error();
    bytes_free(&mine);
    bytes_free(&theirs);
}

/* Where default takes nonces from the key and the message (since OpenSSL 3.2),
 * a protected key makes the same signature. */
static void test_no_random_nonce_if_none_is_wanted(EVP_PKEY *key,
                                                   const struct key_type *type)
{
    EVP_PKEY *ref = key_reference(type);
    unsigned from_message = 1;
    const OSSL_PARAM params[] = {OSSL_PARAM_uint("nonce-type", &from_message),
                                 OSSL_PARAM_END};
    struct bytes mine, theirs, again;

    interop_subject("%s without random numbers", type->label);
    CHECK(digest_sign(key, type->md, params, "x", 1, &mine));
    CHECK(digest_sign(ref, type->md, params, "x", 1, &theirs));
    CHECK(digest_sign(ref, type->md, params, "x", 1, &again));
    if (theirs.len == again.len &&
        memcmp(theirs.data, again.data, again.len) == 0) {
        CHECK_MEM(mine.data, mine.len, theirs.data, theirs.len);
    }
    bytes_free(&mine);
    bytes_free(&theirs);
    bytes_free(&again);
}

/* |turn| differs from type to type. */
static void test_digests(EVP_PKEY *key, const struct key_type *type,
                         size_t turn)
{
    static const char msg[] = "The quick brown fox";

    for (size_t i = 0; i < DIGESTS; i++) {
        if (!interop_in_turn(turn + i)) {
            continue;
        }
        interop_subject("%s with %s", type->label, digests[i]);
        check_both_ways(key, type, digests[i], msg, sizeof(msg));
        check_both_ways(key, type, digests[i], "", 0);
    }
    interop_subject("%s with the default digest", type->label);
    check_both_ways(key, type, NULL, msg, sizeof(msg));
}

static void test_prehashed_input(EVP_PKEY *key, const struct key_type *type,
                                 size_t turn)
{
    static const size_t lengths[] = {0, 1, 20, 31, 32, 33, 48, 64, 65, 128};

    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        if (!interop_in_turn(turn + i)) {
            continue;
        }
        interop_subject("%s over %zu bytes", type->label, lengths[i]);
        check_prehash(key, type, NULL, lengths[i]);
        check_prehash(key, type, "SHA256", lengths[i]);
        check_prehash(key, type, "SHA512", lengths[i]);
    }
}

static void test_oneshot_equals_default(EVP_PKEY *key,
                                        const struct key_type *type)
{
    static const size_t lengths[] = {0, 1, 63, 64, 4095, 65537, 1 << 20};
    unsigned char *msg = interop_new(1 << 20);
    int one = 1;
    OSSL_PARAM unhedged[] = {OSSL_PARAM_int("deterministic", &one),
                             OSSL_PARAM_END};
    const OSSL_PARAM *params = type->can & KEY_HEDGED ? unhedged : NULL;
    struct bytes mine, theirs;

    fill(msg, 1 << 20, 5);
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        interop_subject("%s over %zu bytes", type->label, lengths[i]);
        CHECK(digest_sign(key, NULL, params, msg, lengths[i], &mine));
        CHECK(digest_sign(key_reference(type), NULL, params, msg, lengths[i],
                          &theirs));
        CHECK_MEM(mine.data, mine.len, theirs.data, theirs.len);
        bytes_free(&mine);
        bytes_free(&theirs);
        check_both_ways(key, type, NULL, msg, lengths[i]);
    }
    free(msg);
}

/* They hash inside: a digest and a stream are both refused. */
static void
test_oneshot_refuses_what_default_refuses(EVP_PKEY *key,
                                          const struct key_type *type)
{
    EVP_MD_CTX *got = EVP_MD_CTX_new();
    EVP_MD_CTX *want = EVP_MD_CTX_new();
    EVP_PKEY *ref = key_reference(type);

    for (size_t i = 0; i < DIGESTS; i++) {
        int theirs;

        interop_subject("%s with %s", type->label, digests[i]);
        theirs = EVP_DigestSignInit_ex(want, NULL, digests[i], interop_ref(),
                                       NULL, ref, NULL);
        ERR_clear_error();
        CHECK_INT(
            EVP_DigestSignInit_ex(got, NULL, digests[i], NULL, NULL, key, NULL),
            theirs);
        CHECK_QUEUE_FILLED();
    }
    interop_subject("%s as a stream", type->label);
    CHECK_INT(EVP_DigestSignInit_ex(got, NULL, NULL, NULL, NULL, key, NULL), 1);
    CHECK_INT(EVP_DigestSignUpdate(got, "x", 1), 0);
    CHECK_QUEUE_FILLED();
    EVP_MD_CTX_free(got);
    EVP_MD_CTX_free(want);
    check_prehash(key, type, NULL, 64);
}

static void test_context_answers_like_default(EVP_PKEY *key,
                                              const struct key_type *type,
                                              const char *md)
{
    EVP_MD_CTX *got = EVP_MD_CTX_new();
    EVP_MD_CTX *want = EVP_MD_CTX_new();
    EVP_PKEY_CTX *got_key = NULL;
    EVP_PKEY_CTX *want_key = NULL;
    const EVP_MD *a = NULL, *b = NULL;

    interop_subject("%s context with %s", type->label, md != NULL ? md : "-");
    CHECK_INT(EVP_DigestSignInit_ex(got, &got_key, md, NULL, NULL, key, NULL),
              EVP_DigestSignInit_ex(want, &want_key, md, interop_ref(), NULL,
                                    key_reference(type), NULL));
    check_same_ctx_params(got_key, want_key);
    CHECK_INT(EVP_PKEY_CTX_get_signature_md(got_key, &a),
              EVP_PKEY_CTX_get_signature_md(want_key, &b));
    CHECK((a == NULL) == (b == NULL));
    if (a != NULL && b != NULL) {
        CHECK_STR(EVP_MD_get0_name(a), EVP_MD_get0_name(b));
    }
    CHECK_INT_AS_REF(EVP_PKEY_CTX_set_signature_md(got_key, EVP_sha384()),
                     EVP_PKEY_CTX_set_signature_md(want_key, EVP_sha384()));
    ERR_clear_error();
    EVP_MD_CTX_free(got);
    EVP_MD_CTX_free(want);
}

static int recover_init(EVP_PKEY *key)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(side_of(key), key, NULL);
    int ret = EVP_PKEY_verify_recover_init(ctx);

    ERR_clear_error();
    EVP_PKEY_CTX_free(ctx);
    return ret;
}

/* That a type has no such operation is said by -2. Seen to fail with one table
 * of functions for all. */
static void test_recovery_is_for_rsa(EVP_PKEY *key, const struct key_type *type)
{
    interop_subject("%s, what was signed is to be recovered", type->label);
    CHECK_INT(recover_init(key), recover_init(key_reference(type)));
}

/*
 * Until OpenSSL 3.4 a digest without a length of its own may be signed, and has
 * room for 64 bytes on the stack, whatever was set. Seen to end the process.
 */
static void test_no_digest_is_longer_than_its_room(EVP_PKEY *key)
{
    static const unsigned char text[] = "m";
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    size_t len = 4000, sig_len = 1024;
    unsigned char sig[1024];
    OSSL_PARAM params[] = {OSSL_PARAM_size_t(OSSL_DIGEST_PARAM_XOFLEN, &len),
                           OSSL_PARAM_END};

    if (EVP_DigestSignInit_ex(ctx, NULL, "SHAKE128", NULL, NULL, key, NULL) >
        0) {
        CHECK(EVP_MD_CTX_set_params(ctx, params) <= 0);
        CHECK_QUEUE_FILLED();
        CHECK(EVP_DigestSign(ctx, sig, &sig_len, text, 1) > 0);
    }
    CHECK(EVP_DigestSignInit_ex(ctx, NULL, "SHAKE128", NULL, NULL, key,
                                params) <= 0);
    ERR_clear_error();
    EVP_MD_CTX_free(ctx);
}

static void test_type(const struct key_type *type, size_t turn)
{
    EVP_PKEY *key = key_load(type);

    interop_subject("%s", type->label);
    CHECK_HELD(key);
    test_recovery_is_for_rsa(key, type);
    test_context_answers_like_default(key, type, type->md);
    if (type->md == NULL) {
        test_oneshot_equals_default(key, type);
        test_oneshot_refuses_what_default_refuses(key, type);
    } else {
        test_no_random_nonce_if_none_is_wanted(key, type);
        test_no_digest_is_longer_than_its_room(key);
        test_digests(key, type, turn);
        test_prehashed_input(key, type, turn);
        if (type->id != EVP_PKEY_SM2) { /* which fails with it */
            test_context_answers_like_default(key, type, "SHA1");
        }
        test_context_answers_like_default(key, type, NULL);
    }
    EVP_PKEY_free(key);
}

int main(void)
{
    const struct key_type *type;

    interop_start();
    for (size_t i = 0; (type = key_type_at(i)) != NULL; i++) {
        if ((type->can & KEY_SIGNS) && type->bits == 0) {
            test_type(type, i);
        }
    }
    return interop_finish();
}
