/*
 * Whoever has another thread map "its" file when that number is secretmem's has
 * pages of the domain without their key; and with that of a table of virtual
 * keys, or of the list of what fork copies, he writes what the inside goes by.
 * So no thread that goes on has such a descriptor at any time once there is a
 * domain: not while it grows, nor while it is copied.
 *
 * Seen to fail without goes_apart, or when the other thread shares all
 * descriptors: those that map; when it is not asked for behind a filter: those
 * behind one; when that is asked for close_range, at the start or later: the
 * same; when it copies them: that none need be left; on the caller's stack:
 * what a light entry lets it grow by, and where the signals come; when one that
 * is ended has failed: the two after it; without the last look whether it is
 * there: that it is gone; when it goes on where close_range fails: where that
 * is refused later; without a second thread: there, and where who asks is
 * ended.
 */
#include "fail_syscall.h"
#include "fork_cell.h"

#include "../../mpkcore/internal.h"

#include <mpkcore/mpk.h>

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static int number; /* of the next file that is opened */
static _Atomic int stop, mapped;

/* Nobody else opens a file here. */
static void *map_what_has_the_number(void *arg)
{
    while (!atomic_load(&stop)) {
        void *p = mmap(NULL, MPK_PAGE, PROT_READ, MAP_SHARED, number, 0);

        if (p != MAP_FAILED) {
            mapped++;
            munmap(p, MPK_PAGE);
        }
    }
    return arg;
}

static void nothing(void)
{
}

static void fork_often(void)
{
    for (unsigned i = 0; i < scaled(80) && !atomic_load(&mapped); i++) {
        CHECK(ended_well(fork_to(nothing)));
    }
}

static void grow(void (*take)(uint64_t n))
{
    for (unsigned i = 0; i < scaled(80) && !atomic_load(&mapped); i++) {
        take(128);
    }
}

static void grow_often(void)
{
    grow(take_blocks);
}

static void grow_lightly(void)
{
    grow(take_blocks_lightly);
}

static void while_another_maps(void (*body)(void))
{
    pthread_t thread;

    number = dup(0);
    CHECK(number > 0 && close(number) == 0);
    CHECK(pthread_create(&thread, NULL, map_what_has_the_number, NULL) == 0);
    body();
    atomic_store(&stop, 1);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(mapped == 0);
}

static void test_no_other_thread_maps_what_fork_copies(const struct setup *s)
{
    make(s);
    while_another_maps(fork_often);
    CHECK(get() == 1);
}

static void test_nor_a_table_of_virtual_keys(const struct setup *s)
{
    struct mpk_params params = {.backend = s->backend};
    mpk_vkey_t held;
    void *p;

    CHECK(mpk_init(&params) == 0);
    CHECK(mpk_mmap(&held, &p, 4096, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == 0);
    while_another_maps(fork_often);
    CHECK(mpk_begin(held, PROT_READ) == 0 && mpk_end(held) == 0);
}

static void test_nor_what_the_domain_grows_by(const struct setup *s)
{
    make(s);
    while_another_maps(grow_often);
    CHECK(get() == 1);
}

/* One that knows no close_range may end who asks for it. */
static void test_nor_behind_a_filter(const struct setup *s)
{
    CHECK(end_by_syscall(SYS_close_range));
    make(s);
    while_another_maps(grow_often);
    CHECK(get() == 1);
}

/* One that comes later. */
static void test_nor_what_fork_copies_there(const struct setup *s)
{
    make(s);
    CHECK(end_by_syscall(SYS_close_range));
    while_another_maps(fork_often);
    CHECK(get() == 1);
}

static void grew_by_secretmem(const struct setup *s)
{
    uint64_t before = atomic_load(&mpk_out.secret_bytes);

    take_blocks(1000);
    CHECK(get() == 1);
    CHECK(atomic_load(&mpk_out.secret_bytes) > before ||
          s->memory == MPK_MEMORY_ANONYMOUS);
}

static void grow_by_secretmem(const struct setup *s)
{
    domain_seal = MPK_SEAL_TRY;
    make(s);
    grew_by_secretmem(s);
}

/* Which is on its caller's stack. */
static void test_nor_what_a_light_entry_lets_it_grow_by(const struct setup *s)
{
    make(s);
    while_another_maps(grow_lightly);
    CHECK(get() == 1);
}

static volatile sig_atomic_t ticks, ticks_inside;

static void on_tick(int sig)
{
    char here;

    ticks += sig == SIGALRM;
    ticks_inside += on_domain_stack((uintptr_t)&here);
}

/* Which it does on a stack of the domain, where no handler may be. */
static void test_a_signal_comes_before_or_after_it_grows(const struct setup *s)
{
    const struct itimerval often = {{0, 100}, {0, 100}},
                           never = {{0, 0}, {0, 0}};
    sigset_t after;

    make(s);
    CHECK(signal(SIGALRM, on_tick) != SIG_ERR);
    CHECK(setitimer(ITIMER_REAL, &often, NULL) == 0);
    grow_lightly();
    CHECK(setitimer(ITIMER_REAL, &never, NULL) == 0);
    CHECK(ticks > 0 && ticks_inside == 0 && get() == 1);
    CHECK(pthread_sigmask(SIG_SETMASK, NULL, &after) == 0);
    CHECK(sigismember(&after, SIGALRM) == 0 &&
          sigismember(&after, SIGTERM) == 0);
}

/* What it opens is not among this process's, which may be full. */
static void test_no_descriptor_need_be_left(const struct setup *s)
{
    struct rlimit files;

    CHECK(getrlimit(RLIMIT_NOFILE, &files) == 0);
    files.rlim_cur = 80;
    CHECK(setrlimit(RLIMIT_NOFILE, &files) == 0);
    while (dup(0) >= 0) {
    }
    grow_by_secretmem(s);
    CHECK(ended_well(fork_to(use_everything)));
    CHECK(get() == 1);
}

/* The kernel may have no further thread for this user. */
static void test_without_a_thread_there_is_secretmem(const struct setup *s)
{
    CHECK(fail_syscall(SYS_clone, EAGAIN));
    grow_by_secretmem(s);
}

/* Before Linux 5.9 all descriptors are copied. */
static void test_nor_without_close_range(const struct setup *s)
{
    CHECK(fail_syscall(SYS_close_range, ENOSYS));
    domain_seal = MPK_SEAL_TRY;
    make(s);
    while_another_maps(grow_often);
    CHECK(get() == 1);
}

/* Who asks gets |answer| of a filter that comes after the start. */
static void while_close_range_is(const struct setup *s, unsigned answer)
{
    domain_seal = MPK_SEAL_TRY;
    make(s);
    CHECK(answer_syscall(SYS_close_range, answer));
    while_another_maps(grow_often);
    CHECK(get() == 1);
}

static void test_nor_where_it_is_refused_later(const struct setup *s)
{
    while_close_range_is(s, SECCOMP_RET_ERRNO | EPERM);
}

static void test_nor_where_who_asks_is_ended(const struct setup *s)
{
    while_close_range_is(s, SECCOMP_RET_KILL_THREAD);
}

/* By a filter: nobody takes it for a limit. */
static void test_one_that_is_ended_was_none(const struct setup *s)
{
    domain_seal = MPK_SEAL_TRY;
    make(s);
    CHECK(answer_syscall(SYS_close_range, SECCOMP_RET_KILL_THREAD));
    grew_by_secretmem(s);
}

/* Where both are on one CPU, this one is woken before the other has gone; if
 * this is root. */
static void come_first_on_one_cpu(void)
{
    const struct sched_param first = {.sched_priority = 1};
    cpu_set_t one;

    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    CHECK(sched_setaffinity(0, sizeof(one), &one) == 0);
    sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &first);
}

