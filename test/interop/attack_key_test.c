/*
 * attack_key_test.c - what an attacker who can write outside might try with a
 * key that he may use: to part its private number from its public one, to have
 * more written than there is room for, to be called from inside.
 *
 * Each of these worked once.
 */
#include "interop.h"
#include "keys.h"

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/param_build.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <openssl/rsa.h>

#include <printf.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* ---- the provider's own functions ---------------------------------------- */

/* The start of the provider's key object; it lies outside, for anybody. */
struct outside_key {
    void *ctx;
    uint64_t handle;
};

struct ed25519 {
    void *provctx;
    const OSSL_DISPATCH *keymgmt, *signature;
};

static void (*function(const OSSL_DISPATCH *d, int id))(void)
{
    for (; d->function_id != 0; d++) {
        if (d->function_id == id) {
            return d->function;
        }
    }
    return NULL;
}
#define FN(table, type, id) ((OSSL_FUNC_##type##_fn *)function(table, id))

static const OSSL_DISPATCH *algorithm(OSSL_PROVIDER *prov, int operation,
                                      const char *name)
{
    int no_cache;
    const OSSL_ALGORITHM *a =
        OSSL_PROVIDER_query_operation(prov, operation, &no_cache);

    for (; a != NULL && a->algorithm_names != NULL; a++) {
        if (strncasecmp(a->algorithm_names, name, strlen(name)) == 0) {
            return a->implementation;
        }
    }
    return NULL;
}

static struct outside_key *make_key(const struct ed25519 *ed)
{
    void *gen = FN(ed->keymgmt, keymgmt_gen_init, OSSL_FUNC_KEYMGMT_GEN_INIT)(
        ed->provctx, OSSL_KEYMGMT_SELECT_KEYPAIR, NULL);
    struct outside_key *key =
        FN(ed->keymgmt, keymgmt_gen, OSSL_FUNC_KEYMGMT_GEN)(gen, NULL, NULL);

    FN(ed->keymgmt, keymgmt_gen_cleanup, OSSL_FUNC_KEYMGMT_GEN_CLEANUP)(gen);
    return key;
}

static void free_key(const struct ed25519 *ed, struct outside_key *key)
{
    FN(ed->keymgmt, keymgmt_free, OSSL_FUNC_KEYMGMT_FREE)(key);
}

static void sign(const struct ed25519 *ed, struct outside_key *key,
                 unsigned char sig[64])
{
    void *ctx = FN(ed->signature, signature_newctx,
                   OSSL_FUNC_SIGNATURE_NEWCTX)(ed->provctx, NULL);
    size_t len = 64;

    CHECK_INT(FN(ed->signature, signature_digest_sign_init,
                 OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT)(ctx, NULL, key, NULL),
              1);
    CHECK_INT(FN(ed->signature, signature_digest_sign,
                 OSSL_FUNC_SIGNATURE_DIGEST_SIGN)(
                  ctx, sig, &len, 64, (const unsigned char *)"msg", 3),
              1);
    FN(ed->signature, signature_freectx, OSSL_FUNC_SIGNATURE_FREECTX)(ctx);
}

/* ---- the attacks --------------------------------------------------------- */

/*
 * Another public part beside an Ed25519 key: the same message then has the same
 * R and another S, and the two give the private scalar.
 */
static void test_import_over_a_key_is_refused(const struct ed25519 *ed)
{
    struct outside_key *victim = make_key(ed);
    struct outside_key *fresh =
        FN(ed->keymgmt, keymgmt_new, OSSL_FUNC_KEYMGMT_NEW)(ed->provctx);
    unsigned char pub[32] = {1}, before[64], after[64];
    OSSL_PARAM params[] = {
        OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, pub, sizeof(pub)),
        OSSL_PARAM_END};
    uint64_t own = fresh->handle;

    interop_subject("import into another key");
    sign(ed, victim, before);
    fresh->handle = victim->handle; /* the attacker's one write */
    CHECK_INT(FN(ed->keymgmt, keymgmt_import, OSSL_FUNC_KEYMGMT_IMPORT)(
                  fresh, OSSL_KEYMGMT_SELECT_PUBLIC_KEY, params),
              0);
    fresh->handle = own;
    sign(ed, victim, after);
    CHECK_MEM(after, sizeof(after), before, sizeof(before));
    ERR_clear_error();
    free_key(ed, fresh);
    free_key(ed, victim);
}

