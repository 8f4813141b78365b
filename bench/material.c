/* material.c - keys and certificates for all columns. */
#include "material.h"

#include "bench.h"
#include "interrupt.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/provider.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct kind {
    const char *label;
    const char *type;
    const char *group;
    size_t bits;
    const char *md; /* of its certificate */
    bool signs, derives;
} kinds[] = {
    {"RSA-2048", "RSA", NULL, 2048, "SHA256", true, false},
    {"RSA-3072", "RSA", NULL, 3072, "SHA256", true, false},
    {"RSA-4096", "RSA", NULL, 4096, "SHA256", true, false},
    {"P-256", "EC", "P-256", 0, "SHA256", true, true},
    {"P-384", "EC", "P-384", 0, "SHA384", true, true},
    {"P-521", "EC", "P-521", 0, "SHA512", true, true},
    {"Ed25519", "ED25519", NULL, 0, NULL, true, false},
    {"Ed448", "ED448", NULL, 0, NULL, true, false},
    {"X25519", "X25519", NULL, 0, NULL, false, true},
    {"X448", "X448", NULL, 0, NULL, false, true},
    {"ffdhe2048", "DH", "ffdhe2048", 0, NULL, false, true},
    {"SM2", "SM2", NULL, 0, NULL, false, false},
    {"ML-DSA-65", "ML-DSA-65", NULL, 0, NULL, false, false},
};

static OSSL_LIB_CTX *stock(void)
{
    static OSSL_LIB_CTX *ctx;

    if (ctx == NULL) {
        ctx = OSSL_LIB_CTX_new();
        if (ctx == NULL || OSSL_PROVIDER_load(ctx, "default") == NULL) {
            fputs("no library context for the keys\n", stderr);
            exit(1);
        }
    }
    return ctx;
}

static EVP_PKEY *generate(const struct kind *k)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(stock(), k->type, NULL);
    EVP_PKEY *key = NULL;

    if (ctx != NULL && EVP_PKEY_keygen_init(ctx) > 0 &&
        (k->group == NULL || EVP_PKEY_CTX_set_group_name(ctx, k->group) > 0) &&
        (k->bits == 0 ||
         EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, (int)k->bits) > 0)) {
        EVP_PKEY_generate(ctx, &key);
    }
    EVP_PKEY_CTX_free(ctx);
    return key;
}

/* Signed by itself. */
static bool write_certificate(BIO *out, const struct kind *k, EVP_PKEY *key)
{
    X509 *cert = X509_new_ex(stock(), NULL);
    EVP_MD *md = k->md != NULL ? EVP_MD_fetch(stock(), k->md, NULL) : NULL;
    X509_NAME *name = X509_NAME_new();
    bool ok =
        cert != NULL && name != NULL &&
        X509_set_version(cert, X509_VERSION_3) &&
        ASN1_INTEGER_set(X509_get_serialNumber(cert), 1) &&
        X509_gmtime_adj(X509_getm_notBefore(cert), -3600) != NULL &&
        X509_gmtime_adj(X509_getm_notAfter(cert), 864000) != NULL &&
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                   (const unsigned char *)"bench", -1, -1, 0) &&
        X509_set_subject_name(cert, name) && X509_set_issuer_name(cert, name) &&
        X509_set_pubkey(cert, key) && X509_sign(cert, key, md) > 0 &&
        PEM_write_bio_X509(out, cert);

    X509_NAME_free(name);
    EVP_MD_free(md);
    X509_free(cert);
    return ok;
}

static bool write_peer(BIO *out, const struct kind *k)
{
    EVP_PKEY *peer = generate(k);
    bool ok = peer != NULL && PEM_write_bio_PUBKEY(out, peer);

    EVP_PKEY_free(peer);
    return ok;
}

static bool write_all(BIO *out, const struct kind *k)
{
    EVP_PKEY *key = generate(k);
    bool ok =
        key != NULL &&
        PEM_write_bio_PKCS8PrivateKey(out, key, NULL, NULL, 0, NULL, NULL) &&
        (!k->signs || write_certificate(out, k, key)) &&
        (!k->derives || write_peer(out, k));

    EVP_PKEY_free(key);
    return ok;
}

static const struct kind *kind_find(const char *label)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcmp(kinds[i].label, label) == 0) {
            return &kinds[i];
        }
    }
    return NULL;
}

