/* options.c - the command line of every benchmark. */
#include "options.h"

#include <fnmatch.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ROUNDS 31
#define BATCH_MS 10

enum {
    ROUNDS_OPT,
    BATCH,
    SEED,
    CASE,
    COLUMN,
    KEYS,
    CSV,
    MODULE,
    LIST,
    HELP,
    CHILD
};

static const struct option longs[] = {
    {"rounds", required_argument, NULL, ROUNDS_OPT},
    {"batch-ms", required_argument, NULL, BATCH},
    {"seed", required_argument, NULL, SEED},
    {"case", required_argument, NULL, CASE},
    {"column", required_argument, NULL, COLUMN},
    {"keys", required_argument, NULL, KEYS},
    {"csv", required_argument, NULL, CSV},
    {"module", required_argument, NULL, MODULE},
    {"list", no_argument, NULL, LIST},
    {"help", no_argument, NULL, HELP},
    {"child", required_argument, NULL, CHILD},
    {NULL, 0, NULL, 0}};

static void help(const struct benchmark *b)
{
    printf("usage: %s [OPTION...]\n"
           "What one %s costs, in each column relative to stock OpenSSL.\n\n"
           "  --rounds N        batches for each column and case (%d)\n"
           "  --batch-ms MS     length of a batch of the stock column (%d)\n"
           "  --case PATTERN    only these cases; may be given several times\n"
           "  --column PATTERN  only these columns; stock always runs\n"
           "  --keys N          with N keys of the same type, used at random;\n"
           "                    may be given several times (1)\n"
           "  --csv FILE        CSV to FILE and a table to standard output,\n"
           "                    instead of CSV to standard output\n"
           "  --module FILE     the provider (%s)\n"
           "  --seed N          of the order in which columns take turns\n"
           "  --list            cases and columns\n"
           "  --help            this\n",
           b->name, b->operation, ROUNDS, BATCH_MS, MPK_BENCH_MODULE);
    exit(0);
}

static void list(const struct benchmark *b)
{
    const struct bench_case *c;
    const struct column *col;

    puts("cases:");
    for (size_t i = 0; (c = b->case_at(i)) != NULL; i++) {
        printf("  %s\n", c->name);
    }
    puts("columns (* runs unasked):");
    for (size_t i = 0; (col = column_at(i)) != NULL; i++) {
        struct filter usual = {.n = 0};

        while (b->columns[usual.n] != NULL) {
            usual.pattern[usual.n] = b->columns[usual.n];
            usual.n++;
        }
        printf("%c %-14s %s\n", filter_takes(&usual, col->name) ? '*' : ' ',
               col->name, col->what);
    }
    exit(0);
}

static void wrong(const char *what)
{
    fprintf(stderr, "%s\nTry --help.\n", what);
    exit(2);
}

static double number(const char *text)
{
    char *end;
    double n = strtod(text, &end);

    if (*text == '\0' || *end != '\0' || !(n > 0)) {
        wrong("A number above 0 is expected.");
    }
    return n;
}

static void add(struct filter *f, const char *pattern)
{
    if (f->n == FILTERS_MAX) {
        wrong("Too many patterns.");
    }
    f->pattern[f->n++] = pattern;
}

bool filter_takes(const struct filter *f, const char *name)
{
    for (size_t i = 0; i < f->n; i++) {
        if (fnmatch(f->pattern[i], name, 0) == 0) {
            return true;
        }
    }
    return f->n == 0;
}

static void take(struct options *o, const struct benchmark *b, int opt)
{
    switch (opt) {
    case ROUNDS_OPT:
        o->rounds = (size_t)number(optarg);
        break;
    case BATCH:
        o->batch_ms = number(optarg);
        break;
    case SEED:
        o->seed = (uint64_t)number(optarg);
        break;
    case CASE:
        add(&o->cases, optarg);
        break;
    case COLUMN:
        add(&o->columns, optarg);
        break;
    case KEYS:
        if (o->n_keys == KEYS_MAX) {
            wrong("Too many numbers of keys.");
        }
        o->keys[o->n_keys++] = (size_t)number(optarg);
        break;
    case CSV:
        o->csv = optarg;
        break;
    case MODULE:
        o->module = optarg;
        break;
    case LIST:
        list(b);
        break;
    case HELP:
        help(b);
        break;
    case CHILD:
        o->child = optarg;
        break;
    default:
        wrong("");
    }
}

void options_read(struct options *o, const struct benchmark *b, int argc,
                  char **argv)
{
    int opt;

    *o = (struct options){.rounds = ROUNDS,
                          .batch_ms = BATCH_MS,
                          .seed = (uint64_t)time(NULL),
                          .module = MPK_BENCH_MODULE};
    while ((opt = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        take(o, b, opt);
    }
    if (optind < argc) {
        wrong("Only options are expected.");
    }
    if (o->n_keys == 0) {
        o->keys[o->n_keys++] = 1;
    }
    if (o->rounds == 0) {
        wrong("At least one round is needed.");
    }
}