static void test_a_private_part_is_not_copied_alone(const struct ed25519 *ed)
{
    struct outside_key *victim = make_key(ed);
    struct outside_key *copy =
        FN(ed->keymgmt, keymgmt_dup,
           OSSL_FUNC_KEYMGMT_DUP)(victim, OSSL_KEYMGMT_SELECT_PRIVATE_KEY);
    unsigned char sig[64], copy_sig[64];

    interop_subject("a copy of the private part");
    sign(ed, victim, sig);
    if (copy != NULL) {
        sign(ed, copy, copy_sig);
        CHECK_MEM(copy_sig, sizeof(copy_sig), sig, sizeof(sig));
        free_key(ed, copy);
    }
    ERR_clear_error();
    free_key(ed, victim);
}

static void derive(EVP_PKEY_CTX *ctx, unsigned char *out, size_t *len)
{
    *len = 512;
    CHECK_INT(EVP_PKEY_derive(ctx, out, len), 1);
}

static void set_public_of(EVP_PKEY *key, const EVP_PKEY *from)
{
    unsigned char *public = NULL;
    size_t len = EVP_PKEY_get1_encoded_public_key((EVP_PKEY *)from, &public);

    CHECK_INT(EVP_PKEY_set1_encoded_public_key(key, public, len), 1);
    OPENSSL_free(public);
}

/*
 * A context that held the peer's key itself: changed by another thread while
 * it was multiplied, the point was half of one and half of another, on no
 * curve, and what came out told the private number; with DH it was read after
 * it had been freed.
 */
static void test_a_peer_does_not_change_in_a_context(const char *label)
{
    const struct key_type *type = key_type_find(label);
    EVP_PKEY *own = key_load(type);
    EVP_PKEY *peer = key_generate(NULL, "provider=mpk", type);
    EVP_PKEY *other = key_generate(NULL, "provider=mpk", type);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, own, NULL);
    unsigned char before[512], after[512];
    size_t before_len, after_len;

    interop_subject("%s: a peer's key that changes", label);
    CHECK_INT(EVP_PKEY_derive_init(ctx), 1);
    CHECK_INT(EVP_PKEY_derive_set_peer(ctx, peer), 1);
    derive(ctx, before, &before_len);
    set_public_of(peer, other);
    derive(ctx, after, &after_len);
    CHECK_MEM(after, after_len, before, before_len);
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(other);
    EVP_PKEY_free(peer);
    EVP_PKEY_free(own);
}

/* ---- a context for one key, and then for another ------------------------- */

/* A key of the parameters in |bld|, which it frees. */
static void *import_ec(const struct ed25519 *t, OSSL_PARAM_BLD *bld)
{
    void *key = FN(t->keymgmt, keymgmt_new, OSSL_FUNC_KEYMGMT_NEW)(t->provctx);
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);

    CHECK_INT(FN(t->keymgmt, keymgmt_import,
                 OSSL_FUNC_KEYMGMT_IMPORT)(key, EVP_PKEY_KEYPAIR, params),
              1);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(bld);
    return key;
}

/*
 * secp256k1 with 1 - 5^3 in place of 7, for which (5, 1) is a point; on the
 * curve itself there is none with x = 5.
 */
