/*
 * Who a thread is to virtual keys, whatever others write into what it knows of
 * itself: its number, and the word at fs:0, by which the compiler finds
 * thread-local memory.
 *
 * Seen to fail: with my_self() as &vk_self; with the address in the frame of
 * VK_THREAD_NEW believed; without the release of a dead thread's place; with
 * thread_ends going by its argument; with a thread that stays in the list when
 * nobody will hear of its end.
 */
#include "core_test.h"

#include "../../mpkcore/vkey.h"
#include "../../mpkcore/x86_64/cpu.h"

#include <mpkcore/mpk.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RW (PROT_READ | PROT_WRITE)
#define LEAKED 55

static mpk_vkey_t victim;
static char *victim_at;

static void start(const struct setup *s)
{
    struct mpk_params params = {.backend = s->backend, .max_keys = 3};

    if (mpk_init(&params) != 0) {
        _exit(1);
    }
    alarm(60);
}

static void make_victim(void)
{
    void *p = NULL;

    CHECK(mpk_mmap(&victim, &p, 4096, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
          0);
    victim_at = p;
}

static void wait_for(_Atomic int *step, int value)
{
    while (atomic_load(step) < value) {
        usleep(500);
    }
}

/* What the table says of the caller: index, or VK_NONE. */
static uint32_t place_of(uint32_t tid)
{
    for (uint32_t i = 0; i < 64; i++) {
        if (vk_ro.view->thread[i].tid == tid) {
            return i;
        }
    }
    return VK_NONE;
}

/* ---- a thread that is made to count as another one ----------------------- */

struct person {
    pthread_t thread;
    _Atomic int step;
    uint32_t place;
    uintptr_t at; /* its thread pointer, where the word lies */
};

static void introduce(struct person *p)
{
    CHECK(mpk_begin(victim, RW) == 0 && mpk_end(victim) == 0);
    p->place = place_of((uint32_t)syscall(SYS_gettid));
    p->at = cpu_thread_pointer();
    atomic_store(&p->step, 1);
    wait_for(&p->step, 2);
}

static void *is_attacked(void *arg)
{
    struct person *p = arg;

    introduce(p);
    CHECK(mpk_begin(victim, RW) == 0);
    atomic_store(&p->step, 3);
    wait_for(&p->step, 4);
    CHECK(mpk_end(victim) == 0);
    return NULL;
}

static void *is_there(void *arg)
{
    introduce(arg);
    return NULL;
}

static void meet(struct person *p, void *(*body)(void *))
{
    CHECK(pthread_create(&p->thread, NULL, body, p) == 0);
    wait_for(&p->step, 1);
}

static struct vk_self *self_of(const struct person *p)
{
    return (struct vk_self *)(uintptr_t)vk_ro.view->thread[p->place].tls;
}

static void write_at(uintptr_t p, uintptr_t value)
{
    *(volatile uintptr_t *)p = value;
}

static struct person a, b;

static bool fs_is_read(void)
{
    if (!vk_ro.reads_fs) {
        printf("     SKIP: this kernel lets nobody read the register\n");
    }
    return vk_ro.reads_fs;
}

/* Its pins are its own; those of the other go with the other. */
static void test_the_word_at_fs_makes_nobody_another(const struct setup *s)
{
    start(s);
    if (!fs_is_read()) {
        return;
    }
    make_victim();
    meet(&a, is_attacked);
    meet(&b, is_there);
    write_at(a.at, b.at);
    atomic_store(&a.step, 2);
    wait_for(&a.step, 3);
    write_at(a.at, a.at);
    atomic_store(&b.step, 2);
    pthread_join(b.thread, NULL);
    CHECK(mpk_munmap(victim) == -EBUSY);
    atomic_store(&a.step, 4);
    pthread_join(a.thread, NULL);
    CHECK(mpk_munmap(victim) == 0);
}

static void begin_as_another(const struct setup *s)
{
    (void)s;
    make_victim();
    meet(&a, is_attacked);
    meet(&b, is_there);
    self_of(&a)->idx = self_of(&b)->idx;
    write_at(a.at, b.at);
    atomic_store(&a.step, 2);
    wait_for(&a.step, 3);
    _exit(LEAKED);
}

static void test_nor_with_the_others_number(const struct setup *s)
{
    struct outcome o;

    start(s);
    if (fs_is_read()) {
        o = run_in_child(begin_as_another, s);
        CHECK(ended_by_fatal(&o, "a thread's number"));
    }
}

/* ---- the list of threads ------------------------------------------------- */

static void test_a_thread_does_not_say_where_it_is(const struct setup *s)
{
    struct vk_frame f = {.addr = 4096};

    start(s);
    CHECK(vk_call(VK_THREAD_NEW, &f) == 0 && f.idx == 1);
    CHECK(vk_ro.view->thread[0].tls == (uint64_t)(uintptr_t)vk_my_self());
    /* Nor does it become a new one that has nothing open. */
    f = (struct vk_frame){.addr = 8192};
    CHECK(vk_call(VK_THREAD_NEW, &f) == 0 && f.idx == 1);
}

static void *is_known(void *place)
{
    CHECK(mpk_begin(victim, RW) == 0 && mpk_end(victim) == 0);
    *(uint32_t *)place = place_of((uint32_t)syscall(SYS_gettid));
    return NULL;
}

static void *dies_known(void *place)
{
    is_known(place);
    syscall(SYS_exit, 0); /* no destructor runs */
    return NULL;
}

static void *is_known_there(void *arg)
{
    uint32_t dead = *(uint32_t *)arg, place;
    uint64_t tls = vk_ro.view->thread[dead].tls;

    is_known(&place);
    CHECK(vk_ro.view->thread[place].tls == tls); /* libc keeps stacks */
    CHECK(place == dead || vk_ro.view->thread[dead].tls != tls);
    return NULL;
}

/* With the number of the dead one it would have its pins, which go when it is
 * found to be dead. */
static void test_one_thread_is_in_one_place(const struct setup *s)
{
    uint32_t dead = VK_NONE;
    pthread_t t;

    start(s);
    make_victim();
    pthread_create(&t, NULL, dies_known, &dead);
    pthread_join(t, NULL);
    CHECK(dead != VK_NONE);
    pthread_create(&t, NULL, is_known_there, &dead);
    pthread_join(t, NULL);
}

/* ---- a thread whose end nobody would hear of ----------------------------- */

static _Atomic int no_memory;

int setspecific_or_not(pthread_key_t key, const void *value);

/* What vkey_enrol.c calls here. libc has room for a thread's first 32 keys, and
 * takes memory for more. */
int setspecific_or_not(pthread_key_t key, const void *value)
{
    return atomic_load(&no_memory) ? ENOMEM : pthread_setspecific(key, value);
}

static void *comes_twice(void *tid)
{
    *(uint32_t *)tid = (uint32_t)syscall(SYS_gettid);
    atomic_store(&no_memory, 1);
    CHECK(mpk_begin(victim, RW) == -ENOMEM);
    CHECK(place_of(*(uint32_t *)tid) == VK_NONE);
    CHECK(mpk_begin(victim, RW) == -ENOMEM);
    CHECK(mpk_end(victim) == -EPERM);
    atomic_store(&no_memory, 0);
    CHECK(mpk_begin(victim, RW) == 0);
    CHECK(place_of(*(uint32_t *)tid) != VK_NONE);
    return NULL;
}

/* It ends with the group open. */
static void test_a_thread_comes_whole_or_not_at_all(const struct setup *s)
{
    uint32_t tid;
    pthread_t t;

    start(s);
    make_victim();
    pthread_create(&t, NULL, comes_twice, &tid);
    pthread_join(t, NULL);
    CHECK(place_of(tid) == VK_NONE);
    CHECK(mpk_munmap(victim) == 0);
}

/* ---- a thread that ends -------------------------------------------------- */

static void read_at_the_end(void *unused)
{
    (void)unused;
    (void)*(volatile char *)victim_at;
    _exit(LEAKED);
}

static void *ends_by_anothers_list(void *key)
{
    void *self = vk_my_self();
    unsigned found = 0;

    CHECK(pthread_setspecific(*(pthread_key_t *)key, "") == 0);
    CHECK(mpk_begin(victim, RW) == 0);
    for (pthread_key_t k = 0; k < 32; k++) {
        if (pthread_getspecific(k) == self) {
            pthread_setspecific(k, self_of(&b));
            found++;
        }
    }
    CHECK(found == 1 && failed_checks == 0);
    return NULL;
}

static void end_by_anothers_list(const struct setup *s)
{
    pthread_key_t key;
    pthread_t t;

    start(s);
    CHECK(pthread_key_create(&key, read_at_the_end) == 0);
    make_victim();
    meet(&b, is_there);
    pthread_create(&t, NULL, ends_by_anothers_list, &key);
    pthread_join(t, NULL);
}

static void test_who_ends_closes_what_he_has(const struct setup *s)
{
    struct outcome o = run_in_child(end_by_anothers_list, s);

    CHECK(o.status == FAULTED && o.signo == SIGSEGV);
}

static const struct core_test tests[] = {
    TEST(test_the_word_at_fs_makes_nobody_another,
         ONE_MEMORY | NEEDS_KEYS | NOT_SANITIZED),
    TEST(test_nor_with_the_others_number,
         ONE_MEMORY | NEEDS_KEYS | NOT_SANITIZED),
    TEST(test_a_thread_does_not_say_where_it_is, ONE_MEMORY),
    TEST(test_one_thread_is_in_one_place, ONE_MEMORY | NOT_SANITIZED),
    TEST(test_a_thread_comes_whole_or_not_at_all, ONE_MEMORY),
    TEST(test_who_ends_closes_what_he_has,
         ONE_MEMORY | NEEDS_KEYS | NOT_SANITIZED),
};

int main(void)
{
    return core_test_main(tests, COUNT_OF(tests));
}
