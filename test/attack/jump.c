/*
 * jump.c - attacks by hijacked control flow. What is in the gate holds; what is
 * elsewhere in the process, or a system call, does not: who gets as far as
 * choosing code is not addressed (T2), and the table says so.
 */
#include "attack.h"

#include "../../mpkcore/x86_64/cpu.h"
#include "../unit/gate_abi.h"

#include <cpuid.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

static const unsigned char wrpkru[] = {0x0f, 0x01, 0xef};

static void block_signals(void)
{
    sigset_t all;

    sigfillset(&all);
    sigdelset(&all, SIGSEGV);
    sigdelset(&all, SIGILL);
    sigdelset(&all, SIGALRM);
    sigprocmask(SIG_SETMASK, &all, NULL);
}

/* Jumps to |to| with eax, ecx and edx 0, the rights to everything, and a stack
 * whose every word is the way back. */
static _Noreturn void jump_and_read(unsigned char *to)
{
    uint64_t *stack = (uint64_t *)abi_stack;
    const size_t n = ABI_STACK_SIZE / sizeof(*stack);

    for (size_t i = n / 2; i < n; i++) {
        stack[i] = (uint64_t)(uintptr_t)abi_back;
    }
    block_signals();
    abi_in = (struct abi_regs){
        .r9 = (uint64_t)(uintptr_t)&stack[n / 4],
        .r10 = (uint64_t)(uintptr_t)&stack[n / 2 + 64],
        .rsp = (uint64_t)(uintptr_t)&stack[n / 2 + 64],
    };
    /* The outside stack pointer, for code that takes r9 for its slot. */
    stack[n / 4 + 1] = (uint64_t)(uintptr_t)&stack[n / 2 + 64];
    abi_go((void (*)(void))(uintptr_t)to);
    victim_read_target();
}

/* The first WRPKRU behind |function|, or the |n|th. */
static unsigned char *wrpkru_of(const char *function, unsigned n)
{
    const unsigned char *start = module_symbol(function), *at = NULL;

    for (unsigned i = 0; at == NULL || at < start || n-- > 0; i++) {
        at = module_find_code("/mpk.so", wrpkru, sizeof(wrpkru), i);
        if (at == NULL) {
            trouble("no WRPKRU behind the function");
        }
    }
    return (unsigned char *)(uintptr_t)at;
}

static void to_the_opening(void)
{
    victim_ready();
    jump_and_read(wrpkru_of("mpk_gate", 0));
}

static void to_the_closing(void)
{
    victim_ready();
    jump_and_read(wrpkru_of("mpk_gate", 1));
}

static void to_rights_outside(void)
{
    victim_ready();
    jump_and_read(wrpkru_of("mpk_rights_set", 0));
}

static void to_rights_inside(void)
{
    victim_ready();
    jump_and_read(wrpkru_of("mpk_rights_inside", 0));
}

static void behind_the_opening(void)
{
    victim_ready();
    jump_and_read(wrpkru_of("mpk_gate", 0) + sizeof(wrpkru));
}

/* ---- what the module has no say in --------------------------------------- */

static void call_pkey_set(void)
{
    victim_ready();
    pkey_set(module_pkey(), 0);
    victim_read_target();
}

/* Where PKRU is in a saved state that is not compacted (SDM vol. 1, 13.4.3). */
static uint32_t pkru_offset(void)
{
    uint32_t a, b = 0, c, d;

    if (!__get_cpuid_count(0xd, 9, &a, &b, &c, &d) || b == 0) {
        trouble("no PKRU in the saved state");
    }
    return b;
}

#define XSTATE_BV 512
#define STATE_PKRU 0x200

static _Alignas(64) unsigned char resolver_frame[64 + 16384];

/* The end of _dl_runtime_resolve_xsave: xrstor 0x40(%rsp), registers from the
 * stack, rsp = rbx, jump to r11. */
