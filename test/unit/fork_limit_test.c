/*
 * Fork in a process that is at one of its limits when the copies have been
 * taken, so that a step that comes after could not be had: the parent goes on,
 * and the child has a domain, or has none until it calls exec.
 *
 * Seen to fail: the first when the list is made writable again to be emptied;
 * the second when pages that are locked are not; the two whose child forks when
 * it notes the stack that it made in its parent's domain; the one whose
 * parent's thread waits when the child does not close what it has not got; the
 * one at the limit on locks without the munlock of empty_list; the one without
 * a list without drop_copies or, with keys, show_page behind show_list; the
 * others when a child in which the kernel moves nothing ends at once, and those
 * of a domain put in place by half also when the list stays.
 */
#include "fail_syscall.h"
#include "fork_cell.h"

#include "../../mpkcore/internal.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

static void nothing(void)
{
}

/* ---- the parent ---- */

static void allow_no_more_data(void)
{
    limit_data(0);
}

/* With backend mprotect each entry makes memory writable. */
static void test_a_parent_at_the_limit_on_data_goes_on(const struct setup *s)
{
    if (s->backend == MPK_BACKEND_MPROTECT) {
        return;
    }
    make_with_company(s);
    meanwhile = allow_no_more_data;
    CHECK(ended_well(fork_to(nothing)));
    meanwhile = NULL;
    CHECK(get() == 1);
    /* The list of the next cannot be written. */
    CHECK(ended_well(fork_to(nothing)));
    CHECK(get() == 1);
}

static size_t addresses;

static void look_for_copies(void)
{
    CHECK(address_space() == addresses);
}

/* Where the list is a page, and cannot be written. Copies that no list names
 * would be in the child for good. */
static void test_without_a_list_there_are_no_copies(const struct setup *s)
{
    if (s->backend == MPK_BACKEND_MPROTECT) {
        return;
    }
    CHECK(leave_unsealed());
    make_with_company(s);
    CHECK(get() == 1);
    address_space(); /* stdio's buffer */
    addresses = address_space();
    limit_data(0);
    meanwhile = look_for_copies;
    CHECK(ended_well(fork_to(use_no_domain)));
    CHECK(get() == 1);
}

/* As much as there is. */
static void allow_no_more_locks(void)
{
    FILE *f = fopen("/proc/self/status", "r");
    unsigned long kib = 0;
    struct rlimit limit;
    char line[256];

    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        sscanf(line, "VmLck: %lu", &kib);
    }
    CHECK(f != NULL && kib != 0);
    fclose(f);
    limit.rlim_cur = limit.rlim_max = (rlim_t)kib * 1024;
    CHECK(setrlimit(RLIMIT_MEMLOCK, &limit) == 0);
}

/* In a program that has all that it maps locked: the page that replaces the
 * list is counted before the list is gone. */
static void test_a_parent_at_the_limit_on_locks_goes_on(const struct setup *s)
{
    make_with_company(s);
    if (!become_nobody((size_t)8 << 20) || mlockall(MCL_FUTURE) != 0) {
        return;
    }
    meanwhile = allow_no_more_locks;
    CHECK(ended_well(fork_to(nothing)));
    CHECK(get() == 1);
}

/* With backend none it can be read. */
static void test_the_list_is_empty_after_a_fork(const struct setup *s)
{
    make_with_company(s);
    for (int locked = 0; locked < 2; locked++) {
        CHECK(ended_well(fork_to(use_everything)));
        CHECK(s->backend != MPK_BACKEND_NONE || mpk_ro.stage->slots == 0);
        CHECK(get() == 1);
        mlockall(MCL_CURRENT);
    }
}

/* ---- the child ---- */

/* As if it had the handlers of fork behind it, and another that lies. */
static void has_no_domain(void)
{
    struct {
        uint64_t step;
    } frame = {2};

    CHECK(mpk_out.dead == MPK_DEAD_NO_COPY);
    CHECK(mpk_call(1, &frame) == -EINVAL);
}

static void say_that_there_is_a_domain(void)
{
    mpk_out.dead = 0;
}

static void has_none_for_its_children(void)
{
    has_no_domain();
    meanwhile = say_that_there_is_a_domain;
    CHECK(ended_well(fork_to(has_no_domain)));
}

static void let_nothing_be_moved(void)
{
    CHECK(fail_syscall(SYS_mremap, ENOMEM));
}

static void let_the_second_not_be_moved(void)
{
    unsigned to = (unsigned)(uintptr_t)mpk_ro.stage->span[1].start;

    CHECK(mpk_ro.stage->n > 1);
    CHECK(fail_syscall_with(SYS_mremap, 4, to, ENOMEM));
}

/* ---- the child, while threads of its parent are inside ---- */

static int told[2];

static void *stay_inside(void *arg)
{
    work_inside(500);
    return arg;
}

static void fork_when_told(void)
{
    char c;

    CHECK(read(told[0], &c, 1) == 1);
    CHECK(ended_well(fork_to(nothing)));
}

