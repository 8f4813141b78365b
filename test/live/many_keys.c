/*
 * many_keys makes private keys with certificates for the names n0.test, n1.test
 * and so on: DIR/0.key, DIR/0.crt, ... Every 25th key is RSA-2048, the others
 * are P-256. DIR/ca.crt has signed them all.
 *
 *   many_keys DIR COUNT
 */
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

static struct {
    EVP_PKEY *key;
    X509 *cert;
} ca;

static bool add(X509 *cert, int nid, const char *value)
{
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
    bool ok = ext != NULL && X509_add_ext(cert, ext, -1);

    X509_EXTENSION_free(ext);
    return ok;
}

static bool add_name(X509 *cert, const char *text)
{
    X509_NAME *name = X509_NAME_new();
    bool ok =
        name != NULL &&
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                   (const unsigned char *)text, -1, -1, 0) &&
        X509_set_subject_name(cert, name);

    X509_NAME_free(name);
    return ok;
}

/* Of the CA itself while there is none. */
static X509 *certificate(EVP_PKEY *key, const char *name, long serial)
{
    X509 *cert = X509_new(), *issuer = ca.cert != NULL ? ca.cert : cert;
    char alternative[64];

    snprintf(alternative, sizeof(alternative), "DNS:%s", name);
    if (cert == NULL || !X509_set_version(cert, X509_VERSION_3) ||
        !ASN1_INTEGER_set(X509_get_serialNumber(cert), serial) ||
        X509_gmtime_adj(X509_getm_notBefore(cert), -3600) == NULL ||
        X509_gmtime_adj(X509_getm_notAfter(cert), 172800) == NULL ||
        !add_name(cert, name) ||
        !add(cert, NID_subject_alt_name, alternative) ||
        (issuer == cert && !add(cert, NID_basic_constraints, "CA:TRUE")) ||
        !X509_set_issuer_name(cert, X509_get_subject_name(issuer)) ||
        !X509_set_pubkey(cert, key) ||
        X509_sign(cert, issuer == cert ? key : ca.key, EVP_sha256()) <= 0) {
        X509_free(cert);
        return NULL;
    }
    return cert;
}

static BIO *file(const char *dir, const char *name, const char *suffix)
{
    char path[4096];

    snprintf(path, sizeof(path), "%s/%s.%s", dir, name, suffix);
    return BIO_new_file(path, "w");
}

static bool make(const char *dir, unsigned i)
{
    char number[32], name[64];
    EVP_PKEY *key = i % 25 == 0 ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");
    BIO *key_out, *cert_out;
    X509 *cert;
    bool ok;

    snprintf(number, sizeof(number), "%u", i);
    snprintf(name, sizeof(name), "n%u.test", i);
    cert = key != NULL ? certificate(key, name, (long)i + 2) : NULL;
    key_out = file(dir, number, "key");
    cert_out = file(dir, number, "crt");
    ok = cert != NULL && key_out != NULL && cert_out != NULL &&
         PEM_write_bio_PrivateKey(key_out, key, NULL, NULL, 0, NULL, NULL) &&
         PEM_write_bio_X509(cert_out, cert);

    BIO_free(cert_out);
    BIO_free(key_out);
    X509_free(cert);
    EVP_PKEY_free(key);
    return ok;
}

static bool make_ca(const char *dir)
{
    BIO *out = file(dir, "ca", "crt");
    bool ok;

    ca.key = EVP_EC_gen("P-256");
    ca.cert = certificate(ca.key, "ca.test", 1);
    ok = out != NULL && ca.cert != NULL && PEM_write_bio_X509(out, ca.cert);
    BIO_free(out);
    return ok;
}

int main(int argc, char **argv)
{
    unsigned count = argc == 3 ? (unsigned)strtoul(argv[2], NULL, 10) : 0;

    if (count == 0) {
        fputs("usage: many_keys DIR COUNT\n", stderr);
        return 2;
    }
    if (!make_ca(argv[1])) {
        fputs("many_keys: no CA\n", stderr);
        return 1;
    }
    for (unsigned i = 0; i < count; i++) {
        if (!make(argv[1], i)) {
            fprintf(stderr, "many_keys: key %u of %u failed\n", i, count);
            return 1;
        }
    }
    return 0;
}
