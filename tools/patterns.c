#include "patterns.h"

#include <errno.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

#include "encoded.h"

/*
 * Sixteen random bytes have nearly sixteen different values; leading zeros,
 * ASN.1 headers and test keys like "1" have few.
 */
#define MIN_DISTINCT 8

/* Larger than any number of a key of 64 Kibit. */
#define NUMBER_MAX 8192

struct number {
    const char *param;
    const char *component;
};

/* The private parameters of all the key types, multi-prime RSA included. */
static const struct number numbers[] = {
    {OSSL_PKEY_PARAM_RSA_D, "d"},
    {OSSL_PKEY_PARAM_RSA_FACTOR1, "p"},
    {OSSL_PKEY_PARAM_RSA_FACTOR2, "q"},
    {OSSL_PKEY_PARAM_RSA_EXPONENT1, "dmp1"},
    {OSSL_PKEY_PARAM_RSA_EXPONENT2, "dmq1"},
    {OSSL_PKEY_PARAM_RSA_COEFFICIENT1, "iqmp"},
    {OSSL_PKEY_PARAM_RSA_FACTOR3, "r3"},
    {OSSL_PKEY_PARAM_RSA_EXPONENT3, "d3"},
    {OSSL_PKEY_PARAM_RSA_COEFFICIENT2, "t3"},
    {OSSL_PKEY_PARAM_RSA_FACTOR4, "r4"},
    {OSSL_PKEY_PARAM_RSA_EXPONENT4, "d4"},
    {OSSL_PKEY_PARAM_RSA_COEFFICIENT3, "t4"},
    {OSSL_PKEY_PARAM_RSA_FACTOR5, "r5"},
    {OSSL_PKEY_PARAM_RSA_EXPONENT5, "d5"},
    {OSSL_PKEY_PARAM_RSA_COEFFICIENT4, "t5"},
};

static const char *const rsa_types[] = {"RSA", "RSA-PSS"};

static const char *const form_names[] = {
    [FORM_BIG_ENDIAN] = "big-endian",
    [FORM_LITTLE_ENDIAN] = "little-endian",
    [FORM_RAW] = "raw",
    [FORM_REVERSED] = "reversed",
    [FORM_HEX] = "hex text",
    [FORM_BASE64] = "base64 text",
    [FORM_DER] = "DER",
    [FORM_PEM_PKCS8] = "PKCS#8 line",
    [FORM_PEM_TRADITIONAL] = "traditional line",
    [FORM_PEM_FILE] = "line of the file",
    [FORM_AES_ENCRYPT] = "AES schedule",
    [FORM_AES_ENCRYPT_SWAPPED] = "AES schedule, swapped",
    [FORM_AES_DECRYPT] = "AES inverse",
    [FORM_AES_DECRYPT_SWAPPED] = "AES inverse, swapped",
    [FORM_GHASH] = "GHASH key",
    [FORM_GHASH_SWAPPED] = "GHASH key, swapped",
    [FORM_GHASH_REVERSED] = "GHASH key, reversed",
    [FORM_GHASH_DOUBLED] = "GHASH key, doubled",
    [FORM_GHASH_DOUBLED_SWAPPED] = "GHASH key, doubled, swapped",
};

const char *pattern_form_name(enum pattern_form form)
{
    return form_names[form];
}

/* realloc would leave a copy behind in the freed block. */
static void *grow(void *old, size_t len, size_t *cap, size_t size)
{
    size_t want = *cap == 0 ? 64 : *cap * 2;
    void *fresh = calloc(want, size);

    if (fresh == NULL) {
        return NULL;
    }
    if (old != NULL) {
        memcpy(fresh, old, len * size);
        OPENSSL_cleanse(old, len * size);
        free(old);
    }
    *cap = want;
    return fresh;
}

int64_t pattern_piece_add(struct pattern_set *set, unsigned int subject,
                          enum pattern_form form, const char *component,
                          const uint8_t *bytes, size_t len)
{
    struct pattern_piece *piece;
    void *fresh;

    if (set->pieces_len == set->pieces_cap) {
        fresh = grow(set->pieces, set->pieces_len, &set->pieces_cap,
                     sizeof(*piece));
        if (fresh == NULL) {
            return -ENOMEM;
        }
        set->pieces = fresh;
    }
    piece = &set->pieces[set->pieces_len];
    piece->bytes = malloc(len + 1);
    if (piece->bytes == NULL) {
        return -ENOMEM;
    }
    memcpy(piece->bytes, bytes, len);
    piece->len = len;
    piece->subject = subject;
    piece->form = form;
    strncpy(piece->component, component, sizeof(piece->component) - 1);
    return (int64_t)set->pieces_len++;
}

