/*
 * Page groups in the hands of a program that is odd, or unlucky: what fails
 * leaves nothing behind, and what is given up is given up.
 *
 * Seen to fail, each with the code as it was: see the commits.
 */
#include "core_test.h"

#include "../../mpkcore/vkey.h"

#include <mpkcore/mpk.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define MIB ((size_t)1 << 20)

static void start(const struct setup *s)
{
    struct mpk_params params = {.backend = s->backend};

    if (mpk_init(&params) != 0) {
        _exit(1);
    }
    alarm(60);
}

static char *group(mpk_vkey_t *vkey, int prot)
{
    void *p = NULL;

    if (mpk_mmap(vkey, &p, 4096, prot, ANON, -1, 0) != 0) {
        _exit(1);
    }
    return p;
}

/* ---- groups that are given up -------------------------------------------- */

static void test_locked_pages_can_be_given_up(const struct setup *s)
{
    mpk_vkey_t vkey, next;
    char *p, *q;

    start(s);
    p = group(&vkey, RW);
    CHECK(mpk_begin(vkey, RW) == 0);
    strcpy(p, "secret");
    CHECK(mlock(p, 4096) == 0);
    CHECK(mpk_end(vkey) == 0);
    CHECK(mpk_munmap(vkey) == 0);
    q = group(&next, RW);
    CHECK(q == p);
    CHECK(mpk_begin(next, PROT_READ) == 0);
    CHECK(q[0] == 0);
    CHECK(mpk_end(next) == 0);
}

/* ---- what was asked of the kernel for a group ---------------------------- */

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102 /* Linux 6.13 */
#endif

/* Whether its pages go into a core dump, to a child, and so on. */
static void test_advice_ends_with_its_group(const struct setup *s)
{
    static const int advice[] = {
        MADV_DODUMP,     MADV_WIPEONFORK, MADV_DONTFORK,     MADV_MERGEABLE,
        MADV_SEQUENTIAL, MADV_RANDOM,     MADV_GUARD_INSTALL};
    char before[256], after[256];
    mpk_vkey_t vkey;
    char *p;

    start(s);
    p = group(&vkey, RW);
    CHECK(in_smaps(getpid(), p, "VmFlags:", before, sizeof(before)));
    for (size_t i = 0; i < COUNT_OF(advice); i++) {
        /* What this kernel does not know is nothing to be forgotten. */
        (void)madvise(p, 4096, advice[i]);
        CHECK(mpk_munmap(vkey) == 0);
        CHECK(group(&vkey, RW) == p);
        CHECK(in_smaps(getpid(), p, "VmFlags:", after, sizeof(after)));
        /* The kernel does not forget that there may have been guards. */
        CHECK(strcmp(before, after) == 0 || advice[i] == MADV_GUARD_INSTALL);
        CHECK(mpk_begin(vkey, RW) == 0 && writable(p));
        CHECK(mpk_end(vkey) == 0);
    }
}

static unsigned long locked_kib(void)
{
    FILE *f = fopen("/proc/self/status", "r");
    unsigned long kib = 0;
    char line[256];

    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        sscanf(line, "VmLck: %lu", &kib);
    }
    CHECK(f != NULL);
    if (f != NULL) {
        fclose(f);
    }
    return kib;
}

/* As mpkcore(3) says to lock memory: the kernel locks what is mapped anew. */
static void test_a_lock_ends_with_its_group(const struct setup *s)
{
    unsigned long before;
    mpk_vkey_t vkey;
    char *p;

    start(s);
    CHECK(mlockall(MCL_FUTURE) == 0);
    p = group(&vkey, RW);
    locked_kib(); /* which takes memory at first */
    before = locked_kib();
    CHECK(mpk_begin(vkey, RW) == 0 && mlock(p, 4096) == 0);
    CHECK(mpk_end(vkey) == 0);
    CHECK(locked_kib() == before + 4);
    CHECK(mpk_munmap(vkey) == 0);
    CHECK(locked_kib() == before);
}

/* ---- who has it open is gone --------------------------------------------- */

static mpk_vkey_t held;
static char *held_at;

