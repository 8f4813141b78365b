/* keyparse.c - inside: one object, decoded, and what key is in it. */
#include "keyparse.h"
#include "der.h"
#include "msblob.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/x509.h>

/* ---- PKCS#8 -------------------------------------------------------------- */

static int refuse(struct mpkprov_frame *f, enum key_type type, const char *text)
{
    f->type = type;
    fail_inner(f, text);
    f->error.reason = MPKPROV_R_UNSUPPORTED_KEY;
    return KEYLOAD_REFUSED;
}

/* The type of the key in |p8|; |name| is its algorithm's, for a message. */
static enum key_type p8_type(const PKCS8_PRIV_KEY_INFO *p8, char *name,
                             size_t room)
{
    const ASN1_OBJECT *oid = NULL;
    char dotted[80];

    PKCS8_pkey_get0(&oid, NULL, NULL, NULL, p8);
    OBJ_obj2txt(dotted, sizeof(dotted), oid, 1);
    OBJ_obj2txt(name, (int)room, oid, 0);
    return mpkprov_type_by_name(dotted);
}

/* Only what libcrypto's old code does not know either may fail. */
static int unsupported(struct mpkprov_frame *f, const PKCS8_PRIV_KEY_INFO *p8,
                       const char *name)
{
    const char *const part[] = {"keys of type ", name, " are not supported",
                                NULL};
    const ASN1_OBJECT *oid = NULL;

    PKCS8_pkey_get0(&oid, NULL, NULL, NULL, p8);
    f->type = KEY_ANY;
    fail_with(f, MPKPROV_R_UNSUPPORTED_KEY, part);
    return EVP_PKEY_type(OBJ_obj2nid(oid)) != NID_undef ? KEYLOAD_REFUSED
                                                        : KEYLOAD_FAILED;
}

/* Takes over |pkey|, whose file says that it is of |type|. */
static int adopt(struct mpkprov_frame *f, EVP_PKEY *pkey, enum key_type type)
{
    int ok = key_adopt(f, pkey);

    EVP_PKEY_free(pkey);
    if (!ok) {
        f->type = type;
        if (f->error.reason != MPKPROV_R_MEMORY) {
            f->error.reason = MPKPROV_R_UNSUPPORTED_KEY;
        }
    }
    return ok ? KEYLOAD_KEY : KEYLOAD_REFUSED;
}

static int decode_p8(struct mpkprov_frame *f, const PKCS8_PRIV_KEY_INFO *p8,
                     enum key_type type)
{
    unsigned char *der = NULL;
    int len = i2d_PKCS8_PRIV_KEY_INFO(p8, &der);
    int ok = len > 0 && key_decode(f, der, len, type, KEY_IN_PKCS8);

    OPENSSL_clear_free(der, len > 0 ? (size_t)len : 0);
    return ok;
}

static int refuse_numbers(struct mpkprov_frame *f)
{
    return key_refuse_form(f, "its numbers are too long");
}

/*
 * The inner OpenSSL computes DSA's public key while it decodes a private one,
 * with numbers of any length: before params_may_end sees them. A number has a
 * header of a few bytes.
 */
static int decoding_may_end(const PKCS8_PRIV_KEY_INFO *p8)
{
    const int longest = PARAMS_NUMBER_MAX + 8;
    const X509_ALGOR *alg = NULL;
    const ASN1_OBJECT *oid = NULL;
    const unsigned char *key;
    const void *pqg = NULL;
    int len = 0, form = V_ASN1_UNDEF;

    PKCS8_pkey_get0(NULL, &key, &len, &alg, p8);
    X509_ALGOR_get0(&oid, &form, &pqg, alg);
    return EVP_PKEY_type(OBJ_obj2nid(oid)) != EVP_PKEY_DSA ||
           (len <= longest && (form != V_ASN1_SEQUENCE ||
                               ASN1_STRING_length(pqg) <= 3 * longest));
}

/*
 * Some types have several numbers, of old. libcrypto's old code outside may
 * know them all where the inner OpenSSL does not (3.5), so each becomes the one
 * that everybody knows.
 */
