/* Page groups, as a program sees them, on each backend. */
#include "core_test.h"
#include "vkey_probe.h"

#include "../../mpkcore/vkey.h"

#include <mpkcore/mpk.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- a program's view ---------------------------------------------------- */

static void test_a_group_is_open_between_begin_and_end(const struct setup *s)
{
    bool closes = s->backend != MPK_BACKEND_NONE;
    mpk_vkey_t vkey;
    char *p;

    start(s);
    p = group(&vkey, 8192, RW);
    CHECK(touches(p, false) == !closes);
    CHECK(mpk_begin(vkey, RW) == 0);
    CHECK(touches(p, true) && touches(p + 4096, true));
    p[0] = 42;
    CHECK(mpk_end(vkey) == 0);
    CHECK(touches(p, false) == !closes);
    CHECK(mpk_begin(vkey, PROT_READ) == 0);
    CHECK(touches(p, false) && p[0] == 42);
    CHECK(touches(p, true) == !closes);
    CHECK(mpk_end(vkey) == 0);
    CHECK(mpk_end(vkey) == -EPERM);
    CHECK(mpk_munmap(vkey) == 0);
    CHECK(mpk_begin(vkey, RW) == -ENOENT);
}

static void test_begins_nest(const struct setup *s)
{
    bool closes = s->backend != MPK_BACKEND_NONE;
    mpk_vkey_t a, b;
    char *pa, *pb;

    start(s);
    pa = group(&a, 4096, RW);
    pb = group(&b, 4096, RW);
    CHECK(mpk_begin(a, PROT_READ) == 0);
    CHECK(mpk_begin(b, RW) == 0);
    CHECK(mpk_begin(a, RW) == 0);
    CHECK(touches(pa, true) && touches(pb, true));
    CHECK(mpk_end(b) == -EPERM);
    CHECK(mpk_end(a) == 0);
    CHECK(touches(pa, false) && touches(pb, true));
    CHECK(touches(pa, true) == !closes);
    CHECK(mpk_end(b) == 0);
    CHECK(touches(pb, false) == !closes);
    CHECK(touches(pa, false));
    CHECK(mpk_end(a) == 0);
    CHECK(touches(pa, false) == !closes);
}

/* While this is not 0 a system call is a SIGSYS, which ends the process. */
static volatile char no_calls;

static void begin_and_end(mpk_vkey_t vkey, unsigned n)
{
    no_calls = SYSCALL_DISPATCH_FILTER_BLOCK;
    for (unsigned i = 0; i < n; i++) {
        CHECK(mpk_begin(vkey, RW) == 0);
        CHECK(mpk_end(vkey) == 0);
    }
    no_calls = SYSCALL_DISPATCH_FILTER_ALLOW;
}

/* A miss makes them, as the child shows. */
static void test_a_hit_makes_no_system_call(const struct setup *s)
{
    mpk_vkey_t vkey, other;
    int status;
    pid_t pid;

    start(s);
    group(&vkey, 4096, RW);
    group(&other, 4096, RW);
    CHECK(mpk_begin(vkey, RW) == 0 && mpk_end(vkey) == 0);
    if (prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, 0L, 0L,
              &no_calls) != 0) {
        puts("     not checked: no system call dispatch (Linux 5.11)");
        return;
    }
    begin_and_end(vkey, 1000);
    pid = fork();
    if (pid == 0) {
        CHECK(prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, 0L, 0L,
                    &no_calls) == 0);
        begin_and_end(other, 1);
        _exit(0);
    }
    CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) &&
          WTERMSIG(status) == SIGSYS);
}

static uint32_t pins_on(int key)
{
    uint32_t n = 0;

    for (unsigned i = 0; i < VK_THREADS; i++) {
        n += atomic_load(&vk_ro.view->pin[key][i].count);
    }
    return n;
}

