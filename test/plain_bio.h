/* plain_bio.h - a BIO such as a program makes of its own. */
#ifndef MPK_TEST_PLAIN_BIO_H
#define MPK_TEST_PLAIN_BIO_H

#include <openssl/bio.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * plain_bio_new gives out the |len| bytes at |text|, which stay the caller's.
 * It knows where its end is, and with |counts| where it is; to whatever else it
 * is asked, going back among it, it says 0. NULL when memory is short.
 */
BIO *plain_bio_new(const void *text, size_t len, bool counts);

#endif