static void have_two_inside(pthread_t *two)
{
    for (int i = 0; i < 2; i++) {
        CHECK(pthread_create(&two[i], NULL, stay_inside, NULL) == 0);
    }
    usleep(200000);
}

static void end_both(const pthread_t *two)
{
    for (int i = 0; i < 2; i++) {
        CHECK(pthread_join(two[i], NULL) == 0);
    }
}

/* It finds all stacks taken but the one that fork has. */
static void parent_of_one_that_forks(pid_t (*make_child)(void))
{
    pthread_t two[2];
    pid_t pid;

    have_two_inside(two);
    end_both(two);
    CHECK(pipe(told) == 0);
    pid = make_child();
    have_two_inside(two);
    CHECK(write(told[1], "", 1) == 1);
    CHECK(ended_well(pid));
    CHECK(get() == 1);
    end_both(two);
    CHECK(ended_well(fork_to(nothing)));
}

static pid_t make_one_without(void)
{
    return fork_to(fork_when_told);
}

static pid_t make_raw_clone(void)
{
    return clone_to(fork_when_told);
}

static void
test_a_raw_clone_that_forks_leaves_its_parent_alone(const struct setup *s)
{
    make(s);
    parent_of_one_that_forks(make_raw_clone);
}

static void
test_a_child_that_forks_leaves_its_parent_alone(const struct setup *s)
{
    make(s);
    CHECK(fail_syscall(SYS_mremap, ENOMEM));
    parent_of_one_that_forks(make_one_without);
}

static _Atomic int enough;

static void *come_and_go(void *arg)
{
    while (!atomic_load(&enough)) {
        CHECK(get() == 1);
    }
    return arg;
}

static void cannot_read_the_number(void)
{
    CHECK(!readable(cell));
}

/* With backend mprotect it may have the domain open for all when the process
 * forks. */
static void test_a_child_whose_parents_threads_wait(const struct setup *s)
{
    pthread_t two[2];

    make(s);
    if (s->backend != MPK_BACKEND_MPROTECT ||
        mpk_ro.control_kind != MAP_SECRET) {
        return;
    }
    CHECK(fail_syscall(SYS_mremap, ENOMEM));
    for (int i = 0; i < 2; i++) {
        CHECK(pthread_create(&two[i], NULL, come_and_go, NULL) == 0);
    }
    for (int i = 0; i < 40; i++) {
        CHECK(ended_well(fork_to(cannot_read_the_number)));
    }
    atomic_store(&enough, 1);
    end_both(two);
}

/* ---- the child, where memory is not moved ---- */

static void fork_while(void (*what)(void), const struct setup *s)
{
    CHECK(leave_unheld()); /* or see held_test */
    make_with_company(s);
    if (mpk_ro.control_kind == MAP_SECRET) {
        meanwhile = what;
        CHECK(ended_well(fork_to(has_none_for_its_children)));
        CHECK(get() == 1);
    }
}

static void test_a_child_where_nothing_is_moved(const struct setup *s)
{
    fork_while(let_nothing_be_moved, s);
}

static void test_a_child_where_half_is_moved(const struct setup *s)
{
    fork_while(let_the_second_not_be_moved, s);
}

/* It has taken all of it, or says that it has none. */
static void has_all_or_nothing(void)
{
    if (mpk_out.dead == 0) {
        use_everything();
    }
}

/* A fork of so many takes its time: with one backend. */
static void test_a_child_with_hardly_a_mapping_left(const struct setup *s)
{
    if (s->backend == MPK_BACKEND_MPROTECT) {
        return;
    }
    make_with_company(s);
    if (!take_all_mappings()) {
        return;
    }
    for (int i = 0; i < 8; i++) {
        give_mappings_back(2);
        CHECK(ended_well(fork_to(has_all_or_nothing)));
        CHECK(get() == 1);
    }
}

int main(void)
{
    static const struct core_test tests[] = {
        TEST(test_a_parent_at_the_limit_on_data_goes_on, NOT_SANITIZED),
        TEST(test_a_parent_at_the_limit_on_locks_goes_on,
             ONE_MEMORY | NOT_SANITIZED),
        TEST(test_without_a_list_there_are_no_copies, NOT_SANITIZED),
        TEST(test_the_list_is_empty_after_a_fork, 0),
        TEST(test_a_raw_clone_that_forks_leaves_its_parent_alone, ONE_MEMORY),
        TEST(test_a_child_that_forks_leaves_its_parent_alone, ONE_MEMORY),
        TEST(test_a_child_whose_parents_threads_wait, ONE_MEMORY),
        TEST(test_a_child_where_nothing_is_moved, 0),
        TEST(test_a_child_where_half_is_moved, 0),
        TEST(test_a_child_with_hardly_a_mapping_left,
             ONE_MEMORY | NOT_SANITIZED),
    };

    return core_test_main(tests, COUNT_OF(tests));
}
