/*
 * Where the kernel can seal mappings (mseal, Linux 6.10), pages of the domain
 * stay where they are and what they are, whatever system call libc can be made
 * to do; and a child of fork still has a domain of its own, which stays too.
 *
 * Seen to fail: what is held, without map_hold at each of its places; that of
 * the child with what is copied given to it (no MADV_DONTFORK); that of another
 * library's memory without take_place, and that they allocate elsewhere without
 * the room beside the domain; the one that is given all when that is not noted;
 * half of a domain when the core's slot is the first that is moved; slots that
 * were forged or not made when the gate does not ask for the mark; the mark
 * that is known when it asks for no more where there is no domain; many groups
 * when the kernel's file is read once; the raw clone that forks when fork does
 * not ask whether the domain is gone.
 */
#include "fail_syscall.h"
#include "fork_cell.h"

#include "../../mpkcore/internal.h"

#include <errno.h>
#include <grp.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Whether this kernel seals, and the backend leaves rights as they are. */
static bool is_held_here(const struct setup *s)
{
    return s->backend != MPK_BACKEND_MPROTECT && can_seal_mappings();
}

/* Whether a child finds nothing where its copies go. */
static bool has_holes(void)
{
    return mpk_ro.here != NULL && mpk_ro.control_kind == MAP_SECRET;
}

