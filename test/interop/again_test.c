/*
 * The second time: what makes a signing context waits when it has worked for
 * the key before, and goes in with the signature (docs/design/recipes.md). So
 * everything that can be done to such a context is done here after its like
 * has been used once, and the default provider judges the result.
 */

#include "interop.h"
#include "ops.h"

#include <openssl/core_names.h>
#include <openssl/rsa.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const unsigned char message[] = "what is signed again";
#define LEN (sizeof(message) - 1)

struct pss {
    int padding; /* 0: none is set */
    int salt;
};

static EVP_MD_CTX *begin(EVP_PKEY *key, const char *md, struct pss pss)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx = NULL;

    CHECK_INT(EVP_DigestSignInit_ex(ctx, &pctx, md, NULL, NULL, key, NULL), 1);
    if (pss.padding != 0) {
        CHECK_INT(EVP_PKEY_CTX_set_rsa_padding(pctx, pss.padding), 1);
        CHECK_INT(EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, pss.salt), 1);
    }
    return ctx;
}

/* The reference verifies with exactly these parameters. */
static int verify(const struct key_type *type, const char *md, struct pss pss,
                  const unsigned char *sig, size_t len)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx = NULL;
    int ret = -2;

    if (EVP_DigestVerifyInit_ex(ctx, &pctx, md, interop_ref(), NULL,
                                key_reference(type), NULL) > 0 &&
        (pss.padding == 0 ||
         (EVP_PKEY_CTX_set_rsa_padding(pctx, pss.padding) > 0 &&
          EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, pss.salt) > 0))) {
        ret = EVP_DigestVerify(ctx, sig, len, message, LEN);
    }
    EVP_MD_CTX_free(ctx);
    return ret;
}

/* Ends |ctx| with a signature of all of the message. */
static void finish(EVP_MD_CTX *ctx, const struct key_type *type, const char *md,
                   struct pss pss)
{
    unsigned char sig[KEY_SIG_MAX];
    size_t len = sizeof(sig);

    if (CHECK_INT(EVP_DigestSign(ctx, sig, &len, message, LEN), 1)) {
        CHECK_INT(verify(type, md, pss, sig, len), 1);
    }
    CHECK_QUEUE_EMPTY();
    EVP_MD_CTX_free(ctx);
}

static void test_signs_again_and_again(EVP_PKEY *key,
                                       const struct key_type *type)
{
    struct pss none = {0, 0};

    for (int i = 0; i < 3; i++) {
        finish(begin(key, type->md, none), type, type->md, none);
    }
}

/* Salt lengths differ only in a value; a recipe must not be taken for another.
 */
static void test_parameters_are_not_mixed_up(EVP_PKEY *key,
                                             const struct key_type *type)
{
    static const struct pss pss[] = {
        {RSA_PKCS1_PSS_PADDING, 32}, {RSA_PKCS1_PSS_PADDING, 20}, {0, 0}};

    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < sizeof(pss) / sizeof(pss[0]); i++) {
            finish(begin(key, "SHA256", pss[i]), type, "SHA256", pss[i]);
            finish(begin(key, "SHA384", pss[i]), type, "SHA384", pss[i]);
        }
    }
}

/* As libssl does with its first context. */
static void test_unused_contexts_are_no_trouble(EVP_PKEY *key,
                                                const struct key_type *type)
{
    struct pss none = {0, 0};

    for (int i = 0; i < 20; i++) {
        EVP_MD_CTX_free(begin(key, type->md, none));
    }
    CHECK_QUEUE_EMPTY();
    finish(begin(key, type->md, none), type, type->md, none);
}

