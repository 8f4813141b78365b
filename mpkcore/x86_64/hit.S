#include "../layout.h"
#include "outside.h"

/*
 * mpk_begin and mpk_end where they make no system call, from their WRPKRU on.
 * A file of its own: what has no virtual keys has no WRPKRU of theirs either.
 *
 * Invariant: as in rights.S, each WRPKRU is followed at once by a look at what
 * was written.
 */

        .text

/*
 * int mpk_rights_pin(mpk_vkey_t vkey, const struct vk_row *row, int key,
 *                    struct vk_pin *pin);                           outside
 *
 *   In       rdi = vkey, rsi = row, edx = key, rcx = pin
 *   Out      by the C function that it ends in, which gets the same
 *   Changes  rax rcx rdx r9 r10 r11 and flags
 *
 * A hit without a call: what a call saves on the stack before a WRPKRU has to
 * be written before that can end, and no memory is between the rights that are
 * read and those that are written. A closed key is opened for writing, its pin
 * is set for the first time, and the row is looked at once more; the other side
 * executes the barrier for it. C does whatever is otherwise.
 */
        .globl  mpk_rights_pin
        .hidden mpk_rights_pin
        .type   mpk_rights_pin, @function
        .balign 64
mpk_rights_pin:
        .cfi_startproc
        endbr64
        movl    %edx, %r10d
        movq    %rcx, %r11
        leal    (%rdx,%rdx), %r9d
        xorl    %ecx, %ecx
        rdpkru
        movl    %r9d, %ecx
        rorl    %cl, %eax               /* the key's bits are the lowest */
        leal    1(%rax), %edx
        testb   $3, %dl
        jne     .Lpin_here
        xorl    $3, %eax
        roll    %cl, %eax
        xorl    %ecx, %ecx
        xorl    %edx, %edx
        wrpkru
        trap_unless_closed
        cmpl    $0, MPK_PIN_COUNT(%r11)
        jne     .Lpin_again
        incl    MPK_PIN_USES(%r11)
        movl    $1, MPK_PIN_COUNT(%r11)
        cmpl    %r10d, MPK_ROW_HIT(%rsi)
        jne     .Lpin_lost
        cmpq    %rdi, MPK_ROW_VKEY(%rsi)
        jne     .Lpin_lost
        jmp     vk_pinned
.Lpin_here:
        movl    %r10d, %edx
        movq    %r11, %rcx
        jmp     vk_pin_here
.Lpin_again:
        movl    %r10d, %edx
        movq    %r11, %rcx
        jmp     vk_pin_again
.Lpin_lost:
        movl    %r10d, %edx
        movq    %r11, %rcx
        jmp     vk_pin_lost
        .cfi_endproc
        .size   mpk_rights_pin, . - mpk_rights_pin

/*
 * int mpk_rights_unpin(int key, struct vk_pin *pin,
 *                      const _Atomic uint32_t *waiting);            outside
 *
 *   In       edi = key, rsi = pin, rdx = waiting
 *   Out      eax = 0, or by the C function that it ends in
 *   Changes  rcx rdx r8-r11 and flags
 *
 * The other half, all of it: a pin is given back, and the rights that were
 * before the group was opened, none where it is the only pin. The pin can be
 * written only while the key is open for that, which it is not where the group
 * was opened for reading, or in code that a handler interrupts. In memory
 * meanwhile, another key could be written over this one.
 */
        .globl  mpk_rights_unpin
        .hidden mpk_rights_unpin
        .type   mpk_rights_unpin, @function
        .balign 64
mpk_rights_unpin:
        .cfi_startproc
        endbr64
        movq    %rdx, %r8
        leal    (%rdi,%rdi), %r9d
        xorl    %ecx, %ecx
        rdpkru
        movl    %r9d, %ecx
        rorl    %cl, %eax
        testb   $3, %al
        jne     .Lopen_first
.Lis_open:
        movl    MPK_PIN_COUNT(%rsi), %r10d
        cmpl    $1, %r10d
        jne     .Lseveral
        movl    $0, MPK_PIN_COUNT(%rsi)
        orl     $3, %eax
.Lgive_back:
        roll    %cl, %eax
        xorl    %ecx, %ecx
        xorl    %edx, %edx
        wrpkru
        trap_unless_closed
        cmpl    $0, (%r8)
        jne     vk_unpinned_wake
        xorl    %eax, %eax
        ret
.Lopen_first:
        andl    $~3, %eax
        roll    %cl, %eax
        xorl    %ecx, %ecx
        xorl    %edx, %edx
        wrpkru
        trap_unless_closed
        movl    %r9d, %ecx
        rorl    %cl, %eax
        jmp     .Lis_open
.Lseveral:
        subl    $1, %r10d
        jb      vk_pin_is_gone
        movq    MPK_PIN_BEFORE(%rsi), %rdx
        movl    %edx, %r11d
        andl    $3, %r11d
        orl     %r11d, %eax
        shrq    $2, %rdx
        movq    %rdx, MPK_PIN_BEFORE(%rsi)
        movl    %r10d, MPK_PIN_COUNT(%rsi)
        jmp     .Lgive_back
.Ltrap:
        ud2
        .cfi_endproc
        .size   mpk_rights_unpin, . - mpk_rights_unpin

#include "notes.h"
