/*
 * vkeys.c - what do virtual keys cost, beside what they are made of?
 *
 * Usage: bench_vkeys [BATCHES]. Prints CSV: each line is one thing measured,
 * and its ratio to the line that is its baseline, in the same run. What needs
 * protection keys is "n/a" where there are none; an emulator's times mean
 * nothing and are not taken (MPK_VM).
 */
#include "../../mpkcore/vkey.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define MAX_BATCHES 1000
#define MAX_THREADS 16
#define GROUPS 64

static unsigned batches = 200;

struct result {
    double p50, p99; /* ns of one call */
};

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* |calls| calls in each batch; the first tenth of the batches warms up. */
static struct result measure(void (*one)(void), unsigned calls)
{
    static double v[MAX_BATCHES];
    unsigned n = 0;

    for (unsigned b = 0; b < batches + batches / 10; b++) {
        uint64_t from = now_ns();

        for (unsigned i = 0; i < calls; i++) {
            one();
        }
        if (b >= batches / 10) {
            v[n++] = (double)(now_ns() - from) / calls;
        }
    }
    qsort(v, n, sizeof(*v), by_value);
    return (struct result){v[n / 2], v[n * 99 / 100]};
}

static void say(const char *name, size_t pages, unsigned threads,
                const struct result *r, const struct result *base)
{
    printf("%s,%zu,%u,%.1f,%.1f,%.3f\n", name, pages, threads, r->p50, r->p99,
           r->p50 / base->p50);
    fflush(stdout);
}

static void say_none(const char *name)
{
    printf("%s,1,1,n/a,n/a,n/a\n", name);
}

static void must(int err, const char *what)
{
    if (err != 0) {
        fprintf(stderr, "bench_vkeys: %s: %s\n", what, strerror(-err));
        exit(1);
    }
}

/* ---- begin and end ------------------------------------------------------- */

static mpk_vkey_t vkey[GROUPS];
static void *base[GROUPS];

static char *raw;
static int raw_key;

static void write_pair(void)
{
    uint32_t bits = VK_CLOSED << (2 * raw_key);

    mpk_rights_set(bits, 0);
    mpk_rights_set(bits, bits);
}

static void hit_pair(void)
{
    must(mpk_begin(vkey[0], RW), "mpk_begin");
    mpk_end(vkey[0]);
}

static unsigned next;

static void miss_pair(void)
{
    next = (next + 1) % GROUPS;
    must(mpk_begin(vkey[next], RW), "mpk_begin");
    mpk_end(vkey[next]);
}

static void pkey_mprotect_pair(void)
{
    static unsigned at;

    /* One page gives the key up and another one gets it. */
    syscall(SYS_pkey_mprotect, raw + at * 8192, 4096, PROT_NONE, 0);
    at = !at;
    syscall(SYS_pkey_mprotect, raw + at * 8192, 4096, RW, raw_key);
}

static void begin_and_end(void)
{
    struct result r, bare;

    for (unsigned i = 0; i < GROUPS; i++) {
        must(mpk_mmap(&vkey[i], &base[i], 4096, RW, ANON, -1, 0), "mpk_mmap");
        must(mpk_begin(vkey[i], RW), "mpk_begin");
        *(char *)base[i] = 1;
        mpk_end(vkey[i]);
    }
    raw = mmap(NULL, 16384, RW, ANON, -1, 0);
    memset(raw, 1, 16384);
    raw_key = (int)syscall(SYS_pkey_alloc, 0, 0);
    if (raw_key < 0) {
        must(-errno, "pkey_alloc");
    }
    bare = measure(write_pair, 10000);
    say("wrpkru_pair_checked", 1, 1, &bare, &bare);
    r = measure(hit_pair, 10000);
    say("begin_end_hit", 1, 1, &r, &bare);
    bare = measure(pkey_mprotect_pair, 200);
    say("pkey_mprotect_pair", 1, 1, &bare, &bare);
    r = measure(miss_pair, 200);
    say("begin_end_miss", 1, 1, &r, &bare);
}

/* ---- rights of all threads ----------------------------------------------- */

static pthread_t thread[MAX_THREADS];
static pid_t tid[MAX_THREADS];
static _Atomic unsigned n_threads, acks;
static int hold[2];

static void on_signal(int signo)
{
    (void)signo;
    atomic_fetch_add(&acks, 1);
}

/* Blocked in a system call, as most threads are. */
static void *sit(void *arg)
{
    char c;

    tid[(uintptr_t)arg] = (pid_t)syscall(SYS_gettid);
    atomic_fetch_add(&n_threads, 1);
    while (read(hold[0], &c, 1) < 0 && errno == EINTR) {
    }
    return NULL;
}

