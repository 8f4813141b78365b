/*
 * What somebody who can write any memory, call anything and jump anywhere gets
 * from virtual keys. Seen to fail: see the commits.
 */
#include "core_test.h"

#include "../../mpkcore/vkey.h"

#include <mpkcore/mpk.h>

#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define LEAKED 55

static void start(const struct setup *s)
{
    struct mpk_params params = {.backend = s->backend, .max_keys = 3};

    if (mpk_init(&params) != 0) {
        _exit(1);
    }
    alarm(30);
}

static char *group(mpk_vkey_t *vkey)
{
    void *p = NULL;

    if (mpk_mmap(vkey, &p, 4096, RW, ANON, -1, 0) != 0) {
        _exit(1);
    }
    return p;
}

static char *used_group(mpk_vkey_t *vkey)
{
    char *p = group(vkey);

    CHECK(mpk_begin(*vkey, RW) == 0);
    p[0] = 'x';
    CHECK(mpk_end(*vkey) == 0);
    return p;
}

static int key_of(mpk_vkey_t vkey)
{
    return atomic_load(&vk_ro.view->row[vkey & (VK_ROWS - 1)].key);
}

static bool faults(const struct outcome *o, int code, int key)
{
    bool holds = o->status == FAULTED && o->signo == SIGSEGV &&
                 o->code == code && (code != SEGV_PKUERR || o->key == key);

    if (!holds) {
        fprintf(stderr, "status %d, killed by %d, signal %d/%d key %d\n",
                o->status, o->killed_by, o->signo, o->code, o->key);
    }
    return holds;
}

/* ---- bookkeeping written from outside ------------------------------------ */

static mpk_vkey_t victim;
static volatile char *target;

static void write_target(const struct setup *s)
{
    (void)s;
    *target = 1;
    _exit(LEAKED);
}

static void test_bookkeeping_cannot_be_written(const struct setup *s)
{
    struct outcome o;

    start(s);
    used_group(&victim);
    target = (volatile char *)(uintptr_t)&vk_ro.view->row[victim & 7];
    o = run_in_child(write_target, s);
    CHECK(faults(&o, SEGV_ACCERR, 0));
    target = (volatile char *)&vk_ro.table->row[0];
    o = run_in_child(write_target, s);
    CHECK(faults(&o, SEGV_PKUERR, mpk_ro.pkey));
    target = (volatile char *)&vk_ro.window[key_of(victim) * VK_THREADS];
    o = run_in_child(write_target, s);
    CHECK(faults(&o, SEGV_PKUERR, key_of(victim)));
    target = (volatile char *)&vk_ro;
    o = run_in_child(write_target, s);
    CHECK(faults(&o, SEGV_ACCERR, 0));
}

/* A pointer into the table is not one that the inside writes through. */
static void test_the_inside_is_no_deputy(const struct setup *s)
{
    struct vk_frame f = {0};

    start(s);
    f.stats = (struct mpk_stats *)&vk_ro.table->row[0];
    CHECK(vk_call(VK_STATS, &f) == -EFAULT);
}

/* Which call it is, the frame does not say. */
static void test_a_call_stays_what_it_is(const struct setup *s)
{
    struct vk_frame f;
    struct mpk_stats stats;

    start(s);
    group(&victim);
    for (size_t at = 0; at < sizeof(f) / sizeof(uint32_t); at++) {
        if (at == offsetof(struct vk_frame, stats) / sizeof(uint32_t)) {
            at++; /* is no address then */
            continue;
        }
        for (uint32_t op = 0; op <= VK_STATS; op++) {
            f = (struct vk_frame){
                .vkey = victim, .prot = RW, .idx = 1, .stats = &stats};
            ((uint32_t *)&f)[at] = op;
            vk_call(VK_STATS, &f);
        }
    }
    CHECK(vk_ro.view->row[victim & (VK_ROWS - 1)].global == 0);
    CHECK(mpk_munmap(victim) == 0);
}

/* ---- keys that are used again -------------------------------------------- */

static volatile char *stale;

