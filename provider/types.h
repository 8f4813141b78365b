/* types.h - what is known about each type of key, on both sides. */
#ifndef MPKPROV_TYPES_H
#define MPKPROV_TYPES_H

#include "ops.h"

struct key_type_info {
    const char *names; /* as in OSSL_ALGORITHM */
    const char *name;  /* the first of them */
    const char *label; /* of its own PEM format, or NULL */
    /* Algorithm of the inner OpenSSL for each class of context, or NULL. */
    const char *inner[CTX_CLASSES];
    /* Private name of the operation that serves it outside, or NULL. */
    const char *outer[CTX_CLASSES];
    /* Parameters that a key of this type may answer, NULL at the end. */
    const char *const *public_params;
    /* A context keeps the key alive: the inner one points to it and holds no
     * reference, or it is asked for something that the inner one does not. */
    int borrowed;
};

/* Read-only, of KEY_TYPES elements. */
extern const struct key_type_info mpkprov_types[];

/* The type with this name (any of its aliases, any case), or KEY_ANY. */
enum key_type mpkprov_type_by_name(const char *name);

/* The type whose own PEM label are the |len| bytes at |label|, in any case, as
 * libcrypto's old code has it; or KEY_ANY. */
enum key_type mpkprov_type_by_label(const char *label, size_t len);

/* Whether |name| is one of the colon-separated |names|, in any case. */
int mpkprov_name_is(const char *names, const char *name);

#define MPKPROV_NAME_SIG "MPK-SIG"
#define MPKPROV_NAME_RSA_SIG "MPK-RSA-SIG"
#define MPKPROV_NAME_ONESHOT "MPK-ONESHOT"
#define MPKPROV_NAME_ENC "MPK-ENC"
#define MPKPROV_NAME_KEX "MPK-KEX"
#define MPKPROV_NAME_XDH "MPK-XDH"
#define MPKPROV_NAME_KEM "MPK-KEM"

#endif
