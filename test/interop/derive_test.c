/*
 * Key agreement between a protected key and the reference: both sides come to
 * the same secret, and peers that do not fit get default's answer.
 */

#include "interop.h"
#include "ops.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/param_build.h>
#if OPENSSL_VERSION_PREREQ(3, 5)
#include <openssl/hpke.h>
#endif
#include <openssl/kdf.h>
#include <openssl/pem.h>
#include <string.h>

#define ROOM 1024

/* What derivation may be told; the numbers need an address. */
struct setting {
    const char *label;
    int cofactor; /* -2: not told */
    const char *kdf;
    const char *md;
    const char *ukm;
    const char *cek;
    size_t len;
    unsigned pad; /* 2: not told */
};

static const struct setting plain = {
    "plain", -2, NULL, NULL, NULL, NULL, 0, 2,
};

static const struct setting for_ec[] = {
    {"cofactor on", 1, NULL, NULL, NULL, NULL, 0, 2},
    {"cofactor off", 0, NULL, NULL, NULL, NULL, 0, 2},
    {"cofactor as the key has it", -1, NULL, NULL, NULL, NULL, 0, 2},
    {"X9.63", -2, OSSL_KDF_NAME_X963KDF, "SHA256", NULL, NULL, 40, 2},
    {"X9.63 with information", -2, OSSL_KDF_NAME_X963KDF, "SHA1", "shared",
     NULL, 100, 2},
    {"X9.63 without digest", -2, OSSL_KDF_NAME_X963KDF, NULL, NULL, NULL, 40,
     2},
    {"no such KDF", -2, "no-such-kdf", "SHA256", NULL, NULL, 40, 2},
};

static const struct setting for_dh[] = {
    {"pad on", -2, NULL, NULL, NULL, NULL, 0, 1},
    {"pad off", -2, NULL, NULL, NULL, NULL, 0, 0},
    {"X9.42", -2, OSSL_KDF_NAME_X942KDF_ASN1, "SHA256", NULL, "AES-256-WRAP",
     32, 2},
    {"X9.42 with information", -2, OSSL_KDF_NAME_X942KDF_ASN1, "SHA1", "shared",
     "AES-128-WRAP", 16, 2},
    {"no such KDF", -2, "no-such-kdf", "SHA256", NULL, NULL, 32, 2},
};

static void setting_params(struct setting *s, OSSL_PARAM *p)
{
    if (s->cofactor != -2) {
        *p++ = OSSL_PARAM_construct_int(
            OSSL_EXCHANGE_PARAM_EC_ECDH_COFACTOR_MODE, &s->cofactor);
    }
    if (s->pad != 2) {
        *p++ = OSSL_PARAM_construct_uint(OSSL_EXCHANGE_PARAM_PAD, &s->pad);
    }
    if (s->kdf != NULL) {
        *p++ = OSSL_PARAM_construct_utf8_string(OSSL_EXCHANGE_PARAM_KDF_TYPE,
                                                (char *)s->kdf, 0);
        *p++ = OSSL_PARAM_construct_size_t(OSSL_EXCHANGE_PARAM_KDF_OUTLEN,
                                           &s->len);
    }
    if (s->md != NULL) {
        *p++ = OSSL_PARAM_construct_utf8_string(OSSL_EXCHANGE_PARAM_KDF_DIGEST,
                                                (char *)s->md, 0);
    }
    if (s->ukm != NULL) {
        *p++ = OSSL_PARAM_construct_octet_string(
            OSSL_EXCHANGE_PARAM_KDF_UKM, (char *)s->ukm, strlen(s->ukm));
    }
    if (s->cek != NULL) {
        *p++ = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_CEK_ALG,
                                                (char *)s->cek, 0);
    }
    *p = OSSL_PARAM_construct_end();
}

/* Which of the calls answered no; 5 when all said yes. */
static int derive(EVP_PKEY *own, EVP_PKEY *peer, const struct setting *setting,
                  unsigned char *secret, size_t *len)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(side_of(own), own, NULL);
    struct setting s = *setting;
    OSSL_PARAM params[8];
    size_t size = 0;
    int reached = 1;

    setting_params(&s, params);
    if (EVP_PKEY_derive_init_ex(ctx, params) > 0) {
        reached = 2;
        if (EVP_PKEY_derive_set_peer(ctx, peer) > 0) {
            reached = 3;
        }
    }
    if (reached == 3 && EVP_PKEY_derive(ctx, NULL, &size) > 0 &&
        CHECK(size <= *len)) {
        reached = 4;
        if (EVP_PKEY_derive(ctx, secret, len) > 0) {
            reached = 5;
        }
    }
    EVP_PKEY_CTX_free(ctx);
    return reached;
}

