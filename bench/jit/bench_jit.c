/*
 * bench_jit.c - what does it cost a JIT that its code cache is never writable
 * and executable at a time?
 *
 * Debian's LuaJIT runs each program of lua/ in a process of its own, with
 * wx_preload.so in one of its modes: no W^X at all (the baseline), mprotect as
 * LuaJIT calls it, and switches of a protection key in place of these calls.
 * The figure is CPU time of the process, kernel included. "startup" is what a
 * process costs by itself; the preloaded library's own start is in all.
 */
#include "../rows.h"
#include "../stats.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define REFUSED 3 /* see wx_preload.c */

extern char **environ;

static const char *const programs[] = {
    "startup", "compile",      "nqueens",    "scheduler",    "fannkuch",
    "nbody",   "binary_trees", "mandelbrot", "spectral_norm"};

struct run {
    const char *mode, *program, *size;
    char file[512]; /* of the program */
};

static const char *size; /* of every program, NULL: each one's own */

/* Starts LuaJIT with the library; what it says goes to |out| and |err|. */
static pid_t start(struct run *r, int out, int err)
{
    char *argv[] = {"luajit", r->file, (char *)(uintptr_t)r->size, NULL};
    posix_spawn_file_actions_t files;
    pid_t pid = -1;

    setenv("WX_MODE", r->mode, 1);
    setenv("LD_PRELOAD", BENCH_JIT_PRELOAD, 1);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&files, err, STDERR_FILENO);
    if (posix_spawnp(&pid, argv[0], &files, NULL, argv, environ) != 0) {
        pid = -1;
    }
    posix_spawn_file_actions_destroy(&files);
    unsetenv("LD_PRELOAD");
    return pid;
}

static double cpu_ns(const struct rusage *u)
{
    return (double)(u->ru_utime.tv_sec + u->ru_stime.tv_sec) * 1e9 +
           (double)(u->ru_utime.tv_usec + u->ru_stime.tv_usec) * 1e3;
}

static int temporary(void)
{
    char name[] = "/tmp/mpk-bench-jit.XXXXXX";
    int fd = mkostemp(name, O_CLOEXEC);

    if (fd < 0) {
        perror(name);
        exit(1);
    }
    unlink(name);
    return fd;
}

/* A program that prints something else than it did without W^X has not run. */
static bool same_output(const struct run *r, int out)
{
    static char first[64][256];
    static const char *of[64];
    char text[256] = "";
    size_t i = 0;

    if (pread(out, text, sizeof(text) - 1, 0) < 0) {
        return false;
    }
    while (of[i] != NULL && strcmp(of[i], r->program) != 0) {
        i++;
    }
    if (of[i] == NULL) {
        of[i] = r->program;
        memcpy(first[i], text, sizeof(text));
    }
    return strcmp(first[i], text) == 0;
}

static double run(struct way *w)
{
    int out = temporary(), err = temporary(), status = -1;
    struct run *r = w->arg;
    struct rusage u;
    pid_t pid = start(r, out, err);
    double ns = -1;

    if (pid < 0) {
        w->why = "luajit cannot be started (Debian: luajit)";
    } else if (wait4(pid, &status, 0, &u) != pid || status != 0) {
        w->why = WIFEXITED(status) && WEXITSTATUS(status) == REFUSED
                     ? "needs protection keys"
                     : "the program failed";
    } else if (!same_output(r, out)) {
        w->why = "the program computed something else";
    } else {
        ns = cpu_ns(&u);
    }
    close(out);
    close(err);
    return ns;
}

/* How often the program asks for other rights to its code cache. */
static void count_changes(struct rows *rows, struct run *r)
{
    int out = temporary(), err = temporary();
    char text[256] = "";
    pid_t pid;

    setenv("WX_STATS", "1", 1);
    pid = start(r, out, err);
    unsetenv("WX_STATS");
    if (pid > 0 && waitpid(pid, NULL, 0) == pid &&
        pread(err, text, sizeof(text) - 1, 0) > 0) {
        text[strcspn(text, "\n")] = '\0';
        fprintf(rows->csv, "# %s: %s\n", r->program, text);
    }
    close(out);
    close(err);
}

static void run_program(struct rows *rows, const char *program)
{
    static const char *const modes[] = {"none", "mprotect", "mpk"};
    struct run runs[3];
    struct way ways[3];

    for (int i = 0; i < 3; i++) {
        runs[i] =
            (struct run){.mode = modes[i], .program = program, .size = size};
        snprintf(runs[i].file, sizeof(runs[i].file), "%s/%s.lua",
                 BENCH_JIT_PROGRAMS, program);
        ways[i] =
            (struct way){.name = modes[i], .measure = run, .arg = &runs[i]};
    }
    count_changes(rows, &runs[0]);
    rows_case(rows, program, ways, 3);
}

static bool own_option(const char *name, const char *value)
{
    size = value;
    return strcmp(name, "--size") == 0;
}

int main(int argc, char **argv)
{
    struct rows rows = {
        .bench = "jit", .baseline = "none", .rounds = 15, .batch_ms = 1};

    rows_options(&rows, argc, argv, own_option,
                 "  --size N        given to every program\n");
    stats_start();
    rows_head(&rows, "# time: CPU of a process\n");
    for (size_t i = 0; i < sizeof(programs) / sizeof(*programs); i++) {
        if (rows_wants(&rows, programs[i])) {
            run_program(&rows, programs[i]);
        }
    }
    return rows_close(&rows);
}
