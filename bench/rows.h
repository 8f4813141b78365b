#ifndef MPK_BENCH_ROWS_H
#define MPK_BENCH_ROWS_H

/*
 * For benchmarks that compare ways to do one thing, without OpenSSL: rounds
 * over all ways, in an order that is drawn anew in each, and CSV with the
 * columns that plot.sh reads. The first way is the baseline.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define ROWS_WAYS_MAX 12

struct way {
    const char *name;
    const char *why; /* not NULL: it has no figures, for this reason */
    /*
     * measure does a batch and returns the nanoseconds of one operation. Below
     * 0: it failed, and |why| has to say how.
     */
    double (*measure)(struct way *w);
    void *arg;
};

struct rows {
    const char *bench;
    const char *baseline; /* name of the first way of each case */
    size_t rounds;
    double batch_ms;
    const char *only; /* shell pattern of cases; NULL: all */
    FILE *csv, *table;
    uint64_t random;
    bool failed; /* a baseline had no figures */
    bool any;    /* there was a case */
};

/*
 * rows_options reads the command line: --rounds, --batch-ms, --case, --csv
 * and --help. |own| is asked for every other option and its value; it returns
 * false for one that it does not know. |usage| is a line for each of those.
 * The caller has set |bench|, |baseline|, |rounds| and |batch_ms|.
 */
void rows_options(struct rows *r, int argc, char **argv,
                  bool (*own)(const char *name, const char *value),
                  const char *usage);

/* rows_head writes the CSV's; |notes| are lines of comment, or NULL. */
void rows_head(struct rows *r, const char *notes);

/* rows_case measures |n| ways of one case and writes their rows. */
void rows_case(struct rows *r, const char *name, struct way *ways, size_t n);

/* rows_wants is false for a case that --case leaves out. */
bool rows_wants(const struct rows *r, const char *name);

/* rows_close returns what main is to. */
int rows_close(struct rows *r);

#endif
