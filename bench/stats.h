#ifndef MPK_BENCH_STATS_H
#define MPK_BENCH_STATS_H

/*
 * Clocks and the few statistics that every benchmark needs.
 *
 * A meter adds up what passes between meter_start and meter_stop: CPU time of
 * the thread, which leaves out what other programs do meanwhile, and ticks of
 * the TSC, which are cheap enough to read for each operation. What reading the
 * clocks costs is measured once and taken off.
 */

#include <stddef.h>
#include <stdint.h>

struct meter {
    double cpu_ns;     /* the sums so far */
    uint64_t ticks;    /* of the TSC */
    uint64_t *samples; /* ticks of each operation, see meter_lap */
    size_t n, room;
    /* the part that is under way */
    int running;
    uint64_t cpu0, tsc0, lap;
};

/* What a batch of operations took. */
struct timing {
    double cpu_ns;  /* for each operation */
    double wall_ns; /* the same, by the TSC */
    double p50_ns;  /* of single operations, by the TSC */
    double p99_ns;
};

/* The middle half of some numbers. */
struct spread {
    double q1, median, q3;
};

/* stats_wall_ns and stats_cpu_ns read the clocks: monotonic, this thread's. */
uint64_t stats_wall_ns(void);
uint64_t stats_cpu_ns(void);

/* stats_start measures the clocks themselves; call it once, first. */
void stats_start(void);

/* stats_quantile sorts |v| and returns the value at |q|, of 0 to 1. */
double stats_quantile(double *v, size_t n, double q);

/* stats_spread sorts |v|. |n| must not be 0. */
struct spread stats_spread(double *v, size_t n);

/* meter_reset makes room for |laps| samples; it ends the program without. */
void meter_reset(struct meter *m, size_t laps);
void meter_start(struct meter *m);
void meter_stop(struct meter *m);

/*
 * meter_lap ends a sample, inside or outside of a part: what was measured
 * since the last one was |operations| operations.
 */
void meter_lap(struct meter *m, size_t operations);

/* meter_timing sums up |operations| operations. */
struct timing meter_timing(const struct meter *m, size_t operations);

void meter_free(struct meter *m);

/* stats_shuffle puts 0 to |n| - 1 into |order|; |random| must not be 0. */
void stats_shuffle(uint64_t *random, size_t *order, size_t n);
/* stats_random is one step of xorshift. */
uint64_t stats_random(uint64_t *random);

#endif
