/* hctr2.c - HCTR2; names in comments are the paper's. */
#include "hctr2.h"

#include <stdint.h>
#include <string.h>

static void xor_block(unsigned char *out, const unsigned char *a,
                      const unsigned char *b)
{
    for (int i = 0; i < HCTR2_BLOCK; i++) {
        out[i] = a[i] ^ b[i];
    }
}

/* A number as a block, little-endian. */
static void number(unsigned char block[HCTR2_BLOCK], uint64_t n)
{
    memset(block, 0, HCTR2_BLOCK);
    memcpy(block, &n, sizeof(n));
}

/* Folds |in| into |state|; what is left of a block is followed by |end| and
 * zeros. */
static void absorb(const struct hctr2 *h, unsigned char state[HCTR2_BLOCK],
                   const unsigned char *in, size_t len, unsigned char end)
{
    size_t whole = len / HCTR2_BLOCK, rest = len % HCTR2_BLOCK;
    unsigned char last[HCTR2_BLOCK] = {0};

    h->hash(h->hash_key, state, in, whole);
    if (rest != 0) {
        memcpy(last, in + whole * HCTR2_BLOCK, rest);
        last[rest] = end;
        h->hash(h->hash_key, state, last, 1);
    }
}

void hctr2_init(struct hctr2 *h, hctr2_aes_fn *run, void *encrypt,
                void *decrypt)
{
    h->run = run;
    h->encrypt = encrypt;
    h->decrypt = decrypt;
    h->hash = polyval_best();
    number(h->hash_key, 0);
    run(encrypt, h->hash_key, h->hash_key, HCTR2_BLOCK);
    number(h->mask, 1);
    run(encrypt, h->mask, h->mask, HCTR2_BLOCK);
}

/*
 * The hash starts with a block that tells the tweak's length, and whether the
 * message, which is hashed without its first block, is padded.
 */
void hctr2_tweak(const struct hctr2 *h, unsigned char state[HCTR2_BLOCK],
                 const unsigned char *tweak, size_t tweak_len,
                 size_t message_len)
{
    unsigned char first[HCTR2_BLOCK];

    number(first, (uint64_t)tweak_len * 8 * 2 +
                      (message_len % HCTR2_BLOCK != 0 ? 3 : 2));
    memset(state, 0, HCTR2_BLOCK);
    h->hash(h->hash_key, state, first, 1);
    absorb(h, state, tweak, tweak_len, 0);
}

/* Adds the hash of the tweak and of |rest| to |block|. */
static void add_hash(const struct hctr2 *h,
                     const unsigned char tweak[HCTR2_BLOCK],
                     unsigned char block[HCTR2_BLOCK],
                     const unsigned char *rest, size_t len)
{
    unsigned char state[HCTR2_BLOCK];

    memcpy(state, tweak, sizeof(state));
    absorb(h, state, rest, len, 1);
    xor_block(block, block, state);
}

#define BATCH 4

/* XCTR: adds E(S + 1), E(S + 2), ... to |p|, with the sum being bit by bit. */
static void add_stream(const struct hctr2 *h,
                       const unsigned char s[HCTR2_BLOCK], unsigned char *p,
                       size_t len)
{
    unsigned char stream[BATCH * HCTR2_BLOCK];
    uint64_t i = 1;

    while (len > 0) {
        size_t n = len < sizeof(stream) ? len : sizeof(stream);
        size_t blocks = (n + HCTR2_BLOCK - 1) / HCTR2_BLOCK;

        for (size_t b = 0; b < blocks; b++) {
            number(stream + b * HCTR2_BLOCK, i++);
            xor_block(stream + b * HCTR2_BLOCK, stream + b * HCTR2_BLOCK, s);
        }
        h->run(h->encrypt, stream, stream, blocks * HCTR2_BLOCK);
        for (size_t b = 0; b < n; b++) {
            p[b] ^= stream[b];
        }
        p += n;
        len -= n;
    }
}

/* The two directions differ in that of AES on the first block. */
static void run(const struct hctr2 *h, void *aes,
                const unsigned char tweak[HCTR2_BLOCK], unsigned char *p,
                size_t len)
{
    unsigned char *rest = p + HCTR2_BLOCK;
    unsigned char before[HCTR2_BLOCK], s[HCTR2_BLOCK];

    len -= HCTR2_BLOCK;
    add_hash(h, tweak, p, rest, len);
    memcpy(before, p, sizeof(before));
    h->run(aes, p, p, HCTR2_BLOCK);
    xor_block(s, before, p);
    xor_block(s, s, h->mask);
    add_stream(h, s, rest, len);
    add_hash(h, tweak, p, rest, len);
}

void hctr2_encrypt(const struct hctr2 *h,
                   const unsigned char state[HCTR2_BLOCK], unsigned char *p,
                   size_t len)
{
    run(h, h->encrypt, state, p, len);
}

void hctr2_decrypt(const struct hctr2 *h,
                   const unsigned char state[HCTR2_BLOCK], unsigned char *p,
                   size_t len)
{
    run(h, h->decrypt, state, p, len);
}
