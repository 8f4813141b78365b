#include "load_forms.h"

#include "interop.h"

#include <openssl/encoder.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/x509.h>
#include <string.h>

static const char passphrase[] = FORM_PASSPHRASE;

static bool always(const struct key_type *type)
{
    (void)type;
    return true;
}

/* PKCS#1, SEC 1 and the DSA form; the others have PKCS#8 only. */
static bool has_traditional(const struct key_type *type)
{
    return type->id == EVP_PKEY_RSA || type->id == EVP_PKEY_EC ||
           type->id == EVP_PKEY_SM2 || type->id == EVP_PKEY_DSA;
}

static bool has_proc_type(const struct key_type *type)
{
    return has_traditional(type) && type->id != EVP_PKEY_SM2;
}

/* DSA has these forms too, with a q of 160 bits (load_msblob_test). */
static bool is_rsa(const struct key_type *type)
{
    return type->id == EVP_PKEY_RSA;
}

static bool is_ec(const struct key_type *type)
{
    return type->id == EVP_PKEY_EC;
}

static bool pkcs8_pem(BIO *out, const struct key_type *type)
{
    return PEM_write_bio_PKCS8PrivateKey(out, key_reference(type), NULL, NULL,
                                         0, NULL, NULL);
}

static bool pkcs8_der(BIO *out, const struct key_type *type)
{
    return i2d_PKCS8PrivateKeyInfo_bio(out, key_reference(type));
}

static bool pbes2_pem(BIO *out, const struct key_type *type)
{
    return PEM_write_bio_PKCS8PrivateKey(out, key_reference(type),
                                         EVP_aes_256_cbc(), passphrase,
                                         sizeof(passphrase) - 1, NULL, NULL);
}

static bool pbes2_der(BIO *out, const struct key_type *type)
{
    return i2d_PKCS8PrivateKey_bio(out, key_reference(type), EVP_aes_256_cbc(),
                                   passphrase, sizeof(passphrase) - 1, NULL,
                                   NULL);
}

static bool scrypt_pem(BIO *out, const struct key_type *type)
{
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key_reference(type));
    X509_ALGOR *pbe =
        PKCS5_pbe2_set_scrypt(EVP_aes_256_cbc(), NULL, 0, NULL, 1024, 8, 1);
    X509_SIG *sealed = NULL;
    bool ok = false;

    if (info != NULL && pbe != NULL) {
        sealed = PKCS8_set0_pbe(passphrase, sizeof(passphrase) - 1, info, pbe);
    }
    if (sealed != NULL) {
        pbe = NULL; /* owned by |sealed| now */
        ok = PEM_write_bio_PKCS8(out, sealed);
    }
    X509_ALGOR_free(pbe);
    X509_SIG_free(sealed);
    PKCS8_PRIV_KEY_INFO_free(info);
    return ok;
}

/* libcrypto's old functions know no SM2 key that was loaded. */
static bool sm2_pem(BIO *out, const struct key_type *type)
{
    OSSL_ENCODER_CTX *ctx = OSSL_ENCODER_CTX_new_for_pkey(
        key_reference(type), EVP_PKEY_KEYPAIR, "PEM", "type-specific", NULL);
    bool ok = ctx != NULL && OSSL_ENCODER_to_bio(ctx, out);

    OSSL_ENCODER_CTX_free(ctx);
    return ok;
}

static bool traditional_pem(BIO *out, const struct key_type *type)
{
    if (type->id == EVP_PKEY_SM2) {
        return sm2_pem(out, type);
    }
    return PEM_write_bio_PrivateKey_traditional(out, key_reference(type), NULL,
                                                NULL, 0, NULL, NULL);
}

static bool traditional_der(BIO *out, const struct key_type *type)
{
    return i2d_PrivateKey_bio(out, key_reference(type));
}

static bool msblob(BIO *out, const struct key_type *type)
{
    return i2b_PrivateKey_bio(out, key_reference(type)) > 0;
}

