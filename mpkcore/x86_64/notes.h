/* notes.h - the end of each file of assembly: what its object says of itself to
 * the linker. The stack needs not be executable, and branches and returns may be
 * guarded (x86-64 ABI, .note.gnu.property: IBT and SHSTK). */

        .section .note.GNU-stack, "", @progbits
        .section .note.gnu.property, "a"
        .balign 8
        .long   4, 16, 5
        .asciz  "GNU"
        .long   0xc0000002, 4, 3, 0
