/*
 * direct_use_test.c - what an application computes itself, with the full
 * profile on: HMAC, HKDF, ECDH and X25519 know no handles. One that is given to
 * them is the bytes that it is, and nothing comes out that the secret behind it
 * would give. And published vectors are met.
 *
 * Seen to fail: when a key's text is read and its private number taken for a
 * traffic secret's handle; and with quic = protect, for HKDF. HMAC is nobody's
 * here but the default provider's.
 */
#include "../from_hex.h"
#include "../interop/interop.h"
#include "../interop/kdf_ask.h"
#include "groups.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/kdf.h>
#include <openssl/objects.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <string.h>

#define LEN 32
#define POINT (1 + 2 * LEN)

/* ---- computing, on either side ------------------------------------------- */

/* The public key of P-256 for the private number |own|. */
static void point_of(const unsigned char *own, unsigned char point[POINT])
{
    EC_GROUP *g = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
    EC_POINT *p = EC_POINT_new(g);
    BIGNUM *n = BN_bin2bn(own, LEN, NULL);

    CHECK(EC_POINT_mul(g, p, n, NULL, NULL, NULL));
    CHECK(EC_POINT_point2oct(g, p, POINT_CONVERSION_UNCOMPRESSED, point, POINT,
                             NULL) == POINT);
    BN_free(n);
    EC_POINT_free(p);
    EC_GROUP_free(g);
}

static EVP_PKEY *from_params(OSSL_LIB_CTX *side, int selection,
                             OSSL_PARAM *params)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(side, "EC", NULL);
    EVP_PKEY *key = NULL;

    CHECK(EVP_PKEY_fromdata_init(ctx) > 0);
    CHECK(EVP_PKEY_fromdata(ctx, &key, selection, params) > 0);
    EVP_PKEY_CTX_free(ctx);
    return key;
}

static EVP_PKEY *p256_public(OSSL_LIB_CTX *side, unsigned char point[POINT])
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *)"P-256", 5),
        OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, POINT),
        OSSL_PARAM_END};

    return from_params(side, EVP_PKEY_PUBLIC_KEY, params);
}

static EVP_PKEY *p256_private(OSSL_LIB_CTX *side, const unsigned char *own)
{
    unsigned char point[POINT], native[LEN];
    OSSL_PARAM params[] = {
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *)"P-256", 5),
        OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, POINT),
        OSSL_PARAM_BN(OSSL_PKEY_PARAM_PRIV_KEY, native, LEN), OSSL_PARAM_END};

    point_of(own, point);
    for (size_t i = 0; i < LEN; i++) {
        native[i] = own[LEN - 1 - i];
    }
    return from_params(side, EVP_PKEY_KEYPAIR, params);
}

/* Takes both keys over. */
static void agree(OSSL_LIB_CTX *side, EVP_PKEY *own, EVP_PKEY *peer,
                  unsigned char secret[LEN])
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(side, own, NULL);
    size_t len = LEN;

    CHECK(EVP_PKEY_derive_init(ctx) > 0);
    CHECK(EVP_PKEY_derive_set_peer(ctx, peer) > 0);
    CHECK(EVP_PKEY_derive(ctx, secret, &len) > 0);
    CHECK_INT((long long)len, LEN);
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(own);
    EVP_PKEY_free(peer);
}

/* Who computes: the reference; with a key that the program makes of its bytes,
 * which is not protected (docs/limits.md); or with one that it loads, which is.
 */
enum way { REFERENCE, IN_THE_CLEAR, HELD, WAYS };

static OSSL_LIB_CTX *side_of_way(enum way way)
{
    return way == REFERENCE ? interop_ref() : NULL;
}

/* |key|, or what the other side loads of its text; takes it over. */
static EVP_PKEY *as_held(EVP_PKEY *key, enum way way)
{
    const unsigned char *text;
    unsigned char *der = NULL;
    int len;

    if (way != HELD) {
        return key;
    }
    len = i2d_PrivateKey(key, &der);
    EVP_PKEY_free(key);
    CHECK(len > 0);
    text = der;
    key = d2i_AutoPrivateKey_ex(NULL, &text, len, NULL, NULL);
    OPENSSL_free(der);
    CHECK_HELD(key);
    return key;
}

/* The x coordinate that the private number |own| and |peer| agree on. */
static void ecdh(enum way way, const unsigned char *own,
                 unsigned char peer[POINT], unsigned char secret[LEN])
{
    OSSL_LIB_CTX *from = side_of_way(way == HELD ? REFERENCE : way);

    agree(side_of_way(way), as_held(p256_private(from, own), way),
          p256_public(side_of_way(way), peer), secret);
}

