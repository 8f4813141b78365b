/*
 * Jumps into the gate, with whatever registers, gain nothing.
 *
 * Seen to fail: the jumps to WRPKRU without the comparison and ud2 after the
 * closing one; the slot in own memory without the mask of gate.S; the steps of
 * fork without mpk_fork_stub's look at the state.
 */
#include "core_test.h"

#include "../../mpkcore/vkey.h"
#include "gate_abi.h"

#include <mpkcore/heap.h>

#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECRET 0x5ec2e75ec2e7a11aULL
#define LEAKED 55

enum { OP_SECRET = MPK_ENTRY_FIRST, OP_HOLD };

static int64_t secret_stub(void *frame)
{
    uint64_t *p = mpk_heap_alloc(sizeof(*p));

    *p = SECRET;
    *(uint64_t **)frame = p;
    return 0;
}

static volatile int holding, let_go;

/* Is inside until told otherwise; says whether its stack stayed its own. */
static int64_t hold_stub(void *frame)
{
    volatile uint64_t mine[64];
    int64_t lost = 0;

    (void)frame;
    for (int i = 0; i < 64; i++) {
        mine[i] = SECRET;
    }
    holding = 1;
    while (!let_go) {
    }
    for (int i = 0; i < 64; i++) {
        lost += mine[i] != SECRET;
    }
    return lost;
}

static const struct mpk_entry entries[] = {
    MPK_CORE_ENTRIES,
    {secret_stub, sizeof(uint64_t *), MPK_KIND_STACK},
    {hold_stub, 0, MPK_KIND_STACK},
};

static volatile uint64_t *secret;

static void make(const struct setup *s)
{
    uint64_t *p = NULL;

    make_domain(s, entries, COUNT_OF(entries));
    CHECK(mpk_call(OP_SECRET, &p) == 0);
    secret = p;
    alarm(20);
}

static void leak_if_open(void)
{
    if (*secret == SECRET) {
        _exit(LEAKED);
    }
}

/* ---- the WRPKRUs of this program ----------------------------------------- */

#define MAX_FOUND 16

static unsigned char *found[MAX_FOUND];
static size_t n_found, n_rights;

/* Those of rights.S and hit.S, which attack_vkey_test jumps to. */
static bool in_rights(const unsigned char *p)
{
    return (size_t)(p - (unsigned char *)mpk_rights_get) < 320 ||
           (size_t)(p - (unsigned char *)mpk_rights_pin) < 384;
}

static int scan_program(struct dl_phdr_info *info, size_t size, void *arg)
{
    (void)size;
    (void)arg;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
        unsigned char *p = (unsigned char *)info->dlpi_addr + ph->p_vaddr;

        if (ph->p_type != PT_LOAD || !(ph->p_flags & PF_X)) {
            continue;
        }
        for (size_t at = 0; at + 3 <= ph->p_memsz; at++) {
            if (p[at] != 0x0f || p[at + 1] != 0x01 || p[at + 2] != 0xef) {
                continue;
            }
            if (in_rights(p + at)) {
                n_rights++;
            } else if (n_found < MAX_FOUND) {
                found[n_found++] = p + at;
            }
        }
    }
    return 1; /* the first one is the program */
}

/* ---- jumps --------------------------------------------------------------- */

static struct {
    unsigned char *to;
    uint32_t eax;
    bool open_others; /* eax is the closed value with other keys open */
    uint64_t slot;
    uint64_t op;
} jump;

static uint64_t stack[4096];

static uint32_t closed_only(void)
{
    struct mpk_info info;

    CHECK(mpk_core_info(&info) == 0);
    return 3U << (2 * info.pkey);
}

