#ifndef MPK_BENCH_OPTIONS_H
#define MPK_BENCH_OPTIONS_H

#include "bench.h"

#include <stdint.h>

#define FILTERS_MAX 32
#define KEYS_MAX 8

struct filter {
    const char *pattern[FILTERS_MAX]; /* shell patterns; none: all */
    size_t n;
};

struct options {
    size_t rounds;
    double batch_ms;
    uint64_t seed;
    struct filter cases, columns;
    size_t keys[KEYS_MAX]; /* each case is run with so many, in turn */
    size_t n_keys;
    const char *csv; /* NULL: standard output */
    const char *module;
    const char *child; /* this process is a column's */
};

/*
 * options_read parses the command line. It ends the program after --help and
 * --list, and with status 2 when something in it is wrong.
 */
void options_read(struct options *o, const struct benchmark *b, int argc,
                  char **argv);

/* filter_takes is true for all names if the filter is empty. */
bool filter_takes(const struct filter *f, const char *name);

#endif
