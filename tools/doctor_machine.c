#include <cpuid.h>
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "doctor.h"

#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447 /* Linux 5.14 */
#endif

/* Intel SDM, CPUID leaf 7: ECX bits 3 (PKU) and 4 (OSPKE). */
#define CPUID_PKU (1u << 3)
#define CPUID_OSPKE (1u << 4)

/* As many as the hardware has, and one more than there can be. */
#define KEYS_MAX 17

/* README: what the domain starts with, twice for a fork, and room to grow. */
#define MEMLOCK_GOOD ((rlim_t)8 << 20)
#define FSIZE_GOOD ((rlim_t)8 << 20)

static bool wants_pku(const struct doctor *d)
{
    return strcasecmp(d->conf.backend, "mpk") == 0;
}

/* What is missing for backend = mpk matters only where it is asked for. */
static enum verdict unless_wanted(const struct doctor *d)
{
    return wants_pku(d) ? VERDICT_TODO : VERDICT_NOTE;
}

static void look_at_kernel(struct doctor *d)
{
    struct utsname name;

    if (uname(&name) == 0) {
        doctor_say(d, VERDICT_OK, "kernel", "%s %s", name.sysname,
                   name.release);
    }
}

static bool look_at_cpu(struct doctor *d)
{
    unsigned int a, b, c = 0, ignored;

    if (!__get_cpuid_count(7, 0, &a, &b, &c, &ignored) || !(c & CPUID_PKU)) {
        doctor_say(d, unless_wanted(d), "cpu", "no protection keys (PKU)%s",
                   wants_pku(d)
                       ? ": take another machine, switch them on in the "
                         "hypervisor, or ask for backend = mprotect"
                       : ", and none are asked for");
        return false;
    }
    if (!(c & CPUID_OSPKE)) {
        doctor_say(d, unless_wanted(d), "cpu",
                   "has protection keys and the kernel does not use them: "
                   "boot without \"nopku\", or take a kernel with "
                   "CONFIG_X86_INTEL_MEMORY_PROTECTION_KEYS");
        return false;
    }
    doctor_say(d, VERDICT_OK, "cpu",
               "has protection keys, and the kernel uses them");
    return true;
}

static void look_at_keys(struct doctor *d)
{
    int keys[KEYS_MAX];
    int len = 0;
    int err;

    while (len < KEYS_MAX && (keys[len] = pkey_alloc(0, 0)) >= 0) {
        len++;
    }
    err = errno;
    for (int i = 0; i < len; i++) {
        pkey_free(keys[i]);
    }
    if (len > 0) {
        doctor_say(d, VERDICT_OK, "protection keys", "%d free in a new process",
                   len);
    } else if (err == ENOSPC) {
        doctor_say(d, unless_wanted(d), "protection keys",
                   "none free: a preloaded library has taken them all");
    } else {
        doctor_say(d, unless_wanted(d), "protection keys",
                   "pkey_alloc fails: %s%s", strerror(err),
                   err == EPERM ? " (a seccomp filter? allow pkey_alloc, "
                                  "pkey_mprotect and pkey_free)"
                                : "");
    }
}

static bool wants_secretmem(const struct doctor *d)
{
    return strcasecmp(d->conf.memory, "secretmem") == 0;
}

static void look_at_secretmem(struct doctor *d)
{
    int fd = (int)syscall(SYS_memfd_secret, 0);
    int err = errno;
    bool wanted = wants_secretmem(d);
    struct rlimit files;

    if (fd >= 0) {
        close(fd);
    }
    if (getrlimit(RLIMIT_FSIZE, &files) == 0 && files.rlim_cur < FSIZE_GOOD) {
        doctor_say(d, wanted ? VERDICT_TODO : VERDICT_NOTE, "secretmem",
                   "the limit on the size of files, %llu KiB, is for secretmem "
                   "too: %s; raise it to 8 MiB or more (LimitFSIZE=)",
                   (unsigned long long)files.rlim_cur >> 10,
                   wanted ? "memory = secretmem is set, and there may be too "
                            "little"
                          : "part of the domain may be ordinary memory");
        return;
    }
    if (fd >= 0) {
        doctor_say(d, VERDICT_OK, "secretmem", "available");
        return;
    }
    doctor_say(d, wanted ? VERDICT_TODO : VERDICT_NOTE, "secretmem",
               "memfd_secret fails (%s): %s; boot with secretmem.enable=1, or "
               "allow the system call",
               strerror(err),
               wanted ? "and memory = secretmem is set, so all keys are refused"
                      : "the domain is ordinary locked memory, which root can "
                        "read");
}

/*
 * Whether secretmem counts for a user, as it is touched: then it can be mapped
 * with a limit of 0, and not touched. Kernels before autumn 2026 refuse to map
 * it, or let root have it.
 */
static bool secretmem_is_refused_when_touched(void)
{
    struct rlimit none = {0, 0};
    int fd = (int)syscall(SYS_memfd_secret, 0);
    void *page;

    if (fd < 0 || getrlimit(RLIMIT_MEMLOCK, &none) != 0) {
        return false;
    }
    none.rlim_cur = 0;
    page = setrlimit(RLIMIT_MEMLOCK, &none) == 0 && ftruncate(fd, 1) == 0
               ? mmap(NULL, 1, PROT_READ, MAP_SHARED, fd, 0)
               : MAP_FAILED;
    /* A system call fails where a load would end the process. */
    return page != MAP_FAILED && syscall(SYS_rt_sigprocmask, SIG_BLOCK, page,
                                         NULL, sizeof(uint64_t)) != 0;
}

bool doctor_tries(bool (*body)(void))
{
    static const struct rlimit none = {0, 0};
    const int yes = 1;
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        setrlimit(RLIMIT_CORE, &none);
        _exit(body() ? yes : 0);
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
           WEXITSTATUS(status) == yes;
}

static void look_at_memlock(struct doctor *d)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0) {
        return;
    }
    if (limit.rlim_cur == RLIM_INFINITY) {
        doctor_say(d, VERDICT_OK, "memory lock", "unlimited");
    } else if (limit.rlim_cur >= MEMLOCK_GOOD &&
               doctor_tries(secretmem_is_refused_when_touched)) {
        doctor_say(d, VERDICT_NOTE, "memory lock",
                   "%llu KiB for the secretmem of all processes of a user "
                   "together (this kernel): 2 MiB or more for each worker, or "
                   "LimitMEMLOCK=infinity",
                   (unsigned long long)limit.rlim_cur >> 10);
    } else if (limit.rlim_cur >= MEMLOCK_GOOD) {
        doctor_say(d, VERDICT_OK, "memory lock", "%llu KiB",
                   (unsigned long long)limit.rlim_cur >> 10);
    } else {
        doctor_say(d, VERDICT_TODO, "memory lock",
                   "%llu KiB: %s; raise it to 8 MiB or more (ulimit -l, "
                   "systemd LimitMEMLOCK=)",
                   (unsigned long long)limit.rlim_cur >> 10,
                   wants_secretmem(d)
                       ? "memory = secretmem is set, and keys are refused "
                         "where it is too little"
                       : "part of the domain may be readable for root or "
                         "swapped");
    }
}

void doctor_machine(struct doctor *d)
{
    look_at_kernel(d);
    if (look_at_cpu(d)) {
        look_at_keys(d);
    }
    look_at_secretmem(d);
    look_at_memlock(d);
}
