/* signature_direct.h - inside: signatures that need no context. */
#ifndef MPKPROV_SIGNATURE_DIRECT_H
#define MPKPROV_SIGNATURE_DIRECT_H

#include "ops.h"

/* sign_directly_boot makes ready what they need. Returns 1 or 0. */
int sign_directly_boot(void);

/*
 * sign_directly makes the signature that sig_make_stub is asked for with the
 * key f->handle2, and puts it where it is wanted. Returns 1, or 0 with no error
 * recorded when it takes a context, or fails with one as well.
 */
int sign_directly(struct mpkprov_frame *f);

/* Copies the list of sets of parameters f->in2 (signature_stub.c). Returns 1,
 * or 0 when there are too many, or it is not outside. */
int sig_sets(const struct mpkprov_frame *f,
             const OSSL_PARAM *set[MPKPROV_SETS]);

#endif
