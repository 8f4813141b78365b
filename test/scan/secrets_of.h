/* secrets_of.h - from what a client computed to what is looked for. */
#ifndef MPK_TEST_SCAN_SECRETS_OF_H
#define MPK_TEST_SCAN_SECRETS_OF_H

#include "patterns.h"

#include <openssl/ssl.h>
#include <stdbool.h>

/*
 * secrets_of adds to |set| all that spy.h has of connections with |cipher|:
 * subject number i is spy_at(i). IVs and Finished keys are not secret from
 * libssl, which computes with them. False when memory is short.
 */
bool secrets_of(struct pattern_set *set, const SSL_CIPHER *cipher);

#endif