/* Ends with LEAKED if the jump left the domain open. */
static void jump_and_read(const struct setup *s)
{
    sigset_t all;

    make(s);
    sigfillset(&all);
    sigdelset(&all, SIGSEGV);
    sigdelset(&all, SIGILL);
    sigdelset(&all, SIGALRM);
    sigprocmask(SIG_SETMASK, &all, NULL);
    stack[4000] = (uint64_t)(uintptr_t)abi_back;
    abi_in = (struct abi_regs){
        .rax = jump.open_others ? closed_only() : jump.eax,
        .rdi = jump.op,
        .r8 = jump.slot,
        .r9 = (uint64_t)(uintptr_t)&stack[2048],
        .r10 = (uint64_t)(uintptr_t)&stack[4000],
        .rsp = (uint64_t)(uintptr_t)&stack[4000],
    };
    /* For jumps behind the loads: a slot that is an attacker's own memory. */
    stack[2048 + 1] = (uint64_t)(uintptr_t)&stack[4000];
    abi_go((void (*)(void))(uintptr_t)jump.to);
    leak_if_open();
    _exit(0);
}

static void check_gains_nothing(const struct setup *s)
{
    struct outcome o = run_in_child(jump_and_read, s);
    bool ended =
        o.status == FAULTED || o.killed_by == SIGSEGV || o.killed_by == SIGILL;

    CHECK(o.status != LEAKED && o.status != 0);
    if (!ended) {
        fprintf(stderr, "to %p, eax %#x: status %d, killed by %d: %s\n",
                (void *)jump.to, jump.eax, o.status, o.killed_by, o.err);
    }
    CHECK(ended);
}

static void test_this_program_has_the_cores_seven_only(const struct setup *s)
{
    (void)s;
    dl_iterate_phdr(scan_program, NULL);
    CHECK(n_found == 2 && n_rights == 5);
    for (size_t i = 0; i < n_found; i++) {
        CHECK(found[i] > (unsigned char *)mpk_gate && found[i] < mpk_gate_end);
    }
}

static void test_jump_to_wrpkru_with_forged_rights(const struct setup *s)
{
    static const uint32_t forged[] = {0, 0x55555554, 0x55555550, 0x0000000f,
                                      0xfffffff0};

    dl_iterate_phdr(scan_program, NULL);
    for (size_t i = 0; i < n_found; i++) {
        jump.to = found[i];
        for (size_t f = 0; f < COUNT_OF(forged); f++) {
            jump.eax = forged[f];
            check_gains_nothing(s);
        }
        jump.open_others = true;
        check_gains_nothing(s);
        jump.open_others = false;
    }
}

static void test_the_closing_wrpkru_traps_what_would_open(const struct setup *s)
{
    struct outcome o;

    dl_iterate_phdr(scan_program, NULL);
    jump.to = found[1];
    jump.eax = 0;
    o = run_in_child(jump_and_read, s);
    CHECK(o.signo == SIGILL);
    CHECK(o.addr >= (uintptr_t)mpk_gate && o.addr < (uintptr_t)mpk_gate_end);
}

static void test_jump_behind_the_opening_wrpkru_faults(const struct setup *s)
{
    struct outcome o;

    dl_iterate_phdr(scan_program, NULL);
    jump.to = found[0] + 3;
    jump.eax = 0;
    o = run_in_child(jump_and_read, s);
    CHECK(o.signo == SIGSEGV);
    CHECK(o.code == SEGV_PKUERR);
}

/* Also between instructions, where other ones may begin. Each is a child, slow
 * where it is emulated: there it is one byte of four, others at each run. */
static void test_jump_to_every_byte_of_the_gate(const struct setup *s)
{
    unsigned char *gate = (unsigned char *)mpk_gate;
    size_t step = getenv("MPK_VM") != NULL ? 4 : 1, at = say_seed() % step;

    alarm(800);
    for (; at < (size_t)(mpk_gate_end - gate); at += step) {
        struct outcome o;

        jump.to = gate + at;
        jump.eax = 0;
        o = run_in_child(jump_and_read, s);
        CHECK(o.status != LEAKED && o.status != 0);
    }
}

/* ---- forged numbers ------------------------------------------------------ */

static uint64_t forged_slot;

static void enter_forged_slot(const struct setup *s)
{
    uint64_t *p = NULL;

    make(s);
    mpk_gate(OP_SECRET, &p, forged_slot);
    leak_if_open();
}

static void test_forged_slot_numbers(const struct setup *s)
{
    static const uint64_t forged[] = {
        2, 63, 64, 65, 1u << 17, 0xffffffff, 1ULL << 40, 1ULL << 63, ~0ULL};

    for (size_t i = 0; i < COUNT_OF(forged); i++) {
        struct outcome o;

        forged_slot = forged[i];
        o = run_in_child(enter_forged_slot, s);
        CHECK(o.status == FAULTED || o.killed_by == SIGSEGV);
    }
}

