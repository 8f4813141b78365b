#include "keys.h"

#include "interop.h"

#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RSA_CAN (KEY_SIGNS | KEY_ENCRYPTS | KEY_TLS)
#define EC_CAN (KEY_SIGNS | KEY_DERIVES | KEY_TLS)
#define PQ_CAN (KEY_SIGNS | KEY_HEDGED)

static const struct key_type types[] = {
    {"RSA-2048", "RSA", EVP_PKEY_RSA, RSA_CAN, NULL, 2048, "SHA256", 0},
    {"RSA-3072", "RSA", EVP_PKEY_RSA, RSA_CAN, NULL, 3072, "SHA256", 0},
    {"RSA-PSS", "RSA-PSS", EVP_PKEY_RSA_PSS, KEY_SIGNS | KEY_TLS, NULL, 2048,
     "SHA256", 0},
    {"RSA-PSS-restricted", "RSA-PSS", EVP_PKEY_RSA_PSS, KEY_SIGNS | KEY_TLS,
     NULL, 2048, "SHA256", 1},
    {"P-256", "EC", EVP_PKEY_EC, EC_CAN, "P-256", 0, "SHA256", 0},
    {"P-384", "EC", EVP_PKEY_EC, EC_CAN, "P-384", 0, "SHA384", 0},
    {"P-521", "EC", EVP_PKEY_EC, EC_CAN, "P-521", 0, "SHA512", 0},
    {"secp256k1", "EC", EVP_PKEY_EC, EC_CAN, "secp256k1", 0, "SHA256", 0},
    {"brainpoolP256r1", "EC", EVP_PKEY_EC, EC_CAN, "brainpoolP256r1", 0,
     "SHA256", 0},
    {"SM2", "SM2", EVP_PKEY_SM2, KEY_SIGNS, "SM2", 0, "SM3", 0},
    {"ED25519", "ED25519", EVP_PKEY_ED25519, KEY_SIGNS | KEY_TLS, NULL, 0, NULL,
     0},
    {"ED448", "ED448", EVP_PKEY_ED448, KEY_SIGNS | KEY_TLS, NULL, 0, NULL, 0},
    {"X25519", "X25519", EVP_PKEY_X25519, KEY_DERIVES, NULL, 0, NULL, 0},
    {"X448", "X448", EVP_PKEY_X448, KEY_DERIVES, NULL, 0, NULL, 0},
    {"DH", "DH", EVP_PKEY_DH, KEY_DERIVES, "ffdhe2048", 0, NULL, 0},
    {"DHX", "DHX", EVP_PKEY_DHX, KEY_DERIVES, "dh_2048_256", 0, NULL, 0},
    {"DSA", "DSA", EVP_PKEY_DSA, KEY_SIGNS | KEY_TLS, NULL, 0, "SHA256", 0},
#if OPENSSL_VERSION_PREREQ(3, 5)
    {"ML-DSA-44", "ML-DSA-44", EVP_PKEY_ML_DSA_44, PQ_CAN | KEY_TLS, NULL, 0,
     NULL, 0},
    {"ML-DSA-65", "ML-DSA-65", EVP_PKEY_ML_DSA_65, PQ_CAN | KEY_TLS, NULL, 0,
     NULL, 0},
    {"ML-DSA-87", "ML-DSA-87", EVP_PKEY_ML_DSA_87, PQ_CAN | KEY_TLS, NULL, 0,
     NULL, 0},
    {"SLH-DSA-SHA2-128f", "SLH-DSA-SHA2-128f", EVP_PKEY_SLH_DSA_SHA2_128F,
     PQ_CAN, NULL, 0, NULL, 0},
    {"SLH-DSA-SHAKE-256f", "SLH-DSA-SHAKE-256f", EVP_PKEY_SLH_DSA_SHAKE_256F,
     PQ_CAN, NULL, 0, NULL, 0},
    {"ML-KEM-768", "ML-KEM-768", NID_ML_KEM_768, KEY_ENCAPSULATES, NULL, 0,
     NULL, 0},
#endif
};
#define TYPES (sizeof(types) / sizeof(types[0]))

static EVP_PKEY *kept[TYPES];
static X509 *kept_certs[TYPES];

const struct key_type *key_type_at(size_t i)
{
    return i < TYPES ? &types[i] : NULL;
}

