/* keyparse.h - from one object, decoded, to a key. Inside only. */
#ifndef MPKPROV_KEYPARSE_H
#define MPKPROV_KEYPARSE_H

#include "inside.h"
#include "keyload.h"

/* One DER object and what its PEM label said of it. */
struct key_blob {
    unsigned char *der;
    long len;
    enum key_type type; /* by the label, or KEY_ANY */
    int encrypted;      /* the label says so */
};

/* The caller's passphrase; NULL when none was given. */
struct key_pass {
    char *text;
    size_t len;
    int references; /* may be followed */
};

/*
 * These make f->handle and set f->type of a private key, and answer KEYLOAD_*,
 * with an error in |f| if it is KEYLOAD_FAILED or KEYLOAD_REFUSED. key_parse
 * takes DER of any kind, key_parse_msblob the |len| bytes of a key in one of
 * the forms of msblob.h.
 */
int key_parse(struct mpkprov_frame *f, const struct key_blob *b,
              const struct key_pass *pass);
int key_parse_msblob(struct mpkprov_frame *f, const unsigned char *p,
                     size_t len);

/*
 * key_decode makes the key of |type| that is in |der|, without the inner
 * OpenSSL's search for a decoder. 1; or 0 without an error, and its search may
 * know better. (keydecode.c)
 */
enum key_structure {
    KEY_IN_PKCS8,
    KEY_BY_ITSELF /* PKCS#1, SEC 1 and the like */
};
int key_decode(struct mpkprov_frame *f, const unsigned char *der, long len,
               enum key_type type, enum key_structure structure);

/* What the application's OpenSSL may read, and we do not: KEYLOAD_REFUSED. */
int key_refuse_form(struct mpkprov_frame *f, const char *text);
int key_refuse_encryption(struct mpkprov_frame *f);

/* For a key that could not be decrypted, by what is in the inner queue. */
int key_wrong_passphrase(struct mpkprov_frame *f);

#endif