static unsigned int distinct_bytes(const uint8_t *bytes)
{
    bool seen[256] = {false};
    unsigned int distinct = 0;

    for (size_t i = 0; i < PATTERN_WINDOW; i++) {
        distinct += !seen[bytes[i]];
        seen[bytes[i]] = true;
    }
    OPENSSL_cleanse(seen, sizeof(seen));
    return distinct;
}

static bool framing_known(const struct pattern_set *set, size_t piece,
                          int32_t off, const uint8_t *bytes)
{
    const struct pattern_window *w;

    for (size_t i = set->windows_len; i-- > 0;) {
        w = &set->windows[i];
        if (w->piece == piece && w->off == off &&
            memcmp(w->bytes, bytes, PATTERN_WINDOW) == 0) {
            return true;
        }
    }
    return false;
}

int pattern_window_add(struct pattern_set *set, size_t piece, int32_t off,
                       const uint8_t *bytes, bool framing)
{
    struct pattern_window *w;
    void *fresh;

    if (distinct_bytes(bytes) < MIN_DISTINCT) {
        return 0;
    }
    /* PKCS#8 and traditional DER share most of what surrounds a number. */
    if (framing && framing_known(set, piece, off, bytes)) {
        return 0;
    }
    if (set->windows_len == set->windows_cap) {
        fresh =
            grow(set->windows, set->windows_len, &set->windows_cap, sizeof(*w));
        if (fresh == NULL) {
            return -ENOMEM;
        }
        set->windows = fresh;
    }
    w = &set->windows[set->windows_len++];
    memcpy(w->bytes, bytes, PATTERN_WINDOW);
    w->piece = (uint32_t)piece;
    w->off = off;
    w->framing = framing;
    set->pieces[piece].windows += !framing;
    return 0;
}

/* A piece, and a window of it at every |step| bytes and at its end. */
static int bytes_add(struct pattern_set *set, unsigned int subject,
                     enum pattern_form form, const char *component,
                     const uint8_t *bytes, size_t len, size_t step)
{
    int64_t piece;
    size_t off;
    int err = 0;

    if (len < PATTERN_WINDOW) {
        return 0;
    }
    piece = pattern_piece_add(set, subject, form, component, bytes, len);
    if (piece < 0) {
        return (int)piece;
    }
    for (off = 0; err == 0 && off + PATTERN_WINDOW <= len; off += step) {
        err = pattern_window_add(set, (size_t)piece, (int32_t)off, bytes + off,
                                 false);
    }
    if (err == 0 && off - step + PATTERN_WINDOW < len) {
        off = len - PATTERN_WINDOW;
        err = pattern_window_add(set, (size_t)piece, (int32_t)off, bytes + off,
                                 false);
    }
    return err;
}

int pattern_bytes_add(struct pattern_set *set, unsigned int subject,
                      enum pattern_form form, const char *component,
                      const uint8_t *bytes, size_t len)
{
    return bytes_add(set, subject, form, component, bytes, len, PATTERN_WINDOW);
}

void pattern_reverse(uint8_t *bytes, size_t len)
{
    uint8_t swap;

    for (size_t i = 0; i < len / 2; i++) {
        swap = bytes[i];
        bytes[i] = bytes[len - 1 - i];
        bytes[len - 1 - i] = swap;
    }
}

/* What is left of a number may begin anywhere, so its windows overlap. */
static int add_both_ways(struct pattern_set *set, unsigned int subject,
                         enum pattern_form form, const char *component,
                         uint8_t *bytes, size_t len)
{
    enum pattern_form other =
        form == FORM_RAW ? FORM_REVERSED : FORM_LITTLE_ENDIAN;
    int err = bytes_add(set, subject, form, component, bytes, len, 1);

    if (err == 0) {
        pattern_reverse(bytes, len);
        err = bytes_add(set, subject, other, component, bytes, len, 1);
    }
    return err;
}