const struct key_type *key_type_find(const char *label)
{
    for (size_t i = 0; i < TYPES; i++) {
        if (strcmp(types[i].label, label) == 0) {
            return &types[i];
        }
    }
    return NULL;
}

/* DSA has no named groups; p, q and g of the DHX group serve and cost nothing.
 */
static EVP_PKEY *dsa_parameters(OSSL_LIB_CTX *libctx, const char *props)
{
    EVP_PKEY *dhx = key_reference(key_type_find("DHX"));
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(libctx, "DSA", props);
    BIGNUM *p = NULL, *q = NULL, *g = NULL;
    OSSL_PARAM *params = NULL;
    EVP_PKEY *key = NULL;

    if (bld != NULL && ctx != NULL &&
        EVP_PKEY_get_bn_param(dhx, OSSL_PKEY_PARAM_FFC_P, &p) &&
        EVP_PKEY_get_bn_param(dhx, OSSL_PKEY_PARAM_FFC_Q, &q) &&
        EVP_PKEY_get_bn_param(dhx, OSSL_PKEY_PARAM_FFC_G, &g) &&
        OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_FFC_P, p) &&
        OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_FFC_Q, q) &&
        OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_FFC_G, g) &&
        (params = OSSL_PARAM_BLD_to_param(bld)) != NULL &&
        EVP_PKEY_fromdata_init(ctx) > 0) {
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEY_PARAMETERS, params);
    }
    BN_free(p);
    BN_free(q);
    BN_free(g);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(bld);
    EVP_PKEY_CTX_free(ctx);
    return key;
}

static void generation_params(const struct key_type *type, OSSL_PARAM *p,
                              size_t *bits, int *salt)
{
    if (type->bits != 0) {
        *bits = type->bits;
        *p++ = OSSL_PARAM_construct_size_t(OSSL_PKEY_PARAM_RSA_BITS, bits);
    }
    if (type->group != NULL) {
        *p++ = OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME,
                                                (char *)type->group, 0);
    }
    if (type->restricted) {
        *salt = 32;
        *p++ = OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_RSA_DIGEST,
                                                (char *)"SHA256", 0);
        *p++ = OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_RSA_MGF1_DIGEST,
                                                (char *)"SHA256", 0);
        *p++ = OSSL_PARAM_construct_int(OSSL_PKEY_PARAM_RSA_PSS_SALTLEN, salt);
    }
    *p = OSSL_PARAM_construct_end();
}

EVP_PKEY *key_generate(OSSL_LIB_CTX *libctx, const char *props,
                       const struct key_type *type)
{
    OSSL_PARAM params[6];
    EVP_PKEY_CTX *ctx = NULL;
    EVP_PKEY *template = NULL;
    EVP_PKEY *key = NULL;
    size_t bits;
    int salt;

    generation_params(type, params, &bits, &salt);
    if (type->id == EVP_PKEY_DSA) {
        template = dsa_parameters(libctx, props);
        if (template != NULL) {
            ctx = EVP_PKEY_CTX_new_from_pkey(libctx, template, props);
        }
    } else {
        ctx = EVP_PKEY_CTX_new_from_name(libctx, type->name, props);
    }
    if (ctx != NULL && EVP_PKEY_keygen_init(ctx) > 0 &&
        EVP_PKEY_CTX_set_params(ctx, params) > 0) {
        EVP_PKEY_generate(ctx, &key);
    }
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(template);
    return key;
}

/* As a file has it: a new SM2 key says another type than one that was loaded.
 */
static EVP_PKEY *loaded(EVP_PKEY *new)
{
    BIO *bio = BIO_new(BIO_s_mem());
    EVP_PKEY *key = NULL;

    if (bio != NULL && new != NULL &&
        PEM_write_bio_PKCS8PrivateKey(bio, new, NULL, NULL, 0, NULL, NULL)) {
        key = PEM_read_bio_PrivateKey_ex(bio, NULL, NULL, NULL, interop_ref(),
                                         NULL);
    }
    BIO_free(bio);
    EVP_PKEY_free(new);
    return key;
}

EVP_PKEY *key_reference(const struct key_type *type)
{
    EVP_PKEY **slot = &kept[type - types];

    if (*slot == NULL) {
        *slot = loaded(key_generate(interop_ref(), NULL, type));
    }
    if (*slot == NULL) {
        fprintf(stderr, "the reference cannot make a %s key\n", type->label);
        ERR_print_errors_fp(stderr);
        exit(1);
    }
    return *slot;
}

