/* Page groups of the inside: closed to every stub but the one that opened it.
 */
#include "core_test.h"
#include "group_call.h"

#include "../../mpkcore/group.h"

#include <mpkcore/heap.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    LEAVE_OPEN = OWN, /* return with the group open */
    HEAP,             /* blocks of a group and of the heap, mixed */
    OPENED,           /* |other| is freed, with |group| open */
    OTHER,            /* |other| is closed, with |group| open */
    SIZES,            /* groups of sizes that there are not */
};

static int64_t heap(struct frame *f)
{
    char *shared = mpk_heap_alloc(100), *mine, *more;

    CHECK(mpk_group_open(f->group) == 0);
    CHECK(mpk_heap_use(f->group) == 0);
    mine = mpk_heap_alloc(100);
    CHECK(group_owns(mine) && !group_owns(shared));
    CHECK(mpk_heap_usable(mine) == 128);
    memset(mine, 7, 128);
    more = mpk_heap_realloc(mine, 1000);
    CHECK(group_owns(more) && more[99] == 7 && more[500] == 0);
    CHECK(mine[0] == 0); /* wiped */
    CHECK(mpk_heap_alloc(8192) == NULL && mpk_heap_refused() == 0);
    mpk_heap_free(shared);
    CHECK(mpk_heap_use(0) == 0);
    shared = mpk_heap_alloc(100);
    CHECK(!group_owns(shared));
    mpk_heap_free(more);
    mpk_heap_free(shared);
    mpk_group_close(f->group);
    return 0;
}

static int64_t free_opened(struct frame *f)
{
    int err;

    CHECK(mpk_group_open(f->group) == 0);
    err = mpk_group_free(f->other);
    mpk_group_close(f->group);
    return err;
}

static int64_t close_other(struct frame *f)
{
    CHECK(mpk_group_open(f->group) == 0);
    mpk_group_close(f->other);
    return 0;
}

static int64_t sizes(void)
{
    mpk_group_t group;

    CHECK(mpk_group_new(&group, 0) == -EINVAL);
    CHECK(mpk_group_new(&group, SIZE_MAX) == -EINVAL);
    CHECK(mpk_group_new(&group, (size_t)1 << 60) == -EINVAL);
    return 0;
}

int64_t own_stub(struct frame *f)
{
    switch (f->what) {
    case LEAVE_OPEN:
        return mpk_group_open(f->group);
    case HEAP:
        return heap(f);
    case OPENED:
        return free_opened(f);
    case OTHER:
        return close_other(f);
    case SIZES:
        return sizes();
    default:
        return -EINVAL;
    }
}

/* The key of the group's pages, as the kernel has it. */
static int key_of_page(pid_t pid, const void *p)
{
    char line[512];
    int key = -1;

    if (in_smaps(pid, p, "ProtectionKey:", line, sizeof(line))) {
        sscanf(line, "ProtectionKey: %d", &key);
    }
    return key;
}

static void test_who_opens_a_group_reads_it(const struct setup *s)
{
    struct frame a, b;

    start(s);
    a = made(1);
    b = made(2);
    a.value = b.value = 0;
    CHECK(call(READ_OPEN, &a) == 0 && a.value == 1);
    CHECK(call(READ_OPEN, &b) == 0 && b.value == 2);
    CHECK(call(HEAP, &a) == 0);
    CHECK(call(FREE, &a) == 0);
    CHECK(call(FREE, &a) == -ENOENT);
    CHECK(call(READ_OPEN, &a) == -ENOENT);
    CHECK(call(READ_OPEN, &b) == 0 && b.value == 2);
}

/* ---- with another group open, or none ------------------------------------ */

static _Noreturn void read_shut(struct frame *b)
{
    call(READ_SHUT, b);
    _exit(55); /* read */
}

static void read_with_other_open(const struct setup *s)
{
    struct frame a, b;

    start(s);
    a = made(1);
    b = made(2);
    CHECK(call(READ_OPEN, &b) == 0);
    b.other = a.group;
    read_shut(&b);
}

static void read_with_none_open(const struct setup *s)
{
    struct frame b;

    start(s);
    b = made(2);
    read_shut(&b);
}

static void read_after_leaving_open(const struct setup *s)
{
    struct frame b;

    start(s);
    b = made(2);
    CHECK(call(LEAVE_OPEN, &b) == 0);
    read_shut(&b);
}

/* With the group open that has the key that was this one's. */
static void read_evicted(const struct setup *s)
{
    struct frame b, other;

    group_keys = 1;
    start(s);
    b = made(2);
    other = made(3);
    CHECK(call(READ_OPEN, &b) == 0);
    b.other = other.group;
    read_shut(&b);
}

