/* module.h - finds what mpk.so does not export, as an attacker could. */
#ifndef MPK_TEST_ATTACK_MODULE_H
#define MPK_TEST_ATTACK_MODULE_H

#include <stdbool.h>
#include <stddef.h>

/* module_find_symbol returns the address of |name| in the loaded module, by
 * the symbol table of its file, or NULL. */
void *module_find_symbol(const char *name);

/* module_find_code returns the |n|th place in the executable part of the
 * object whose path ends in |object| with these bytes, or NULL. */
unsigned char *module_find_code(const char *object, const void *bytes,
                                size_t len, unsigned n);

/* Where the domain begins and ends, what it may grow into included; false if
 * there is none. */
bool module_domain(unsigned char **start, unsigned char **end);

/* The domain's key, or -1. */
int module_pkey(void);

/* module_usage stores the bytes of the domain in |*bytes| and, with backend
 * none, which can be looked into, the blocks of its heap in |*blocks|. */
void module_usage(size_t *bytes, size_t *blocks);

#endif
