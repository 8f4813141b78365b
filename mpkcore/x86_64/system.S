/* system.S - a system call without libc's function for it (system.c). */

        .text

/*
 * long __wrap_syscall(long number, ...);       with six parameters at most
 *
 *   Out      eax = what the kernel has answered; -1 when it has refused, with
 *            the reason where errno is
 *   Changes  what a function may
 *
 * No cancellation point. It takes six parameters from wherever they would be:
 * the kernel looks at those that the call has.
 */
        .globl  __wrap_syscall
        .hidden __wrap_syscall
        .type   __wrap_syscall, @function
        .balign 16
__wrap_syscall:
        .cfi_startproc
        endbr64
        movq    %rdi, %rax
        movq    %rsi, %rdi
        movq    %rdx, %rsi
        movq    %rcx, %rdx
        movq    %r8, %r10
        movq    %r9, %r8
        movq    8(%rsp), %r9
        syscall
        cmpq    $-4095, %rax
        jae     1f
        ret
1:      movl    %eax, %edi
        jmp     mpk_refused
        .cfi_endproc
        .size   __wrap_syscall, . - __wrap_syscall

#include "notes.h"
