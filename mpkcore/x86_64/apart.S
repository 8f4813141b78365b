/* apart.S - a thread that shares all but what it opens (map_apart.c). */
#include <asm/unistd.h>

#define WAIT 128 /* FUTEX_WAIT and FUTEX_WAKE, both FUTEX_PRIVATE_FLAG */
#define WAKE 129
#define LOOKS 200 /* without a pause between, as a thread takes to end */
#define PAUSES 50 /* and then */

/* struct apart */
#define AT_WORK 0
#define THERE 4

        .text

/*
 * void mpk_apart(struct apart *job, uint32_t flags);
 *
 *   Does     mpk_apart_run(job), in another thread, if there can be one; |flags|
 *            are clone's
 *   Needs    1 in the two words that |job| begins with; all signals blocked; a
 *            stack that nobody else writes
 *
 * The other thread is on this one's stack, with its rights and its thread
 * pointer. So this one touches neither stack nor errno before the other does not
 * any more, however it ends: the kernel then writes 0 to the second word
 * (set_tid_address(2)). It wakes nobody, since who waits for that cannot do so
 * in secretmem: for the first word the other wakes this one, and where it is
 * ended this one looks again. Then it waits until there is no thread of that
 * number, with pauses, for one that comes behind this one to get to its end; not
 * for ever: where numbers are scarce another thread may have that one by now.
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
        leaq    THERE(%rbx), %r10
        xorl    %r8d, %r8d
        syscall
        testq   %rax, %rax
        js      .Lback
        jne     .Lmade

        .cfi_remember_state
        .cfi_undefined rip              /* a backtrace ends here */
        movq    %rbx, %rdi
        call    mpk_apart_run
        movl    $0, AT_WORK(%rbx)
        movl    $__NR_futex, %eax
        movq    %rbx, %rdi
        movl    $WAKE, %esi
        movl    $1, %edx
        syscall
1:      movl    $__NR_exit, %eax
        xorl    %edi, %edi
        syscall
        movl    $0, THERE(%rbx)         /* a filter refuses that */
        movl    $__NR_pause, %eax
        syscall
        jmp     1b
        .cfi_restore_state

.Lmade:
        movl    %eax, %r8d              /* system calls leave these */
        movl    $LOOKS + PAUSES, %r9d
.Lwait:
        cmpl    $0, THERE(%rbx)
        je      .Lask
        cmpl    $0, AT_WORK(%rbx)
        je      .Lask
        movl    $__NR_futex, %eax
        movq    %rbx, %rdi
        movl    $WAIT, %esi
        movl    $1, %edx
        leaq    .Lmost(%rip), %r10
        syscall
        jmp     .Lwait
.Lask:
        movl    $__NR_getpid, %eax
        syscall
        movl    %eax, %edi
        movl    %r8d, %esi
        xorl    %edx, %edx
        movl    $__NR_tgkill, %eax
        syscall
        testq   %rax, %rax
        je      .Lnot_yet
        cmpl    $0, THERE(%rbx)
        je      .Lback                  /* -ESRCH, or it is refused */
.Lnot_yet:
        testl   %r9d, %r9d
        je      .Lwhat_then
        decl    %r9d
        cmpl    $PAUSES, %r9d
        ja      .Lwait
.Lpause:
        movl    $__NR_nanosleep, %eax
        leaq    .Lmoment(%rip), %rdi
        xorl    %esi, %esi
        syscall
        jmp     .Lwait
.Lwhat_then:
        cmpl    $0, THERE(%rbx)
        jne     .Lpause
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
.Lmoment:
        .quad   0, 2000000              /* 2 ms */

#include "notes.h"
