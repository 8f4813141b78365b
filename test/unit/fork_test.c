/*
 * A forked process has a domain of its own with the same secrets in it.
 *
 * Seen to fail: isolation on secretmem without map_stage_adopt; raw clone with
 * the alive page mapped without MADV_WIPEONFORK; the lowered limit without
 * map.c's populate (on kernels that charge secretmem as it is touched); the
 * limit that is not there with secretmem locked once more in the child; no
 * domain without secretmem when map_stage_make takes ordinary memory for it;
 * core dumps without the MADV_DONTDUMP of map_fork.c.
 */
#include "fail_syscall.h"
#include "fork_cell.h"

#include "../../mpkcore/internal.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- each its own ---- */

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
    for (int i = 0; i < 5; i++) {
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

static void test_fork_leaves_nothing_in_the_parent(const struct setup *s)
{
    struct mpk_info before, after;
    int fds;

    make(s);
    CHECK(ended_well(fork_to(use_everything)));
    fds = open_fds();
    CHECK(mpk_core_info(&before) == 0);
    for (unsigned i = 0; i < 10; i++) {
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

/* ---- locked memory ---- */

static void child_is_silent(void)
{
    CHECK(get() == 1);
    CHECK(strcmp(last_notice, "") == 0);
}

static void child_of_child_is_silent(void)
{
    child_is_silent();
    CHECK(ended_well(fork_to(child_is_silent)));
}

/* A secret page cannot be locked a second time, and need not be. */
static void
test_a_child_finds_no_lock_limit_that_is_not_there(const struct setup *s)
{
    make(s);
    if (strcmp(last_notice, "") != 0) {
        printf("     the limit is reached without fork\n");
        return;
    }
    CHECK(ended_well(fork_to(child_of_child_is_silent)));
}

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
    if (s->memory == MPK_MEMORY_SECRETMEM) {
        return; /* see below */
    }
    make(s);
    if (!become_nobody(65536)) {
        return;
    }
    check_isolated();
    CHECK(ended_well(fork_to(child_of_child)));
    CHECK(strstr(last_notice, "memory-lock") != NULL ||
          s->memory == MPK_MEMORY_ANONYMOUS);
}

static void look_at_the_copies(void)
{
    const char *copy = mpk_ro.stage->copy;
    char flags[512] = "";

    CHECK(copy != NULL && !mpk_ro.stage->secret);
    CHECK(in_smaps(getpid(), copy, "VmFlags:", flags, sizeof(flags)));
    CHECK(strstr(flags, " dd") != NULL);
}

/* Secretmem never is in one, and ordinary memory is unless somebody says so. */
static void test_copies_are_left_out_of_core_dumps(const struct setup *s)
{
    make_with_company(s);
    if (mpk_ro.control_kind == MAP_SECRET && become_nobody(65536)) {
        meanwhile = look_at_the_copies;
        CHECK(ended_well(fork_to(use_everything)));
    }
}

static void ends_by_itself(void)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        _exit(0);
    }
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

static void runs_a_program(void)
{
    execlp("true", "true", (char *)NULL);
    _exit(127);
}

static void uses_the_domain(void)
{
    get();
}

static void no_secretmem_for_a_child(const struct setup *s)
{
    int status = 0;
    pid_t pid;

    make(s);
    CHECK(get() == 1);
    CHECK(fail_syscall(SYS_memfd_secret, EMFILE));
    CHECK(ended_well(fork_to(ends_by_itself)));
    CHECK(strstr(last_notice, "a forked process has no domain") != NULL);
    CHECK(ended_well(fork_to(runs_a_program)));
    CHECK(get() == 1);
    pid = fork_to(uses_the_domain);
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(get() == 1);
    if (WIFSIGNALED(status)) {
        signal(SIGABRT, SIG_DFL);
        raise(WTERMSIG(status));
    }
}

/* memory = secretmem means it: the child has no keys rather than others could
 * read them, but what it does without them, it does. */
static void test_no_secretmem_no_domain(const struct setup *s)
{
    struct outcome o;

    if (s->memory == MPK_MEMORY_SECRETMEM) {
        o = run_in_child(no_secretmem_for_a_child, s);
        CHECK(ended_by_fatal(&o, "this process was forked when there was no "
                                 "memory"));
    }
}

/* No more addresses than the process has now. */
static void limit_addresses(void)
{
    struct rlimit limit = {0, 0};
    unsigned long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");

    CHECK(f != NULL && fscanf(f, "%lu", &pages) == 1);
    fclose(f);
    limit.rlim_cur = limit.rlim_max = (pages + 16) * 4096;
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
}

/* A program that has reached its limit goes on; what it forks may call exec. */
static void test_no_addresses_for_a_copy(const struct setup *s)
{
    struct mpk_info info;

    make(s);
    CHECK(get() == 1);
    CHECK(mpk_core_info(&info) == 0);
    limit_addresses();
    CHECK(ended_well(fork_to(ends_by_itself)));
    CHECK(info.committed_secret == 0 ||
          strstr(last_notice, "no memory for its copy") != NULL);
    CHECK(ended_well(fork_to(runs_a_program)));
    CHECK(get() == 1);
}

/* ---- not fork ---- */

static void raw_clone(const struct setup *s)
{
    int status = 0;
    long pid;

    make(s);
    pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (pid == 0) {
        get();
        _exit(0);
    }
    CHECK(pid > 0 && get() == 1);
    CHECK(wait(&status) == pid && status != 0);
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

/* It may have no domain, but a life of its own. */
static void test_a_raw_clone_may_fork(const struct setup *s)
{
    int status = 0;
    pid_t pid;

    make(s);
    pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (pid == 0) {
        alarm(10);
        for (int i = 0; i < 2; i++) {
            pid = fork();
            if (pid == 0) {
                _exit(fork() == 0 ? 0 : 33);
            }
            if (waitpid(pid, &status, 0) != pid || status != 33 << 8) {
                _exit(1);
            }
        }
        _exit(34);
    }
    CHECK(waitpid(pid, &status, 0) == pid && status == 34 << 8);
    CHECK(get() == 1);
    check_isolated();
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
        TEST(test_fork_leaves_nothing_in_the_parent, 0),
        TEST(test_the_child_is_closed_too, NEEDS_CLOSING),
        TEST(test_a_child_finds_no_lock_limit_that_is_not_there, 0),
        TEST(test_fork_works_with_little_memory_to_lock, 0),
        TEST(test_copies_are_left_out_of_core_dumps, ONE_MEMORY),
        TEST(test_fork_works_when_the_limit_is_lowered, 0),
        TEST(test_no_secretmem_no_domain, 0),
        TEST(test_no_addresses_for_a_copy, NOT_SANITIZED),
        TEST(test_a_raw_clone_ends_at_the_gate, 0),
        TEST(test_a_raw_clone_may_fork, 0),
        TEST(test_spawn_and_vfork_work, 0),
    };

    return core_test_main(tests, COUNT_OF(tests));
}
