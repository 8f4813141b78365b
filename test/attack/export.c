/* export.c - attacks by asking: OpenSSL's own ways to get at private numbers.
 */

/* The pre-3.0 getters are ways out as well. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "attack.h"
#include "needles.h"

#include <openssl/core_names.h>
#include <openssl/encoder.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <stdlib.h>

/* Something came out, or nothing did and there is an error. */
static _Noreturn void came(const unsigned char *p, size_t len)
{
    if (p == NULL || len == 0) {
        refused();
    }
    cell(needles_find(p, len) != NULL ? "**key read**" : "no key in it");
}

static _Noreturn void number_came(const BIGNUM *n)
{
    static unsigned char bytes[512];

    came(bytes, n != NULL ? (size_t)BN_bn2bin(n, bytes) : 0);
}

static void start(void)
{
    victim_load();
    ERR_clear_error();
}

static void by_rsa(void)
{
    RSA *rsa;

    start();
    rsa = EVP_PKEY_get1_RSA(victim.key);
    number_came(rsa != NULL ? RSA_get0_d(rsa) : NULL);
}

static void by_der(void)
{
    unsigned char *der = NULL;
    int len;

    start();
    len = i2d_PrivateKey(victim.key, &der);
    came(der, len > 0 ? (size_t)len : 0);
}

static void by_param(void)
{
    BIGNUM *n = NULL;

    start();
    EVP_PKEY_get_bn_param(victim.key, OSSL_PKEY_PARAM_RSA_D, &n);
    number_came(n);
}

static int take_d(const OSSL_PARAM params[], void *arg)
{
    const OSSL_PARAM *d =
        OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_RSA_D);

    return d != NULL && OSSL_PARAM_get_BN(d, arg);
}

static void by_export(void)
{
    BIGNUM *n = NULL;

    start();
    EVP_PKEY_export(victim.key, EVP_PKEY_KEYPAIR, take_d, &n);
    number_came(n);
}

static void by_todata(void)
{
    OSSL_PARAM *params = NULL;
    BIGNUM *n = NULL;

    start();
    if (EVP_PKEY_todata(victim.key, EVP_PKEY_KEYPAIR, &params) == 1) {
        take_d(params, &n);
    }
    number_came(n);
}

/* What PEM holds, as bytes. */
static _Noreturn void pem_came(BIO *bio)
{
    char *name = NULL, *header = NULL;
    unsigned char *der = NULL;
    long len = 0;

    if (BIO_pending(bio) > 0) {
        PEM_read_bio(bio, &name, &header, &der, &len);
    }
    came(der, (size_t)len);
}

static void by_pem(void)
{
    BIO *bio = BIO_new(BIO_s_mem());

    start();
    PEM_write_bio_PrivateKey(bio, victim.key, NULL, NULL, 0, NULL, NULL);
    pem_came(bio);
}

static void by_encoder(void)
{
    BIO *bio = BIO_new(BIO_s_mem());
    OSSL_ENCODER_CTX *ctx;

    start();
    ctx = OSSL_ENCODER_CTX_new_for_pkey(victim.key, EVP_PKEY_KEYPAIR, "PEM",
                                        "PrivateKeyInfo", NULL);
    if (ctx != NULL) {
        OSSL_ENCODER_to_bio(ctx, bio);
    }
    pem_came(bio);
}

#define PROTECTED "refused: private key is protected"
#define ASKED                                                                  \
    {                                                                          \
        "**key read**", PROTECTED, PROTECTED                                   \
    }

const struct attack export_attacks[] = {
    {"rsa", "`EVP_PKEY_get1_RSA`", "asks for the key as the old kind of object",
     KEYS, by_rsa, .want = ASKED},
    {"der", "`i2d_PrivateKey`", "asks for it as DER", KEYS, by_der,
     .want = ASKED},
    {"get_params", "`EVP_PKEY_get_bn_param`", "asks for the number *d*", KEYS,
     by_param, .want = {"**key read**", "refused", "refused"}},
    {"export", "`EVP_PKEY_export`", "asks for everything by a callback", KEYS,
     by_export, .want = ASKED},
    {"todata", "`EVP_PKEY_todata`", "asks for everything as an array", KEYS,
     by_todata, .want = ASKED},
    {"pem", "`PEM_write_bio_PrivateKey`", "asks for it as PEM", KEYS, by_pem,
     .want = ASKED},
    {"encoder", "`OSSL_ENCODER_to_bio`", "asks an encoder for it", KEYS,
     by_encoder, .want = ASKED},
    {0},
};
