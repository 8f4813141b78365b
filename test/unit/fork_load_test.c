/*
 * Fork while other threads are inside, or on their way in. Each test runs for
 * a time.
 */
#include "fork_cell.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* ---- other threads ---- */

static volatile int stop;

static void *stay_busy(void *arg)
{
    while (!stop) {
        work_inside((uint64_t)(uintptr_t)arg);
    }
    return NULL;
}

static void test_fork_while_others_are_inside(const struct setup *s)
{
    pthread_t thread[4];

    make(s);
    for (int i = 0; i < 4; i++) {
        pthread_create(&thread[i], NULL, stay_busy, (void *)(uintptr_t)10);
    }
    do {
        CHECK(ended_well(fork_to(use_everything)));
    } while (time_is_left());
    stop = 1;
    for (int i = 0; i < 4; i++) {
        pthread_join(thread[i], NULL);
    }
    CHECK(get() == 1);
}

static void *fork_often(void *arg)
{
    (void)arg;
    do {
        CHECK(ended_well(fork_to(use_everything)));
    } while (time_is_left());
    return NULL;
}

static void test_two_threads_fork_at_once(const struct setup *s)
{
    pthread_t thread[2];

    make(s);
    for (int i = 0; i < 2; i++) {
        pthread_create(&thread[i], NULL, fork_often, NULL);
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(thread[i], NULL);
    }
    CHECK(get() == 1);
}

/* Threads that are made from here on have this thread's CPU too. */
static void stay_on_one_cpu(void)
{
    cpu_set_t one;

    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    CHECK(sched_setaffinity(0, sizeof(one), &one) == 0);
}

static void nothing(void)
{
}

/* Who is inside is kept from running by who forks, but when that one waits.
 * Seen to take a second of the CPU's time, after which the kernel lets others
 * in, with a loop of sched_yield. */
static void test_who_forks_lets_others_out(const struct setup *s)
{
    const struct sched_param first = {.sched_priority = 1};
    struct timespec spent;
    pthread_t thread;

    make(s);
    stay_on_one_cpu();
    pthread_create(&thread, NULL, stay_busy, (void *)(uintptr_t)50);
    usleep(20000);
    if (pthread_setschedparam(pthread_self(), SCHED_FIFO, &first) != 0) {
        puts("     no priority is to be had here");
    }
    CHECK(ended_well(fork_to(nothing)));
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
    CHECK(spent.tv_sec == 0 && spent.tv_nsec < 500000000);
    stop = 1;
    pthread_join(thread, NULL);
}

/* ---- nothing shared ---- */

#define MAX_INODES 256

static unsigned long inodes[MAX_INODES];
static size_t n_inodes;

/* The parent's, in memory that the child shares. */
static struct listing {
    size_t ready;
    size_t n;
    unsigned long inode[MAX_INODES];
} * listing;

/* Visits the inode of each secretmem mapping. */
static void each_secret_inode(void (*visit)(unsigned long))
{
    FILE *maps = fopen("/proc/self/maps", "r");
    unsigned long inode;
    char line[512];

    while (fgets(line, sizeof(line), maps) != NULL) {
        if (strstr(line, "secretmem") != NULL &&
            sscanf(line, "%*s %*s %*s %*s %lu", &inode) == 1) {
            visit(inode);
        }
    }
    fclose(maps);
}

static void note_inode(unsigned long inode)
{
    CHECK(n_inodes < MAX_INODES);
    inodes[n_inodes++] = inode;
}

static void make_listing(void)
{
    listing = mmap(NULL, sizeof(*listing), PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

static void check_not_the_parents(unsigned long inode)
{
    for (size_t i = 0; i < listing->n; i++) {
        CHECK(listing->inode[i] != inode);
    }
}

/* The parent lists its own after the fork, so that stacks that it made up to
 * the last moment are there. */
static void share_nothing(void)
{
    while (!__atomic_load_n(&listing->ready, __ATOMIC_SEQ_CST)) {
        usleep(100);
    }
    each_secret_inode(check_not_the_parents);
}

static void check_shares_nothing(void)
{
    pid_t pid;

    listing->ready = 0;
    pid = fork_to(share_nothing);
    n_inodes = 0;
    each_secret_inode(note_inode);
    memcpy(listing->inode, inodes, sizeof(inodes));
    listing->n = n_inodes;
    __atomic_store_n(&listing->ready, 1, __ATOMIC_SEQ_CST);
    CHECK(ended_well(pid));
}

static void test_no_page_is_shared_with_the_child(const struct setup *s)
{
    make(s);
    make_listing();
    check_shares_nothing();
}

/* Twelve threads that want a stack each while the process forks. Seen to fail
 * without fork_prepare's look at slots_ready. */
static void grow_while_forking(const struct setup *s)
{
    pthread_t thread[12];

    make(s);
    make_listing();
    for (int i = 0; i < 12; i++) {
        pthread_create(&thread[i], NULL, stay_busy, (void *)(uintptr_t)2);
    }
    for (unsigned i = 0; i < scaled(8); i++) {
        check_shares_nothing();
    }
    _exit(failed_checks != 0);
}

static void test_a_stack_made_during_fork_is_not_shared(const struct setup *s)
{
    for (unsigned i = 0; i < 1 || time_is_left(); i++) {
        CHECK(run_in_child(grow_while_forking, s).status == 0);
    }
}

int main(void)
{
    static const struct core_test tests[] = {
        TEST(test_fork_while_others_are_inside, 0),
        TEST(test_two_threads_fork_at_once, 0),
        TEST(test_who_forks_lets_others_out, ONE_MEMORY),
        TEST(test_no_page_is_shared_with_the_child, 0),
        TEST(test_a_stack_made_during_fork_is_not_shared, ONE_MEMORY),
    };

    return core_test_main(tests, COUNT_OF(tests));
}