static void use_newest_number(PKCS8_PRIV_KEY_INFO *p8)
{
    static const struct {
        int old, newest;
    } number[] = {{NID_rsa, NID_rsaEncryption},
                  {NID_dsaWithSHA1, NID_dsa},
                  {NID_dsa_2, NID_dsa},
                  {NID_dsaWithSHA, NID_dsa},
                  {NID_dsaWithSHA1_2, NID_dsa}};
    const X509_ALGOR *alg = NULL;
    int nid;

    PKCS8_pkey_get0(NULL, NULL, NULL, &alg, p8);
    nid = OBJ_obj2nid(alg->algorithm);
    for (size_t i = 0; i < sizeof(number) / sizeof(number[0]); i++) {
        if (number[i].old == nid) {
            ASN1_OBJECT_free(alg->algorithm);
            ((X509_ALGOR *)alg)->algorithm = OBJ_nid2obj(number[i].newest);
        }
    }
}

static int load_p8(struct mpkprov_frame *f, PKCS8_PRIV_KEY_INFO *p8)
{
    char name[64];
    enum key_type type;
    EVP_PKEY *pkey;
    int ret;

    use_newest_number(p8);
    type = p8_type(p8, name, sizeof(name));
    if (!decoding_may_end(p8)) {
        return refuse_numbers(f);
    }
    if (decode_p8(f, p8, type)) {
        return KEYLOAD_KEY;
    }
    pkey = EVP_PKCS82PKEY(p8);
    ret = pkey != NULL ? adopt(f, pkey, type) : KEYLOAD_REFUSED;

    if (ret != KEYLOAD_KEY && type == KEY_ANY) {
        return unsupported(f, p8, name);
    }
    return pkey != NULL ? ret : refuse(f, type, name);
}

/* What the application's OpenSSL may read, and we do not. */
int key_refuse_form(struct mpkprov_frame *f, const char *text)
{
    f->type = KEY_ANY;
    fail(f, MPKPROV_R_UNSUPPORTED_KEY, text);
    return KEYLOAD_REFUSED;
}

int key_refuse_encryption(struct mpkprov_frame *f)
{
    ERR_clear_error();
    return key_refuse_form(
        f, "the key's encryption is not supported; use PBES2 with AES "
           "(openssl pkcs8 -topk8 -v2 aes-256-cbc)");
}

/* A wrong passphrase, or an encryption that we do not have? */
int key_wrong_passphrase(struct mpkprov_frame *f)
{
    unsigned long e;
    int unsupported = 0;

    while ((e = ERR_get_error()) != 0) {
        int reason = ERR_GET_REASON(e);

        unsupported |= reason == ERR_R_UNSUPPORTED ||
                       (ERR_GET_LIB(e) == ERR_LIB_EVP &&
                        (reason == EVP_R_UNKNOWN_PBE_ALGORITHM ||
                         reason == EVP_R_UNSUPPORTED_CIPHER ||
                         reason == EVP_R_UNSUPPORTED_KEY_DERIVATION_FUNCTION ||
                         reason == EVP_R_UNSUPPORTED_PRF ||
                         reason == EVP_R_UNKNOWN_CIPHER ||
                         reason == EVP_R_UNSUPPORTED_ALGORITHM));
    }
    if (unsupported) {
        return key_refuse_encryption(f);
    }
    fail(f, MPKPROV_R_PASSPHRASE, "the private key cannot be decrypted");
    return KEYLOAD_FAILED;
}

static int load_encrypted(struct mpkprov_frame *f, const X509_SIG *sig,
                          const struct key_pass *pass)
{
    PKCS8_PRIV_KEY_INFO *p8;
    int ret;

    if (pass->text == NULL) {
        return KEYLOAD_ENCRYPTED;
    }
    p8 = PKCS8_decrypt(sig, pass->text, (int)pass->len);
    if (p8 == NULL) {
        return key_wrong_passphrase(f);
    }
    ret = load_p8(f, p8);
    PKCS8_PRIV_KEY_INFO_free(p8);
    return ret;
}

/* ---- DER of any kind ----------------------------------------------------- */

static const struct {
    enum key_type type;
    int id;
    const char *private_param;
} traditional[] = {
    {KEY_RSA, EVP_PKEY_RSA, OSSL_PKEY_PARAM_RSA_D},
    {KEY_EC, EVP_PKEY_EC, OSSL_PKEY_PARAM_PRIV_KEY},
    {KEY_SM2, EVP_PKEY_SM2, OSSL_PKEY_PARAM_PRIV_KEY},
    {KEY_DSA, EVP_PKEY_DSA, OSSL_PKEY_PARAM_PRIV_KEY},
};

