/*
 * wide.h - a wide-block cipher under a key of the domain. Inside only.
 *
 * HCTR2 (hctr2.h) with AES-256 of the inner OpenSSL.
 */
#ifndef MPKPROV_WIDE_H
#define MPKPROV_WIDE_H

#include "hctr2.h"
#include "inside.h"

#define WIDE_KEY 32

/*
 * wide_new returns a cipher with |key|, in the domain's heap, for all threads
 * and as long as the process lives; NULL with an error in |f|.
 */
struct hctr2 *wide_new(struct mpkprov_frame *f,
                       const unsigned char key[WIDE_KEY]);

#endif