static void *key_on_another_curve(const struct ed25519 *t)
{
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    EC_GROUP *group = EC_GROUP_new_by_curve_name(NID_secp256k1);
    BIGNUM *p = BN_new(), *a = BN_new(), *b = BN_new();
    unsigned char point[65] = {4, [32] = 5, [64] = 1};
    void *key;

    CHECK(
        EC_GROUP_get_curve(group, p, a, b, NULL) && BN_copy(b, p) != NULL &&
        BN_sub_word(b, 124) && OSSL_PARAM_BLD_push_BN(bld, "p", p) &&
        OSSL_PARAM_BLD_push_BN(bld, "a", a) &&
        OSSL_PARAM_BLD_push_BN(bld, "b", b) &&
        OSSL_PARAM_BLD_push_BN(bld, "order", EC_GROUP_get0_order(group)) &&
        OSSL_PARAM_BLD_push_BN(bld, "cofactor", BN_value_one()) &&
        OSSL_PARAM_BLD_push_BN(bld, "priv", BN_value_one()) &&
        OSSL_PARAM_BLD_push_utf8_string(bld, "field-type", "prime-field", 0) &&
        OSSL_PARAM_BLD_push_octet_string(bld, "generator", point,
                                         sizeof(point)) &&
        OSSL_PARAM_BLD_push_octet_string(bld, "pub", point, sizeof(point)));
    key = import_ec(t, bld);
    BN_free(p);
    BN_free(a);
    BN_free(b);
    EC_GROUP_free(group);
    return key;
}

static void *key_on_the_curve(const struct ed25519 *t)
{
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    EVP_PKEY *ref = key_reference(key_type_find("secp256k1"));
    unsigned char pub[65];
    BIGNUM *priv = NULL;
    size_t len = 0;
    void *key;

    CHECK(EVP_PKEY_get_bn_param(ref, OSSL_PKEY_PARAM_PRIV_KEY, &priv) &&
          EVP_PKEY_get_octet_string_param(ref, OSSL_PKEY_PARAM_PUB_KEY, pub,
                                          sizeof(pub), &len) &&
          OSSL_PARAM_BLD_push_utf8_string(bld, "group", "secp256k1", 0) &&
          OSSL_PARAM_BLD_push_BN(bld, "priv", priv) &&
          OSSL_PARAM_BLD_push_octet_string(bld, "pub", pub, len));
    key = import_ec(t, bld);
    BN_clear_free(priv);
    return key;
}

/*
 * The inner context of ECDH keeps the peer of its last key, which was compared
 * with that one's curve only. What came out was a point of the twist of the
 * other key's curve: some of these have a small order, modulo which it told the
 * private number.
 */
static void test_another_key_has_not_the_peer(OSSL_PROVIDER *prov)
{
    const struct ed25519 t = {OSSL_PROVIDER_get0_provider_ctx(prov),
                              algorithm(prov, OSSL_OP_KEYMGMT, "EC"),
                              algorithm(prov, OSSL_OP_KEYEXCH, "MPK-KEX")};
    const OSSL_DISPATCH *kex = t.signature;
    OSSL_FUNC_keyexch_init_fn *init =
        FN(kex, keyexch_init, OSSL_FUNC_KEYEXCH_INIT);
    OSSL_FUNC_keyexch_derive_fn *get =
        FN(kex, keyexch_derive, OSSL_FUNC_KEYEXCH_DERIVE);
    void *other = key_on_another_curve(&t), *victim = key_on_the_curve(&t);
    void *ctx = FN(kex, keyexch_newctx, OSSL_FUNC_KEYEXCH_NEWCTX)(t.provctx);
    unsigned char secret[32];
    size_t len = sizeof(secret);

    interop_subject("a peer of another key");
    CHECK_INT(init(ctx, other, NULL), 1);
    CHECK_INT(FN(kex, keyexch_set_peer, OSSL_FUNC_KEYEXCH_SET_PEER)(ctx, other),
              1);
    CHECK_INT(get(ctx, secret, &len, sizeof(secret)), 1);
    CHECK_INT(init(ctx, victim, NULL), 1);
    CHECK_INT(get(ctx, secret, &len, sizeof(secret)), 0);
    ERR_clear_error();
    FN(kex, keyexch_freectx, OSSL_FUNC_KEYEXCH_FREECTX)(ctx);
    free_key(&t, other);
    free_key(&t, victim);
}