/* The key of the group that was there is open: it opens nothing there. */
static void read_stale_with_key_open(const struct setup *s)
{
    mpk_vkey_t vkey[3];
    char *p;

    (void)s;
    stale = used_group(&victim);
    CHECK(mpk_munmap(victim) == 0);
    for (int i = 0; i < 3; i++) {
        p = group(&vkey[i]);
        CHECK(i != 0 || p == stale); /* its pages are used again */
    }
    /* Any key that there is, but not for the group at |stale|. */
    CHECK(mpk_begin(vkey[1], RW) == 0);
    CHECK(mpk_begin(vkey[2], RW) == 0);
    if (failed_checks != 0) {
        _exit(1);
    }
    (void)*stale;
    _exit(LEAKED);
}

static void test_pages_given_up_are_closed(const struct setup *s)
{
    struct outcome o;

    start(s);
    o = run_in_child(read_stale_with_key_open, s);
    CHECK(faults(&o, SEGV_PKUERR, mpk_ro.pkey));
}

/* As libc does it for whoever writes to its notes (docs/design/gate.md). */
static void read_opened(const struct setup *s)
{
    volatile char *p;

    (void)s;
    p = group(&victim);
    CHECK(mprotect((void *)p, 4096, RW) == 0);
    if (failed_checks != 0) {
        _exit(1);
    }
    (void)*p;
    _exit(LEAKED);
}

static void test_rights_of_pages_open_no_group(const struct setup *s)
{
    struct outcome o;

    start(s);
    o = run_in_child(read_opened, s);
    CHECK(faults(&o, SEGV_PKUERR, mpk_ro.pkey));
}

static void read_evicted(const struct setup *s)
{
    mpk_vkey_t vkey[8];
    char *p;

    (void)s;
    p = used_group(&victim);
    for (int i = 0; i < 8; i++) {
        used_group(&vkey[i]);
        CHECK(mpk_begin(vkey[i], RW) == 0);
        if (key_of(victim) < 0) {
            break;
        }
        CHECK(mpk_end(vkey[i]) == 0);
    }
    CHECK(key_of(victim) < 0);
    if (failed_checks != 0) {
        _exit(1);
    }
    (void)*(volatile char *)p;
    _exit(LEAKED);
}

static void test_a_group_that_lost_its_key_is_closed(const struct setup *s)
{
    struct outcome o;

    start(s);
    o = run_in_child(read_evicted, s);
    CHECK(faults(&o, SEGV_PKUERR, mpk_ro.pkey));
}

static void test_a_group_in_use_keeps_its_key(const struct setup *s)
{
    mpk_vkey_t vkey[8];
    int key;

    start(s);
    used_group(&victim);
    CHECK(mpk_begin(victim, RW) == 0);
    key = key_of(victim);
    CHECK(mpk_munmap(victim) == -EBUSY);
    CHECK(mpk_mprotect(victim, PROT_READ) == -EBUSY);
    for (int i = 0; i < 8; i++) {
        used_group(&vkey[i]);
        CHECK(key_of(victim) == key);
        CHECK(key_of(vkey[i]) != key);
    }
    CHECK(mpk_end(victim) == 0);
    CHECK(mpk_munmap(victim) == 0);
    CHECK(mpk_munmap(victim) == -ENOENT);
}

static void test_forged_and_old_keys_open_nothing(const struct setup *s)
{
    mpk_vkey_t old, fresh;

    start(s);
    used_group(&old);
    CHECK(mpk_munmap(old) == 0);
    used_group(&fresh);
    CHECK((old & (VK_ROWS - 1)) == (fresh & (VK_ROWS - 1)) && old != fresh);
    CHECK(mpk_begin(old, RW) == -ENOENT);
    CHECK(mpk_begin(0, RW) == -ENOENT);
    CHECK(mpk_begin(fresh & (VK_ROWS - 1), RW) == -ENOENT);
    CHECK(mpk_begin(~0ULL, RW) == -ENOENT);
    for (int i = 0; i < 64; i++) {
        CHECK(mpk_begin(fresh ^ 1ULL << i, RW) == -ENOENT);
    }
    CHECK(mpk_munmap(old) == -ENOENT && mpk_end(old) == -EPERM);
}