static void test_updates_settle(EVP_PKEY *key, const struct key_type *type)
{
    EVP_MD_CTX *ctx = begin(key, type->md, (struct pss){0, 0});
    unsigned char sig[KEY_SIG_MAX];
    size_t len = sizeof(sig);

    CHECK_INT(EVP_DigestSignUpdate(ctx, message, 5), 1);
    CHECK_INT(EVP_DigestSignUpdate(ctx, message + 5, LEN - 5), 1);
    CHECK_INT(EVP_DigestSignFinal(ctx, sig, &len), 1);
    CHECK_INT(verify(type, type->md, (struct pss){0, 0}, sig, len), 1);
    CHECK_QUEUE_EMPTY();
    EVP_MD_CTX_free(ctx);
}

static void test_a_copy_waits_too(EVP_PKEY *key, const struct key_type *type)
{
    struct pss none = {0, 0};
    EVP_MD_CTX *ctx = begin(key, type->md, none);
    EVP_MD_CTX *copy = EVP_MD_CTX_new();

    CHECK_INT(EVP_MD_CTX_copy_ex(copy, ctx), 1);
    finish(ctx, type, type->md, none);
    finish(copy, type, type->md, none);
}

static EVP_MD_CTX *shared;
static int not_copied;

static void *copy_shared(void *arg)
{
    for (int i = 0; i < 2000; i++) {
        EVP_MD_CTX *copy = EVP_MD_CTX_new();

        if (EVP_MD_CTX_copy_ex(copy, shared) != 1) {
            __atomic_fetch_add(&not_copied, 1, __ATOMIC_RELAXED);
            ERR_clear_error();
        }
        EVP_MD_CTX_free(copy);
    }
    return arg;
}

/* As a server that signs with a common beginning does. Seen to fail with the
 * original pinned exclusively. */
static void test_threads_copy_one_context(EVP_PKEY *key,
                                          const struct key_type *type)
{
    pthread_t thread[3];

    not_copied = 0;
    shared = begin(key, type->md, (struct pss){0, 0});
    CHECK_INT(EVP_DigestSignUpdate(shared, message, LEN), 1);
    for (int i = 0; i < 3; i++) {
        CHECK_INT(pthread_create(&thread[i], NULL, copy_shared, NULL), 0);
    }
    for (int i = 0; i < 3; i++) {
        CHECK_INT(pthread_join(thread[i], NULL), 0);
    }
    CHECK_INT(not_copied, 0);
    EVP_MD_CTX_free(shared);
}

static EVP_PKEY *changing;
static unsigned signed_meanwhile;
static _Atomic int all_changed;

static void *sign_with_it(void *arg)
{
    unsigned char sig[KEY_SIG_MAX];

    while (!all_changed) {
        EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        size_t len = sizeof(sig);

        if (EVP_DigestSignInit_ex(ctx, NULL, "SHA256", NULL, NULL, changing,
                                  NULL) == 1 &&
            EVP_DigestSign(ctx, sig, &len, message, LEN) == 1) {
            __atomic_fetch_add(&signed_meanwhile, 1, __ATOMIC_RELAXED);
        }
        ERR_clear_error();
        EVP_MD_CTX_free(ctx);
    }
    return arg;
}

/* While a key is changed nobody else can have it, and the other way round: each
 * may be refused. Seen to end in free(), with what the key had said freed as
 * soon as it was changed. */
static void test_a_key_is_changed_meanwhile(void)
{
    const struct key_type *type = key_type_find("P-256");
    pthread_t thread[4];

    changing = key_load(type);
    for (int i = 0; i < 4; i++) {
        CHECK_INT(pthread_create(&thread[i], NULL, sign_with_it, NULL), 0);
    }
    for (int i = 0; i < 4000; i++) {
        struct timespec pause = {0, 20000};

        nanosleep(&pause, NULL);
        EVP_PKEY_set_utf8_string_param(
            changing, OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT,
            "uncompressed");
        ERR_clear_error();
    }
    all_changed = 1;
    for (int i = 0; i < 4; i++) {
        CHECK_INT(pthread_join(thread[i], NULL), 0);
    }
    CHECK(signed_meanwhile > 100);
    EVP_PKEY_free(changing);
}

/* There is nothing in it to copy, and that is no error. Seen to fail with one
 * that has to be ready. */
