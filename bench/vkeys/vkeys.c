/*
 * vkeys.c - what do virtual keys cost, beside what they are made of?
 *
 * Cases: "hit" and "miss" are mpk_begin and mpk_end of a group that has a
 * protection key, beside two WRPKRU with their checks; and of one that has
 * none, beside the two pkey_mprotect that it takes, and beside all system calls
 * that it makes ("calls"). They are of one page; "hit-Pp" and "miss-Pp" of P
 * pages, "-2m" of one page of 2 MiB, of which the kernel must have 24 free
 * (vm.nr_hugepages). "mprotect-Pp-Tt" changes the rights of all T threads
 * to P pages, beside mprotect; "signals" is what a signal to each thread takes
 * instead. What needs protection keys is "n/a" where there are none; an
 * emulator's times mean nothing and are not taken (MPK_VM).
 */
#include "../../mpkcore/vkey.h"

#include "../groups.h"
#include "../rows.h"
#include "../stats.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define MAX_THREADS 16
#define GROUPS 64
#define SOME_GROUPS 20
#define HUGE_LEN ((size_t)2 << 20)
#define HUGE_2MB (21 << 26) /* MAP_HUGE_2MB */

static struct rows rows = {
    .bench = "vkeys", .baseline = "bare", .rounds = 41, .batch_ms = 1};

/* What is measured, and how often in a batch of one millisecond. */
struct repeated {
    void (*one)(void);
    unsigned calls;
};

/* An even number: what is there and back is left as it was. */
static double measure(struct way *w)
{
    const struct repeated *r = w->arg;
    unsigned calls = 2 * (unsigned)(r->calls * rows.batch_ms / 2 + 1);
    uint64_t from = stats_wall_ns();

    for (unsigned i = 0; i < calls; i++) {
        r->one();
    }
    return (double)(stats_wall_ns() - from) / calls;
}

/* ---- begin and end ------------------------------------------------------- */

/* A group, and how many there are: more than there are keys. */
struct size {
    const char *suffix; /* of the case */
    size_t len;
    unsigned groups;
    int flags;
};

static const struct size sizes[] = {
    {"", 4096, GROUPS, 0},
    {"-10p", 10 * 4096, SOME_GROUPS, 0},
    {"-100p", 100 * 4096, SOME_GROUPS, 0},
    {"-1000p", 1000 * 4096, SOME_GROUPS, 0},
    {"-2m", HUGE_LEN, SOME_GROUPS, MAP_HUGETLB | HUGE_2MB},
};

static const struct size *size;
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
    groups_must(mpk_begin(vkey[0], RW), "mpk_begin");
    mpk_end(vkey[0]);
}

static unsigned next;

static void miss_pair(void)
{
    next = (next + 1) % size->groups;
    groups_must(mpk_begin(vkey[next], RW), "mpk_begin");
    mpk_end(vkey[next]);
}

static void pkey_mprotect_pair(void)
{
    static unsigned at;

    /* One range gives the key up and another one gets it. */
    syscall(SYS_pkey_mprotect, raw + at * 2 * size->len, size->len, PROT_NONE,
            0);
    at = !at;
    syscall(SYS_pkey_mprotect, raw + at * 2 * size->len, size->len, RW,
            raw_key);
}

/* All system calls of a miss: signals are blocked in a gate, and the kernel
 * says which thread asks. */
static void calls_of_a_miss(void)
{
    static const uint64_t all = ~(uint64_t)0;
    uint64_t old;

    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &old, sizeof(old));
    syscall(SYS_gettid);
    pkey_mprotect_pair();
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &old, NULL, sizeof(old));
}

/* All of it is there, in pages of the kind that the case names. */
static void fill(char *p, size_t len)
{
    if (size->flags == 0) {
        madvise(p, len, MADV_NOHUGEPAGE);
    }
    memset(p, 1, len);
}

static void make_groups(void)
{
    next = size->groups - 1; /* of those made last some have a key yet */
    for (unsigned i = 0; i < size->groups; i++) {
        groups_must(mpk_mmap(&vkey[i], &base[i], size->len, RW,
                             ANON | size->flags, -1, 0),
                    "mpk_mmap");
        groups_must(mpk_begin(vkey[i], RW), "mpk_begin");
        fill(base[i], size->len);
        mpk_end(vkey[i]);
    }
    raw = mmap(NULL, 4 * size->len, RW, ANON | size->flags, -1, 0);
    if (raw == MAP_FAILED) {
        groups_must(-errno, "mmap");
    }
    fill(raw, 4 * size->len);
}

static void free_groups(void)
{
    for (unsigned i = 0; i < size->groups; i++) {
        groups_must(mpk_munmap(vkey[i]), "mpk_munmap");
    }
    munmap(raw, 4 * size->len);
}

