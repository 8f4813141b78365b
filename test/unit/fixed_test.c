/*
 * What does not change after the start cannot be changed by any system call
 * that other threads can have libc make: its malloc has words that anybody can
 * write say where memory becomes writable, or goes.
 *
 * Seen to fail: those of mprotect with mprotect in place of map_seal's sealed
 * file and without mseal, and that with a filter without the file; those of
 * munmap, of code, and of no files without mseal; that of the view with it
 * mapped before the seals; the filter's when nobody looks for one; that of
 * another mapping when the kernel is not asked for one; that of no bytes when
 * it does not matter whether they were written.
 */
#include "core_test.h"
#include "fail_syscall.h"

#include "../../mpkcore/vkey.h"

#include <mpkcore/mpk.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct mpk_entry entries[] = {MPK_CORE_ENTRIES, MPK_VKEY_ENTRIES};

static bool kernel_seals_mappings(void)
{
    void *page =
        mmap(NULL, MPK_PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return syscall(SYS_mseal, page, MPK_PAGE, 0UL) == 0;
}

static void *page_of(const void *p)
{
    return (void *)((uintptr_t)p & ~(uintptr_t)(MPK_PAGE - 1));
}

static bool becomes_writable(const void *p)
{
    return mprotect(page_of(p), MPK_PAGE, PROT_READ | PROT_WRITE) == 0;
}

static void look_at_what_is_fixed(void)
{
    CHECK(!becomes_writable(&mpk_ro));
    CHECK(!becomes_writable(entries)); /* RELRO */
}

static void test_nothing_fixed_becomes_writable(const struct setup *s)
{
    make_domain(s, entries, COUNT_OF(entries));
    look_at_what_is_fixed();
}

static void test_nor_where_files_cannot_be_sealed(const struct setup *s)
{
    const struct rlimit nothing = {0, 0};

    if (kernel_seals_mappings()) {
        CHECK(setrlimit(RLIMIT_FSIZE, &nothing) == 0);
        make_domain(s, entries, COUNT_OF(entries));
        look_at_what_is_fixed();
    }
}

static const struct setup *thread_setup;

/* It may end the process; and may be this thread's only. */
static void *make_with_a_filter(void *unused)
{
    CHECK(end_by_syscall(SYS_mseal));
    make_domain(thread_setup, entries, COUNT_OF(entries));
    look_at_what_is_fixed();
    return unused;
}

static void test_a_filter_is_not_asked(const struct setup *s)
{
    pthread_t thread;

    thread_setup = s;
    CHECK(pthread_create(&thread, NULL, make_with_a_filter, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
}

static void write_there(const struct setup *s)
{
    CHECK(leave_unsealed());
    make_domain(s, entries, COUNT_OF(entries));
    *(volatile uint32_t *)&mpk_ro.pkru_mask = 0;
}

static void test_it_is_read_only_where_neither_can(const struct setup *s)
{
    struct outcome o = run_in_child(write_there, s);

    CHECK(o.status == FAULTED && o.code == SEGV_ACCERR);
}

/* What was to be fixed is not what came of that. */
static void test_a_file_that_takes_no_bytes_is_none(const struct setup *s)
{
    alarm(20);
    CHECK(fail_syscall(SYS_write, ENOSPC));
    make_domain(s, entries, COUNT_OF(entries));
    CHECK(mpk_ro.n_entries == COUNT_OF(entries) &&
          mpk_ro.backend == s->backend);
}

static bool kernel_tells_writers(void)
{
    struct utsname u;
    int major = 0, minor = 0;

    return uname(&u) == 0 && sscanf(u.release, "%d.%d", &major, &minor) == 2 &&
           (major > 6 || (major == 6 && minor >= 7));
}

/* As the kernel answers where another thread has mapped the file to write. */
static void make_with_a_writer(const struct setup *s)
{
    CHECK(fail_syscall_with(SYS_fcntl, 2, F_SEAL_WRITE, EBUSY));
    make_domain(s, entries, COUNT_OF(entries));
}

static void test_nobody_can_write_it_by_a_mapping_of_his(const struct setup *s)
{
    struct outcome o = run_in_child(make_with_a_writer, s);

    CHECK(kernel_tells_writers()
              ? ended_by_fatal(&o, "another thread has mapped")
              : o.status == 0);
}

static void test_nothing_fixed_goes(const struct setup *s)
{
    make_domain(s, entries, COUNT_OF(entries));
    if (kernel_seals_mappings()) {
        CHECK(munmap(&mpk_ro, MPK_PAGE) != 0);
        CHECK(munmap(page_of(entries), MPK_PAGE) != 0);
        CHECK(munmap(page_of((void *)(uintptr_t)mpk_gate), MPK_PAGE) != 0);
        CHECK(!becomes_writable((void *)(uintptr_t)mpk_gate));
    }
}

static void test_the_same_in_a_child(const struct setup *s)
{
    pid_t pid;
    int status;

    make_domain(s, entries, COUNT_OF(entries));
    pid = fork();
    if (pid == 0) {
        look_at_what_is_fixed();
        _exit(failed_checks != 0);
    }
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

/* A child of fork has a table of its own. */
static void test_the_view_of_virtual_keys_stays_one(const struct setup *s)
{
    const struct mpk_params params = {0};
    pid_t pid;
    int status;

    make_domain(s, entries, COUNT_OF(entries));
    CHECK(vk_init_with(&params, s->backend) == 0);
    pid = fork();
    CHECK(!becomes_writable(vk_ro.view) && !becomes_writable(&vk_ro));
    if (pid == 0) {
        _exit(failed_checks != 0);
    }
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

int main(void)
{
    static const struct core_test tests[] = {
        TEST(test_nothing_fixed_becomes_writable, ONE_MEMORY),
        TEST(test_nor_where_files_cannot_be_sealed, ONE_MEMORY),
        TEST(test_a_filter_is_not_asked, ONE_MEMORY),
        TEST(test_it_is_read_only_where_neither_can, ONE_MEMORY),
        TEST(test_a_file_that_takes_no_bytes_is_none, ONE_MEMORY),
        TEST(test_nobody_can_write_it_by_a_mapping_of_his, ONE_MEMORY),
        TEST(test_nothing_fixed_goes, ONE_MEMORY),
        TEST(test_the_same_in_a_child, ONE_MEMORY),
        TEST(test_the_view_of_virtual_keys_stays_one, ONE_MEMORY),
    };

    return core_test_main(tests, COUNT_OF(tests));
}