/* What the kernel said of the fault that ended a child. */
struct seen {
    siginfo_t info;
    int page_key; /* that the page had */
    int status;
};

/*
 * Signals are blocked inside, so a fault there ends the process before a
 * handler can see it. A tracer does.
 */
static struct seen trace(child_body *body, const struct setup *s)
{
    struct seen seen = {.page_key = -1};
    pid_t pid = fork();

    if (pid == 0) {
        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        body(s);
        _exit(1);
    }
    while (waitpid(pid, &seen.status, 0) == pid && WIFSTOPPED(seen.status)) {
        int signo = WSTOPSIG(seen.status);

        ptrace(PTRACE_GETSIGINFO, pid, NULL, &seen.info);
        if (signo == SIGSEGV) {
            seen.page_key = key_of_page(pid, seen.info.si_addr);
        }
        ptrace(PTRACE_CONT, pid, NULL, (void *)(uintptr_t)signo);
    }
    return seen;
}

static void dies_of_closed_pages(child_body *body, const struct setup *s)
{
    struct seen seen = trace(body, s);

    if (s->backend == MPK_BACKEND_NONE) {
        CHECK(WIFEXITED(seen.status) && WEXITSTATUS(seen.status) == 55);
        return;
    }
    CHECK(WIFSIGNALED(seen.status) && WTERMSIG(seen.status) == SIGSEGV);
    CHECK(seen.info.si_code == SEGV_ACCERR);
}

static void test_a_group_that_lost_its_key_is_shut(const struct setup *s)
{
    dies_of_closed_pages(read_evicted, s);
}

/* Its first page is a mapping of its own: that can be opened, the rest not. */
static void read_opened_in_part(const struct setup *s)
{
    struct setup anonymous = {s->backend, MPK_MEMORY_ANONYMOUS};
    struct frame b = {.value = 2}, other;

    group_keys = 1;
    start(&anonymous);
    CHECK(call(LARGE, &b) == 0);
    other = made(3);
    CHECK(call(READ_OPEN, &other) == 0); /* has the key, where there is one */
    CHECK(madvise((void *)(uintptr_t)b.p, 4096, MADV_DODUMP) == 0);
    /* No more than half of it can be opened. */
    limit_data(LARGE_LEN / 2);
    CHECK(call(READ_OPEN, &b) == -ENOMEM);
    b.other = other.group;
    if (failed_checks == 0) {
        read_shut(&b);
    }
}

/* Seen to read with what undoes the first part left out (map_group_change). */
static void test_a_group_that_opens_in_part_is_shut(const struct setup *s)
{
    struct seen seen = trace(read_opened_in_part, s);

    CHECK(WIFSIGNALED(seen.status) && WTERMSIG(seen.status) == SIGSEGV);
    CHECK(seen.info.si_code == SEGV_ACCERR);
}

static void dies_of_the_key(child_body *body, const struct setup *s)
{
    struct seen seen = trace(body, s);

    if (s->backend == MPK_BACKEND_NONE) {
        CHECK(WIFEXITED(seen.status) && WEXITSTATUS(seen.status) == 55);
        return;
    }
    CHECK(WIFSIGNALED(seen.status) && WTERMSIG(seen.status) == SIGSEGV);
    if (s->backend == MPK_BACKEND_MPK) {
        CHECK(seen.info.si_code == SEGV_PKUERR);
        CHECK(seen.page_key > 1);
        CHECK((int)seen.info.si_pkey == seen.page_key);
    } else {
        CHECK(seen.info.si_code == SEGV_ACCERR);
    }
}

static void test_a_group_is_shut_while_another_is_open(const struct setup *s)
{
    dies_of_the_key(read_with_other_open, s);
}

static void test_a_group_is_shut_inside(const struct setup *s)
{
    dies_of_the_key(read_with_none_open, s);
}

static void test_the_gate_shuts_what_a_stub_leaves_open(const struct setup *s)
{
    dies_of_the_key(read_after_leaving_open, s);
}

static void test_without_keys_groups_are_the_domains(const struct setup *s)
{
    struct frame b;

    group_keys = 0;
    start(s);
    b = made(2);
    b.value = 0;
    CHECK(call(READ_SHUT, &b) == 0 && b.value == 2);
}

/* ---- many, by many ------------------------------------------------------- */

#define GROUPS 64

static struct frame many[GROUPS];

static void *use_them(void *seed)
{
    uint64_t random = (uint64_t)(uintptr_t)seed;

    for (unsigned i = 0; i < scaled(2000); i++) {
        unsigned n = (unsigned)(next_random(&random) >> 40) % GROUPS;
        struct frame f = many[n];

        f.value = 0;
        CHECK(call(READ_OPEN, &f) == 0);
        CHECK(f.value == n + 100);
    }
    return NULL;
}

