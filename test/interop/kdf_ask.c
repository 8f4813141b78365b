#include "kdf_ask.h"

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <string.h>

static void add(OSSL_PARAM **p, const char *name, struct ask_bytes b)
{
    if (b.p != NULL) {
        *(*p)++ = OSSL_PARAM_construct_octet_string(name, (void *)b.p, b.len);
    }
}

static int derive(OSSL_LIB_CTX *libctx, const char *name,
                  const OSSL_PARAM *params, void *out, size_t len)
{
    EVP_KDF *kdf = EVP_KDF_fetch(libctx, name, NULL);
    EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
    int ret = ctx != NULL && EVP_KDF_derive(ctx, out, len, params) > 0;

    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
    return ret;
}

int ask_tls13(OSSL_LIB_CTX *libctx, const struct ask13 *a, void *out,
              size_t len)
{
    OSSL_PARAM params[8], *p = params;
    int mode = a->mode;

    *p++ = OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode);
    *p++ = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST,
                                            (char *)a->digest, 0);
    add(&p, OSSL_KDF_PARAM_KEY, a->key);
    add(&p, OSSL_KDF_PARAM_SALT, a->salt);
    add(&p, OSSL_KDF_PARAM_PREFIX, a->prefix);
    add(&p, OSSL_KDF_PARAM_LABEL, a->label);
    add(&p, OSSL_KDF_PARAM_DATA, a->data);
    *p = OSSL_PARAM_construct_end();
    return derive(libctx, OSSL_KDF_NAME_TLS1_3_KDF, params, out, len);
}

int ask_tls1(OSSL_LIB_CTX *libctx, const char *digest, struct ask_bytes secret,
             const struct ask_bytes seed[], size_t n, void *out, size_t len)
{
    OSSL_PARAM params[ASK_SEEDS + 3], *p = params;

    *p++ = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST,
                                            (char *)digest, 0);
    add(&p, OSSL_KDF_PARAM_SECRET, secret);
    for (size_t i = 0; i < n; i++) {
        *p++ = OSSL_PARAM_construct_octet_string(
            OSSL_KDF_PARAM_SEED, (void *)seed[i].p, seed[i].len);
    }
    *p = OSSL_PARAM_construct_end();
    return derive(libctx, OSSL_KDF_NAME_TLS1_PRF, params, out, len);
}

size_t ask_hash_size(const char *digest)
{
    return strcmp(digest, "SHA2-384") == 0   ? 48
           : strcmp(digest, "MD5-SHA1") == 0 ? 36
                                             : 32;
}

int ask_expand(OSSL_LIB_CTX *libctx, const char *digest, const void *secret,
               const char *label, struct ask_bytes data, void *out, size_t len)
{
    const struct ask13 a = {digest,
                            EVP_KDF_HKDF_MODE_EXPAND_ONLY,
                            BYTES(secret, ask_hash_size(digest)),
                            NONE,
                            TEXT("tls13 "),
                            BYTES(label, strlen(label)),
                            data};

    return ask_tls13(libctx, &a, out, len);
}

int ask_extract(OSSL_LIB_CTX *libctx, const char *digest, const void *salt,
                struct ask_bytes key, void *out)
{
    const struct ask13 a = {digest,
                            EVP_KDF_HKDF_MODE_EXTRACT_ONLY,
                            key,
                            salt != NULL ? BYTES(salt, ask_hash_size(digest))
                                         : NONE,
                            TEXT("tls13 "),
                            TEXT("derived"),
                            NONE};

    return ask_tls13(libctx, &a, out, ask_hash_size(digest));
}
