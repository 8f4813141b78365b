/* rseq.S - where the kernel sends a thread on. It asks for the word before it,
 * which whoever registers an area chooses (rseq.h: RSEQ_SIG). */
        .text
        .globl  rseq_landing
        .type   rseq_landing, @function
        .balign 16
        .long   0x53053053
rseq_landing:
        .cfi_startproc
        .cfi_undefined rip
        leaq    stack_end(%rip), %rsp   /* the one it had is the domain's */
        call    rseq_landed
        ud2
        .cfi_endproc
        .size   rseq_landing, . - rseq_landing

        .lcomm  stack, 65536
        .set    stack_end, stack + 65536

        .section .note.GNU-stack, "", @progbits