/* A row that says what the table said when the hit began, or says now. */
static int hit(const struct vk_row *row, mpk_vkey_t vkey, int key)
{
    unsigned i = 0;

    while (vk_ro.view->thread[i].tls != (uint64_t)(uintptr_t)vk_my_self()) {
        i++;
    }
    return mpk_rights_pin(vkey, row, key,
                          &vk_ro.window[(size_t)key * VK_THREADS + i]);
}

static void test_a_hit_that_comes_too_late_is_a_miss(const struct setup *s)
{
    struct vk_row late;
    mpk_vkey_t a, b;
    void *p = NULL, *q = NULL;
    int key;

    start(s);
    if (vk_ro.backend != MPK_BACKEND_MPK) {
        return;
    }
    CHECK(mpk_mmap(&a, &p, 4096, RW, ANON, -1, 0) == 0);
    CHECK(mpk_mmap(&b, &q, 4096, RW, ANON, -1, 0) == 0);
    CHECK(mpk_begin(b, RW) == 0 && mpk_begin(a, RW) == 0);
    CHECK(mpk_end(a) == 0 && mpk_end(b) == 0);
    key = key_of(b);
    memset(&late, 0, sizeof(late));
    /* The key of |b| was the one of |a|; or its row is another group's. */
    for (int i = 0; i < 2; i++) {
        atomic_store(&late.vkey, i == 0 ? a : b);
        atomic_store(&late.hit, i == 0 ? -1 : key);
        CHECK(hit(&late, a, key) == 0);
        CHECK(pins_on(key) == 0 && pins_on(key_of(a)) == 1);
        CHECK(!touches(q, false) && touches(p, true));
        CHECK(mpk_end(a) == 0 && pins_on(key_of(a)) == 0);
        CHECK(!touches(p, false));
    }
    atomic_store(&late.vkey, b);
    CHECK(hit(&late, b, key) == 0);
    CHECK(pins_on(key) == 1 && touches(q, true) && mpk_end(b) == 0);
}

static mpk_vkey_t interrupted;
static void *its_page;
static volatile sig_atomic_t handled;

/* A handler starts with every key closed. */
static void begin_in_handler(int signo)
{
    (void)signo;
    CHECK(mpk_begin(interrupted, RW) == 0);
    CHECK(pins_on(key_of(interrupted)) == 2);
    *(volatile char *)its_page = 2;
    CHECK(mpk_end(interrupted) == 0);
    handled = 1;
}

static void test_a_handler_begins_what_it_interrupts(const struct setup *s)
{
    struct sigaction a = {.sa_handler = begin_in_handler};

    start(s);
    if (vk_ro.backend != MPK_BACKEND_MPK) {
        return;
    }
    its_page = NULL;
    CHECK(mpk_mmap(&interrupted, &its_page, 4096, RW, ANON, -1, 0) == 0);
    CHECK(mpk_begin(interrupted, RW) == 0 && mpk_end(interrupted) == 0);
    CHECK(sigaction(SIGUSR1, &a, NULL) == 0);
    /* Open for writing, and for reading only: as it was after the handler. */
    for (int prot = RW; prot >= PROT_READ; prot -= PROT_WRITE) {
        handled = 0;
        CHECK(mpk_begin(interrupted, prot) == 0);
        raise(SIGUSR1);
        CHECK(handled && pins_on(key_of(interrupted)) == 1);
        CHECK(touches(its_page, false));
        CHECK(touches(its_page, true) == (prot == RW));
        CHECK(mpk_end(interrupted) == 0 && !touches(its_page, false));
        CHECK(pins_on(key_of(interrupted)) == 0);
    }
    /* A key that is closed by other means is open once more, not anew. */
    CHECK(mpk_begin(interrupted, RW) == 0);
    mpk_rights_set(0, VK_CLOSED << (2 * key_of(interrupted)));
    CHECK(mpk_begin(interrupted, RW) == 0 && touches(its_page, true));
    CHECK(pins_on(key_of(interrupted)) == 2);
    CHECK(mpk_end(interrupted) == 0 && mpk_end(interrupted) == 0);
    CHECK(pins_on(key_of(interrupted)) == 0 && !touches(its_page, false));
    /* One in the other, with other rights each time. */
    for (int i = 0; i < 16; i++) {
        for (int level = 0; level < 4; level++) {
            CHECK(mpk_begin(interrupted, i >> level & 1 ? RW : PROT_READ) == 0);
        }
        for (int level = 3; level >= 0; level--) {
            CHECK(touches(its_page, true) == (i >> level & 1));
            CHECK(mpk_end(interrupted) == 0);
        }
        CHECK(!touches(its_page, false));
    }
}

