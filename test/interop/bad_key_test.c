/*
 * bad_key_test.c - key files that are damaged, of the wrong kind or far too
 * large. Each gives one error, or a key of ours that refuses to be used, or,
 * where a key has other numbers now, one that is ours all the same. Never does
 * another provider get it, nothing crashes, and nothing is left behind: all of
 * it is done twice, and after the second time memory is as it was after the
 * first.
 */
#include "interop.h"
#include "keys.h"
#include "ops.h"

#include "../attack/module.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/store.h>

#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct der {
    unsigned char *p;
    size_t len;
};

enum verdict {
    NO_KEY, /* an error, or a key of ours that cannot be used */
    OURS,   /* the same, or a key of ours that can */
};

/* Some thousand keys are read each time: what is left of each would show. */
static unsigned long n_errors, n_refused, n_usable;

static bool is_slow(void)
{
    return getenv("MPK_VM") != NULL || getenv("MPK_TEST_SLOW") != NULL;
}

/* All with MPK_TEST_LONG=1; where instructions are emulated or instrumented
 * there are fewest. */
static size_t stride(size_t n)
{
    return is_slow() ? 11 * n : getenv("MPK_TEST_LONG") != NULL ? n : 3 * n;
}

/* ---- reading ------------------------------------------------------------- */

static EVP_PKEY *read_pem(const void *p, size_t len, const char *passphrase)
{
    BIO *bio = BIO_new_mem_buf(p, (int)len);
    EVP_PKEY *key =
        PEM_read_bio_PrivateKey(bio, NULL, NULL, (void *)passphrase);

    BIO_free(bio);
    return key;
}

static EVP_PKEY *read_der(const void *p, size_t len)
{
    BIO *bio = BIO_new_mem_buf(p, (int)len);
    EVP_PKEY *key = d2i_PrivateKey_bio(bio, NULL);

    BIO_free(bio);
    return key;
}

static EVP_PKEY *read_uri(const void *p, size_t len)
{
    const char *path = interop_file("bad.key", p, len);
    EVP_PKEY *key = NULL;
    OSSL_STORE_INFO *info;
    OSSL_STORE_CTX *store;
    char uri[300];

    snprintf(uri, sizeof(uri), "mpk:%s", path);
    store = OSSL_STORE_open(uri, NULL, NULL, NULL, NULL);
    while (store != NULL && key == NULL && !OSSL_STORE_eof(store)) {
        info = OSSL_STORE_load(store);
        if (info == NULL) {
            break;
        }
        key = OSSL_STORE_INFO_get1_PKEY(info);
        OSSL_STORE_INFO_free(info);
    }
    OSSL_STORE_close(store);
    return key;
}

/* Larger numbers take minutes, in any provider. Of ML-DSA and ML-KEM it is the
 * public key's length that is told. */
static bool is_quick(EVP_PKEY *key, const struct key_type *type)
{
    return EVP_PKEY_get_bits(key) <= 4096 || strncmp(type->name, "ML-", 3) == 0;
}

static bool can_sign(EVP_PKEY *key, const char *md)
{
    struct bytes sig;
    bool ok = digest_sign(key, md, NULL, "x", 1, &sig);

    bytes_free(&sig);
    return ok;
}

/* With itself as its peer. */
static bool can_derive(EVP_PKEY *key)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    unsigned char secret[1024];
    size_t len = sizeof(secret);
    bool ok = EVP_PKEY_derive_init(ctx) > 0 &&
              EVP_PKEY_derive_set_peer(ctx, key) > 0 &&
              EVP_PKEY_derive(ctx, secret, &len) > 0;

    EVP_PKEY_CTX_free(ctx);
    return ok;
}

static bool can_work(EVP_PKEY *key, const struct key_type *type)
{
    if (type->can & KEY_SIGNS) {
        return can_sign(key, type->md);
    }
    return type->can & KEY_ENCAPSULATES ? decapsulates(key, key_reference(type))
                                        : can_derive(key);
}

/* Takes |key|. */
static void judge(EVP_PKEY *key, const struct key_type *type,
                  enum verdict verdict)
{
    bool works;

