/*
 * What becomes of a page group when the kernel does not do as it is asked: it
 * is not open by mistake, and nothing passes for closed that is open.
 *
 * A group whose first page the program has locked is two mappings, of which the
 * kernel changes one and then fails. All that opens in part was seen to fail
 * with map_group_change's way back left out, mpk_end with a count that is put
 * back and -ENOMEM in place of the end of the process. What is to close without
 * a mapping was, without the pages between groups.
 */
#include "core_test.h"
#include "fail_syscall.h"

#include "../../mpkcore/vkey.h"

#include <mpkcore/mpk.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define LARGE ((size_t)16 << 20)
#define OTHERS 6

static mpk_vkey_t large, other[OTHERS];
static char *large_at;

static char *group(mpk_vkey_t *vkey, size_t len)
{
    void *p = NULL;

    if (mpk_mmap(vkey, &p, len, RW, ANON, -1, 0) != 0) {
        _exit(1);
    }
    return p;
}

/* Each has a key for a while, where there are keys. */
static void use_others(void)
{
    for (int i = 0; i < OTHERS; i++) {
        CHECK(mpk_begin(other[i], RW) == 0);
        CHECK(!readable(large_at));
        CHECK(mpk_end(other[i]) == 0);
    }
}

/* A large group in two mappings, closed, and without a key. */
static void start(const struct setup *s)
{
    struct mpk_params params = {.backend = s->backend, .max_keys = 3};

    if (mpk_init(&params) != 0) {
        _exit(1);
    }
    alarm(60);
    large_at = group(&large, LARGE);
    for (int i = 0; i < OTHERS; i++) {
        group(&other[i], 4096);
    }
    CHECK(mpk_begin(large, RW) == 0);
    large_at[0] = 's';
    CHECK(mlock(large_at, 4096) == 0);
    CHECK(mpk_end(large) == 0);
    use_others();
}

/* Half of the group, and all that the domain has, can be opened until then. */
static void lift_limit(void)
{
    struct rlimit none = {RLIM_INFINITY, RLIM_INFINITY};

    CHECK(setrlimit(RLIMIT_DATA, &none) == 0);
}

static void is_a_group_as_ever(void)
{
    CHECK(!readable(large_at));
    use_others();
    lift_limit();
    CHECK(mpk_begin(large, RW) == 0);
    CHECK(large_at[0] == 's' && writable(large_at + LARGE - 1));
    CHECK(mpk_end(large) == 0);
    CHECK(!readable(large_at));
    CHECK(mpk_munmap(large) == 0);
}

static void test_a_begin_that_opens_in_part_opens_nothing(const struct setup *s)
{
    start(s);
    limit_data(LARGE / 2);
    CHECK(mpk_begin(large, RW) == -ENOMEM);
    is_a_group_as_ever();
}

static void test_nor_does_one_for_all_threads(const struct setup *s)
{
    start(s);
    limit_data(LARGE / 2);
    CHECK(mpk_mprotect(large, RW) == -ENOMEM);
    is_a_group_as_ever();
}

static void test_a_right_of_all_is_what_it_was(const struct setup *s)
{
    start(s);
    CHECK(mpk_mprotect(large, PROT_READ) == 0);
    limit_data(LARGE / 2);
    CHECK(mpk_mprotect(large, RW) == -ENOMEM);
    CHECK(readable(large_at) && readable(large_at + LARGE - 1));
    CHECK(!writable(large_at));
    CHECK(mpk_begin(large, RW) == -EBUSY);
    CHECK(mpk_mprotect(large, PROT_NONE) == 0);
    is_a_group_as_ever();
}

/* Without keys who writes needs more than who reads already has. */
static void test_who_reads_keeps_that_and_no_more(const struct setup *s)
{
    start(s);
    CHECK(mpk_begin(large, PROT_READ) == 0);
    limit_data(LARGE / 2);
    if (s->backend == MPK_BACKEND_MPROTECT) {
        CHECK(mpk_begin(large, RW) == -ENOMEM);
    }
    CHECK(readable(large_at) && !writable(large_at));
    CHECK(mpk_end(large) == 0);
    is_a_group_as_ever();
}

/* ---- pages that cannot be changed back, or closed ------------------------ */

/* Every later change of the pages, and of no others. */
static void fail_for(const struct setup *s, const char *p)
{
    CHECK(fail_syscall_with(s->backend == MPK_BACKEND_MPK ? SYS_pkey_mprotect
                                                          : SYS_mprotect,
                            0, (unsigned)(uintptr_t)p, ENOMEM));
}

static void begin_without_a_way_back(const struct setup *s)
{
    start(s);
    fail_for(s, large_at);
    CHECK(mpk_begin(large, RW) == 0);
}

static void
test_what_cannot_be_closed_again_ends_the_process(const struct setup *s)
{
    struct outcome o = run_in_child(begin_without_a_way_back, s);

    CHECK(ended_by_fatal(&o, "changed in part"));
}

/* They can be opened still. */
static void fail_to_close(const char *p)
{
    CHECK(fail_closing(0, (unsigned)(uintptr_t)p, ENOMEM));
}

static void end_without_closing(const struct setup *s)
{
    start(s);
    CHECK(mpk_begin(large, RW) == 0);
    fail_to_close(large_at);
    CHECK(mpk_end(large) == 0);
    CHECK(!readable(large_at));
}

/* With keys it is closed by an instruction, which does not fail. */
static void test_an_end_that_does_not_close_is_the_last(const struct setup *s)
{
    struct outcome o = run_in_child(end_without_closing, s);

    CHECK(s->backend == MPK_BACKEND_MPK
              ? o.status == 0
              : ended_by_fatal(&o, "a page group cannot be closed"));
}

