/*
 * Fork in a process that is at one of its limits when the copies have been
 * taken, so that a step that comes after could not be had: the parent goes on,
 * and the child has a domain, or has none until it calls exec.
 *
 * Seen to fail: the first when the list is made writable again to be emptied;
 * the second when pages that are locked are not; the others when a child in
 * which the kernel moves nothing ends at once, and those of a domain put in
 * place by half also when the list stays.
 */
#include "fail_syscall.h"
#include "fork_cell.h"

#include "../../mpkcore/internal.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>

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

static void fork_while(void (*what)(void), const struct setup *s)
{
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
        TEST(test_the_list_is_empty_after_a_fork, 0),
        TEST(test_a_child_where_nothing_is_moved, 0),
        TEST(test_a_child_where_half_is_moved, 0),
        TEST(test_a_child_with_hardly_a_mapping_left,
             ONE_MEMORY | NOT_SANITIZED),
    };

    return core_test_main(tests, COUNT_OF(tests));
}
