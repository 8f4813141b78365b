#include "throwaway.h"

#include <openssl/pem.h>
#include <string.h>

EVP_PKEY *throwaway_key(OSSL_LIB_CTX *libctx, const char *kind)
{
    if (strcmp(kind, "RSA-2048") == 0) {
        return EVP_PKEY_Q_keygen(libctx, NULL, "RSA", (size_t)2048);
    }
    return EVP_PKEY_Q_keygen(libctx, NULL, "EC", kind);
}

BIO *throwaway_pem(EVP_PKEY *key)
{
    BIO *bio = BIO_new(BIO_s_secmem());

    if (bio != NULL &&
        !PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL)) {
        BIO_free(bio);
        bio = NULL;
    }
    return bio;
}

static int fill_cert(X509 *cert, EVP_PKEY *key, X509_NAME *name)
{
    return X509_set_version(cert, X509_VERSION_3) &&
           ASN1_INTEGER_set(X509_get_serialNumber(cert), 1) &&
           X509_gmtime_adj(X509_getm_notBefore(cert), -3600) != NULL &&
           X509_gmtime_adj(X509_getm_notAfter(cert), 3600) != NULL &&
           X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                      (const unsigned char *)"mpkctl doctor",
                                      -1, -1, 0) &&
           X509_set_subject_name(cert, name) &&
           X509_set_issuer_name(cert, name) && X509_set_pubkey(cert, key) &&
           X509_sign(cert, key, EVP_sha256()) > 0;
}

X509 *throwaway_cert(OSSL_LIB_CTX *libctx, EVP_PKEY *key)
{
    X509 *cert = X509_new_ex(libctx, NULL);
    X509_NAME *name = X509_NAME_new();

    if (cert != NULL && (name == NULL || !fill_cert(cert, key, name))) {
        X509_free(cert);
        cert = NULL;
    }
    X509_NAME_free(name);
    return cert;
}
