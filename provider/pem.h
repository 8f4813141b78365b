/* pem.h - finding the block of a private key in text. */
#ifndef MPKPROV_PEM_H
#define MPKPROV_PEM_H

#include <stddef.h>

/* What the lines around a block are made of. */
#define PEM_BEGIN "-----BEGIN "
#define PEM_END "-----END "
#define PEM_DASHES "-----"

/* How many of the |len| bytes of a line at |p| are left without its end, and
 * what is no text before that, as libcrypto has it. */
size_t pem_stripped(const char *p, size_t len);

/* Where a private key's block is in what has been read. */
enum pem_found {
    PEM_NOT_YET, /* there may be one in what is to come */
    PEM_NONE,
    PEM_START,  /* its end is to come */
    PEM_HIDDEN, /* under the label of something public */
    PEM_OTHER,  /* the first block is none of a private key */
    PEM_ALL
};

/* Where a search is, all 0 at first; offsets into the text. */
struct pem_search {
    size_t at;
    int in_block, in_public, not_fresh, has_start;
    size_t start, stop; /* of what is found, without its labels if PEM_OTHER */
};

/* What is longer is several lines. */
#define PEM_LINE_MAX 254

/*
 * pem_find looks in the |len| bytes at |text| for the first block, if
 * |only_first|, else for the first of a private key, and sets |s->start| and
 * |s->stop| to its first byte and to that behind it. It goes on from where it
 * was in the same text, when there is more of that. |at_end|: there is no more,
 * and a block without an end (PEM_START) goes up to there.
 */
enum pem_found pem_find(struct pem_search *s, const char *text, size_t len,
                        int only_first, int at_end);

/* The digits of base64 (RFC 4648 4). pem_digit returns what |c| stands for, or
 * -1. */
#define PEM_DIGITS 64
extern const char pem_digits[PEM_DIGITS + 1];
int pem_digit(char c);

/* pem_decode decodes base64 to |out|, which may be |p|, up to
 * |room| bytes; returns how many there are. */
size_t pem_decode(const char *p, size_t len, unsigned char *out, size_t room);

#endif