static void *make_rsa(const struct ed25519 *t, size_t bits)
{
    OSSL_PARAM params[] = {OSSL_PARAM_size_t(OSSL_PKEY_PARAM_RSA_BITS, &bits),
                           OSSL_PARAM_END};
    void *gen = FN(t->keymgmt, keymgmt_gen_init, OSSL_FUNC_KEYMGMT_GEN_INIT)(
        t->provctx, OSSL_KEYMGMT_SELECT_KEYPAIR, params);
    void *key =
        FN(t->keymgmt, keymgmt_gen, OSSL_FUNC_KEYMGMT_GEN)(gen, NULL, NULL);

    FN(t->keymgmt, keymgmt_gen_cleanup, OSSL_FUNC_KEYMGMT_GEN_CLEANUP)(gen);
    return key;
}

static void sign_pss(const struct ed25519 *t, void *ctx, void *key)
{
    char pss[] = OSSL_PKEY_RSA_PAD_MODE_PSS, sha256[] = "SHA256";
    OSSL_PARAM params[] = {OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PAD_MODE,
                                                  pss, sizeof(pss) - 1),
                           OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_DIGEST,
                                                  sha256, sizeof(sha256) - 1),
                           OSSL_PARAM_END};
    unsigned char sig[256], digest[32] = {0};
    size_t len = sizeof(sig);

    CHECK_INT(FN(t->signature, signature_sign_init,
                 OSSL_FUNC_SIGNATURE_SIGN_INIT)(ctx, key, params),
              1);
    CHECK_INT(FN(t->signature, signature_sign, OSSL_FUNC_SIGNATURE_SIGN)(
                  ctx, sig, &len, sizeof(sig), digest, sizeof(digest)),
              1);
}

/* The inner context of RSA keeps the buffer of its last key, however long that
 * was: the end of the process, at best. */
static void test_a_larger_key_has_its_own_buffer(OSSL_PROVIDER *prov)
{
    const struct ed25519 t = {
        OSSL_PROVIDER_get0_provider_ctx(prov),
        algorithm(prov, OSSL_OP_KEYMGMT, "RSA"),
        algorithm(prov, OSSL_OP_SIGNATURE, "MPK-RSA-SIG")};
    void *small = make_rsa(&t, 1024), *large = make_rsa(&t, 2048);
    void *ctx = FN(t.signature, signature_newctx,
                   OSSL_FUNC_SIGNATURE_NEWCTX)(t.provctx, NULL);

    interop_subject("a larger key in a context");
    sign_pss(&t, ctx, small);
    sign_pss(&t, ctx, large);
    FN(t.signature, signature_freectx, OSSL_FUNC_SIGNATURE_FREECTX)(ctx);
    free_key(&t, small);
    free_key(&t, large);
}

/* ---- other attacks ------------------------------------------------------- */

/*
 * A key without numbers, a context whose init has failed, a number without
 * digits: the inner OpenSSL follows NULL where its own EVP would not have come.
 * An empty key that a context had could be filled under it, too.
 */
static void test_an_empty_key_is_refused(OSSL_PROVIDER *prov)
{
    const OSSL_DISPATCH *keymgmt = algorithm(prov, OSSL_OP_KEYMGMT, "RSA");
    const OSSL_DISPATCH *dh = algorithm(prov, OSSL_OP_KEYMGMT, "DH");
    const OSSL_DISPATCH *signature =
        algorithm(prov, OSSL_OP_SIGNATURE, "MPK-SIG");
    void *provctx = OSSL_PROVIDER_get0_provider_ctx(prov);
    void *key = FN(keymgmt, keymgmt_new, OSSL_FUNC_KEYMGMT_NEW)(provctx);
    void *dh_key = FN(dh, keymgmt_new, OSSL_FUNC_KEYMGMT_NEW)(provctx);
    void *ctx = FN(signature, signature_newctx,
                   OSSL_FUNC_SIGNATURE_NEWCTX)(provctx, NULL);
    unsigned char sig[512], digest[32] = {0};
    size_t len = sizeof(sig);

    interop_subject("an empty key");
    CHECK_INT(FN(signature, signature_sign_init,
                 OSSL_FUNC_SIGNATURE_SIGN_INIT)(ctx, key, NULL),
              0);
    CHECK_INT(FN(signature, signature_sign, OSSL_FUNC_SIGNATURE_SIGN)(
                  ctx, sig, &len, sizeof(sig), digest, sizeof(digest)),
              0);
    CHECK_INT(FN(dh, keymgmt_validate, OSSL_FUNC_KEYMGMT_VALIDATE)(
                  dh_key, OSSL_KEYMGMT_SELECT_ALL, 0),
              0);
    ERR_clear_error();
    FN(signature, signature_freectx, OSSL_FUNC_SIGNATURE_FREECTX)(ctx);
    FN(keymgmt, keymgmt_free, OSSL_FUNC_KEYMGMT_FREE)(key);
    FN(dh, keymgmt_free, OSSL_FUNC_KEYMGMT_FREE)(dh_key);
}

