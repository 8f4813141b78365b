#ifndef MPK_BENCH_BENCH_H
#define MPK_BENCH_BENCH_H

/*
 * What a benchmark says of itself. The parent process drives one child for
 * each column in lock step: all columns do the same number of operations of
 * the same case, one after the other, and again in another order. Cases are
 * opened, run and closed in the children only.
 */

#include "columns.h"
#include "stats.h"

#include <stdbool.h>

#define WHY_ROOM 256

struct bench_case {
    const char *name;
    const char *key; /* see material.h */
};

struct benchmark {
    const char *name;
    const char *operation;      /* singular, for people */
    const char *const *columns; /* those that run unasked, NULL at the end */
    /* case_at returns the |i|th case, NULL past the last one. */
    const struct bench_case *(*case_at)(size_t i);
    /*
     * open makes all that is not measured, with the key of the case as PEM in
     * |material|; NULL and a line in |why| if it cannot be.
     */
    void *(*open)(const struct bench_case *c, const struct column *column,
                  const char *material, char *why);
    /* run does |n| operations, |m| is running during what is measured. */
    bool (*run)(void *state, size_t n, struct meter *m);
    void (*close)(void *state);
};

/* bench_main is main() of every benchmark. */
int bench_main(const struct benchmark *b, int argc, char **argv);

#endif