static void test_arguments_are_checked(const struct setup *s)
{
    void *p = NULL;
    mpk_vkey_t vkey;

    CHECK(mpk_begin(1, RW) == -ENXIO);
    CHECK(mpk_mprotect(1, RW) == -ENXIO);
    CHECK(mpk_free(1, NULL) == -ENXIO);
    start(s);
    CHECK(mpk_init(&params) == -EALREADY);
    CHECK(mpk_mmap(&vkey, &p, 0, RW, ANON, -1, 0) == -EINVAL);
    CHECK(mpk_mmap(&vkey, &p, SIZE_MAX, RW, ANON, -1, 0) == -ENOMEM);
    CHECK(mpk_mmap(&vkey, &p, SIZE_MAX, RW, ANON | MAP_NORESERVE, -1, 0) ==
          -ENOMEM);
    CHECK(mpk_mmap(&vkey, &p, 4096, 64, ANON, -1, 0) == -EINVAL);
    CHECK(mpk_mmap(&vkey, &p, 4096, RW, MAP_PRIVATE, -1, 0) == -EBADF);
    group(&vkey, 4096, PROT_READ);
    CHECK(mpk_begin(vkey, RW) == -EACCES);
    CHECK(mpk_begin(vkey, PROT_WRITE) == -EINVAL);
    CHECK(mpk_begin(vkey, 0) == -EINVAL);
    CHECK(mpk_mprotect(vkey, RW) == -EACCES);
    CHECK(mpk_mprotect(vkey, PROT_READ | PROT_GROWSDOWN) == -EINVAL);
}

static void *read_it(void *p)
{
    return (void *)(uintptr_t)(touches(p, false) + 2 * touches(p, true));
}

static long elsewhere(char *p)
{
    pthread_t t;
    void *ret;

    pthread_create(&t, NULL, read_it, p);
    pthread_join(t, &ret);
    return (long)(uintptr_t)ret;
}

static void test_mprotect_is_for_all_threads(const struct setup *s)
{
    bool closes = s->backend != MPK_BACKEND_NONE;
    mpk_vkey_t vkey;
    char *p;

    start(s);
    p = group(&vkey, 3 * 4096, RW);
    CHECK(elsewhere(p) == (closes ? 0 : 3));
    CHECK(mpk_mprotect(vkey, RW) == 0);
    CHECK(elsewhere(p) == 3 && touches(p, true));
    CHECK(mpk_begin(vkey, RW) == 0);
    CHECK(mpk_mprotect(vkey, PROT_READ) == 0); /* a right of all ends */
    CHECK(mpk_end(vkey) == 0);
    CHECK(elsewhere(p) == (closes ? 1 : 3));
    CHECK(mpk_begin(vkey, RW) == -EBUSY);
    CHECK(mpk_mprotect(vkey, PROT_NONE) == 0);
    CHECK(elsewhere(p) == (closes ? 0 : 3));
    CHECK(mpk_begin(vkey, RW) == 0);
    CHECK(mpk_mprotect(vkey, PROT_READ) == -EBUSY);
    CHECK(mpk_end(vkey) == 0);
}