static void *dies_with_it(void *tid)
{
    *(pid_t *)tid = (pid_t)syscall(SYS_gettid);
    CHECK(mpk_begin(held, RW) == 0);
    syscall(SYS_exit, 0); /* no destructor runs */
    return NULL;
}

static void hold_and_die(void)
{
    pid_t tid = 0;
    pthread_t t;

    CHECK(pthread_create(&t, NULL, dies_with_it, &tid) == 0);
    CHECK(pthread_join(t, NULL) == 0);
    /* What is waited for comes a little before its end. */
    while (syscall(SYS_tgkill, getpid(), tid, 0) == 0) {
        usleep(1000);
    }
}

static void test_a_dead_thread_keeps_no_group(const struct setup *s)
{
    start(s);
    held_at = group(&held, RW);
    hold_and_die();
    CHECK(mpk_mprotect(held, PROT_READ) == 0);
    CHECK(mpk_mprotect(held, PROT_NONE) == 0);
    hold_and_die();
    CHECK(mpk_munmap(held) == 0);
}

static bool was_readable, was_run;

static void late_destructor(void *unused)
{
    (void)unused;
    was_run = true;
    was_readable = readable(held_at);
}

static void *leaves_it_open(void *key)
{
    CHECK(pthread_setspecific(*(pthread_key_t *)key, "") == 0);
    CHECK(mpk_begin(held, RW) == 0);
    CHECK(readable(held_at));
    return NULL;
}

static void test_a_group_is_closed_when_its_pin_is_gone(const struct setup *s)
{
    pthread_key_t key;
    pthread_t t;

    start(s);
    /* Destructors run in the order in which the keys were made. */
    CHECK(pthread_key_create(&key, late_destructor) == 0);
    held_at = group(&held, RW);
    CHECK(pthread_create(&t, NULL, leaves_it_open, &key) == 0);
    CHECK(pthread_join(t, NULL) == 0);
    CHECK(was_run && !was_readable);
}

/* ---- handlers ------------------------------------------------------------ */

static _Atomic int handled;

static void begin_in_handler(int signo)
{
    (void)signo;
    CHECK(mpk_begin(held, RW) == 0);
    held_at[0]++;
    CHECK(mpk_end(held) == 0);
    handled++;
}

static void raise_it(void)
{
    raise(SIGUSR1);
}

static void *watch(void *unused)
{
    (void)unused;
    sleep(20);
    fprintf(stderr, "a handler waits for ever\n");
    _exit(1);
}

/* Whether its group has a protection key nobody knows: it may have to ask. */
static void
test_a_handler_may_begin_while_its_thread_forks(const struct setup *s)
{
    int status;
    pthread_t t;
    pid_t pid;

    /* The last one before the fork itself, and the first one after it. */
    CHECK(pthread_atfork(raise_it, raise_it, NULL) == 0);
    start(s);
    CHECK(signal(SIGUSR1, begin_in_handler) != SIG_ERR);
    CHECK(pthread_create(&t, NULL, watch, NULL) == 0);
    held_at = group(&held, RW);
    pid = fork();
    if (pid == 0) {
        _exit(failed_checks != 0 || mpk_begin(held, RW) != 0);
    }
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    CHECK(handled > 0);
}

/* ---- rights that mmap and mprotect know ---------------------------------- */

static void test_code_can_be_closed_to_readers(const struct setup *s)
{
    unsigned char *code;
    mpk_vkey_t vkey;

    start(s);
    code = (unsigned char *)group(&vkey, RW | PROT_EXEC);
    CHECK(mpk_begin(vkey, RW) == 0);
    memcpy(code, "\xb8\x2a\x00\x00\x00\xc3", 6); /* return 42 */
    CHECK(mpk_end(vkey) == 0);
    CHECK(mpk_mprotect(vkey, PROT_EXEC) == 0);
    CHECK(((int (*)(void))(uintptr_t)code)() == 42);
    CHECK(!readable(code));
    CHECK(mpk_mprotect(vkey, PROT_READ | PROT_EXEC) == 0);
    CHECK(readable(code));
    CHECK(mpk_mprotect(vkey, PROT_EXEC) == 0);
    CHECK(mpk_mprotect(vkey, PROT_NONE) == 0);
    CHECK(mpk_begin(vkey, RW) == 0);
    CHECK(readable(code));
    CHECK(mpk_end(vkey) == 0);
    CHECK(mpk_munmap(vkey) == 0);
}

