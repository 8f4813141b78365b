/*
 * Entries on the caller's stack find their own slot and no other, whatever
 * their thread says of itself, and fork and cancellation wait for them.
 *
 * Seen to fail: the slots without the bound in light_slot; the slot that was
 * ours without the clearing of MPK_SLOT_LIGHT_RSP; the cancellation test
 * without pthread_setcanceltype in mpk_call; the one of the thread that makes a
 * stack without signals_block in more_slots_for_light.
 */
#include "core_test.h"
#include "light_entry.h"

#include "../../mpkcore/internal.h"
#include "../../mpkcore/x86_64/cpu.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OP_WHERE = MPK_ENTRY_FIRST, OP_SPIN, OP_HOLD, OP_HOLD_STACK };

static const struct mpk_entry entries[] = {
    MPK_CORE_ENTRIES,
    {where_stub, sizeof(struct where_frame), MPK_KIND_LIGHT},
    {spin_stub, sizeof(int64_t), MPK_KIND_LIGHT},
    {hold_stub, 0, MPK_KIND_LIGHT},
    {hold_stub, 0, MPK_KIND_STACK},
};

static void make(const struct setup *s)
{
    make_domain(s, entries, COUNT_OF(entries));
}

/* ---- its slot ------------------------------------------------------------ */

static void *hold(void *arg)
{
    (void)arg;
    return (void *)(intptr_t)mpk_call(OP_HOLD, NULL);
}

static pthread_t start_holding(void *(*how)(void *))
{
    pthread_t thread;

    pthread_create(&thread, NULL, how, NULL);
    while (!__atomic_load_n(&holding, __ATOMIC_SEQ_CST)) {
        usleep(100);
    }
    return thread;
}

static bool stop_holding(pthread_t thread)
{
    void *result;

    __atomic_store_n(&let_go, 1, __ATOMIC_SEQ_CST);
    return pthread_join(thread, &result) == 0 && result == (void *)1;
}

/* Whatever slot is tried, the stub finds that one or is refused. */
static void test_any_slot_number_leads_to_that_slot(const struct setup *s)
{
    struct where_frame f;
    struct gate_result r;
    pthread_t thread;
    uint32_t ready;

    make(s);
    if (!light(s)) {
        return;
    }
    thread = start_holding(hold);
    ready = atomic_load(&mpk_out.slots_ready);
    for (uint64_t i = 0; i < ready; i++) {
        f.slot = 0;
        r = mpk_gate(OP_WHERE, &f, MPK_GATE_LIGHT | i);
        CHECK(r.status == MPK_GATE_BUSY ||
              (r.value == 0 && f.slot == (uintptr_t)slot_ctrl((uint32_t)i)));
    }
    CHECK(stop_holding(thread));
}

/* The second word of glibc's thread block is not the one that is looked at. */
static void set_thread_pointer_word(uintptr_t value)
{
    __asm__ volatile("movq %0, %%fs:0" ::"r"(value) : "memory");
}

static void *hold_slot_0(void *arg)
{
    (void)arg;
    backend_enter();
    return (void *)(intptr_t)mpk_gate(OP_HOLD_STACK, NULL, 0).value;
}

/* We were in it a moment ago, at this very rsp. */
static void test_a_slot_that_was_ours_is_not_taken_for_it(const struct setup *s)
{
    uintptr_t mine = cpu_thread_pointer();
    struct gate_result r[64];
    struct where_frame f;
    pthread_t thread;

    make(s);
    if (!light(s)) {
        return;
    }
    CHECK(mpk_gate(OP_WHERE, &f, MPK_GATE_LIGHT).value == 0);
    thread = start_holding(hold_slot_0);
    for (uintptr_t forged = 0; forged < 64; forged++) {
        set_thread_pointer_word(forged << 12);
        r[forged] = mpk_gate(OP_WHERE, &f, MPK_GATE_LIGHT | 1);
        set_thread_pointer_word(mine);
    }
    for (size_t i = 0; i < 64; i++) {
        CHECK(r[i].status == MPK_GATE_OK && r[i].value == 0);
    }
    CHECK(f.slot == (uintptr_t)slot_ctrl(1));
    CHECK(stop_holding(thread));
}

static uint32_t forged_ready;

static void call_with_forged_count(const struct setup *s)
{
    struct where_frame f = {0};

    make(s);
    atomic_store(&mpk_out.slots_ready, forged_ready);
    /* Slot 1, whatever the count says. */
    CHECK(mpk_gate(OP_WHERE, &f, MPK_GATE_LIGHT | 1).value == 0);
    CHECK(f.slot == (uintptr_t)slot_ctrl(1));
}

static void test_a_forged_count_is_not_asked(const struct setup *s)
{
    static const uint32_t forged[] = {0, 1, 64, 65, ~0u};

    if (!light(s)) {
        return;
    }
    for (size_t i = 0; i < COUNT_OF(forged); i++) {
        struct outcome o;

        forged_ready = forged[i];
        o = run_in_child(call_with_forged_count, s);
        CHECK(o.status == 0 && o.killed_by == 0);
    }
}

static void test_a_forged_thread_pointer_only_costs_time(const struct setup *s)
{
    uintptr_t mine = cpu_thread_pointer();
    struct where_frame f;
    pthread_t thread;

    make(s);
    thread = start_holding(hold);
    for (uintptr_t forged = 0; forged < 64; forged++) {
        int64_t value;

        f.slot = 0;
        set_thread_pointer_word(forged << 12);
        value = mpk_call(OP_WHERE, &f);
        set_thread_pointer_word(mine);
        CHECK(value == 0);
        CHECK(is_free(slot_index((struct mpk_slot *)f.slot)));
    }
    CHECK(stop_holding(thread));
}

