/*
 * draw.h - private random numbers for keys and nonces, drawn ahead. Inside
 * only; see docs/design/inner.md.
 */
#ifndef MPKPROV_DRAW_H
#define MPKPROV_DRAW_H

#include <openssl/types.h>

#include <stddef.h>

#define DRAW_BLOCK 1008   /* bytes; with what is kept of them, 1 KiB of heap */
#define DRAW_MOST 80      /* more at once are not taken from a block */
#define DRAW_SECONDS 60   /* and none that are older */
#define DRAW_STRENGTH 256 /* bits, of the inner OpenSSL's generators */

/* Before anybody draws; 1, or 0. */
int draw_boot(void);

/* RAND_priv_bytes_ex(3) of the inner OpenSSL, and what its objects call in its
 * place. */
int __real_RAND_priv_bytes_ex(OSSL_LIB_CTX *libctx, unsigned char *p, size_t n,
                              unsigned int strength);
int __wrap_RAND_priv_bytes_ex(OSSL_LIB_CTX *libctx, unsigned char *p, size_t n,
                              unsigned int strength);

#endif