    if (key == NULL) {
        CHECK_QUEUE_FILLED();
        n_errors++;
        return;
    }
    CHECK_HELD(key);
    ERR_clear_error();
    if (is_quick(key, type)) {
        works = can_work(key, type);
        n_usable += works;
        n_refused += !works;
        CHECK(verdict == OURS || !works);
        CHECK(works || ERR_peek_error() != 0);
    } else {
        CHECK(verdict == OURS);
    }
    ERR_clear_error();
    EVP_PKEY_free(key);
}

/* ---- writing ------------------------------------------------------------- */

static struct der pkcs8(const struct key_type *type)
{
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key_reference(type));
    struct der d = {NULL, 0};

    d.len = (size_t)i2d_PKCS8_PRIV_KEY_INFO(info, &d.p);
    PKCS8_PRIV_KEY_INFO_free(info);
    return d;
}

static struct der traditional(const struct key_type *type)
{
    struct der d = {NULL, 0};

    d.len = (size_t)i2d_PrivateKey(key_reference(type), &d.p);
    return d;
}

/* PEM of |len| bytes, to be freed with BIO_free. */
static BIO *as_pem(const char *label, const void *p, size_t len)
{
    BIO *bio = BIO_new(BIO_s_mem());

    CHECK(PEM_write_bio(bio, label, "", p, (long)len) > 0);
    return bio;
}

static void try_pem(const struct key_type *type, const char *label,
                    const void *p, size_t len, enum verdict verdict)
{
    BIO *bio = as_pem(label, p, len);
    char *text;
    size_t size = (size_t)BIO_get_mem_data(bio, &text);

    judge(read_pem(text, size, NULL), type, verdict);
    BIO_free(bio);
}

/* ---- damage -------------------------------------------------------------- */

static void cut_short(const struct key_type *type, const char *label,
                      const struct der *d)
{
    for (size_t len = 1; len < d->len; len += stride(7)) {
        interop_subject("%s, %s, %zu of %zu bytes", type->label, label, len,
                        d->len);
        try_pem(type, label, d->p, len, NO_KEY);
        judge(read_der(d->p, len), type, NO_KEY);
    }
}

static void cut_text(const struct key_type *type, const char *label,
                     const struct der *d)
{
    BIO *bio = as_pem(label, d->p, d->len);
    char *text;
    size_t size = (size_t)BIO_get_mem_data(bio, &text);

    /* Without the last line break it is whole. */
    for (size_t len = 0; len + 1 < size; len += stride(27)) {
        interop_subject("%s, %s, %zu of %zu characters", type->label, label,
                        len, size);
        judge(read_pem(text, len, NULL), type, NO_KEY);
    }
    BIO_free(bio);
}

static void flip_bits(const struct key_type *type, const char *label,
                      const struct der *d)
{
    for (size_t at = 0; at < d->len; at += stride(d->len / 64 + 1)) {
        unsigned char bit = (unsigned char)(1 << (at % 8));

        interop_subject("%s, %s, a bit of byte %zu", type->label, label, at);
        d->p[at] ^= bit;
        try_pem(type, label, d->p, d->len, OURS);
        judge(read_der(d->p, d->len), type, OURS);
        d->p[at] ^= bit;
    }
}

static void try_labels(const struct key_type *type, const struct der *d)
{
    static const char *const labels[] = {
        "RSA PRIVATE KEY",     "EC PRIVATE KEY",        "DSA PRIVATE KEY",
        "FOO PRIVATE KEY",     "ENCRYPTED PRIVATE KEY", "PUBLIC KEY",
        "CERTIFICATE",         "private key",           " PRIVATE KEY",
        "PRIVATE KEY ",        "ANY PRIVATE KEY",       "DH PARAMETERS",
        "X9.42 DH PRIVATE KEY"};

    for (size_t i = 0; i < sizeof(labels) / sizeof(labels[0]); i++) {
        interop_subject("%s, labelled \"%s\"", type->label, labels[i]);
        try_pem(type, labels[i], d->p, d->len, OURS);
    }
}

