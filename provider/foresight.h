/*
 * foresight.h - answers to what libssl will ask next, which came with an
 * earlier crossing. Outside; see docs/design/foresight.md.
 */
#ifndef MPKPROV_FORESIGHT_H
#define MPKPROV_FORESIGHT_H

#include "tls_kdf.h"

#define FORESIGHT_PLACES 1024 /* a power of two */
#define FORESIGHT_QUESTION 128

/* A derivation of TLS 1.3 byte for byte, and its answer. */
struct foreseen {
    uint32_t busy;
    uint8_t question_len; /* 0: nothing is here */
    uint8_t out_len;
    unsigned char question[FORESIGHT_QUESTION];
    unsigned char out[PRF_SIZE_MAX];
};

struct foresight {
    /* The early secret without a PSK is the same for all connections. */
    struct {
        uint32_t ready;
        unsigned char out[PRF_SIZE_MAX];
    } early[PRF_DIGESTS];
    /* What was asked for last, and how often more it is worth a guess. */
    uint32_t key_len[PRF_DIGESTS], keys, tickets;
    struct foreseen place[FORESIGHT_PLACES];
};

/* The derivations that go along with one, and where their results come. */
struct foresight_plan {
    uint32_t n;
    struct kdf_next next[KDF_NEXT_MAX];
    unsigned char out[KDF_NEXT_MAX][PRF_SIZE_MAX];
};

/* foresight_answer puts the answer of |r| at |out| if it is there, where it is
 * no longer then, and returns 1; else 0. */
int foresight_answer(const struct kdf_request *r, unsigned char *out,
                     size_t out_len);
/* foresight_plan says what libssl will ask after |r|, whose result is going to
 * be at |out|. */
void foresight_plan(struct foresight_plan *plan, const struct kdf_request *r,
                    const unsigned char *out, size_t out_len);
/* foresight_keep takes the result of |r| and the first |done| of |plan|. */
void foresight_keep(struct foresight_plan *plan, const struct kdf_request *r,
                    const unsigned char *out, size_t out_len, uint64_t done);

#endif
