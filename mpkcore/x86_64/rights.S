#include "../layout.h"
#include "outside.h"

/*
 * Rights of the calling thread to the protection keys of page groups.
 *
 * Invariant: each WRPKRU is followed at once by a look at what was written.
 * Whoever jumps straight to one, with a value of his own in eax, has no more
 * than he could have had by a call, or ends at ud2.
 */

        .text

/*
 * uint32_t mpk_rights_get(void);               PKRU as it is
 */
        .globl  mpk_rights_get
        .hidden mpk_rights_get
        .type   mpk_rights_get, @function
        .balign 16
mpk_rights_get:
        .cfi_startproc
        endbr64
        xorl    %ecx, %ecx
        rdpkru
        ret
        .cfi_endproc
        .size   mpk_rights_get, . - mpk_rights_get

/*
 * uint32_t mpk_rights_set(uint32_t clear, uint32_t set);       outside
 *
 *   In       edi = bits of PKRU to clear, esi = bits to set after that
 *   Out      eax = PKRU as it was
 *   Changes  ecx edx r8 and flags
 *
 * Whatever was written, the domain and the groups of the inside are closed
 * after it: their access-disable bits, in memory that is read-only since
 * start-up, must all be set. What a jump to the WRPKRU can open are groups
 * that anybody can open with mpk_begin. Before there is a domain with keys
 * nothing is due, and everything ends at ud2.
 */
        .globl  mpk_rights_set
        .hidden mpk_rights_set
        .type   mpk_rights_set, @function
        .balign 64
mpk_rights_set:
        .cfi_startproc
        endbr64
        xorl    %ecx, %ecx
        rdpkru
        movl    %eax, %r8d
        notl    %edi
        andl    %edi, %eax
        orl     %esi, %eax
        xorl    %edx, %edx
        wrpkru
        trap_unless_closed
        movl    %r8d, %eax
        ret
        .cfi_endproc
        .size   mpk_rights_set, . - mpk_rights_set

/*
 * uint32_t mpk_rights_inside(uint32_t clear, uint32_t set, uint64_t cookie);
 *
 *   In       as above; rdx = the number at mpk_ro.cookie, in the domain
 *   Out      eax = PKRU as it was
 *   Changes  ecx edx r8 r9 and flags
 *
 * Only who could read the domain before knows the number, and who could was
 * inside already. Whoever jumps to the WRPKRU from outside and opens the
 * domain does not have it and ends at ud2; who opens only a group faults at the
 * comparison, since that reads the domain.
 */
        .globl  mpk_rights_inside
        .hidden mpk_rights_inside
        .type   mpk_rights_inside, @function
        .balign 64
mpk_rights_inside:
        .cfi_startproc
        endbr64
        movq    %rdx, %r9               /* wrpkru needs edx */
        xorl    %ecx, %ecx
        rdpkru
        movl    %eax, %r8d
        notl    %edi
        andl    %edi, %eax
        orl     %esi, %eax
        xorl    %edx, %edx
        wrpkru
        movq    mpk_ro+MPK_RO_COOKIE(%rip), %rcx
        cmpq    (%rcx), %r9
        jne     .Ltrap
        xorl    %r9d, %r9d              /* it does not leave */
        movl    %r8d, %eax
        ret
.Ltrap:
        ud2
        .cfi_endproc
        .size   mpk_rights_inside, . - mpk_rights_inside

#include "notes.h"
