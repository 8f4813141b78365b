/* driver.c - rounds over all columns, and what comes of them. */
#include "child.h"
#include "interrupt.h"
#include "material.h"
#include "report.h"

#include <openssl/crypto.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COLUMNS_MAX 16
#define BATCH_MAX 100000

struct lane {
    struct child child;
    bool opened; /* the case is open and has not failed */
    char why[WHY_ROOM];
    struct batch *rounds;
};

struct race {
    const struct benchmark *b;
    struct options o;
    struct report report;
    char *dir; /* the current one while it is there */
    struct lane lane[COLUMNS_MAX];
    size_t n;
    uint64_t random;
};

/* ---- files -------------------------------------------------------------- */

/* Files have names without a folder: the way to it may be of any length, and
 * have spaces. */
static bool make_dir(struct race *r)
{
    const char *tmp = getenv("TMPDIR");

    if (asprintf(&r->dir, "%s/mpk-bench.XXXXXX",
                 tmp != NULL && tmp[0] == '/' ? tmp : "/tmp") < 0) {
        r->dir = NULL;
        return false;
    }
    if (mkdtemp(r->dir) == NULL || chdir(r->dir) != 0) {
        perror(r->dir);
        return false;
    }
    return true;
}

static void material_path(const char *key, size_t keys, char *path, size_t room)
{
    snprintf(path, room, "%.40s-%zu.pem", key, keys);
}

/* The PEM of some keys, made when they are first wanted. */
static bool material_for(const char *key, size_t keys, char *path, size_t room)
{
    struct stat st;

    material_path(key, keys, path, room);
    if (stat(path, &st) == 0 || material_make(key, keys, path)) {
        return true;
    }
    if (!interrupted()) {
        fprintf(stderr, "cannot make a %s key\n", key);
    }
    return false;
}

static void remove_dir(struct race *r)
{
    const struct bench_case *c;
    char path[80];

    for (size_t i = 0; i < r->n; i++) {
        unlink(r->lane[i].child.log);
        unlink(r->lane[i].child.conf);
    }
    for (size_t i = 0; (c = r->b->case_at(i)) != NULL; i++) {
        for (size_t j = 0; j < r->o.n_keys; j++) {
            material_path(c->key, r->o.keys[j], path, sizeof(path));
            unlink(path);
        }
    }
    rmdir(r->dir);
    free(r->dir);
}

/* ---- columns ------------------------------------------------------------ */

