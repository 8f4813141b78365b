#include "../layout.h"

/*
 * struct gate_result mpk_gate(uint64_t op, void *frame, uint64_t slot);
 *
 *   In       rdi = op, rsi = frame, rdx = slot to try, plus MPK_GATE_LIGHT to
 *            stay on the caller's stack; all untrusted
 *   Out      rax = result of the op, rdx = status (MPK_GATE_*)
 *   Saves    rbx rbp r12-r15 (the code inside does, on its own stack)
 *   Wipes    rcx rsi rdi r8-r11, all vector registers, opmasks
 *   Stack    nothing is pushed on the caller's; its rsp is kept inside.
 *            A light entry runs on it, after a look at where it is, and zeroes
 *            MPK_LIGHT_STACK bytes below rsp before the domain closes
 *
 * Invariant 1: the WRPKRU that opens goes straight into the path that checks
 * the entry number, the slot and the frame inside, so that jumping to it is
 * no more than calling the gate.
 * Invariant 2: the WRPKRU that closes is followed at once by a comparison of
 * what was written with what is due, our two bits set, else ud2.
 * The mask comes from memory that is read-only since start-up. Other
 * libraries' keys keep the rights they have.
 */
        /* Where |at| bytes from rdi on are zero: the vector |zero| remembers. */
        .macro  look_at at, zero, now
        vpcmpeqd \at(%rdi), %ymm0, \now
        vpand   \now, \zero, \zero
        .endm

        .text
        .globl  mpk_gate, mpk_gate_end
        .hidden mpk_gate, mpk_gate_end
        .type   mpk_gate, @function
        .balign 64
mpk_gate:
        .cfi_startproc
        endbr64
        movq    %rdx, %r8               /* wrpkru needs edx */
        cmpl    $0, mpk_ro+MPK_RO_MASK(%rip)
        je      .Linside                /* closed by other means than a key */

        xorl    %ecx, %ecx
        rdpkru
        orl     mpk_ro+MPK_RO_MASK(%rip), %eax
        xorl    mpk_ro+MPK_RO_MASK(%rip), %eax
        xorl    %edx, %edx
        wrpkru
        testl   %eax, mpk_ro+MPK_RO_MASK(%rip)
        jne     .Ltrap

.Linside:
        /*
         * Inside. Nothing may be pushed before the stack is ours: rsp may
         * point anywhere, into the domain for one.
         */
        cld
        movl    %r8d, %r11d
        andl    $(MPK_SLOTS - 1), %r8d
        movq    mpk_ro+MPK_RO_MARKS(%rip), %rcx
        leaq    (%rcx,%r8,8), %rcx
        shlq    $MPK_SLOT_SHIFT, %r8
        movq    mpk_ro+MPK_RO_SLOT0(%rip), %r9
        subq    %r8, %r9                /* control block of the slot */
        /*
         * Where no slot was made, or there is no domain, anything may be: what
         * has not the mark is no slot. A mark that was not given to its slot yet
         * is never in a register, which a fault would show.
         */
        movq    mpk_ro+MPK_RO_ALIVE(%rip), %r10
        cmpl    $MPK_STATE_DEAD, (%r10)
        je      .Ldead
.Lalive:
        movq    MPK_SLOT_MARK(%r9), %rax
        cmpq    (%rcx), %rax
        jne     .Lno_slot
        /* For whom: fork in a handler knows it. Never 0, whatever is at fs. */
        movq    %fs:0, %rcx
        orq     $1, %rcx
        xorl    %eax, %eax
        cmpq    %rax, MPK_SLOT_BUSY(%r9)
        jne     .Lslot_busy             /* a look does not take the line */
        lock cmpxchgq %rcx, MPK_SLOT_BUSY(%r9)
        jne     .Lslot_busy

        /*
         * The slot is claimed before the state is read, and fork writes the
         * state before it waits for the slots: one of the two sees the other.
         * It is read once: a fork may end at any time.
         */
        movl    (%r10), %eax
        cmpl    $MPK_STATE_OPEN, %eax
        je      .Lrun
        cmpq    $MPK_LAST_CORE_ENTRY, %rdi
        ja      .Lnot_open

.Lrun:
        movq    %r9, %rdx               /* rdi, rsi as they came */
        xorl    %ecx, %ecx
        testl   $MPK_GATE_LIGHT, %r11d
        jne     .Llight
        movq    %rsp, MPK_SLOT_RSP(%r9)
        .cfi_remember_state
        .cfi_undefined rip              /* a backtrace ends at the gate */
        movq    %r9, %rsp
        call    mpk_dispatch
        movq    %rax, %r8
        xorl    %esi, %esi              /* MPK_GATE_OK */
        movq    %rsp, %r9
        movq    MPK_SLOT_RSP(%rsp), %r10

