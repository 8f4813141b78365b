/*
 * Private keys in MSBLOB and PVK beyond what load_test has: of DSA, encrypted,
 * damaged, cut off, from a BIO that does not know where it is, and inside a
 * file that is named by a URI. A key is under the provider or not there. Public
 * keys in these forms stay with default.
 */
#include "interop.h"
#include "load_ways.h"

#include <openssl/decoder.h>
#include <openssl/pem.h>
#include <openssl/store.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define PVK_HEAD 24

/* What |form| makes of |key|; the caller frees it. */
static unsigned char *written(const char *form, const EVP_PKEY *key,
                              size_t *len)
{
    BIO *bio = BIO_new(BIO_s_mem());
    unsigned char *copy;
    char *data;

    CHECK((strcmp(form, "PVK") == 0 ? i2b_PVK_bio(bio, key, 0, NULL, NULL)
                                    : i2b_PrivateKey_bio(bio, key)) > 0);
    *len = (size_t)BIO_get_mem_data(bio, &data);
    copy = interop_new(*len);
    memcpy(copy, data, *len);
    BIO_free(bio);
    return copy;
}

/* Takes |bio| over. */
static EVP_PKEY *decode_bio(BIO *bio, const char *form)
{
    EVP_PKEY *key = NULL;
    OSSL_DECODER_CTX *ctx = OSSL_DECODER_CTX_new_for_pkey(
        &key, form, NULL, NULL, EVP_PKEY_KEYPAIR, NULL, NULL);

    OSSL_DECODER_from_bio(ctx, bio);
    OSSL_DECODER_CTX_free(ctx);
    BIO_free_all(bio);
    ERR_clear_error();
    return key;
}

static EVP_PKEY *decode(const unsigned char *p, size_t len, const char *form)
{
    return decode_bio(BIO_new_mem_buf(p, (int)len), form);
}

/* It says that it can go back and cannot: libcrypto's reader of the other form
 * begins behind what ours has read. */
static BIO *buffered(const unsigned char *p, size_t len)
{
    return BIO_push(BIO_new(BIO_f_buffer()), BIO_new_mem_buf(p, (int)len));
}

static EVP_PKEY *first_key(OSSL_STORE_CTX *store)
{
    EVP_PKEY *key = NULL;

    while (key == NULL && store != NULL && !OSSL_STORE_eof(store)) {
        OSSL_STORE_INFO *info = OSSL_STORE_load(store);

        if (info != NULL &&
            OSSL_STORE_INFO_get_type(info) == OSSL_STORE_INFO_PKEY) {
            key = OSSL_STORE_INFO_get1_PKEY(info);
        }
        OSSL_STORE_INFO_free(info);
    }
    OSSL_STORE_close(store);
    ERR_clear_error();
    return key;
}

static EVP_PKEY *from_store(BIO *bio)
{
    EVP_PKEY *key = first_key(OSSL_STORE_attach(bio, "file", NULL, NULL, NULL,
                                                NULL, NULL, NULL, NULL));

    BIO_free_all(bio);
    return key;
}

static bool signs(EVP_PKEY *key, EVP_PKEY *ref)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new(), *verify = EVP_MD_CTX_new();
    const unsigned char text[] = "signed";
    unsigned char sig[1024];
    size_t len = sizeof(sig);
    bool ok =
        EVP_DigestSignInit_ex(ctx, NULL, "SHA256", NULL, NULL, key, NULL) > 0 &&
        EVP_DigestSign(ctx, sig, &len, text, sizeof(text)) > 0 &&
        EVP_DigestVerifyInit_ex(verify, NULL, "SHA256", interop_ref(), NULL,
                                ref, NULL) > 0 &&
        EVP_DigestVerify(verify, sig, len, text, sizeof(text)) > 0;

    EVP_MD_CTX_free(ctx);
    EVP_MD_CTX_free(verify);
    return ok;
}

/* |key|, which is freed, is the one that was written. */
static void check_is(EVP_PKEY *key, EVP_PKEY *ref)
{
    if (CHECK(key != NULL)) {
        CHECK_HELD(key);
        CHECK_INT(key_eq(key, ref), 1);
        CHECK(signs(key, ref));
    }
    EVP_PKEY_free(key);
    ERR_clear_error();
}

/* |key|, which is freed, is not there, or the provider's, or has no number. */
static void check_nobody_elses(EVP_PKEY *key)
{
    if (key != NULL && EVP_PKEY_get_bits(key) != 0) {
        CHECK_HELD(key);
    }
    EVP_PKEY_free(key);
    ERR_clear_error();
}

static void test_ways(const char *form, const char *type, EVP_PKEY *ref)
{
    size_t len;
    unsigned char *p = written(form, ref, &len);
    char uri[4096];

    interop_subject("%s, %s", form, type);
    check_is(decode(p, len, form), ref);
    check_is(decode(p, len, NULL), ref);
    check_is(from_store(BIO_new_mem_buf(p, (int)len)), ref);
    interop_subject("%s, %s, behind a buffer", form, type);
    check_nobody_elses(from_store(buffered(p, len)));
    for (size_t i = 0; i < 2; i++) {
        check_nobody_elses(
            decode_bio(buffered(p, len), i == 0 ? "MSBLOB" : "PVK"));
    }
    if (interop_protected()) {
        interop_subject("%s, %s, by a URI", form, type);
        snprintf(uri, sizeof(uri), "mpk:%s", interop_file("key", p, len));
        check_is(first_key(OSSL_STORE_open(uri, NULL, NULL, NULL, NULL)), ref);
    }
    free(p);
}