static bool is_usual(const struct benchmark *b, const char *name)
{
    for (const char *const *c = b->columns; *c != NULL; c++) {
        if (strcmp(*c, name) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_wanted(const struct race *r, const struct column *c)
{
    return c->profile == PROFILE_STOCK ||
           (r->o.columns.n != 0 ? filter_takes(&r->o.columns, c->name)
                                : is_usual(r->b, c->name));
}

/* A column whose process does not start keeps its reason. */
static bool start_columns(struct race *r)
{
    const struct column *c;
    bool named = false;

    for (size_t i = 0; (c = column_at(i)) != NULL && r->n < COLUMNS_MAX; i++) {
        struct lane *l = &r->lane[r->n];

        named |= filter_takes(&r->o.columns, c->name);
        if (!is_wanted(r, c)) {
            continue;
        }
        l->child.column = c;
        snprintf(l->child.log, sizeof(l->child.log), "%s.log", c->name);
        snprintf(l->child.conf, sizeof(l->child.conf), "%s.cnf", c->name);
        l->rounds = calloc(r->o.rounds, sizeof(*l->rounds));
        r->n++;
        if (l->rounds == NULL ||
            !column_write_conf(c, r->o.module, l->child.conf)) {
            fprintf(stderr, "cannot write %s\n", l->child.conf);
            return false;
        }
        child_start(&l->child, l->why);
    }
    if (!named) {
        fputs("There is no such column; see --list.\n", stderr);
    }
    return named;
}

static void stop_columns(struct race *r)
{
    for (size_t i = 0; i < r->n; i++) {
        child_stop(&r->lane[i].child);
        free(r->lane[i].rounds);
    }
}

static const char *inside(const struct race *r)
{
    for (size_t i = 0; i < r->n; i++) {
        const char *build = r->lane[i].child.build;

        if (build[0] != '\0' && build[0] != '-') {
            return build;
        }
    }
    return "none: no column has the module";
}

/* ---- rounds ------------------------------------------------------------- */

static void run_one(struct lane *l, size_t n, struct batch *out)
{
    if (interrupted()) {
        l->opened = false;
    }
    if (l->opened && !child_run(&l->child, n, out, l->why)) {
        l->opened = false;
    }
}

/* How many operations the stock column does in the time of a batch. */
static size_t calibrate(struct race *r)
{
    struct batch got = {0};
    double want = r->o.batch_ms * 1e6, n = 1;

    do {
        n *= 2;
        run_one(&r->lane[0], (size_t)n, &got);
    } while (r->lane[0].opened && got.t.cpu_ns * n < want / 2 && n < BATCH_MAX);
    if (got.t.cpu_ns > 0) {
        n = want / got.t.cpu_ns;
    }
    return n < 1 ? 1 : n > BATCH_MAX ? BATCH_MAX : (size_t)n;
}

static void progress(const struct race *r, const char *name, size_t round)
{
    if (isatty(STDERR_FILENO)) {
        fprintf(stderr, "\r\033[K%s %s: round %zu of %zu", r->b->name, name,
                round + 1, r->o.rounds);
    }
}

static void progress_end(void)
{
    if (isatty(STDERR_FILENO)) {
        fputs("\r\033[K", stderr);
    }
}

static void run_rounds(struct race *r, const char *name, size_t batch)
{
    size_t order[COLUMNS_MAX] = {0};
    struct batch warm_up;

    for (size_t i = 0; i < r->n; i++) {
        run_one(&r->lane[i], batch, &warm_up);
    }
    for (size_t round = 0; round < r->o.rounds && !interrupted(); round++) {
        progress(r, name, round);
        stats_shuffle(&r->random, order, r->n);
        for (size_t i = 0; i < r->n; i++) {
            struct lane *l = &r->lane[order[i]];

            run_one(l, batch, &l->rounds[round]);
        }
    }
    progress_end();
}

/* ---- results ------------------------------------------------------------ */

/* A value of each round, and the median of them. */
#define MEDIAN(l, v, n, member)                                                \
    (median_of((l), (v), (n), offsetof(struct batch, member)))

static double median_of(const struct lane *l, double *v, size_t n,
                        size_t offset)
{
    for (size_t i = 0; i < n; i++) {
        memcpy(&v[i], (const char *)&l->rounds[i] + offset, sizeof(v[i]));
    }
    return stats_quantile(v, n, 0.5);
}

/* The round in which the least came in between. */
static double best_cpu(const struct lane *l, size_t n)
{
    double best = l->rounds[0].t.cpu_ns;

    for (size_t i = 1; i < n; i++) {
        if (l->rounds[i].t.cpu_ns < best) {
            best = l->rounds[i].t.cpu_ns;
        }
    }
    return best;
}

static void sum_up(const struct race *r, const struct lane *l, double *v,
                   struct result *x)
{
    const struct batch *stock = r->lane[0].rounds;
    size_t n = r->o.rounds;

    x->t.cpu_ns = MEDIAN(l, v, n, t.cpu_ns);
    x->t.wall_ns = MEDIAN(l, v, n, t.wall_ns);
    x->t.p50_ns = MEDIAN(l, v, n, t.p50_ns);
    x->t.p99_ns = MEDIAN(l, v, n, t.p99_ns);
    x->crossings = MEDIAN(l, v, n, crossings);
    for (size_t i = 0; i < n; i++) {
        v[i] = stock[i].t.p50_ns / l->rounds[i].t.p50_ns;
    }
    x->ratio_p50 = stats_quantile(v, n, 0.5);
    for (size_t i = 0; i < n; i++) {
        v[i] = stock[i].t.cpu_ns / l->rounds[i].t.cpu_ns;
    }
    x->ratio = stats_spread(v, n);
    x->ratio_best = best_cpu(&r->lane[0], n) / best_cpu(l, n);
}

static void report_case(struct race *r, const char *name, size_t batch)
{
    double *v = calloc(r->o.rounds, sizeof(*v));

    for (size_t i = 0; v != NULL && i < r->n; i++) {
        const struct lane *l = &r->lane[i];
        struct result x = {.column = l->child.column->name,
                           .batch = batch,
                           .rounds = r->o.rounds};

        if (l->opened && r->lane[0].opened) {
            sum_up(r, l, v, &x);
        } else {
            x.why = l->opened ? "there is no stock figure" : l->why;
        }
        report_result(&r->report, name, &x);
    }
    free(v);
}

/* A column whose process has died gets a new one for the next case. */
static void open_lane(struct lane *l, const char *name, const char *pem)
{
    l->opened = (l->child.pid != 0 || child_start(&l->child, l->why)) &&
                child_open(&l->child, name, pem, l->why);
}

static bool run_case(struct race *r, const struct bench_case *c, size_t keys)
{
    char pem[80], name[96];
    size_t batch;
    bool ok;

    if (!material_for(c->key, keys, pem, sizeof(pem))) {
        return false;
    }
    snprintf(name, sizeof(name), "%.60s", c->name);
    if (keys != 1) {
        snprintf(name, sizeof(name), "%.60s-%zu-keys", c->name, keys);
    }
    for (size_t i = 0; i < r->n; i++) {
        open_lane(&r->lane[i], c->name, pem);
    }
    batch = calibrate(r);
    run_rounds(r, name, batch);
    if (!interrupted()) {
        report_case(r, name, batch);
    }
    ok = r->lane[0].opened;
    for (size_t i = 0; i < r->n; i++) {
        child_close(&r->lane[i].child);
    }
    return ok;
}

static bool run_all(struct race *r)
{
    const struct bench_case *c;
    size_t ran = 0;
    bool ok = true;

    for (size_t i = 0; (c = r->b->case_at(i)) != NULL; i++) {
        if (filter_takes(&r->o.cases, c->name)) {
            for (size_t j = 0; j < r->o.n_keys && !interrupted(); j++) {
                ok = run_case(r, c, r->o.keys[j]) && ok;
            }
            ran++;
        }
    }
    if (ran == 0) {
        fputs("There is no such case; see --list.\n", stderr);
    }
    return ok && ran != 0;
}

int bench_main(const struct benchmark *b, int argc, char **argv)
{
    static struct race r;
    bool ok;

    options_read(&r.o, b, argc, argv);
    if (r.o.child != NULL) {
        return child_main(b, r.o.child);
    }
    /* A configuration of the caller's is nothing to the parent. */
    OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
    signal(SIGPIPE, SIG_IGN);
    r.b = b;
    r.random = r.o.seed * 2654435761U + 1;
    interrupt_catch();
    if (!report_open(&r.report, b, &r.o) || !make_dir(&r)) {
        return 1;
    }
    ok = start_columns(&r);
    if (ok) {
        report_head(&r.report, &r.o, inside(&r));
        ok = run_all(&r);
        ok = report_close(&r.report) && ok;
    }
    stop_columns(&r);
    remove_dir(&r);
    interrupt_end();
    return ok ? 0 : 1;
}