static void test_damage(const struct key_type *type)
{
    struct der d = pkcs8(type);

    cut_short(type, PEM_STRING_PKCS8INF, &d);
    cut_text(type, PEM_STRING_PKCS8INF, &d);
    flip_bits(type, PEM_STRING_PKCS8INF, &d);
    try_labels(type, &d);
    OPENSSL_free(d.p);
    if (type->id == EVP_PKEY_RSA || type->id == EVP_PKEY_EC) {
        const char *label =
            type->id == EVP_PKEY_RSA ? PEM_STRING_RSA : PEM_STRING_ECPRIVATEKEY;

        d = traditional(type);
        cut_short(type, label, &d);
        cut_text(type, label, &d);
        flip_bits(type, label, &d);
        try_labels(type, &d);
        OPENSSL_free(d.p);
    }
}

/* ---- numbers that make no sense ------------------------------------------ */

/* Puts |fill| over the number |name| wherever it is in the DER. */
static bool put_number(const struct key_type *type, struct der *d,
                       const char *name, int fill, int last)
{
    unsigned char bytes[1024], *at;
    BIGNUM *n = NULL;
    size_t len;

    if (!EVP_PKEY_get_bn_param(key_reference(type), name, &n)) {
        ERR_clear_error();
        return false;
    }
    len = (size_t)BN_bn2bin(n, bytes);
    BN_free(n);
    at = memmem(d->p, d->len, bytes, len);
    if (at == NULL) {
        return false;
    }
    if (fill >= 0) {
        memset(at, fill, len);
    }
    at[len - 1] = (unsigned char)(last >= 0 ? last : at[len - 1] & 0xfe);
    return true;
}

static void test_numbers(const struct key_type *type)
{
    static const struct {
        const char *label, *param;
        int fill, last; /* -1: as it is; the last byte made even */
        enum verdict verdict;
    } rows[] = {
        {"an even modulus", OSSL_PKEY_PARAM_RSA_N, -1, -1, OURS},
        {"a modulus of 0", OSSL_PKEY_PARAM_RSA_N, 0, 0, NO_KEY},
        {"a modulus of 1", OSSL_PKEY_PARAM_RSA_N, 0, 1, NO_KEY},
        {"a private exponent of 0", OSSL_PKEY_PARAM_RSA_D, 0, 0, OURS},
        {"an even prime", OSSL_PKEY_PARAM_RSA_FACTOR1, -1, -1, OURS},
        {"a prime of 0", OSSL_PKEY_PARAM_RSA_FACTOR1, 0, 0, OURS},
        {"a prime of 1", OSSL_PKEY_PARAM_RSA_FACTOR2, 0, 1, OURS},
        {"all exponents huge", OSSL_PKEY_PARAM_RSA_EXPONENT1, 0xff, 0xff, OURS},
        /* Bad as it is, OpenSSL signs with it. */
        {"a private number of 0", OSSL_PKEY_PARAM_PRIV_KEY, 0, 0, OURS},
        {"a private number beyond the order", OSSL_PKEY_PARAM_PRIV_KEY, 0xff,
         0xff, OURS},
        {"an order of 0", OSSL_PKEY_PARAM_FFC_Q, 0, 0, OURS},
        {"an order of 1", OSSL_PKEY_PARAM_FFC_Q, 0, 1, NO_KEY},
        {"a generator of 0", OSSL_PKEY_PARAM_FFC_G, 0, 0, NO_KEY},
        {"a generator of 1", OSSL_PKEY_PARAM_FFC_G, 0, 1, OURS},
        {"an even field", OSSL_PKEY_PARAM_FFC_P, -1, -1, NO_KEY},
        {"a field of 0", OSSL_PKEY_PARAM_FFC_P, 0, 0, NO_KEY},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct der d = pkcs8(type);

        interop_subject("%s, %s", type->label, rows[i].label);
        if (put_number(type, &d, rows[i].param, rows[i].fill, rows[i].last)) {
            try_pem(type, PEM_STRING_PKCS8INF, d.p, d.len, rows[i].verdict);
            judge(read_der(d.p, d.len), type, rows[i].verdict);
        }
        OPENSSL_free(d.p);
    }
}

