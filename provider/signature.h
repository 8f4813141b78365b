/* signature.h - what the two sides of a signature say to each other. */
#ifndef MPKPROV_SIGNATURE_H
#define MPKPROV_SIGNATURE_H

/* Variants of init. */
enum {
    INIT_SIGN,
    INIT_VERIFY,
    INIT_RECOVER,
    INIT_DIGEST_SIGN,
    INIT_DIGEST_VERIFY
};
/* Variants of the last call. After LAST_GOING_ON, which is a LAST_ONESHOT, more
 * of the message may come. */
enum { LAST_PLAIN, LAST_FINAL, LAST_ONESHOT, LAST_GOING_ON, LAST_RECOVER };

#endif