static bool pvk(BIO *out, const struct key_type *type)
{
    return i2b_PVK_bio(out, key_reference(type), 0, NULL, NULL) > 0;
}

static bool proc_type_pem(BIO *out, const struct key_type *type)
{
    return PEM_write_bio_PrivateKey_traditional(
        out, key_reference(type), EVP_aes_256_cbc(),
        (const unsigned char *)passphrase, sizeof(passphrase) - 1, NULL, NULL);
}

static bool certificate_pem(BIO *out, const struct key_type *type)
{
    X509 *cert = key_certificate(type);
    bool ok = PEM_write_bio_X509(out, cert);

    X509_free(cert);
    return ok;
}

static bool certificate_then_key(BIO *out, const struct key_type *type)
{
    return certificate_pem(out, type) && pkcs8_pem(out, type);
}

static bool two_certificates_then_key(BIO *out, const struct key_type *type)
{
    return certificate_pem(out, type) &&
           certificate_pem(out, key_type_find("P-256")) && pkcs8_pem(out, type);
}

static bool certificate_then_traditional(BIO *out, const struct key_type *type)
{
    return certificate_pem(out, type) && traditional_pem(out, type);
}

static bool certificate_then_encrypted(BIO *out, const struct key_type *type)
{
    return certificate_pem(out, type) && pbes2_pem(out, type);
}

static bool key_then_certificate(BIO *out, const struct key_type *type)
{
    return pkcs8_pem(out, type) && certificate_pem(out, type);
}

static bool parameters_then_key(BIO *out, const struct key_type *type)
{
    return PEM_write_bio_Parameters(out, key_reference(type)) &&
           traditional_pem(out, type);
}

/* People paste certificates with the text of "openssl x509 -text". */
static bool text_then_key(BIO *out, const struct key_type *type)
{
    return BIO_puts(out, "Bag Attributes\n    friendlyName: www\n"
                         "-- not a header --\n\n") > 0 &&
           pkcs8_pem(out, type);
}

static const struct form forms[] = {
    {"PKCS#8 PEM", FORM_PEM, pkcs8_pem, always},
    {"traditional PEM", FORM_PEM, traditional_pem, has_traditional},
    {"PBES2 PEM", FORM_PEM | FORM_ENCRYPTED, pbes2_pem, always},
    {"scrypt PEM", FORM_PEM | FORM_ENCRYPTED, scrypt_pem, always},
    {"Proc-Type PEM", FORM_PEM | FORM_ENCRYPTED, proc_type_pem, has_proc_type},
    {"certificate, key", FORM_PEM, certificate_then_key, always},
    {"certificate, traditional key", FORM_PEM, certificate_then_traditional,
     has_traditional},
    {"certificate, encrypted key", FORM_PEM | FORM_ENCRYPTED,
     certificate_then_encrypted, always},
    {"two certificates, key", FORM_PEM | FORM_THIRD, two_certificates_then_key,
     always},
    {"key, certificate", FORM_PEM, key_then_certificate, always},
    {"EC PARAMETERS, key", FORM_PEM | FORM_PARAMETERS, parameters_then_key,
     is_ec},
    {"text, key", FORM_PEM, text_then_key, always},
    {"PKCS#8 DER", FORM_DER | FORM_PKCS8, pkcs8_der, always},
    {"PBES2 DER", FORM_DER | FORM_ENCRYPTED | FORM_ENCRYPTED_P8, pbes2_der,
     always},
    {"traditional DER", FORM_DER, traditional_der, has_traditional},
    {"MSBLOB", FORM_MSBLOB, msblob, is_rsa},
    {"PVK", FORM_MSBLOB, pvk, is_rsa},
};

const struct form *form_at(size_t i)
{
    return i < sizeof(forms) / sizeof(forms[0]) ? &forms[i] : NULL;
}

const struct form *form_find(const char *label)
{
    const struct form *form;

    for (size_t i = 0; (form = form_at(i)) != NULL; i++) {
        if (strcmp(form->label, label) == 0) {
            return form;
        }
    }
    return NULL;
}