static void test_groups_do_not_overlap(const struct setup *s)
{
    mpk_vkey_t vkey;
    void *p;

    start(s);
    p = used_group(&victim);
    CHECK(mpk_mmap(&vkey, &p, 4096, RW, ANON | MAP_FIXED, -1, 0) == -EINVAL);
    p = used_group(&vkey);
    CHECK(mpk_mmap(&vkey, &p, 4096, RW, ANON, -1, 0) == 0);
    CHECK(p != (void *)vk_ro.view->row[victim & (VK_ROWS - 1)].base);
}

/* ---- threads that end, processes that fork ------------------------------ */

static char *left_open;

static void *ends_pinned(void *unused)
{
    (void)unused;
    CHECK(mpk_begin(victim, RW) == 0);
    left_open[1] = 1;
    return NULL;
}

static void *reads_it(void *unused)
{
    (void)unused;
    (void)*(volatile char *)left_open;
    _exit(LEAKED);
}

/* The number, the stack and the thread-local memory of the thread that ended
 * with the group open are most likely the new one's. */
static void read_after_it_ended(const struct setup *s)
{
    pthread_t t;

    (void)s;
    pthread_create(&t, NULL, ends_pinned, NULL);
    pthread_join(t, NULL);
    pthread_create(&t, NULL, reads_it, NULL);
    pthread_join(t, NULL);
}

static void
test_a_thread_that_ends_leaves_its_groups_to_nobody(const struct setup *s)
{
    struct outcome o;

    start(s);
    left_open = used_group(&victim);
    o = run_in_child(read_after_it_ended, s);
    CHECK(faults(&o, SEGV_PKUERR, key_of(victim)));
}

/* While another thread has the group open, which does not exist in the child.
 */
static void read_in_child(const struct setup *s)
{
    (void)s;
    CHECK(mpk_end(victim) == -EPERM);
    if (failed_checks != 0) {
        _exit(1);
    }
    (void)*(volatile char *)left_open;
    _exit(LEAKED);
}

static void use_in_child(const struct setup *s)
{
    mpk_vkey_t vkey[8];

    (void)s;
    /* Nobody is left who keeps the key: it can be had, and the group given up.
     */
    for (int i = 0; i < 8; i++) {
        used_group(&vkey[i]);
    }
    CHECK(mpk_munmap(victim) == 0);
    CHECK(mpk_begin(victim, RW) == -ENOENT);
}

static void *holds_on(void *go);

static void test_a_fork_in_the_middle_opens_nothing(const struct setup *s)
{
    _Atomic int go = 0;
    struct outcome o;
    pthread_t t;

    start(s);
    left_open = used_group(&victim);
    pthread_create(&t, NULL, holds_on, &go);
    while (atomic_load(&go) == 0) {
        usleep(1000);
    }
    o = run_in_child(read_in_child, s);
    CHECK(faults(&o, SEGV_PKUERR, key_of(victim)));
    o = run_in_child(use_in_child, s);
    CHECK(o.status == 0);
    CHECK(mpk_munmap(victim) == -EBUSY); /* here it is still kept */
    atomic_store(&go, 2);
    pthread_join(t, NULL);
    CHECK(mpk_munmap(victim) == 0);
}

/* ---- lies to the inside -------------------------------------------------- */

static void *holds_on(void *go)
{
    CHECK(mpk_begin(victim, RW) == 0);
    atomic_store((_Atomic int *)go, 1);
    while (atomic_load((_Atomic int *)go) == 1) {
        usleep(1000);
    }
    CHECK(mpk_end(victim) == 0);
    return NULL;
}