static void test_a_number_without_digits_is_refused(void)
{
    EVP_PKEY *key = key_load(key_type_find("RSA-2048"));
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    OSSL_PARAM params[] = {
        {OSSL_SIGNATURE_PARAM_PSS_SALTLEN, OSSL_PARAM_INTEGER, NULL, 4, 0},
        OSSL_PARAM_END};

    OSSL_PARAM no_bytes[] = {{OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY,
                              OSSL_PARAM_OCTET_STRING, NULL, 256, 0},
                             OSSL_PARAM_END};
    EVP_PKEY *dh = key_generate(NULL, "provider=mpk", key_type_find("DH"));

    interop_subject("a number without digits");
    CHECK(EVP_PKEY_set_params(dh, no_bytes) <= 0);
    EVP_PKEY_free(dh);
    CHECK_INT(EVP_PKEY_sign_init(ctx), 1);
    CHECK_INT(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING), 1);
    CHECK(EVP_PKEY_CTX_set_params(ctx, params) <= 0);
    ERR_clear_error();
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(key);
}

/* It was passed over: the padding was another than was asked for. */
static void test_a_value_by_pointer_is_refused(void)
{
    EVP_PKEY *key = key_load(key_type_find("RSA-2048"));
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    char oaep[] = OSSL_PKEY_RSA_PAD_MODE_OAEP, *at = oaep;
    OSSL_PARAM params[] = {OSSL_PARAM_utf8_ptr(OSSL_ASYM_CIPHER_PARAM_PAD_MODE,
                                               &at, sizeof(oaep) - 1),
                           OSSL_PARAM_END};

    interop_subject("a value by pointer");
    CHECK(EVP_PKEY_decrypt_init_ex(ctx, params) <= 0);
    CHECK_QUEUE_FILLED();
    ERR_clear_error();
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(key);
}

/*
 * The inner OpenSSL writes a point of a curve to where a pointer to one was
 * asked for: it was written behind the room for that, and into it.
 */
static void test_a_point_is_not_written_over_a_pointer(void)
{
    static const char *const names[] = {OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY,
                                        OSSL_PKEY_PARAM_PUB_KEY};
    EVP_PKEY *key = key_load(key_type_find("P-256"));
    unsigned char *at = NULL;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        for (size_t room = 0; room < 300; room += 50) {
            OSSL_PARAM params[] = {OSSL_PARAM_octet_ptr(names[i], &at, room),
                                   OSSL_PARAM_END};

            interop_subject("%s by pointer, room for %zu", names[i], room);
            CHECK_INT(EVP_PKEY_get_params(key, params), 0);
            CHECK(at == NULL);
            ERR_clear_error();
        }
    }
    EVP_PKEY_free(key);
}

/* One that is not known was looked for as a file, which was loaded inside. The
 * reason says that nobody has looked. */
static void test_no_engine_is_loaded(void)
{
    EVP_PKEY *key = key_load(key_type_find("SM2"));
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    char sm3[] = "SM3", file[] = "/dev/null";
    OSSL_PARAM params[] = {OSSL_PARAM_utf8_string(OSSL_ASYM_CIPHER_PARAM_DIGEST,
                                                  sm3, sizeof(sm3) - 1),
                           OSSL_PARAM_END, OSSL_PARAM_END};
    const char *why = "";
    int flags;

    interop_subject("an engine");
    CHECK_INT(EVP_PKEY_decrypt_init(ctx), 1);
    CHECK_INT(EVP_PKEY_CTX_set_params(ctx, params), 1);
    params[1] = OSSL_PARAM_construct_utf8_string("engine", file, 0);
    CHECK(EVP_PKEY_CTX_set_params(ctx, params) <= 0);
    ERR_peek_last_error_all(NULL, NULL, NULL, &why, &flags);
    CHECK(strstr(why, "unsupported") != NULL);
    ERR_clear_error();
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(key);
}

