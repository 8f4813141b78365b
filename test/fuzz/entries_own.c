/*
 * entries_own.c - the other side of the fuzzer's connections: keys of groups,
 * and what comes of them, by the default provider.
 */
#include "entries.h"

#include <openssl/dh.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include <string.h>

struct own own[OWN] = {
    {"X25519", NULL, 9, 32, 0, NULL, NULL, 0},
    {"EC", "P-256", 0, 32, 0, NULL, NULL, 0},
    {"EC", "P-384", 1, 48, 0, NULL, NULL, 0},
    {"X448", NULL, 10, 56, 0, NULL, NULL, 0},
    {"DH", "ffdhe2048", 11, 256, 0, NULL, NULL, 0},
    /* These the inner OpenSSL has to have as well. */
    {"X25519MLKEM768", NULL, 20, 64, 1120, NULL, NULL, 0},
    {"SecP256r1MLKEM768", NULL, 19, 64, 1153, NULL, NULL, 0},
    {"SecP384r1MLKEM1024", NULL, 21, 80, 1665, NULL, NULL, 0},
    {"ML-KEM-768", NULL, 17, 32, 1088, NULL, NULL, 0}};

bool own_start(void)
{
    for (size_t i = 0; i < OWN; i++) {
        EVP_PKEY_CTX *ctx =
            EVP_PKEY_CTX_new_from_name(NULL, own[i].type, "provider=default");

        if (own[i].ciphertext_len != 0 && (ctx == NULL || !MPKPROV_HAS_3_5)) {
            EVP_PKEY_CTX_free(ctx);
            continue;
        }
        if (EVP_PKEY_keygen_init(ctx) != 1 ||
            (own[i].group != NULL &&
             EVP_PKEY_CTX_set_group_name(ctx, own[i].group) != 1) ||
            EVP_PKEY_generate(ctx, &own[i].key) != 1) {
            return false;
        }
        EVP_PKEY_CTX_free(ctx);
        own[i].public_len =
            EVP_PKEY_get1_encoded_public_key(own[i].key, &own[i].public);
    }
    return true;
}

const struct own *own_pick(void)
{
    const struct own *o = &own[one_in(3) ? pick(OWN) : pick(2)];

    return o->key != NULL ? o : own;
}

static EVP_PKEY *peer_of(const struct own *o, const unsigned char *public)
{
    EVP_PKEY *peer = EVP_PKEY_new();

    if (EVP_PKEY_copy_parameters(peer, o->key) != 1 ||
        EVP_PKEY_set1_encoded_public_key(peer, public, o->public_len) != 1) {
        EVP_PKEY_free(peer);
        peer = NULL;
    }
    return peer;
}

size_t own_encapsulate(const struct own *o, const unsigned char *public,
                       unsigned char *ciphertext, unsigned char *secret,
                       size_t len)
{
    EVP_PKEY *peer = peer_of(o, public);
    EVP_PKEY_CTX *ctx =
        EVP_PKEY_CTX_new_from_pkey(NULL, peer, "provider=default");
    size_t out_len = o->ciphertext_len;

    if (ctx == NULL || EVP_PKEY_encapsulate_init(ctx, NULL) != 1 ||
        EVP_PKEY_encapsulate(ctx, ciphertext, &out_len, secret, &len) != 1) {
        len = 0;
    }
    EVP_PKEY_free(peer);
    EVP_PKEY_CTX_free(ctx);
    return len;
}

size_t own_decapsulate(const struct own *o, const unsigned char *ciphertext,
                       unsigned char *secret, size_t len)
{
    EVP_PKEY_CTX *ctx =
        EVP_PKEY_CTX_new_from_pkey(NULL, o->key, "provider=default");

    if (EVP_PKEY_decapsulate_init(ctx, NULL) != 1 ||
        EVP_PKEY_decapsulate(ctx, secret, &len, ciphertext,
                             o->ciphertext_len) != 1) {
        len = 0;
    }
    EVP_PKEY_CTX_free(ctx);
    return len;
}

size_t own_exchange(const struct own *o, const unsigned char *public,
                    unsigned char *secret, size_t len)
{
    EVP_PKEY *peer = peer_of(o, public);
    EVP_PKEY_CTX *ctx =
        EVP_PKEY_CTX_new_from_pkey(NULL, o->key, "provider=default");

    if (peer == NULL || EVP_PKEY_derive_init(ctx) != 1 ||
        (o->number == 11 && EVP_PKEY_CTX_set_dh_pad(ctx, 1) != 1) ||
        EVP_PKEY_derive_set_peer(ctx, peer) != 1 ||
        EVP_PKEY_derive(ctx, secret, &len) != 1) {
        len = 0;
    }
    EVP_PKEY_free(peer);
    EVP_PKEY_CTX_free(ctx);
    return len;
}

void own_extract(const EVP_MD *md, const unsigned char *salt, size_t salt_len,
                 const unsigned char *key, size_t len, unsigned char *out)
{
    static const unsigned char zeros[EVP_MAX_MD_SIZE];
    size_t size = (size_t)EVP_MD_get_size(md);

    HMAC(md, salt_len != 0 ? salt : zeros,
         (int)(salt_len != 0 ? salt_len : size), len != 0 ? key : zeros,
         len != 0 ? len : size, out, NULL);
}

void own_expand(const EVP_MD *md, const unsigned char *secret,
                const char *label, const unsigned char *data, size_t data_len,
                unsigned char *out, size_t len)
{
    unsigned char info[512], block[EVP_MAX_MD_SIZE];
    size_t size = (size_t)EVP_MD_get_size(md);
    size_t n = 0, label_len = strlen(label);

    info[n++] = (unsigned char)(len >> 8);
    info[n++] = (unsigned char)len;
    info[n++] = (unsigned char)(6 + label_len);
    memcpy(info + n, "tls13 ", 6);
    n += 6;
    memcpy(info + n, label, label_len);
    n += label_len;
    info[n++] = (unsigned char)data_len;
    if (data_len != 0) {
        memcpy(info + n, data, data_len);
    }
    n += data_len;
    info[n++] = 1;
    HMAC(md, secret, (int)size, info, n, block, NULL);
    memcpy(out, block, len < size ? len : size);
}

void own_prf(const EVP_MD *md, const unsigned char *secret, size_t len,
             const char *label, const unsigned char *seed, size_t seed_len,
             unsigned char *out, size_t out_len)
{
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "TLS1-PRF", "provider=default");
    EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
    OSSL_PARAM params[] = {
        OSSL_PARAM_utf8_string("digest", (char *)EVP_MD_get0_name(md), 0),
        OSSL_PARAM_octet_string("secret", (void *)secret, len),
        OSSL_PARAM_octet_string("seed", (void *)label, strlen(label)),
        OSSL_PARAM_octet_string("seed", (void *)seed, seed_len),
        OSSL_PARAM_END};

    params[0].data_size = strlen(params[0].data);
    EVP_KDF_derive(ctx, out, out_len, params);
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
}
