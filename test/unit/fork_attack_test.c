/*
 * What a thread that can write outside makes of a fork while it is under way:
 * the list of what the child is to get lies outside then.
 *
 * Seen to fail: the first when the parent goes by the list outside (the stack
 * is unmapped, and the next mmap of its size gets the place); the others
 * without the comparison in FORK_CHILD, and, of these, that of no copies when
 * the child ends by mpk_fatal with the slot taken.
 */
#include "fork_cell.h"

#include "../../mpkcore/internal.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- another thread, while fork has the lock ---- */

static void (*meanwhile)(void);

static void act(void)
{
    if (meanwhile != NULL) {
        meanwhile();
    }
}

/* Handlers of prepare run last to first: this one after the core's. */
static void make_with_company(const struct setup *s)
{
    CHECK(pthread_atfork(act, NULL, NULL) == 0);
    make(s);
}

/* ---- the parent ---- */

#define STACK_LEN (MPK_SLOT_SIZE - MPK_PAGE)

/* Of the first two stacks the one that this thread does not begin with. */
static char *free_stack(void)
{
    return slot_bottom(1 - slot_preferred(2)) + MPK_PAGE;
}

static void name_a_stack(void)
{
    mpk_out.stage.copy = free_stack();
    mpk_out.stage.len = STACK_LEN;
}

static void nothing(void)
{
}

static void test_the_parent_gives_up_no_stack(const struct setup *s)
{
    void *p;
    pid_t pid;

    make_with_company(s);
    meanwhile = name_a_stack;
    pid = fork_to(nothing);
    waitpid(pid, NULL, 0); /* its own copy is no copy */
    p = mmap(free_stack(), STACK_LEN, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    CHECK(p == MAP_FAILED && errno == EEXIST);
    CHECK(get() == 1);
}

/* ---- the child ---- */

static void name_nothing(void)
{
    mpk_out.stage.n = 0;
}

static void swap_two(void)
{
    struct map_span first = mpk_out.stage.span[0];

    mpk_out.stage.span[0] = mpk_out.stage.span[1];
    mpk_out.stage.span[1] = first;
}

static void name_another_file(void)
{
    if (mpk_out.stage.fd >= 0) {
        mpk_out.stage.fd = dup(mpk_out.stage.fd);
    }
}

static pid_t watched;

/* A fork that waits inside has all signals blocked: no alarm ends it. */
static void end_who_waits(void)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    sleep(20);
    kill(watched, SIGKILL);
}

static void come_inside(void)
{
    get();
}

/* The child of a changed list ends before anything of it runs, and does not
 * keep a stack that it shares with its parent: fork waits until all are free.
 */
static void check_child_dies(const struct setup *s, void (*change)(void))
{
    int status = 0;
    pid_t pid, watch;

    make_with_company(s);
    CHECK(ended_well(fork_to(come_inside)));
    /* Ordinary memory is copied by the kernel: no list. */
    if (mpk_ro.control_kind == MAP_SECRET) {
        watched = getpid();
        watch = fork_to(end_who_waits);
        meanwhile = change;
        pid = fork_to(come_inside);
        CHECK(waitpid(pid, &status, 0) == pid);
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
        CHECK(get() == 1);
        meanwhile = NULL;
        CHECK(ended_well(fork_to(come_inside)));
        kill(watch, SIGKILL);
        CHECK(waitpid(watch, NULL, 0) == watch);
    }
}

static void test_a_child_without_copies_ends(const struct setup *s)
{
    check_child_dies(s, name_nothing);
}

static void test_a_child_with_mixed_up_copies_ends(const struct setup *s)
{
    check_child_dies(s, swap_two);
}

static void test_a_child_of_another_file_ends(const struct setup *s)
{
    check_child_dies(s, name_another_file);
}

int main(void)
{
    static const struct core_test tests[] = {
        TEST(test_the_parent_gives_up_no_stack, 0),
        TEST(test_a_child_without_copies_ends, 0),
        TEST(test_a_child_with_mixed_up_copies_ends, 0),
        TEST(test_a_child_of_another_file_ends, 0),
    };

    return core_test_main(tests, COUNT_OF(tests));
}