/*
 * Leading zeros are left out: a fixed-width number holds the shortest one, and
 * DER pads differently from BN_bn2binpad.
 */
static int add_number(struct pattern_set *set, unsigned int subject,
                      EVP_PKEY *pkey, const char *param, const char *component)
{
    uint8_t bytes[NUMBER_MAX];
    BIGNUM *bn = NULL;
    int len = 0;
    int err = 0;

    if (EVP_PKEY_get_bn_param(pkey, param, &bn) &&
        BN_num_bytes(bn) <= NUMBER_MAX) {
        len = BN_bn2bin(bn, bytes);
        err = add_both_ways(set, subject, FORM_BIG_ENDIAN, component, bytes,
                            (size_t)len);
        OPENSSL_cleanse(bytes, (size_t)len);
    }
    BN_clear_free(bn);
    return err;
}

/*
 * What Montgomery multiplication modulo a factor has beside it, as libcrypto
 * keeps it from the first signature on: R^2, R the next power of 2^64. It gives
 * the factor away, which divides its difference to the number before reduction.
 */
static int add_montgomery(struct pattern_set *set, unsigned int subject,
                          EVP_PKEY *pkey, const char *param,
                          const char *component)
{
    uint8_t bytes[NUMBER_MAX];
    BN_CTX *ctx = BN_CTX_new();
    BIGNUM *square = BN_new();
    BIGNUM *factor = NULL;
    int err = ctx != NULL && square != NULL ? 0 : -ENOMEM;
    int len;

    if (err == 0 && EVP_PKEY_get_bn_param(pkey, param, &factor) &&
        BN_num_bytes(factor) <= NUMBER_MAX) {
        len = (BN_num_bits(factor) + 63) / 64 * 64;
        err = BN_set_bit(square, 2 * len) && BN_mod(square, square, factor, ctx)
                  ? 0
                  : -ENOMEM;
        if (err == 0) {
            len = BN_bn2bin(square, bytes);
            err = add_both_ways(set, subject, FORM_BIG_ENDIAN, component, bytes,
                                (size_t)len);
            OPENSSL_cleanse(bytes, (size_t)len);
        }
    }
    BN_clear_free(factor);
    BN_clear_free(square);
    BN_CTX_free(ctx);
    return err;
}

static int add_raw(struct pattern_set *set, unsigned int subject,
                   EVP_PKEY *pkey)
{
    uint8_t bytes[NUMBER_MAX];
    size_t len = sizeof(bytes);
    int err = 0;

    if (EVP_PKEY_get_octet_string_param(pkey, OSSL_PKEY_PARAM_PRIV_KEY, bytes,
                                        sizeof(bytes), &len)) {
        err = add_both_ways(set, subject, FORM_RAW, "priv", bytes, len);
        OPENSSL_cleanse(bytes, len);
    }
    return err;
}

/* The |len| bytes at |at| of the octets |param|; all from there on if 0. */
struct part {
    const char *param, *component;
    size_t at, len;
};

static int add_parts(struct pattern_set *set, unsigned int subject,
                     EVP_PKEY *pkey, const struct part *parts, size_t n)
{
    uint8_t bytes[NUMBER_MAX];
    int err = 0;

    for (size_t i = 0; err == 0 && i < n; i++) {
        const struct part *p = &parts[i];
        size_t len = sizeof(bytes);

        if (EVP_PKEY_get_octet_string_param(pkey, p->param, bytes,
                                            sizeof(bytes), &len) &&
            p->at + p->len <= len) {
            err = add_both_ways(set, subject, FORM_RAW, p->component,
                                bytes + p->at,
                                p->len != 0 ? p->len : len - p->at);
        }
        OPENSSL_cleanse(bytes, sizeof(bytes));
    }
    return err;
}

/*
 * FIPS 204, algorithm 24: rho, K, tr, s1, s2, t0. The first and the third are
 * public, and so is what t0 tells.
 */
static int add_ml_dsa(struct pattern_set *set, unsigned int subject,
                      EVP_PKEY *pkey)
{
    size_t eta_4 = EVP_PKEY_is_a(pkey, "ML-DSA-65");
    size_t polynomials = EVP_PKEY_is_a(pkey, "ML-DSA-44") ? 8 : eta_4 ? 11 : 15;
    const struct part parts[] = {
        {"seed", "seed", 0, 0},
        {OSSL_PKEY_PARAM_PRIV_KEY, "K", 32, 32},
        {OSSL_PKEY_PARAM_PRIV_KEY, "s", 128, polynomials * (eta_4 ? 128 : 96)},
    };

    return add_parts(set, subject, pkey, parts, 3);
}

