/* report.c - CSV for machines, a table for people. */
#include "report.h"

#include "machine.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

static void write_head(FILE *f, const struct benchmark *b,
                       const struct options *o, const char *inside)
{
    fprintf(f, "# benchmark: %s, one %s\n", b->name, b->operation);
    machine_write(f);
    fprintf(f, "# libcrypto outside: %s\n", OpenSSL_version(OPENSSL_VERSION));
    fprintf(f, "# libcrypto inside: %s\n", inside);
    fprintf(f, "# rounds: %zu, batch: %g ms, seed: %llu\n", o->rounds,
            o->batch_ms, (unsigned long long)o->seed);
    machine_write_load(f, "start");
    fputs("# ratio: CPU time of stock divided by the column's, in the same "
          "round; above 1 is faster than stock\n"
          "bench,case,column,rounds,batch,cpu_ns,wall_ns,p50_ns,p99_ns,"
          "ratio,ratio_q1,ratio_q3,ratio_p50,ratio_best,crossings,note\n",
          f);
}

bool report_open(struct report *r, const struct benchmark *b,
                 const struct options *o)
{
    r->b = b;
    r->csv = o->csv != NULL ? fopen(o->csv, "w") : stdout;
    r->table = o->csv != NULL ? stdout : NULL;
    if (r->csv == NULL) {
        perror(o->csv);
        return false;
    }
    return true;
}

void report_head(struct report *r, const struct options *o, const char *inside)
{
    write_head(r->csv, r->b, o, inside);
    if (r->table != NULL) {
        fprintf(r->table, "%-30s %-14s %11s %7s %15s %7s %9s\n", "case",
                "column", "CPU, us", "ratio", "quartiles", "best", "crossings");
    }
}

static void write_csv(FILE *f, const char *bench, const char *name,
                      const struct result *x)
{
    char crossings[32] = "n/a";

    fprintf(f, "%s,%s,%s,", bench, name, x->column);
    if (x->why != NULL) {
        fputs("n/a,n/a,n/a,n/a,n/a,n/a,n/a,n/a,n/a,n/a,n/a,n/a,", f);
        csv_quoted(f, x->why);
        fputc('\n', f);
        return;
    }
    if (x->crossings >= 0) {
        snprintf(crossings, sizeof(crossings), "%.2f", x->crossings);
    }
    fprintf(f, "%zu,%zu,%.1f,%.1f,%.1f,%.1f,%.4f,%.4f,%.4f,%.4f,%.4f,%s,\"\"\n",
            x->rounds, x->batch, x->t.cpu_ns, x->t.wall_ns, x->t.p50_ns,
            x->t.p99_ns, x->ratio.median, x->ratio.q1, x->ratio.q3,
            x->ratio_p50, x->ratio_best, crossings);
}

static void write_row(FILE *f, const char *name, const struct result *x)
{
    if (x->why != NULL) {
        fprintf(f, "%-30s %-14s %11s %s\n", name, x->column, "n/a", x->why);
        return;
    }
    fprintf(f, "%-30s %-14s %11.2f %7.3f   %.3f - %.3f %7.3f", name, x->column,
            x->t.cpu_ns / 1000, x->ratio.median, x->ratio.q1, x->ratio.q3,
            x->ratio_best);
    if (x->crossings >= 0) {
        fprintf(f, " %9.1f\n", x->crossings);
    } else {
        fprintf(f, " %9s\n", "n/a");
    }
}

void report_result(struct report *r, const char *name, const struct result *x)
{
    write_csv(r->csv, r->b->name, name, x);
    fflush(r->csv);
    if (r->table != NULL) {
        write_row(r->table, name, x);
        fflush(r->table);
    }
}

bool report_close(struct report *r)
{
    machine_write_load(r->csv, "end");
    return r->csv == stdout ? fflush(stdout) == 0 : fclose(r->csv) == 0;
}
