/* stats.c - clocks, meters, quantiles. */
#include "stats.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <x86intrin.h>

#define CALIBRATION_PARTS 2000

/* What an empty part measures of itself. */
static double empty_cpu_ns;
static uint64_t empty_ticks;

/* From here to now, ticks and nanoseconds are compared. */
static uint64_t epoch_wall, epoch_tsc;

static uint64_t clock_ns(clockid_t id)
{
    struct timespec t;

    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

uint64_t stats_wall_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

uint64_t stats_cpu_ns(void)
{
    return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

static uint64_t tsc(void)
{
    /* Not rdtscp, which valgrind does not know. */
    _mm_lfence();
    return __rdtsc();
}

static double to_ns(double ticks)
{
    uint64_t wall = stats_wall_ns() - epoch_wall;
    uint64_t passed = tsc() - epoch_tsc;

    return ticks * (double)wall / (double)passed;
}

void stats_start(void)
{
    static double cpu[CALIBRATION_PARTS], ticks[CALIBRATION_PARTS];

    epoch_wall = stats_wall_ns();
    epoch_tsc = tsc();
    for (size_t i = 0; i < CALIBRATION_PARTS; i++) {
        struct meter m = {0};

        meter_start(&m);
        meter_stop(&m);
        cpu[i] = m.cpu_ns;
        ticks[i] = (double)m.ticks;
    }
    empty_cpu_ns = stats_quantile(cpu, CALIBRATION_PARTS, 0.5);
    empty_ticks = (uint64_t)stats_quantile(ticks, CALIBRATION_PARTS, 0.5);
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double at(const double *sorted, size_t n, double q)
{
    double place = q * (double)(n - 1);
    size_t below = (size_t)place;

    if (below + 1 >= n) {
        return sorted[n - 1];
    }
    return sorted[below] +
           (place - (double)below) * (sorted[below + 1] - sorted[below]);
}

double stats_quantile(double *v, size_t n, double q)
{
    qsort(v, n, sizeof(*v), ascending);
    return at(v, n, q);
}

struct spread stats_spread(double *v, size_t n)
{
    struct spread s;

    qsort(v, n, sizeof(*v), ascending);
    s.q1 = at(v, n, 0.25);
    s.median = at(v, n, 0.5);
    s.q3 = at(v, n, 0.75);
    return s;
}

void meter_reset(struct meter *m, size_t laps)
{
    if (laps > m->room) {
        free(m->samples);
        m->samples = malloc(laps * sizeof(*m->samples));
        if (m->samples == NULL) {
            fputs("out of memory\n", stderr);
            exit(1);
        }
        m->room = laps;
    }
    m->cpu_ns = 0;
    m->ticks = m->lap = 0;
    m->n = 0;
    m->running = 0;
}

void meter_start(struct meter *m)
{
    m->running = 1;
    m->cpu0 = stats_cpu_ns();
    m->tsc0 = tsc();
}

static uint64_t without(uint64_t ticks, uint64_t cost)
{
    return ticks > cost ? ticks - cost : 0;
}

void meter_stop(struct meter *m)
{
    uint64_t ticks = without(tsc() - m->tsc0, empty_ticks);

    m->cpu_ns += (double)(stats_cpu_ns() - m->cpu0) - empty_cpu_ns;
    m->ticks += ticks;
    m->lap += ticks;
    m->running = 0;
}

void meter_lap(struct meter *m, size_t operations)
{
    if (m->running) {
        uint64_t now = tsc();

        m->ticks += now - m->tsc0;
        m->lap += without(now - m->tsc0, empty_ticks);
        m->tsc0 = now;
    }
    if (m->n < m->room) {
        m->samples[m->n++] = m->lap / operations;
    }
    m->lap = 0;
}

struct timing meter_timing(const struct meter *m, size_t operations)
{
    struct timing t = {0};
    double *v = malloc((m->n + 1) * sizeof(*v));

    t.cpu_ns = m->cpu_ns / (double)operations;
    t.wall_ns = to_ns((double)m->ticks) / (double)operations;
    if (v != NULL && m->n != 0) {
        for (size_t i = 0; i < m->n; i++) {
            v[i] = (double)m->samples[i];
        }
        t.p50_ns = to_ns(stats_quantile(v, m->n, 0.5));
        t.p99_ns = to_ns(stats_quantile(v, m->n, 0.99));
    }
    free(v);
    return t;
}

void meter_free(struct meter *m)
{
    free(m->samples);
    m->samples = NULL;
    m->room = 0;
}

uint64_t stats_random(uint64_t *random)
{
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    return *random;
}

/* What goes first must not depend on anything. */
void stats_shuffle(uint64_t *random, size_t *order, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        size_t j = (size_t)(stats_random(random) % (i + 1));

        order[i] = order[j];
        order[j] = i;
    }
}
