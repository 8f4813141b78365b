/*
 * nonce.h - random numbers for the nonces that GCM counts up in TLS 1.2.
 * Inside only; see docs/design/records.md.
 */
#ifndef MPKPROV_NONCE_H
#define MPKPROV_NONCE_H

#include "inside.h"

#define NONCE_POOL 32

#define NONCE_LEN 8

/*
 * nonce_take puts a number that nobody else gets at |p| and returns 1, or 0 if
 * none is there. Waits for nobody, and can run on the caller's stack.
 */
int nonce_take(unsigned char p[NONCE_LEN]);

/* nonce_fill draws more if there are few: on a stack inside only. Returns 1, or
 * 0 without random numbers or memory. */
int nonce_fill(void);

#endif