static void test_a_group_does_not_grow(const struct setup *s)
{
    mpk_vkey_t vkey;
    void *p = NULL;

    start(s);
    CHECK(mpk_mmap(&vkey, &p, 4096, RW, ANON | MAP_GROWSDOWN, -1, 0) ==
          -EINVAL);
}

static void test_a_group_that_is_not_made_takes_no_row(const struct setup *s)
{
    struct mpk_stats stats;
    mpk_vkey_t vkey;
    void *p = NULL;
    size_t all;

    start(s);
    group(&vkey, RW);
    all = (size_t)(vk_ro.arena_end - vk_ro.arena);
    for (int i = 0; i < 1000; i++) {
        CHECK(mpk_mmap(&vkey, &p, all, RW, ANON, -1, 0) == -ENOMEM);
    }
    group(&vkey, RW);
    CHECK(mpk_stats_get(&stats) == 0);
    CHECK(stats.groups == 2 && stats.table_bytes < 1000);
}

/* Where there have been as many groups as there can be, the rows of those that
 * were given up serve all. */
static void test_a_row_serves_a_group_of_any_size(const struct setup *s)
{
    mpk_vkey_t kept, vkey[4];
    void *p = NULL, *q = NULL;
    char *at, *beside;

    if (s->backend != MPK_BACKEND_NONE) {
        return; /* the count is inside */
    }
    start(s);
    at = group(&vkey[0], RW);
    beside = group(&kept, RW);
    *beside = 'k';
    group(&vkey[1], RW);
    vk_state()->rows = VK_ROWS;
    CHECK(mpk_mmap(&vkey[2], &p, 4096, RW, ANON, -1, 0) == -ENFILE);
    CHECK(mpk_munmap(vkey[0]) == 0 && mpk_munmap(vkey[1]) == 0);
    /* What fails takes nothing of the neighbours. */
    CHECK(mpk_mmap(&vkey[2], &p, (size_t)(vk_ro.arena_end - vk_ro.arena), RW,
                   ANON, -1, 0) == -ENOMEM);
    CHECK(*beside == 'k');
    CHECK(mpk_mmap(&vkey[2], &p, 16384, RW, ANON, -1, 0) == 0 && p != at);
    memset(p, 'x', 16384);
    CHECK(*beside == 'k');
    CHECK(mpk_mmap(&vkey[3], &q, 4096, RW, ANON | MAP_NORESERVE, -1, 0) == 0);
    CHECK(mpk_munmap(vkey[2]) == 0 && mpk_munmap(vkey[3]) == 0);
    CHECK(group(&vkey[0], RW) != NULL && group(&vkey[1], RW) == p);
    CHECK(*(char *)p == 0 && *beside == 'k');
}

/* ---- threads at odds ----------------------------------------------------- */

static _Atomic int over;

static void *opens_and_closes_for_all(void *n)
{
    while (!atomic_load(&over)) {
        *(_Atomic int *)n +=
            mpk_mprotect(held, RW) == 0 && mpk_mprotect(held, PROT_NONE) == 0;
    }
    return NULL;
}

static void test_a_block_is_freed_while_a_group_is_closed(const struct setup *s)
{
    _Atomic int opened = 0;
    pthread_t t;

    start(s);
    group(&held, RW);
    CHECK(pthread_create(&t, NULL, opens_and_closes_for_all, &opened) == 0);
    for (int i = 0; i < 4000 || opened < 100; i++) {
        void *p = NULL;

        CHECK(mpk_malloc(held, &p, 4096) == 0);
        CHECK(mpk_free(held, p) == 0);
    }
    atomic_store(&over, 1);
    pthread_join(t, NULL);
}

/* ---- calls past the public functions --------------------------------------
 */

static int64_t ask(enum vk_op op, uint32_t idx, mpk_vkey_t vkey)
{
    struct vk_frame f = {.idx = idx, .vkey = vkey, .prot = PROT_READ};

    return vk_call(op, &f);
}