/* The public half of |key| as default on the side under test holds it. */
static EVP_PKEY *public_half(EVP_PKEY *key)
{
    BIO *bio = BIO_new(BIO_s_mem());
    EVP_PKEY *half;

    CHECK(PEM_write_bio_PUBKEY(bio, key));
    half = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
    CHECK_STR(interop_provider_of(half), "default");
    BIO_free(bio);
    return half;
}

static void check_agree(EVP_PKEY *key, EVP_PKEY *ref, EVP_PKEY *other,
                        const struct setting *s)
{
    EVP_PKEY *other_half = public_half(other);
    unsigned char a[ROOM], b[ROOM], c[ROOM];
    size_t a_len = ROOM, b_len = ROOM, c_len = ROOM;
    int want = derive(ref, other, s, b, &b_len);

    ERR_clear_error();
    CHECK_INT(derive(key, other_half, s, a, &a_len), want);
    if (want == 5) {
        CHECK_QUEUE_EMPTY();
        CHECK_MEM(a, a_len, b, b_len);
        CHECK_INT(derive(other, ref, s, c, &c_len), 5);
        CHECK_MEM(a, a_len, c, c_len);
    }
    ERR_clear_error(); /* default fails without a word when no KDF is found */
    EVP_PKEY_free(other_half);
}

/*
 * The key object as the peer of a key that default holds. libcrypto 3.0 exports
 * a peer with everything it has, so a protected one is refused; its public
 * half does.
 */
static void test_as_peer(EVP_PKEY *key, EVP_PKEY *ref,
                         const struct key_type *type)
{
    EVP_PKEY *own = key_generate(NULL, "provider=default", type);
    EVP_PKEY *own_half = public_half(own);
    EVP_PKEY *half = public_half(key);
    unsigned char a[ROOM], b[ROOM];
    size_t a_len = ROOM, b_len = ROOM;
    int reached;

    interop_subject("%s as the peer of default's key", type->label);
    CHECK_STR(interop_provider_of(own), "default");
    CHECK_INT(derive(ref, own_half, &plain, b, &b_len), 5);
    reached = derive(own, key, &plain, a, &a_len);
    if (interop_protected() && reached == 2) {
        interop_skip("%s as a peer with its private half", type->label);
        CHECK(interop_queue_says("protected"));
        a_len = ROOM;
        reached = derive(own, half, &plain, a, &a_len);
    }
    CHECK_INT(reached, 5);
    CHECK_MEM(a, a_len, b, b_len);
    a_len = ROOM;
    CHECK_INT(derive(key, own_half, &plain, a, &a_len), 5);
    CHECK_MEM(a, a_len, b, b_len);
    CHECK_QUEUE_EMPTY();
    EVP_PKEY_free(own);
    EVP_PKEY_free(own_half);
    EVP_PKEY_free(half);
}

static void test_with_itself(EVP_PKEY *key, EVP_PKEY *ref,
                             const struct key_type *type)
{
    unsigned char a[ROOM], b[ROOM];
    size_t a_len = ROOM, b_len = ROOM;

    interop_subject("%s with itself", type->label);
    CHECK_INT(derive(key, key, &plain, a, &a_len), 5);
    CHECK_INT(derive(ref, ref, &plain, b, &b_len), 5);
    CHECK_MEM(a, a_len, b, b_len);
    CHECK_QUEUE_EMPTY();
}

static void test_peers_of_other_types(EVP_PKEY *key, EVP_PKEY *ref,
                                      const struct key_type *type)
{
    const struct key_type *other;

    for (size_t i = 0; (other = key_type_at(i)) != NULL; i++) {
        EVP_PKEY *half, *protected;
        unsigned char secret[ROOM];
        size_t len = ROOM;
        int want;

        if (other == type) {
            continue;
        }
        interop_subject("%s with a %s peer", type->label, other->label);
        half = key_load_public(other);
        protected = key_load(other);
        want = derive(ref, key_reference(other), &plain, secret, &len);
        CHECK(want < 5);
        ERR_clear_error();
        len = ROOM;
        CHECK_INT(derive(key, half, &plain, secret, &len), want);
        CHECK_QUEUE_FILLED();
        len = ROOM;
        CHECK_INT(derive(key, protected, &plain, secret, &len), want);
        CHECK_QUEUE_FILLED();
        EVP_PKEY_free(half);
        EVP_PKEY_free(protected);
    }
}