static void test_who_may_write_may_read(const struct setup *s)
{
    mpk_vkey_t vkey;
    void *p = NULL;

    start(s);
    group(&vkey, 4096, RW);
    CHECK(mpk_malloc(vkey, &p, 64) == 0);
    CHECK(mpk_mprotect(vkey, PROT_WRITE) == 0);
    CHECK(touches(p, false) && touches(p, true));
    CHECK(mpk_begin(vkey, PROT_READ) == 0 && mpk_end(vkey) == 0);
    CHECK(mpk_begin(vkey, RW) == 0 && mpk_end(vkey) == 0);
    CHECK(mpk_free(vkey, p) == 0);
    /* Not with mpk_begin, where that is all that the group allows. */
    group(&vkey, 4096, PROT_WRITE);
    CHECK(mpk_mprotect(vkey, PROT_WRITE) == 0);
    CHECK(mpk_begin(vkey, PROT_READ) == -EACCES);
    CHECK(mpk_begin(vkey, RW) == -EACCES);
}

/* Whether a mapping of this process has |name|. Where a group was, a fault
 * would say less: another mapping may have its place, a sanitizer's does. */
static bool is_mapped(const char *name)
{
    FILE *f = fopen("/proc/self/maps", "r");
    bool found = false;
    char line[512];

    CHECK(f != NULL);
    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        found = found || strstr(line, name) != NULL;
    }
    if (f != NULL) {
        fclose(f);
    }
    return found;
}

static void test_a_file_in_a_group(const struct setup *s)
{
    int fd = memfd_create("file in a group", 0);
    mpk_vkey_t vkey;
    void *p = NULL;

    start(s);
    CHECK(write(fd, "hello", 5) == 5);
    CHECK(mpk_mmap(&vkey, &p, 5, PROT_READ, MAP_PRIVATE, fd, 0) == 0);
    CHECK(mpk_begin(vkey, PROT_READ) == 0);
    CHECK(memcmp(p, "hello", 5) == 0);
    CHECK(mpk_end(vkey) == 0);
    CHECK(is_mapped("file in a group"));
    CHECK(mpk_munmap(vkey) == 0);
    CHECK(!is_mapped("file in a group"));
}

/* ---- many ---------------------------------------------------------------- */

static size_t resident_kib(void)
{
    char line[256];
    FILE *f = fopen("/proc/self/statm", "r");
    unsigned long all = 0, resident = 0;

    if (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        sscanf(line, "%lu %lu", &all, &resident);
        fclose(f);
    }
    return resident * 4;
}

static unsigned mappings(void)
{
    FILE *f = fopen("/proc/self/maps", "r");
    unsigned n = 0;
    int c;

    while (f != NULL && (c = getc(f)) != EOF) {
        n += c == '\n';
    }
    fclose(f);
    return n;
}

static void test_a_hundred_thousand_groups(const struct setup *s)
{
    /* Each call maps and unmaps where there are no keys. */
    unsigned n = scaled(s->backend == MPK_BACKEND_MPROTECT ? 10000 : 100000);
    mpk_vkey_t *vkey = calloc(n, sizeof(*vkey));
    char **p = calloc(n, sizeof(*p));
    struct mpk_stats st;
    unsigned at_start, apart;
    size_t before;

    start(s);
    before = resident_kib();
    at_start = mappings();
    for (unsigned i = 0; i < n; i++) {
        p[i] = group(&vkey[i], 4096, RW);
    }
    CHECK(mpk_stats_get(&st) == 0 && st.groups == n);
    CHECK(st.table_bytes <= (size_t)64 * n); /* as mpkcore(3) says */
    printf("     %u groups: %zu bytes of table for each, %.0f bytes resident\n",
           n, st.table_bytes / n,
           1024.0 * (double)(resident_kib() - before) / n);
    for (unsigned i = 0; i < n; i++) {
        CHECK(mpk_begin(vkey[i], RW) == 0);
        /* Where nothing is ever closed, those that are read again will do. */
        if (s->backend != MPK_BACKEND_NONE || i % 97 == 0) {
            *(unsigned *)p[i] = i;
        }
        CHECK(mpk_end(vkey[i]) == 0);
    }
    for (unsigned i = 0; i < n; i += 97) {
        CHECK(mpk_begin(vkey[i], PROT_READ) == 0);
        CHECK(*(unsigned *)p[i] == i);
        CHECK(mpk_end(vkey[i]) == 0);
    }
    printf("     %u mappings, %u at the start\n", mappings(), at_start);
    /* With keys the first of them stay mappings of their own. */
    apart = s->backend == MPK_BACKEND_MPK && n > VK_APART ? VK_APART : 0;
    CHECK(mappings() >= apart && mappings() < at_start + apart + 150);
    free(p);
    free(vkey);
}