/* Where there are no keys, the inside counts who has what open. */
static void test_the_inside_counts_for_itself(const struct setup *s)
{
    static const uint32_t nobody[] = {0, 2, VK_THREADS + 1, 1U << 24,
                                      UINT32_MAX};
    mpk_vkey_t mine, other;

    start(s);
    group(&mine, RW);
    group(&other, RW);
    CHECK(mpk_begin(mine, RW) == 0 && mpk_end(mine) == 0);
    for (size_t i = 0; i < COUNT_OF(nobody); i++) {
        CHECK(ask(VK_BEGIN, nobody[i], mine) == -EINVAL);
        CHECK(ask(VK_END, nobody[i], mine) == -EINVAL);
        CHECK(ask(VK_FREE, nobody[i], mine) == -EINVAL);
        CHECK(ask(VK_THREAD_END, nobody[i], mine) == -EINVAL);
    }
    if (s->backend == MPK_BACKEND_MPK) {
        return;
    }
    CHECK(ask(VK_END, 1, mine) == -EPERM);
    for (int i = 0; i < MPK_NEST_MAX; i++) {
        CHECK(ask(VK_BEGIN, 1, mine) == 0);
    }
    CHECK(ask(VK_BEGIN, 1, mine) == -EMLINK);
    CHECK(ask(VK_END, 1, other) == -EPERM);
    for (int i = 0; i < MPK_NEST_MAX; i++) {
        CHECK(ask(VK_END, 1, mine) == 0);
    }
    CHECK(ask(VK_END, 1, mine) == -EPERM);
    CHECK(mpk_munmap(mine) == 0);
}

static void free_what_is_no_block(const struct setup *s)
{
    mpk_vkey_t vkey;
    void *p = NULL;

    start(s);
    group(&vkey, RW);
    CHECK(mpk_malloc(vkey, &p, 128) == 0);
    (void)!mpk_free(vkey, (char *)p + 64);
}

static void test_only_a_block_is_freed(const struct setup *s)
{
    struct outcome o = run_in_child(free_what_is_no_block, s);

    CHECK(ended_by_fatal(&o, "no block of the group"));
}

/* By the inside, where the group is open for all. */
static void test_a_block_of_all_is_wiped(const struct setup *s)
{
    mpk_vkey_t vkey;
    void *p = NULL;

    start(s);
    group(&vkey, RW);
    CHECK(mpk_mprotect(vkey, RW) == 0);
    CHECK(mpk_malloc(vkey, &p, 64) == 0);
    memset(p, 'x', 64);
    CHECK(mpk_free(vkey, p) == 0);
    CHECK(((char *)p)[0] == 0 && ((char *)p)[63] == 0);
}

/* ---- a signal at each instruction ---------------------------------------- */

#define TRAP_FLAG 0x100UL

static mpk_vkey_t others;
static volatile int steps, stop_at;

static void on_step(int signo, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;

    (void)signo;
    (void)info;
    if (++steps == stop_at) {
        uc->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)TRAP_FLAG;
        CHECK(mpk_begin(others, RW) == 0);
        CHECK(mpk_end(others) == 0);
    }
}

static void set_trap_flag(int on)
{
    unsigned long flags = __builtin_ia32_readeflags_u64();

    __builtin_ia32_writeeflags_u64(on ? flags | TRAP_FLAG : flags & ~TRAP_FLAG);
}

/* What a handler begins and ends is nothing to the code that it interrupts. */
static void test_a_signal_comes_at_any_time(const struct setup *s)
{
    struct sigaction a = {.sa_flags = SA_SIGINFO};
    int err;

    start(s);
    group(&held, RW);
    group(&others, RW);
    CHECK(mpk_begin(held, RW) == 0 && mpk_end(held) == 0);
    CHECK(mpk_begin(others, RW) == 0 && mpk_end(others) == 0);
    a.sa_sigaction = on_step;
    CHECK(sigaction(SIGTRAP, &a, NULL) == 0);
    do {
        steps = 0;
        stop_at++;
        set_trap_flag(1);
        err = mpk_begin(held, RW);
        set_trap_flag(0);
        CHECK(err == 0);
        CHECK(mpk_end(held) == 0);
    } while (steps >= stop_at);
    CHECK(stop_at > 40);
}

