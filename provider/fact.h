/*
 * fact.h - what a key has once said of itself.
 *
 * libssl asks a key for its group, its digest and its size in each handshake.
 * These never change, so the answers are kept outside, as they came: for the
 * same question, of the same type and with the same room.
 */
#ifndef MPKPROV_FACT_H
#define MPKPROV_FACT_H

#include <openssl/core.h>

#define FACTS_MAX 24

struct fact;

/* Zero is an empty list. It only grows, and is read without a lock. */
struct facts {
    int n;
    struct fact *fact[FACTS_MAX];
};

/*
 * facts_answer answers all of |params| if each answer is known: 1, else 0.
 * facts_keep remembers what the inside has answered, where that lasts. Of a
 * list that is NULL nothing is known, and nothing is kept.
 */
int facts_answer(const struct facts *fs, OSSL_PARAM params[]);
void facts_keep(struct facts *fs, const OSSL_PARAM params[]);
/* facts_forget is for an owner that nobody else uses at the time. */
void facts_forget(struct facts *fs);

#endif
