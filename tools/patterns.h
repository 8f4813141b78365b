/*
 * What to look for: every form in which a secret is known to lie in the memory
 * of a program that uses it. Private keys are taken apart here; what belongs to
 * TLS is added by secrets.c.
 *
 * A piece is one contiguous run of bytes worth finding: a number (big-endian
 * or as BIGNUM limbs lie in memory) or one line of PEM text. It is cut into
 * windows of 16 bytes, so that what is left of a piece after its beginning or
 * its end was overwritten is found too. No window holds public bytes only, nor
 * so few different bytes that it could be met by accident.
 *
 * DER is found through the numbers in it. Windows of 12 private bytes and 4 of
 * the DER around them tell it from other big-endian copies.
 */
#ifndef MPK_TOOLS_PATTERNS_H
#define MPK_TOOLS_PATTERNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "keyfile.h"

#define PATTERN_WINDOW 16

/* Room for the name of a part: "server MAC key, update 2" and the like. */
#define PATTERN_COMPONENT 32

enum pattern_form {
    FORM_BIG_ENDIAN,
    FORM_LITTLE_ENDIAN,
    FORM_RAW,
    FORM_REVERSED,
    FORM_HEX,
    FORM_BASE64,
    FORM_DER, /* never a piece's own form: a FORM_BIG_ENDIAN seen in DER */
    FORM_PEM_PKCS8,
    FORM_PEM_TRADITIONAL,
    FORM_PEM_FILE,
    FORM_AES_ENCRYPT,
    FORM_AES_ENCRYPT_SWAPPED,
    FORM_AES_DECRYPT,
    FORM_AES_DECRYPT_SWAPPED,
    FORM_GHASH,
    FORM_GHASH_SWAPPED,
    FORM_GHASH_REVERSED,
    FORM_GHASH_DOUBLED,
    FORM_GHASH_DOUBLED_SWAPPED,
};

struct pattern_piece {
    unsigned int subject; /* what it is of: the keys first, then secrets */
    enum pattern_form form;
    char component[PATTERN_COMPONENT];
    uint8_t *bytes;
    size_t len;
    unsigned int windows; /* how many make a full copy, framing left out */
};

struct pattern_window {
    uint8_t bytes[PATTERN_WINDOW];
    uint32_t piece;
    int32_t off;  /* of the window in the piece, negative before it */
    bool framing; /* 12 bytes of the piece and 4 of the DER around it */
};

struct pattern_set {
    struct pattern_piece *pieces;
    size_t pieces_len;
    size_t pieces_cap;
    struct pattern_window *windows;
    size_t windows_len;
    size_t windows_cap;
};

/*
 * patterns_add_key appends all patterns of |file|'s key to |set| under the
 * number |subject|. Returns 0, -ENOMEM, or -ENODATA when the key has nothing
 * that can be told from chance (a number of less than 16 bytes, say). After a
 * failure |set| is only good for patterns_free.
 */
int patterns_add_key(struct pattern_set *set, unsigned int subject,
                     const struct keyfile *file);

/* pattern_form_name returns how reports call |form|. */
const char *pattern_form_name(enum pattern_form form);

/* patterns_free wipes and releases what |set| holds and empties it. */
void patterns_free(struct pattern_set *set);

/* The rest is for the files that make patterns. */

/*
 * pattern_piece_add appends a piece with a copy of |bytes| and no windows yet.
 * Returns its index in |set|->pieces or -ENOMEM.
 */
int64_t pattern_piece_add(struct pattern_set *set, unsigned int subject,
                          enum pattern_form form, const char *component,
                          const uint8_t *bytes, size_t len);

/*
 * pattern_window_add appends the 16 bytes at |bytes|, which lie |off| bytes
 * into |piece|, unless they are too uniform to mean anything. Returns 0 or
 * -ENOMEM.
 */
int pattern_window_add(struct pattern_set *set, size_t piece, int32_t off,
                       const uint8_t *bytes, bool framing);

/*
 * pattern_bytes_add appends a piece all of whose |len| bytes are secret, with
 * its windows; nothing when it is shorter than a window. Returns 0 or -ENOMEM.
 */
int pattern_bytes_add(struct pattern_set *set, unsigned int subject,
                      enum pattern_form form, const char *component,
                      const uint8_t *bytes, size_t len);

/* pattern_reverse turns the order of |len| bytes round. */
void pattern_reverse(uint8_t *bytes, size_t len);

#endif
