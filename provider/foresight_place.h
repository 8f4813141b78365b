/*
 * foresight_place.h - what the files of foresight offer each other. Outside.
 */
#ifndef MPKPROV_FORESIGHT_PLACE_H
#define MPKPROV_FORESIGHT_PLACE_H

#include "foresight.h"

#include <string.h>

/* How many guesses in a row may come to nothing. */
#define FORESIGHT_PATIENCE 8

/* Whether |q| can be written down; its bytes need not be there yet. */
int foresight_fits(const struct kdf_next *q);
/* foresight_take puts the answer to |q| at |out|, if it waits, which it does no
 * longer then, and returns 1; else 0. */
int foresight_take(const struct kdf_next *q, int32_t digest,
                   unsigned char *out);
/* |later|: it is not going to be asked for before the peer has answered. */
void foresight_put(const struct kdf_next *q, int32_t digest,
                   const unsigned char *out, int later);

/* Nobody waits: what is in use is as if it were empty. A child of fork may find
 * it in use for good. */
static inline int foresight_lock(uint32_t *busy)
{
    return !__atomic_exchange_n(busy, 1, __ATOMIC_ACQUIRE);
}

static inline void foresight_unlock(uint32_t *busy)
{
    __atomic_store_n(busy, 0, __ATOMIC_RELEASE);
}

/* Which of |n| places is that of |from|, whatever bits of it vary. */
static inline uint32_t foresight_index(uint64_t from, uint32_t n)
{
    return (uint32_t)((from * 0x9e3779b97f4a7c15U >> 32) % n);
}

/* A number below FORESIGHT_THREADS; others may have the same. */
uint32_t foresight_thread(void);

/* Whether guesses with |credit| have come true of late; spends one. */
int foresight_worth(uint32_t *credit);
void foresight_credit(uint32_t *credit);
/* |*word| is |value| from now on. */
void foresight_note(uint32_t *word, uint32_t value);

static inline struct kdf_piece foresight_text(const char *text)
{
    return (struct kdf_piece){(const unsigned char *)text, strlen(text)};
}

static inline int foresight_is(const struct kdf_piece *label, const char *text)
{
    return label->len == strlen(text) &&
           memcmp(label->p, text, label->len) == 0;
}

/*
 * TLS 1.2 (foresight_tls1.c). Whether |r| is one of its derivations, in memory
 * that may be read here; if so, foresight_tls1_question makes |q| of it, whose
 * data is put at |data|, and returns 1, or 0 if it is not one that is foreseen.
 */
int foresight_is_tls1(const struct kdf_request *r);
int foresight_tls1_question(struct kdf_next *q,
                            unsigned char data[FORESIGHT_RANDOMS],
                            const struct kdf_request *r, size_t out_len);
void foresight_tls1_learn(const struct kdf_next *q, int32_t digest);
void foresight_tls1_plan(struct foresight_plan *plan,
                         const struct kdf_request *r, const unsigned char *out,
                         size_t out_len);

#endif
