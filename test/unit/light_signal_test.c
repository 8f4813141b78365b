/*
 * Handlers run in the middle of entries on the caller's stack with the domain
 * closed, leave nothing of what these had, and do not come in again.
 *
 * Seen to fail: the signal test without .Lwipe_stack of gate.S; the handler
 * that enters again without -EDEADLK, and without interrupts_light; the handler
 * that forks without the look at slot_claim in fork.c; the handler far down and
 * the crowd without MPK_GATE_OWN.
 */
#include "core_test.h"
#include "light_entry.h"

#include "../../mpkcore/internal.h"
#include "../../mpkcore/x86_64/cpu.h"
#include "gate_abi.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum {
    OP_WHERE = MPK_ENTRY_FIRST,
    OP_STACK,
    OP_SPIN,
    OP_SPIN_DEEP,
    OP_REGISTERS,
    OP_CROWD
};

static volatile unsigned wrong;

/* With more on its stack than a cipher has. */
static int64_t spin_deep_stub(void *frame)
{
    volatile char room[2048];

    room[0] = 0;
    return spin_stub(frame) + room[0];
}

static _Atomic unsigned crowd;

static int64_t crowd_stub(void *frame)
{
    static const struct timespec pause = {0, 1000000};

    (void)frame;
    crowd++;
    while (!__atomic_load_n(&let_go, __ATOMIC_SEQ_CST)) {
        syscall(SYS_nanosleep, &pause, NULL);
    }
    return 0;
}

/* Has the secret in its registers while signals come; as far down as a cipher
 * gets (ChaCha20 with AVX2). */
static int64_t registers_stub(void *frame)
{
    volatile char room[1240] = {0};
    int64_t until = milliseconds() + *(int64_t *)frame;

    while (goes_on(until)) {
        abi_fill();
    }
    return room[0];
}

static const struct mpk_entry entries[] = {
    MPK_CORE_ENTRIES,
    {where_stub, sizeof(struct where_frame), MPK_KIND_LIGHT},
    {where_stub, sizeof(struct where_frame), MPK_KIND_STACK},
    {spin_stub, sizeof(int64_t), MPK_KIND_LIGHT},
    {spin_deep_stub, sizeof(int64_t), MPK_KIND_LIGHT},
    {registers_stub, sizeof(int64_t), MPK_KIND_LIGHT},
    {crowd_stub, 0, MPK_KIND_LIGHT},
};

static void make(const struct setup *s)
{
    make_domain(s, entries, COUNT_OF(entries));
    abi_cpu = cpu_vectors();
}

/* ---- in the middle ------------------------------------------------------- */

/* How far below the entry's rsp a handler came, below the kernel's frame. */
static volatile uintptr_t deepest;

static void note_depth(uintptr_t here)
{
    uintptr_t bottom = (uintptr_t)abi_stack, depth = abi_in.rsp - here;

    if (here >= bottom && here < abi_in.rsp && depth > deepest) {
        deepest = depth;
    }
}

static void count_signal(int signo)
{
    /* The kernel's choice for handlers: no access, which is the lower bit. */
    uint32_t closed = mpk_ro.pkru_mask & 0x55555555;

    (void)signo;
    handled++;
    note_depth((uintptr_t)__builtin_frame_address(0));
    wrong += closed != 0 && !(cpu_pkru() & closed);
}

static void tick_every_ms(void (*handler)(int))
{
    struct itimerval each_ms = {{0, 1000}, {0, 1000}};
    struct sigaction action = {.sa_handler = handler};

    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &each_ms, NULL);
}

static void stop_ticks(void)
{
    struct itimerval never = {{0, 0}, {0, 0}};

    setitimer(ITIMER_REAL, &never, NULL);
}

static void test_handlers_run_in_the_middle_and_outside(const struct setup *s)
{
    int64_t for_ms = 300;

    make(s);
    awaited = light(s) ? 6 : 0;
    tick_every_ms(count_signal);
    CHECK(mpk_call(OP_SPIN, &for_ms) == 0);
    stop_ticks();
    CHECK(handled >= awaited && handled >= 1);
    CHECK(wrong == 0);
}

/* The kernel's frame for a handler holds the registers, below the stub's. */
static void test_a_handlers_frame_is_wiped_too(const struct setup *s)
{
    int64_t for_ms = 100;

    make(s);
    if (!light(s)) {
        return;
    }
    abi_depth = 256;
    awaited = 6;
    tick_every_ms(count_signal);
    abi_call((void (*)(void))mpk_gate, OP_REGISTERS, &for_ms, MPK_GATE_LIGHT);
    stop_ticks();
    CHECK(handled >= awaited);
    printf("     the deepest frame ends %zu bytes down\n", (size_t)deepest);
    CHECK(deepest > 0);
    if (deepest <= MPK_LIGHT_STACK) {
        CHECK(secrets_on_stack() == 0);
        return;
    }
#ifndef MPK_SANITIZED                       /* the stub's own frame is longer */
    CHECK((abi_cpu & MPK_CPU_AVX512) != 0); /* the kernel's is */
#endif
}

/* ---- what a handler may not do ------------------------------------------- */

static volatile int64_t again = 1;

static void enter_again(int signo)
{
    struct where_frame f;

    (void)signo;
    /* The other slots: by itself the search may come past ours first. */
    for (uint64_t i = 0; i < 2; i++) {
        struct gate_result r = mpk_gate(OP_WHERE, &f, MPK_GATE_LIGHT | i);

        if (r.status == MPK_GATE_OK && r.value != 0) {
            again = r.value;
        } else if (r.status == MPK_GATE_OK) {
            wrong += f.slot != (uintptr_t)slot_ctrl((uint32_t)i);
        }
    }
}

