/*
 * Any number of threads may come and go, and none can leave the inside by
 * another way than the gate.
 *
 * Seen to fail: cancellation without pthread_setcancelstate in mpk_call; those
 * who wait for a stack that cannot be made, or for a fork, when they look every
 * 50 us, and for a fork when they never sleep; the count of nobody when each
 * takes himself off it; errno, in those that wait, when mpk_call leaves what
 * the wait made of it.
 */
#include "../seconds.h"
#include "core_test.h"

#include "../../mpkcore/internal.h"

#include <mpkcore/heap.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { OP_SUM = MPK_ENTRY_FIRST, OP_SLEEP, OP_CANCEL_POINT, OP_SLOT };

#define SUM_LEN 56

static int64_t sum_stub(void *frame)
{
    const uint64_t *f = frame;
    uint64_t *copy = mpk_heap_alloc(SUM_LEN * sizeof(*copy));
    uint64_t sum = 0;

    for (size_t i = 0; i < SUM_LEN; i++) {
        copy[i] = f[i];
    }
    for (size_t i = 0; i < SUM_LEN; i++) {
        sum += copy[i];
    }
    mpk_heap_free(copy);
    return (int64_t)sum;
}

static volatile uint32_t inside, most_inside;

static int64_t sleep_stub(void *frame)
{
    struct timespec t = {0, *(long *)frame * 1000000};
    uint32_t now = __atomic_add_fetch(&inside, 1, __ATOMIC_SEQ_CST);
    uint32_t most = __atomic_load_n(&most_inside, __ATOMIC_SEQ_CST);

    while (most < now &&
           !__atomic_compare_exchange_n(&most_inside, &most, now, 0,
                                        __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
    }
    nanosleep(&t, NULL);
    __atomic_sub_fetch(&inside, 1, __ATOMIC_SEQ_CST);
    return mpk_is_inside_call();
}

static atomic_int wait_for_cancel, cancelled, came_back;

/* A call that a thread may be cancelled in, with a cancellation pending. */
static int64_t cancel_point_stub(void *frame)
{
    (void)frame;
    wait_for_cancel = 1;
    while (!cancelled) {
    }
    pthread_testcancel();
    return 42;
}

/* Which stack this is, after some milliseconds. */
static int64_t slot_stub(void *frame)
{
    struct timespec t = {0, *(long *)frame * 1000000};

    nanosleep(&t, NULL);
    return slot_index(mpk_slot_self());
}

static const struct mpk_entry entries[] = {
    MPK_CORE_ENTRIES,
    {sum_stub, SUM_LEN * 8, MPK_KIND_STACK},
    {sleep_stub, sizeof(long), MPK_KIND_STACK},
    {cancel_point_stub, 0, MPK_KIND_STACK},
    {slot_stub, sizeof(long), MPK_KIND_STACK},
};

static void make(const struct setup *s)
{
    make_domain(s, entries, COUNT_OF(entries));
}

static uint32_t stacks(void)
{
    struct mpk_info info;

    CHECK(mpk_core_info(&info) == 0);
    return info.stacks;
}

static void call_sum(uint64_t seed)
{
    uint64_t frame[SUM_LEN], sum = 0;

    for (size_t i = 0; i < SUM_LEN; i++) {
        frame[i] = seed * (i + 1);
        sum += frame[i];
    }
    CHECK(mpk_call(OP_SUM, frame) == (int64_t)sum);
}

static void *sum_often(void *seed)
{
    for (unsigned i = 0; i < scaled(2000); i++) {
        call_sum((uint64_t)(uintptr_t)seed + i);
    }
    return NULL;
}

static void *sum_once(void *seed)
{
    call_sum((uint64_t)(uintptr_t)seed);
    return NULL;
}

static void *sleep_once(void *milliseconds)
{
    long frame = (long)(intptr_t)milliseconds;

    errno = 0;
    CHECK(mpk_call(OP_SLEEP, &frame) == 1);
    CHECK(errno == 0);
    return NULL;
}

/* Starts |n| threads at once and waits for them. */
static void run_threads(unsigned n, void *(*body)(void *), uintptr_t arg)
{
    pthread_t thread[128];

    for (unsigned i = 0; i < n; i++) {
        CHECK(pthread_create(&thread[i], NULL, body, (void *)arg) == 0);
    }
    for (unsigned i = 0; i < n; i++) {
        CHECK(pthread_join(thread[i], NULL) == 0);
    }
}

/* ---- many ---------------------------------------------------------------- */

static void test_one_thread_needs_no_further_stack(const struct setup *s)
{
    uint32_t first;

    make(s);
    first = stacks();
    for (unsigned i = 0; i < 1000; i++) {
        call_sum(i);
    }
    CHECK(stacks() == first);
}

static void test_sixteen_threads_get_their_own_results(const struct setup *s)
{
    make(s);
    run_threads(16, sum_often, 7);
    CHECK(stacks() <= 16 + 2);
}

static void
test_threads_one_after_another_need_two_stacks(const struct setup *s)
{
    uint32_t first;
    int fds;

    make(s);
    first = stacks();
    fds = open_fds();
    for (unsigned i = 0; i < 200; i++) {
        run_threads(1, sum_once, i);
    }
    CHECK(stacks() == first);
    CHECK(open_fds() == fds);
}

static void test_two_hundred_short_threads(const struct setup *s)
{
    make(s);
    for (unsigned i = 0; i < 25; i++) {
        run_threads(8, sum_once, i);
    }
    CHECK(stacks() <= 8 + 2);
}

static void test_more_threads_inside_than_stacks(const struct setup *s)
{
    make(s);
    run_threads(100, sleep_once, 200);
    CHECK(inside == 0);
    CHECK(most_inside > 8 && most_inside < MPK_SLOTS);
    CHECK(stacks() > most_inside && stacks() <= MPK_SLOTS);
    run_threads(100, sum_once, 1);
}

static _Atomic long most_sleeps;

static void *sleep_and_count(void *milliseconds)
{
    long n, most = most_sleeps, before = thread_sleeps();

    sleep_once(milliseconds);
    n = thread_sleeps() - before;
    while (most < n &&
           !atomic_compare_exchange_strong(&most_sleeps, &most, n)) {
    }
    return NULL;
}

/* A look every 50 us would be thousands. */
static void test_who_waits_for_a_stack_sleeps(const struct setup *s)
{
    make(s);
    run_threads(100, sleep_and_count, 500);
    CHECK(most_sleeps < 1000);
}

static pthread_barrier_t meeting;
static atomic_int one_place;

static void *meet_then_sleep(void *milliseconds)
{
    pthread_barrier_wait(&meeting);
    return sleep_and_count(milliseconds);
}

/* With backend mprotect a process at this limit cannot go inside at all. The
 * threads' own stacks are small, so that libc keeps them: what it unmaps as
 * threads end would be room for a stack inside. */
static void
test_who_waits_for_a_stack_that_cannot_be_made_sleeps(const struct setup *s)
{
    enum { N = 12 };
    struct rlimit files = {0, 0};
    pthread_t thread[N];
    pthread_attr_t small;
    uint32_t first;

    make(s);
    if (s->backend == MPK_BACKEND_MPROTECT) {
        return;
    }
    first = stacks();
    CHECK(pthread_attr_init(&small) == 0 &&
          pthread_attr_setstacksize(&small, 256 * 1024) == 0);
    CHECK(pthread_barrier_init(&meeting, NULL, N + 1) == 0);
    for (int i = 0; i < N; i++) {
        CHECK(pthread_create(&thread[i], &small, meet_then_sleep,
                             (void *)(uintptr_t)200) == 0);
    }
    limit_data(0);
    CHECK(setrlimit(RLIMIT_NOFILE, &files) == 0);
    pthread_barrier_wait(&meeting);
    for (int i = 0; i < N; i++) {
        CHECK(pthread_join(thread[i], NULL) == 0);
    }
    CHECK(stacks() == first);
    CHECK(most_sleeps < 1000);
}

static void *fork_once(void *unused)
{
    pid_t child = fork();
    int status;

    (void)unused;
    if (child == 0) {
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    return NULL;
}

/* A fork waits for who is inside, and the others for the fork. */
static void make_a_fork_wait(pthread_t *slow, pthread_t *forks)
{
    CHECK(pthread_create(slow, NULL, sleep_once, (void *)(uintptr_t)900) == 0);
    while (__atomic_load_n(&inside, __ATOMIC_SEQ_CST) == 0) {
        usleep(100);
    }
    CHECK(pthread_create(forks, NULL, fork_once, NULL) == 0);
    usleep(20000);
}

static void test_who_waits_for_a_fork_sleeps(const struct setup *s)
{
    pthread_t slow, forks;
    clock_t cpu;
    double start;

    make(s);
    make_a_fork_wait(&slow, &forks);
    cpu = clock();
    start = seconds_now();
    run_threads(8, sleep_and_count, 1);
    /* Who does not sleep takes all that there is of a CPU. (In an emulated one
     * all that comes before takes as much.) */
    CHECK(getenv("MPK_VM") != NULL || (double)(clock() - cpu) / CLOCKS_PER_SEC <
                                          (seconds_now() - start) / 4);
    CHECK(pthread_join(slow, NULL) == 0 && pthread_join(forks, NULL) == 0);
    CHECK(most_sleeps < 1000);
    CHECK(atomic_load(&mpk_out.waiting) == 0);
}

static atomic_int waited;

/* Until somebody has seen it wait. */
static void *sleep_until_seen(void *unused)
{
    while (!atomic_load(&waited)) {
        sleep_once((void *)(uintptr_t)1);
    }
    return unused;
}

/* As in the child of a fork in a handler that comes while its thread waits. */
static void test_a_count_of_nobody_stays_that(const struct setup *s)
{
    pthread_t slow, forks, waits;

    make(s);
    CHECK(pthread_create(&waits, NULL, sleep_until_seen, NULL) == 0);
    while (!atomic_load(&waited)) {
        make_a_fork_wait(&slow, &forks);
        for (int i = 0; i < 500 && !atomic_load(&waited); i++) {
            atomic_store(&waited, atomic_exchange(&mpk_out.waiting, 0) != 0);
            usleep(1000);
        }
        CHECK(pthread_join(slow, NULL) == 0 && pthread_join(forks, NULL) == 0);
    }
    CHECK(pthread_join(waits, NULL) == 0);
    CHECK(atomic_load(&mpk_out.waiting) == 0);
}

static int64_t which_slot(long milliseconds)
{
    return mpk_call(OP_SLOT, &milliseconds);
}

/* Whether the two have one place for what they want, as two of a thousand do.
 */
static int share_a_place(uintptr_t me)
{
    slot_had(1 + (uint32_t)me);
    pthread_barrier_wait(&meeting);
    if (slot_preferred(3) != 1 + me) {
        one_place = 1;
    }
    pthread_barrier_wait(&meeting);
    return one_place;
}

/* Both want stack 1. The one that did not get it wants another from then on. */
static void *meet(void *arg)
{
    uintptr_t me = (uintptr_t)arg;
    int64_t slot;

    if (share_a_place(me)) {
        return arg;
    }
    slot_had(1);
    pthread_barrier_wait(&meeting);
    slot = which_slot(100);
    for (uintptr_t turn = 0; turn < 2; turn++) {
        pthread_barrier_wait(&meeting);
        CHECK(turn != me || which_slot(0) == slot);
    }
    return (void *)(uintptr_t)slot;
}

static void test_two_threads_that_meet_part(const struct setup *s)
{
    pthread_t thread[2];
    void *slot[2];

    make(s);
    while (stacks() < 3) { /* the core's, and one for each */
        run_threads(2, sleep_once, 50);
    }
    CHECK(pthread_barrier_init(&meeting, NULL, 2) == 0);
    for (uintptr_t i = 0; i < 2; i++) {
        pthread_create(&thread[i], NULL, meet, (void *)i);
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(thread[i], &slot[i]);
    }
    CHECK(slot[0] != slot[1]);
}

/* ---- ends ---------------------------------------------------------------- */

static void *call_then_exit(void *seed)
{
    call_sum((uint64_t)(uintptr_t)seed);
    pthread_exit(seed);
    return NULL;
}

static void *wait_outside(void *seed)
{
    call_sum((uint64_t)(uintptr_t)seed);
    wait_for_cancel = 1;
    for (;;) {
        pause();
    }
    return NULL;
}

static void test_threads_end_outside_in_any_way(const struct setup *s)
{
    pthread_t thread;
    void *result;

    make(s);
    for (unsigned i = 0; i < 20; i++) {
        wait_for_cancel = 0;
        pthread_create(&thread, NULL, wait_outside, NULL);
        while (!wait_for_cancel) {
            usleep(100);
        }
        pthread_cancel(thread);
        CHECK(pthread_join(thread, &result) == 0);
        CHECK(result == PTHREAD_CANCELED);
        pthread_create(&thread, NULL, call_then_exit, &result);
        CHECK(pthread_join(thread, &result) == 0 && result == &result);
        call_sum(i);
    }
    CHECK(stacks() <= 3);
}

static void *cancelled_inside(void *arg)
{
    (void)arg;
    came_back = mpk_call(OP_CANCEL_POINT, NULL) == 42;
    pthread_testcancel();
    return NULL;
}

static void
test_cancellation_waits_until_the_thread_is_out(const struct setup *s)
{
    uint32_t before;
    pthread_t thread;
    void *result;

    make(s);
    run_threads(2, sleep_once, 50);
    before = stacks();
    pthread_create(&thread, NULL, cancelled_inside, NULL);
    while (!wait_for_cancel) {
        usleep(100);
    }
    pthread_cancel(thread);
    cancelled = 1;
    CHECK(pthread_join(thread, &result) == 0);
    CHECK(came_back);
    CHECK(result == PTHREAD_CANCELED);
    run_threads(2, sleep_once, 50);
    CHECK(stacks() == before);
}

static void *end_process(void *arg)
{
    (void)arg;
    usleep(20000);
    exit(7);
}

static void exit_while_others_are_inside(const struct setup *s)
{
    pthread_t thread;

    make(s);
    for (int i = 0; i < 6; i++) {
        pthread_create(&thread, NULL, i % 2 ? sleep_once : sum_often,
                       (void *)(uintptr_t)500);
    }
    pthread_create(&thread, NULL, end_process, NULL);
    for (;;) {
        call_sum(1);
    }
}

static void test_exit_with_others_inside_is_clean(const struct setup *s)
{
    for (int i = 0; i < 5; i++) {
        struct outcome o = run_in_child(exit_while_others_are_inside, s);

        CHECK(o.status == 7);
        CHECK(o.err[0] == '\0');
    }
}

int main(void)
{
    static const struct core_test tests[] = {
        TEST(test_one_thread_needs_no_further_stack, ONE_MEMORY),
        TEST(test_sixteen_threads_get_their_own_results, 0),
        TEST(test_threads_one_after_another_need_two_stacks, ONE_MEMORY),
        TEST(test_two_hundred_short_threads, ONE_MEMORY),
        TEST(test_more_threads_inside_than_stacks, 0),
        TEST(test_who_waits_for_a_stack_sleeps, ONE_MEMORY),
        TEST(test_who_waits_for_a_stack_that_cannot_be_made_sleeps,
             ONE_MEMORY | NOT_SANITIZED),
        TEST(test_who_waits_for_a_fork_sleeps, ONE_MEMORY),
        TEST(test_a_count_of_nobody_stays_that, ONE_MEMORY),
        TEST(test_two_threads_that_meet_part, ONE_MEMORY),
        TEST(test_threads_end_outside_in_any_way, ONE_MEMORY),
        TEST(test_cancellation_waits_until_the_thread_is_out, ONE_MEMORY),
        TEST(test_exit_with_others_inside_is_clean, ONE_MEMORY | NOT_TSAN),
    };

    return core_test_main(tests, COUNT_OF(tests));
}
