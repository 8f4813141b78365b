/*
 * Says whether this machine can run the tests of the gate: protection keys
 * that the CPU enforces, also on memory from memfd_secret. Exits 0 if so, 77
 * with the reason if a feature is absent, 1 if one is there and does not work.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FAULT_EXPECTED = 42, FAULT_OTHER = 43, LEN = 4096 };

static volatile int expected_key;

static void on_segv(int signo, siginfo_t *info, void *context)
{
    int is_pkuerr = info->si_code == SEGV_PKUERR;

    (void)signo;
    (void)context;
    _exit(is_pkuerr && (int)info->si_pkey == expected_key ? FAULT_EXPECTED
                                                          : FAULT_OTHER);
}

/* The child inherits the rights that are in force, as fork copies PKRU. */
static int read_exits_with(const volatile char *p)
{
    struct sigaction action = {.sa_sigaction = on_segv, .sa_flags = SA_SIGINFO};
    int status = 0;
    pid_t child = fork();

    if (child == 0) {
        sigaction(SIGSEGV, &action, NULL);
        (void)*p;
        _exit(0);
    }
    if (child < 0 || waitpid(child, &status, 0) != child) {
        return -1;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int key_guards(const char *name, char *p, int key)
{
    int open_exit, closed_exit;

    expected_key = key;
    if (p == MAP_FAILED ||
        pkey_mprotect(p, LEN, PROT_READ | PROT_WRITE, key) != 0) {
        printf("%s: mmap or pkey_mprotect: %s\n", name, strerror(errno));
        return 0;
    }
    if (pkey_set(key, 0) != 0) {
        return 0;
    }
    p[0] = 1;
    open_exit = read_exits_with(p);
    if (pkey_set(key, PKEY_DISABLE_ACCESS) != 0) {
        return 0;
    }
    closed_exit = read_exits_with(p);
    printf("%s, key %d: open read exits %d, closed read %d (want 0, %d)\n",
           name, key, open_exit, closed_exit, FAULT_EXPECTED);
    return open_exit == 0 && closed_exit == FAULT_EXPECTED;
}

int main(void)
{
    int prot = PROT_READ | PROT_WRITE;
    int key = pkey_alloc(0, PKEY_DISABLE_ACCESS);
    int fd = (int)syscall(SYS_memfd_secret, 0);
    int ok;

    setbuf(stdout, NULL); /* or the children print it too */
    if (key < 0) {
        printf("skip: no protection keys (pkey_alloc fails)\n");
        return 77;
    }
    if (fd < 0) {
        printf("skip: keys, but no memfd_secret: %s\n", strerror(errno));
        return 77;
    }
    ok = key_guards("anonymous",
                    mmap(NULL, LEN, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
                    key);
    ok &=
        ftruncate(fd, LEN) == 0 &&
        key_guards("secretmem", mmap(NULL, LEN, prot, MAP_SHARED, fd, 0), key);
    return ok ? 0 : 1;
}
