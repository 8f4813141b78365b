/*
 * gate.c - what does an entry into the domain cost, beside other ways to cross
 * a border?
 *
 *   gate [mpk | mprotect | none] [OPTION VALUE]...
 *
 * Without a backend: mpk where the CPU has protection keys, else none, which
 * has all of the gate but the WRPKRU pair. Without options it prints cycles of
 * the TSC for one call, the median and the 99th percentile over batches, and
 * the median as a multiple of the WRPKRU pair's where there is one. With
 * options, those of the other benchmarks, it prints their CSV: nanoseconds, all
 * ways in turn, as a ratio to a system call.
 */
#include "rows.h"
#include "stats.h"

#include "../mpkcore/internal.h"
#include "../mpkcore/x86_64/cpu.h"

#include <mpkcore/core.h>
#include <mpkcore/gate.h>

#include <gnu/libc-version.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>
#include <x86intrin.h>

#define BATCHES 2000
#define WARM_UP 200
#define FRAME 256

enum { OP_LIGHT = MPK_ENTRY_FIRST, OP_LIGHT_FRAME, OP_STACK, OP_STACK_FRAME };

static int64_t empty_stub(void *frame)
{
    return frame != NULL;
}

static const struct mpk_entry entries[] = {
    MPK_CORE_ENTRIES,
    {empty_stub, 0, MPK_KIND_LIGHT},
    {empty_stub, FRAME, MPK_KIND_LIGHT},
    {empty_stub, 0, MPK_KIND_STACK},
    {empty_stub, FRAME, MPK_KIND_STACK},
};

/* Results come here, so that the calls stay. */
static volatile int64_t sink;

static char frame[FRAME];
static void *page;
static int peer[2] = {-1, -1};

/* ---- what is measured -------------------------------------------------- */

__attribute__((noinline)) static int64_t empty(void *p)
{
    __asm__ volatile("" ::"r"(p) : "memory");
    return 1;
}

static void call_empty(void)
{
    sink = empty(frame);
}

static void call_getppid(void)
{
    sink = syscall(SYS_getppid);
}

/* Closes nothing and opens nothing: it writes back what is there. */
static void call_wrpkru_pair(void)
{
    uint32_t rights = cpu_pkru();

    for (int i = 0; i < 2; i++) {
        __asm__ volatile("wrpkru" ::"a"(rights), "c"(0), "d"(0) : "memory");
    }
}

static void call_gate_light(void)
{
    sink = mpk_call(OP_LIGHT, NULL);
}

static void call_gate_light_frame(void)
{
    sink = mpk_call(OP_LIGHT_FRAME, frame);
}

static void call_gate_stack(void)
{
    sink = mpk_call(OP_STACK, NULL);
}

static void call_gate_stack_frame(void)
{
    sink = mpk_call(OP_STACK_FRAME, frame);
}

/* The gate by itself, without what comes before and after it outside: the
 * signal mask above all. This program has no handlers. */
static void call_gate_unmasked(void)
{
    sink = mpk_gate(OP_STACK, NULL, 0).value;
}

static void call_gate_unmasked_frame(void)
{
    sink = mpk_gate(OP_STACK_FRAME, frame, 0).value;
}

static void call_mprotect_pair(void)
{
    sink = mprotect(page, 4096, PROT_READ | PROT_WRITE);
    *(volatile char *)page = 1;
    sink = mprotect(page, 4096, PROT_NONE);
}

static void call_round_trip(void)
{
    char c = 1;

    if (write(peer[0], &c, 1) != 1 || read(peer[0], &c, 1) != 1) {
        perror("round trip");
        exit(1);
    }
}

/* The first is what the others are compared with in CSV. */
static const struct kind {
    const char *name;
    void (*what)(void);
    unsigned calls; /* in a batch */
    enum { ALWAYS, KEYS, UNMASKED } needs;
} kinds[] = {
    {"getppid", call_getppid, 100, ALWAYS},
    {"wrpkru_pair", call_wrpkru_pair, 200, KEYS},
    {"empty_call", call_empty, 1000, ALWAYS},
    {"gate_light", call_gate_light, 100, ALWAYS},
    {"gate_light_256_byte_frame", call_gate_light_frame, 100, ALWAYS},
    {"gate_unmasked", call_gate_unmasked, 100, UNMASKED},
    {"gate_unmasked_256_byte_frame", call_gate_unmasked_frame, 100, UNMASKED},
    {"gate_stack", call_gate_stack, 50, ALWAYS},
    {"gate_stack_256_byte_frame", call_gate_stack_frame, 50, ALWAYS},
    {"mprotect_pair", call_mprotect_pair, 20, ALWAYS},
    {"ipc_round_trip", call_round_trip, 2, ALWAYS},
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static const char *why_not(const struct kind *k)
{
    if (k->needs == KEYS && !cpu_has_ospke()) {
        return "needs protection keys";
    }
    return k->needs == UNMASKED && mpk_ro.backend == MPK_BACKEND_MPROTECT
               ? "with mprotect the gate does more"
               : NULL;
}

/* ---- measuring ---------------------------------------------------------- */

static double pair_cycles;

static uint64_t now(void)
{
    unsigned aux;
    uint64_t t = __rdtscp(&aux);

    _mm_lfence();
    return t;
}

static double batch(void (*what)(void), unsigned calls)
{
    uint64_t start = now();

    for (unsigned i = 0; i < calls; i++) {
        what();
    }
    return (double)(now() - start) / calls;
}

/* Returns the median. */
static double run(const char *name, void (*what)(void), unsigned calls)
{
    static double v[BATCHES];
    double p50, p99;

    for (unsigned i = 0; i < WARM_UP; i++) {
        batch(what, calls);
    }
    for (unsigned i = 0; i < BATCHES; i++) {
        v[i] = batch(what, calls);
    }
    p50 = stats_quantile(v, BATCHES, 0.5);
    p99 = stats_quantile(v, BATCHES, 0.99);
    printf("%s,%u,%.1f,%.1f,", name, BATCHES * calls, p50, p99);
    if (pair_cycles > 0) {
        printf("%.2f", p50 / pair_cycles);
    }
    puts("");
    return p50;
}

/* ---- the other process -------------------------------------------------- */

static pid_t start_peer(void)
{
    pid_t pid;
    char c;

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, peer) != 0) {
        return -1;
    }
    pid = fork();
    if (pid == 0) {
        close(peer[0]);
        while (read(peer[1], &c, 1) == 1 && write(peer[1], &c, 1) == 1) {
        }
        _exit(0);
    }
    close(peer[1]);
    return pid;
}