char *key_pem(const struct key_type *type)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text, *copy = NULL;
    long len;

    if (bio != NULL &&
        PEM_write_bio_PKCS8PrivateKey(bio, key_reference(type), NULL, NULL, 0,
                                      NULL, NULL)) {
        len = BIO_get_mem_data(bio, &text);
        copy = strndup(text, (size_t)len);
    }
    BIO_free(bio);
    if (copy == NULL) {
        fprintf(stderr, "no PEM of a %s key\n", type->label);
        exit(1);
    }
    return copy;
}

EVP_PKEY *key_load(const struct key_type *type)
{
    BIO *bio = BIO_new(BIO_s_mem());
    EVP_PKEY *key = NULL;

    if (bio != NULL &&
        PEM_write_bio_PKCS8PrivateKey(bio, key_reference(type), NULL, NULL, 0,
                                      NULL, NULL)) {
        key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    }
    BIO_free(bio);
    return key;
}

EVP_PKEY *key_load_public(const struct key_type *type)
{
    BIO *bio = BIO_new(BIO_s_mem());
    EVP_PKEY *key = NULL;

    if (bio != NULL && PEM_write_bio_PUBKEY(bio, key_reference(type))) {
        key = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
    }
    BIO_free(bio);
    return key;
}

EVP_PKEY *key_reference_public(const struct key_type *type)
{
    BIO *bio = BIO_new(BIO_s_mem());
    EVP_PKEY *key = NULL;

    if (bio != NULL && PEM_write_bio_PUBKEY(bio, key_reference(type))) {
        key =
            PEM_read_bio_PUBKEY_ex(bio, NULL, NULL, NULL, interop_ref(), NULL);
    }
    BIO_free(bio);
    return key;
}

/* |set| is X509_set_subject_name or X509_set_issuer_name. */
static bool set_name(X509 *cert, int (*set)(X509 *, const X509_NAME *),
                     const char *text)
{
    X509_NAME *name = X509_NAME_new();
    bool ok =
        name != NULL &&
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                   (const unsigned char *)text, -1, -1, 0) &&
        set(cert, name);

    X509_NAME_free(name);
    return ok;
}

static bool fill_certificate(X509 *cert, const struct key_type *type)
{
    return X509_set_version(cert, X509_VERSION_3) &&
           ASN1_INTEGER_set(X509_get_serialNumber(cert), 1) &&
           X509_gmtime_adj(X509_getm_notBefore(cert), -3600) != NULL &&
           X509_gmtime_adj(X509_getm_notAfter(cert), 86400) != NULL &&
           set_name(cert, X509_set_subject_name, type->label) &&
           set_name(cert, X509_set_issuer_name, "P-256") &&
           X509_set_pubkey(cert, key_reference(type));
}

static X509 *new_certificate(const struct key_type *type)
{
    X509 *cert = X509_new_ex(interop_ref(), NULL);
    EVP_PKEY *issuer = key_reference(key_type_find("P-256"));
    EVP_MD *md = EVP_MD_fetch(interop_ref(), "SHA256", NULL);

    if (cert == NULL || md == NULL || !fill_certificate(cert, type) ||
        !X509_sign(cert, issuer, md)) {
        fprintf(stderr, "no certificate for %s\n", type->label);
        ERR_print_errors_fp(stderr);
        exit(1);
    }
    EVP_MD_free(md);
    return cert;
}

X509 *key_certificate(const struct key_type *type)
{
    X509 **slot = &kept_certs[type - types];

    if (*slot == NULL) {
        *slot = new_certificate(type);
    }
    X509_up_ref(*slot);
    return *slot;
}

int key_eq(EVP_PKEY *a, EVP_PKEY *b)
{
    int eq;

    ERR_set_mark();
    eq = EVP_PKEY_eq(a, b);
    if (eq == 1 && OpenSSL_version_num() < 0x30000080UL) {
        ERR_pop_to_mark();
    } else {
        ERR_clear_last_mark();
    }
    return eq;
}

void keys_free(void)
{
    for (size_t i = 0; i < TYPES; i++) {
        X509_free(kept_certs[i]);
        kept_certs[i] = NULL;
        EVP_PKEY_free(kept[i]);
        kept[i] = NULL;
    }
}
