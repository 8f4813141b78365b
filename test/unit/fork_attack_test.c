/*
 * What a thread that can write outside makes of a fork while it is under way:
 * between the first handler and the last the copies of the domain are there,
 * and the list that the child goes by.
 *
 * Seen to fail: the first when the copies' descriptor is open until the last
 * handler, as any number that a program maps could be made that one; the
 * second when the list lies where everybody can write; the third when the
 * copies are not closed (backend mprotect) or have no key; the two after those
 * of the list when the last step goes by the list, and when it is taken as soon
 * as the gate is shut; the next when the frame is copied out; those of
 * processes without copies when FORK_CHILD is taken wherever the state word was
 * wiped, and of these the two in the middle of a fork also when it is enough
 * that there is a list; the one that moved nothing when any error of madvise is
 * taken for a sign that it did; what a raw clone forks when it keeps the list;
 * the second child with the same copies when FORK_CHILD does not ask who was
 * first; that of mprotect when the list is no sealed file; the parent's with
 * ordinary memory when FORK_CHILD does not look at the state word; the list
 * that is no file without show_page; the copies that stay, and the list that
 * does, when drop_copies and empty_list do not ask whether they are gone.
 */
#include "fail_syscall.h"
#include "fork_cell.h"

#include "../../mpkcore/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void nothing(void)
{
}

/* ---- the copies ---- */

static int fds, looked;

static bool is_secretmem(int fd)
{
    char link[32], name[64] = "";

    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    return readlink(link, name, sizeof(name) - 1) > 0 &&
           strstr(name, "secretmem") != NULL;
}

static void look_for_descriptors(void)
{
    looked++;
    CHECK(open_fds() == fds);
    for (int fd = 0; fd < 256; fd++) {
        CHECK(!is_secretmem(fd));
    }
}

static void test_no_descriptor_of_the_copies_is_open(const struct setup *s)
{
    make_with_company(s);
    fds = open_fds();
    meanwhile = look_for_descriptors;
    CHECK(ended_well(fork_to(use_everything)));
    CHECK(looked == 1);
    CHECK(get() == 1);
}

static void write_to_the_list(void)
{
    ((volatile struct map_stage *)mpk_ro.stage)->n = 0;
}

static void fork_while_the_list_is_written(const struct setup *s)
{
    make_with_company(s);
    meanwhile = write_to_the_list;
    fork_to(nothing);
}

static void test_the_list_cannot_be_written(const struct setup *s)
{
    struct outcome o = run_in_child(fork_while_the_list_is_written, s);

    CHECK(o.status == FAULTED && o.signo == SIGSEGV && o.code == SEGV_ACCERR);
}

/* As where there can be no sealed file: it is a page of its own. */
static void fork_while_the_page_is_written(const struct setup *s)
{
    CHECK(leave_unsealed());
    fork_while_the_list_is_written(s);
}

static void test_the_list_is_not_written_as_a_page_either(const struct setup *s)
{
    struct outcome o = run_in_child(fork_while_the_page_is_written, s);

    CHECK(o.status == FAULTED && o.signo == SIGSEGV && o.code == SEGV_ACCERR);
}

static void make_the_list_writable(void)
{
    CHECK(mprotect(mpk_ro.stage, MPK_PAGE, PROT_READ | PROT_WRITE) != 0);
}

/* As libc's pthread_create does, if words say so that anybody can write. */
static void test_the_list_cannot_be_made_writable(const struct setup *s)
{
    make_with_company(s);
    meanwhile = make_the_list_writable;
    CHECK(ended_well(fork_to(use_everything)));
    CHECK(get() == 1);
}

static void read_the_copies(void)
{
    const volatile char *copy = mpk_ro.stage->copy;

    if (copy == NULL) {
        _exit(0); /* ordinary memory is copied by the kernel */
    }
    (void)*copy;
    _exit(1);
}

static void fork_while_the_copies_are_read(const struct setup *s)
{
    make_with_company(s);
    meanwhile = read_the_copies;
    fork_to(nothing);
}

static void test_the_copies_are_closed(const struct setup *s)
{
    struct outcome o = run_in_child(fork_while_the_copies_are_read, s);

    if (o.status != 0) {
        CHECK(o.status == FAULTED && o.signo == SIGSEGV);
        CHECK(o.code ==
              (s->backend == MPK_BACKEND_MPK ? SEGV_PKUERR : SEGV_ACCERR));
    }
}

/* As it is before. */
static void read_the_list(const struct setup *s)
{
    make_with_company(s);
    CHECK(ended_well(fork_to(nothing)));
    (void)*(const volatile uint32_t *)&mpk_ro.stage->n;
}

static void test_the_list_is_closed_after_a_fork(const struct setup *s)
{
    struct outcome o = run_in_child(read_the_list, s);

    CHECK(o.status == FAULTED && o.signo == SIGSEGV);
}

static char *copies;

static void say_that_there_is_no_domain(void)
{
    copies = mpk_ro.stage->copy;
    mpk_out.dead = MPK_DEAD_CLONE;
}

static void say_that_there_is_one(void)
{
    mpk_out.dead = 0;
}