/* prime256v1 has neighbours whose names are as long. */
static void test_wrong_curve(void)
{
    static const unsigned char p256[] = {0x2a, 0x86, 0x48, 0xce,
                                         0x3d, 0x03, 0x01, 0x07};
    const struct key_type *type = key_type_find("P-256");

    for (unsigned char curve = 0; curve < 16; curve++) {
        struct der d = pkcs8(type);
        unsigned char *at = memmem(d.p, d.len, p256, sizeof(p256));

        interop_subject("a P-256 key on curve 1.2.840.10045.3.1.%d", curve);
        if (curve != 7 && CHECK(at != NULL)) {
            at[7] = curve;
            try_pem(type, PEM_STRING_PKCS8INF, d.p, d.len, NO_KEY);
            judge(read_der(d.p, d.len), type, NO_KEY);
        }
        OPENSSL_free(d.p);
    }
}

/* ---- what would be computed for hours, or for ever ----------------------- */

/* The DER of a key of the default provider's; frees |bld|. */
static struct der der_of(const char *type, OSSL_PARAM_BLD *bld)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(interop_ref(), type, NULL);
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
    struct der d = {NULL, 0};
    EVP_PKEY *key = NULL;
    int len;

    CHECK(EVP_PKEY_fromdata_init(ctx) > 0 &&
          EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params) > 0);
    len = key != NULL ? i2d_PrivateKey(key, &d.p) : 0;
    d.len = len > 0 ? (size_t)len : 0;
    EVP_PKEY_free(key);
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(bld);
    return d;
}

/* A number of |bits|; |*p| goes on behind it. */
static void put_integer(unsigned char **p, int bits)
{
    BIGNUM *n = BN_new();
    ASN1_INTEGER *der = NULL;

    CHECK(BN_set_bit(n, bits - 1) && BN_set_bit(n, 0) &&
          (der = BN_to_ASN1_INTEGER(n, NULL)) != NULL &&
          i2d_ASN1_INTEGER(der, p) > 0);
    ASN1_INTEGER_free(der);
    BN_free(n);
}

/* RFC 8017 A.1.2, with no primes, and nothing that fits; the modulus and a
 * factor have |bits|. The default provider of 3.5 makes no such key. */
static void test_long_numbers(int bits)
{
    static const unsigned char version[] = {2, 1, 0};
    unsigned char numbers[8192], seq[8192], *end = numbers, *out = seq;
    size_t len;

    memcpy(end, version, sizeof(version));
    end += sizeof(version);
    for (int i = 0; i < 8; i++) {
        put_integer(&end, i == 0 || i == 3 ? bits : 1001);
    }
    len = (size_t)(end - numbers);
    ASN1_put_object(&out, 1, (int)len, V_ASN1_SEQUENCE, V_ASN1_UNIVERSAL);
    memcpy(out, numbers, len);
    interop_subject("a factor of %d bits", bits);
    try_pem(key_type_find("RSA-2048"), PEM_STRING_RSA, seq,
            len + (size_t)(out - seq), bits > 16384 ? NO_KEY : OURS);
}

/* It refuses, and was not decoded first. */
static void is_too_long(const void *p, size_t len)
{
    EVP_PKEY *key = read_uri(p, len);

    CHECK(key != NULL && !can_sign(key, "SHA256") &&
          interop_queue_says("numbers are too long"));
    judge(key, key_type_find("DSA"), NO_KEY);
}

/* PKCS#8 has no public key, which decoding computes: p and x are to have that
 * many bits. */
