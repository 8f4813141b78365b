/* child.c - a process for each column, and what is said to it. */
#include "child.h"

#include "material.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define LINE_ROOM 512

/* ---- the parent's end --------------------------------------------------- */

static void become_child(const struct child *c, int in, int out)
{
    int log = open(c->log, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    if (log < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(log, 2) < 0 ||
        setenv("OPENSSL_CONF", c->conf, 1) != 0) {
        _exit(126);
    }
    execl("/proc/self/exe", "bench", "--child", c->column->name, (char *)NULL);
    _exit(127);
}

/* The last line that it wrote to standard error, if there is one. */
static void last_words(const struct child *c, char *why)
{
    FILE *f = fopen(c->log, "r");
    char line[WHY_ROOM];

    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (line[0] != '\0') {
            snprintf(why, WHY_ROOM, "%s", line);
        }
    }
    if (f != NULL) {
        fclose(f);
    }
}

static void reap(struct child *c, char *why)
{
    int status = 0;

    if (c->from != NULL) {
        fclose(c->from);
        c->from = NULL;
        close(c->to);
    }
    if (c->pid > 0 && waitpid(c->pid, &status, 0) == c->pid && why != NULL) {
        if (WIFSIGNALED(status)) {
            snprintf(why, WHY_ROOM, "its process died: %s",
                     strsignal(WTERMSIG(status)));
        } else {
            snprintf(why, WHY_ROOM, "its process ended with status %d",
                     WEXITSTATUS(status));
        }
        last_words(c, why);
    }
    c->pid = 0;
}

/* Sends a line, if there is one, and reads the answer. */
static bool ask(struct child *c, const char *order, char *line, char *why)
{
    if (c->pid == 0) {
        snprintf(why, WHY_ROOM, "its process is gone");
        return false;
    }
    if ((order != NULL && write(c->to, order, strlen(order)) < 0) ||
        fgets(line, LINE_ROOM, c->from) == NULL) {
        reap(c, why);
        return false;
    }
    line[strcspn(line, "\n")] = '\0';
    if (strncmp(line, "na ", 3) == 0) {
        snprintf(why, WHY_ROOM, "%.250s", line + 3);
        return false;
    }
    return true;
}

bool child_start(struct child *c, char *why)
{
    char line[LINE_ROOM];
    int down[2], up[2];

    if (pipe2(down, O_CLOEXEC) != 0 || pipe2(up, O_CLOEXEC) != 0) {
        snprintf(why, WHY_ROOM, "pipe: %s", strerror(errno));
        return false;
    }
    c->pid = fork();
    if (c->pid == 0) {
        become_child(c, down[0], up[1]);
    }
    close(down[0]);
    close(up[1]);
    c->to = down[1];
    c->from = fdopen(up[0], "r");
    if (c->pid < 0 || c->from == NULL || !ask(c, NULL, line, why)) {
        return false;
    }
    snprintf(c->build, sizeof(c->build), "%.120s", line);
    return true;
}

bool child_open(struct child *c, const char *name, const char *file, char *why)
{
    char order[LINE_ROOM], line[LINE_ROOM];

    snprintf(order, sizeof(order), "open %s %s\n", name, file);
    return ask(c, order, line, why);
}

bool child_run(struct child *c, size_t n, struct batch *out, char *why)
{
    char order[LINE_ROOM], line[LINE_ROOM];

    snprintf(order, sizeof(order), "run %zu\n", n);
    if (!ask(c, order, line, why)) {
        return false;
    }
    if (sscanf(line, "ok %lf %lf %lf %lf %lf", &out->t.cpu_ns, &out->t.wall_ns,
               &out->t.p50_ns, &out->t.p99_ns, &out->crossings) != 5) {
        snprintf(why, WHY_ROOM, "its answer was '%.200s'", line);
        return false;
    }
    return true;
}

void child_close(struct child *c)
{
    char line[LINE_ROOM], why[WHY_ROOM];

    if (c->pid != 0) {
        ask(c, "close\n", line, why);
    }
}

void child_stop(struct child *c)
{
    reap(c, NULL);
}

/* ---- the column's own --------------------------------------------------- */

struct session {
    const struct benchmark *b;
    const struct column *column;
    void *state;
    struct meter m;
};

static void answer_na(const char *why)
{
    printf("na %.*s\n", (int)strcspn(why, "\n"), why);
}

static const struct bench_case *find_case(const struct benchmark *b,
                                          const char *name)
{
    const struct bench_case *c;

    for (size_t i = 0; (c = b->case_at(i)) != NULL; i++) {
        if (strcmp(c->name, name) == 0) {
            break;
        }
    }
    return c;
}

static void close_case(struct session *s)
{
    if (s->state != NULL) {
        s->b->close(s->state);
    }
    s->state = NULL;
}

static bool run_batch(struct session *s, size_t n)
{
    meter_reset(&s->m, n);
    return s->b->run(s->state, n, &s->m);
}

/* A column that cannot run says so at its first operation. */
static void do_open(struct session *s, const char *name, const char *file)
{
    const struct bench_case *c = find_case(s->b, name);
    char *material = material_read(file);
    char why[WHY_ROOM] = "no such case";

    close_case(s);
    if (c != NULL && material != NULL) {
        s->state = s->b->open(c, s->column, material, why);
    }
    free(material);
    if (s->state != NULL && !run_batch(s, 1)) {
        material_why(why, s->b->operation);
        close_case(s);
    }
    if (s->state != NULL) {
        puts("ok");
    } else {
        answer_na(why);
    }
}

static void do_run(struct session *s, size_t n)
{
    char why[WHY_ROOM] = "nothing is open";
    long long before = column_crossings(), after;
    double crossings = -1;
    struct timing t;

    if (s->state == NULL || n == 0) {
        answer_na(why);
        return;
    }
    if (!run_batch(s, n)) {
        material_why(why, s->b->operation);
        answer_na(why);
        return;
    }
    after = column_crossings();
    if (before >= 0 && after >= before) {
        crossings = (double)(after - before) / (double)n;
    }
    t = meter_timing(&s->m, n);
    printf("ok %.3f %.3f %.3f %.3f %.3f\n", t.cpu_ns, t.wall_ns, t.p50_ns,
           t.p99_ns, crossings);
}

int child_main(const struct benchmark *b, const char *column)
{
    struct session s = {.b = b, .column = column_find(column)};
    char line[LINE_ROOM], name[LINE_ROOM], file[LINE_ROOM], build[128];
    size_t n;

    if (s.column == NULL) {
        return 2;
    }
    /* For those who look with perf or ps. */
    prctl(PR_SET_NAME, s.column->name);
    setvbuf(stdout, NULL, _IOLBF, 0);
    OPENSSL_init_crypto(OPENSSL_INIT_LOAD_CONFIG, NULL);
    if (!column_works()) {
        return 3;
    }
    stats_start();
    column_build(build, sizeof(build));
    puts(build);
    while (fgets(line, sizeof(line), stdin) != NULL) {
        if (sscanf(line, "open %511s %511s", name, file) == 2) {
            do_open(&s, name, file);
        } else if (sscanf(line, "run %zu", &n) == 1) {
            do_run(&s, n);
        } else {
            close_case(&s);
            puts("ok");
        }
    }
    close_case(&s);
    meter_free(&s.m);
    return 0;
}