static int derive_into(EVP_PKEY *own, EVP_PKEY *peer, size_t room,
                       unsigned char *secret, size_t *len)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(side_of(own), own, NULL);
    int ret;

    CHECK_INT(EVP_PKEY_derive_init(ctx), 1);
    CHECK_INT(EVP_PKEY_derive_set_peer(ctx, peer), 1);
    *len = room;
    ret = EVP_PKEY_derive(ctx, secret, len);
    EVP_PKEY_CTX_free(ctx);
    return ret;
}

static void test_small_buffers(EVP_PKEY *key, EVP_PKEY *ref, EVP_PKEY *other)
{
    EVP_PKEY *half = public_half(other);
    unsigned char a[ROOM], b[ROOM];
    size_t a_len, b_len, size = ROOM;

    CHECK_INT(derive(ref, other, &plain, b, &size), 5);
    for (size_t room = size - 2; room <= size + 2; room++) {
        memset(a, 0xa5, sizeof(a));
        CHECK_INT(derive_into(key, half, room, a, &a_len),
                  derive_into(ref, other, room, b, &b_len));
        CHECK_INT((long long)a_len, (long long)b_len);
        CHECK_INT(a[room], 0xa5);
    }
    ERR_clear_error();
    EVP_PKEY_free(half);
}

/* A point of small order gives zero, which must not become a secret. */
static void test_zero_peer(EVP_PKEY *key, EVP_PKEY *ref,
                           const struct key_type *type)
{
    unsigned char zero[56] = {0}, secret[ROOM];
    size_t size = type->id == EVP_PKEY_X25519 ? 32 : 56;
    size_t a = ROOM, b = ROOM;
    int want;
    EVP_PKEY *peer =
        EVP_PKEY_new_raw_public_key_ex(NULL, type->name, NULL, zero, size);
    EVP_PKEY *ref_peer = EVP_PKEY_new_raw_public_key_ex(
        interop_ref(), type->name, NULL, zero, size);

    interop_subject("%s with the zero point", type->label);
    want = derive(ref, ref_peer, &plain, secret, &b);
    ERR_clear_error();
    CHECK_INT(derive(key, peer, &plain, secret, &a), want);
    CHECK_QUEUE_FILLED();
    EVP_PKEY_free(peer);
    EVP_PKEY_free(ref_peer);
}

static void test_context_answers_like_default(EVP_PKEY *key, EVP_PKEY *ref,
                                              const struct setting *setting)
{
    EVP_PKEY_CTX *got = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    EVP_PKEY_CTX *want = EVP_PKEY_CTX_new_from_pkey(interop_ref(), ref, NULL);
    struct setting s = *setting;
    OSSL_PARAM params[8];
    int ret;

    setting_params(&s, params);
    ret = EVP_PKEY_derive_init_ex(want, params);
    CHECK_INT(EVP_PKEY_derive_init_ex(got, params), ret);
    if (ret > 0) {
        check_same_ctx_params(got, want);
    }
    ERR_clear_error();
    EVP_PKEY_CTX_free(got);
    EVP_PKEY_CTX_free(want);
}

static void test_settings(EVP_PKEY *key, const struct key_type *type,
                          EVP_PKEY *other, const struct setting *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        interop_subject("%s %s", type->label, s[i].label);
        check_agree(key, key_reference(type), other, &s[i]);
        test_context_answers_like_default(key, key_reference(type), &s[i]);
    }
}

#if OPENSSL_VERSION_PREREQ(3, 5)
static uint16_t hpke_kem_of(const struct key_type *type)
{
    if (type->id == EVP_PKEY_X25519) {
        return OSSL_HPKE_KEM_ID_X25519;
    }
    if (type->id == EVP_PKEY_X448) {
        return OSSL_HPKE_KEM_ID_X448;
    }
    if (type->group == NULL) {
        return 0;
    }
    return strcmp(type->group, "P-256") == 0   ? OSSL_HPKE_KEM_ID_P256
           : strcmp(type->group, "P-384") == 0 ? OSSL_HPKE_KEM_ID_P384
           : strcmp(type->group, "P-521") == 0 ? OSSL_HPKE_KEM_ID_P521
                                               : 0;
}

