#ifndef MPK_BENCH_GROUPS_H
#define MPK_BENCH_GROUPS_H

/* Page groups for a benchmark, with protection keys or without. */

#include <mpkcore/mpk.h>

#include <stdbool.h>

/*
 * groups_start prepares page groups; false with a reason in |*why| where there
 * are no protection keys. Then begin and end cannot be had, and mpk_mprotect
 * does without them, which it does anyway, through a gate without WRPKRU.
 */
bool groups_start(const char **why);

/*
 * groups_start_without prepares page groups on |backend| with a core that has
 * no keys: what groups_start falls back to with MPK_BACKEND_MPROTECT.
 */
void groups_start_without(enum mpk_backend backend);

_Noreturn void groups_failed(int err, const char *what);

/* groups_must ends the program unless |err| is 0. It is in what is measured. */
static inline void groups_must(int err, const char *what)
{
    if (err != 0) {
        groups_failed(err, what);
    }
}

#endif
