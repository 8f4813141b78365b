/*
 * spy.c - see spy.h. The functions here take the place of libcrypto's for all
 * that was linked against these, which libssl was; they call the real ones.
 */
#include "spy.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <dlfcn.h>

static struct spied found[SPY_MAX];
static size_t n_found;

void spy_forget(void)
{
    OPENSSL_cleanse(found, sizeof(found));
    n_found = 0;
}

size_t spy_len(void)
{
    return n_found;
}

const struct spied *spy_at(size_t i)
{
    return &found[i];
}

static void write_down(const char *name, const void *bytes, size_t len)
{
    struct spied *s = &found[n_found];

    if (n_found == SPY_MAX || len > SPY_BYTES) {
        fprintf(stderr, "spy: no room for %s of %zu bytes\n", name, len);
        exit(1);
    }
    n_found++;
    snprintf(s->name, sizeof(s->name), "%s", name);
    memcpy(s->bytes, bytes, len);
    s->len = len;
}

/* The function that |ours| stands in front of, in |*real|. */
#define REAL(ours, real)                                                       \
    do {                                                                       \
        if (*(void **)(real) == NULL) {                                        \
            *(void **)(real) = dlsym(RTLD_NEXT, ours);                         \
        }                                                                      \
    } while (0)

/* ---- key derivations ---------------------------------------------------- */

static const void *octets(const OSSL_PARAM *params, const char *name,
                          size_t *len)
{
    const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, name);
    const void *at = NULL;

    *len = 0;
    if (p != NULL && !OSSL_PARAM_get_octet_string_ptr(p, &at, len)) {
        at = NULL;
    }
    return at;
}

static bool has_any(const unsigned char *bytes, size_t len)
{
    unsigned char any = 0;

    for (size_t i = 0; i < len; i++) {
        any |= bytes[i];
    }
    return any != 0;
}

/*
 * What an Extract makes follows from what goes into it (RFC 8446, 7.1). Without
 * a PSK the first one has nothing in it, and is the same in all connections of
 * the world: NULL.
 */
static const char *extract_name(const OSSL_PARAM *params)
{
    size_t key_len, salt_len;
    const unsigned char *key = octets(params, OSSL_KDF_PARAM_KEY, &key_len);

    (void)octets(params, OSSL_KDF_PARAM_SALT, &salt_len);
    if (!has_any(key, key_len)) {
        return salt_len > 0 ? "master secret" : NULL;
    }
    return salt_len > 0 ? "handshake secret" : "early secret";
}

static void tls13(const OSSL_PARAM *params, const void *out, size_t len)
{
    const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, OSSL_KDF_PARAM_MODE);
    char name[32];
    size_t label_len;
    const char *label = octets(params, OSSL_KDF_PARAM_LABEL, &label_len);
    int mode = -1;

    if (p != NULL) {
        OSSL_PARAM_get_int(p, &mode);
    }
    if (mode == EVP_KDF_HKDF_MODE_EXPAND_ONLY) {
        snprintf(name, sizeof(name), "%.*s", (int)label_len, label);
        write_down(name, out, len);
    } else if (extract_name(params) != NULL) {
        write_down(extract_name(params), out, len);
    }
}

/* The first seed is the label. */
static void tls12(const OSSL_PARAM *params, const void *out, size_t len)
{
    size_t label_len;
    const char *label = octets(params, OSSL_KDF_PARAM_SEED, &label_len);
    char name[32];

    snprintf(name, sizeof(name), "%.*s", (int)label_len, label);
    write_down(name, out, len);
}

int EVP_KDF_derive(EVP_KDF_CTX *ctx, unsigned char *key, size_t len,
                   const OSSL_PARAM params[])
{
    static int (*real)(EVP_KDF_CTX *, unsigned char *, size_t,
                       const OSSL_PARAM *);
    const char *name = EVP_KDF_get0_name(EVP_KDF_CTX_kdf(ctx));
    int ret;

    REAL("EVP_KDF_derive", &real);
    ret = real(ctx, key, len, params);
    if (ret > 0 && strcmp(name, "TLS13-KDF") == 0) {
        tls13(params, key, len);
    } else if (ret > 0 && strcmp(name, "TLS1-PRF") == 0) {
        tls12(params, key, len);
    }
    return ret;
}

/* ---- key exchanges ------------------------------------------------------ */

int EVP_PKEY_derive(EVP_PKEY_CTX *ctx, unsigned char *key, size_t *len)
{
    static int (*real)(EVP_PKEY_CTX *, unsigned char *, size_t *);
    int ret;

    REAL("EVP_PKEY_derive", &real);
    ret = real(ctx, key, len);
    if (ret > 0 && key != NULL) {
        write_down("pre-master", key, *len);
    }
    return ret;
}

int EVP_PKEY_decapsulate(EVP_PKEY_CTX *ctx, unsigned char *secret, size_t *len,
                         const unsigned char *wrapped, size_t wrapped_len)
{
    static int (*real)(EVP_PKEY_CTX *, unsigned char *, size_t *,
                       const unsigned char *, size_t);
    int ret;

    REAL("EVP_PKEY_decapsulate", &real);
    ret = real(ctx, secret, len, wrapped, wrapped_len);
    if (ret > 0 && secret != NULL) {
        write_down("pre-master", secret, *len);
    }
    return ret;
}

int EVP_PKEY_encapsulate(EVP_PKEY_CTX *ctx, unsigned char *wrapped,
                         size_t *wrapped_len, unsigned char *secret,
                         size_t *len)
{
    static int (*real)(EVP_PKEY_CTX *, unsigned char *, size_t *,
                       unsigned char *, size_t *);
    int ret;

    REAL("EVP_PKEY_encapsulate", &real);
    ret = real(ctx, wrapped, wrapped_len, secret, len);
    if (ret > 0 && secret != NULL) {
        write_down("pre-master", secret, *len);
    }
    return ret;
}

/* The client's own choice, in suites that have no other key exchange. */
int EVP_PKEY_encrypt(EVP_PKEY_CTX *ctx, unsigned char *out, size_t *out_len,
                     const unsigned char *in, size_t in_len)
{
    static int (*real)(EVP_PKEY_CTX *, unsigned char *, size_t *,
                       const unsigned char *, size_t);
    int ret;

    REAL("EVP_PKEY_encrypt", &real);
    ret = real(ctx, out, out_len, in, in_len);
    if (ret > 0 && out != NULL) {
        write_down("pre-master", in, in_len);
    }
    return ret;
}

/* The same, at the server. */
int EVP_PKEY_decrypt(EVP_PKEY_CTX *ctx, unsigned char *out, size_t *out_len,
                     const unsigned char *in, size_t in_len)
{
    static int (*real)(EVP_PKEY_CTX *, unsigned char *, size_t *,
                       const unsigned char *, size_t);
    int ret;

    REAL("EVP_PKEY_decrypt", &real);
    ret = real(ctx, out, out_len, in, in_len);
    if (ret > 0 && out != NULL) {
        write_down("pre-master", out, *out_len);
    }
    return ret;
}
