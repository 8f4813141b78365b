/*
 * Entries on the caller's stack keep the gate's contract: nothing of what they
 * had is left behind, they find their own slot and no other, handlers run in
 * the middle of them with the domain closed, and their kind is not the
 * caller's to choose.
 *
 * Seen to fail: the stack and the signal test without .Lwipe_stack of gate.S;
 * the cancellation test without pthread_setcanceltype in mpk_call; the kinds
 * test without is_light in mpk_dispatch; the stack that touches the domain
 * without the comparisons at .Llight; the frame on the stack that is run on
 * without touches_light_stack of copy.c; the length that is kept there with
 * entry->frame_len in place of the slot's; the handler that enters again
 * without -EDEADLK, and without interrupts_light; the slots without the bound
 * in light_slot; the slot that was ours without the clearing of
 * MPK_SLOT_LIGHT_RSP; the handler that forks without the look at slot_claim in
 * fork.c; the handler far down and the crowd without MPK_GATE_OWN.
 */
#include "core_test.h"
#include "fail_syscall.h"

#include "../../mpkcore/internal.h"
#include "../../mpkcore/x86_64/cpu.h"
#include "gate_abi.h"

#include <mpkcore/heap.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    OP_FILL = MPK_ENTRY_FIRST,
    OP_WHERE,
    OP_STACK,
    OP_SPIN,
    OP_HOLD,
    OP_HEAP,
    OP_REGISTERS,
    OP_HOLD_STACK,
    OP_FORGE,
    OP_SPIN_DEEP,
    OP_CROWD
};

static int64_t fill_stub(void *frame)
{
    (void)frame;
    return abi_fill();
}

struct where_frame {
    uintptr_t stack, copy, slot;
    int64_t inside;
};

static int64_t where_stub(void *frame)
{
    struct where_frame *f = frame;

    f->stack = (uintptr_t)__builtin_frame_address(0);
    f->copy = (uintptr_t)frame;
    f->slot = (uintptr_t)mpk_slot_self();
    f->inside = mpk_is_inside_call();
    return 0;
}

static int64_t milliseconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static volatile unsigned handled, wrong, awaited;

/* Until the time is over and enough signals were handled, on a machine that
 * lets us run so rarely; within a minute. */
static bool goes_on(int64_t until)
{
    int64_t now = milliseconds();

    return now < until || (handled < awaited && now < until + 60000);
}

/* Is inside for |*frame| milliseconds; says whether its block stayed its own.*/
static int64_t spin_stub(void *frame)
{
    int64_t until = milliseconds() + *(int64_t *)frame, n = 0, lost = 0;

    while (goes_on(until)) {
        volatile int64_t *p = mpk_heap_alloc(64);

        *p = ++n;
        lost += *p != n;
        mpk_heap_free((void *)(uintptr_t)p);
    }
    return lost;
}

/* With more on its stack than a cipher has. */
static int64_t spin_deep_stub(void *frame)
{
    volatile char room[2048];

    room[0] = 0;
    return spin_stub(frame) + room[0];
}

static volatile int holding, let_go;