/* The length of the identifier of |ctx|'s algorithm, or 0. */
static size_t algorithm_of(EVP_MD_CTX *ctx, unsigned char id[64])
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_octet_string(OSSL_SIGNATURE_PARAM_ALGORITHM_ID, id, 64),
        OSSL_PARAM_END};

    return EVP_PKEY_CTX_get_params(EVP_MD_CTX_get_pkey_ctx(ctx), params) > 0
               ? params[0].return_size
               : 0;
}

/*
 * In the inner OpenSSL the identifier of a copy lay in the original, also when
 * that had ended and something else was there: here another context, it could
 * have been a key.
 */
static void test_a_copy_asks_no_freed_memory(const char *label)
{
    const struct key_type *type = key_type_find(label);
    EVP_PKEY *key = key_load(type), *other = key_load(type);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new(), *copy = EVP_MD_CTX_new();
    unsigned char before[64], after[64];
    size_t len, copy_len;

    interop_subject("%s: the algorithm of a copy", label);
    CHECK_INT(EVP_DigestSignInit_ex(ctx, NULL, type->md, NULL, NULL, key, NULL),
              1);
    len = algorithm_of(ctx, before);
    CHECK(len > 0);
    CHECK_INT(EVP_MD_CTX_copy_ex(copy, ctx), 1);
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(other); /* with it the original ends inside */
    copy_len = algorithm_of(copy, after);
    CHECK(copy_len == 0 ||
          (copy_len == len && memcmp(after, before, len) == 0));
    ERR_clear_error();
    EVP_MD_CTX_free(copy);
    EVP_PKEY_free(key);
}

static void test_forged_handles_find_nothing(const struct ed25519 *ed)
{
    struct outside_key *key = make_key(ed);
    OSSL_FUNC_keymgmt_has_fn *has =
        FN(ed->keymgmt, keymgmt_has, OSSL_FUNC_KEYMGMT_HAS);
    uint64_t own = key->handle;
    const uint64_t forged[] = {1,
                               UINT64_MAX,
                               own + ((uint64_t)1 << 32),
                               own - ((uint64_t)1 << 32),
                               own + 1000000,
                               own & UINT32_MAX};

    interop_subject("forged handles");
    for (size_t i = 0; i < sizeof(forged) / sizeof(forged[0]); i++) {
        key->handle = forged[i];
        CHECK_INT(has(key, OSSL_KEYMGMT_SELECT_PUBLIC_KEY), 0);
        ERR_clear_error();
    }
    key->handle = own;
    CHECK_INT(has(key, OSSL_KEYMGMT_SELECT_PUBLIC_KEY), 1);
    free_key(ed, key);
}

/* rsa_verify_recover of 3.0 writes a whole modulus, whatever room it is told.
 */
static void test_small_room_is_an_error(void)
{
    EVP_PKEY *key = key_load(key_type_find("RSA-2048"));
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    unsigned char in[256] = {0, 0x42}, out[8 + 256];
    size_t len = 8;

    interop_subject("verify recover into 8 bytes");
    memset(out, 0xa5, sizeof(out));
    CHECK_INT(EVP_PKEY_verify_recover_init(ctx), 1);
    CHECK_INT(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_NO_PADDING), 1);
    CHECK(EVP_PKEY_verify_recover(ctx, out, &len, in, sizeof(in)) <= 0);
    CHECK(out[8] == 0xa5 && out[sizeof(out) - 1] == 0xa5);
    ERR_clear_error();
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(key);
}

static char *stack_low, *stack_high;
static volatile int foreign_calls;

