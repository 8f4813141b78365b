/*
 * A forked process has a domain of its own with the same secrets in it.
 *
 * Seen to fail: isolation on secretmem without map_stage_adopt; raw clone with
 * the alive page mapped without MADV_WIPEONFORK; the lowered limit without
 * map.c's populate (on kernels that charge secretmem as it is touched).
 */
#include "core_test.h"

#include "../../mpkcore/internal.h"

#include <mpkcore/heap.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { OP_NEW = MPK_ENTRY_FIRST, OP_GET, OP_SET, OP_WORK };

struct cell_frame {
    uint64_t *cell; /* inside */
    uint64_t value;
};

static int64_t new_stub(void *frame)
{
    struct cell_frame *f = frame;

    f->cell = mpk_heap_alloc(sizeof(*f->cell));
    *f->cell = f->value;
    return 0;
}

static int64_t get_stub(void *frame)
{
    return (int64_t) * ((struct cell_frame *)frame)->cell;
}

static int64_t set_stub(void *frame)
{
    struct cell_frame *f = frame;

    *f->cell = f->value;
    return 0;
}

/* Stays inside for |value| milliseconds, with blocks and locks in use. */
static int64_t work_stub(void *frame)
{
    struct cell_frame *f = frame;
    volatile uint64_t mine = (uint64_t)(uintptr_t)&f;
    struct timespec now, end;

    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_nsec += (long)f->value * 1000000;
    do {
        void *p = mpk_heap_alloc(5000), *q = mpk_heap_alloc(50);

        mpk_heap_free(p);
        mpk_heap_free(q);
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((now.tv_sec - end.tv_sec) * 1000000000L + now.tv_nsec <
             end.tv_nsec);
    return mine != (uint64_t)(uintptr_t)&f;
}

static const struct mpk_entry entries[] = {
    MPK_CORE_ENTRIES,
    {new_stub, sizeof(struct cell_frame), MPK_KIND_STACK},
    {get_stub, sizeof(struct cell_frame), MPK_KIND_STACK},
    {set_stub, sizeof(struct cell_frame), MPK_KIND_STACK},
    {work_stub, sizeof(struct cell_frame), MPK_KIND_STACK},
};

static uint64_t *cell;

static void make(const struct setup *s)
{
    struct cell_frame f = {NULL, 1};

    make_domain(s, entries, COUNT_OF(entries));
    CHECK(mpk_call(OP_NEW, &f) == 0);
    cell = f.cell;
}

static int64_t get(void)
{
    struct cell_frame f = {cell, 0};

    return mpk_call(OP_GET, &f);
}

static void set(uint64_t value)
{
    struct cell_frame f = {cell, value};

    CHECK(mpk_call(OP_SET, &f) == 0);
}

static void work_inside(uint64_t milliseconds)
{
    struct cell_frame f = {NULL, milliseconds};

    CHECK(mpk_call(OP_WORK, &f) == 0);
}

/* ---- children
 * ------------------------------------------------------------------*/

static pid_t fork_to(void (*body)(void))
{
    pid_t pid = fork();

    if (pid == 0) {
        failed_checks = 0;
        alarm(60);
        body();
        _exit(failed_checks != 0);
    }
    CHECK(pid > 0);
    return pid;
}

static bool ended_well(pid_t pid)
{
    int status;

    return waitpid(pid, &status, 0) == pid && status == 0;
}

static int talk[2][2];

static void say(int side)
{
    CHECK(write(talk[side][1], "x", 1) == 1);
}

static void hear(int side)
{
    char c;

    CHECK(read(talk[side][0], &c, 1) == 1);
}

static void child_and_parent_write(void)
{
    CHECK(get() == 1);
    set(2);
    say(0);
    hear(1);
    CHECK(get() == 2);
}

static void check_isolated(void)
{
    pid_t pid;

    CHECK(pipe(talk[0]) == 0 && pipe(talk[1]) == 0);
    pid = fork_to(child_and_parent_write);
    hear(0);
    CHECK(get() == 1);
    set(3);
    say(1);
    CHECK(ended_well(pid));
    CHECK(get() == 3);
    set(1);
    for (int i = 0; i < 4; i++) {
        close(talk[i / 2][i % 2]);
    }
}

static void test_writes_stay_in_their_process(const struct setup *s)
{
    make(s);
    check_isolated();
    check_isolated();
}

static void child_of_child(void)
{
    CHECK(get() == 1);
    check_isolated();
    CHECK(ended_well(fork_to(check_isolated)));
}

static void test_grandchildren_have_the_secret_too(const struct setup *s)
{
    make(s);
    CHECK(ended_well(fork_to(child_of_child)));
    CHECK(get() == 1);
}

static void write_own_number(void)
{
    set((uint64_t)getpid());
    for (int i = 0; i < 20; i++) {
        work_inside(1);
        CHECK(get() == getpid());
    }
}

static void test_twenty_children_at_once(const struct setup *s)
{
    pid_t pid[20];

    make(s);
    for (int i = 0; i < 20; i++) {
        pid[i] = fork_to(write_own_number);
    }
    for (int i = 0; i < 20; i++) {
        CHECK(ended_well(pid[i]));
    }
    CHECK(get() == 1);
}

/* ---- other threads
 * --------------------------------------------------------------*/

static volatile int stop;

static void *stay_busy(void *arg)
{
    while (!stop) {
        work_inside((uint64_t)(uintptr_t)arg);
    }
    return NULL;
}

static void use_everything(void)
{
    CHECK(get() == 1);
    work_inside(1);
    set(7);
    CHECK(get() == 7);
}

static void test_fork_while_others_are_inside(const struct setup *s)
{
    pthread_t thread[4];

    make(s);
    for (int i = 0; i < 4; i++) {
        pthread_create(&thread[i], NULL, stay_busy, (void *)(uintptr_t)10);
    }
    for (unsigned i = 0; i < scaled(20); i++) {
        CHECK(ended_well(fork_to(use_everything)));
    }
    stop = 1;
    for (int i = 0; i < 4; i++) {
        pthread_join(thread[i], NULL);
    }
    CHECK(get() == 1);
}

static void *fork_often(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < scaled(25); i++) {
        CHECK(ended_well(fork_to(use_everything)));
    }
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

/* ---- nothing shared
 * -------------------------------------------------------------*/

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
    time_t end = time(NULL) + 40;

    /* A busy machine has fewer rounds in its time. */
    for (unsigned i = 0; i < scaled(30) && (i < 3 || time(NULL) < end); i++) {
        CHECK(run_in_child(grow_while_forking, s).status == 0);
    }
}

