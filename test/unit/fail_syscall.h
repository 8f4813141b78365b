/*
 * fail_syscall.h - a system call that fails from now on, in the thread that
 * asks for it and in those that it makes.
 */
#ifndef MPK_TEST_FAIL_SYSCALL_H
#define MPK_TEST_FAIL_SYSCALL_H

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_mseal
#define SYS_mseal 462 /* Linux 6.10 */
#endif

static inline bool fail_by(struct sock_filter *code, size_t n)
{
    struct sock_fprog program = {(unsigned short)n, code};

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* Call |nr| gets |answer|, all others are let pass. */
static inline bool answer_syscall(unsigned nr, unsigned answer)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, answer),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};

    return fail_by(code, sizeof(code) / sizeof(code[0]));
}

/* fail_syscall makes call |nr| fail with |error|. False when it cannot. */
static inline bool fail_syscall(unsigned nr, unsigned error)
{
    return answer_syscall(nr, SECCOMP_RET_ERRNO | error);
}

/* end_by_syscall makes call |nr| end the process. False when it cannot. */
static inline bool end_by_syscall(unsigned nr)
{
    return answer_syscall(nr, SECCOMP_RET_KILL_PROCESS);
}

/* The same for those calls only whose argument |i| has |value| in its lower
 * half. */
static inline bool fail_syscall_with(unsigned nr, unsigned i, unsigned value,
                                     unsigned error)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                 offsetof(struct seccomp_data, args) + i * 8),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};

    return fail_by(code, sizeof(code) / sizeof(code[0]));
}

/* fail_closing makes mprotect and pkey_mprotect fail with |error| where they
 * take all rights and argument |i| has |value| in its lower half. */
static inline bool fail_closing(unsigned i, unsigned value, unsigned error)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mprotect, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pkey_mprotect, 0, 5),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                 offsetof(struct seccomp_data, args) + i * 8),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                 offsetof(struct seccomp_data, args) + 2 * 8),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0 /* PROT_NONE */, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};

    return fail_by(code, sizeof(code) / sizeof(code[0]));
}

/* leave_unsealed: a domain that is made from now on has what it decides by in
 * memory that is read-only, and can be made writable again. */
static inline bool leave_unsealed(void)
{
    /* Where there is any filter, mappings are not sealed. */
    return fail_syscall(SYS_memfd_create, EPERM);
}

/* Whether the kernel seals mappings (mseal), and there is no filter yet. */
static inline bool can_seal_mappings(void)
{
    return prctl(PR_GET_SECCOMP) == 0 &&
           syscall(SYS_mseal, NULL, 0UL, 0UL) == 0;
}

/* leave_unheld: the same for the pages of the domain, and nothing else. */
static inline bool leave_unheld(void)
{
    return fail_syscall(SYS_mseal, EPERM);
}

#endif
