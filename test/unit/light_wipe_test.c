/*
 * Whatever is on the stack of a light entry when it ends is wiped, wherever it
 * is, in each way that there is to wipe it. And from the moment that a signal's
 * frame would stay, nothing of it is in a register, which the frame has too.
 *
 * Seen to fail: the first and the last test without the jump from
 * .Llook_at_stack to .Lwipe_stack_all of gate.S, the first with one of its
 * look_at left out; the second with what was read in place of where it is zero,
 * and without .Lwipe.
 */
#include "core_test.h"
#include "fail_syscall.h"

#include "../../mpkcore/internal.h"
#include "../../mpkcore/x86_64/cpu.h"
#include "gate_abi.h"
#include "trap_flag.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#define OP_NONE 100 /* there is no such entry: next to nothing is used */
#define XMM_AT 160  /* in the kernel's frame of vector registers */
#define XSTATE_BV_AT 512
#define YMM_HIGH_AT 576

enum { OP_LEAVE = MPK_ENTRY_FIRST, OP_LEAVE_DEEP };

/* Leaves the secret in all registers and below itself. */
static int64_t leave_stub(void *frame)
{
    (void)frame;
    abi_fill();
    return 0;
}

/* The same deeper down, from where a frame still fits into what is wiped: with
 * protection keys it has 3 KiB. */
static int64_t leave_deep_stub(void *frame)
{
    volatile char room[400];

    room[0] = frame != NULL;
    abi_fill();
    return room[0];
}

static const struct mpk_entry entries[] = {
    MPK_CORE_ENTRIES,
    {leave_stub, 0, MPK_KIND_LIGHT},
    {leave_deep_stub, sizeof(uint64_t), MPK_KIND_LIGHT},
};

static void make(const struct setup *s)
{
    CHECK(leave_unsealed());
    make_domain(s, entries, COUNT_OF(entries));
    mprotect(&mpk_ro, sizeof(mpk_ro), PROT_READ | PROT_WRITE);
    abi_cpu = cpu_vectors();
}

static bool light(const struct setup *s)
{
    return s->backend != MPK_BACKEND_MPROTECT;
}

/* ---- each byte ----------------------------------------------------------- */

#define ABOVE 64

static void enter_at(unsigned char *rsp)
{
    uint64_t back = (uint64_t)(uintptr_t)abi_back;

    memcpy(rsp, &back, sizeof(back));
    abi_in = (struct abi_regs){.rdi = OP_NONE, .rdx = MPK_GATE_LIGHT};
    abi_in.rsp = (uintptr_t)rsp;
    abi_go((void (*)(void))mpk_gate);
}

static size_t left_behind(unsigned char *rsp)
{
    size_t left = 0;

    for (size_t below = 1; below <= MPK_LIGHT_STACK; below++) {
        rsp[-(ptrdiff_t)below] = 0xa5;
        enter_at(rsp);
        left += rsp[-(ptrdiff_t)below] != 0;
    }
    return left;
}

static void test_each_byte_is_wiped(const struct setup *s)
{
    static const uint32_t ways[] = {0, MPK_CPU_AVX, MPK_CPU_AVX | MPK_CPU_AVX2,
                                    ~0U};
    unsigned char *end = abi_stack + sizeof(abi_stack) - ABOVE - 64;
    unsigned char above[ABOVE];

    make(s);
    if (!light(s)) {
        return;
    }
    memset(above, 0xa5, sizeof(above));
    for (size_t i = 0; i < COUNT_OF(ways); i++) {
        mpk_ro.cpu = cpu_vectors() & ways[i];
        for (size_t at = 0; at < 64; at += 8) {
            memset(abi_stack, 0, sizeof(abi_stack));
            memcpy(end + at + 8, above, sizeof(above) - 8);
            CHECK(left_behind(end + at) == 0);
            CHECK(memcmp(end + at + 8, above, sizeof(above) - 8) == 0);
        }
    }
}

/* ---- each step ----------------------------------------------------------- */

static unsigned steps, with_secret;

/* In lanes of four bytes, as the gate compares. */
static bool has_secret(const void *p, size_t len)
{
    uint32_t word;

    for (size_t i = 0; i + sizeof(word) <= len; i += sizeof(word)) {
        memcpy(&word, (const char *)p + i, sizeof(word));
        if (word == (uint32_t)ABI_SECRET) {
            return true;
        }
    }
    return false;
}

static bool in_vectors(const unsigned char *saved)
{
    uint64_t present = 0;

    if (abi_cpu & MPK_CPU_AVX) {
        memcpy(&present, saved + XSTATE_BV_AT, sizeof(present));
    }
    return has_secret(saved + XMM_AT, 256) ||
           ((present & 4) && has_secret(saved + YMM_HIGH_AT, 256));
}

static void on_step(int signo, siginfo_t *info, void *context)
{
    const ucontext_t *u = context;
    const greg_t *regs = u->uc_mcontext.gregs;
    uintptr_t rip = (uintptr_t)regs[REG_RIP], gate = (uintptr_t)mpk_gate;

    (void)signo;
    (void)info;
    if (rip - gate < (uintptr_t)mpk_gate_end - gate &&
        (uint64_t)regs[REG_RSP] == abi_in.rsp - MPK_LIGHT_STACK) {
        steps++;
        with_secret += has_secret(regs, sizeof(u->uc_mcontext.gregs)) ||
                       in_vectors((const void *)u->uc_mcontext.fpregs);
    }
}

static bool secret_on_stack(void)
{
    return has_secret(abi_stack, sizeof(abi_stack));
}

static void test_no_register_has_what_is_wiped(const struct setup *s)
{
    struct sigaction a = {.sa_flags = SA_SIGINFO};

    make(s);
    if (!light(s)) {
        return;
    }
    a.sa_sigaction = on_step;
    sigaction(SIGTRAP, &a, NULL);
    abi_depth = MPK_LIGHT_STACK - 512;
    set_trap_flag();
    abi_call((void (*)(void))mpk_gate, OP_LEAVE, NULL, MPK_GATE_LIGHT);
    clear_trap_flag();
    CHECK(abi_out.rax == 0 && abi_out.rdx == MPK_GATE_OK);
    CHECK(steps > 100);
    CHECK(with_secret == 0);
}

/* A signal in the middle of the stub, whose frame has all registers and lies
 * where it is looked at only. */
static void test_a_frame_is_found(const struct setup *s)
{
    static uint64_t frame;
    struct sigaction a = {.sa_flags = SA_SIGINFO};
    /* AVX-512 has longer frames (gate.md), and without optimization the stub is
     * deeper down. */
    bool fits = !(cpu_vectors() & MPK_CPU_AVX512);

#if !defined(__OPTIMIZE__) || defined(MPK_SANITIZED)
    fits = false;
#endif

    make(s);
    if (!light(s)) {
        return;
    }
    a.sa_sigaction = on_step;
    sigaction(SIGTRAP, &a, NULL);
    abi_depth = 64;
    set_trap_flag();
    abi_call((void (*)(void))mpk_gate, OP_LEAVE_DEEP, &frame, MPK_GATE_LIGHT);
    clear_trap_flag();
    CHECK(abi_out.rax == 1);
    CHECK(steps > 0);
    if (fits) {
        CHECK(!secret_on_stack());
    }
}

int main(void)
{
    static const struct core_test tests[] = {
        TEST(test_each_byte_is_wiped, ONE_MEMORY),
        TEST(test_no_register_has_what_is_wiped, ONE_MEMORY),
        TEST(test_a_frame_is_found, ONE_MEMORY),
    };

    return core_test_main(tests, COUNT_OF(tests));
}