static void test_copy_after_a_failed_init(EVP_PKEY *key,
                                          const struct key_type *type)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new(), *copy = EVP_MD_CTX_new();
    /* RSA and SM2 do not take this digest, the others do. */
    if (EVP_DigestSignInit_ex(ctx, NULL, "SHAKE256", NULL, NULL, key, NULL) >
        0) {
        EVP_MD_CTX_free(copy);
        EVP_MD_CTX_free(ctx);
        return;
    }
    ERR_clear_error();
    CHECK_INT(EVP_MD_CTX_copy_ex(copy, ctx), 1);
    CHECK_QUEUE_EMPTY();
    CHECK(EVP_DigestSignUpdate(copy, message, 1) <= 0);
    ERR_clear_error();
    CHECK_INT(
        EVP_DigestSignInit_ex(copy, NULL, type->md, NULL, NULL, key, NULL), 1);
    finish(copy, type, type->md, (struct pss){0, 0});
    EVP_MD_CTX_free(ctx);
}

static void test_parameters_can_be_read(EVP_PKEY *key,
                                        const struct key_type *type)
{
    struct pss pss = {RSA_PKCS1_PSS_PADDING, 20};
    EVP_MD_CTX *ctx = begin(key, "SHA256", pss);
    int padding = 0, salt = 0;

    CHECK(EVP_PKEY_CTX_get_rsa_padding(EVP_MD_CTX_get_pkey_ctx(ctx), &padding) >
          0);
    CHECK(EVP_PKEY_CTX_get_rsa_pss_saltlen(EVP_MD_CTX_get_pkey_ctx(ctx),
                                           &salt) > 0);
    CHECK_INT(padding, RSA_PKCS1_PSS_PADDING);
    CHECK_INT(salt, 20);
    finish(ctx, type, "SHA256", pss);
}

/* One that is good, and then another with something in it that is not. */
static void test_errors_come_where_they_did(EVP_PKEY *key)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx = NULL;

    CHECK(EVP_DigestSignInit_ex(ctx, NULL, "no-such-digest", NULL, NULL, key,
                                NULL) <= 0);
    CHECK_QUEUE_FILLED();
    CHECK_INT(
        EVP_DigestSignInit_ex(ctx, &pctx, "SHA256", NULL, NULL, key, NULL), 1);
    CHECK(EVP_PKEY_CTX_set_rsa_padding(pctx, 77) <= 0);
    ERR_clear_error();
    EVP_MD_CTX_free(ctx);
}

/* The key is gone for its owner, not for the contexts that wait. */
static void test_a_freed_key_still_signs(const struct key_type *type)
{
    struct pss none = {0, 0};
    EVP_PKEY *key = key_load(type);
    EVP_MD_CTX *ctx;

    finish(begin(key, type->md, none), type, type->md, none);
    ctx = begin(key, type->md, none);
    EVP_PKEY_free(key);
    finish(ctx, type, type->md, none);
}

/* What is kept of one key says nothing of another. */
static void test_keys_are_not_mixed_up(void)
{
    const struct key_type *p256 = key_type_find("P-256");
    const struct key_type *p384 = key_type_find("P-384");
    EVP_PKEY *a = key_load(p256), *b = key_load(p384);
    char group[64];
    size_t len;

    for (int i = 0; i < 3; i++) {
        finish(begin(a, "SHA256", (struct pss){0, 0}), p256, "SHA256",
               (struct pss){0, 0});
        finish(begin(b, "SHA256", (struct pss){0, 0}), p384, "SHA256",
               (struct pss){0, 0});
        CHECK_INT(EVP_PKEY_get_group_name(a, group, sizeof(group), &len), 1);
        CHECK_STR(group, "prime256v1");
        CHECK_INT(EVP_PKEY_get_group_name(b, group, sizeof(group), &len), 1);
        CHECK_STR(group, "secp384r1");
        CHECK_INT(EVP_PKEY_get_group_name(b, group, 10, &len), 1);
        CHECK_STR(group, "secp384r1");
        CHECK_INT(EVP_PKEY_get_group_name(b, group, 4, &len), 0);
        ERR_clear_error();
    }
    EVP_PKEY_free(a);
    EVP_PKEY_free(b);
}

