/* gate_abi.S - see gate_abi.h. Test code: nothing here runs in a product. */
#include "../../mpkcore/layout.h"

        .text
        .globl  abi_go, abi_back, abi_fill
        .type   abi_go, @function
        .type   abi_fill, @function

abi_go:
        .cfi_startproc
        endbr64
        pushq   %rbx
        pushq   %rbp
        pushq   %r12
        pushq   %r13
        pushq   %r14
        pushq   %r15
        movq    %rsp, saved_rsp(%rip)
        movq    %rdi, target(%rip)

        movq    abi_in+0(%rip), %rax
        movq    abi_in+8(%rip), %rbx
        movq    abi_in+16(%rip), %rcx
        movq    abi_in+24(%rip), %rdx
        movq    abi_in+32(%rip), %rsi
        movq    abi_in+40(%rip), %rdi
        movq    abi_in+48(%rip), %rbp
        movq    abi_in+64(%rip), %r8
        movq    abi_in+72(%rip), %r9
        movq    abi_in+80(%rip), %r10
        movq    abi_in+88(%rip), %r11
        movq    abi_in+96(%rip), %r12
        movq    abi_in+104(%rip), %r13
        movq    abi_in+112(%rip), %r14
        movq    abi_in+120(%rip), %r15
        .cfi_undefined rip
        movq    abi_in+56(%rip), %rsp
        jmp     *target(%rip)

abi_back:
        endbr64
        movq    %rax, abi_out+0(%rip)
        movq    %rbx, abi_out+8(%rip)
        movq    %rcx, abi_out+16(%rip)
        movq    %rdx, abi_out+24(%rip)
        movq    %rsi, abi_out+32(%rip)
        movq    %rdi, abi_out+40(%rip)
        movq    %rbp, abi_out+48(%rip)
        movq    %rsp, abi_out+56(%rip)
        movq    %r8, abi_out+64(%rip)
        movq    %r9, abi_out+72(%rip)
        movq    %r10, abi_out+80(%rip)
        movq    %r11, abi_out+88(%rip)
        movq    %r12, abi_out+96(%rip)
        movq    %r13, abi_out+104(%rip)
        movq    %r14, abi_out+112(%rip)
        movq    %r15, abi_out+120(%rip)
        movq    saved_rsp(%rip), %rsp

        leaq    abi_vectors(%rip), %rax
        testl   $MPK_CPU_AVX512, abi_cpu(%rip)
        jne     .Lstore_512
        testl   $MPK_CPU_AVX, abi_cpu(%rip)
        jne     .Lstore_256
        .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
        movdqu  %xmm\n, (\n * 64)(%rax)
        .endr
        jmp     .Lstored
.Lstore_256:
        .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
        vmovdqu %ymm\n, (\n * 64)(%rax)
        .endr
        jmp     .Lstored
.Lstore_512:
        .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
        vmovdqu64 %zmm\n, (\n * 64)(%rax)
        .endr
        .irp n, 16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
        vmovdqu64 %zmm\n, (\n * 64)(%rax)
        .endr
        .irp n, 0,1,2,3,4,5,6,7
        kmovw   %k\n, (2048 + \n * 8)(%rax)
        .endr
.Lstored:
        popq    %r15
        popq    %r14
        popq    %r13
        popq    %r12
        popq    %rbp
        popq    %rbx
        ret
        .cfi_endproc
        .size   abi_go, . - abi_go

abi_fill:
        .cfi_startproc
        endbr64
        movabsq $0xa5a5a5a5a5a5a5a5, %rax
        movq    %rax, %rdx
        movq    abi_depth(%rip), %rcx
1:      negq    %rcx
        movq    %rax, (%rsp,%rcx)
        negq    %rcx
        subq    $8, %rcx
        jne     1b
        .irp r, rcx,rdx,rsi,rdi,r8,r9,r10,r11
        movq    %rax, %\r
        .endr
        movq    %rax, %xmm0
        punpcklqdq %xmm0, %xmm0
        testl   $MPK_CPU_AVX512, abi_cpu(%rip)
        jne     .Lfill_512
        testl   $MPK_CPU_AVX, abi_cpu(%rip)
        jne     .Lfill_256
        .irp n, 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
        movdqa  %xmm0, %xmm\n
        .endr
        ret
.Lfill_256:
        vinsertf128 $1, %xmm0, %ymm0, %ymm0
        .irp n, 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
        vmovdqa %ymm0, %ymm\n
        .endr
        ret
.Lfill_512:
        .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
        vpbroadcastq %rax, %zmm\n
        .endr
        .irp n, 16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
        vpbroadcastq %rax, %zmm\n
        .endr
        .irp n, 0,1,2,3,4,5,6,7
        kmovw   %eax, %k\n
        .endr
        ret
        .cfi_endproc
        .size   abi_fill, . - abi_fill

        .data
        .balign 64
        .globl  abi_in, abi_out, abi_vectors, abi_cpu, abi_depth
abi_vectors: .zero 2112
abi_in: .zero   128
abi_out: .zero  128
saved_rsp: .quad 0
target: .quad   0
abi_depth: .quad 4096
abi_cpu: .long  0

#include "../../mpkcore/x86_64/notes.h"