/* What a sender seals for the key's public half, the key opens. */
static void test_hpke(EVP_PKEY *key, EVP_PKEY *ref, const struct key_type *type)
{
    OSSL_HPKE_SUITE suite = OSSL_HPKE_SUITE_DEFAULT;
    unsigned char public[ROOM], box[ROOM], sealed[ROOM], open[ROOM];
    size_t public_len = 0, box_len = sizeof(box);
    size_t sealed_len = sizeof(sealed), open_len = sizeof(open);
    OSSL_HPKE_CTX *to, *from;

    suite.kem_id = hpke_kem_of(type);
    if (suite.kem_id == 0) {
        return;
    }
    to = OSSL_HPKE_CTX_new(OSSL_HPKE_MODE_BASE, suite, OSSL_HPKE_ROLE_SENDER,
                           interop_ref(), NULL);
    from = OSSL_HPKE_CTX_new(OSSL_HPKE_MODE_BASE, suite,
                             OSSL_HPKE_ROLE_RECEIVER, NULL, NULL);
    CHECK(EVP_PKEY_get_octet_string_param(ref,
                                          OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY,
                                          public, sizeof(public), &public_len));
    CHECK_INT(OSSL_HPKE_encap(to, box, &box_len, public, public_len, NULL, 0),
              1);
    CHECK_INT(OSSL_HPKE_seal(to, sealed, &sealed_len, NULL, 0, box, public_len),
              1);
    CHECK_INT(OSSL_HPKE_decap(from, box, box_len, key, NULL, 0), 1);
    CHECK_INT(
        OSSL_HPKE_open(from, open, &open_len, NULL, 0, sealed, sealed_len), 1);
    CHECK(open_len == public_len && memcmp(open, box, open_len) == 0);
    box[box_len - 1] ^= 1;
    OSSL_HPKE_CTX_free(from);
    from = OSSL_HPKE_CTX_new(OSSL_HPKE_MODE_BASE, suite,
                             OSSL_HPKE_ROLE_RECEIVER, NULL, NULL);
    open_len = sizeof(open);
    CHECK(!OSSL_HPKE_decap(from, box, box_len, key, NULL, 0) ||
          !OSSL_HPKE_open(from, open, &open_len, NULL, 0, sealed, sealed_len));
    ERR_clear_error();
    OSSL_HPKE_CTX_free(to);
    OSSL_HPKE_CTX_free(from);
}
#else
static void test_hpke(EVP_PKEY *key, EVP_PKEY *ref, const struct key_type *type)
{
    (void)key;
    (void)ref;
    (void)type;
}
#endif

/* ---- numbers of small order ---------------------------------------------- */

static BIGNUM *number_of(EVP_PKEY *key, const char *name)
{
    BIGNUM *n = NULL;

    CHECK(EVP_PKEY_get_bn_param(key, name, &n) == 1);
    return n;
}

/* The smallest odd factor of |n| that is no factor of |q|. */
static unsigned small_factor(const BIGNUM *n, const BIGNUM *q)
{
    unsigned r = 3;

    while (r < 10000 && (BN_mod_word(n, r) != 0 || BN_mod_word(q, r) == 0)) {
        r += 2;
    }
    return r;
}

static EVP_PKEY *public_number(const char *type, const BIGNUM *p,
                               const BIGNUM *q, const BIGNUM *g,
                               const BIGNUM *number)
{
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    OSSL_PARAM *params;
    EVP_PKEY *key = NULL;

    CHECK(OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_FFC_P, p) &&
          OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_FFC_Q, q) &&
          OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_FFC_G, g) &&
          OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_PUB_KEY, number));
    params = OSSL_PARAM_BLD_to_param(bld);
    CHECK(EVP_PKEY_fromdata_init(ctx) > 0 &&
          EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) > 0);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(bld);
    EVP_PKEY_CTX_free(ctx);
    return key;
}

static int takes_peer(EVP_PKEY *key, EVP_PKEY *peer, int validate)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    int ok = EVP_PKEY_derive_init(ctx) > 0 &&
             EVP_PKEY_derive_set_peer_ex(ctx, peer, validate) > 0;

    EVP_PKEY_CTX_free(ctx);
    return ok;
}

/*
 * The secret with a number of order r tells the private number modulo r. What
 * libcrypto looks at outside can be left out, and it goes by the q that the
 * peer's key has.
 */
