/*
 * Virtual keys over simulated protection keys: many steps, few keys, so that
 * threads wait, drain and use the keys that are held back.
 *
 * Seen to fail: the model without one barrier or another (see the commit); who
 * closes a group, when the barrier is left out as soon as one thread only has
 * begun any; who waited, when only a group that is there ends its wait; blocks
 * of the model, without the lock in mpk_malloc or in the end of mpk_free, or
 * without its wipe; all pages, when a group that loses its key closes the
 * first; children, when who forks is another thread there.
 */
#include "core_test.h"
#include "fail_syscall.h"
#include "vkey_model.h"
#include "vkey_sim.h"

#include "../../mpkcore/vkey.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RW (PROT_READ | PROT_WRITE)

static const struct mpk_entry entries[] = {MPK_CORE_ENTRIES, MPK_VKEY_ENTRIES};

static bool allows(const volatile char *p, bool write)
{
    return sim_allows((const void *)(uintptr_t)p, write);
}

static void run_forks(const struct setup *s, int keys, uint32_t nest,
                      unsigned threads, unsigned groups, unsigned fork_in)
{
    struct mpk_params params = {.nest = nest, .max_keys = (uint32_t)keys};
    struct world w = {.threads = threads,
                      .steps = scaled(MPK_MODEL_STEPS) / threads,
                      .groups = groups,
                      .nest = nest,
                      .fork_in = fork_in,
                      .own_rights = true,
                      .allows = allows};
    struct mpk_stats st = {0};

    make_domain(s, entries, COUNT_OF(entries));
    sim_keys(keys + 1);
    CHECK(vk_init_with(&params, MPK_BACKEND_MPK) == 0);
    model_run(&w, say_seed());
    CHECK(mpk_stats_get(&st) == 0);
    CHECK(st.groups == 0);
    CHECK(st.keys == (uint32_t)keys);
    printf("     %d keys, nest %u, %u threads: %u steps, %llu loads, %llu "
           "evictions, %llu waits\n",
           keys, nest, threads, w.steps * threads, (unsigned long long)st.loads,
           (unsigned long long)st.evictions, (unsigned long long)st.waits);
}

static void run(const struct setup *s, int keys, uint32_t nest,
                unsigned threads, unsigned groups)
{
    run_forks(s, keys, nest, threads, groups, 0);
}

static void many_keys(const struct setup *s)
{
    run(s, 12, 2, 4, 40);
}

static void fewer_keys_than_threads(const struct setup *s)
{
    run(s, 3, 2, 8, 12);
}

static void deep_nests_on_few_keys(const struct setup *s)
{
    run(s, 4, 4, 6, 10);
}

static void one_key(const struct setup *s)
{
    run(s, 1, 1, 4, 6);
}

static void all_nest_at_once(const struct setup *s)
{
    run(s, 2, 2, 8, 5);
}

/* A child goes on alone, with the keys as they were. */
static void one_thread_forks(const struct setup *s)
{
    run_forks(s, 3, 2, 1, 12, 2000);
}

static void threads_fork(const struct setup *s)
{
    run_forks(s, 3, 2, 4, 12, 2000);
}

/* ---- by hand ------------------------------------------------------------- */

static mpk_vkey_t one, two;

