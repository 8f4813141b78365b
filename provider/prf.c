/* prf.c - the key derivation of TLS, from libcrypto's hash functions. */

/*
 * These functions are older than providers and marked as such, but are the
 * same code that the providers run, on contexts that can be copied as structs.
 */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "prf.h"

#include <openssl/crypto.h>

#include <stdint.h>
#include <string.h>

/* ---- hash functions ------------------------------------------------------ */

struct prf_md {
    size_t size, block;
    void (*init)(union prf_hash *);
    void (*update)(union prf_hash *, const void *, size_t);
    void (*final)(unsigned char *, union prf_hash *);
};

#define DEFINE_MD(name, member, prefix, digest_size, block_size)               \
    static void name##_init(union prf_hash *h)                                 \
    {                                                                          \
        prefix##_Init(&h->member);                                             \
    }                                                                          \
    static void name##_update(union prf_hash *h, const void *p, size_t len)    \
    {                                                                          \
        prefix##_Update(&h->member, p, len);                                   \
    }                                                                          \
    static void name##_final(unsigned char *out, union prf_hash *h)            \
    {                                                                          \
        prefix##_Final(out, &h->member);                                       \
    }                                                                          \
    static const struct prf_md name = {digest_size, block_size, name##_init,   \
                                       name##_update, name##_final};

DEFINE_MD(md5, md5, MD5, 16, 64)
DEFINE_MD(sha1, sha1, SHA1, 20, 64)
DEFINE_MD(sha256, sha256, SHA256, 32, 64)
DEFINE_MD(sha384, sha512, SHA384, 48, 128)

#define HASH_SIZE_MAX 48
#define BLOCK_MAX 128

static const struct prf_md *md_of(enum prf_digest d)
{
    return d == PRF_SHA384 ? &sha384 : &sha256;
}

size_t prf_size(enum prf_digest d)
{
    return d == PRF_MD5_SHA1 ? 36 : md_of(d)->size;
}

void prf_hash(enum prf_digest d, unsigned char *out, const void *p, size_t len)
{
    const struct prf_md *md = md_of(d);
    union prf_hash h;

    md->init(&h);
    md->update(&h, p, len);
    md->final(out, &h);
}

const unsigned char prf_empty[2][PRF_SIZE_MAX] = {
    [PRF_SHA256] = {0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14,
                    0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
                    0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c,
                    0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55},
    [PRF_SHA384] = {0x38, 0xb0, 0x60, 0xa7, 0x51, 0xac, 0x96, 0x38, 0x4c, 0xd9,
                    0x32, 0x7e, 0xb1, 0xb1, 0xe3, 0x6a, 0x21, 0xfd, 0xb7, 0x11,
                    0x14, 0xbe, 0x07, 0x43, 0x4c, 0x0c, 0xc7, 0xbf, 0x63, 0xf6,
                    0xe1, 0xda, 0x27, 0x4e, 0xde, 0xbf, 0xe7, 0x6f, 0x65, 0xfb,
                    0xd5, 0x1a, 0xd2, 0xf1, 0x48, 0x98, 0xb9, 0x5b}};

/* ---- HMAC (RFC 2104) ----------------------------------------------------- */

/* A key is hashed in once, and can be used many times. */
static void hmac_key(struct prf_hmac *h, const struct prf_md *md,
                     const unsigned char *key, size_t len)
{
    unsigned char block[BLOCK_MAX] = {0};

    h->md = md;
    if (len > md->block) {
        md->init(&h->run);
        md->update(&h->run, key, len);
        md->final(block, &h->run);
    } else if (len != 0) {
        memcpy(block, key, len);
    }
    for (size_t i = 0; i < md->block; i++) {
        block[i] ^= 0x36;
    }
    md->init(&h->inner);
    md->update(&h->inner, block, md->block);
    for (size_t i = 0; i < md->block; i++) {
        block[i] ^= 0x36 ^ 0x5c;
    }
    md->init(&h->outer);
    md->update(&h->outer, block, md->block);
    OPENSSL_cleanse(block, sizeof(block));
}

static void hmac_start(struct prf_hmac *h)
{
    h->run = h->inner;
}

static void hmac_add(struct prf_hmac *h, const void *p, size_t len)
{
    if (len != 0) {
        h->md->update(&h->run, p, len);
    }
}

/* |out| has the hash's size, and may be what was added. */
static void hmac_end(struct prf_hmac *h, unsigned char *out)
{
    unsigned char digest[HASH_SIZE_MAX];

    h->md->final(digest, &h->run);
    h->run = h->outer;
    h->md->update(&h->run, digest, h->md->size);
    h->md->final(out, &h->run);
    OPENSSL_cleanse(digest, sizeof(digest));
}

/* ---- HKDF ---------------------------------------------------------------- */

/* 2 bytes of length, then two strings with a byte of length before each. */
#define LABEL_MAX (2 + 1 + 255 + 1 + 255)

/* Writes the structure HkdfLabel; returns its length, or 0. */
static size_t write_label(unsigned char out[LABEL_MAX], size_t out_len,
                          const struct hkdf_label *l)
{
    size_t name = l->prefix_len + l->label_len, n = 0;

    if (out_len > 0xffff || l->prefix_len > 255 || l->label_len > 255 ||
        name > 255 || l->context_len > 255) {
        return 0;
    }
    out[n++] = (unsigned char)(out_len >> 8);
    out[n++] = (unsigned char)out_len;
    out[n++] = (unsigned char)name;
    memcpy(out + n, l->prefix, l->prefix_len);
    n += l->prefix_len;
    memcpy(out + n, l->label, l->label_len);
    n += l->label_len;
    out[n++] = (unsigned char)l->context_len;
    if (l->context_len != 0) {
        memcpy(out + n, l->context, l->context_len);
    }
    return n + l->context_len;
}

void hkdf_key(struct prf_hmac *k, enum prf_digest d,
              const unsigned char *secret)
{
    hmac_key(k, md_of(d), secret, prf_size(d));
}

void hkdf_extract(struct prf_hmac *k, unsigned char *out,
                  const unsigned char *ikm, size_t ikm_len)
{
    hmac_start(k);
    hmac_add(k, ikm, ikm_len);
    hmac_end(k, out);
}

int hkdf_expand_label(struct prf_hmac *k, unsigned char *out, size_t out_len,
                      const struct hkdf_label *l)
{
    unsigned char info[LABEL_MAX], t[HASH_SIZE_MAX];
    size_t info_len = write_label(info, out_len, l);

    if (info_len == 0 || out_len > 255 * k->md->size) {
        return 0;
    }
    for (unsigned char i = 1; out_len > 0; i++) {
        size_t n = out_len < k->md->size ? out_len : k->md->size;

        hmac_start(k);
        hmac_add(k, t, i > 1 ? k->md->size : 0);
        hmac_add(k, info, info_len);
        hmac_add(k, &i, 1);
        hmac_end(k, t);
        memcpy(out, t, n);
        out += n;
        out_len -= n;
    }
    OPENSSL_cleanse(t, sizeof(t));
    return 1;
}

/* ---- the PRF ------------------------------------------------------------- */

/* P_hash, added to what is at |out|. */
static void add_p_hash(const struct prf_md *md, unsigned char *out,
                       size_t out_len, const unsigned char *secret,
                       size_t secret_len, const unsigned char *seed,
                       size_t seed_len)
{
    unsigned char a[HASH_SIZE_MAX], block[HASH_SIZE_MAX];
    struct prf_hmac h;

    hmac_key(&h, md, secret, secret_len);
    hmac_start(&h);
    hmac_add(&h, seed, seed_len);
    hmac_end(&h, a);
    while (out_len > 0) {
        size_t n = out_len < md->size ? out_len : md->size;

        hmac_start(&h);
        hmac_add(&h, a, md->size);
        hmac_add(&h, seed, seed_len);
        hmac_end(&h, block);
        for (size_t i = 0; i < n; i++) {
            out[i] ^= block[i];
        }
        out += n;
        out_len -= n;
        if (out_len > 0) {
            hmac_start(&h);
            hmac_add(&h, a, md->size);
            hmac_end(&h, a);
        }
    }
    OPENSSL_cleanse(&h, sizeof(h));
    OPENSSL_cleanse(a, sizeof(a));
    OPENSSL_cleanse(block, sizeof(block));
}

void tls1_prf(enum prf_digest d, unsigned char *out, size_t out_len,
              const unsigned char *secret, size_t secret_len,
              const unsigned char *seed, size_t seed_len)
{
    /* Halves that share the middle byte when the length is odd. */
    size_t half = secret_len / 2 + secret_len % 2;

    memset(out, 0, out_len);
    if (d != PRF_MD5_SHA1) {
        add_p_hash(md_of(d), out, out_len, secret, secret_len, seed, seed_len);
        return;
    }
    add_p_hash(&md5, out, out_len, secret, half, seed, seed_len);
    add_p_hash(&sha1, out, out_len, secret + secret_len - half, half, seed,
               seed_len);
}