/*
 * What worked with one key works with the next of its kind: its first signature
 * is one crossing too. RSA-PSS keys have restrictions, DSA keys parameters, and
 * SM2 keys identities, of their own: each is the only one of its kind.
 */
static void test_a_kind_learns_once(const struct key_type *type)
{
    struct pss none = {0, 0};
    EVP_PKEY *key = key_load(type);
    long long before = interop_crossings("mpk"), n;
    unsigned char sig[KEY_SIG_MAX];
    size_t len = sizeof(sig);
    EVP_MD_CTX *ctx = begin(key, type->md, none);

    CHECK_INT(EVP_DigestSign(ctx, sig, &len, message, LEN), 1);
    n = interop_crossings("mpk") - before;
    if (EVP_PKEY_is_a(key, "RSA-PSS") || EVP_PKEY_is_a(key, "DSA") ||
        EVP_PKEY_is_a(key, "SM2")) {
        CHECK(n > 1);
    } else {
        CHECK_INT(n, 1);
    }
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
}

/* The blocks that a signature leaves inside as long as its context lives. */
static long long left_by(EVP_PKEY *key, const struct key_type *type,
                         const char *md, struct pss pss)
{
    unsigned char sig[KEY_SIG_MAX];
    EVP_MD_CTX *ctx[3];
    long long before = 0;

    /* The first teaches, and the second takes along those that have ended. */
    for (int i = 0; i < 3; i++) {
        size_t len = sizeof(sig);

        ctx[i] = begin(key, md, pss);
        before = i == 2 ? interop_blocks("mpk") : 0;
        CHECK_INT(EVP_DigestSign(ctx[i], sig, &len, message, LEN), 1);
        CHECK_INT(verify(type, md, pss, sig, len), 1);
    }
    before = interop_blocks("mpk") - before;
    for (int i = 0; i < 3; i++) {
        EVP_MD_CTX_free(ctx[i]);
    }
    return before;
}

/* What libssl signs takes no context inside; all else does. */
static void test_signatures_of_tls_leave_nothing(EVP_PKEY *key,
                                                 const struct key_type *type,
                                                 int rsa)
{
    static const struct pss none = {0, 0}, other = {RSA_PKCS1_PSS_PADDING, 20};
    static const struct pss pss = {RSA_PKCS1_PSS_PADDING,
                                   RSA_PSS_SALTLEN_DIGEST};

    CHECK_INT(left_by(key, type, "SHA256", none), 0);
    CHECK_INT(left_by(key, type, "SHA2-384", none), 0);
    CHECK(left_by(key, type, "SHA512", none) > 0);
    CHECK(left_by(key, type, "SHA1", none) > 0);
    if (rsa) {
        CHECK_INT(left_by(key, type, "SHA256", pss), 0);
        CHECK_INT(left_by(key, type, "SHA384", pss), 0);
        CHECK(left_by(key, type, "SHA256", other) > 0);
        CHECK(left_by(key, type, "SHA512", pss) > 0);
    }
}