static void test_no_number_of_small_order(EVP_PKEY *key)
{
    BIGNUM *p = number_of(key, OSSL_PKEY_PARAM_FFC_P),
           *q = number_of(key, OSSL_PKEY_PARAM_FFC_Q),
           *g = number_of(key, OSSL_PKEY_PARAM_FFC_G),
           *own = number_of(key, OSSL_PKEY_PARAM_PUB_KEY), *n = BN_dup(p),
           *small = BN_new(), *order = BN_new();
    BN_CTX *bn = BN_CTX_new();
    EVP_PKEY *peer[3];

    CHECK(BN_sub_word(n, 1) && BN_set_word(order, small_factor(n, q)) &&
          BN_div(n, NULL, n, order, bn) && BN_one(small));
    for (BN_ULONG base = 2; BN_is_one(small); base++) {
        CHECK(BN_set_word(small, base) && BN_mod_exp(small, small, n, p, bn));
    }
    peer[0] = public_number("DHX", p, q, g, own);
    peer[1] = public_number("DHX", p, q, g, small);
    peer[2] = public_number("DHX", p, order, g, small);
    CHECK(takes_peer(key, peer[0], 0) && takes_peer(key, peer[0], 1));
    CHECK(!takes_peer(key, peer[1], 0));
    CHECK_QUEUE_FILLED();
    CHECK(!takes_peer(key, peer[2], 1));
    ERR_clear_error();
    for (int i = 0; i < 3; i++) {
        EVP_PKEY_free(peer[i]);
    }
    BN_CTX_free(bn);
    BN_free(order);
    BN_free(small);
    BN_free(n);
    BN_free(own);
    BN_free(g);
    BN_free(q);
    BN_free(p);
}

/* In a group of a safe prime a number is in it when it is a square, or not when
 * its negative is; what is no square tells whether the private number is odd.
 */
static void test_only_squares(EVP_PKEY *key)
{
    BIGNUM *p = number_of(key, OSSL_PKEY_PARAM_FFC_P),
           *q = number_of(key, OSSL_PKEY_PARAM_FFC_Q),
           *g = number_of(key, OSSL_PKEY_PARAM_FFC_G), *y = BN_new();

    for (BN_ULONG root = 0; root < 60; root++) {
        EVP_PKEY *square, *negative;

        CHECK(BN_set_word(y, root * root));
        square = public_number("DH", p, q, g, y);
        CHECK(BN_sub(y, p, y));
        negative = public_number("DH", p, q, g, y);
        CHECK_INT(takes_peer(key, square, 0), root > 1);
        CHECK(!takes_peer(key, negative, 0));
        CHECK_QUEUE_FILLED();
        ERR_clear_error();
        EVP_PKEY_free(negative);
        EVP_PKEY_free(square);
    }
    BN_free(y);
    BN_free(g);
    BN_free(q);
    BN_free(p);
}

static void test_type(const struct key_type *type)
{
    EVP_PKEY *ref = key_reference(type);
    EVP_PKEY *other = key_generate(interop_ref(), NULL, type);
    EVP_PKEY *key = key_load(type);

    interop_subject("%s", type->label);
    CHECK_HELD(key);
    test_settings(key, type, other, &plain, 1);
    if (type->id == EVP_PKEY_EC) {
        test_settings(key, type, other, for_ec,
                      sizeof(for_ec) / sizeof(for_ec[0]));
    } else if (type->id == EVP_PKEY_DH || type->id == EVP_PKEY_DHX) {
        test_settings(key, type, other, for_dh,
                      sizeof(for_dh) / sizeof(for_dh[0]));
        if (type->id == EVP_PKEY_DHX) {
            interop_subject("%s with a number of small order", type->label);
            test_no_number_of_small_order(key);
        } else {
            interop_subject("%s with a number that is no square", type->label);
            test_only_squares(key);
        }
    } else {
        test_zero_peer(key, ref, type);
    }
    interop_subject("%s buffers", type->label);
    test_small_buffers(key, ref, other);
    test_as_peer(key, ref, type);
    test_with_itself(key, ref, type);
    test_peers_of_other_types(key, ref, type);
    interop_subject("%s, HPKE", type->label);
    test_hpke(key, ref, type);
    EVP_PKEY_free(key);
    EVP_PKEY_free(other);
}

int main(void)
{
    const struct key_type *type;

    interop_start();
    for (size_t i = 0; (type = key_type_at(i)) != NULL; i++) {
        if (type->can & KEY_DERIVES) {
            test_type(type);
        }
    }
    return interop_finish();
}