static void
test_a_handler_that_enters_gets_its_own_slot_or_none(const struct setup *s)
{
    make(s);
    if (!light(s)) {
        return;
    }
    /* From the preferred slot and from the other one. */
    for (uint64_t i = 0; i < 2; i++) {
        int64_t for_ms = 100;

        tick_every_ms(enter_again);
        CHECK(mpk_gate(OP_SPIN, &for_ms, MPK_GATE_LIGHT | i).value == 0);
        stop_ticks();
    }
    CHECK(again == -EDEADLK);
    CHECK(wrong == 0);
}

static volatile int let_in;

static void call_again(int signo)
{
    struct where_frame f;

    let_in += mpk_call(OP_WHERE, &f) != -EDEADLK;
    count_signal(signo);
}

/* The first signal and the last may come outside. */
static void refused_each_time(const struct setup *s, uint32_t op)
{
    int64_t for_ms = 300;

    make(s);
    if (!light(s)) {
        return;
    }
    awaited = 6;
    tick_every_ms(call_again);
    CHECK(mpk_call(op, &for_ms) == 0);
    stop_ticks();
    CHECK(handled >= awaited && let_in <= 2);
}

/* Another slot, which it has been refused on, does not become the one where the
 * search begins. */
static void test_a_handler_is_refused_each_time(const struct setup *s)
{
    refused_each_time(s, OP_SPIN);
}

/* Its frame is so far down that by its stack it is in no entry. */
static void test_a_handler_far_down_is_refused_each_time(const struct setup *s)
{
    refused_each_time(s, OP_SPIN_DEEP);
}

static volatile int64_t heavy;

static void enter_otherwise(int signo)
{
    struct where_frame f;
    int64_t value = mpk_call(OP_STACK, &f);

    (void)signo;
    heavy = value != 0 ? value : heavy;
    handled++;
}

static void
test_a_handler_in_the_middle_may_not_enter_otherwise(const struct setup *s)
{
    struct where_frame f;

    make(s);
    if (!light(s)) {
        return;
    }
    for (uint64_t i = 0; i < 2; i++) {
        int64_t for_ms = 100;

        heavy = 0;
        tick_every_ms(enter_otherwise);
        CHECK(mpk_gate(OP_SPIN, &for_ms, MPK_GATE_LIGHT | i).value == 0);
        stop_ticks();
        CHECK(heavy == -EDEADLK && handled > 0);
        CHECK(mpk_call(OP_STACK, &f) == 0);
    }
}

static _Atomic unsigned refused;

static void enter_from_the_crowd(int signo)
{
    struct where_frame f;

    (void)signo;
    refused += mpk_call(OP_STACK, &f) == -EDEADLK;
}

static void *join_crowd(void *arg)
{
    (void)arg;
    CHECK(mpk_call(OP_CROWD, NULL) == 0);
    return NULL;
}

/* As many as there is room for beside the core. */
#define CROWD (MPK_SLOTS - 1)

static void await(const _Atomic unsigned *n)
{
    for (int i = 0; i < 30000 && *n < CROWD; i++) {
        usleep(1000);
    }
    CHECK(*n == CROWD);
}

/* Each handler could go on if another one's thread did. */
static void test_handlers_do_not_wait_for_each_other(const struct setup *s)
{
    struct sigaction action = {.sa_handler = enter_from_the_crowd};
    pthread_t thread[CROWD];

    make(s);
    if (!light(s)) {
        return;
    }
    sigaction(SIGUSR1, &action, NULL);
    for (size_t i = 0; i < CROWD; i++) {
        pthread_create(&thread[i], NULL, join_crowd, NULL);
    }
    await(&crowd);
    for (size_t i = 0; i < CROWD; i++) {
        pthread_kill(thread[i], SIGUSR1);
    }
    await(&refused);
    __atomic_store_n(&let_go, 1, __ATOMIC_SEQ_CST);
    for (size_t i = 0; i < CROWD && refused == CROWD; i++) {
        pthread_join(thread[i], NULL);
    }
}

static void fork_in_handler(int signo)
{
    (void)signo;
    if (fork() == 0) {
        _exit(0);
    }
}

static void fork_in_the_middle(const struct setup *s)
{
    int64_t for_ms = 1000;

    make(s);
    tick_every_ms(fork_in_handler);
    CHECK(mpk_call(OP_SPIN, &for_ms) == 0);
}

static void test_a_handler_that_forks_ends_the_process(const struct setup *s)
{
    struct outcome o;

    if (!light(s)) {
        return;
    }
    o = run_in_child(fork_in_the_middle, s);
    CHECK(ended_by_fatal(&o, "a signal handler forks"));
}

int main(void)
{
    static const struct core_test tests[] = {
        TEST(test_handlers_run_in_the_middle_and_outside, ONE_MEMORY),
        TEST(test_a_handlers_frame_is_wiped_too, ONE_MEMORY),
        TEST(test_a_handler_that_enters_gets_its_own_slot_or_none, ONE_MEMORY),
        TEST(test_a_handler_is_refused_each_time, ONE_MEMORY),
        TEST(test_a_handler_far_down_is_refused_each_time, ONE_MEMORY),
        TEST(test_a_handler_in_the_middle_may_not_enter_otherwise, ONE_MEMORY),
        TEST(test_handlers_do_not_wait_for_each_other, ONE_MEMORY),
        TEST(test_a_handler_that_forks_ends_the_process, ONE_MEMORY),
    };

    return core_test_main(tests, COUNT_OF(tests));
}
