#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/provider.h>
#include <openssl/store.h>
#include <stdio.h>

#include "doctor.h"
#include "throwaway.h"

static EVP_PKEY *load_by_pem(BIO *bio)
{
    return PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
}

static EVP_PKEY *load_by_store(BIO *bio)
{
    OSSL_STORE_CTX *store = OSSL_STORE_attach(bio, "file", NULL, NULL, NULL,
                                              NULL, NULL, NULL, NULL);
    OSSL_STORE_INFO *info;
    EVP_PKEY *key = NULL;

    while (store != NULL && key == NULL && !OSSL_STORE_eof(store)) {
        info = OSSL_STORE_load(store);
        if (info == NULL) {
            break;
        }
        key = OSSL_STORE_INFO_get1_PKEY(info);
        OSSL_STORE_INFO_free(info);
    }
    OSSL_STORE_close(store);
    return key;
}

static const struct {
    const char *name;
    EVP_PKEY *(*load)(BIO *bio);
} ways[] = {
    {"PEM", load_by_pem},
    {"OSSL_STORE", load_by_store},
};

static bool signs(EVP_PKEY *key)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    unsigned char sig[1024];
    size_t len = sizeof(sig);
    bool ok =
        ctx != NULL &&
        EVP_DigestSignInit_ex(ctx, NULL, "SHA256", NULL, NULL, key, NULL) > 0 &&
        EVP_DigestSign(ctx, sig, &len, (const unsigned char *)"x", 1) > 0;

    EVP_MD_CTX_free(ctx);
    return ok;
}

static void look_at_key(struct doctor *d, const char *title, EVP_PKEY *key)
{
    const OSSL_PROVIDER *p = key == NULL ? NULL : EVP_PKEY_get0_provider(key);
    const char *name =
        p == NULL ? "libcrypto's legacy code" : OSSL_PROVIDER_get0_name(p);
    char why[DOCTOR_VALUE];

    if (key == NULL) {
        doctor_say(d, VERDICT_TODO, title, "cannot be loaded: %s",
                   doctor_last_error(why, sizeof(why)));
    } else if (!doctor_ours(p)) {
        doctor_say(d, VERDICT_TODO, title, "in the clear, held by '%s': %s",
                   name,
                   d->conf.ours && !d->conf.keys
                       ? "no active section of the module is about keys; add "
                         "'mpk' of mpk.cnf, last in the list of providers"
                       : "the provider 'mpk' has to be active, and last in "
                         "the list of providers");
    } else if (!signs(key)) {
        doctor_say(d, VERDICT_TODO, title, "held by '%s', refused: %s", name,
                   doctor_last_error(why, sizeof(why)));
    } else {
        doctor_say(d, VERDICT_OK, title, "held by '%s', and signs", name);
    }
}

static void try_way(struct doctor *d, const char *kind, EVP_PKEY *made,
                    size_t way)
{
    BIO *bio = throwaway_pem(made);
    EVP_PKEY *key = bio == NULL ? NULL : ways[way].load(bio);
    char title[DOCTOR_VALUE];

    snprintf(title, sizeof(title), "key, %s, %s", kind, ways[way].name);
    look_at_key(d, title, key);
    EVP_PKEY_free(key);
    BIO_free(bio);
    ERR_clear_error();
}

void doctor_keys(struct doctor *d)
{
    static const char *const kinds[DOCTOR_KEYS] = {"P-256", "RSA-2048"};

    for (size_t i = 0; i < DOCTOR_KEYS; i++) {
        d->keys[i] = throwaway_key(d->stock, kinds[i]);
        for (size_t way = 0; d->keys[i] != NULL && way < 2; way++) {
            try_way(d, kinds[i], d->keys[i], way);
        }
    }
}