/* The kernel takes these aside when they are asked for, not when they are
 * used. */
static const char *why_not(const char *no_keys)
{
    size_t len = (size->groups + 4) * size->len;
    void *p;

    if (no_keys != NULL || size->flags == 0) {
        return no_keys;
    }
    p = mmap(NULL, len, RW, ANON | size->flags, -1, 0);
    if (p == MAP_FAILED) {
        return "needs 24 free pages of 2 MiB: sysctl vm.nr_hugepages=24";
    }
    munmap(p, len);
    return NULL;
}

static void one_group_size(const char *no_keys)
{
    const char *why = why_not(no_keys);
    struct repeated bare_hit = {write_pair, 10000}, hit = {hit_pair, 10000};
    unsigned calls_of = size->len > 256 * 4096 && size->flags == 0 ? 8 : 200;
    struct repeated bare_miss = {pkey_mprotect_pair, calls_of},
                    calls = {calls_of_a_miss, calls_of},
                    miss = {miss_pair, calls_of};
    struct way hits[] = {{"bare", why, measure, &bare_hit},
                         {"mpk", why, measure, &hit}};
    struct way misses[] = {{"bare", why, measure, &bare_miss},
                           {"calls", why, measure, &calls},
                           {"mpk", why, measure, &miss}};
    char hit_name[32], miss_name[32];

    snprintf(hit_name, sizeof(hit_name), "hit%s", size->suffix);
    snprintf(miss_name, sizeof(miss_name), "miss%s", size->suffix);
    if (!rows_wants(&rows, hit_name) && !rows_wants(&rows, miss_name)) {
        return;
    }
    if (why == NULL) {
        make_groups();
    }
    if (rows_wants(&rows, hit_name)) {
        rows_case(&rows, hit_name, hits, 2);
    }
    if (rows_wants(&rows, miss_name)) {
        rows_case(&rows, miss_name, misses, 3);
    }
    if (why == NULL) {
        free_groups();
    }
}

static void begin_and_end(const char *no_keys)
{
    if (no_keys == NULL) {
        raw_key = (int)syscall(SYS_pkey_alloc, 0, 0);
        if (raw_key < 0) {
            groups_must(-errno, "pkey_alloc");
        }
    }
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        size = &sizes[i];
        one_group_size(no_keys);
    }
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
static char *range;
static mpk_vkey_t range_key;

/* Each call changes something, so each way goes by the rights of its own. */
static void mprotect_flip(void)
{
    static int prot = RW;

    prot = prot == RW ? PROT_READ : RW;
    groups_must(mprotect(range, range_len, prot) == 0 ? 0 : -errno, "mprotect");
}

static void mpk_mprotect_flip(void)
{
    static int prot = RW;

    prot = prot == RW ? PROT_READ : RW;
    groups_must(mpk_mprotect(range_key, prot), "mpk_mprotect");
}

static void one_size(size_t pages, unsigned threads)
{
    unsigned calls = pages < 1000 ? 20 : 4;
    struct repeated bare = {mprotect_flip, calls},
                    mpk = {mpk_mprotect_flip, calls}, all = {signal_all, 5};
    struct way ways[] = {{"bare", NULL, measure, &bare},
                         {"mpk", NULL, measure, &mpk},
                         {"signals", NULL, measure, &all}};
    char name[64];
    void *p = NULL;

    snprintf(name, sizeof(name), "mprotect-%zup-%ut", pages, threads + 1);
    if (!rows_wants(&rows, name)) {
        return;
    }
    range_len = pages * 4096;
    range = mmap(NULL, range_len, RW, ANON, -1, 0);
    memset(range, 1, range_len);
    groups_must(mpk_mmap(&range_key, &p, range_len, RW, ANON, -1, 0),
                "mpk_mmap");
    groups_must(mpk_mprotect(range_key, RW), "mpk_mprotect");
    memset(p, 1, range_len);
    rows_case(&rows, name, ways, threads > 0 ? 3 : 2);
    munmap(range, range_len);
    groups_must(mpk_munmap(range_key), "mpk_munmap");
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

int main(int argc, char **argv)
{
    const char *why;
    bool keys = false;

    rows_options(&rows, argc, argv, NULL, "");
    stats_start();
    if (getenv("MPK_VM") == NULL) {
        keys = groups_start(&why);
    } else {
        groups_start_without(MPK_BACKEND_MPROTECT);
    }
    rows_head(&rows, keys ? NULL
                          : "# without protection keys: mpk_mprotect goes "
                            "through a gate without WRPKRU\n");
    begin_and_end(keys ? NULL : "needs protection keys");
    rights_of_all();
    return rows_close(&rows);
}
