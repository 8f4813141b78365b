/* rows.c - ways to do one thing, measured in turn. */
#include "rows.h"

#include "machine.h"
#include "stats.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

/* ---- command line -------------------------------------------------------- */

static void usage_and_exit(const struct rows *r, const char *usage, int status)
{
    fprintf(status == 0 ? stdout : stderr,
            "usage: %s [OPTION VALUE]...\n"
            "  --rounds N      batches of each way (%zu)\n"
            "  --batch-ms MS   length of one, about (%g)\n"
            "  --case PATTERN  only these cases\n"
            "  --csv FILE      CSV to FILE and a table to standard output,\n"
            "                  instead of CSV to standard output\n%s",
            r->bench, r->rounds, r->batch_ms, usage);
    exit(status);
}

static void open_csv(struct rows *r, const char *path)
{
    r->csv = fopen(path, "w");
    if (r->csv == NULL) {
        perror(path);
        exit(1);
    }
    r->table = stdout;
}

static bool take(struct rows *r, const char *name, const char *value)
{
    double n = strtod(value, NULL);

    if (strcmp(name, "--rounds") == 0 && n >= 1) {
        r->rounds = (size_t)n;
    } else if (strcmp(name, "--batch-ms") == 0 && n > 0) {
        r->batch_ms = n;
    } else if (strcmp(name, "--case") == 0) {
        r->only = value;
    } else if (strcmp(name, "--csv") == 0) {
        open_csv(r, value);
    } else {
        return false;
    }
    return true;
}

void rows_options(struct rows *r, int argc, char **argv,
                  bool (*own)(const char *name, const char *value),
                  const char *usage)
{
    r->csv = stdout;
    for (int i = 1; i < argc; i += 2) {
        if (strcmp(argv[i], "--help") == 0) {
            usage_and_exit(r, usage, 0);
        }
        if (i + 1 == argc || (!take(r, argv[i], argv[i + 1]) &&
                              (own == NULL || !own(argv[i], argv[i + 1])))) {
            fprintf(stderr, "wrong: %s\n", argv[i]);
            usage_and_exit(r, usage, 2);
        }
    }
}

bool rows_wants(const struct rows *r, const char *name)
{
    return r->only == NULL || fnmatch(r->only, name, 0) == 0;
}

/* ---- rows ---------------------------------------------------------------- */

void rows_head(struct rows *r, const char *notes)
{
    r->random = stats_wall_ns() | 1;
    fprintf(r->csv, "# benchmark: %s\n# baseline: %s\n", r->bench, r->baseline);
    machine_write(r->csv);
    machine_write_load(r->csv, "start");
    fprintf(r->csv,
            "%s# ratio: time of %s divided by the column's, in the same round; "
            "above 1 is faster\n"
            "bench,case,column,rounds,ns,ns_q1,ns_q3,ratio,ratio_q1,ratio_q3,"
            "ratio_best,note\n",
            notes != NULL ? notes : "", r->baseline);
    if (r->table != NULL) {
        fprintf(r->table, "%-24s %-16s %12s %8s %17s\n", "case", "column", "us",
                "ratio", "quartiles");
    }
}

static void write_none(const struct rows *r, const char *name,
                       const struct way *w)
{
    fprintf(r->csv, "%s,%s,%s,n/a,n/a,n/a,n/a,n/a,n/a,n/a,n/a,", r->bench, name,
            w->name);
    csv_quoted(r->csv, w->why);
    fputc('\n', r->csv);
    if (r->table != NULL) {
        fprintf(r->table, "%-24s %-16s %12s %s\n", name, w->name, "n/a",
                w->why);
    }
}

/* |ratio| is room. */
static void write_row(const struct rows *r, const char *name,
                      const struct way *w, double *ns, const double *base,
                      double *ratio)
{
    size_t n = r->rounds;
    double best = ns[0], best_base = base[0];
    struct spread of_ratio, of_ns;

    for (size_t i = 0; i < n; i++) {
        ratio[i] = base[i] / ns[i];
        best = ns[i] < best ? ns[i] : best;
        best_base = base[i] < best_base ? base[i] : best_base;
    }
    of_ratio = stats_spread(ratio, n);
    of_ns = stats_spread(ns, n);
    fprintf(r->csv, "%s,%s,%s,%zu,%.1f,%.1f,%.1f,%.4f,%.4f,%.4f,%.4f,\"\"\n",
            r->bench, name, w->name, n, of_ns.median, of_ns.q1, of_ns.q3,
            of_ratio.median, of_ratio.q1, of_ratio.q3, best_base / best);
    fflush(r->csv);
    if (r->table != NULL) {
        fprintf(r->table, "%-24s %-16s %12.3f %8.4f   %.4f - %.4f\n", name,
                w->name, of_ns.median / 1000, of_ratio.median, of_ratio.q1,
                of_ratio.q3);
        fflush(r->table);
    }
}

static void measure(struct way *w, double *ns)
{
    if (w->why == NULL) {
        *ns = w->measure(w);
        if (*ns < 0 && w->why == NULL) {
            w->why = "failed";
        }
    }
}

void rows_case(struct rows *r, const char *name, struct way *ways, size_t n)
{
    double *ns = calloc(ROWS_WAYS_MAX * r->rounds, sizeof(*ns));
    double *base = calloc(2 * r->rounds, sizeof(*base));
    size_t order[ROWS_WAYS_MAX] = {0};
    bool expected = ways[0].why != NULL;
    double warm_up;

    if (ns == NULL || base == NULL || n > ROWS_WAYS_MAX) {
        exit(1);
    }
    r->any = true;
    for (size_t i = 0; i < n; i++) {
        measure(&ways[i], &warm_up);
    }
    for (size_t round = 0; round < r->rounds; round++) {
        stats_shuffle(&r->random, order, n);
        for (size_t i = 0; i < n; i++) {
            measure(&ways[order[i]], &ns[order[i] * r->rounds + round]);
        }
    }
    memcpy(base, ns, r->rounds * sizeof(*base));
    r->failed |= !expected && ways[0].why != NULL;
    for (size_t i = 0; i < n; i++) {
        if (ways[i].why == NULL && ways[0].why != NULL) {
            ways[i].why = "the baseline has no figure";
        }
        if (ways[i].why != NULL) {
            write_none(r, name, &ways[i]);
        } else {
            write_row(r, name, &ways[i], ns + i * r->rounds, base,
                      base + r->rounds);
        }
    }
    free(base);
    free(ns);
}

int rows_close(struct rows *r)
{
    machine_write_load(r->csv, "end");
    if (!r->any) {
        fputs("There is no such case.\n", stderr);
    }
    return fflush(r->csv) == 0 && r->any && !r->failed ? 0 : 1;
}
