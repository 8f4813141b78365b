/*
 * Pages of page groups: neighbours stay mappings of their own, groups close
 * when no mapping is to be had, and their end takes no memory.
 */
#include "core_test.h"
#include "group_call.h"

#include "../../mpkcore/group.h"
#include "fail_syscall.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ALONE = OWN }; /* a group and no block */

int64_t own_stub(struct frame *f)
{
    return f->what == ALONE ? mpk_group_new(&f->group, 8192) : -EINVAL;
}

/* ---- side by side -------------------------------------------------------- */

static size_t mapping_around(const volatile void *p)
{
    unsigned long from, to, at = (unsigned long)(uintptr_t)p;
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512];
    size_t len = 0;

    while (maps != NULL && fgets(line, sizeof(line), maps) != NULL) {
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2 && at >= from &&
            at < to) {
            len = to - from;
        }
    }
    fclose(maps);
    return len;
}

static void closed_groups_are_mappings(const struct frame *f, unsigned n)
{
    for (unsigned i = 1; i + 1 < n; i++) {
        CHECK(mapping_around(f[i].p) == 8192);
    }
}

/* So that to open one divides none. In a child, too. */
static void test_neighbours_stay_mappings_of_their_own(const struct setup *s)
{
    struct frame f[6];
    int status = -1;
    pid_t pid;

    group_keys = 1;
    start(s);
    for (unsigned i = 0; i < 6; i++) {
        f[i] = made(i);
    }
    closed_groups_are_mappings(f, 5);
    pid = fork();
    if (pid == 0) {
        closed_groups_are_mappings(f, 6);
        _exit(failed_checks != 0);
    }
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    closed_groups_are_mappings(f, 6);
    CHECK(call(READ_OPEN, &f[2]) == 0 && f[2].value == 2);
    CHECK(call(READ_OPEN, &f[3]) == 0 && f[3].value == 3);
    closed_groups_are_mappings(f, 6);
}

/* ---- without a mapping --------------------------------------------------- */

/* Three neighbours are open, and the middle one is closed first. Seen to end
 * the process without the page between groups. */
static void test_groups_close_without_a_mapping(const struct setup *s)
{
    struct frame f[3];
    pthread_t t[3];

    start(s);
    for (unsigned i = 0; i < 3; i++) {
        f[i] = made(i + 1);
    }
    for (unsigned i = 0; i < 3; i++) {
        pthread_create(&t[i], NULL, holds, &f[i]);
    }
    while (atomic_load(&holding) < 3) {
        usleep(1000);
    }
    if (!take_all_mappings()) {
        puts("     too many mappings are allowed here");
    }
    for (unsigned i = 0; i < 3; i++) {
        atomic_store(&go[(i + 1) % 3], 1);
        pthread_join(t[(i + 1) % 3], NULL);
        CHECK(i == 2 || s->backend != MPK_BACKEND_MPROTECT ||
              (!readable((const void *)(uintptr_t)f[1].p) &&
               readable((const void *)(uintptr_t)f[0].p)));
    }
    give_mappings_back(100000);
    CHECK(call(READ_OPEN, &f[1]) == 0 && f[1].value == 2);
}

/* Pages that cannot be closed are given back, and counted no more. */
static void test_pages_for_groups_are_closed_or_none(const struct setup *s)
{
    struct setup anonymous = {s->backend, MPK_MEMORY_ANONYMOUS};
    struct mpk_info before = {0}, after = {0};
    struct frame f = {0};

    start(&anonymous);
    mpk_core_info(&before);
    CHECK(fail_closing(1, MPK_CHUNK, ENOMEM));
    for (int i = 0; i < 3; i++) {
        CHECK(call(ALONE, &f) == -ENOMEM);
        CHECK(!readable(mpk_ro.groups));
    }
    mpk_core_info(&after);
    CHECK(after.committed_anon - before.committed_anon < MPK_CHUNK);
}

/* ---- at its end ---------------------------------------------------------- */

/* Pages of the group that |f| has made by LARGE. */
static size_t resident(const struct frame *f)
{
    static unsigned char page[LARGE_LEN / 4096];
    size_t n = 0;

    CHECK(mincore((void *)(uintptr_t)f->p, LARGE_LEN, page) == 0);
    for (size_t i = 0; i < sizeof(page); i++) {
        n += page[i] & 1;
    }
    return n;
}

static void test_the_end_of_a_group_takes_no_memory(const struct setup *s)
{
    struct setup anonymous = {s->backend, MPK_MEMORY_ANONYMOUS};
    struct frame f = {.value = 2};
    size_t before;

    start(&anonymous);
    CHECK(call(LARGE, &f) == 0);
    before = resident(&f);
    CHECK(before < LARGE_LEN / 4096 / 16);
    CHECK(call(FREE, &f) == 0);
    CHECK(resident(&f) == before);
    f.value = 3;
    CHECK(call(LARGE, &f) == 0); /* of the same pages, and zero */
    CHECK(resident(&f) == before);
}

static const struct core_test tests[] = {
    TEST(test_the_end_of_a_group_takes_no_memory, ONE_MEMORY),
    TEST(test_neighbours_stay_mappings_of_their_own,
         EACH_MEMORY | NEEDS_KEYS | NEEDS_LOCKING),
    TEST(test_groups_close_without_a_mapping,
         EACH_MEMORY | NEEDS_LOCKING | NOT_SANITIZED),
    TEST(test_pages_for_groups_are_closed_or_none, ONE_MEMORY | NEEDS_CLOSING),
};

int main(void)
{
    return core_test_main(tests, COUNT_OF(tests));
}