static void *use_heap(void *arg)
{
    int64_t for_ms = 300;

    (void)arg;
    CHECK(mpk_call(OP_SPIN, &for_ms) == 0);
    return NULL;
}

static void test_threads_have_their_own_slots(const struct setup *s)
{
    pthread_t thread[12];

    make(s);
    for (size_t i = 0; i < COUNT_OF(thread); i++) {
        pthread_create(&thread[i], NULL, use_heap, NULL);
    }
    for (size_t i = 0; i < COUNT_OF(thread); i++) {
        pthread_join(thread[i], NULL);
    }
}

static _Atomic int calling; /* the thread that is */

static void *make_a_stack(void *arg)
{
    struct where_frame f;

    atomic_store(&calling, (int)syscall(SYS_gettid));
    CHECK(mpk_call(OP_WHERE, &f) == 0);
    return arg;
}

static bool has_all_signals_blocked(int thread)
{
    unsigned long long mask = 0;
    char name[64], line[128];
    FILE *f;

    snprintf(name, sizeof(name), "/proc/self/task/%d/status", thread);
    f = fopen(name, "r");
    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        sscanf(line, "SigBlk: %llx", &mask);
    }
    if (f != NULL) {
        fclose(f);
    }
    return mask == ~0x40100ULL; /* but SIGKILL and SIGSTOP */
}

/* Fork wants its lock, and a handler may come to fork, or to make one too. */
static void test_no_handler_comes_to_who_makes_a_stack(const struct setup *s)
{
    pthread_t holder, maker;
    bool blocked = false;

    make(s);
    if (!light(s)) {
        return;
    }
    holder = start_holding(hold);
    CHECK(atomic_load(&mpk_out.slots_ready) == MPK_FIRST_SLOTS);
    pthread_mutex_lock(&mpk_out.lock);
    pthread_create(&maker, NULL, make_a_stack, NULL);
    for (int i = 0; i < 5000 && !blocked; i++) {
        usleep(1000);
        blocked = calling != 0 && has_all_signals_blocked(calling);
    }
    CHECK(blocked);
    pthread_mutex_unlock(&mpk_out.lock);
    CHECK(pthread_join(maker, NULL) == 0);
    CHECK(atomic_load(&mpk_out.slots_ready) == MPK_FIRST_SLOTS + 1);
    CHECK(stop_holding(holder));
}

/* ---- life ---------------------------------------------------------------- */

static void test_fork_waits_for_light_entries(const struct setup *s)
{
    pthread_t thread[3];
    int status;

    make(s);
    for (size_t i = 0; i < COUNT_OF(thread); i++) {
        pthread_create(&thread[i], NULL, use_heap, NULL);
    }
    for (unsigned i = 0; i < 3; i++) {
        pid_t pid = fork();

        if (pid == 0) {
            int64_t for_ms = 20;

            CHECK(mpk_call(OP_SPIN, &for_ms) == 0);
            /* Not _exit: the thread sanitizer would miss the other threads. */
            syscall(SYS_exit_group, failed_checks != 0);
        }
        CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    }
    for (size_t i = 0; i < COUNT_OF(thread); i++) {
        pthread_join(thread[i], NULL);
    }
}

static volatile int came_back;

static void is_cancelled(void *arg)
{
    (void)arg;
    FRAMES_ABANDONED((size_t)16384);
}

static void *cancelled_at_any_time(void *arg)
{
    int type;

    (void)arg;
    pthread_cleanup_push(is_cancelled, NULL);
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &type);
    came_back = mpk_call(OP_HOLD, NULL) == 1;
    for (;;) {
        pthread_testcancel();
    }
    pthread_cleanup_pop(0);
    return NULL;
}

static void test_asynchronous_cancellation_waits(const struct setup *s)
{
    pthread_t thread;
    void *result;

    make(s);
    pthread_create(&thread, NULL, cancelled_at_any_time, NULL);
    while (!__atomic_load_n(&holding, __ATOMIC_SEQ_CST)) {
        usleep(100);
    }
    pthread_cancel(thread);
    usleep(20000);
    __atomic_store_n(&let_go, 1, __ATOMIC_SEQ_CST);
    CHECK(pthread_join(thread, &result) == 0);
    /* Without a light entry it is setcancelstate that ends the thread, and some
     * glibcs forget the result there. */
    CHECK(result == PTHREAD_CANCELED || !light(s));
    /* It may end on its way out of mpk_call, but not before. */
    for (uint32_t i = 0; i < atomic_load(&mpk_out.slots_ready); i++) {
        CHECK(is_free(i));
    }
}

int main(void)
{
    static const struct core_test tests[] = {
        TEST(test_any_slot_number_leads_to_that_slot, ONE_MEMORY),
        TEST(test_a_slot_that_was_ours_is_not_taken_for_it, ONE_MEMORY),
        TEST(test_a_forged_count_is_not_asked, ONE_MEMORY),
        TEST(test_a_forged_thread_pointer_only_costs_time, ONE_MEMORY),
        TEST(test_threads_have_their_own_slots, ONE_MEMORY),
        TEST(test_no_handler_comes_to_who_makes_a_stack, ONE_MEMORY),
        TEST(test_fork_waits_for_light_entries, ONE_MEMORY),
        TEST(test_asynchronous_cancellation_waits, ONE_MEMORY),
    };

    return core_test_main(tests, COUNT_OF(tests));
}
