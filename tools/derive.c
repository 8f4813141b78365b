#include "derive.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/kdf.h>
#include <string.h>

#define RANDOM 32

static EVP_KDF_CTX *kdf_new(OSSL_LIB_CTX *libctx, const char *name)
{
    EVP_KDF *kdf = EVP_KDF_fetch(libctx, name, NULL);
    EVP_KDF_CTX *ctx = kdf == NULL ? NULL : EVP_KDF_CTX_new(kdf);

    EVP_KDF_free(kdf);
    return ctx;
}

int derive_init(struct derive *d, OSSL_LIB_CTX *libctx)
{
    d->tls13 = kdf_new(libctx, "TLS13-KDF");
    d->prf = kdf_new(libctx, "TLS1-PRF");
    return d->tls13 != NULL && d->prf != NULL ? 0 : -ENOMEM;
}

void derive_free(struct derive *d)
{
    EVP_KDF_CTX_free(d->tls13);
    EVP_KDF_CTX_free(d->prf);
    memset(d, 0, sizeof(*d));
}

const char *derive_digest(size_t len)
{
    return len == 32 ? "SHA256" : len == 48 ? "SHA384" : NULL;
}

/* libcrypto's constructors take pointers that they do not write through. */
static OSSL_PARAM octets(const char *key, const void *bytes, size_t len)
{
    return OSSL_PARAM_construct_octet_string(key, (void *)(uintptr_t)bytes,
                                             len);
}

static OSSL_PARAM text(const char *key, const char *value)
{
    return OSSL_PARAM_construct_utf8_string(key, (char *)(uintptr_t)value, 0);
}

static int run(EVP_KDF_CTX *ctx, const OSSL_PARAM *params, uint8_t *out,
               size_t len)
{
    int ok;

    EVP_KDF_CTX_reset(ctx);
    ok = EVP_KDF_derive(ctx, out, len, params) > 0;
    ERR_clear_error();
    return ok ? 0 : -EIO;
}

int derive_expand(struct derive *d, uint8_t *out, size_t out_len,
                  const uint8_t *secret, size_t len, const char *label,
                  const uint8_t *data, size_t data_len)
{
    int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
        text(OSSL_KDF_PARAM_DIGEST, derive_digest(len)),
        octets(OSSL_KDF_PARAM_KEY, secret, len),
        octets(OSSL_KDF_PARAM_PREFIX, "tls13 ", 6),
        octets(OSSL_KDF_PARAM_LABEL, label, strlen(label)),
        data == NULL ? OSSL_PARAM_construct_end()
                     : octets(OSSL_KDF_PARAM_DATA, data, data_len),
        OSSL_PARAM_construct_end(),
    };

    return run(d->tls13, params, out, out_len);
}

int derive_early(struct derive *d, uint8_t *out, const uint8_t *psk, size_t len)
{
    int mode = EVP_KDF_HKDF_MODE_EXTRACT_ONLY;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
        text(OSSL_KDF_PARAM_DIGEST, derive_digest(len)),
        octets(OSSL_KDF_PARAM_KEY, psk, len),
        octets(OSSL_KDF_PARAM_PREFIX, "tls13 ", 6),
        octets(OSSL_KDF_PARAM_LABEL, "derived", 7),
        OSSL_PARAM_construct_end(),
    };

    return run(d->tls13, params, out, len);
}

int derive_key_block(struct derive *d, uint8_t *out, size_t out_len,
                     const char *digest, const uint8_t *master, size_t len,
                     const uint8_t server_random[32],
                     const uint8_t client_random[32])
{
    OSSL_PARAM params[] = {
        text(OSSL_KDF_PARAM_DIGEST, digest),
        octets(OSSL_KDF_PARAM_SECRET, master, len),
        octets(OSSL_KDF_PARAM_SEED, "key expansion", 13),
        octets(OSSL_KDF_PARAM_SEED, server_random, RANDOM),
        octets(OSSL_KDF_PARAM_SEED, client_random, RANDOM),
        OSSL_PARAM_construct_end(),
    };

    return run(d->prf, params, out, out_len);
}