static void test_nobody_gives_up_what_another_has_open(const struct setup *s)
{
    _Atomic int go = 0;
    mpk_vkey_t mine;
    pthread_t t;

    start(s);
    used_group(&mine);
    used_group(&victim);
    pthread_create(&t, NULL, holds_on, &go);
    while (atomic_load(&go) == 0) {
        usleep(1000);
    }
    for (uint32_t i = 2; i < 8; i++) {
        struct vk_frame f = {.idx = i};

        CHECK(vk_call(VK_THREAD_END, &f) == -EINVAL);
    }
    CHECK(mpk_munmap(victim) == -EBUSY);
    atomic_store(&go, 2);
    pthread_join(t, NULL);
}

/* What a thread knows of itself lies where everybody can write. */
static struct vk_self *self_of(uint32_t thread)
{
    return (struct vk_self *)(uintptr_t)vk_ro.view->thread[thread].tls;
}

static void test_nobody_begins_for_another_thread(const struct setup *s)
{
    _Atomic int go = 0;
    pthread_t t;

    start(s);
    used_group(&victim);
    pthread_create(&t, NULL, holds_on, &go);
    while (atomic_load(&go) == 0) {
        usleep(1000);
    }
    for (uint32_t i = 2; i < 8; i++) {
        struct vk_frame f = {.idx = i, .vkey = victim, .prot = RW};

        CHECK(vk_call(VK_BEGIN, &f) == -EINVAL);
    }
    atomic_store(&go, 2);
    pthread_join(t, NULL);
    CHECK(mpk_munmap(victim) == 0);
}

static void
test_a_thread_without_its_number_keeps_its_pins(const struct setup *s)
{
    mpk_vkey_t vkey[8];
    int key;

    start(s);
    used_group(&victim);
    CHECK(mpk_begin(victim, RW) == 0);
    key = key_of(victim);
    self_of(0)->idx = 0;
    for (int i = 0; i < 8; i++) {
        used_group(&vkey[i]);
        CHECK(key_of(victim) == key);
    }
    CHECK(mpk_munmap(victim) == -EBUSY);
    CHECK(mpk_end(victim) == 0);
    CHECK(mpk_munmap(victim) == 0);
}

static void end_what_is_said_to_be_global(const struct setup *s)
{
    start(s);
    used_group(&victim);
    CHECK(mpk_begin(victim, RW) == 0);
    self_of(0)->global[0] = 1;
    mpk_end(victim);
}

static void test_an_open_group_does_not_pass_for_global(const struct setup *s)
{
    struct outcome o = run_in_child(end_what_is_said_to_be_global, s);

    CHECK(ended_by_fatal(&o, "list of open groups"));
}

static void end_as_another_what_is_said_to_be_global(const struct setup *s)
{
    start(s);
    used_group(&victim);
    CHECK(mpk_begin(victim, RW) == 0);
    self_of(0)->global[0] = 1;
    self_of(0)->idx = 2;
    mpk_end(victim);
}

static void test_nor_by_another_threads_number(const struct setup *s)
{
    struct outcome o =
        run_in_child(end_as_another_what_is_said_to_be_global, s);

    CHECK(ended_by_fatal(&o, "a thread's number"));
}

static void end_with_a_wild_count(const struct setup *s)
{
    start(s);
    used_group(&victim);
    CHECK(mpk_begin(victim, RW) == 0);
    self_of(0)->depth = 1U << 28;
    mpk_end(victim);
}

static void test_a_threads_count_is_no_index_for_others(const struct setup *s)
{
    struct outcome o = run_in_child(end_with_a_wild_count, s);

    CHECK(ended_by_fatal(&o, "list of open groups"));
}

static void read_at_the_end(void *unused)
{
    (void)unused;
    (void)*(volatile char *)left_open;
    _exit(LEAKED);
}

static void *forgets_what_it_has(void *key)
{
    struct vk_self *self;
    uint32_t i = 0;

    CHECK(pthread_setspecific(*(pthread_key_t *)key, "") == 0);
    CHECK(mpk_begin(victim, RW) == 0);
    while (vk_ro.view->thread[i].tid != (uint32_t)gettid()) {
        i++;
    }
    self = self_of(i);
    CHECK(self->depth == 1);
    self->depth = 0;
    return NULL;
}