/* ---- mappings that cannot be a group's ----------------------------------- */

static int try_group(mpk_vkey_t *vkey, size_t len, int flags, int fd)
{
    void *p = NULL;

    return mpk_mmap(vkey, &p, len, RW, flags, fd, 0);
}

static void test_a_file_that_cannot_be_written_is_refused(const struct setup *s)
{
    int fd = memfd_create("read only", 0);
    char name[32];
    mpk_vkey_t vkey;
    size_t before;
    int ro;

    start(s);
    CHECK(fd >= 0 && ftruncate(fd, 4096) == 0);
    snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
    ro = open(name, O_RDONLY | O_CLOEXEC);
    address_space(); /* which takes memory at first */
    before = address_space();
    CHECK(try_group(&vkey, 4096, MAP_SHARED, ro) == -EACCES);
    CHECK(address_space() == before);
    CHECK(try_group(&vkey, 4096, MAP_PRIVATE, ro) == 0);
    CHECK(mpk_begin(vkey, RW) == 0);
    CHECK(mpk_end(vkey) == 0);
    CHECK(try_group(&vkey, 4096, MAP_SHARED, fd) == 0);
    CHECK(mpk_begin(vkey, RW) == 0);
    CHECK(mpk_end(vkey) == 0);
}

/* Huge pages are not opened or unmapped in parts. None need exist. */
static void test_a_part_of_a_huge_page_is_refused(const struct setup *s)
{
    const int huge = ANON | MAP_HUGETLB | MAP_NORESERVE;
    mpk_vkey_t vkey;
    size_t before;

    start(s);
    address_space();
    before = address_space();
    CHECK(try_group(&vkey, 4096, huge, -1) == -EINVAL);
    CHECK(try_group(&vkey, 4 * MIB + 4096, huge, -1) == -EINVAL);
    CHECK(address_space() == before);
    if (try_group(&vkey, 4 * MIB, huge, -1) == 0) {
        CHECK(mpk_begin(vkey, RW) == 0);
        CHECK(mpk_end(vkey) == 0);
        CHECK(mpk_munmap(vkey) == 0);
    }
    CHECK(address_space() == before);
}

static const struct core_test tests[] = {
    TEST(test_locked_pages_can_be_given_up, ONE_MEMORY),
    TEST(test_advice_ends_with_its_group, ONE_MEMORY),
    TEST(test_a_lock_ends_with_its_group, ONE_MEMORY | NOT_SANITIZED),
    TEST(test_a_dead_thread_keeps_no_group, ONE_MEMORY | NOT_SANITIZED),
    TEST(test_a_group_is_closed_when_its_pin_is_gone,
         ONE_MEMORY | NEEDS_CLOSING),
    TEST(test_a_handler_may_begin_while_its_thread_forks,
         ONE_MEMORY | NOT_TSAN),
    TEST(test_code_can_be_closed_to_readers, ONE_MEMORY | NEEDS_KEYS),
    TEST(test_a_group_does_not_grow, ONE_MEMORY),
    TEST(test_a_group_that_is_not_made_takes_no_row, ONE_MEMORY),
    TEST(test_a_row_serves_a_group_of_any_size, ONE_MEMORY),
    TEST(test_a_block_is_freed_while_a_group_is_closed, ONE_MEMORY),
    TEST(test_the_inside_counts_for_itself, ONE_MEMORY),
    TEST(test_only_a_block_is_freed, ONE_MEMORY),
    TEST(test_a_block_of_all_is_wiped, ONE_MEMORY),
    TEST(test_a_signal_comes_at_any_time,
         ONE_MEMORY | NEEDS_KEYS | NOT_SANITIZED),
    TEST(test_a_file_that_cannot_be_written_is_refused, ONE_MEMORY),
    TEST(test_a_part_of_a_huge_page_is_refused, ONE_MEMORY),
};

int main(void)
{
    return core_test_main(tests, COUNT_OF(tests));
}
