/* cpu.h - what this CPU has, asked directly. */
#ifndef MPKCORE_X86_64_CPU_H
#define MPKCORE_X86_64_CPU_H

#include "../layout.h"

#include <cpuid.h>
#include <stdint.h>
#include <sys/auxv.h>

/* The extended control register 0; the caller knows that OSXSAVE is set. */
static inline uint64_t cpu_xcr0(void)
{
    uint32_t lo, hi;

    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return (uint64_t)hi << 32 | lo;
}

/* The kernel has switched protection keys on (CPUID.7.0:ECX.OSPKE). */
static inline int cpu_has_ospke(void)
{
    uint32_t a, b, c, d;

    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (c & (1U << 4));
}

/* The rights of this thread; the CPU must have protection keys. */
static inline uint32_t cpu_pkru(void)
{
    uint32_t value;

    __asm__ volatile("rdpkru" : "=a"(value) : "c"(0) : "rdx");
    return value;
}

/*
 * Which stack this is: the register itself. A frame's address is in rbp, which
 * each function saves on that stack and takes back, and in a light entry others
 * can write there meanwhile.
 */
static inline uintptr_t cpu_stack_pointer(void)
{
    uintptr_t value;

    __asm__ volatile("movq %%rsp, %0" : "=r"(value));
    return value;
}

/* What names this thread (System V ABI, thread-local storage: the word at fs
 * holds its own address). It lies in memory that any thread can write. */
static inline uintptr_t cpu_thread_pointer(void)
{
    uintptr_t value;

    __asm__("movq %%fs:0, %0" : "=r"(value));
    return value;
}

/* Whether the kernel lets programs read the register itself (FSGSBASE; bit 1 of
 * AT_HWCAP2). */
static inline int cpu_may_read_fs(void)
{
    return (getauxval(AT_HWCAP2) >> 1 & 1) != 0;
}

/* The same as cpu_thread_pointer, but from the register, which no other thread
 * can write. Only where cpu_may_read_fs. */
static inline uintptr_t cpu_fs_base(void)
{
    uintptr_t value;

    __asm__ volatile("rdfsbase %0" : "=r"(value));
    return value;
}

/* Another register that only its thread can write, which nothing else goes by:
 * the base of gs. The same condition. */
static inline uintptr_t cpu_gs_base(void)
{
    uintptr_t value;

    __asm__ volatile("rdgsbase %0" : "=r"(value));
    return value;
}

static inline void cpu_set_gs_base(uintptr_t value)
{
    __asm__ volatile("wrgsbase %0" : : "r"(value));
}

/* The word |at| bytes from what fs is, which no other thread can change. */
static inline int cpu_fs_word(int64_t at)
{
    int value;

    __asm__ volatile("movl %%fs:(%1), %0" : "=r"(value) : "r"(at) : "memory");
    return value;
}

static inline void cpu_set_fs_word(int64_t at, int value)
{
    __asm__ volatile("movl %0, %%fs:(%1)" : : "r"(value), "r"(at) : "memory");
}

/* The same for an integer of any size, a constant |offset| further. What
 * CPU_FS_GET reads must not be written by other means in the same function. */
#define CPU_FS_GET(type, at, offset)                                           \
    ({                                                                         \
        type value_;                                                           \
        __asm__ volatile("mov %%fs:%c2(%1), %0"                                \
                         : "=r"(value_)                                        \
                         : "r"(at), "i"(offset));                              \
        value_;                                                                \
    })

#define CPU_FS_SET(type, at, offset, value)                                    \
    __asm__ volatile("mov %0, %%fs:%c2(%1)"                                    \
                     :                                                         \
                     : "r"((type)(value)), "r"(at), "i"(offset)                \
                     : "memory")

/* CPU_WORD_OF: the 32-bit word |offset| bytes into the hidden object |name|,
 * from memory and by the instruction pointer, so that a compiler has no address
 * to keep on a stack meanwhile. */
#define CPU_WORD_OF(name, offset)                                              \
    ({                                                                         \
        uint32_t word_;                                                        \
        __asm__ volatile("movl " #name "+%c1(%%rip), %0"                       \
                         : "=r"(word_)                                         \
                         : "i"(offset)                                         \
                         : "memory");                                          \
        word_;                                                                 \
    })

/* What was written at |p| stays written: a wipe is not left out because the
 * memory is not read again. No instruction. */
static inline void cpu_keep_writes(const void *p)
{
    __asm__ volatile("" : : "r"(p) : "memory");
}

/* Vector registers that exist and that the kernel switches: 1 AVX, 2 AVX-512,
 * 4 AVX2 (Intel SDM vol. 1, 14.3, 14.7.1 and 15.2). */
static inline uint32_t cpu_vectors(void)
{
    uint32_t a, b, c, d, found = 0;
    uint64_t xcr0;

    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE)) {
        return 0;
    }
    xcr0 = cpu_xcr0();
    if ((c & bit_AVX) && (xcr0 & 0x6) == 0x6) {
        found |= MPK_CPU_AVX;
    }
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
        return found;
    }
    if ((b & bit_AVX512F) && (xcr0 & 0xe6) == 0xe6) {
        found |= MPK_CPU_AVX512;
    }
    if ((b & bit_AVX2) && (found & MPK_CPU_AVX)) {
        found |= MPK_CPU_AVX2;
    }
    return found;
}

/* Whether valgrind runs us: what it takes for a request of its own, and a
 * processor for nothing (valgrind.h, RUNNING_ON_VALGRIND). */
static inline int cpu_is_valgrind(void)
{
    const uint64_t request[6] = {0x1001};
    uint64_t answer = 0;

    __asm__ volatile("rolq $3, %%rdi\n\trolq $13, %%rdi\n\t"
                     "rolq $61, %%rdi\n\trolq $51, %%rdi\n\t"
                     "xchgq %%rbx, %%rbx"
                     : "+d"(answer)
                     : "a"(request)
                     : "cc", "memory");
    return answer != 0;
}

#endif
