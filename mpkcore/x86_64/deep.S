#include "../layout.h"

        .text

/*
 * int64_t mpk_grow_deep(uint32_t n, struct mpk_slot *slot);     inside
 *
 *   Does     heap_grow_here(n), on the stack of |slot|
 *   Needs    a light entry, whose slot that is; all signals blocked
 *
 * The slot was on a stack that others can write. As in gate.S, it is a slot's
 * control block in any case, and ours if this stack is below the rsp in it. Its
 * own stack is idle for as long as the light entry has it.
 */
        .globl  mpk_grow_deep
        .hidden mpk_grow_deep
        .type   mpk_grow_deep, @function
        .balign 16
mpk_grow_deep:
        .cfi_startproc
        endbr64
        pushq   %rbp
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %rbp, 0
        movq    %rsp, %rbp
        .cfi_def_cfa_register %rbp
        movq    mpk_ro+MPK_RO_SLOT0(%rip), %rax
        movq    %rax, %rcx
        subq    %rsi, %rcx
        andl    $((MPK_SLOTS - 1) << MPK_SLOT_SHIFT), %ecx
        subq    %rcx, %rax
        movq    MPK_SLOT_LIGHT_RSP(%rax), %rcx
        subq    %rsp, %rcx
        cmpq    $MPK_LIGHT_STACK, %rcx
        jae     .Ltrap
        movq    %rax, %rsp
        call    heap_grow_here
        movq    %rbp, %rsp
        popq    %rbp
        .cfi_def_cfa %rsp, 8
        .cfi_restore %rbp
        ret
        .cfi_def_cfa %rbp, 16
.Ltrap:
        ud2
        .cfi_endproc
        .size   mpk_grow_deep, . - mpk_grow_deep

#include "notes.h"
