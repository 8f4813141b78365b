/* pem.h - finding the block of a private key in text. */
#ifndef MPKPROV_PEM_H
#define MPKPROV_PEM_H

#include <stddef.h>

/* Where a private key's block is in what has been read. */
enum pem_found {
    PEM_NOT_YET, /* there may be one in what is to come */
    PEM_NONE,
    PEM_START, /* its end is to come */
    PEM_ALL
};

/*
 * pem_find looks in the |len| bytes at |text| for the first block, if
 * |only_first|, else for the first of a private key, and sets |*start| and
 * |*stop| to its first byte and to that behind it. |at_end|: there is no more
 * text, and a block without an end goes up to there.
 */
enum pem_found pem_find(const char *text, size_t len, int only_first,
                        int at_end, const char **start, const char **stop);

#endif
