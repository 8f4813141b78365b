/* trap_flag.h - a SIGTRAP after each instruction, from one call to the other.
 */
#ifndef TEST_TRAP_FLAG_H
#define TEST_TRAP_FLAG_H

#define TRAP_FLAG 0x100

/* The 128 bytes below rsp may be the compiler's. */
#define TRAP_FLAG_CHANGE(how, mask)                                            \
    __asm__ volatile("lea -128(%%rsp), %%rsp\n\t"                              \
                     "pushfq\n\t" how " %0, (%%rsp)\n\t"                       \
                     "popfq\n\t"                                               \
                     "lea 128(%%rsp), %%rsp"                                   \
                     :                                                         \
                     : "i"(mask)                                               \
                     : "memory", "cc")

static inline __attribute__((always_inline)) void set_trap_flag(void)
{
    TRAP_FLAG_CHANGE("orq", TRAP_FLAG);
}

static inline __attribute__((always_inline)) void clear_trap_flag(void)
{
    TRAP_FLAG_CHANGE("andq", ~TRAP_FLAG);
}

#endif
