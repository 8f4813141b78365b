/* gate_abi.c - the C half of gate_abi.h. */
#include "gate_abi.h"

#include <stdio.h>
#include <string.h>

/* Vectors need 64; Poly1305 aligns its frame to 512, by which what later calls
 * overwrite of it depends on the start. */
_Alignas(4096) unsigned char abi_stack[ABI_STACK_SIZE];

void abi_call(void (*target)(void), uint64_t rdi, const void *rsi, uint64_t rdx)
{
    uint64_t *rsp = (uint64_t *)(abi_stack + ABI_STACK_SIZE - 64) - 1;

    memset(abi_stack, 0, sizeof(abi_stack));
    *rsp = (uint64_t)(uintptr_t)abi_back;
    abi_in = (struct abi_regs){
        .rbx = 0xb0,
        .rbp = 0xb1,
        .r12 = 0xb2,
        .r13 = 0xb3,
        .r14 = 0xb4,
        .r15 = 0xb5,
        .rdi = rdi,
        .rsi = (uint64_t)(uintptr_t)rsi,
        .rdx = rdx,
        .rsp = (uint64_t)(uintptr_t)rsp,
    };
    abi_go(target);
}

bool abi_saved(void)
{
    return abi_out.rbx == 0xb0 && abi_out.rbp == 0xb1 && abi_out.r12 == 0xb2 &&
           abi_out.r13 == 0xb3 && abi_out.r14 == 0xb4 && abi_out.r15 == 0xb5 &&
           abi_out.rsp == abi_in.rsp + 8;
}

bool abi_vectors_wiped(void)
{
    for (size_t i = 0; i < sizeof(abi_vectors.zmm); i++) {
        if (((unsigned char *)abi_vectors.zmm)[i] == 0xa5) {
            fprintf(stderr, "vector register %zu, byte %zu\n", i / 64, i % 64);
            return false;
        }
    }
    for (size_t i = 0; i < 8; i++) {
        if (abi_vectors.k[i] != 0) {
            fprintf(stderr, "opmask %zu\n", i);
            return false;
        }
    }
    return true;
}
