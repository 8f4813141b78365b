/* entries_later.c - keys of types that OpenSSL 3.5 has inside. The one outside
 * need not know them: they are fixed, and their files written by hand. */
#include "entries.h"

#include <openssl/core_names.h>
#include <openssl/decoder.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/x509.h>

#include <string.h>

#if MPKPROV_HAS_3_5

/* PKCS#8 (RFC 5958): the version, the number of the type, and the key: a seed
 * (RFC 9881, RFC 9935), or all four parts (RFC 9909). */
static const unsigned char ml_dsa_44[] = {
    0x30, 0x34, 0x02, 0x01, 0x00, 0x30, 0x0b, 0x06, 0x09, 0x60, 0x86,
    0x48, 0x01, 0x65, 0x03, 0x04, 0x03, 0x11, 0x04, 0x22, 0x80, 0x20,
    0x4e, 0x09, 0xc2, 0x7b, 0x34, 0xed, 0xa6, 0x5f, 0x18, 0xd1, 0x8a,
    0x43, 0xfc, 0xb5, 0x6e, 0x27, 0xe0, 0x99, 0x52, 0x0b, 0xc4, 0x7d,
    0x36, 0xef, 0xa8, 0x61, 0x1a, 0xd3, 0x8c, 0x45, 0xfe, 0xb7};
static const unsigned char ml_kem_768[] = {
    0x30, 0x54, 0x02, 0x01, 0x00, 0x30, 0x0b, 0x06, 0x09, 0x60, 0x86,
    0x48, 0x01, 0x65, 0x03, 0x04, 0x04, 0x02, 0x04, 0x42, 0x80, 0x40,
    0x11, 0x9e, 0x2b, 0xb8, 0x45, 0xd2, 0x5f, 0xec, 0x79, 0x06, 0x93,
    0x20, 0xad, 0x3a, 0xc7, 0x54, 0xe1, 0x6e, 0xfb, 0x88, 0x15, 0xa2,
    0x2f, 0xbc, 0x49, 0xd6, 0x63, 0xf0, 0x7d, 0x0a, 0x97, 0x24, 0xb1,
    0x3e, 0xcb, 0x58, 0xe5, 0x72, 0xff, 0x8c, 0x19, 0xa6, 0x33, 0xc0,
    0x4d, 0xda, 0x67, 0xf4, 0x81, 0x0e, 0x9b, 0x28, 0xb5, 0x42, 0xcf,
    0x5c, 0xe9, 0x76, 0x03, 0x90, 0x1d, 0xaa, 0x37, 0xc4};
static const unsigned char slh_dsa_sha2_128f[] = {
    0x30, 0x52, 0x02, 0x01, 0x00, 0x30, 0x0b, 0x06, 0x09, 0x60, 0x86, 0x48,
    0x01, 0x65, 0x03, 0x04, 0x03, 0x15, 0x04, 0x40, 0xf9, 0xc3, 0xe8, 0x24,
    0x5c, 0xf2, 0xad, 0xe5, 0x4d, 0xff, 0x9b, 0x60, 0x7e, 0xde, 0xc4, 0xa2,
    0x86, 0x37, 0x39, 0x71, 0x79, 0xb6, 0xc3, 0x7b, 0x41, 0x54, 0x4b, 0xd8,
    0xfa, 0x37, 0xc7, 0x57, 0x25, 0xd1, 0x8f, 0x35, 0xca, 0x4d, 0x0e, 0xcc,
    0xe6, 0xf7, 0x0c, 0x99, 0x8c, 0x8d, 0x31, 0x81, 0x6d, 0x19, 0x1e, 0x63,
    0x89, 0x3a, 0xfb, 0x97, 0x28, 0xa6, 0x68, 0xfd, 0xf5, 0x2f, 0x85, 0xbe};

/* |secret| bytes of the |number_len| at the end of |der|, which are |number|,
 * are not known to who has the public key. */
static const struct later {
    int32_t type;
    const unsigned char *der;
    size_t len;
    const char *number;
    size_t number_len, secret;
} laters[] = {{KEY_ML_DSA_44, ml_dsa_44, sizeof(ml_dsa_44), "seed", 32, 32},
              {KEY_ML_KEM_768, ml_kem_768, sizeof(ml_kem_768), "seed", 64, 64},
              {KEY_SLH_DSA_SHA2_128F, slh_dsa_sha2_128f,
               sizeof(slh_dsa_sha2_128f), OSSL_PKEY_PARAM_PRIV_KEY, 64, 32}};