/* Called by libc's printf for "%s", wherever that runs. */
static int on_arginfo(const struct printf_info *info, size_t n, int *types,
                      int *sizes)
{
    char here;

    (void)info;
    (void)sizes;
    if (&here < stack_low || &here > stack_high) {
        foreign_calls++;
    }
    if (n > 0) {
        types[0] = PA_STRING;
    }
    return 1;
}

static int on_print(FILE *f, const struct printf_info *info,
                    const void *const *args)
{
    const char *s = *(const char *const *)args[0];

    (void)info;
    return (int)fwrite(s, 1, strlen(s), f);
}

static void test_inside_calls_no_printf(void)
{
    EVP_PKEY *key = key_load(key_type_find("RSA-2048"));
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    unsigned char in[8] = {0}, out[512];
    size_t len = sizeof(out), size;
    pthread_attr_t attr;
    void *low;

    interop_subject("printf of the inside");
    pthread_getattr_np(pthread_self(), &attr);
    pthread_attr_getstack(&attr, &low, &size);
    pthread_attr_destroy(&attr);
    stack_low = low;
    stack_high = stack_low + size;
    CHECK_INT(EVP_PKEY_decrypt_init(ctx), 1);
    register_printf_specifier('s', on_print, on_arginfo);
    EVP_PKEY_decrypt(ctx, out, &len, in, sizeof(in));
    register_printf_specifier('s', NULL, NULL);
    CHECK_INT(foreign_calls, 0);
    ERR_clear_error();
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(key);
}

/* r of a signature by |ctx|, which is the nonce's; to be freed. */
static BIGNUM *nonce_of(EVP_PKEY_CTX *ctx, unsigned char first)
{
    unsigned char digest[32] = {first}, sig[256];
    const unsigned char *p = sig;
    size_t len = sizeof(sig);
    ECDSA_SIG *both;
    BIGNUM *r;

    CHECK_INT(EVP_PKEY_sign(ctx, sig, &len, digest, sizeof(digest)), 1);
    both = d2i_ECDSA_SIG(NULL, &p, (long)len);
    r = both != NULL ? BN_dup(ECDSA_SIG_get0_r(both)) : NULL;
    ECDSA_SIG_free(both);
    return r;
}

/* An inner OpenSSL that was built with acvp-tests, as Debian 13's, keeps the
 * nonce of a signature that was made with "kat", and uses it for all others. */
static void test_no_nonce_is_used_twice(void)
{
    EVP_PKEY *key = key_load(key_type_find("P-256"));
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    BIGNUM *r[3];

    interop_subject("a nonce for tests");
    CHECK_INT(EVP_PKEY_sign_init(ctx), 1);
    for (unsigned i = 0; i < 3; i++) {
        unsigned kat = i == 0;
        OSSL_PARAM params[] = {OSSL_PARAM_uint(OSSL_SIGNATURE_PARAM_KAT, &kat),
                               OSSL_PARAM_END};

        EVP_PKEY_CTX_set_params(ctx, params);
        r[i] = nonce_of(ctx, (unsigned char)i);
    }
    CHECK(r[0] != NULL && r[1] != NULL && r[2] != NULL);
    CHECK(BN_cmp(r[0], r[1]) != 0 && BN_cmp(r[1], r[2]) != 0);
    for (unsigned i = 0; i < 3; i++) {
        BN_free(r[i]);
    }
    ERR_clear_error();
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(key);
}

#if OPENSSL_VERSION_PREREQ(3, 5)
#define ML_DSA_44_SIG 2420

static void *ml_dsa_begin(const struct ed25519 *t, void *ctx,
                          struct outside_key *key)
{
    int one = 1;
    OSSL_PARAM params[] = {OSSL_PARAM_int("deterministic", &one),
                           OSSL_PARAM_END};

    if (ctx == NULL) {
        ctx = FN(t->signature, signature_newctx,
                 OSSL_FUNC_SIGNATURE_NEWCTX)(t->provctx, NULL);
    }
    CHECK_INT(FN(t->signature, signature_digest_sign_init,
                 OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT)(ctx, NULL, key, params),
              1);
    return ctx;
}

