/*
 * polyval.h - POLYVAL, the polynomial hash of RFC 8452, section 3.
 *
 * Knows neither OpenSSL nor the domain. Both ways to compute it take a time
 * that does not depend on what is hashed or on the key.
 */
#ifndef MPKPROV_POLYVAL_H
#define MPKPROV_POLYVAL_H

#include <stddef.h>

#define POLYVAL_BLOCK 16

/* Folds |n| blocks of 16 bytes at |in| into |state|, which starts as zeros,
 * under |key|. |state| is then the hash. */
typedef void polyval_fn(const unsigned char key[POLYVAL_BLOCK],
                        unsigned char state[POLYVAL_BLOCK],
                        const unsigned char *in, size_t n);

polyval_fn polyval_portable;
/* NULL on a CPU without carry-less multiplication. */
polyval_fn *polyval_clmul(void);
/* The faster one. */
polyval_fn *polyval_best(void);

#endif
