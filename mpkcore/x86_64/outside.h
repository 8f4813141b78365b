/*
 * outside.h - what the WRPKRU of rights.S and hit.S that code outside comes to
 * have in common: the look that follows each. For assembly.
 */

/*
 * What was written, in eax, has the domain and the groups of the inside closed,
 * or control goes to .Ltrap, a ud2 of the file. Before there is a domain with
 * keys nothing is due, and it goes there too. Changes ecx, edx and flags.
 */
        .macro  trap_unless_closed
        movl    mpk_ro+MPK_RO_CLOSED(%rip), %ecx
        testl   %ecx, %ecx
        je      .Ltrap
        movl    %eax, %edx
        andl    %ecx, %edx
        cmpl    %ecx, %edx
        jne     .Ltrap
        .endm
