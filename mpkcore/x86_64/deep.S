#include "../layout.h"

        .text

/*
 * void mpk_heap_deep(struct mpk_slot *slot);                     inside
 *
 *   Does     slot_heap_here(slot), on the stack of |slot|
 *   Needs    a light entry, whose slot that is; all signals blocked
 *
 * The slot was on a stack that others can write. As in gate.S, it is a slot's
 * control block in any case, and ours if this stack is below the rsp in it. Its
 * own stack is idle for as long as the light entry has it, and nothing that is
 * needed afterwards is on the caller's but where that goes on.
 */
        .globl  mpk_heap_deep
        .hidden mpk_heap_deep
        .type   mpk_heap_deep, @function
        .balign 16
mpk_heap_deep:
        .cfi_startproc
        endbr64
        movq    mpk_ro+MPK_RO_SLOT0(%rip), %rax
        movq    %rax, %rcx
        subq    %rdi, %rcx
        andl    $((MPK_SLOTS - 1) << MPK_SLOT_SHIFT), %ecx
        subq    %rcx, %rax
        movq    MPK_SLOT_LIGHT_RSP(%rax), %rcx
        subq    %rsp, %rcx
        cmpq    $MPK_LIGHT_STACK, %rcx
        jae     .Ltrap
        movq    %rsp, %rcx
        .cfi_remember_state
        .cfi_undefined rip              /* a backtrace ends here */
        movq    %rax, %rsp
        movq    %rax, %rdi
        pushq   %rcx
        pushq   %rcx                    /* aligned to 16 */
        call    slot_heap_here
        popq    %rsp
        .cfi_restore_state
        ret
.Ltrap:
        ud2
        .cfi_endproc
        .size   mpk_heap_deep, . - mpk_heap_deep

#include "notes.h"