static void test_cut_off(const char *form, const char *type, EVP_PKEY *ref)
{
    size_t len;
    unsigned char *p = written(form, ref, &len);

    for (size_t n = 0; n < len; n += n < 40 ? 1 : 97) {
        unsigned char *cut = interop_new(n + 1);

        interop_subject("%s, %s, the first %zu of %zu bytes", form, type, n,
                        len);
        memcpy(cut, p, n);
        CHECK(decode(cut, n, form) == NULL);
        check_nobody_elses(from_store(BIO_new_mem_buf(cut, (int)n)));
        free(cut);
    }
    free(p);
}

/* Each bit of the headers turned, and lengths that are none. (A store's own
 * reader takes as much memory as a length says.) */
static void test_damaged(const char *form, const char *type, EVP_PKEY *ref)
{
    size_t len;
    unsigned char *p = written(form, ref, &len);

    for (size_t bit = 0; bit < (size_t)48 * 8; bit++) {
        interop_subject("%s, %s, bit %zu turned", form, type, bit);
        p[bit / 8] ^= (unsigned char)(1 << bit % 8);
        check_nobody_elses(decode(p, len, form));
        p[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
    for (size_t at = 0; at + 4 <= 48; at += 4) {
        unsigned char had[4];

        interop_subject("%s, %s, ones from byte %zu on", form, type, at);
        memcpy(had, p + at, 4);
        memset(p + at, 0xff, 4);
        check_nobody_elses(decode(p, len, form));
        memcpy(p + at, had, 4);
    }
    free(p);
}

/* With a salt it is encrypted, by RC4, which nobody has without the legacy
 * provider; here it is refused before anybody asks for a passphrase. */
static void test_encrypted(const char *type, EVP_PKEY *ref)
{
    size_t len;
    unsigned char *plain = written("PVK", ref, &len);
    unsigned char *p = interop_new(len + 16);
    EVP_PKEY *key;

    memcpy(p, plain, PVK_HEAD);
    memset(p + PVK_HEAD, 0x5a, 16);
    memcpy(p + PVK_HEAD + 16, plain + PVK_HEAD, len - PVK_HEAD);
    p[12] = 1;
    p[16] = 16;
    interop_subject("PVK, %s, encrypted", type);
    key = decode(p, len + 16, "PVK");
    if (interop_protected() && CHECK(key != NULL)) {
        CHECK_HELD(key);
        CHECK(EVP_PKEY_is_a(key, EVP_PKEY_get0_type_name(ref)));
        CHECK(!signs(key, ref));
        CHECK(interop_queue_says("an encrypted PVK"));
    }
    EVP_PKEY_free(key);
    free(plain);
    free(p);
}

static void test_public(const char *type, EVP_PKEY *ref)
{
    BIO *bio = BIO_new(BIO_s_mem());
    EVP_PKEY *key = NULL;
    OSSL_DECODER_CTX *ctx;

    interop_subject("MSBLOB, %s, a public key", type);
    CHECK(i2b_PublicKey_bio(bio, ref) > 0);
    ctx = OSSL_DECODER_CTX_new_for_pkey(&key, NULL, NULL, NULL, 0, NULL, NULL);
    CHECK(OSSL_DECODER_from_bio(ctx, bio));
    CHECK_STR(interop_provider_of(key), "default");
    CHECK_INT(key_eq(key, ref), 1);
    OSSL_DECODER_CTX_free(ctx);
    EVP_PKEY_free(key);
    BIO_free(bio);
    ERR_clear_error();
}

/* These forms have room for a q of 160 bits only. */
static EVP_PKEY *dsa_key(void)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(interop_ref(), "DSA", NULL);
    EVP_PKEY *params = NULL, *key = NULL;

    CHECK(EVP_PKEY_paramgen_init(ctx) > 0 &&
          EVP_PKEY_CTX_set_dsa_paramgen_bits(ctx, 1024) > 0 &&
          EVP_PKEY_CTX_set_dsa_paramgen_q_bits(ctx, 160) > 0 &&
          EVP_PKEY_paramgen(ctx, &params) > 0);
    EVP_PKEY_CTX_free(ctx);
    ctx = EVP_PKEY_CTX_new_from_pkey(interop_ref(), params, NULL);
    CHECK(EVP_PKEY_keygen_init(ctx) > 0 && EVP_PKEY_keygen(ctx, &key) > 0);
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(params);
    return key;
}

static void test_type(const char *type, EVP_PKEY *ref)
{
    static const char *const forms[] = {"MSBLOB", "PVK"};

    for (size_t i = 0; i < 2; i++) {
        test_ways(forms[i], type, ref);
        test_cut_off(forms[i], type, ref);
        if (interop_protected()) {
            test_damaged(forms[i], type, ref);
        }
    }
    test_encrypted(type, ref);
    test_public(type, ref);
}

int main(void)
{
    EVP_PKEY *dsa;

    interop_start();
    dsa = dsa_key();
    test_type("RSA", key_reference(key_type_find("RSA-2048")));
    test_type("DSA", dsa);
    EVP_PKEY_free(dsa);
    return interop_finish();
}
