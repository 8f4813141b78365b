/*
 * In which forms a secret lies in the memory of who uses it: what is to be
 * looked for, by kind of secret. Each function adds to |set|, under the name
 * |component|, and returns 0 or -ENOMEM.
 */
#ifndef MPK_TOOLS_FORMS_H
#define MPK_TOOLS_FORMS_H

#include "patterns.h"

/* forms_add_secret: a secret that somebody could print, as a server's own key
 * log does. */
int forms_add_secret(struct pattern_set *set, unsigned int subject,
                     const char *component, const uint8_t *bytes, size_t len);

/* forms_add_number: the same of what may be a number too, in either order of
 * bytes, as the pre-master secret of (EC)DHE is. */
int forms_add_number(struct pattern_set *set, unsigned int subject,
                     const char *component, const uint8_t *bytes, size_t len);

/* forms_add_aes: a key of AES, and what code that encrypts keeps of it. */
int forms_add_aes(struct pattern_set *set, unsigned int subject,
                  const char *component, const uint8_t *key, size_t len);

#endif