static void start(const struct setup *s, uint32_t keys)
{
    struct mpk_params params = {.nest = 1, .max_keys = keys};
    void *p = NULL, *q = NULL;

    make_domain(s, entries, COUNT_OF(entries));
    sim_keys((int)keys + 1);
    CHECK(vk_init_with(&params, MPK_BACKEND_MPK) == 0);
    CHECK(mpk_mmap(&one, &p, 4096, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
          0);
    CHECK(mpk_mmap(&two, &q, 4096, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
          0);
}

static pthread_barrier_t met;

static void *begin_once_and_stay(void *arg)
{
    CHECK(mpk_begin(one, RW) == 0 && mpk_end(one) == 0);
    pthread_barrier_wait(&met);
    pause();
    return arg;
}

static void close_without_a_barrier(const struct setup *s)
{
    pthread_t thread;

    start(s, 2);
    pthread_barrier_init(&met, NULL, 2);
    CHECK(pthread_create(&thread, NULL, begin_once_and_stay, NULL) == 0);
    pthread_barrier_wait(&met);
    CHECK(fail_syscall(SYS_membarrier, EINVAL));
    CHECK(mpk_mprotect(one, PROT_NONE) == 0);
}

/* A thread that has begun no group takes one from the only thread that has. */
static void who_closes_a_group_asks_the_others(const struct setup *s)
{
    struct outcome o = run_in_child(close_without_a_barrier, s);

    CHECK(ended_by_fatal(&o, "membarrier failed"));
}

static void *wait_for_two(void *arg)
{
    CHECK(mpk_begin(two, PROT_READ) == -ENOENT);
    CHECK(vk_ro.view->head.waiting == 0); /* and it goes on */
    return arg;
}

static void who_waited_for_a_group_that_is_gone(const struct setup *s)
{
    pthread_t thread;

    start(s, 1);
    CHECK(mpk_begin(one, RW) == 0);
    CHECK(pthread_create(&thread, NULL, wait_for_two, NULL) == 0);
    while (atomic_load(&vk_ro.view->head.waiting) == 0) {
        sched_yield();
    }
    CHECK(mpk_munmap(two) == 0);
    CHECK(mpk_end(one) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
}

static void *wait_and_have_two(void *arg)
{
    CHECK(mpk_begin(two, RW) == 0 && mpk_end(two) == 0);
    return arg;
}

/* Here the kernel calls everybody dead. Who has nothing open keeps nobody
 * waiting, and is not asked for. */
static void who_waits_asks_who_has_something_open(const struct setup *s)
{
    pthread_t idle, waits;
    uint32_t known = 0;

    start(s, 1);
    CHECK(mpk_begin(one, RW) == 0);
    CHECK(mpk_end(one) == 0);
    pthread_barrier_init(&met, NULL, 2);
    CHECK(pthread_create(&idle, NULL, begin_once_and_stay, NULL) == 0);
    pthread_barrier_wait(&met);
    CHECK(mpk_begin(one, RW) == 0);
    CHECK(fail_syscall(SYS_tgkill, ESRCH));
    CHECK(pthread_create(&waits, NULL, wait_and_have_two, NULL) == 0);
    CHECK(pthread_join(waits, NULL) == 0);
    for (uint32_t i = 0; i < VK_THREADS; i++) {
        known += vk_ro.view->thread[i].tid != 0;
    }
    CHECK(known == 1);
}

static pthread_barrier_t all_there;

static void *be_there(void *arg)
{
    CHECK(mpk_begin(one, RW) == 0 && mpk_end(one) == 0);
    pthread_barrier_wait(&all_there);
    return arg;
}

/* Each miss looks at the pins of all. */
static void threads_that_are_gone_cost_nothing(const struct setup *s)
{
    pthread_t thread[50];

    start(s, 1);
    CHECK(mpk_begin(one, RW) == 0 && mpk_end(one) == 0);
    pthread_barrier_init(&all_there, NULL, COUNT_OF(thread));
    for (size_t i = 0; i < COUNT_OF(thread); i++) {
        CHECK(pthread_create(&thread[i], NULL, be_there, NULL) == 0);
    }
    for (size_t i = 0; i < COUNT_OF(thread); i++) {
        CHECK(pthread_join(thread[i], NULL) == 0);
    }
    CHECK(vk_state()->threads == 1);
    CHECK(vk_state()->n_threads == 1);
    CHECK(mpk_begin(two, RW) == 0 && mpk_end(two) == 0);
}

static const struct core_test tests[] = {
    TEST(many_keys, ONE_MEMORY),
    TEST(fewer_keys_than_threads, ONE_MEMORY),
    TEST(deep_nests_on_few_keys, ONE_MEMORY),
    TEST(one_key, ONE_MEMORY),
    TEST(all_nest_at_once, ONE_MEMORY),
    TEST(one_thread_forks, ONE_MEMORY),
    TEST(threads_fork, ONE_MEMORY | NOT_TSAN),
    TEST(who_closes_a_group_asks_the_others, ONE_MEMORY),
    TEST(who_waited_for_a_group_that_is_gone, ONE_MEMORY),
    TEST(who_waits_asks_who_has_something_open, ONE_MEMORY),
    TEST(threads_that_are_gone_cost_nothing, ONE_MEMORY),
};

int main(void)
{
    setenv("MPK_TEST_BACKEND", "none", 1);
    return core_test_main(tests, COUNT_OF(tests));
}