/* ---- keys ---------------------------------------------------------------- */

static void test_a_fault_carries_the_groups_key(const struct setup *s)
{
    mpk_vkey_t vkey;
    char *p;

    start(s);
    p = group(&vkey, 4096, RW);
    CHECK(!touches(p, false) && seen_code == SEGV_PKUERR);
    CHECK(seen_key == mpk_ro.pkey); /* the group has none yet */
    CHECK(mpk_begin(vkey, RW) == 0);
    CHECK(mpk_end(vkey) == 0);
    CHECK(key_of(vkey) > 0);
    CHECK(!touches(p, false) && seen_code == SEGV_PKUERR);
    CHECK(seen_key == key_of(vkey));
    CHECK(mpk_begin(vkey, PROT_READ) == 0);
    CHECK(!touches(p, true) && seen_code == SEGV_PKUERR);
    CHECK(seen_key == key_of(vkey));
    CHECK(mpk_end(vkey) == 0);
    CHECK(elsewhere(p) == 0 && !touches(p, false));
}

static void test_keys_are_left_to_others(const struct setup *s)
{
    struct mpk_stats st;
    mpk_vkey_t vkey[20];
    int key;

    params.max_keys = 15;
    start(s);
    for (int i = 0; i < 20; i++) {
        group(&vkey[i], 4096, RW);
        CHECK(mpk_begin(vkey[i], RW) == 0);
        CHECK(mpk_end(vkey[i]) == 0);
    }
    CHECK(mpk_stats_get(&st) == 0 && st.keys >= 2 && st.keys < 14);
    key = pkey_alloc(0, 0);
    CHECK(key > 0);
    CHECK(pkey_alloc(0, 0) < 0);
}

/* A second library with the core in it: its domain's key, one for groups, and
 * the last one, which it leaves. */
static void test_by_default_a_second_domain_has_room(const struct setup *s)
{
    struct mpk_stats st;
    mpk_vkey_t vkey[20];

    start(s);
    for (int i = 0; i < 20; i++) {
        group(&vkey[i], 4096, RW);
        CHECK(mpk_begin(vkey[i], RW) == 0);
        CHECK(mpk_end(vkey[i]) == 0);
    }
    CHECK(mpk_stats_get(&st) == 0 && st.keys <= 11);
    for (int i = 0; i < 3; i++) {
        CHECK(pkey_alloc(0, 0) > 0);
    }
}

static const struct core_test tests[] = {
    TEST(test_a_group_is_open_between_begin_and_end, ONE_MEMORY),
    TEST(test_begins_nest, ONE_MEMORY),
    TEST(test_a_hit_makes_no_system_call, ONE_MEMORY | NEEDS_KEYS),
    TEST(test_a_hit_that_comes_too_late_is_a_miss, ONE_MEMORY),
    TEST(test_a_handler_begins_what_it_interrupts, ONE_MEMORY),
    TEST(test_arguments_are_checked, ONE_MEMORY),
    TEST(test_mprotect_is_for_all_threads, ONE_MEMORY),
    TEST(test_who_may_write_may_read, ONE_MEMORY),
    TEST(test_a_file_in_a_group, ONE_MEMORY),
    TEST(test_a_hundred_thousand_groups, ONE_MEMORY),
    TEST(test_a_fault_carries_the_groups_key, ONE_MEMORY | NEEDS_KEYS),
    TEST(test_keys_are_left_to_others, ONE_MEMORY | NEEDS_KEYS),
    TEST(test_by_default_a_second_domain_has_room, ONE_MEMORY | NEEDS_KEYS),
};

int main(void)
{
    return core_test_main(tests, COUNT_OF(tests));
}