/* The caller is told, and nothing is closed in part. */
static void test_what_is_open_for_all_stays_so(const struct setup *s)
{
    start(s);
    CHECK(mpk_mprotect(large, RW) == 0);
    if (s->backend == MPK_BACKEND_MPROTECT) {
        fail_to_close(large_at);
        CHECK(mpk_mprotect(large, PROT_NONE) == -ENOMEM);
    }
    CHECK(readable(large_at) && writable(large_at + LARGE - 1));
    CHECK(mpk_begin(large, RW) == 0 && mpk_end(large) == 0);
}

/* A group of the program's own flags, whose pages the kernel does not unmap. */
static void test_what_cannot_be_given_up_is_a_group(const struct setup *s)
{
    mpk_vkey_t vkey;
    void *p = NULL;

    start(s);
    CHECK(mpk_mmap(&vkey, &p, 4096, RW, ANON | MAP_NORESERVE, -1, 0) == 0);
    CHECK(mpk_mprotect(vkey, RW) == 0 && writable(p));
    CHECK(fail_syscall_with(SYS_munmap, 0, (unsigned)(uintptr_t)p, ENOMEM));
    CHECK(mpk_munmap(vkey) == -ENOMEM);
    CHECK(readable(p));
    CHECK(mpk_mprotect(vkey, PROT_NONE) == 0 && !readable(p));
    CHECK(mpk_begin(vkey, RW) == 0 && mpk_end(vkey) == 0);
}

/* ---- a thread that nobody can tell from another one ---------------------- */

static void *begins_unknown(void *unused)
{
    (void)unused;
    CHECK(fail_syscall(SYS_gettid, EPERM));
    CHECK(mpk_begin(large, PROT_READ) == -EPERM);
    return NULL;
}

/* The second one would count as the first, whose pins would go. */
static void test_a_thread_without_a_number_begins_nothing(const struct setup *s)
{
    pthread_t t[2];

    start(s);
    CHECK(mpk_begin(large, RW) == 0);
    for (size_t i = 0; i < COUNT_OF(t); i++) {
        CHECK(pthread_create(&t[i], NULL, begins_unknown, NULL) == 0);
    }
    for (size_t i = 0; i < COUNT_OF(t); i++) {
        CHECK(pthread_join(t[i], NULL) == 0);
    }
    CHECK(readable(large_at));
    CHECK(mpk_end(large) == 0 && !readable(large_at));
}

/* ---- without a mapping --------------------------------------------------- */

/* Groups that nobody had before are side by side. */
static void three(char *at[3], mpk_vkey_t vkey[3])
{
    for (int i = 0; i < 3; i++) {
        at[i] = group(&vkey[i], 4096);
    }
}

static void ends_the_middle_one(char *at[3], mpk_vkey_t vkey[3])
{
    CHECK(mpk_begin(vkey[1], RW) == 0);
    *at[1] = 's';
    if (!take_all_mappings()) {
        puts("     too many mappings are allowed here");
    }
    CHECK(mpk_end(vkey[1]) == 0);
    CHECK(readable(at[0]) && !readable(at[1]) && readable(at[2]));
    give_mappings_back(100000);
    CHECK(mpk_begin(vkey[1], PROT_READ) == 0 && *at[1] == 's');
}

static void test_the_middle_one_of_three_needs_none(const struct setup *s)
{
    mpk_vkey_t vkey[3];
    char *at[3];

    start(s);
    three(at, vkey);
    CHECK(mpk_begin(vkey[0], RW) == 0 && mpk_begin(vkey[2], RW) == 0);
    ends_the_middle_one(at, vkey);
}

static void
test_nor_does_one_between_what_is_open_for_all(const struct setup *s)
{
    mpk_vkey_t vkey[3];
    char *at[3];

    start(s);
    three(at, vkey);
    CHECK(mpk_mprotect(vkey[0], RW) == 0 && mpk_mprotect(vkey[2], RW) == 0);
    ends_the_middle_one(at, vkey);
}

static const struct core_test tests[] = {
    TEST(test_a_begin_that_opens_in_part_opens_nothing,
         ONE_MEMORY | NEEDS_CLOSING | NOT_SANITIZED),
    TEST(test_nor_does_one_for_all_threads,
         ONE_MEMORY | NEEDS_CLOSING | NOT_SANITIZED),
    TEST(test_a_right_of_all_is_what_it_was,
         ONE_MEMORY | NEEDS_CLOSING | NOT_SANITIZED),
    TEST(test_who_reads_keeps_that_and_no_more,
         ONE_MEMORY | NEEDS_CLOSING | NOT_SANITIZED),
    TEST(test_what_cannot_be_closed_again_ends_the_process,
         ONE_MEMORY | NEEDS_CLOSING),
    TEST(test_an_end_that_does_not_close_is_the_last,
         ONE_MEMORY | NEEDS_CLOSING),
    TEST(test_what_is_open_for_all_stays_so, ONE_MEMORY | NEEDS_CLOSING),
    TEST(test_what_cannot_be_given_up_is_a_group, ONE_MEMORY | NEEDS_CLOSING),
    TEST(test_a_thread_without_a_number_begins_nothing,
         ONE_MEMORY | NEEDS_CLOSING | NOT_SANITIZED),
    TEST(test_the_middle_one_of_three_needs_none,
         ONE_MEMORY | NEEDS_CLOSING | NOT_SANITIZED),
    TEST(test_nor_does_one_between_what_is_open_for_all,
         ONE_MEMORY | NEEDS_CLOSING | NOT_SANITIZED),
};

int main(void)
{
    return core_test_main(tests, COUNT_OF(tests));
}
