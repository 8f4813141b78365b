/*
 * hctr2.h - HCTR2, a tweakable cipher as wide as its message.
 *
 * P. Crowley, N. Huckleberry, E. Biggers, "Length-preserving encryption with
 * HCTR2", IACR ePrint 2021/1441. Every bit of the result depends on every bit
 * of the message and of the tweak, in both directions.
 *
 * Knows neither OpenSSL nor the domain: AES comes from the user, so that a
 * test runs the published vectors through the same code with another AES.
 */
#ifndef MPKPROV_HCTR2_H
#define MPKPROV_HCTR2_H

#include "polyval.h"

#define HCTR2_BLOCK 16

/* |run| enciphers or deciphers |len| bytes, a multiple of 16, each block by
 * itself, with |ctx|, which many threads use at once; |out| may be |in|. */
typedef void hctr2_aes_fn(void *ctx, unsigned char *out,
                          const unsigned char *in, size_t len);

struct hctr2 {
    hctr2_aes_fn *run;
    void *encrypt, *decrypt; /* AES keyed for each direction */
    polyval_fn *hash;
    unsigned char hash_key[HCTR2_BLOCK];
    unsigned char mask[HCTR2_BLOCK]; /* L of the paper */
};

/* hctr2_init makes |h| ready; |encrypt| and |decrypt| stay the caller's. Read
 * only afterwards, by as many threads as like. */
void hctr2_init(struct hctr2 *h, hctr2_aes_fn *run, void *encrypt,
                void *decrypt);

/*
 * hctr2_tweak hashes a tweak for messages of |message_len| bytes: |state| is
 * what the next two functions take. It can be kept, and kept secret: it is a
 * hash under a secret key.
 */
void hctr2_tweak(const struct hctr2 *h, unsigned char state[HCTR2_BLOCK],
                 const unsigned char *tweak, size_t tweak_len,
                 size_t message_len);

/* In place, |len| from HCTR2_BLOCK. */
void hctr2_encrypt(const struct hctr2 *h,
                   const unsigned char state[HCTR2_BLOCK], unsigned char *p,
                   size_t len);
void hctr2_decrypt(const struct hctr2 *h,
                   const unsigned char state[HCTR2_BLOCK], unsigned char *p,
                   size_t len);

#endif