static void test_a_long_public_key(int bits_of_p, int bits_of_x)
{
    unsigned char numbers[3 * 16384], *end = numbers, *seq = NULL;
    unsigned char *x = OPENSSL_malloc(16384), *x_end = x;
    PKCS8_PRIV_KEY_INFO *p8 = PKCS8_PRIV_KEY_INFO_new();
    ASN1_STRING *pqg = ASN1_STRING_new();
    struct der d = {NULL, 0};
    int len;

    put_integer(&end, bits_of_p);
    put_integer(&end, 256);
    put_integer(&end, 256);
    put_integer(&x_end, bits_of_x);
    len = (int)(end - numbers);
    CHECK((seq = OPENSSL_malloc((size_t)len + 8)) != NULL);
    end = seq;
    ASN1_put_object(&end, 1, len, V_ASN1_SEQUENCE, V_ASN1_UNIVERSAL);
    memcpy(end, numbers, (size_t)len);
    CHECK(ASN1_STRING_set(pqg, seq, len + (int)(end - seq)) &&
          PKCS8_pkey_set0(p8, OBJ_nid2obj(NID_dsa), 0, V_ASN1_SEQUENCE, pqg, x,
                          (int)(x_end - x)));
    d.len = (size_t)i2d_PKCS8_PRIV_KEY_INFO(p8, &d.p);
    interop_subject("DSA, p of %d bits, x of %d", bits_of_p, bits_of_x);
    is_too_long(d.p, d.len);
    PKCS8_PRIV_KEY_INFO_free(p8);
    OPENSSL_free(seq);
    OPENSSL_free(d.p);
}

/* So it is in Microsoft's form. */
static void test_a_long_blob(void)
{
    static const unsigned char head[] = {
        7, 2, 0, 0, 0, 0x22, 0, 0, 'D', 'S', 'S', '2', 0, 0x39, 6}; /* bits */
    const size_t p = 0x63900 / 8, size = 16 + 2 * p + 64;
    unsigned char *blob = OPENSSL_zalloc(size);

    memcpy(blob, head, sizeof(head));
    for (size_t at = 16; at < size; at++) {
        blob[at] = 0x5b;
    }
    interop_subject("DSA, a blob");
    is_too_long(blob, size);
    OPENSSL_free(blob);
}

/* There is no number above 0 and below 1, and a new key has to have one. */
static void test_an_order_of_one(void)
{
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    EC_GROUP *group = EC_GROUP_new_by_curve_name(NID_secp256k1);
    BIGNUM *p = BN_new(), *a = BN_new(), *b = BN_new();
    unsigned char point[65];
    EVP_PKEY *key, *new = NULL;
    EVP_PKEY_CTX *ctx;
    struct der d;

    CHECK(
        EC_GROUP_get_curve(group, p, a, b, NULL) &&
        EC_POINT_point2oct(group, EC_GROUP_get0_generator(group),
                           POINT_CONVERSION_UNCOMPRESSED, point, sizeof(point),
                           NULL) == sizeof(point) &&
        OSSL_PARAM_BLD_push_utf8_string(bld, "field-type", "prime-field", 0) &&
        OSSL_PARAM_BLD_push_BN(bld, "p", p) &&
        OSSL_PARAM_BLD_push_BN(bld, "a", a) &&
        OSSL_PARAM_BLD_push_BN(bld, "b", b) &&
        OSSL_PARAM_BLD_push_octet_string(bld, "generator", point,
                                         sizeof(point)) &&
        OSSL_PARAM_BLD_push_BN(bld, "order", BN_value_one()) &&
        OSSL_PARAM_BLD_push_BN(bld, "priv", BN_value_one()) &&
        OSSL_PARAM_BLD_push_octet_string(bld, "pub", point, sizeof(point)));
    d = der_of("EC", bld);
    interop_subject("a curve of order 1");
    judge(read_der(d.p, d.len), key_type_find("secp256k1"), NO_KEY);
    key = read_der(d.p, d.len);
    ctx = key != NULL ? EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL) : NULL;
    CHECK(ctx == NULL || EVP_PKEY_keygen_init(ctx) <= 0 ||
          EVP_PKEY_keygen(ctx, &new) <= 0);
    ERR_clear_error();
    EVP_PKEY_free(new);
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(key);
    OPENSSL_free(d.p);
    BN_free(p);
    BN_free(a);
    BN_free(b);
    EC_GROUP_free(group);
}

/* ---- passphrases --------------------------------------------------------- */

