/* apart.S - a thread that shares all but what it opens (map_apart.c). */
#include <asm/errno.h>
#include <asm/unistd.h>

#define WAIT 128 /* FUTEX_WAIT and FUTEX_WAKE, both FUTEX_PRIVATE_FLAG */
#define WAKE 129
#define LOOKS 200   /* without a pause between, as a thread takes to end */
#define PAUSES 1000 /* and then */

        .text

/*
 * void mpk_apart(struct apart *job, uint32_t flags);
 *
 *   Does     mpk_apart_run(job), in another thread, if there can be one; |flags|
 *            are clone's
 *   Needs    1 in the word that |job| begins with; all signals blocked; a stack
 *            that nobody else writes
 *
 * The other thread is on this one's stack, with its rights and its thread
 * pointer. So this one touches neither stack nor errno before the other has said
 * that it will not any more, in that word, or is gone: until then there is a
 * thread of its number. It is asked for again where nobody wakes this one, since
 * who has been ended does not. Then it is waited for until it is gone, with
 * pauses, for one that comes behind this one to get to its end; not for ever:
 * where numbers are scarce another thread may have that one by now. The kernel's
 * own word (set_tid_address(2)) is of no use: who waits for it cannot do so in
 * secretmem.
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
        movl    %esi, %edi
        xorl    %esi, %esi              /* the same stack */
        xorl    %edx, %edx
        xorl    %r10d, %r10d
        xorl    %r8d, %r8d
        syscall
        testq   %rax, %rax
        js      .Lback
        jne     .Lmade

        .cfi_remember_state
        .cfi_undefined rip              /* a backtrace ends here */
        movq    %rbx, %rdi
        call    mpk_apart_run
        movl    $0, (%rbx)
        movl    $__NR_futex, %eax
        movq    %rbx, %rdi
        movl    $WAKE, %esi
        movl    $1, %edx
        syscall
        movl    $__NR_exit, %eax
        xorl    %edi, %edi
        syscall
        ud2
        .cfi_restore_state

.Lmade:
        movl    %eax, %r8d              /* system calls leave these */
        movl    $LOOKS + PAUSES, %r9d
.Lwait:
        movl    $__NR_futex, %eax
        movq    %rbx, %rdi
        movl    $WAIT, %esi
        movl    $1, %edx
        leaq    .Lmost(%rip), %r10
        syscall
.Lis_there:
        movl    $__NR_getpid, %eax
        syscall
        movl    %eax, %edi
        movl    %r8d, %esi
        xorl    %edx, %edx
        movl    $__NR_tgkill, %eax
        syscall
        cmpq    $-ESRCH, %rax
        je      .Lback
        cmpl    $0, (%rbx)
        jne     .Lwait
        testq   %rax, %rax
        jne     .Lback                  /* it is refused: nobody can tell */
        decl    %r9d
        js      .Lback
        cmpl    $PAUSES, %r9d
        ja      .Lis_there
        movl    $__NR_nanosleep, %eax
        leaq    .Lpause(%rip), %rdi
        xorl    %esi, %esi
        syscall
        jmp     .Lis_there
.Lback:
        popq    %rbx
        .cfi_adjust_cfa_offset -8
        .cfi_restore %rbx
        ret
        .cfi_endproc
        .size   mpk_apart, . - mpk_apart

        .section .rodata
        .balign 8
.Lmost: .quad   0, 1000000              /* struct timespec: 1 ms */
.Lpause:
        .quad   0, 20000                /* 20 us */

#include "notes.h"
