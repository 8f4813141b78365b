/* apart.S - a process that shares all but what it opens (map_apart.c). */
#include <asm/unistd.h>

#define FLAGS 0x4500 /* CLONE_VM, CLONE_FILES, CLONE_VFORK, and no signal */
#define WALL 0x40000000       /* __WALL */

        .text

/*
 * void mpk_apart(struct apart *job);
 *
 *   Does     mpk_apart_run(job), in another process, if there can be one
 *   Needs    all signals blocked; a stack that nobody else writes
 *
 * The other process has this one's memory, stack, descriptors and rights. The kernel lets
 * this thread go on when it has ended (vfork(2)): what it has written below
 * this frame is nobody's any more. It is gone when it has been waited for, which
 * nobody else does without __WALL.
 */
        .globl  mpk_apart
        .hidden mpk_apart
        .type   mpk_apart, @function
        .balign 16
mpk_apart:
        .cfi_startproc
        endbr64
        pushq   %rbx
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %rbx, 0
        movq    %rdi, %rbx
        movl    $__NR_clone, %eax
        movl    $FLAGS, %edi
        xorl    %esi, %esi              /* the same stack */
        xorl    %edx, %edx
        xorl    %r10d, %r10d
        xorl    %r8d, %r8d
        syscall
        testq   %rax, %rax
        js      .Lback
        jne     .Lwait

        movq    %rbx, %rdi
        call    mpk_apart_run
        movl    $__NR_exit_group, %eax
        xorl    %edi, %edi
        syscall
        ud2

.Lwait:
        movq    %rax, %rdi
        movl    $__NR_wait4, %eax
        xorl    %esi, %esi
        movl    $WALL, %edx
        xorl    %r10d, %r10d
        syscall
.Lback:
        popq    %rbx
        .cfi_adjust_cfa_offset -8
        .cfi_restore %rbx
        ret
        .cfi_endproc
        .size   mpk_apart, . - mpk_apart

#include "notes.h"