/* As for any other: what is asked for or added after it makes a context. */
static void test_a_signature_of_tls_goes_on(EVP_PKEY *key,
                                            const struct key_type *type)
{
    struct pss none = {0, 0};
    EVP_MD_CTX *ctx, *copy = EVP_MD_CTX_new();
    unsigned char sig[KEY_SIG_MAX], id[64];
    OSSL_PARAM ask[] = {OSSL_PARAM_octet_string(
                            OSSL_SIGNATURE_PARAM_ALGORITHM_ID, id, sizeof(id)),
                        OSSL_PARAM_END};
    size_t len = sizeof(sig);

    finish(begin(key, "SHA256", none), type, "SHA256", none);
    ctx = begin(key, "SHA256", none);
    CHECK_INT(EVP_DigestSign(ctx, sig, &len, message, 5), 1);
    CHECK_INT(EVP_MD_CTX_copy_ex(copy, ctx), 1);
    CHECK_INT(EVP_PKEY_CTX_get_params(EVP_MD_CTX_get_pkey_ctx(ctx), ask), 1);
    CHECK(ask[0].return_size > 0);
    for (int i = 0; i < 2; i++) {
        EVP_MD_CTX *c = i == 0 ? ctx : copy;

        len = sizeof(sig);
        if (EVP_DigestSign(c, sig, &len, message + 5, LEN - 5) == 1) {
            CHECK_INT(verify(type, "SHA256", none, sig, len), 1);
        } else {
            /* libcrypto's own doing, later than 3.0. */
            CHECK(OpenSSL_version_num() >> 20 > 0x300);
            ERR_clear_error();
        }
        CHECK_INT(EVP_DigestSignInit_ex(c, NULL, NULL, NULL, NULL, NULL, NULL),
                  1);
        finish(c, type, "SHA256", none);
    }
}

/* The default provider has it so once it was asked for the size. Seen to fail
 * with a context that is made by its recipe first. */
static void test_another_digest_for_the_next(EVP_PKEY *key,
                                             const struct key_type *type)
{
    static const char *const digests[] = {"SHA512", "SHA384", "SHA1"};
    struct pss none = {0, 0};
    unsigned char sig[KEY_SIG_MAX];

    for (size_t i = 0; i < sizeof(digests) / sizeof(digests[0]); i++) {
        EVP_MD_CTX *ctx = begin(key, "SHA256", none);
        size_t len = 0;

        CHECK_INT(EVP_DigestSign(ctx, NULL, &len, message, LEN), 1);
        CHECK_INT(EVP_DigestSign(ctx, sig, &len, message, LEN), 1);
        CHECK_INT(EVP_DigestSignInit_ex(ctx, NULL, digests[i], NULL, NULL, NULL,
                                        NULL),
                  1);
        finish(ctx, type, digests[i], none);
    }
}

static void test_tls(EVP_PKEY *key, const struct key_type *type)
{
    int rsa = EVP_PKEY_is_a(key, "RSA");

    if (rsa || EVP_PKEY_is_a(key, "EC")) {
        test_a_signature_of_tls_goes_on(key, type);
        test_another_digest_for_the_next(key, type);
        if (interop_protected()) {
            test_signatures_of_tls_leave_nothing(key, type, rsa);
        }
    }
}

static void test_type(const struct key_type *type)
{
    EVP_PKEY *key = key_load(type);

    interop_subject("%s", type->label);
    CHECK_HELD(key);
    test_signs_again_and_again(key, type);
    test_unused_contexts_are_no_trouble(key, type);
    test_a_copy_waits_too(key, type);
    if (type->md != NULL) {
        test_updates_settle(key, type);
        test_updates_settle(key, type);
        test_threads_copy_one_context(key, type);
        test_copy_after_a_failed_init(key, type);
    }
    if (strcmp(type->label, "RSA-2048") == 0) {
        test_parameters_are_not_mixed_up(key, type);
        test_parameters_can_be_read(key, type);
        test_errors_come_where_they_did(key);
        test_parameters_are_not_mixed_up(key, type);
    }
    test_tls(key, type);
    test_a_freed_key_still_signs(type);
    if (interop_protected()) {
        test_a_kind_learns_once(type);
    }
    EVP_PKEY_free(key);
}

int main(void)
{
    const struct key_type *type;

    interop_start();
    for (size_t i = 0; (type = key_type_at(i)) != NULL; i++) {
        if (type->can & KEY_SIGNS) {
            test_type(type);
        }
    }
    interop_subject("P-256 and P-384");
    test_keys_are_not_mixed_up();
    interop_subject("P-256");
    test_a_key_is_changed_meanwhile();
    return interop_finish();
}