static bool is_mapped(const char *page)
{
    unsigned char resident;

    return page != NULL && mincore((void *)page, MPK_PAGE, &resident) == 0;
}

/* The first fork leaves the gate shut, and the second drops the list of the
 * first and then opens it. */
static void test_the_copies_go_although_the_list_is_gone(const struct setup *s)
{
    make_with_company(s);
    meanwhile = say_that_there_is_no_domain;
    CHECK(ended_well(fork_to(nothing)));
    meanwhile = say_that_there_is_one;
    CHECK(ended_well(fork_to(nothing)));
    meanwhile = NULL;
    CHECK(get() == 1);
    CHECK(!is_mapped(copies));
    CHECK(ended_well(fork_to(use_everything)));
}

/* ---- what cannot be dropped ---- */

static bool has_secretmem(void)
{
    return mpk_ro.control_kind == MAP_SECRET;
}

static void let_nothing_be_unmapped(void)
{
    CHECK(fail_syscall(SYS_munmap, EPERM));
}

static void fork_while_nothing_is_unmapped(const struct setup *s)
{
    make_with_company(s);
    if (has_secretmem()) {
        meanwhile = let_nothing_be_unmapped;
        fork_to(nothing);
        _exit(1);
    }
}

/* Or has ended by itself, where it is not to be tried. */
static void ends_by(child_body *body, const struct setup *s, const char *why)
{
    struct outcome o = run_in_child(body, s);

    CHECK(o.status == 0 || ended_by_fatal(&o, why));
}

/* Where they lie counts as outside: an entry would take them for its input. */
static void test_copies_that_stay_end_the_process(const struct setup *s)
{
    ends_by(fork_while_nothing_is_unmapped, s,
            "what fork copies cannot be dropped");
}

static void let_nothing_be_mapped(void)
{
    const struct rlimit none = {MPK_PAGE, MPK_PAGE};
    char line[512] = "";

    CHECK(in_smaps(getpid(), mpk_ro.stage, "", line, sizeof(line)));
    if (strstr(line, "memfd:") == NULL) {
        _exit(0); /* a page of its own, which needs nothing to be emptied */
    }
    CHECK(setrlimit(RLIMIT_AS, &none) == 0);
}

static void fork_while_nothing_is_mapped(const struct setup *s)
{
    make_with_company(s);
    meanwhile = let_nothing_be_mapped;
    fork_to(nothing);
    _exit(1);
}

/* By it a raw clone, for which nobody has copied anything, would count as one
 * with copies of its own. */
static void test_a_list_that_stays_ends_the_process(const struct setup *s)
{
    ends_by(fork_while_nothing_is_mapped, s,
            "the list of what fork copies cannot be dropped");
}

static int64_t opened;

static void *open_in_a_fork(void *arg)
{
    opened = open_early();
    return arg;
}

/* Another thread's fork, whose step somebody has changed on its stack. */
static void test_nobody_opens_while_the_copies_are_made(const struct setup *s)
{
    pthread_t thread;

    make_with_company(s);
    CHECK(pthread_create(&thread, NULL, open_in_a_fork, NULL) == 0);
    usleep(20000);
    CHECK(ended_well(fork_to(use_everything)));
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(opened == -EINVAL);
    CHECK(get() == 1);
}

/* A frame that is among the copies while they are made would go back to what
 * was there before. */
static void test_no_frame_of_fork_goes_back(const struct setup *s)
{
    static const uint64_t parent = 1;

    make(s);
    CHECK(mpk_call(1, (void *)(uintptr_t)&parent) == -EINVAL);
    CHECK(get() == 1);
}

/* ---- processes without copies ---- */

/* Where the domain stays, such a child does not come inside (held_test). */
static void make_unheld(const struct setup *s)
{
    CHECK(leave_unheld());
    make_with_company(s);
}

/* Where memory is ordinary there are no copies to be put in place first. */
static void take_the_childs_step(void)
{
    int64_t err = childs_step();

    /* With backend mprotect who forks has the lock that it would wait for. */
    CHECK(err == -EINVAL || err == -EDEADLK);
}

/* It would make all who are inside look gone, and open the gate. */
static void test_the_parent_does_not_take_its_childs_step(const struct setup *s)
{
    make_with_company(s);
    take_the_childs_step();
    meanwhile = take_the_childs_step;
    CHECK(ended_well(fork_to(use_everything)));
    CHECK(get() == 1);
}

/* As if it had the handlers of fork behind it. */
static void say_that_copies_are_in_place(void)
{
    forget_the_parents_threads();
    CHECK(childs_step() == -EINVAL);
}

static void clone_that_lies(void)
{
    CHECK(ended_well(clone_to(say_that_copies_are_in_place)));
}

static void test_a_raw_clone_gets_no_domain(const struct setup *s)
{
    make_unheld(s);
    clone_that_lies();
    CHECK(ended_well(fork_to(clone_that_lies)));
    CHECK(get() == 1);
}

