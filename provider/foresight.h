/*
 * foresight.h - answers to what libssl will ask next, which came with an
 * earlier crossing. Outside; see docs/design/foresight.md.
 */
#ifndef MPKPROV_FORESIGHT_H
#define MPKPROV_FORESIGHT_H

#include "tls_kdf.h"

/*
 * Most answers are asked for within the flight in which they came: few places,
 * which stay in the CPU's caches. What is asked for when the peer has answered
 * has many of its own. Each answer has the choice of FORESIGHT_WAYS.
 */
#define FORESIGHT_SOON 128
#define FORESIGHT_LATER 1024
#define FORESIGHT_WAYS 4
#define FORESIGHT_QUESTION 160
#define FORESIGHT_OUT 88 /* the longest key block */

/* A derivation byte for byte, and its answer. */
struct foreseen {
    uint32_t busy;
    uint8_t question_len; /* 0: nothing is here */
    uint8_t out_len;
    uint32_t age; /* of two that stand here unasked, the older one goes */
    uint32_t keys_before; /* foresight.keys_given, when it was put here */
    unsigned char question[FORESIGHT_QUESTION];
    unsigned char out[FORESIGHT_OUT];
};

/* The early secret of a PSK, until its thread's key exchange. */
struct early_hint {
    uint32_t busy;
    int32_t digest;
    uint32_t len; /* 0: there is none */
    unsigned char handle[PRF_SIZE_MAX];
};
#define FORESIGHT_THREADS 64

/* Both randoms of a connection of TLS 1.2, the client's first, and the end of
 * the ephemeral public key that was signed with them. */
#define FORESIGHT_RANDOMS 64
#define FORESIGHT_PUBLIC 32
#define FORESIGHT_SIGNED 512 /* a power of two */
struct signed_randoms {
    uint32_t busy, there;
    unsigned char public[FORESIGHT_PUBLIC];
    unsigned char randoms[FORESIGHT_RANDOMS];
};

/* The same after the exchange, until its thread's master secret. */
struct randoms_hint {
    uint32_t busy, there;
    unsigned char premaster[16]; /* its handle's start */
    unsigned char randoms[FORESIGHT_RANDOMS];
};

#define FORESIGHT_OWN_LINE __attribute__((aligned(64)))

struct foresight {
    /* The early secret without a PSK is the same for all connections. */
    struct {
        uint32_t ready;
        unsigned char out[PRF_SIZE_MAX];
    } early[PRF_DIGESTS];
    /* What was asked for last: mostly the same. */
    uint32_t key_len[PRF_DIGESTS], stage_digest, block_len[PRF_DIGESTS];
    /* How often more each is worth a guess; and counts of what was put
     * anywhere, and of record keys that were asked for or foreseen. All threads
     * write these, at each handshake. */
    uint32_t keys FORESIGHT_OWN_LINE;
    uint32_t tickets, stages, blocks, finishes, now, keys_given;
    struct early_hint early_of_psk[FORESIGHT_THREADS] FORESIGHT_OWN_LINE;
    struct foreseen soon[FORESIGHT_SOON], later[FORESIGHT_LATER];
    struct signed_randoms randoms[FORESIGHT_SIGNED];
    struct randoms_hint randoms_of_exchange[FORESIGHT_THREADS];
};

/* The derivations that go along with one, and where their results come. */
struct foresight_plan {
    uint32_t n;
    uint32_t later; /* a bit for each that waits for the peer */
    int32_t digest;
    struct kdf_next next[KDF_NEXT_MAX];
    unsigned char early[PRF_SIZE_MAX];
    unsigned char randoms[FORESIGHT_RANDOMS], hash[PRF_SIZE_MAX];
    unsigned char out[KDF_NEXT_MAX][FORESIGHT_OUT];
};

/* foresight_answer puts the answer of |r| at |out| if it is there, where it is
 * no longer then, and returns 1; else 0. */
int foresight_answer(const struct kdf_request *r, unsigned char *out,
                     size_t out_len);
/* foresight_plan says what libssl will ask after |r|, whose result is going to
 * be at |out|. */
void foresight_plan(struct foresight_plan *plan, const struct kdf_request *r,
                    const unsigned char *out, size_t out_len);
/* The same after a key exchange whose secret is going to be at |secret|; puts
 * the plan into |f|, for group_gen and group_derive. Their handshake secret and
 * their master secret are foreseen, if TLS 1.3 is what is spoken here. */
struct mpkprov_frame;
void foresight_plan_stages(struct foresight_plan *plan, struct mpkprov_frame *f,
                           const unsigned char *secret, size_t len);
/* In TLS 1.2: |tbs| was signed, which may be what a server signs; and a key
 * exchange with the own key |public| has given |secret|. Both randoms of what
 * was signed with |public| make the key block. */
void foresight_signed(const unsigned char *tbs, size_t len);
void foresight_exchanged(const unsigned char *public, size_t public_len,
                         const unsigned char *secret, size_t len);
/* foresight_keep takes the first |done| answers of |plan|, and wipes all of
 * them there. */
void foresight_keep(struct foresight_plan *plan, uint64_t done);
/* foresight_notice looks at the result of |r|. */
void foresight_notice(const struct kdf_request *r, const unsigned char *out,
                      size_t out_len);

#endif
