/*
 * Page groups where a fork cannot have what it needs for them.
 *
 * Seen to fail, but for the first with the limit on files: when the child makes
 * its table itself, which takes a descriptor, so that it ends without one,
 * whatever it was forked for; the one with hardly a mapping when a child whose
 * table cannot be moved ends at once; the last without the word in a table that
 * says that somebody has come (map_table_child).
 */
#include "fail_syscall.h"
#include "fork_cell.h"

#include "../../mpkcore/vkey.h"

#include <mpkcore/mpk.h>

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define RW (PROT_READ | PROT_WRITE)

static mpk_vkey_t held;

static void start(const struct setup *s)
{
    struct mpk_params params = {.backend = s->backend};
    void *p = NULL;

    if (mpk_init(&params) != 0) {
        _exit(1);
    }
    alarm(60);
    CHECK(mpk_mmap(&held, &p, 4096, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
          0);
}

static int forks_well(void)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        _exit(7);
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
           WEXITSTATUS(status) == 7;
}

static void use_it_in_a_child(const struct setup *s)
{
    (void)s;
    CHECK(mpk_begin(held, RW) == 0);
}

/* Where a child cannot have groups it has none, until it calls exec. */
static void test_a_fork_has_no_groups_beyond_a_limit(const struct setup *s)
{
    struct rlimit files = {1000000, RLIM_INFINITY}, none = {4096, 4096};
    struct outcome o;

    start(s);
    CHECK(setrlimit(RLIMIT_FSIZE, &files) == 0);
    CHECK(forks_well());
    o = run_in_child(use_it_in_a_child, s);
    CHECK(ended_by_fatal(&o, "no memory"));
    CHECK(mpk_begin(held, RW) == 0 && mpk_end(held) == 0);
    files.rlim_cur = RLIM_INFINITY;
    CHECK(setrlimit(RLIMIT_FSIZE, &files) == 0);
    o = run_in_child(use_it_in_a_child, s);
    CHECK(o.status == 0);
    CHECK(setrlimit(RLIMIT_AS, &none) == 0);
    CHECK(forks_well());
}

/* Nor to a thread that has a table of its own. */
static void leave_no_descriptor(void)
{
    struct rlimit none = {0, 0};

    CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
}

/* How a child ends that opens a group. */
static int ends_in_a_child(void)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        signal(SIGABRT, SIG_DFL);
        _exit(mpk_begin(held, RW) == 0 && mpk_end(held) == 0 ? 0 : 1);
    }
    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
    return status;
}

static void test_a_fork_without_descriptors_has_no_groups(const struct setup *s)
{
    start(s);
    leave_no_descriptor();
    CHECK(forks_well());
    CHECK(WTERMSIG(ends_in_a_child()) == SIGABRT);
    CHECK(mpk_begin(held, RW) == 0 && mpk_end(held) == 0);
}

static void look_for_copies(void)
{
    CHECK(mpk_ro.stage->slots == 0 && mpk_ro.stage->copy == NULL);
}

/* A domain of which it has a part is none. */
static void test_nothing_is_copied_without_a_table(const struct setup *s)
{
    CHECK(pthread_atfork(look_for_copies, NULL, NULL) == 0);
    start(s);
    CHECK(fail_syscall(SYS_memfd_create, EMFILE)); /* secretmem is to be had */
    CHECK(forks_well());
    CHECK(mpk_begin(held, RW) == 0 && mpk_end(held) == 0);
}

static int fds;

static void count_and_leave_no_descriptor(void)
{
    CHECK(open_fds() == fds);
    leave_no_descriptor();
}

/* What takes one is done before the fork, and takes none for longer. */
static void test_a_child_needs_no_descriptor(const struct setup *s)
{
    CHECK(pthread_atfork(count_and_leave_no_descriptor, NULL, NULL) == 0);
    start(s);
    fds = open_fds();
    CHECK(ends_in_a_child() == 0);
    CHECK(mpk_begin(held, RW) == 0 && mpk_end(held) == 0);
}

/* It has its groups, or ends when it wants one. */
static void test_a_child_with_hardly_a_mapping_left(const struct setup *s)
{
    int had = 0;

    if (s->backend == MPK_BACKEND_MPROTECT) {
        return; /* one backend will do: a fork of so many takes its time */
    }
    start(s);
    if (!take_all_mappings()) {
        return;
    }
    for (int i = 0; i < 8; i++) {
        int status;

        give_mappings_back(3);
        CHECK(forks_well());
        status = ends_in_a_child();
        had = status == 0;
        CHECK(had || WTERMSIG(status) == SIGABRT);
    }
    CHECK(had);
    CHECK(mpk_begin(held, RW) == 0 && mpk_end(held) == 0);
}

/* ---- two children with the same table ----------------------------------- */

static bool in_a_fork; /* and not in that of run_in_child */

static void take_the_table(void)
{
    CHECK(take_the_copies() == 0);
    CHECK(mpk_begin(held, RW) == 0 && mpk_end(held) == 0);
}

static void clone_that_takes_the_table(void)
{
    CHECK(!in_a_fork || ended_well(clone_to(take_the_table)));
}

/* Of memory that the kernel copies each has its own; the table is shared. */
static void test_two_children_do_not_share_a_table(const struct setup *s)
{
    static const struct mpk_entry entries[] = {MPK_CORE_ENTRIES,
                                               MPK_VKEY_ENTRIES};
    struct setup anonymous = {s->backend, MPK_MEMORY_ANONYMOUS};

    CHECK(pthread_atfork(clone_that_takes_the_table, NULL, NULL) == 0);
    make_domain(&anonymous, entries, COUNT_OF(entries));
    start(s);
    in_a_fork = true;
    CHECK(WTERMSIG(ends_in_a_child()) == SIGABRT);
    in_a_fork = false;
    CHECK(ends_in_a_child() == 0);
    CHECK(mpk_begin(held, RW) == 0 && mpk_end(held) == 0);
}

static const struct core_test tests[] = {
    TEST(test_a_fork_has_no_groups_beyond_a_limit, ONE_MEMORY | NOT_SANITIZED),
    TEST(test_a_fork_without_descriptors_has_no_groups, ONE_MEMORY),
    TEST(test_nothing_is_copied_without_a_table, ONE_MEMORY),
    TEST(test_a_child_needs_no_descriptor, ONE_MEMORY),
    TEST(test_a_child_with_hardly_a_mapping_left, ONE_MEMORY | NOT_SANITIZED),
    TEST(test_two_children_do_not_share_a_table, ONE_MEMORY),
};

int main(void)
{
    return core_test_main(tests, COUNT_OF(tests));
}