static int64_t hold_stub(void *frame)
{
    struct mpk_slot *slot = mpk_slot_self();

    (void)frame;
    __atomic_store_n(&holding, 1, __ATOMIC_SEQ_CST);
    while (!__atomic_load_n(&let_go, __ATOMIC_SEQ_CST)) {
    }
    return mpk_slot_self() == slot;
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

static int64_t heap_stub(void *frame)
{
    uint64_t *p = mpk_heap_alloc(sizeof(*p));

    *p = *(uint64_t *)frame;
    *(uint64_t **)frame = p;
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

/* What another thread would do meanwhile: to all that is kept on the stack, the
 * entry is |put_there|. The registers that a caller may keep it in are there
 * too.
 */
static volatile uintptr_t looked_for, put_there;

MPK_NO_SANITIZE static int64_t forge_stub(void *frame)
{
    volatile uintptr_t *at;
    uint64_t end = atomic_load(&mpk_slot_self()->light_rsp);

    (void)frame;
    __asm__ volatile("mov %%rsp, %0"
                     : "=r"(at)
                     :
                     : "rbx", "r12", "r13", "r14", "r15", "memory");
    for (; (uintptr_t)at < end; at++) {
        if (*at == looked_for) {
            *at = put_there;
        }
    }
    return 0;
}

static const struct mpk_entry entries[] = {
    MPK_CORE_ENTRIES,
    {fill_stub, 0, MPK_KIND_LIGHT},
    {where_stub, sizeof(struct where_frame), MPK_KIND_LIGHT},
    {where_stub, sizeof(struct where_frame), MPK_KIND_STACK},
    {spin_stub, sizeof(int64_t), MPK_KIND_LIGHT},
    {hold_stub, 0, MPK_KIND_LIGHT},
    {heap_stub, sizeof(uint64_t), MPK_KIND_LIGHT},
    {registers_stub, sizeof(int64_t), MPK_KIND_LIGHT},
    {hold_stub, 0, MPK_KIND_STACK},
    {forge_stub, sizeof(uint64_t), MPK_KIND_LIGHT},
    {spin_deep_stub, sizeof(int64_t), MPK_KIND_LIGHT},
    {crowd_stub, 0, MPK_KIND_LIGHT},
};

static void make(const struct setup *s)
{
    make_domain(s, entries, COUNT_OF(entries));
    abi_cpu = cpu_vectors();
    abi_depth = MPK_LIGHT_STACK - 512;
}

/* Backend mprotect has no light entries. */
static bool light(const struct setup *s)
{
    return s->backend != MPK_BACKEND_MPROTECT;
}

/* Whether nobody is in it; no entry has this number. */
static bool is_free(uint64_t slot)
{
    struct gate_result r;

    backend_enter();
    r = mpk_gate(100, NULL, slot);
    backend_leave();
    return r.status == MPK_GATE_OK;
}

static bool on_own_stack(uintptr_t p)
{
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);

    return p < here && here - p < MPK_LIGHT_STACK;
}

/* ---- where it runs ------------------------------------------------------- */

static void test_light_entries_run_on_the_callers_stack(const struct setup *s)
{
    struct where_frame f = {0};

    make(s);
    CHECK(mpk_call(OP_WHERE, &f) == 0);
    CHECK(on_own_stack(f.stack) == light(s));
    CHECK(f.inside == 1);
    CHECK(f.copy >= (uintptr_t)mpk_ro.base && f.copy < (uintptr_t)mpk_ro.end);
    CHECK(mpk_call(OP_STACK, &f) == 0);
    CHECK(!on_own_stack(f.stack) && f.inside == 1);
    if (mpk_ro.backend != MPK_BACKEND_NONE) {
        CHECK(!mpk_is_inside_call());
    }
}

static void test_a_configuration_takes_it_back(const struct setup *s)
{
    struct mpk_config c = {.backend = s->backend,
                           .memory = s->memory,
                           .light = MPK_LIGHT_DOMAIN_STACK,
                           .entries = entries,
                           .n_entries = COUNT_OF(entries)};
    struct where_frame f = {0};

    CHECK(mpk_core_init(&c) == 0);
    CHECK(mpk_call(OP_WHERE, &f) == 0);
    CHECK(!on_own_stack(f.stack) && f.inside == 1);
    backend_enter();
    CHECK(mpk_gate(OP_WHERE, &f, MPK_GATE_LIGHT).value == -EPERM);
    CHECK(mpk_gate(OP_WHERE, &f, 0).value == 0);
}

static void test_nonsense_in_the_configuration_is_refused(const struct setup *s)
{
    const struct mpk_entry bad[] = {MPK_CORE_ENTRIES, {fill_stub, 0, 2}};
    struct mpk_config c = {.backend = s->backend,
                           .light = 2,
                           .entries = entries,
                           .n_entries = COUNT_OF(entries)};

    CHECK(mpk_core_init(&c) == -EINVAL);
    c.light = 0;
    c.entries = bad;
    c.n_entries = COUNT_OF(bad);
    CHECK(mpk_core_init(&c) == -EINVAL);
}

/* ---- what it leaves ------------------------------------------------------ */

static size_t secrets_on_stack(void)
{
    uint64_t word;
    size_t n = 0;

    for (size_t i = 0; i < sizeof(abi_stack); i += 8) {
        memcpy(&word, abi_stack + i, 8);
        n += word == ABI_SECRET;
    }
    return n;
}

static void test_registers_are_kept_and_wiped(const struct setup *s)
{
    make(s);
    if (!light(s)) {
        return;
    }
    abi_call((void (*)(void))mpk_gate, OP_FILL, NULL, MPK_GATE_LIGHT);
    CHECK(abi_out.rax == ABI_SECRET && abi_out.rdx == MPK_GATE_OK);
    CHECK(abi_saved());
    CHECK(abi_out.rcx == 0 && abi_out.rsi == 0 && abi_out.rdi == 0);
    CHECK(abi_out.r8 == 0 && abi_out.r9 == 0);
    CHECK(abi_out.r10 == 0 && abi_out.r11 == 0);
    CHECK(abi_vectors_wiped());
}

static void test_nothing_is_left_on_the_stack(const struct setup *s)
{
    make(s);
    if (!light(s)) {
        return;
    }
    abi_call((void (*)(void))fill_stub, 0, NULL, 0);
    CHECK(secrets_on_stack() * 8 >= abi_depth); /* it does fill */
    abi_call((void (*)(void))mpk_gate, OP_FILL, NULL, MPK_GATE_LIGHT);
    for (size_t i = 0; i < sizeof(abi_stack); i++) {
        CHECK(abi_stack[i] == 0 || i >= abi_in.rsp - (uintptr_t)abi_stack);
    }
    /* The result itself passes through the frame of mpk_call, outside; without
     * optimization in more places than two. */
    abi_call((void (*)(void))mpk_call, OP_FILL, NULL, 0);
#if defined(__OPTIMIZE__) && !defined(MPK_SANITIZED)
    CHECK(secrets_on_stack() <= 2);
#endif
    CHECK(abi_saved() && abi_vectors_wiped());
}

/* For each way the vector registers may be: also where the CPU has more. */
static void test_every_way_to_wipe_wipes(const struct setup *s)
{
    static const uint32_t less[] = {0, MPK_CPU_AVX};
    uint32_t has = cpu_vectors();

    CHECK(leave_unsealed());
    make(s);
    if (!light(s)) {
        return;
    }
    for (size_t i = 0; i < COUNT_OF(less); i++) {
        mprotect(&mpk_ro, sizeof(mpk_ro), PROT_READ | PROT_WRITE);
        mpk_ro.cpu = has & less[i];
        abi_cpu = mpk_ro.cpu;
        abi_call((void (*)(void))mpk_gate, OP_FILL, NULL, MPK_GATE_LIGHT);
        CHECK(secrets_on_stack() == 0);
    }
}

/* ---- refusals ------------------------------------------------------------ */

static void test_the_kind_is_not_the_callers_to_choose(const struct setup *s)
{
    struct where_frame f = {0};

    make(s);
    backend_enter();
    CHECK(mpk_gate(OP_STACK, &f, MPK_GATE_LIGHT).value == -EPERM);
    CHECK(mpk_gate(OP_WHERE, &f, 0).value == (light(s) ? -EPERM : 0));
    CHECK(mpk_gate(0, NULL, MPK_GATE_LIGHT).value == -EPERM);
    CHECK(mpk_gate(1, &f, MPK_GATE_LIGHT).value == -EPERM);
    CHECK(mpk_gate(100, &f, MPK_GATE_LIGHT).value == -ENOSYS);
    CHECK(is_free(0));
}

static void enter_with_rsp(uintptr_t rsp)
{
    abi_in = (struct abi_regs){.rdi = OP_FILL, .rdx = MPK_GATE_LIGHT};
    abi_in.rsp = rsp;
    abi_go((void (*)(void))mpk_gate);
}

/* The return address is where rsp points, which is outside by a little. */
static void
test_a_stack_that_touches_the_domain_is_refused(const struct setup *s)
{
    char *base, *page;
    uint64_t *rsp;

    make(s);
    if (!light(s)) {
        return;
    }
    base = mpk_ro.end;
    page = mmap(base, 2 * MPK_PAGE, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (page == MAP_FAILED && errno == EEXIST) {
        printf("     what lies behind the domain this time is needed\n");
        return;
    }
    CHECK(page == base);
    for (size_t at = 0; at <= MPK_LIGHT_STACK; at += 1024) {
        rsp = (uint64_t *)(base + at);
        *rsp = (uint64_t)(uintptr_t)abi_back;
        enter_with_rsp((uintptr_t)rsp);
        CHECK((int64_t)abi_out.rax ==
              (at < MPK_LIGHT_STACK ? -EFAULT : (int64_t)ABI_SECRET));
        CHECK(abi_out.rdx == MPK_GATE_OK);
        CHECK(is_free(0));
    }
}

/* A frame, or a buffer in one, where the stub runs is a way to its return
 * addresses. */
static void test_what_it_runs_on_is_no_buffer(const struct setup *s)
{
    static const size_t below[] = {64, 1024, MPK_LIGHT_STACK - 8};
    uint64_t stack[2 * MPK_LIGHT_STACK / sizeof(uint64_t)] = {0};
    uint64_t *rsp = &stack[COUNT_OF(stack) - 32];

    make(s);
    if (!light(s)) {
        return;
    }
    for (size_t i = 0; i < COUNT_OF(below); i++) {
        *rsp = (uint64_t)(uintptr_t)abi_back;
        abi_in = (struct abi_regs){.rdi = OP_WHERE, .rdx = MPK_GATE_LIGHT};
        abi_in.rsi = (uintptr_t)rsp - below[i];
        abi_in.rsp = (uintptr_t)rsp;
        abi_go((void (*)(void))mpk_gate);
        CHECK((int64_t)abi_out.rax == -EFAULT);
        CHECK(is_free(0));
    }
}

/* Else any memory behind the frame's copy is given out. */
static void test_a_length_is_not_kept_where_it_runs(const struct setup *s)
{
    static const struct mpk_entry longer = {forge_stub, 128, MPK_KIND_LIGHT};
    unsigned char frame[128], before[128];

    make(s);
    if (!light(s)) {
        return;
    }
    memset(frame, 0xa5, sizeof(frame));
    memcpy(before, frame, sizeof(frame));
    looked_for = (uintptr_t)&entries[OP_FORGE];
    put_there = (uintptr_t)&longer;
    CHECK(mpk_call(OP_FORGE, frame) == 0);
    CHECK(memcmp(frame, before, sizeof(frame)) == 0);
}

static uintptr_t bad_rsp;

static void enter_with_bad_rsp(const struct setup *s)
{
    make(s);
    enter_with_rsp(bad_rsp);
    _exit(0); /* it came back */
}

static void test_a_stack_that_is_none_ends_the_process(const struct setup *s)
{
    uintptr_t bad[6];

    if (!light(s)) {
        return;
    }
    bad[0] = 0;
    bad[1] = 8;
    bad[2] = MPK_LIGHT_STACK - 8;
    bad[3] = (uintptr_t)1 << 63;
    bad[4] = (uintptr_t)&test_a_stack_that_is_none_ends_the_process & ~15UL;
    bad[5] = (uintptr_t)&mpk_ro + 2048;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct outcome o;

        bad_rsp = bad[i];
        o = run_in_child(enter_with_bad_rsp, s);
        CHECK(o.status == FAULTED || o.killed_by != 0);
    }
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

/* ---- signals ------------------------------------------------------------- */

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
        TEST(test_light_entries_run_on_the_callers_stack, 0),
        TEST(test_a_configuration_takes_it_back, ONE_MEMORY),
        TEST(test_nonsense_in_the_configuration_is_refused, ONE_MEMORY),
        TEST(test_registers_are_kept_and_wiped, ONE_MEMORY),
        TEST(test_nothing_is_left_on_the_stack, ONE_MEMORY),
        TEST(test_every_way_to_wipe_wipes, ONE_MEMORY),
        TEST(test_the_kind_is_not_the_callers_to_choose, ONE_MEMORY),
        TEST(test_a_stack_that_touches_the_domain_is_refused, ONE_MEMORY),
        TEST(test_what_it_runs_on_is_no_buffer, ONE_MEMORY),
        TEST(test_a_length_is_not_kept_where_it_runs, ONE_MEMORY),
        TEST(test_a_stack_that_is_none_ends_the_process, ONE_MEMORY),
        TEST(test_any_slot_number_leads_to_that_slot, ONE_MEMORY),
        TEST(test_a_slot_that_was_ours_is_not_taken_for_it, ONE_MEMORY),
        TEST(test_a_forged_count_is_not_asked, ONE_MEMORY),
        TEST(test_a_forged_thread_pointer_only_costs_time, ONE_MEMORY),
        TEST(test_threads_have_their_own_slots, ONE_MEMORY),
        TEST(test_handlers_run_in_the_middle_and_outside, ONE_MEMORY),
        TEST(test_a_handlers_frame_is_wiped_too, ONE_MEMORY),
        TEST(test_a_handler_that_enters_gets_its_own_slot_or_none, ONE_MEMORY),
        TEST(test_a_handler_is_refused_each_time, ONE_MEMORY),
        TEST(test_a_handler_far_down_is_refused_each_time, ONE_MEMORY),
        TEST(test_a_handler_in_the_middle_may_not_enter_otherwise, ONE_MEMORY),
        TEST(test_handlers_do_not_wait_for_each_other, ONE_MEMORY),
        TEST(test_a_handler_that_forks_ends_the_process, ONE_MEMORY),
        TEST(test_fork_waits_for_light_entries, ONE_MEMORY),
        TEST(test_asynchronous_cancellation_waits, ONE_MEMORY),
    };

    return core_test_main(tests, COUNT_OF(tests));
}
