#ifndef MPK_BENCH_CHILD_H
#define MPK_BENCH_CHILD_H

/*
 * A column's process, seen from both ends. It reads orders from standard
 * input and answers each with one line:
 *   open CASE FILE   ok | na WHY
 *   run N            ok CPU WALL P50 P99 CROSSINGS | na WHY
 *   close            ok
 * Its first line is what its module was built from. It ends with its input.
 */

#include "bench.h"

#include <stdio.h>
#include <sys/types.h>

struct child {
    const struct column *column;
    pid_t pid; /* 0: is not running */
    int to;
    FILE *from;
    char log[40];  /* file of its standard error */
    char conf[40]; /* its openssl.cnf */
    char build[128];
};

struct batch {
    struct timing t;
    double crossings; /* for each operation; below 0: not known */
};

/* The parent's end. Each returns false with a line in |why| on failure. */
bool child_start(struct child *c, char *why);
bool child_open(struct child *c, const char *name, const char *file, char *why);
bool child_run(struct child *c, size_t n, struct batch *out, char *why);
void child_close(struct child *c);
void child_stop(struct child *c);

/* child_main is what a process started by child_start does. */
int child_main(const struct benchmark *b, const char *column);

#endif