/* What is secret of the expanded key (FIPS 204, alg. 24; FIPS 203, alg. 16). */
static void look_for_expanded(int32_t type, const OSSL_PARAM *numbers)
{
    static const char name[] = "an expanded private key";
    const OSSL_PARAM *p =
        OSSL_PARAM_locate_const(numbers, OSSL_PKEY_PARAM_PRIV_KEY);

    if (p == NULL) {
        return;
    }
    if (type == KEY_ML_DSA_44 && p->data_size == 2560) {
        const unsigned char *from = p->data;

        oracle_add(from + 32, 32, name);
        oracle_add(from + 128, 2560 - 128, name);
    } else if (type == KEY_ML_KEM_768 && p->data_size == 2400) {
        const unsigned char *from = p->data;

        oracle_add(from, 1152, name);
        oracle_add(from + 2400 - 32, 32, name);
    }
}

/* All numbers, if the OpenSSL outside knows the type, or else the one. */
static void numbers_of(struct choice *c, const struct later *l)
{
    static OSSL_PARAM few[sizeof(laters) / sizeof(laters[0])][2];
    const unsigned char *der = l->der;
    size_t len = l->len;
    EVP_PKEY *key = NULL;
    EVP_KEYMGMT *theirs = EVP_KEYMGMT_fetch(NULL, c->name, "provider=default");
    OSSL_DECODER_CTX *ctx = OSSL_DECODER_CTX_new_for_pkey(
        &key, "DER", "PrivateKeyInfo", c->name, EVP_PKEY_KEYPAIR, NULL,
        "provider=default");

    if (theirs != NULL && OSSL_DECODER_from_data(ctx, &der, &len) == 1) {
        REQUIRE(EVP_PKEY_todata(key, EVP_PKEY_KEYPAIR, &c->numbers) == 1);
        look_for_expanded(c->type, c->numbers);
    } else {
        c->numbers = few[l - laters];
        c->numbers[0] = OSSL_PARAM_construct_octet_string(
            l->number, (void *)(l->der + l->len - l->number_len),
            l->number_len);
        c->numbers[1] = (OSSL_PARAM)OSSL_PARAM_END;
    }
    EVP_KEYMGMT_free(theirs);
    OSSL_DECODER_CTX_free(ctx);
    EVP_PKEY_free(key);
    ERR_clear_error();
}

static void keep_text(struct choice *c, enum form form, BIO *bio)
{
    c->form[form].len = BIO_get_mem_data(bio, &c->form[form].text);
}

bool later_key_make(struct choice *c)
{
    const struct later *l = laters;
    const unsigned char *der;
    PKCS8_PRIV_KEY_INFO *p8;
    X509_SIG *sealed;
    BIO *bio[4];

    while (l->type != c->type) {
        l++;
    }
    der = l->der;
    p8 = d2i_PKCS8_PRIV_KEY_INFO(NULL, &der, (long)l->len);
    sealed = PKCS8_encrypt(-1, EVP_aes_128_cbc(), "pass", 4, NULL, 0, 1, p8);
    for (int i = 0; i < 4; i++) {
        bio[i] = BIO_new(BIO_s_mem());
    }
    if (sealed == NULL || PEM_write_bio_PKCS8_PRIV_KEY_INFO(bio[0], p8) != 1 ||
        PEM_write_bio_PKCS8(bio[1], sealed) != 1 ||
        i2d_PKCS8_PRIV_KEY_INFO_bio(bio[2], p8) != 1 ||
        i2d_PKCS8_bio(bio[3], sealed) != 1) {
        return false;
    }
    keep_text(c, PEM, bio[0]);
    keep_text(c, PEM_ENCRYPTED, bio[1]);
    keep_text(c, DER, bio[2]);
    keep_text(c, DER_ENCRYPTED, bio[3]);
    PKCS8_PRIV_KEY_INFO_free(p8);
    X509_SIG_free(sealed);
    oracle_add(l->der + l->len - l->number_len, l->secret, "a seed");
    numbers_of(c, l);
    for (OSSL_PARAM *p = c->numbers; p->key != NULL; p++) {
        p->data = lasting(p->data, p->data_size);
    }
    return true;
}

#else

bool later_key_make(struct choice *c)
{
    (void)c;
    return true;
}

#endif