static void end_with_a_short_list(const struct setup *s)
{
    pthread_key_t key;
    pthread_t t;

    (void)s;
    CHECK(pthread_key_create(&key, read_at_the_end) == 0);
    pthread_create(&t, NULL, forgets_what_it_has, &key);
    pthread_join(t, NULL);
}

static void
test_a_thread_that_ends_closes_what_its_list_lacks(const struct setup *s)
{
    struct outcome o;

    start(s);
    left_open = used_group(&victim);
    o = run_in_child(end_with_a_short_list, s);
    CHECK(faults(&o, SEGV_PKUERR, key_of(victim)));
}

static void test_a_block_in_use_is_not_given_out(const struct setup *s)
{
    void *a = NULL, *b = NULL;
    struct vk_frame f = {0};

    start(s);
    group(&victim);
    CHECK(mpk_malloc(victim, &a, 256) == 0);
    f.vkey = victim;
    f.len = 64;
    for (int i = 0; i < 256; i += 64) {
        f.addr = (uint64_t)(uintptr_t)a + (unsigned)i;
        CHECK(vk_call(VK_FREE_DONE, &f) == -EINVAL);
    }
    CHECK(mpk_malloc(victim, &b, 64) == 0 && (char *)b == (char *)a + 256);
}

static void free_twice(const struct setup *s)
{
    void *a = NULL;

    start(s);
    group(&victim);
    CHECK(mpk_malloc(victim, &a, 256) == 0);
    CHECK(mpk_free(victim, a) == 0);
    mpk_free(victim, a);
}

static void free_a_middle(const struct setup *s)
{
    void *a = NULL;

    start(s);
    group(&victim);
    CHECK(mpk_malloc(victim, &a, 256) == 0);
    mpk_free(victim, (char *)a + 64);
}

static void test_wrong_frees_end_the_process(const struct setup *s)
{
    struct outcome o = run_in_child(free_twice, s);

    CHECK(ended_by_fatal(&o, "no block of the group"));
    o = run_in_child(free_a_middle, s);
    CHECK(ended_by_fatal(&o, "no block of the group"));
}

/* ---- jumps to the WRPKRU ------------------------------------------------- */

extern const unsigned char attack_rights_set[] __asm__("mpk_rights_set");
extern const unsigned char attack_rights_inside[] __asm__("mpk_rights_inside");
extern const unsigned char attack_rights_pin[] __asm__("mpk_rights_pin");
extern const unsigned char attack_rights_unpin[] __asm__("mpk_rights_unpin");

/* The nth WRPKRU of a function of rights.S or hit.S. */
static const unsigned char *write_in(const unsigned char *f, int nth)
{
    for (int i = 0; i < 256; i++) {
        if (f[i] == 0x0f && f[i + 1] == 0x01 && f[i + 2] == 0xef &&
            nth-- == 0) {
            return f + i;
        }
    }
    _exit(1);
}

static struct {
    const unsigned char *to;
    uint32_t eax;
    uint64_t pins;
} jump;

/* What is read behind a WRPKRU of mpk_begin and mpk_end lets them go on: the
 * row, the pin and the count of waiters are zeros, but the pin that is given
 * back. */
static void jump_and_look(const struct setup *s)
{
    static uint64_t zeros[16];
    uint64_t si = (uint64_t)(uintptr_t)zeros, di = 0;
    uint32_t eax = jump.eax;

    (void)s;
    zeros[0] = jump.pins;
    __asm__ volatile("movq %%rsi, %%r8\n\t"
                     "leaq 64(%%rsi), %%r11\n\t"
                     "xorl %%r10d, %%r10d\n\t"
                     "movl $30, %%r9d\n\t" /* key 15, not 0 */
                     "call *%3"
                     : "+a"(eax), "+S"(si), "+D"(di)
                     : "b"(jump.to), "c"(0), "d"(0)
                     : "r8", "r9", "r10", "r11", "memory", "cc");
    (void)*(volatile char *)mpk_ro.domain;
    _exit(LEAKED);
}

