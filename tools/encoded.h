/*
 * Patterns of a key's encodings: DER and PEM.
 */
#ifndef MPK_TOOLS_ENCODED_H
#define MPK_TOOLS_ENCODED_H

#include "patterns.h"

/*
 * encoded_add_key adds to |set| the patterns of |file|'s encodings: as the
 * file has them, PKCS#8, and the key type's traditional one. The numbers of
 * key |subject| must be in |set| already: they say which bytes of an encoding
 * are private. Returns 0 or -ENOMEM.
 */
int encoded_add_key(struct pattern_set *set, unsigned int subject,
                    const struct keyfile *file);

#endif