/* What looks like a key can be parameters only. */
static int has_private(const EVP_PKEY *pkey, const char *param)
{
    BIGNUM *n = NULL;
    int has = EVP_PKEY_get_bn_param(pkey, param, &n);

    BN_clear_free(n);
    return has;
}

static int may_be(const struct key_blob *b, enum key_type type)
{
    return b->type == KEY_ANY || b->type == type;
}

static int decode_traditional(struct mpkprov_frame *f, const struct key_blob *b)
{
    for (size_t i = 0; i < sizeof(traditional) / sizeof(traditional[0]); i++) {
        if (may_be(b, traditional[i].type) &&
            key_decode(f, b->der, b->len, traditional[i].type, KEY_BY_ITSELF)) {
            return 1;
        }
    }
    return 0;
}

/* One of the types' own formats: PKCS#1, SEC 1 and so on. */
static EVP_PKEY *parse_traditional(const struct key_blob *b)
{
    for (size_t i = 0; i < sizeof(traditional) / sizeof(traditional[0]); i++) {
        const unsigned char *p = b->der;
        EVP_PKEY *pkey;

        if (!may_be(b, traditional[i].type)) {
            continue;
        }
        pkey = d2i_PrivateKey(traditional[i].id, NULL, &p, b->len);
        if (pkey != NULL && has_private(pkey, traditional[i].private_param)) {
            return pkey;
        }
        EVP_PKEY_free(pkey);
    }
    return NULL;
}

static int load_traditional(struct mpkprov_frame *f, const struct key_blob *b)
{
    EVP_PKEY *pkey;

    if (decode_traditional(f, b)) {
        return KEYLOAD_KEY;
    }
    pkey = parse_traditional(b);
    return pkey != NULL ? adopt(f, pkey, b->type) : KEYLOAD_NOTHING;
}

int key_parse(struct mpkprov_frame *f, const struct key_blob *b,
              const struct key_pass *pass)
{
    const unsigned char *p = b->der;
    PKCS8_PRIV_KEY_INFO *p8 = NULL;
    X509_SIG *sig = NULL;
    int ret;

    if (b->type == KEY_ANY) {
        if (!b->encrypted) {
            p8 = d2i_PKCS8_PRIV_KEY_INFO(NULL, &p, b->len);
        }
        p = b->der;
        if (p8 == NULL) {
            sig = d2i_X509_SIG(NULL, &p, b->len);
        }
    }
    ERR_clear_error();
    if (p8 != NULL) {
        ret = load_p8(f, p8);
    } else if (sig != NULL) {
        ret = load_encrypted(f, sig, pass);
    } else {
        ret = load_traditional(f, b);
    }
    /* A newer OpenSSL outside reads more of RFC 5958 than one of 3.0 does. */
    if (ret == KEYLOAD_NOTHING && der_is_pkcs8(b->der, (size_t)b->len)) {
        ret = key_refuse_form(f, "a form of PKCS#8 that is not supported; "
                                 "write the key anew with openssl pkey of "
                                 "OpenSSL 3.5 or later");
    }
    PKCS8_PRIV_KEY_INFO_free(p8);
    X509_SIG_free(sig);
    forget_errors();
    return ret;
}

/* An encrypted one has RC4, which the inner default provider does not have. */
int key_parse_msblob(struct mpkprov_frame *f, const unsigned char *p,
                     size_t len)
{
    const unsigned char *blob = msblob_body(p, len);
    EVP_PKEY *pkey;
    int ret;

    if (len >= MSBLOB_HEAD && blob == NULL) {
        return key_refuse_form(f, "it is an encrypted PVK file: write it anew "
                                  "with openssl rsa -inform PVK -provider "
                                  "default -provider legacy");
    }
    /* As in decoding_may_end. */
    if (msblob_bits(p, len) > 8 * PARAMS_NUMBER_MAX) {
        return refuse_numbers(f);
    }
    pkey = blob != NULL ? b2i_PrivateKey(&blob, (long)(p + len - blob)) : NULL;
    if (pkey == NULL) {
        fail_inner(f, "MSBLOB or PVK");
        f->error.reason = MPKPROV_R_BAD_KEY;
        return KEYLOAD_FAILED;
    }
    ret = adopt(f, pkey, msblob_type(p, len));
    forget_errors();
    return ret;
}
