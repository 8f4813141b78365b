/*
 * gate_abi.h - entering code with every register and the stack pointer as one
 * likes, and seeing every register as it was when it came back.
 */
#ifndef MPK_TEST_GATE_ABI_H
#define MPK_TEST_GATE_ABI_H

#include <stdbool.h>
#include <stdint.h>

/* The order is gate_abi.S's. */
struct abi_regs {
    uint64_t rax, rbx, rcx, rdx, rsi, rdi, rbp, rsp;
    uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
};

struct abi_vectors {
    unsigned char zmm[32][64]; /* 16 of 16 or 32 bytes on lesser CPUs */
    uint64_t k[8];
};

extern struct abi_regs abi_in, abi_out;
extern struct abi_vectors abi_vectors;
/* What the CPU has; MPK_CPU_AVX and MPK_CPU_AVX512. */
extern uint32_t abi_cpu;

/*
 * abi_go jumps to |target| with the registers of |abi_in|, rsp included. The
 * code returns to the address that it finds at rsp, which must be abi_back;
 * then |abi_out| and |abi_vectors| have what it left, and abi_go returns.
 */
void abi_go(void (*target)(void));
void abi_back(void);

/* abi_fill fills each caller-saved register with bytes of ABI_SECRET, and
 * |abi_depth| bytes of stack, 4 KiB at first; returns ABI_SECRET. */
#define ABI_SECRET 0xa5a5a5a5a5a5a5a5ULL
extern uint64_t abi_depth;
int64_t abi_fill(void);

/* ---- gate_abi.c ---------------------------------------------------------- */

#define ABI_STACK_SIZE 65536
extern unsigned char abi_stack[ABI_STACK_SIZE];

/* Calls |target| at the top of |abi_stack|, which is zeroed, with a pattern in
 * each callee-saved register. */
void abi_call(void (*target)(void), uint64_t rdi, const void *rsi,
              uint64_t rdx);
/* Whether the pattern and rsp came back. */
bool abi_saved(void);
/* Whether nothing of ABI_SECRET is left in the vector registers and opmasks. */
bool abi_vectors_wiped(void);

#endif