/* What is ordinary memory is its own already. */
static void
test_a_raw_clone_gets_no_domain_in_the_middle_of_a_fork(const struct setup *s)
{
    make_unheld(s);
    if (has_secretmem()) {
        meanwhile = clone_that_lies;
        CHECK(ended_well(fork_to(use_everything)));
        CHECK(get() == 1);
    }
}

/* Where madvise is denied, which says nothing about what was moved. */
static void lie_having_moved_nothing(void)
{
    CHECK(fail_syscall(SYS_madvise, EPERM));
    say_that_copies_are_in_place();
}

static void clone_that_lies_and_moved_nothing(void)
{
    CHECK(ended_well(clone_to(lie_having_moved_nothing)));
}

static void
test_a_raw_clone_that_moved_nothing_gets_no_domain(const struct setup *s)
{
    make_unheld(s);
    if (has_secretmem()) {
        meanwhile = clone_that_lies_and_moved_nothing;
        CHECK(ended_well(fork_to(use_everything)));
        CHECK(get() == 1);
    }
}

static void has_no_domain(void)
{
    CHECK(mpk_out.dead != 0);
    say_that_copies_are_in_place();
}

/* The list is its parent's, for another child. */
static void fork_twice(void)
{
    forget_the_parents_threads();
    meanwhile = say_that_there_is_one;
    CHECK(ended_well(fork_to(has_no_domain)));
    CHECK(ended_well(fork_to(has_no_domain)));
}

static void clone_that_forks(void)
{
    CHECK(ended_well(clone_to(fork_twice)));
}

static void test_what_a_raw_clone_forks_gets_no_domain(const struct setup *s)
{
    make_unheld(s);
    if (has_secretmem()) {
        meanwhile = clone_that_forks;
        CHECK(ended_well(fork_to(use_everything)));
        CHECK(get() == 1);
    }
}

/* Who writes there has the child's handler do nothing. */
static void test_a_child_that_took_nothing_gets_no_domain(const struct setup *s)
{
    make_unheld(s);
    if (has_secretmem()) {
        meanwhile = say_that_there_is_no_domain;
        in_parent = say_that_there_is_one;
        CHECK(ended_well(fork_to(say_that_copies_are_in_place)));
        CHECK(get() == 1);
        meanwhile = in_parent = NULL;
        CHECK(ended_well(fork_to(use_everything)));
    }
}

/* ---- two with the same copies ---- */

/* Its parent forked by another thread's first step, as it does where somebody
 * makes it believe that this was its own. */
static void take_anothers_copies(void)
{
    CHECK(take_the_copies() == 0);
    use_everything();
}

static void clone_that_takes_the_copies(void)
{
    CHECK(ended_well(clone_to(take_anothers_copies)));
}

static void test_two_children_do_not_share_their_copies(const struct setup *s)
{
    int status;

    make_unheld(s);
    if (has_secretmem()) {
        meanwhile = clone_that_takes_the_copies;
        CHECK(waitpid(fork_to(use_everything), &status, 0) > 0);
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
        CHECK(get() == 1);
        meanwhile = NULL;
        CHECK(ended_well(fork_to(use_everything)));
    }
}

static void no_copies(const struct setup *s)
{
    make_unheld(s);
    CHECK(fail_syscall(SYS_memfd_secret, EMFILE));
    CHECK(ended_well(fork_to(say_that_copies_are_in_place)));
    CHECK(get() == 1);
}

static void test_a_child_without_copies_gets_no_domain(const struct setup *s)
{
    if (s->memory == MPK_MEMORY_SECRETMEM) {
        CHECK(run_in_child(no_copies, s).status == 0);
    }
}

int main(void)
{
    static const struct core_test tests[] = {
        TEST(test_no_descriptor_of_the_copies_is_open, 0),
        TEST(test_the_list_cannot_be_written, 0),
        TEST(test_the_list_is_not_written_as_a_page_either, 0),
        TEST(test_the_list_cannot_be_made_writable, 0),
        TEST(test_the_copies_are_closed, NEEDS_CLOSING),
        TEST(test_the_list_is_closed_after_a_fork, NEEDS_CLOSING),
        TEST(test_the_copies_go_although_the_list_is_gone, 0),
        TEST(test_copies_that_stay_end_the_process, NOT_SANITIZED),
        TEST(test_a_list_that_stays_ends_the_process, NOT_SANITIZED),
        TEST(test_nobody_opens_while_the_copies_are_made, 0),
        TEST(test_no_frame_of_fork_goes_back, 0),
        TEST(test_the_parent_does_not_take_its_childs_step, 0),
        TEST(test_a_raw_clone_gets_no_domain, 0),
        TEST(test_a_raw_clone_gets_no_domain_in_the_middle_of_a_fork, 0),
        TEST(test_a_raw_clone_that_moved_nothing_gets_no_domain, 0),
        TEST(test_what_a_raw_clone_forks_gets_no_domain, 0),
        TEST(test_a_child_that_took_nothing_gets_no_domain, 0),
        TEST(test_two_children_do_not_share_their_copies, 0),
        TEST(test_a_child_without_copies_gets_no_domain, 0),
    };

    return core_test_main(tests, COUNT_OF(tests));
}
