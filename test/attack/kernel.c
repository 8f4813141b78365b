/* kernel.c - attacks that have the kernel read, which heeds no protection key
 * but in system calls that copy from the caller's own address space. */
#include "attack.h"
#include "needles.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <unistd.h>

static unsigned char taken[NEEDLE_LEN];

static _Noreturn void took(ssize_t n)
{
    if (n < 0) {
        cell("refused: %s", strerror(errno));
    }
    cell(n == NEEDLE_LEN && needles_find(taken, sizeof(taken)) != NULL
             ? "**key read**"
             : "something else read");
}

static void by_write(void)
{
    int fds[2];
    ssize_t n;

    victim_ready();
    if (pipe(fds) != 0) {
        trouble("pipe");
    }
    n = write(fds[1], victim.target, NEEDLE_LEN);
    took(n < 0 ? n : read(fds[0], taken, sizeof(taken)));
}

static void by_process_vm_readv(void)
{
    struct iovec to = {taken, sizeof(taken)}, from = {NULL, sizeof(taken)};

    victim_ready();
    from.iov_base = victim.target;
    took(process_vm_readv(getpid(), &to, 1, &from, 1, 0));
}

static void by_proc_mem(void)
{
    int fd = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        trouble("/proc/self/mem");
    }
    victim_ready();
    took(pread(fd, taken, sizeof(taken), (off_t)(uintptr_t)victim.target));
}

/* The driver looks at the dump. */
static void by_core_dump(void)
{
    struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};

    victim_load();
    if (chdir(victim.dir) != 0 || setrlimit(RLIMIT_CORE, &all) != 0 ||
        prctl(PR_SET_DUMPABLE, 1) != 0) {
        trouble("core dumps");
    }
    abort();
}

#define FAULT "refused: Bad address"
#define IO_ERROR "refused: Input/output error"

const struct attack kernel_attacks[] = {
    {"write2", "`write(2)`", "has the key's address written to a pipe", KEYS,
     by_write, .want = {"**key read**", FAULT, FAULT}},
    {"vm_secret", "`process_vm_readv(2)`, secretmem",
     "has the kernel read the key's address, as a debugger or another process "
     "of the same user may",
     SECRETMEM, by_process_vm_readv, .want = {"**key read**", FAULT, FAULT}},
    {"vm_anonymous", "`process_vm_readv(2)`, `memory = anonymous`", "the same",
     ANONYMOUS, by_process_vm_readv,
     .want = {"**key read**", FAULT, "**key read**"}},
    {"mem_secret", "`/proc/self/mem`, secretmem",
     "reads the key's address through a file", SECRETMEM, by_proc_mem,
     .want = {"**key read**", IO_ERROR, IO_ERROR}},
    {"mem_anonymous", "`/proc/self/mem`, `memory = anonymous`", "the same",
     ANONYMOUS, by_proc_mem,
     .want = {"**key read**", "**key read**", "**key read**"}},
    {"core_secret", "core dump, secretmem", "searches the dump of the process",
     SECRETMEM, by_core_dump,
     .want = {"**key found**", "nothing found", "nothing found"},
     .dumps_core = true},
    {"core_anonymous", "core dump, `memory = anonymous`", "the same", ANONYMOUS,
     by_core_dump, .want = {"**key found**", "nothing found", "nothing found"},
     .dumps_core = true},
    {0},
};
