/*
 * gate.c - what does an entry into the domain cost, beside other ways to cross
 * a border?
 *
 * Each is a way to do nothing, and the baseline is the WRPKRU pair where the
 * CPU has protection keys, else getppid. --backend is mpk where there are keys,
 * else none, which has all of the gate but the WRPKRU pair.
 */
#include "rows.h"
#include "stats.h"

#include "../mpkcore/x86_64/cpu.h"

#include <mpkcore/core.h>
#include <mpkcore/gate.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

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

/* ---- main ---------------------------------------------------------------- */

static struct rows rows = {.bench = "gate", .rounds = 401, .batch_ms = 0.1};

static const char *backend;

static bool start_domain(void)
{
    static const char *const names[] = {"mpk", "mprotect", "none"};
    struct mpk_config c = {.entries = entries,
                           .n_entries = sizeof(entries) / sizeof(entries[0])};
    unsigned i = 0;
    int err;

    while (i < 3 && strcmp(backend, names[i]) != 0) {
        i++;
    }
    if (i == 3) {
        fprintf(stderr, "no such backend: %s\n", backend);
        return false;
    }
    c.backend = (enum mpk_backend)i;
    err = mpk_core_init(&c);
    if (err != 0) {
        fprintf(stderr, "gate: %s\n", mpk_core_strerror(err));
    }
    return err == 0;
}

static void head(void)
{
    char notes[160];

    snprintf(notes, sizeof(notes),
             "# backend: %s\n# TSC: %.3f GHz, so many cycles are a ns\n",
             backend, stats_tsc_ghz());
    rows_head(&rows, notes);
}

static void crossings(bool keys)
{
    /* What backend mprotect calls in each entry takes a hundred times longer.
     */
    unsigned gate = strcmp(backend, "mprotect") == 0 ? 50 : 10000;
    unsigned stack = strcmp(backend, "mprotect") == 0 ? 50 : 500;
    struct repeated pair = {&rows, call_wrpkru_pair, 20000},
                    call = {&rows, call_empty, 500000},
                    getppid = {&rows, call_getppid, 5000},
                    light = {&rows, call_gate_light, gate},
                    light_frame = {&rows, call_gate_light_frame, gate},
                    heavy = {&rows, call_gate_stack, stack},
                    heavy_frame = {&rows, call_gate_stack_frame, stack},
                    mprotects = {&rows, call_mprotect_pair, 100},
                    peers = {&rows, call_round_trip, 50};
    struct way ways[] = {
        {"wrpkru_pair", keys ? NULL : "needs protection keys", rows_repeated,
         &pair},
        {"getppid", NULL, rows_repeated, &getppid},
        {"empty_call", NULL, rows_repeated, &call},
        {"gate_light", NULL, rows_repeated, &light},
        {"gate_light_256_byte_frame", NULL, rows_repeated, &light_frame},
        {"gate_stack", NULL, rows_repeated, &heavy},
        {"gate_stack_256_byte_frame", NULL, rows_repeated, &heavy_frame},
        {"mprotect_pair", NULL, rows_repeated, &mprotects},
        {"ipc_round_trip", NULL, rows_repeated, &peers}};

    if (!keys) { /* the baseline goes first */
        struct way first = ways[0];

        ways[0] = ways[1];
        ways[1] = first;
    }
    if (rows_wants(&rows, "crossing")) {
        rows_case(&rows, "crossing", ways, sizeof(ways) / sizeof(ways[0]));
    }
}

static bool own_option(const char *name, const char *value)
{
    backend = value;
    return strcmp(name, "--backend") == 0;
}

int main(int argc, char **argv)
{
    bool keys = cpu_has_ospke();
    pid_t pid;
    int status;

    backend = keys ? "mpk" : "none";
    rows.baseline = keys ? "wrpkru_pair" : "getppid";
    rows_options(&rows, argc, argv, own_option,
                 "  --backend NAME  mpk, mprotect or none\n");
    stats_start();
    pid = start_peer();
    page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pid < 0 || page == MAP_FAILED || !start_domain()) {
        return 1;
    }
    head();
    crossings(keys);
    status = rows_close(&rows);
    close(peer[0]);
    waitpid(pid, NULL, 0);
    return status;
}