/* ---- what it ran on ------------------------------------------------------ */

static void print_cpu(void)
{
    char line[256];
    FILE *in = fopen("/proc/cpuinfo", "r");

    while (in != NULL && fgets(line, sizeof(line), in) != NULL) {
        if (strncmp(line, "model name", 10) == 0) {
            printf("# cpu: %s", strchr(line, ':') + 2);
            break;
        }
    }
    if (in != NULL) {
        fclose(in);
    }
}

static void print_header(const char *backend)
{
    struct utsname u;

    uname(&u);
    print_cpu();
    printf("# kernel: %s, libc: glibc %s, compiler: %s\n", u.release,
           gnu_get_libc_version(), __VERSION__);
    printf("# backend: %s, protection keys: %s, CPUs: %ld\n", backend,
           cpu_has_ospke() ? "yes" : "no", sysconf(_SC_NPROCESSORS_ONLN));
    puts("what,calls,p50_cycles,p99_cycles,ratio_to_wrpkru_pair");
}

/* ---- CSV as the other benchmarks have it --------------------------------- */

static struct rows rows = {
    .bench = "gate", .baseline = "getppid", .rounds = 201, .batch_ms = 0.1};

/* The calls of a kind take some 10 us. */
static double measure(struct way *w)
{
    const struct kind *k = w->arg;
    unsigned calls = 1 + (unsigned)(k->calls * 10 * rows.batch_ms);
    uint64_t from = stats_wall_ns();

    for (unsigned i = 0; i < calls; i++) {
        k->what();
    }
    return (double)(stats_wall_ns() - from) / calls;
}

static int write_rows(const char *backend)
{
    struct way ways[KINDS];
    char note[64];

    for (size_t i = 0; i < KINDS; i++) {
        ways[i] = (struct way){kinds[i].name, why_not(&kinds[i]), measure,
                               (void *)(uintptr_t)&kinds[i]};
    }
    snprintf(note, sizeof(note), "# backend: %s\n", backend);
    rows_head(&rows, note);
    if (rows_wants(&rows, "entry")) {
        rows_case(&rows, "entry", ways, KINDS);
    }
    return rows_close(&rows);
}

/* ---- main ---------------------------------------------------------------- */

static int make_domain(const char *name)
{
    static const char *const names[] = {"mpk", "mprotect", "none"};
    struct mpk_config c = {.entries = entries,
                           .n_entries = sizeof(entries) / sizeof(entries[0])};
    unsigned backend = 0;
    int err;

    while (backend < 3 && strcmp(name, names[backend]) != 0) {
        backend++;
    }
    if (backend == 3) {
        fputs("usage: gate [mpk | mprotect | none] [OPTION VALUE]...\n",
              stderr);
        return 0;
    }
    c.backend = (enum mpk_backend)backend;
    err = mpk_core_init(&c);
    if (err != 0) {
        fprintf(stderr, "gate: %s\n", mpk_core_strerror(err));
    }
    return err == 0;
}

static void print_ticks(const char *backend)
{
    print_header(backend);
    /* First what the others are multiples of. */
    for (size_t i = 0; i < KINDS; i++) {
        if (kinds[i].needs == KEYS && why_not(&kinds[i]) == NULL) {
            pair_cycles = run(kinds[i].name, kinds[i].what, kinds[i].calls);
        }
    }
    for (size_t i = 0; i < KINDS; i++) {
        if (kinds[i].needs != KEYS && why_not(&kinds[i]) == NULL) {
            run(kinds[i].name, kinds[i].what, kinds[i].calls);
        }
    }
}

int main(int argc, char **argv)
{
    const char *backend = cpu_has_ospke() ? "mpk" : "none";
    int status = 0;
    pid_t pid;

    if (argc > 1 && argv[1][0] != '-') {
        backend = argv[1];
        argv++;
        argc--;
    }
    if (argc > 1) {
        rows_options(&rows, argc, argv, NULL, "");
    }
    pid = start_peer();
    page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pid < 0 || page == MAP_FAILED || !make_domain(backend)) {
        return 1;
    }
    if (argc > 1) {
        status = write_rows(backend);
    } else {
        print_ticks(backend);
    }
    close(peer[0]);
    waitpid(pid, NULL, 0);
    return status;
}