static void test_fork_leaves_nothing_in_the_parent(const struct setup *s)
{
    struct mpk_info before, after;
    int fds;

    make(s);
    CHECK(ended_well(fork_to(use_everything)));
    fds = open_fds();
    CHECK(mpk_core_info(&before) == 0);
    for (unsigned i = 0; i < scaled(50); i++) {
        CHECK(ended_well(fork_to(use_everything)));
    }
    CHECK(open_fds() == fds);
    CHECK(mpk_core_info(&after) == 0);
    CHECK(after.committed_secret == before.committed_secret);
    CHECK(after.committed_anon == before.committed_anon);
    CHECK(after.stacks == before.stacks);
}

static void read_outside(const struct setup *s)
{
    make(s);
    if (fork() != 0) {
        int status;

        wait(&status);
        _exit(WEXITSTATUS(status));
    }
    _exit(*(volatile uint64_t *)cell == 1 ? 0 : 2);
}

static void test_the_child_is_closed_too(const struct setup *s)
{
    struct outcome o = run_in_child(read_outside, s);

    CHECK(o.status == FAULTED && o.signo == SIGSEGV);
    CHECK(o.code ==
          (s->backend == MPK_BACKEND_MPK ? SEGV_PKUERR : SEGV_ACCERR));
}

/* ---- little memory to lock
 * -------------------------------------------------------*/

static size_t lock_limit;

static void little_memory(const struct setup *s)
{
    if (!become_nobody(lock_limit)) {
        return;
    }
    make(s);
    check_isolated();
    CHECK(ended_well(fork_to(child_of_child)));
}

static void test_fork_works_with_little_memory_to_lock(const struct setup *s)
{
    static const size_t limits[] = {64 << 10, 256 << 10, 1 << 20, 3 << 20};

    for (size_t i = 0; i < COUNT_OF(limits); i++) {
        lock_limit = limits[i];
        if (s->memory != MPK_MEMORY_SECRETMEM || limits[i] >= 3 << 20) {
            CHECK(run_in_child(little_memory, s).status == 0);
        }
    }
}

/* The domain was made while there was more. */
static void test_fork_works_when_the_limit_is_lowered(const struct setup *s)
{
    make(s);
    if (!become_nobody(65536)) {
        return;
    }
    check_isolated();
    CHECK(ended_well(fork_to(child_of_child)));
    CHECK(strstr(last_notice, "memory-lock") != NULL ||
          s->memory == MPK_MEMORY_ANONYMOUS);
}

/* ---- not fork
 * --------------------------------------------------------------------*/

static void raw_clone(const struct setup *s)
{
    int status = 0;

    make(s);
    if (syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) == 0) {
        get();
        _exit(0);
    }
    CHECK(get() == 1);
    wait(&status);
    CHECK(get() == 1);
    if (WIFSIGNALED(status)) {
        signal(SIGABRT, SIG_DFL);
        raise(WTERMSIG(status));
    }
}

static void test_a_raw_clone_ends_at_the_gate(const struct setup *s)
{
    struct outcome o = run_in_child(raw_clone, s);

    CHECK(ended_by_fatal(&o, "this process was forked without fork handlers"));
}

static void test_spawn_and_vfork_work(const struct setup *s)
{
    char *const argv[] = {(char *)(uintptr_t) "true", NULL};
    pid_t pid;

    make(s);
    CHECK(posix_spawnp(&pid, "true", NULL, NULL, argv, environ) == 0);
    CHECK(ended_well(pid));
    CHECK(system("true") == 0);
    pid = vfork();
    if (pid == 0) {
        execvp("true", argv);
        _exit(127);
    }
    CHECK(ended_well(pid));
    CHECK(get() == 1);
}

int main(void)
{
    static const struct core_test tests[] = {
        TEST(test_writes_stay_in_their_process, 0),
        TEST(test_grandchildren_have_the_secret_too, 0),
        TEST(test_twenty_children_at_once, 0),
        TEST(test_fork_while_others_are_inside, 0),
        TEST(test_two_threads_fork_at_once, 0),
        TEST(test_no_page_is_shared_with_the_child, 0),
        TEST(test_a_stack_made_during_fork_is_not_shared, ONE_MEMORY),
        TEST(test_fork_leaves_nothing_in_the_parent, 0),
        TEST(test_the_child_is_closed_too, NEEDS_CLOSING),
        TEST(test_fork_works_with_little_memory_to_lock, 0),
        TEST(test_fork_works_when_the_limit_is_lowered, 0),
        TEST(test_a_raw_clone_ends_at_the_gate, 0),
        TEST(test_spawn_and_vfork_work, 0),
    };

    return core_test_main(tests, COUNT_OF(tests));
}