static bool ends_at_ud2(const struct outcome *o)
{
    return o->status == FAULTED && o->signo == SIGILL;
}

/* |pins| is how often the key of mpk_rights_unpin is pinned. */
static void opens_nothing(const struct setup *s, const unsigned char *to,
                          uint64_t pins)
{
    struct outcome o;

    jump.to = to;
    jump.pins = pins;
    jump.eax = 0;
    o = run_in_child(jump_and_look, s);
    CHECK(ends_at_ud2(&o));
    /* All but the domain: no more than calls of mpk_begin give. */
    jump.eax = 3U << (2 * mpk_ro.pkey);
    o = run_in_child(jump_and_look, s);
    CHECK(faults(&o, SEGV_PKUERR, mpk_ro.pkey));
}

static void
test_a_jump_to_an_outer_write_does_not_open_the_domain(const struct setup *s)
{
    start(s);
    opens_nothing(s, write_in(attack_rights_set, 0), 0);
    opens_nothing(s, write_in(attack_rights_pin, 0), 0);
    opens_nothing(s, write_in(attack_rights_unpin, 0), 0);
    opens_nothing(s, write_in(attack_rights_unpin, 1), 1);
}

static void test_a_jump_to_the_inner_write_opens_nothing(const struct setup *s)
{
    start(s);
    opens_nothing(s, write_in(attack_rights_inside, 0), 0);
}

static const struct core_test tests[] = {
    TEST(test_bookkeeping_cannot_be_written, ONE_MEMORY | NEEDS_KEYS),
    TEST(test_the_inside_is_no_deputy, ONE_MEMORY | NEEDS_KEYS),
    TEST(test_a_call_stays_what_it_is, ONE_MEMORY | NEEDS_KEYS),
    TEST(test_pages_given_up_are_closed, ONE_MEMORY | NEEDS_KEYS),
    TEST(test_rights_of_pages_open_no_group, ONE_MEMORY | NEEDS_KEYS),
    TEST(test_a_group_that_lost_its_key_is_closed, ONE_MEMORY | NEEDS_KEYS),
    TEST(test_a_group_in_use_keeps_its_key, ONE_MEMORY | NEEDS_KEYS),
    TEST(test_forged_and_old_keys_open_nothing, ONE_MEMORY | NEEDS_KEYS),
    TEST(test_groups_do_not_overlap, ONE_MEMORY | NEEDS_KEYS),
    TEST(test_a_thread_that_ends_leaves_its_groups_to_nobody,
         ONE_MEMORY | NEEDS_KEYS),
    TEST(test_a_fork_in_the_middle_opens_nothing, ONE_MEMORY | NEEDS_KEYS),
    TEST(test_nobody_gives_up_what_another_has_open, ONE_MEMORY | NEEDS_KEYS),
    TEST(test_nobody_begins_for_another_thread, ONE_MEMORY | NEEDS_KEYS),
    TEST(test_a_thread_without_its_number_keeps_its_pins,
         ONE_MEMORY | NEEDS_KEYS),
    TEST(test_an_open_group_does_not_pass_for_global, ONE_MEMORY | NEEDS_KEYS),
    TEST(test_nor_by_another_threads_number, ONE_MEMORY | NEEDS_KEYS),
    TEST(test_a_threads_count_is_no_index_for_others, ONE_MEMORY | NEEDS_KEYS),
    TEST(test_a_thread_that_ends_closes_what_its_list_lacks,
         ONE_MEMORY | NEEDS_KEYS),
    TEST(test_a_block_in_use_is_not_given_out, ONE_MEMORY | NEEDS_KEYS),
    TEST(test_wrong_frees_end_the_process, ONE_MEMORY | NEEDS_KEYS),
    TEST(test_a_jump_to_an_outer_write_does_not_open_the_domain,
         ONE_MEMORY | NEEDS_KEYS),
    TEST(test_a_jump_to_the_inner_write_opens_nothing, ONE_MEMORY | NEEDS_KEYS),
};

int main(void)
{
    return core_test_main(tests, COUNT_OF(tests));
}
