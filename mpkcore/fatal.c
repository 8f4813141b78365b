/* fatal.c - the end of the process. */
#include "internal.h"

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
 * Says |text|, and sees to it that SIGABRT ends the process. A handler of the
 * program must not run: it could be on the domain stack, and it could longjmp
 * back into what is broken. So the kernel is asked directly.
 */
static void last_words(const char *text)
{
    static const char prefix[] = "mpk: fatal: ";
    struct kernel_sigaction dfl;
    unsigned long abrt = 1UL << (SIGABRT - 1);
    char line[256];
    size_t at = sizeof(prefix) - 1;

    memset(&dfl, 0, sizeof(dfl));
    /* In one piece: others write to the same log. */
    memcpy(line, prefix, at);
    while (*text != '\0' && at < sizeof(line) - 1) {
        line[at++] = *text++;
    }
    line[at++] = '\n';
    /* libc's is a cancellation point. If nobody can be told, the process ends
     * all the same. */
    syscall(SYS_write, STDERR_FILENO, line, at);
    syscall(SYS_rt_sigaction, SIGABRT, &dfl, NULL, sizeof(abrt));
    syscall(SYS_rt_sigprocmask, SIG_UNBLOCK, &abrt, NULL, sizeof(abrt));
}

_Noreturn void fatal_without_domain(void)
{
    static const char *const text[] = {
        [MPK_DEAD_CLONE] =
            "this process was forked without fork handlers (a raw clone): its "
            "domain and its page groups are its parent's",
        [MPK_DEAD_NO_COPY] =
            "this process was forked when there was no memory for a copy of "
            "the domain, and has none",
        [MPK_DEAD_NO_PLACE] =
            "this process has no domain: where that had to be another "
            "library's fork handler has got memory"};
    uint32_t dead = atomic_load(&mpk_out.dead);

    mpk_fatal(text[dead == MPK_DEAD_NO_COPY || dead == MPK_DEAD_NO_PLACE
                       ? dead
                       : MPK_DEAD_CLONE]);
}

_Noreturn void mpk_fatal(const char *text)
{
    last_words(text);
    /* The inside's getpid is for comparisons (tsd.c). */
    syscall(SYS_tgkill, syscall(SYS_getpid), syscall(SYS_gettid), SIGABRT);
    _exit(128 + SIGABRT);
}