/* The kernel refuses this to a process of two threads. */
static void test_it_is_gone_when_the_domain_has_grown(const struct setup *s)
{
    make(s);
    come_first_on_one_cpu();
    for (unsigned i = 0; i < scaled(400); i++) {
        take_blocks(16);
        CHECK(unshare(CLONE_THREAD) == 0);
    }
    CHECK(get() == 1);
}

/* Both are on one stack. Children of this one keep the other from its work for
 * longer than this one sleeps. */
static void test_who_may_not_ask_waits_for_its_end(const struct setup *s)
{
    pid_t busy[2];

    if (getenv("MPK_TEST_LONG") == NULL) {
        puts("     left to ./test.sh --all: it takes both CPUs for long");
        return;
    }
    domain_seal = MPK_SEAL_TRY;
    make(s);
    come_first_on_one_cpu();
    for (unsigned i = 0; i < COUNT_OF(busy); i++) {
        busy[i] = fork();
        if (busy[i] == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            for (;;) {
            }
        }
        setpriority(PRIO_PROCESS, (id_t)busy[i], -20);
    }
    CHECK(fail_syscall(SYS_tgkill, EPERM));
    for (unsigned i = 0; i < scaled(400); i++) {
        take_blocks_lightly(16);
    }
    CHECK(get() == 1);
    for (unsigned i = 0; i < COUNT_OF(busy); i++) {
        CHECK(kill(busy[i], SIGKILL) == 0);
        CHECK(waitpid(busy[i], NULL, 0) == busy[i]);
    }
}

/* The kernel makes no thread in this one, nor a process for it, which would be
 * the first of the new one and end it. */
static void test_a_new_namespace_is_the_programs(const struct setup *s)
{
    make(s);
    if (unshare(CLONE_NEWPID) != 0) {
        return; /* not root */
    }
    take_blocks(1000);
    CHECK(ended_well(fork_to(use_everything)));
    CHECK(get() == 1);
}

int main(void)
{
    static const struct core_test tests[] = {
        TEST(test_no_other_thread_maps_what_fork_copies, NEEDS_LOCKING),
        TEST(test_nor_a_table_of_virtual_keys, ONE_MEMORY),
        TEST(test_nor_what_the_domain_grows_by, NEEDS_LOCKING),
        TEST(test_nor_what_a_light_entry_lets_it_grow_by, NEEDS_LOCKING),
        TEST(test_a_signal_comes_before_or_after_it_grows,
             NEEDS_LOCKING | NOT_TSAN),
        TEST(test_no_descriptor_need_be_left, NEEDS_LOCKING),
        TEST(test_nor_behind_a_filter, NEEDS_LOCKING),
        TEST(test_nor_what_fork_copies_there, NEEDS_LOCKING),
        TEST(test_without_a_thread_there_is_secretmem, NEEDS_LOCKING),
        TEST(test_nor_without_close_range, NEEDS_LOCKING),
        TEST(test_nor_where_it_is_refused_later, NEEDS_LOCKING),
        TEST(test_nor_where_who_asks_is_ended, NEEDS_LOCKING),
        TEST(test_one_that_is_ended_was_none, NEEDS_LOCKING),
        TEST(test_it_is_gone_when_the_domain_has_grown,
             NEEDS_LOCKING | NOT_TSAN),
        TEST(test_who_may_not_ask_waits_for_its_end, NEEDS_LOCKING),
        TEST(test_a_new_namespace_is_the_programs, NEEDS_LOCKING),
    };

    return core_test_main(tests, COUNT_OF(tests));
}
