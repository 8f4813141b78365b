/*
 * What the tests of virtual keys as a program sees them share: groups, and
 * whether an access to them faults, and how.
 */
#ifndef MPK_TEST_VKEY_PROBE_H
#define MPK_TEST_VKEY_PROBE_H

#include "core_test.h"

#include "../../mpkcore/vkey.h"

#include <mpkcore/mpk.h>

#include <sys/mman.h>

#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

/* start calls mpk_init with |params| and the backend of |s|. */
extern struct mpk_params params;
void start(const struct setup *s);
/* A group of its own. */
char *group(mpk_vkey_t *vkey, size_t len, int prot);

/* touches_byte says whether this thread can read, or write, there; if not, what
 * its last fault was, and by which key, or -1. touches writes further on in the
 * page, where no test has anything. */
bool touches_byte(const volatile char *p, bool write);
bool touches(const volatile char *p, bool write);
extern __thread volatile int seen_code, seen_key;

/* The key that the group has, -1 if none. */
int key_of(mpk_vkey_t vkey);

#endif