/* Gets memory of the program's own there. */
static char *fill_hole(char *start, size_t len)
{
    char *p = mmap(start, len, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

    if (p != start) {
        _exit(1);
    }
    return p;
}

/* Ends as |pid| does; by no signal of the core's if it ends by itself. */
static _Noreturn void end_as(pid_t pid)
{
    int status = 0;

    waitpid(pid, &status, 0);
    signal(SIGABRT, SIG_DFL);
    raise(WIFSIGNALED(status) ? WTERMSIG(status) : SIGUSR1);
    _exit(1);
}

/* ---- what is held ------------------------------------------------------- */

static void *elsewhere(void)
{
    return mmap(NULL, MPK_PAGE, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

/* The ways that libc's free, realloc and pthread_create have, and another. */
static bool stays(char *page)
{
    return munmap(page, MPK_PAGE) != 0 &&
           mremap(page, MPK_PAGE, MPK_PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
                  elsewhere()) == MAP_FAILED &&
           mremap(page, 0, MPK_PAGE, MREMAP_MAYMOVE) == MAP_FAILED &&
           mprotect(page, MPK_PAGE, PROT_READ) != 0 &&
           pkey_mprotect(page, MPK_PAGE, PROT_READ | PROT_WRITE, 0) != 0 &&
           mmap(page, MPK_PAGE, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED;
}

static bool all_stay(char *from, const char *to)
{
    bool all = true;

    for (; from < to; from += MPK_PAGE) {
        all &= stays(from);
    }
    return all;
}

/* Once it is there: a domain has more of it by and by. */
static void look_at_all(void)
{
    uint32_t slots = atomic_load(&mpk_out.slots_ready);

    for (uint32_t i = 0; i < slots; i++) {
        CHECK(all_stay(slot_low(i), slot_low(i) + SLOT_MAPPED));
    }
    CHECK(all_stay((char *)mpk_ro.domain, atomic_load(&mpk_out.heap_end)));
    CHECK(stays((char *)mpk_ro.here));
    CHECK(get() == 1);
}

static void *stay_inside(void *arg)
{
    work_inside(200);
    return arg;
}

/* As many stacks as threads are inside at once, and more of the heap. */
static void have_it_grow(void)
{
    pthread_t thread[4];
    char *end = atomic_load(&mpk_out.heap_end);

    for (size_t i = 0; i < COUNT_OF(thread); i++) {
        CHECK(pthread_create(&thread[i], NULL, stay_inside, NULL) == 0);
    }
    for (size_t i = 0; i < COUNT_OF(thread); i++) {
        CHECK(pthread_join(thread[i], NULL) == 0);
    }
    CHECK(atomic_load(&mpk_out.slots_ready) >= COUNT_OF(thread));
    take_blocks(100);
    CHECK(atomic_load(&mpk_out.heap_end) > end);
}

static void test_nothing_of_the_domain_goes(const struct setup *s)
{
    bool held = is_held_here(s);

    make(s);
    CHECK((mpk_ro.here != NULL) == held);
    if (held) {
        look_at_all();
        have_it_grow();
        look_at_all();
    }
}

/* Pages that nobody may write: what is thrown away would be zero. */
static void test_nothing_is_thrown_away(const struct setup *s)
{
    if (is_held_here(s) && s->backend == MPK_BACKEND_MPK) {
        make(s);
        for (char *p = (char *)mpk_ro.domain;
             p < atomic_load(&mpk_out.heap_end); p += MPK_PAGE) {
            madvise(p, MPK_PAGE, MADV_DONTNEED);
        }
        CHECK(get() == 1);
        use_everything();
    }
}

/* ---- fork --------------------------------------------------------------- */

static void grandchild(void)
{
    look_at_all();
    use_everything();
}

static void child(void)
{
    look_at_all();
    have_it_grow();
    look_at_all();
    CHECK(ended_well(fork_to(grandchild)));
    use_everything();
}

static void test_a_childs_domain_stays_too(const struct setup *s)
{
    make(s);
    if (mpk_ro.here != NULL) {
        CHECK(ended_well(fork_to(child)));
        have_it_grow();
        CHECK(ended_well(fork_to(child)));
        look_at_all();
    }
}

/* A handler of another library's that comes before ours, and allocates. */
static void allocate(void)
{
    for (size_t len = MPK_UNIT; len <= (size_t)8 << 20; len *= 2) {
        char *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        CHECK(p != MAP_FAILED && (p < mpk_ro.base || p >= mpk_ro.end));
    }
}

static void test_others_allocate_elsewhere(const struct setup *s)
{
    CHECK(pthread_atfork(NULL, NULL, allocate) == 0);
    make(s);
    take_blocks(1000);
    CHECK(ended_well(fork_to(use_everything)));
}

/* From now on pages cannot be kept from a child, nor can it have them sealed.
 */
static void test_a_child_that_is_given_all(const struct setup *s)
{
    make(s);
    CHECK(fail_syscall(SYS_madvise, EPERM));
    take_blocks(100);
    CHECK(ended_well(fork_to(use_everything)));
    CHECK(get() == 1);
}

static void let_the_heap_not_be_moved(void)
{
    const struct map_stage *stage = mpk_ro.stage;
    unsigned to = (unsigned)(uintptr_t)stage->span[stage->n - 1].start;

    CHECK(stage->n > 1);
    CHECK(fail_syscall_with(SYS_mremap, 4, to, ENOMEM));
}

/* Or the step that opens the gate could be taken there. */
static void has_no_slot(void)
{
    CHECK(mpk_out.dead == MPK_DEAD_NO_COPY);
    CHECK(madvise(slot_low(MPK_CORE_SLOT), MPK_PAGE, MADV_DONTDUMP) != 0);
}

static void test_half_of_a_domain_has_no_slot(const struct setup *s)
{
    make_with_company(s);
    if (has_holes()) {
        meanwhile = let_the_heap_not_be_moved;
        CHECK(ended_well(fork_to(has_no_slot)));
        CHECK(get() == 1);
    }
}

/* The program has a filter from now on: nothing is sealed any more. */
static void test_a_filter_that_comes_later(const struct setup *s)
{
    if (is_held_here(s)) {
        make(s);
        CHECK(end_by_syscall(SYS_mseal));
        have_it_grow();
        CHECK(ended_well(fork_to(use_everything)));
        CHECK(get() == 1);
        have_it_grow();
        CHECK(ended_well(fork_to(use_everything)));
    }
}

/* ---- in a process whose system calls are filtered ----------------------- */

/* Of a call that nobody makes. */
static bool have_a_filter(void)
{
    bool has = fail_syscall(SYS_acct, EPERM);

    CHECK(has);
    return has;
}

static void test_a_filter_is_not_tried(const struct setup *s)
{
    if (is_held_here(s)) {
        CHECK(end_by_syscall(SYS_mseal));
        make(s);
        CHECK(mpk_ro.here == NULL);
        use_everything();
    }
}

static void test_unless_its_owner_says_so(const struct setup *s)
{
    if (is_held_here(s) && have_a_filter()) {
        domain_seal = MPK_SEAL_TRY;
        make(s);
        CHECK(mpk_ro.here != NULL);
        have_it_grow();
        look_at_all();
        CHECK(ended_well(fork_to(child)));
    }
}

static void test_a_call_that_is_denied_seals_nothing(const struct setup *s)
{
    if (is_held_here(s)) {
        CHECK(fail_syscall(SYS_mseal, EPERM));
        domain_seal = MPK_SEAL_TRY;
        make(s);
        CHECK(mpk_ro.here == NULL);
        have_it_grow();
        CHECK(ended_well(fork_to(use_everything)));
    }
}

/* What was sealed stays so, and what comes then is part of the domain. */
static void test_one_that_is_denied_later(const struct setup *s)
{
    if (is_held_here(s) && have_a_filter()) {
        domain_seal = MPK_SEAL_TRY;
        make(s);
        CHECK(fail_syscall(SYS_mseal, EPERM));
        CHECK(all_stay((char *)mpk_ro.domain, mpk_ro.heap + MPK_UNIT));
        have_it_grow();
        CHECK(ended_well(fork_to(use_everything)));
        CHECK(get() == 1);
    }
}

/* ---- a child without ---------------------------------------------------- */

static char *anothers;

/* A handler of another library's that comes before ours in the child, and
 * allocates. */
static void take_the_place(void)
{
    if (has_holes() && anothers == NULL) {
        anothers = fill_hole(mpk_ro.heap, MPK_UNIT);
        memset(anothers, 'x', MPK_UNIT);
    }
}

static bool is_untouched(const char *p, size_t len)
{
    bool same = true;

    for (size_t i = 0; i < len; i++) {
        same &= p[i] == 'x';
    }
    return same;
}

static void keep_what_is_theirs(void)
{
    CHECK(mpk_out.dead == MPK_DEAD_NO_PLACE);
    CHECK(is_untouched(anothers, MPK_UNIT));
    CHECK(ended_well(fork_to(use_no_domain)));
    CHECK(is_untouched(anothers, MPK_UNIT));
}

static void test_memory_of_others_is_left_alone(const struct setup *s)
{
    CHECK(pthread_atfork(NULL, NULL, take_the_place) == 0);
    make(s);
    if (has_holes()) {
        CHECK(ended_well(fork_to(keep_what_is_theirs)));
        CHECK(get() == 1);
    }
}

static void call_in(void)
{
    get();
}

static void call_without_domain(const struct setup *s)
{
    make(s);
    end_as(clone_to(call_in));
}

static void test_a_raw_clone_ends_at_the_gate(const struct setup *s)
{
    struct outcome o;

    if (is_held_here(s)) {
        o = run_in_child(call_without_domain, s);
        CHECK(ended_by_fatal(&o, "forked without fork handlers"));
    }
}

/*
 * Who can write anywhere has a child keep out of the copies, has what is
 * allocated there look like a slot, and says that there is a domain.
 */
static void forge_a_slot(void)
{
    struct {
        uint64_t step;
    } prepare = {0};

    fill_hole(slot_low(MPK_CORE_SLOT), SLOT_MAPPED);
    atomic_store(mpk_ro.here, 1);
    mpk_call(1, &prepare);
    _exit(2); /* it has run there */
}

static void forge(const struct setup *s)
{
    make(s);
    if (!has_holes()) {
        abort();
    }
    end_as(clone_to(forge_a_slot));
}

static void test_a_forged_slot_is_not_entered(const struct setup *s)
{
    struct outcome o;

    if (is_held_here(s) && s->memory == MPK_MEMORY_SECRETMEM) {
        o = run_in_child(forge, s);
        CHECK(ended_by_fatal(&o, "forked without fork handlers"));
    }
}

/* Of a light entry a signal's frame can show it; not a child's mark. */
static void forge_by_the_mark(void)
{
    struct mpk_slot *slot = slot_ctrl(1);
    uint64_t prepare = 0;

    fill_hole(slot_low(1), SLOT_MAPPED);
    slot->mark = mpk_ro.marks[1];
    CHECK(mpk_gate(1, &prepare, 1).status == MPK_GATE_DEAD);
}

static void test_a_known_mark_opens_no_slot(const struct setup *s)
{
    make(s);
    if (mpk_ro.here != NULL && s->backend == MPK_BACKEND_NONE &&
        s->memory == MPK_MEMORY_SECRETMEM) {
        CHECK(ended_well(clone_to(forge_by_the_mark)));
    }
}

#define NOT_MADE 40

/*
 * What is reserved is not sealed. Who has libc's free unmap it, and writes how
 * many stacks there are, would have the inside run on the program's memory.
 */
static void enter_where_none_was_made(const struct setup *s)
{
    char *low;

    make(s);
    low = slot_low(NOT_MADE);
    memset(mmap(low, SLOT_MAPPED, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
           0, SLOT_MAPPED);
    atomic_store(&mpk_out.slots_ready, NOT_MADE + 1);
    slot_had(NOT_MADE);
    get();
}

static void test_a_stack_that_was_not_made_is_not_entered(const struct setup *s)
{
    struct outcome o = run_in_child(enter_where_none_was_made, s);

    CHECK(s->backend == MPK_BACKEND_MPROTECT || o.killed_by == SIGILL);
}

/* The kernel tells of a filter behind the groups of a user. */
static void test_a_user_in_many_groups(const struct setup *s)
{
    gid_t groups[700];

    for (size_t i = 0; i < COUNT_OF(groups); i++) {
        groups[i] = (gid_t)(100000 + i);
    }
    if (is_held_here(s) && setgroups(COUNT_OF(groups), groups) == 0) {
        make(s);
        CHECK(mpk_ro.here != NULL);
    }
}

/* Memory of the program's own is where the domain was. */
static void fork_with_memory_there(void)
{
    char *p = fill_hole(slot_low(MPK_CORE_SLOT), SLOT_MAPPED);

    memset(p, 'x', SLOT_MAPPED);
    CHECK(ended_well(fork_to(use_no_domain)));
    CHECK(is_untouched(p, SLOT_MAPPED));
}

static void test_a_raw_clone_may_fork(const struct setup *s)
{
    make(s);
    if (has_holes()) {
        CHECK(ended_well(clone_to(fork_with_memory_there)));
        CHECK(get() == 1);
    }
}

int main(void)
{
    static const struct core_test tests[] = {
        TEST(test_nothing_of_the_domain_goes, NEEDS_LOCKING),
        TEST(test_nothing_is_thrown_away, 0),
        TEST(test_a_childs_domain_stays_too, NEEDS_LOCKING | NOT_TSAN),
        TEST(test_others_allocate_elsewhere, NEEDS_LOCKING),
        TEST(test_a_child_that_is_given_all, NEEDS_LOCKING),
        TEST(test_half_of_a_domain_has_no_slot, 0),
        TEST(test_a_filter_that_comes_later, NEEDS_LOCKING),
        TEST(test_a_filter_is_not_tried, NEEDS_LOCKING),
        TEST(test_unless_its_owner_says_so, NEEDS_LOCKING),
        TEST(test_a_call_that_is_denied_seals_nothing, NEEDS_LOCKING),
        TEST(test_one_that_is_denied_later, NEEDS_LOCKING),
        TEST(test_memory_of_others_is_left_alone, 0),
        TEST(test_a_raw_clone_ends_at_the_gate, 0),
        TEST(test_a_forged_slot_is_not_entered, 0),
        TEST(test_a_known_mark_opens_no_slot, 0),
        TEST(test_a_stack_that_was_not_made_is_not_entered, 0),
        TEST(test_a_user_in_many_groups, ONE_MEMORY),
        TEST(test_a_raw_clone_may_fork, 0),
    };

    return core_test_main(tests, COUNT_OF(tests));
}