.Lwipe:
        /* What the registers held inside stays inside. */
        testl   $MPK_CPU_AVX, mpk_ro+MPK_RO_CPU(%rip)
        je      .Lwipe_sse
        vzeroall
        testl   $MPK_CPU_AVX512, mpk_ro+MPK_RO_CPU(%rip)
        je      .Lwiped
        .irp n, 16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
        vpxorq  %zmm\n, %zmm\n, %zmm\n
        .endr
        .irp n, 0,1,2,3,4,5,6,7
        kxorw   %k\n, %k\n, %k\n
        .endr
        jmp     .Lwiped
.Lwipe_sse:
        .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
        pxor    %xmm\n, %xmm\n
        .endr
.Lwiped:
        cmpq    %r9, %rsp
        jne     .Lwipe_stack

.Lrelease:
        movq    %r10, %rsp
        movq    $0, MPK_SLOT_LIGHT_RSP(%r9)
        movq    $0, MPK_SLOT_BUSY(%r9)  /* from here on another's */

.Lleave:
        cmpl    $0, mpk_ro+MPK_RO_MASK(%rip)
        je      .Loutside
        xorl    %ecx, %ecx
        rdpkru
        orl     mpk_ro+MPK_RO_MASK(%rip), %eax
        xorl    %edx, %edx
        wrpkru
        movl    mpk_ro+MPK_RO_MASK(%rip), %ecx
        andl    %ecx, %eax
        cmpl    %ecx, %eax
        jne     .Ltrap
.Loutside:
        movq    %r8, %rax
        movq    %rsi, %rdx
        xorl    %ecx, %ecx
        xorl    %esi, %esi
        xorl    %edi, %edi
        xorl    %r8d, %r8d
        xorl    %r9d, %r9d
        xorl    %r10d, %r10d
        xorl    %r11d, %r11d
        ret

        /*
         * On the caller's stack, if what may be used of it is outside: rsp
         * could point into the domain, or make it be written from below.
         */
.Llight:
        .cfi_restore_state
        leaq    -MPK_LIGHT_STACK(%rsp), %rax
        cmpq    %rsp, %rax
        ja      .Lbad_stack             /* it wraps */
        cmpq    mpk_ro+MPK_RO_BASE(%rip), %rsp
        jbe     .Lnot_in_domain
        cmpq    mpk_ro+MPK_RO_END(%rip), %rax
        jb      .Lbad_stack
.Lnot_in_domain:
        cmpq    mpk_ro+MPK_RO_MODULE(%rip), %rsp
        jbe     .Lnot_in_module
        cmpq    mpk_ro+MPK_RO_MODULE_END(%rip), %rax
        jb      .Lbad_stack
.Lnot_in_module:
        movq    %rsp, MPK_SLOT_LIGHT_RSP(%r9)
        movl    $1, %ecx
        subq    $8, %rsp
        .cfi_adjust_cfa_offset 8
        call    mpk_dispatch
        addq    $8, %rsp
        .cfi_adjust_cfa_offset -8
        /*
         * The slot was on a stack that others can write. It is a slot's control
         * block in any case, and ours if it has our rsp.
         */
        movq    mpk_ro+MPK_RO_SLOT0(%rip), %r9
        movq    %r9, %rcx
        subq    %rdx, %rcx
        andl    $((MPK_SLOTS - 1) << MPK_SLOT_SHIFT), %ecx
        subq    %rcx, %r9
        cmpq    %rsp, MPK_SLOT_LIGHT_RSP(%r9)
        jne     .Ltrap
        movq    %rax, %r8
        xorl    %esi, %esi              /* MPK_GATE_OK */
        movq    %rsp, %r10
        jmp     .Lwipe

        /*
         * What is zeroed becomes part of the stack first: valgrind takes what
         * lies below rsp for nobody's, and does not let the stack grow for it.
         * A handler's frame then comes below, and stays, so nothing of the
         * inside may be in the registers by now, nor come into them any more.
         */
.Lwipe_stack:
        .cfi_remember_state
        .cfi_def_cfa r10, 8
        xorl    %r11d, %r11d
        leaq    -MPK_LIGHT_STACK(%rsp), %rdi
        andq    $-64, %rdi
        subq    $MPK_LIGHT_STACK, %rsp
        testl   $MPK_CPU_AVX512, mpk_ro+MPK_RO_CPU(%rip)
        je      .Lwipe_stack_avx
        leaq    -64(%r10), %rcx
1:      vmovdqa64 %zmm0, (%rdi)
        addq    $64, %rdi
        cmpq    %rcx, %rdi
        jbe     1b
        vmovdqu64 %zmm0, (%rcx)
        jmp     .Lrelease
.Lwipe_stack_avx:
        testl   $MPK_CPU_AVX2, mpk_ro+MPK_RO_CPU(%rip)
        jne     .Llook_at_stack