static void x25519(enum way way, const unsigned char *own,
                   const unsigned char *peer, unsigned char secret[LEN])
{
    OSSL_LIB_CTX *from = side_of_way(way == HELD ? REFERENCE : way);
    EVP_PKEY *key =
        EVP_PKEY_new_raw_private_key_ex(from, "X25519", NULL, own, LEN);

    agree(side_of_way(way), as_held(key, way),
          EVP_PKEY_new_raw_public_key_ex(side_of_way(way), "X25519", NULL, peer,
                                         LEN),
          secret);
}

static void hmac(OSSL_LIB_CTX *side, const unsigned char *key, size_t len,
                 unsigned char out[LEN])
{
    size_t n = 0;

    CHECK(EVP_Q_mac(side, "HMAC", NULL, "SHA256", NULL, key, len,
                    (const unsigned char *)"a message", 9, out, LEN,
                    &n) != NULL);
    CHECK_INT((long long)n, LEN);
}

static void hkdf(OSSL_LIB_CTX *side, const unsigned char *key, size_t len,
                 int mode, unsigned char out[LEN])
{
    EVP_KDF *kdf = EVP_KDF_fetch(side, "HKDF", NULL);
    EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
    /* As TLS 1.3 has it for "key" (RFC 8446 7.1). */
    const OSSL_PARAM params[] = {
        OSSL_PARAM_int(OSSL_KDF_PARAM_MODE, &mode),
        OSSL_PARAM_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)"SHA256", 6),
        OSSL_PARAM_octet_string(OSSL_KDF_PARAM_KEY, (void *)key, len),
        OSSL_PARAM_octet_string(OSSL_KDF_PARAM_INFO,
                                (char *)"\0\40\11tls13 key\0", 13),
        OSSL_PARAM_END};

    CHECK_STR(OSSL_PROVIDER_get0_name(EVP_KDF_get0_provider(kdf)), "default");
    CHECK(EVP_KDF_derive(ctx, out, LEN, params) > 0);
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
}

/* ---- handles ------------------------------------------------------------- */

/* Handles of which we know what they stand for: a traffic secret, whose early
 * secret is of nothing but zeros; and a pre-master secret, whose other side is
 * ours too. */
static void a_traffic_handle(unsigned char handle[LEN],
                             unsigned char secret[LEN])
{
    unsigned char stage[LEN], hash[LEN] = {1};

    for (int i = 0; i < 2; i++) {
        OSSL_LIB_CTX *side = i == 0 ? NULL : interop_ref();

        CHECK(ask_extract(side, "SHA2-256", NULL, NONE, stage));
        CHECK(ask_expand(side, "SHA2-256", stage, "c e traffic",
                         BYTES(hash, LEN), i == 0 ? handle : secret, LEN));
    }
}

static size_t a_premaster_handle(unsigned char handle[GROUP_SECRET_ROOM],
                                 unsigned char secret[LEN])
{
    static const unsigned char nine[LEN] = {9};
    unsigned char own[LEN], public[LEN], *theirs = NULL;
    struct groups groups;
    EVP_PKEY *pair, *peer;
    size_t len;

    groups_of(NULL, "MPK", &groups);
    CHECK(RAND_bytes(own, LEN) == 1);
    x25519(REFERENCE, own, nine, public);
    pair = group_pair(group_find(&groups, "x25519"));
    peer = group_peer(pair, public, LEN);
    CHECK(EVP_PKEY_get1_encoded_public_key(pair, &theirs) == LEN);
    len = group_derive(pair, peer, handle);
    CHECK_INT((long long)len, LEN + 16);
    x25519(REFERENCE, own, theirs, secret);
    OPENSSL_free(theirs);
    EVP_PKEY_free(peer);
    EVP_PKEY_free(pair);
    return len;
}

static void same_as_bytes(const unsigned char got[LEN],
                          const unsigned char of_bytes[LEN],
                          const unsigned char of_secret[LEN])
{
    CHECK_MEM(got, LEN, of_bytes, LEN);
    CHECK(memcmp(got, of_secret, LEN) != 0);
}