static void test_passphrases(const struct key_type *type)
{
    static const struct {
        const char *label, *given;
        enum verdict verdict;
        const char *says;
    } rows[] = {
        {"a wrong passphrase", "wrong", NO_KEY, "passphrase"},
        {"an empty passphrase", "", NO_KEY, "passphrase"},
        {"the right passphrase", "right", OURS, NULL},
    };
    BIO *bio = BIO_new(BIO_s_mem());
    char *text;
    size_t len;

    CHECK(PEM_write_bio_PKCS8PrivateKey(
        bio, key_reference(type), EVP_aes_256_cbc(), "right", 5, NULL, NULL));
    len = (size_t)BIO_get_mem_data(bio, &text);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        EVP_PKEY *key = read_pem(text, len, rows[i].given);

        interop_subject("%s, %s", type->label, rows[i].label);
        if (interop_protected() && rows[i].says != NULL && key == NULL) {
            /* The reason may be lost from 4.0 on: see errors_test. */
            CHECK(interop_queue_says(rows[i].says) ||
                  OpenSSL_version_num() >= 0x40000000UL);
            n_errors++;
        } else {
            judge(key, type, rows[i].verdict);
        }
    }
    BIO_free(bio);
}

/* aes-256-cbc by another number, in the encryption of a key. */
static void test_unknown_cipher(const struct key_type *type)
{
    static const unsigned char aes[] = {0x60, 0x86, 0x48, 0x01, 0x65,
                                        0x03, 0x04, 0x01, 0x2a};
    BIO *bio = BIO_new(BIO_s_mem());
    unsigned char *der, *at;
    EVP_PKEY *key;
    size_t len;

    interop_subject("%s, an unknown cipher", type->label);
    CHECK(i2d_PKCS8PrivateKey_bio(bio, key_reference(type), EVP_aes_256_cbc(),
                                  "right", 5, NULL, NULL));
    len = (size_t)BIO_get_mem_data(bio, &der);
    at = memmem(der, len, aes, sizeof(aes));
    if (CHECK(at != NULL)) {
        BIO *pem;
        char *text;
        size_t size;

        at[8] = 0x7f;
        pem = as_pem(PEM_STRING_PKCS8, der, len);
        size = (size_t)BIO_get_mem_data(pem, &text);
        key = read_pem(text, size, "right");
        judge(key, type, NO_KEY);
        BIO_free(pem);
    }
    BIO_free(bio);
}

/* ---- sizes --------------------------------------------------------------- */

static unsigned char *big(size_t len, int c)
{
    unsigned char *p = interop_new(len);

    memset(p, c, len);
    return p;
}

/* |len| bytes of DER that begin as a sequence of that length. */
static unsigned char *long_sequence(size_t len)
{
    unsigned char *p = big(len, 0);
    size_t body = len - 6;

    p[0] = 0x30;
    p[1] = 0x84;
    for (int i = 0; i < 4; i++) {
        p[2 + i] = (unsigned char)(body >> (24 - 8 * i));
    }
    return p;
}

static void test_size(const struct key_type *type, size_t len)
{
    struct der d = pkcs8(type);
    BIO *key = as_pem(PEM_STRING_PKCS8INF, d.p, d.len);
    unsigned char *p;
    char *text;
    size_t size = (size_t)BIO_get_mem_data(key, &text);

    interop_subject("%zu bytes of DER", len);
    p = long_sequence(len);
    judge(read_der(p, len), type, NO_KEY);
    try_pem(type, PEM_STRING_PKCS8INF, p, len, NO_KEY);
    try_pem(type, PEM_STRING_RSA, p, len, NO_KEY);
    if (interop_protected()) {
        judge(read_uri(p, len), type, NO_KEY);
    }
    free(p);
    interop_subject("%zu zeros", len);
    p = big(len, 0);
    judge(read_pem(p, len, NULL), type, NO_KEY);
    judge(read_der(p, len), type, NO_KEY);
    if (interop_protected()) {
        judge(read_uri(p, len), type, NO_KEY);
    }
    free(p);
    interop_subject("a block's begin and %zu characters", len);
    p = big(len, 'A');
    memcpy(p, "-----BEGIN PRIVATE KEY-----\n", 28);
    judge(read_pem(p, len, NULL), type, NO_KEY);
    if (interop_protected()) {
        judge(read_uri(p, len), type, NO_KEY);
    }
    free(p);
    interop_subject("%zu characters and then a key", len);
    p = big(len + size, '\n');
    memcpy(p + len, text, size);
    judge(read_pem(p, len + size, NULL), type, OURS);
    free(p);
    interop_subject("a key and then %zu characters", len);
    p = big(len + size, 'x');
    memcpy(p, text, size);
    judge(read_pem(p, len + size, NULL), type, OURS);
    free(p);
    BIO_free(key);
    OPENSSL_free(d.p);
}