bool material_make(const char *label, size_t n, const char *path)
{
    const struct kind *k = kind_find(label);
    BIO *out = k != NULL ? BIO_new_file(path, "w") : NULL;
    bool ok = out != NULL;

    for (size_t i = 0; i < n && ok; i++) {
        ok = !interrupted() && write_all(out, k);
    }
    BIO_free(out);
    return ok;
}

/* Each key's text becomes a string of its own; an empty one is the end. */
static void cut(char *text)
{
    static const char head[] = "\n-----BEGIN PRIVATE KEY";

    for (char *at = strstr(text, head); at != NULL; at = strstr(at, head)) {
        *at++ = '\0';
    }
}

char *material_read(const char *path)
{
    BIO *in = BIO_new_file(path, "r");
    BIO *all = BIO_new(BIO_s_mem());
    char buf[4096], *text = NULL;
    const char *data;
    int n;

    while (in != NULL && all != NULL &&
           (n = BIO_read(in, buf, sizeof(buf))) > 0) {
        BIO_write(all, buf, n);
    }
    n = all != NULL ? (int)BIO_get_mem_data(all, &data) : 0;
    if (n > 0 && (text = calloc(1, (size_t)n + 2)) != NULL) {
        memcpy(text, data, (size_t)n);
        cut(text);
    }
    BIO_free(all);
    BIO_free(in);
    return text;
}

const char *material_next(const char *material)
{
    const char *next = material + strlen(material) + 1;

    return *next != '\0' ? next : NULL;
}

size_t material_count(const char *material)
{
    size_t n = 0;

    for (; material != NULL; material = material_next(material)) {
        n++;
    }
    return n;
}

void material_why(char *why, const char *what)
{
    const char *data = NULL;
    int flags = 0;
    unsigned long e = ERR_peek_last_error_all(NULL, NULL, NULL, &data, &flags);
    const char *reason = e != 0 ? ERR_reason_error_string(e) : NULL;

    snprintf(
        why, WHY_ROOM, "%s: %s%s%s", what, reason != NULL ? reason : "failed",
        data != NULL && *data != '\0' ? ": " : "", data != NULL ? data : "");
    ERR_clear_error();
}

static EVP_PKEY *read_key(const char *material, OSSL_LIB_CTX *libctx)
{
    BIO *in = BIO_new_mem_buf(material, -1);
    EVP_PKEY *key =
        PEM_read_bio_PrivateKey_ex(in, NULL, NULL, NULL, libctx, NULL);

    BIO_free(in);
    return key;
}

/*
 * A key that the module does not get, although it takes all that are read:
 * one that is made of numbers.
 */
static EVP_PKEY *unprotected_key(const char *material)
{
    EVP_PKEY *from = read_key(material, stock());
    EVP_PKEY_CTX *ctx = NULL;
    OSSL_PARAM *params = NULL;
    EVP_PKEY *key = NULL;

    if (from != NULL && EVP_PKEY_todata(from, EVP_PKEY_KEYPAIR, &params)) {
        ctx = EVP_PKEY_CTX_new_from_name(NULL, EVP_PKEY_get0_type_name(from),
                                         NULL);
        if (ctx != NULL && EVP_PKEY_fromdata_init(ctx) > 0) {
            EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params);
        }
    }
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    EVP_PKEY_free(from);
    return key;
}

EVP_PKEY *material_key(const char *material, const struct column *c, char *why)
{
    EVP_PKEY *key = c->profile == PROFILE_LOADED ? unprotected_key(material)
                                                 : read_key(material, NULL);

    if (key == NULL) {
        material_why(why, "loading the key");
    } else if (!column_holds(c, key, why, WHY_ROOM)) {
        EVP_PKEY_free(key);
        key = NULL;
    }
    return key;
}

EVP_PKEY *material_peer(const char *material)
{
    BIO *in = BIO_new_mem_buf(material, -1);
    EVP_PKEY *peer = PEM_read_bio_PUBKEY(in, NULL, NULL, NULL);

    BIO_free(in);
    return peer;
}

X509 *material_certificate(const char *material)
{
    BIO *in = BIO_new_mem_buf(material, -1);
    X509 *cert = PEM_read_bio_X509(in, NULL, NULL, NULL);

    BIO_free(in);
    return cert;
}