/* Any |len| bytes, and as a private number the first and the last of them. */
static void test_handle_is_bytes(const unsigned char *handle, size_t len,
                                 const unsigned char secret[LEN])
{
    unsigned char got[LEN], want[LEN], hidden[LEN], point[POINT];
    static const unsigned char number[LEN] = {7};

    hmac(NULL, handle, len, got);
    hmac(interop_ref(), handle, len, want);
    hmac(interop_ref(), secret, LEN, hidden);
    same_as_bytes(got, want, hidden);
    for (int mode = EVP_KDF_HKDF_MODE_EXTRACT_AND_EXPAND;
         mode <= EVP_KDF_HKDF_MODE_EXPAND_ONLY; mode++) {
        hkdf(NULL, handle, len, mode, got);
        hkdf(interop_ref(), handle, len, mode, want);
        hkdf(interop_ref(), secret, LEN, mode, hidden);
        same_as_bytes(got, want, hidden);
    }
    point_of(number, point);
    for (size_t at = 0; at + LEN <= len; at += 16) {
        for (enum way way = IN_THE_CLEAR; way < WAYS; way++) {
            x25519(way, handle + at, point + 1, got);
            x25519(REFERENCE, handle + at, point + 1, want);
            x25519(REFERENCE, secret, point + 1, hidden);
            same_as_bytes(got, want, hidden);
            ecdh(way, handle + at, point, got);
            ecdh(REFERENCE, handle + at, point, want);
            ecdh(REFERENCE, secret, point, hidden);
            same_as_bytes(got, want, hidden);
        }
    }
}

/* ---- vectors ------------------------------------------------------------- */

static const struct vector {
    const char *own, *public, *peer_own, *peer, *secret;
} x25519_vector = /* RFC 7748, 6.1 */
    {"77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
     "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
     "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
     "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
     "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"},
  p256_vector = /* RFC 5903, 8.1, and 4 before each point */
  {"c88f01f510d9ac3f70a292daa2316de544e9aab8afe84049c62a9c57862d1433",
   "04"
   "dad0b65394221cf9b051e1feca5787d098dfe637fc90b9ef945d0c3772581180"
   "5271a0461cdb8252d61f1c456fa3e59ab1f45b33accf5f58389e0577b8990bb3",
   "c6ef9c5d78ae012a011164acb397ce2088685d8f06bf9be0b283ab46476bee53",
   "04"
   "d12dfb5289c8d4f81208b70270398c342296970a0bccb74c736fc7554494bf63"
   "56fbf3ca366cc23e8157854c13c58d6aac23f046ada30f8353e74f33039872ab",
   "d6840f6b42f6edafd13116e0e12565202fef8e9ece7dce03812464d04b9442de"};

struct exchange {
    unsigned char own[LEN], public[POINT], peer_own[LEN], peer[POINT];
    unsigned char secret[LEN];
};

static struct exchange from_vector(const struct vector *v)
{
    struct exchange e;

    from_hex(e.own, v->own);
    from_hex(e.public, v->public);
    from_hex(e.peer_own, v->peer_own);
    from_hex(e.peer, v->peer);
    from_hex(e.secret, v->secret);
    return e;
}

static void test_x25519_of_rfc_7748(enum way way)
{
    static const unsigned char nine[LEN] = {9};
    struct exchange e = from_vector(&x25519_vector);
    unsigned char got[LEN];

    interop_subject("X25519, RFC 7748");
    x25519(way, e.own, nine, got);
    CHECK_MEM(got, LEN, e.public, LEN);
    x25519(way, e.peer_own, nine, got);
    CHECK_MEM(got, LEN, e.peer, LEN);
    x25519(way, e.own, e.peer, got);
    CHECK_MEM(got, LEN, e.secret, LEN);
    x25519(way, e.peer_own, e.public, got);
    CHECK_MEM(got, LEN, e.secret, LEN);
}

static void test_ecdh_of_rfc_5903(enum way way)
{
    struct exchange e = from_vector(&p256_vector);
    unsigned char got[LEN], point[POINT];

    interop_subject("ECDH, RFC 5903");
    point_of(e.own, point);
    CHECK_MEM(point, POINT, e.public, POINT);
    point_of(e.peer_own, point);
    CHECK_MEM(point, POINT, e.peer, POINT);
    ecdh(way, e.own, e.peer, got);
    CHECK_MEM(got, LEN, e.secret, LEN);
    ecdh(way, e.peer_own, e.public, got);
    CHECK_MEM(got, LEN, e.secret, LEN);
}

int main(void)
{
    unsigned char handle[GROUP_SECRET_ROOM], secret[LEN];
    size_t len;

    interop_start();
    interop_subject("the handle of a traffic secret");
    a_traffic_handle(handle, secret);
    test_handle_is_bytes(handle, LEN, secret);
    interop_subject("the handle of a pre-master secret");
    len = a_premaster_handle(handle, secret);
    test_handle_is_bytes(handle, len, secret);
    for (enum way way = IN_THE_CLEAR; way < WAYS; way++) {
        test_x25519_of_rfc_7748(way);
        test_ecdh_of_rfc_5903(way);
    }
    return interop_finish();
}