static void ml_dsa_sign(const struct ed25519 *t, void *ctx,
                        unsigned char sig[ML_DSA_44_SIG])
{
    size_t len = ML_DSA_44_SIG;

    CHECK_INT(FN(t->signature, signature_digest_sign,
                 OSSL_FUNC_SIGNATURE_DIGEST_SIGN)(
                  ctx, sig, &len, len, (const unsigned char *)"msg", 3),
              1);
}

/*
 * OpenSSL's contexts of these types point to a key and leave it to EVP to keep
 * it. Whoever calls a provider without EVP would have had freed memory inside
 * taken for a key.
 */
static void test_a_freed_key_stays_in_its_contexts(OSSL_PROVIDER *prov)
{
    const struct ed25519 t = {
        OSSL_PROVIDER_get0_provider_ctx(prov),
        algorithm(prov, OSSL_OP_KEYMGMT, "ML-DSA-44"),
        algorithm(prov, OSSL_OP_SIGNATURE, "MPK-ONESHOT")};
    struct outside_key *key = make_key(&t), *other = make_key(&t), *more[8];
    unsigned char before[ML_DSA_44_SIG], after[ML_DSA_44_SIG];
    void *ctx = ml_dsa_begin(&t, NULL, key), *copy;

    interop_subject("ML-DSA-44, a freed key and its contexts");
    ml_dsa_sign(&t, ctx, before);
    copy = FN(t.signature, signature_dupctx, OSSL_FUNC_SIGNATURE_DUPCTX)(ctx);
    free_key(&t, key);
    for (int i = 0; i < 8; i++) { /* what would take its place */
        more[i] = make_key(&t);
    }
    ml_dsa_sign(&t, ctx, after);
    CHECK_MEM(after, sizeof(after), before, sizeof(before));
    ml_dsa_begin(&t, ctx, other);
    free_key(&t, other);
    ml_dsa_sign(&t, ctx, after);
    CHECK(memcmp(after, before, sizeof(after)) != 0);
    FN(t.signature, signature_freectx, OSSL_FUNC_SIGNATURE_FREECTX)(ctx);
    for (int i = 0; i < 8; i++) {
        free_key(&t, more[i]);
    }
    ml_dsa_sign(&t, copy, after);
    CHECK_MEM(after, sizeof(after), before, sizeof(before));
    FN(t.signature, signature_freectx, OSSL_FUNC_SIGNATURE_FREECTX)(copy);
}
#endif

int main(void)
{
    struct ed25519 ed;
    OSSL_PROVIDER *prov;

    interop_start();
    test_small_room_is_an_error();
    if (interop_protected()) {
        prov = OSSL_PROVIDER_load(NULL, interop_provider());
        ed.provctx = OSSL_PROVIDER_get0_provider_ctx(prov);
        ed.keymgmt = algorithm(prov, OSSL_OP_KEYMGMT, "ED25519");
        ed.signature = algorithm(prov, OSSL_OP_SIGNATURE, "MPK-ONESHOT");
        test_import_over_a_key_is_refused(&ed);
        test_a_private_part_is_not_copied_alone(&ed);
        test_a_peer_does_not_change_in_a_context("P-256");
        test_a_peer_does_not_change_in_a_context("DH");
#if OPENSSL_VERSION_PREREQ(3, 5)
        test_a_freed_key_stays_in_its_contexts(prov);
#endif
        if (OpenSSL_version_num() < 0x40000000UL) { /* no other curves */
            test_another_key_has_not_the_peer(prov);
        }
        test_a_larger_key_has_its_own_buffer(prov);
        test_an_empty_key_is_refused(prov);
        test_a_number_without_digits_is_refused();
        test_a_value_by_pointer_is_refused();
        test_a_point_is_not_written_over_a_pointer();
        test_no_engine_is_loaded();
        test_a_copy_asks_no_freed_memory("P-256");
        test_a_copy_asks_no_freed_memory("ED25519");
        test_a_copy_asks_no_freed_memory("SM2");
        test_no_nonce_is_used_twice();
        test_forged_handles_find_nothing(&ed);
        test_inside_calls_no_printf();
        OSSL_PROVIDER_unload(prov);
    } else {
        interop_skip("the attacks: nothing is protected here");
    }
    return interop_finish();
}