static void test_more_stubs_than_keys_wait(const struct setup *s)
{
    pthread_t t[8];

    group_keys = 2;
    start(s);
    for (unsigned i = 0; i < GROUPS; i++) {
        many[i] = made(i + 100);
    }
    for (uintptr_t i = 0; i < 8; i++) {
        pthread_create(&t[i], NULL, use_them, (void *)(i + 77));
    }
    for (unsigned i = 0; i < 8; i++) {
        pthread_join(t[i], NULL);
    }
}

/* Its pages would be another's while somebody reads and writes them. */
static void test_a_group_that_is_open_is_not_freed(const struct setup *s)
{
    struct frame f, same;
    pthread_t t;

    start(s);
    f = same = made(1);
    f.other = f.group;
    CHECK(call(OPENED, &f) == -EBUSY);
    f.other = made(2).group; /* freeing it may wait, which nobody may here */
    CHECK(call(OPENED, &f) == -EBUSY);
    pthread_create(&t, NULL, holds, &same);
    while (atomic_load(&holding) == 0) {
        usleep(1000);
    }
    CHECK(call(FREE, &f) == -EBUSY);
    atomic_store(&go[0], 1);
    pthread_join(t, NULL);
    CHECK(call(READ_OPEN, &f) == 0 && f.value == 1);
    CHECK(call(FREE, &f) == 0);
    CHECK(call(FREE, &f) == -ENOENT);
    CHECK(call(SIZES, &f) == 0);
}

static void close_another(const struct setup *s)
{
    struct frame f;

    start(s);
    f = made(1);
    f.other = made(2).group;
    call(OTHER, &f);
}

static void test_only_what_is_open_is_closed(const struct setup *s)
{
    struct outcome o = run_in_child(close_another, s);

    CHECK(ended_by_fatal(&o, "a group that is not open"));
}

static void read_after_a_fork(const struct setup *s)
{
    struct frame b;
    pid_t pid;

    start(s);
    b = made(2);
    pid = fork();
    if (pid == 0) {
        _exit(0);
    }
    waitpid(pid, NULL, 0);
    read_shut(&b);
}

static void read_in_a_child(const struct setup *s)
{
    struct frame b;

    start(s);
    b = made(2);
    if (fork() == 0) {
        signal(SIGSEGV, SIG_DFL);
        read_shut(&b);
    }
}

/* For which all pages of secretmem are open, and no group keeps its key. Seen
 * to read without group_fork_close, here and, with keys, in the child. */
static void test_a_group_is_shut_after_a_fork(const struct setup *s)
{
    int status = 0;

    dies_of_closed_pages(read_after_a_fork, s);
    read_in_a_child(s);
    CHECK(wait(&status) > 0);
    if (s->backend == MPK_BACKEND_NONE) {
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 55);
    } else {
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    }
}

static void test_a_forked_child_has_its_own(const struct setup *s)
{
    struct frame a;
    int status = -1;
    pid_t pid;

    start(s);
    a = made(5);
    pid = fork();
    if (pid == 0) {
        struct frame b = made(6);

        a.value = 0;
        CHECK(call(READ_OPEN, &a) == 0 && a.value == 5);
        CHECK(call(READ_OPEN, &b) == 0 && b.value == 6);
        CHECK(call(FREE, &a) == 0);
        _exit(failed_checks != 0);
    }
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    a.value = 0;
    CHECK(call(READ_OPEN, &a) == 0 && a.value == 5);
}

static const struct core_test tests[] = {
    TEST(test_who_opens_a_group_reads_it, EACH_MEMORY | NEEDS_LOCKING),
    TEST(test_a_group_is_shut_while_another_is_open, ONE_MEMORY),
    TEST(test_a_group_is_shut_inside, ONE_MEMORY),
    TEST(test_a_group_that_lost_its_key_is_shut, ONE_MEMORY),
    TEST(test_a_group_that_opens_in_part_is_shut,
         ONE_MEMORY | NEEDS_CLOSING | NOT_SANITIZED),
    TEST(test_the_gate_shuts_what_a_stub_leaves_open, ONE_MEMORY),
    TEST(test_without_keys_groups_are_the_domains, ONE_MEMORY | NEEDS_KEYS),
    TEST(test_more_stubs_than_keys_wait, ONE_MEMORY),
    TEST(test_a_group_that_is_open_is_not_freed, ONE_MEMORY),
    TEST(test_only_what_is_open_is_closed, ONE_MEMORY),
    TEST(test_a_group_is_shut_after_a_fork, ONE_MEMORY),
    TEST(test_a_forked_child_has_its_own, EACH_MEMORY | NEEDS_LOCKING),
};

int main(void)
{
    return core_test_main(tests, COUNT_OF(tests));
}