.Lwipe_stack_all:
        testl   $MPK_CPU_AVX, mpk_ro+MPK_RO_CPU(%rip)
        je      .Lwipe_stack_words
        leaq    -64(%r10), %rcx
1:      vmovdqa %ymm0, (%rdi)
        vmovdqa %ymm0, 32(%rdi)
        addq    $64, %rdi
        cmpq    %rcx, %rdi
        jbe     1b
        vmovdqu %ymm0, (%rcx)
        vmovdqu %ymm0, 32(%rcx)
        jmp     .Lrelease
.Lwipe_stack_words:
        movq    %r10, %rcx
        subq    %rdi, %rcx
        shrq    $3, %rcx
        xorl    %eax, %eax
        rep stosq
        jmp     .Lrelease
        /*
         * The upper part is written and the lower one looked at, all of it: two
         * loads go beside a store. It is nearly always zero, and all is wiped
         * when it is not. What was read is never in a register, only where it
         * was zero: a handler's frame would keep it.
         */
.Llook_at_stack:
        leaq    MPK_LIGHT_STACK - MPK_LIGHT_USED(%rdi), %rdx
        movq    %rdx, %rcx
        vpcmpeqd %ymm1, %ymm1, %ymm1
        vmovdqa %ymm1, %ymm2
1:      .irp n, 0,1,2,3
        look_at 224*\n, %ymm1, %ymm3
        look_at 224*\n+32, %ymm2, %ymm4
        vmovdqa %ymm0, 96*\n(%rdx)
        look_at 224*\n+64, %ymm1, %ymm3
        look_at 224*\n+96, %ymm2, %ymm4
        vmovdqa %ymm0, 96*\n+32(%rdx)
        look_at 224*\n+128, %ymm1, %ymm3
        look_at 224*\n+160, %ymm2, %ymm4
        vmovdqa %ymm0, 96*\n+64(%rdx)
        look_at 224*\n+192, %ymm1, %ymm3
        .endr
        addq    $896, %rdi
        addq    $384, %rdx
        cmpq    %rcx, %rdi
        jne     1b
        vmovdqu %ymm0, -64(%r10)
        vmovdqu %ymm0, -32(%r10)
        vpand   %ymm1, %ymm2, %ymm1
        vpmovmskb %ymm1, %ecx
        .irp n, 1,2,3,4
        vpxor   %xmm\n, %xmm\n, %xmm\n
        .endr
        vzeroupper
        leaq    MPK_LIGHT_USED - MPK_LIGHT_STACK(%rdi), %rdi
        addl    $1, %ecx
        jne     .Lwipe_stack_all
        jmp     .Lrelease
        .cfi_restore_state

.Lbad_stack:
        xorl    %esi, %esi              /* MPK_GATE_OK */
        movq    $MPK_LIGHT_REFUSED, %r8
        movq    $0, MPK_SLOT_BUSY(%r9)
        jmp     .Lleave
        /*
         * The first entry of all comes here, and one in which a child of fork has
         * its copies in place. They go by another mark, which is in no register
         * in a light entry: a signal's frame would show it.
         */
.Ldead:
        cmpq    $MPK_LAST_CORE_ENTRY, %rdi
        ja      .Lno_domain
        movq    MPK_SLOT_CHILD_MARK(%r9), %rax
        cmpq    MPK_CHILD_MARKS(%rcx), %rax
        je      .Lalive
        jmp     .Lno_domain
.Lno_slot:
        cmpl    $MPK_STATE_DEAD, (%r10)
        jne     .Ltrap
.Lno_domain:
        movl    $MPK_GATE_DEAD, %esi
        xorl    %r8d, %r8d
        jmp     .Lleave
.Lnot_open:
        movl    $MPK_GATE_FORKING, %esi
        cmpl    $MPK_STATE_FORKING, %eax
        je      .Lgive_back
        movl    $MPK_GATE_DEAD, %esi
.Lgive_back:
        movq    $0, MPK_SLOT_BUSY(%r9)
        xorl    %r8d, %r8d
        jmp     .Lleave
        /*
         * Its own thread is below a handler, in a light entry (the others have
         * no handlers): it will not be free before the handler is done. What
         * forks goes on, and says so (fork.c).
         */
.Lslot_busy:
        movl    $MPK_GATE_BUSY, %esi
        xorl    %r8d, %r8d
        cmpq    %rcx, MPK_SLOT_BUSY(%r9)
        jne     .Lleave
        cmpq    $MPK_LAST_CORE_ENTRY, %rdi
        jbe     .Lleave
        movl    $MPK_GATE_OWN, %esi
        movq    $MPK_OWN_REFUSED, %r8
        jmp     .Lleave
.Ltrap:
        ud2
mpk_gate_end:
        .cfi_endproc
        .size   mpk_gate, . - mpk_gate

#include "notes.h"
