/*
 * scan_victim PLACE: holds the bytes of its standard input at one place in its
 * memory and nowhere else, says "ready", and waits to be killed. It has no
 * libcrypto and no stdio, which would keep copies.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX 65536
#define MIB ((size_t)1 << 20)

static size_t fill(unsigned char *at)
{
    size_t len = 0;
    ssize_t n;

    while (len < MAX && (n = read(STDIN_FILENO, at + len, MAX - len)) > 0) {
        len += (size_t)n;
    }
    return len;
}

static unsigned char *map(size_t size, int fd)
{
    int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);

    if (at == MAP_FAILED) {
        _exit(1);
    }
    return at;
}

/* In a heap block of their own size; |lost| bytes of it are overwritten. */
static void hold_in_heap(size_t lost)
{
    unsigned char *at = malloc(MAX);
    size_t len;

    if (at == NULL) {
        _exit(1);
    }
    len = fill(at);
    explicit_bzero(at, lost < len ? lost : len);
}

/* Where malloc writes its own pointers over the beginning. */
static void hold_in_freed_heap(void)
{
    unsigned char *volatile at = malloc(128);
    unsigned char *volatile keep = malloc(128);

    if (at == NULL || keep == NULL || read(STDIN_FILENO, at, 128) != 128) {
        _exit(1);
    }
    free(at);
}

/* Half before and half after an address |offset| into a mapping. */
static unsigned char *hold_across(size_t offset)
{
    unsigned char *at = map(4 * MIB, -1);

    memset(at, 1, 4 * MIB); /* pages that were never touched are not read */
    (void)fill(at + offset - 40);
    return at;
}

static void hold_without_access(void)
{
    unsigned char *at = map(MAX, -1);

    (void)fill(at);
    mprotect(at, MAX, PROT_NONE);
}

static void hold_under_key(void)
{
    unsigned char *at = map(MAX, -1);
    int key = pkey_alloc(0, 0);

    if (key < 0) {
        _exit(77);
    }
    (void)fill(at);
    if (pkey_mprotect(at, MAX, PROT_READ | PROT_WRITE, key) != 0 ||
        pkey_set(key, PKEY_DISABLE_ACCESS) != 0) {
        _exit(1);
    }
}

static unsigned char *hold_in_secretmem(void)
{
    int fd = (int)syscall(SYS_memfd_secret, 0);
    unsigned char *at;

    if (fd < 0 || ftruncate(fd, MAX) != 0) {
        _exit(77);
    }
    at = map(MAX, fd);
    (void)fill(at);
    return at;
}

static unsigned char *flickers;

/* Open and shut by turns: a domain of backend mprotect that is in use. */
static void flicker(int unused)
{
    static int turns;

    (void)unused;
    if (++turns > 3000) { /* in place of main's alarm */
        _exit(1);
    }
    mprotect(flickers, MAX, turns % 2 == 0 ? PROT_READ : PROT_NONE);
}

static void hold_in_secretmem_at_times(void)
{
    const struct itimerval often = {{0, 40000}, {0, 40000}};

    flickers = hold_in_secretmem();
    signal(SIGALRM, flicker);
    setitimer(ITIMER_REAL, &often, NULL);
}

/* Shared memory of which one page is used. */
static void hold_in_sparse(void)
{
    void *at = mmap(NULL, 64 * MIB, PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (at == MAP_FAILED) {
        _exit(1);
    }
    (void)fill((unsigned char *)at + 40 * MIB);
}

/* In the first segment of a namespace, written by another process only. */
static void hold_in_first_segment(void)
{
    void *at;
    int id;

    if (unshare(CLONE_NEWIPC) != 0) {
        _exit(77);
    }
    id = shmget(IPC_PRIVATE, MIB, IPC_CREAT | 0600);
    at = id != 0 ? (void *)-1 : shmat(id, NULL, 0);
    if (at == (void *)-1 || shmctl(id, IPC_RMID, NULL) != 0) {
        _exit(1);
    }
    if (fork() == 0) {
        (void)fill(at);
        _exit(0);
    }
    (void)wait(NULL);
}

/* In a file whose name looks like that of the kernel's own pages. */
static void hold_in_file_like_vvar(void)
{
    int fd = memfd_create("x/[vvar", MFD_CLOEXEC);

    if (fd < 0 || ftruncate(fd, MAX) != 0) {
        _exit(1);
    }
    (void)fill(map(MAX, fd));
}

static void *hold_for_ever(void *unused)
{
    (void)unused;
    hold_in_heap(0);
    if (write(STDOUT_FILENO, "ready\n", 6) != 6) {
        _exit(1);
    }
    for (;;) {
        pause();
    }
}

/* With a thread that goes on when main has ended. */
static void hold_in_second_thread(void)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, hold_for_ever, NULL) != 0) {
        _exit(1);
    }
    pthread_exit(NULL);
}

static void dump_core(void)
{
    struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};

    hold_in_heap(0);
    setrlimit(RLIMIT_CORE, &all);
    abort();
}

static void hold(const char *place)
{
    if (strcmp(place, "heap") == 0) {
        hold_in_heap(0);
    } else if (strcmp(place, "heap-remainder") == 0) {
        hold_in_heap(24);
    } else if (strcmp(place, "heap-wiped") == 0) {
        hold_in_heap(MAX);
    } else if (strcmp(place, "heap-freed") == 0) {
        hold_in_freed_heap();
    } else if (strcmp(place, "block-edge") == 0) {
        (void)hold_across(MIB);
    } else if (strcmp(place, "mapping-edge") == 0) {
        mprotect(hold_across(MIB / 2), MIB / 2, PROT_READ);
    } else if (strcmp(place, "no-access") == 0) {
        hold_without_access();
    } else if (strcmp(place, "pkey") == 0) {
        hold_under_key();
    } else if (strcmp(place, "secretmem") == 0) {
        (void)hold_in_secretmem();
    } else if (strcmp(place, "secretmem-at-times") == 0) {
        hold_in_secretmem_at_times();
    } else if (strcmp(place, "sparse") == 0) {
        hold_in_sparse();
    } else if (strcmp(place, "second-thread") == 0) {
        hold_in_second_thread();
    } else if (strcmp(place, "first-segment") == 0) {
        hold_in_first_segment();
    } else if (strcmp(place, "file-like-vvar") == 0) {
        hold_in_file_like_vvar();
    } else if (strcmp(place, "core") == 0) {
        dump_core();
    } else {
        _exit(2);
    }
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        return 2;
    }
    alarm(120); /* if the test dies before it kills us */
    hold(argv[1]);
    if (write(STDOUT_FILENO, "ready\n", 6) != 6) {
        return 1;
    }
    for (;;) {
        pause();
    }
}
