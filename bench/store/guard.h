#ifndef MPK_BENCH_GUARD_H
#define MPK_BENCH_GUARD_H

/*
 * Ways to protect the store's two regions: open is called before each request
 * and close after it.
 */

#include <mpkcore/mpk.h>

#include <stdbool.h>

enum { INDEX, SLABS, REGIONS };

struct region {
    char *p;
    size_t len;
    mpk_vkey_t vkey; /* 0: it is no page group */
};

struct guard {
    const char *name;
    struct region *regions;
    void (*open)(struct guard *g);
    void (*close)(struct guard *g);
    bool groups; /* the regions are page groups */
    bool closes; /* a stray access between requests faults */
};

enum way_to_guard { NONE, BEGIN_END, MPK_MPROTECT, MPROTECT, GUARDS };

/*
 * guard_start prepares page groups; false with a reason in |*why| where there
 * are no protection keys. Then BEGIN_END cannot be had, and MPK_MPROTECT does
 * without them, which it does anyway.
 */
bool guard_start(const char **why);

struct guard guard_of(enum way_to_guard way, struct region *regions);

/* guard_map maps regions of these lengths, open; guard_settle leaves them as
 * they are to be between requests. */
void guard_map(struct guard *g, const size_t *len);
void guard_settle(struct guard *g);

/* Whether a read of the byte faults, or a write. */
bool guard_faults(const volatile char *p, bool write);

#endif
