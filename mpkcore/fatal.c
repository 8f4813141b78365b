#include <mpkcore/core.h>

#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* As the kernel has it; glibc's is larger. */
struct kernel_sigaction {
    void (*handler)(int);
    unsigned long flags;
    void (*restorer)(void);
    unsigned long mask;
};

/*
 * A handler of the program must not run: it could be on the domain stack, and
 * it could longjmp back into what is broken. So the kernel is asked directly.
 */
_Noreturn void mpk_fatal(const char *text)
{
    static const char prefix[] = "mpk: fatal: ";
    struct kernel_sigaction dfl;
    unsigned long abrt = 1UL << (SIGABRT - 1);

    memset(&dfl, 0, sizeof(dfl));
    if (write(STDERR_FILENO, prefix, sizeof(prefix) - 1) < 0 ||
        write(STDERR_FILENO, text, strlen(text)) < 0 ||
        write(STDERR_FILENO, "\n", 1) < 0) {
        /* Nobody can be told; the process ends all the same. */
    }
    syscall(SYS_rt_sigaction, SIGABRT, &dfl, NULL, sizeof(abrt));
    syscall(SYS_rt_sigprocmask, SIG_UNBLOCK, &abrt, NULL, sizeof(abrt));
    syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGABRT);
    _exit(128 + SIGABRT);
}