/* A slot number that makes the gate's sum come out in memory of one's own. */
static void enter_slot_in_own_memory(const struct setup *s)
{
    static _Alignas(MPK_SLOT_SIZE) unsigned char own[2 * MPK_SLOT_SIZE];
    uintptr_t control = (uintptr_t)own + MPK_SLOT_SIZE - MPK_SLOT_CTRL;
    uint64_t *p = NULL;

    make(s);
    mpk_gate(OP_SECRET, &p,
             (uint64_t)((int64_t)((uintptr_t)mpk_ro.slot0 - control) /
                        MPK_SLOT_SIZE));
    for (size_t i = 0; i < sizeof(own); i++) {
        if (own[i] != 0) {
            _exit(LEAKED);
        }
    }
    leak_if_open();
}

static void test_no_slot_number_moves_the_stack_outside(const struct setup *s)
{
    struct outcome o = run_in_child(enter_slot_in_own_memory, s);

    CHECK(o.status == FAULTED || o.killed_by == SIGSEGV);
}

static uint32_t forged_ready;

static void call_with_forged_count(const struct setup *s)
{
    uint64_t *p = NULL;

    make(s);
    atomic_store(&mpk_out.slots_ready, forged_ready);
    alarm(5);
    for (int i = 0; i < 4; i++) {
        mpk_call(OP_SECRET, &p);
    }
    leak_if_open();
}

static void test_a_forged_number_of_stacks_leaks_nothing(const struct setup *s)
{
    static const uint32_t forged[] = {0, 1, 3, 63, 64, 65, 1u << 20, ~0u};

    for (size_t i = 0; i < COUNT_OF(forged); i++) {
        struct outcome o;

        forged_ready = forged[i];
        o = run_in_child(call_with_forged_count, s);
        CHECK(o.status == FAULTED || o.killed_by != 0);
    }
}

static void *hold(void *arg)
{
    (void)arg;
    return (void *)(intptr_t)mpk_call(OP_HOLD, NULL);
}

static void fork_child_step_without_fork(const struct setup *s)
{
    struct {
        uint64_t step;
        void *stage;
    } frame = {0, NULL};
    pthread_t thread;

    make(s);
    pthread_create(&thread, NULL, hold, NULL);
    while (!holding) {
        usleep(100);
    }
    for (frame.step = 1; frame.step < 5; frame.step++) {
        CHECK(mpk_call(1, &frame) == -EINVAL);
    }
    let_go = 1;
    pthread_join(thread, NULL);
}

/* A child's step would free the stacks of the threads that are inside. */
static void
test_the_steps_of_fork_are_refused_out_of_turn(const struct setup *s)
{
    CHECK(run_in_child(fork_child_step_without_fork, s).status == 0);
}

int main(void)
{
    static const struct core_test tests[] = {
        TEST(test_this_program_has_the_cores_seven_only,
             ONE_MEMORY | NEEDS_KEYS),
        TEST(test_jump_to_wrpkru_with_forged_rights, ONE_MEMORY | NEEDS_KEYS),
        TEST(test_the_closing_wrpkru_traps_what_would_open,
             ONE_MEMORY | NEEDS_KEYS),
        TEST(test_jump_behind_the_opening_wrpkru_faults,
             ONE_MEMORY | NEEDS_KEYS),
        TEST(test_jump_to_every_byte_of_the_gate, ONE_MEMORY | NEEDS_KEYS),
        TEST(test_forged_slot_numbers, ONE_MEMORY | NEEDS_KEYS),
        TEST(test_no_slot_number_moves_the_stack_outside,
             ONE_MEMORY | NEEDS_KEYS),
        TEST(test_a_forged_number_of_stacks_leaks_nothing,
             ONE_MEMORY | NEEDS_KEYS),
        TEST(test_the_steps_of_fork_are_refused_out_of_turn,
             ONE_MEMORY | NEEDS_KEYS),
    };

    return core_test_main(tests, COUNT_OF(tests));
}
