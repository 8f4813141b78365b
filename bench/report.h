#ifndef MPK_BENCH_REPORT_H
#define MPK_BENCH_REPORT_H

#include "options.h"

#include <stdio.h>

/* One column of one case, all rounds. */
struct result {
    const char *column;
    const char *why; /* not NULL: it has no figures, for this reason */
    size_t batch;    /* operations in each round */
    size_t rounds;
    struct timing t;     /* medians over the rounds */
    struct spread ratio; /* CPU time of stock by ours, of each round */
    double ratio_p50;    /* the same of p50_ns, median */
    double ratio_best;   /* the best round of stock by the best of ours */
    double crossings;    /* below 0: not counted */
};

struct report {
    const struct benchmark *b;
    FILE *csv;
    FILE *table; /* NULL: none */
};

/* report_open opens the file; report_head writes the heads. |inside| is what
 * the module was built from. */
bool report_open(struct report *r, const struct benchmark *b,
                 const struct options *o);
void report_head(struct report *r, const struct options *o, const char *inside);
void report_result(struct report *r, const char *name, const struct result *x);
bool report_close(struct report *r);

#endif
