/*
 * What code that encrypts keeps of an AES key: round keys and GHASH's key.
 */
#ifndef MPK_TOOLS_SCHEDULE_H
#define MPK_TOOLS_SCHEDULE_H

#include "patterns.h"

/*
 * schedule_add adds to |set| the forms of the AES key |key|, of 16 or 32 bytes,
 * under the name |component|: the schedules for encryption and for decryption,
 * as AES-NI keeps them (bytes in FIPS 197's order) and as portable code does
 * (words in the machine's), and the GHASH key in the five forms that it takes
 * in GCM code, plain tables and PCLMULQDQ code included. The key itself is not
 * added. Returns 0 or -ENOMEM.
 */
int schedule_add(struct pattern_set *set, unsigned int subject,
                 const char *component, const uint8_t *key, size_t key_len);

#endif