static void jump_to_xrstor(void)
{
    static const unsigned char xrstor[] = {0x0f, 0xae, 0x6c, 0x24, 0x40};
    unsigned char *state = resolver_frame + 0x40, *to;
    uint64_t bits = STATE_PKRU;

    victim_ready();
    to = module_find_code("/ld-linux-x86-64.so.2", xrstor, sizeof(xrstor), 0);
    if (to == NULL) {
        cell("not run: ld.so has another XRSTOR");
    }
    memcpy(state + XSTATE_BV, &bits, sizeof(bits));
    memset(state + pkru_offset(), 0, sizeof(uint32_t));
    abi_in = (struct abi_regs){
        .rax = STATE_PKRU,
        .rbx = (uint64_t)(uintptr_t)(abi_stack + ABI_STACK_SIZE / 2),
        .r11 = (uint64_t)(uintptr_t)abi_back,
        .rsp = (uint64_t)(uintptr_t)resolver_frame,
    };
    abi_go((void (*)(void))(uintptr_t)to);
    victim_read_target();
}

static void forge_frame(int signo, siginfo_t *info, void *context)
{
    unsigned char *state = (void *)((ucontext_t *)context)->uc_mcontext.fpregs;
    uint64_t bits;

    (void)signo;
    (void)info;
    memcpy(&bits, state + XSTATE_BV, sizeof(bits));
    bits |= STATE_PKRU;
    memcpy(state + XSTATE_BV, &bits, sizeof(bits));
    memset(state + pkru_offset(), 0, sizeof(uint32_t));
}

static void forge_sigreturn(void)
{
    struct sigaction action = {.sa_flags = SA_SIGINFO};

    victim_ready();
    action.sa_sigaction = forge_frame;
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
    victim_read_target();
}

/* A key that is given out again is open for who gets it. */
static void free_and_alloc(void)
{
    int key;

    victim_ready();
    pkey_free(module_pkey());
    do {
        key = pkey_alloc(0, 0);
    } while (key >= 0 && key != module_pkey());
    victim_read_target();
}

#define TRAP "dies: SIGILL"
#define WRONG_KEY "dies: SIGSEGV, the domain's key"
#define EVERYTHING "jumps there with eax = 0, the rights to everything"

const struct attack jump_attacks[] = {
    {"open", "the gate's opening WRPKRU",
     EVERYTHING ", and reads the key when the gate returns", KEYS,
     to_the_opening, .want = {NULL, NULL, WRONG_KEY}},
    {"behind", "behind the gate's opening WRPKRU",
     "jumps past it into the code inside", KEYS, behind_the_opening,
     .want = {NULL, NULL, WRONG_KEY}},
    {"close", "the gate's closing WRPKRU", EVERYTHING, KEYS, to_the_closing,
     .want = {NULL, NULL, TRAP}},
    {"rights_outside", "the WRPKRU of `mpk_begin`", EVERYTHING, KEYS,
     to_rights_outside, .want = {NULL, NULL, TRAP}},
    {"rights_inside", "the WRPKRU for page groups inside", EVERYTHING, KEYS,
     to_rights_inside, .want = {NULL, NULL, TRAP}},
    {"pkey_set", "T2: `pkey_set` of libc",
     "calls it, or jumps to its WRPKRU, which nothing checks", KEYS,
     call_pkey_set, .want = {NULL, NULL, "**key read**"}},
    {"xrstor", "T2: XRSTOR of `ld.so`",
     "jumps to the one in `_dl_runtime_resolve` with a state of its own", KEYS,
     jump_to_xrstor, .want = {NULL, NULL, "**key read**"}},
    {"sigreturn", "T2: `rt_sigreturn(2)`",
     "returns from a signal with forged rights in the frame", KEYS,
     forge_sigreturn, .want = {NULL, NULL, "**key read**"}},
    {"pkey_free", "T2: `pkey_free(2)`, `pkey_alloc(2)`",
     "has the kernel give the domain's key out once more", KEYS, free_and_alloc,
     .want = {NULL, NULL, "**key read**"}},
    {0},
};
