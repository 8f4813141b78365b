#ifndef MPK_TEST_LOAD_FORMS_H
#define MPK_TEST_LOAD_FORMS_H

/* The forms in which a private key lies in a file. */

#include "keys.h"

#include <openssl/bio.h>
#include <stdbool.h>

#define FORM_PEM 1u
#define FORM_DER 2u
#define FORM_ENCRYPTED 4u
#define FORM_PKCS8 8u         /* a bare PrivateKeyInfo */
#define FORM_ENCRYPTED_P8 16u /* a bare EncryptedPrivateKeyInfo */
#define FORM_PARAMETERS 32u   /* a parameter block stands before the key */
#define FORM_THIRD 64u        /* the key is the third block */
#define FORM_MSBLOB 128u      /* MSBLOB or PVK; the label says which */

#define FORM_PASSPHRASE "correct horse"

struct form {
    const char *label;
    unsigned is; /* FORM_* */
    bool (*write)(BIO *out, const struct key_type *type);
    bool (*exists)(const struct key_type *type);
};

/* form_at returns the |i|th form, NULL past the last one. */
const struct form *form_at(size_t i);

/* form_find returns the form called |label|, NULL if there is none. */
const struct form *form_find(const char *label);

#endif
