#ifndef MPK_TEST_SECONDS_H
#define MPK_TEST_SECONDS_H

/* The clock of tests that run for a time instead of a count. */

#include <stdlib.h>
#include <time.h>

static inline double seconds_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* How long one case takes: $MPK_TEST_SECONDS, or 1. */
static inline double seconds_of_case(void)
{
    const char *given = getenv("MPK_TEST_SECONDS");

    return given != NULL && atof(given) > 0 ? atof(given) : 1;
}

#endif