/* FIPS 203, algorithm 16: s, the public key, its hash, z. */
static int add_ml_kem(struct pattern_set *set, unsigned int subject,
                      EVP_PKEY *pkey)
{
    size_t rank = EVP_PKEY_is_a(pkey, "ML-KEM-512")   ? 2
                  : EVP_PKEY_is_a(pkey, "ML-KEM-768") ? 3
                                                      : 4;
    const struct part parts[] = {
        {"seed", "seed", 0, 0},
        {OSSL_PKEY_PARAM_PRIV_KEY, "s", 0, 384 * rank},
        {OSSL_PKEY_PARAM_PRIV_KEY, "z", 768 * rank + 64, 32},
    };

    return add_parts(set, subject, pkey, parts, 3);
}

/* FIPS 205, 9.1: two private parts, and the public key. */
static int add_slh_dsa(struct pattern_set *set, unsigned int subject,
                       EVP_PKEY *pkey, const char *size)
{
    size_t n = strtoul(size, NULL, 10) / 8;
    const struct part parts[] = {
        {OSSL_PKEY_PARAM_PRIV_KEY, "priv", 0, 2 * n},
    };

    return add_parts(set, subject, pkey, parts, 1);
}

static bool is_rsa(const EVP_PKEY *pkey)
{
    for (size_t i = 0; i < sizeof(rsa_types) / sizeof(rsa_types[0]); i++) {
        if (EVP_PKEY_is_a(pkey, rsa_types[i])) {
            return true;
        }
    }
    return false;
}

static int add_numbers(struct pattern_set *set, unsigned int subject,
                       EVP_PKEY *pkey)
{
    const char *name = EVP_PKEY_get0_type_name(pkey);
    int err = 0;

    if (is_rsa(pkey)) {
        for (size_t i = 0; err == 0 && i < sizeof(numbers) / sizeof(numbers[0]);
             i++) {
            err = add_number(set, subject, pkey, numbers[i].param,
                             numbers[i].component);
        }
        if (err == 0) {
            err = add_montgomery(set, subject, pkey,
                                 OSSL_PKEY_PARAM_RSA_FACTOR1, "R^2 mod p");
        }
        if (err == 0) {
            err = add_montgomery(set, subject, pkey,
                                 OSSL_PKEY_PARAM_RSA_FACTOR2, "R^2 mod q");
        }
        return err;
    }
    if (name != NULL && strncmp(name, "ML-DSA-", 7) == 0) {
        return add_ml_dsa(set, subject, pkey);
    }
    if (name != NULL && strncmp(name, "ML-KEM-", 7) == 0) {
        return add_ml_kem(set, subject, pkey);
    }
    if (name != NULL && strncmp(name, "SLH-DSA-", 8) == 0) {
        return add_slh_dsa(set, subject, pkey, strrchr(name, '-') + 1);
    }
    err = add_number(set, subject, pkey, OSSL_PKEY_PARAM_PRIV_KEY, "priv");
    return err == 0 ? add_raw(set, subject, pkey) : err;
}

int patterns_add_key(struct pattern_set *set, unsigned int subject,
                     const struct keyfile *file)
{
    size_t before = set->windows_len;
    int err = add_numbers(set, subject, file->pkey);

    if (err == 0 && set->windows_len == before) {
        err = -ENODATA;
    }
    if (err == 0) {
        err = encoded_add_key(set, subject, file);
    }
    ERR_clear_error();
    return err;
}

void patterns_free(struct pattern_set *set)
{
    for (size_t i = 0; i < set->pieces_len; i++) {
        OPENSSL_cleanse(set->pieces[i].bytes, set->pieces[i].len);
        free(set->pieces[i].bytes);
    }
    if (set->windows != NULL) {
        OPENSSL_cleanse(set->windows,
                        set->windows_len * sizeof(set->windows[0]));
    }
    free(set->windows);
    free(set->pieces);
    memset(set, 0, sizeof(*set));
}