/* ---- all of it, twice ---------------------------------------------------- */

struct usage {
    size_t inside;  /* blocks of the domain's heap, where one can look */
    size_t domain;  /* bytes of the domain */
    size_t outside; /* bytes of malloc */
    long resident;  /* pages */
};

static struct usage usage_now(void)
{
    EVP_PKEY *key = key_load(key_type_find("P-256"));
    struct usage u = {0, 0, 0, -1};
    FILE *f;

    /* One more operation takes away what waits to be freed. */
    CHECK(can_sign(key, "SHA256"));
    EVP_PKEY_free(key);
    malloc_trim(0);
    f = fopen("/proc/self/statm", "r");
    if (f == NULL || fscanf(f, "%*d %ld", &u.resident) != 1) {
        perror("/proc/self/statm");
    }
    if (f != NULL) {
        fclose(f);
    }
    if (interop_protected()) {
        module_usage(&u.domain, &u.inside);
    }
    u.outside = mallinfo2().uordblks;
    return u;
}

static void check_flat(const struct usage *a, const struct usage *b)
{
    interop_subject("memory, the second time");
    printf("domain: %zu and %zu bytes, %zu and %zu blocks; malloc: %zu and "
           "%zu; pages: %ld and %ld\n",
           a->domain, b->domain, a->inside, b->inside, a->outside, b->outside,
           a->resident, b->resident);
    CHECK_INT((long long)b->inside, (long long)a->inside);
    CHECK_INT((long long)b->domain, (long long)a->domain);
    if (interop_memory_counts()) {
        CHECK(b->outside <= a->outside + 65536);
        /* 4 MiB, half a page for each key that was read: for what is mapped.
         * What is smaller shows in the other figures. */
        CHECK(b->resident <= a->resident + 1024);
    }
}

static void test_everything(void)
{
    static const char *const labels[] = {"RSA-2048", "RSA-PSS", "P-256",
                                         "P-521",    "ED25519", "X448",
                                         "DSA",      "DHX"};

    for (size_t i = 0; i < sizeof(labels) / sizeof(labels[0]); i++) {
        const struct key_type *type = key_type_find(labels[i]);

        test_damage(type);
        test_numbers(type);
        test_passphrases(type);
        test_unknown_cipher(type);
    }
    test_wrong_curve();
    if (interop_protected()) {
        test_long_numbers(2048);
        test_long_numbers(17000);
        if (OpenSSL_version_num() < 0x40000000UL) { /* no other curves */
            test_an_order_of_one();
        }
        test_a_long_public_key(100000, 256);
        test_a_long_public_key(10000, 100000);
        test_a_long_blob();
    }
    test_size(key_type_find("P-256"), (size_t)64 << 10);
    /* Either is more than is taken. libcrypto's own decoders read all of it
     * again and again: 100,000 page faults with the longer one. */
    test_size(key_type_find("P-256"), (size_t)(stride(1) == 1 ? 16 : 2) << 20);
}

int main(void)
{
    struct usage first, second;

    interop_start();
    /* The first encrypted key brings the other ciphers, with which libcrypto
     * forgets what it has looked up inside: what it looks up anew is no leak.
     */
    test_passphrases(key_type_find("P-256"));
    test_everything();
    first = usage_now();
    test_everything();
    second = usage_now();
    check_flat(&first, &second);
    printf("%lu errors, %lu keys that refuse, %lu that work\n", n_errors,
           n_refused, n_usable);
    return interop_finish();
}