static void threads_up_to(unsigned n)
{
    while (atomic_load(&n_threads) < n) {
        unsigned i = atomic_load(&n_threads);

        pthread_create(&thread[i], NULL, sit, (void *)(uintptr_t)i);
        while (atomic_load(&n_threads) == i) {
            usleep(100);
        }
    }
}

/* What the alternative would do, less the change of PKRU in each handler. */
static void signal_all(void)
{
    unsigned n = atomic_load(&n_threads);

    atomic_store(&acks, 0);
    for (unsigned i = 0; i < n; i++) {
        syscall(SYS_tgkill, getpid(), tid[i], SIGRTMIN + 3);
    }
    syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
    while (atomic_load(&acks) < n) {
        sched_yield();
    }
}

static size_t range_len;
static mpk_vkey_t range_key;
static int flip;

static void mprotect_flip(void)
{
    flip = !flip;
    mprotect(raw, range_len, flip ? PROT_READ : RW);
}

static void mpk_mprotect_flip(void)
{
    flip = !flip;
    must(mpk_mprotect(range_key, flip ? PROT_READ : RW), "mpk_mprotect");
}

static void one_size(size_t pages, unsigned threads)
{
    struct result r, bare;
    void *p = NULL;

    range_len = pages * 4096;
    raw = mmap(NULL, range_len, RW, ANON, -1, 0);
    memset(raw, 1, range_len);
    must(mpk_mmap(&range_key, &p, range_len, RW, ANON, -1, 0), "mpk_mmap");
    must(mpk_mprotect(range_key, RW), "mpk_mprotect");
    memset(p, 1, range_len);
    bare = measure(mprotect_flip, 20);
    say("mprotect", pages, threads + 1, &bare, &bare);
    r = measure(mpk_mprotect_flip, 20);
    say("mpk_mprotect", pages, threads + 1, &r, &bare);
    if (threads > 0) {
        r = measure(signal_all, 5);
        say("signal_all", pages, threads + 1, &r, &bare);
    }
    munmap(raw, range_len);
    must(mpk_munmap(range_key), "mpk_munmap");
}

static void rights_of_all(void)
{
    static const size_t pages[] = {1, 10, 100, 1000};
    static const unsigned threads[] = {0, 1, 3, 7, 15};
    struct sigaction a = {.sa_handler = on_signal, .sa_flags = SA_RESTART};

    sigaction(SIGRTMIN + 3, &a, NULL);
    if (pipe(hold) != 0) {
        exit(1);
    }
    for (unsigned t = 0; t < sizeof(threads) / sizeof(*threads); t++) {
        threads_up_to(threads[t]);
        for (unsigned i = 0; i < sizeof(pages) / sizeof(*pages); i++) {
            one_size(pages[i], threads[t]);
        }
    }
}

/* ---- main ---------------------------------------------------------------- */

/* Without keys the gate is measured without its WRPKRU, and mpk_mprotect with
 * what it does to pages. */
static const struct mpk_entry entries[] = {MPK_CORE_ENTRIES, MPK_VKEY_ENTRY};

static int start_without_keys(void)
{
    static const struct mpk_params params = {.backend = MPK_BACKEND_MPROTECT};
    struct mpk_config config = {.backend = MPK_BACKEND_NONE,
                                .memory = MPK_MEMORY_ANONYMOUS,
                                .entries = entries,
                                .n_entries = 3};
    int err = mpk_core_init(&config);

    return err != 0 ? err : vk_init_with(&params, MPK_BACKEND_MPROTECT);
}

int main(int argc, char **argv)
{
    static const char *const needs_keys[] = {
        "wrpkru_pair_checked", "begin_end_hit", "pkey_mprotect_pair",
        "begin_end_miss"};
    struct utsname u;
    int keys = getenv("MPK_VM") == NULL && mpk_init(NULL) == 0;

    if (argc > 1) {
        batches = (unsigned)atoi(argv[1]);
        batches = batches > 10 && batches < 900 ? batches : 200;
    }
    uname(&u);
    printf("# kernel %s, %ld CPUs, %s\n", u.release,
           sysconf(_SC_NPROCESSORS_ONLN),
           keys ? "protection keys"
                : "no protection keys: n/a; mpk_mprotect "
                  "goes through a gate without WRPKRU");
    puts("name,pages,threads,p50_ns,p99_ns,ratio");
    if (keys) {
        begin_and_end();
    } else {
        must(start_without_keys(), "start");
        for (unsigned i = 0; i < 4; i++) {
            say_none(needs_keys[i]);
        }
    }
    rights_of_all();
    return 0;
}
