/*
 * map_apart.c - of the files that map or tag memory the one for memory that is
 * a file, and has a descriptor until it is mapped.
 *
 * A descriptor is every thread's, and so is its number. One that is made to map
 * what has that number, by a write to where it keeps that of a file of its own,
 * has secretmem without the domain's key, or memory that is to stay as it is to
 * write to. So another thread opens these files, which has descriptors of its
 * own and is gone when this one goes on. (descriptor_test)
 */
#include "map_impl.h"
#include "x86_64/cpu.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_close_range
#define SYS_close_range 436 /* Linux 5.9 */
#endif
#ifndef CLOSE_RANGE_UNSHARE
#define CLOSE_RANGE_UNSHARE 2U
#endif
#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447 /* Linux 5.14 */
#endif
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 16 /* Linux 5.1 */
#endif
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U /* Linux 6.3; some allow none without */
#endif

/* What the other thread is to do. */
struct apart {
    /* For apart.S: 0 when it has done it, and when it has ended. */
    int at_work, there;
    int shares; /* this one's descriptors, to begin with */
    enum { SECRET, FIXED, VIEWS } what;
    char *at;         /* FIXED: where it is to be, */
    const char *from; /* and what it holds, which nobody writes any more */
    size_t len;
    const struct views *views;
    long done; /* what map_here says */
};

/* There was no other thread, or it was ended. No address and no error is this.
 */
#define UNSAID LONG_MIN

_Static_assert(offsetof(struct apart, at_work) == 0 &&
                   offsetof(struct apart, there) == 4,
               "apart.S");

/* x86_64/apart.S */
void mpk_apart(struct apart *job, uint32_t flags)
    __attribute__((visibility("hidden")));
void mpk_apart_run(struct apart *job) __attribute__((visibility("hidden")));

void map_close_fd(int fd)
{
    syscall(SYS_close, fd);
}

/* Of |len| bytes: ftruncate beyond is answered with a signal that ends the
 * process. */
static int is_within_file_limit(size_t len)
{
    struct rlimit limit;

    return getrlimit(RLIMIT_FSIZE, &limit) != 0 || len <= limit.rlim_cur;
}

/* ---- what is opened, by either thread ------------------------------------ */

/* The kernel, or a filter, has no secretmem at all. */
static int without_secretmem(int err)
{
    return err == -ENOSYS || err == -EPERM || err == -EACCES ? -ENODEV : err;
}

static int sized(int fd, size_t len)
{
    int err;

    if (fd < 0) {
        return map_failure();
    }
    if (ftruncate(fd, (off_t)len) != 0) {
        err = map_failure();
        map_close_fd(fd);
        return err;
    }
    return fd;
}

static long secret_here(size_t len)
{
    int fd = sized((int)syscall(SYS_memfd_secret, O_CLOEXEC), len), err;
    void *p;

    if (fd < 0) {
        return without_secretmem(fd);
    }
    p = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, 0);
    err = p == MAP_FAILED ? map_failure() : 0;
    map_close_fd(fd);
    return err != 0 ? err : (long)(uintptr_t)p;
}

int map_memory_file(const char *name, size_t len)
{
    int fd;

    if (!is_within_file_limit(len)) {
        return -EFBIG;
    }
    fd = (int)syscall(SYS_memfd_create, name, MFD_CLOEXEC | MFD_NOEXEC_SEAL);
    if (fd < 0) {
        fd = (int)syscall(SYS_memfd_create, name,
                          MFD_CLOEXEC | MFD_ALLOW_SEALING);
    }
    return sized(fd, len);
}

int map_no_more_writers(int fd)
{
    return syscall(SYS_fcntl, fd, F_ADD_SEALS,
                   F_SEAL_FUTURE_WRITE | F_SEAL_SHRINK | F_SEAL_GROW) == 0;
}

static int write_all(int fd, const char *p, size_t len)
{
    while (len > 0) {
        long n = syscall(SYS_write, fd, p, len);

        if (n <= 0) {
            return 0;
        }
        p += n;
        len -= (size_t)n;
    }
    return 1;
}

/*
 * Where it is opened here, another thread can have mapped the file; that
 * mapping could write for good. Since Linux 6.7 the kernel says whether there
 * is one that can. Before that it says so of any mapping, ours too. It says the
 * same of a page that something else holds for now (what moves pages, or has
 * looked at it), but only after it has waited for that 150 ms.
 */
static int has_other_writers(int fd)
{
    int has = mpk_ro.tells_writers;

    for (int i = 0; has && i < 8; i++) {
        has = syscall(SYS_fcntl, fd, F_ADD_SEALS, F_SEAL_WRITE) != 0;
    }
    return has;
}

/* 1, or 0 when there can be none. */
static int fixed_here(char *p, const char *from, size_t len)
{
    int fd = map_memory_file("mpk-fixed", len);
    int done = fd >= 0 && write_all(fd, from, len) && map_no_more_writers(fd) &&
               mmap(p, len, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0) == p;

    if (done && has_other_writers(fd)) {
        mpk_fatal("another thread has mapped what is to stay as it is");
    }
    if (fd >= 0) {
        map_close_fd(fd);
    }
    return done;
}

/* ---- by a thread of its own ---------------------------------------------- */

static long map_here(const struct apart *job)
{
    switch (job->what) {
    case SECRET:
        return secret_here(job->len);
    case FIXED:
        return fixed_here(job->at, job->from, job->len);
    case VIEWS:
        return map_views_here(job->views);
    }
    return -EINVAL;
}

/* A thread like any other, but that libc does not know it. */
#define FLAGS                                                                  \
    (CLONE_VM | CLONE_FS | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |      \
     CLONE_CHILD_CLEARTID)

/*
 * The kernel copies the first 64 in any case. Copies are closed when the thread
 * ends, which nobody waits for then for long: that may take a server of files.
 */
#define NOT_COPIED 64U

/*
 * By itself it has copies of all descriptors, which take the longer the more
 * there are, and hold open what others close. So, where the kernel has the call
 * and no filter of system calls may be against it, it has this one's until it
 * leaves them for a table of its own.
 */
void mpk_apart_run(struct apart *job)
{
    if (!job->shares ||
        syscall(SYS_close_range, NOT_COPIED, ~0U, CLOSE_RANGE_UNSHARE) == 0) {
        job->done = map_here(job);
    }
}

void map_apart_init(void)
{
    mpk_ro.goes_apart = !cpu_is_valgrind(); /* which knows no such thread */
    mpk_ro.leaves_files =
        map_may_ask() && syscall(SYS_close_range, ~0U, ~0U, 0U) == 0;
}

static void by_another_thread(struct apart *job, int shares)
{
    job->at_work = job->there = 1;
    job->shares = shares;
    mpk_apart(job, shares ? FLAGS | CLONE_FILES : FLAGS);
}

/*
 * A filter that came after the start may refuse what leaves the table, or end
 * who asks for it. Where no other thread has done it, this one does.
 */
static long map_apart(struct apart *job)
{
    uint64_t old;

    job->done = UNSAID;
    /* It runs on this stack. */
    if (mpk_ro.goes_apart && is_on_safe_stack()) {
        int shares = mpk_ro.leaves_files && map_may_ask();

        signals_block(&old);
        by_another_thread(job, shares);
        if (shares && job->done == UNSAID) {
            by_another_thread(job, 0);
        }
        signals_restore(&old);
    }
    return job->done != UNSAID ? job->done : map_here(job);
}

int map_secret_pages(char **p, size_t len)
{
    struct apart job = {.what = SECRET, .len = len};
    long at = is_within_file_limit(len) ? map_apart(&job) : -EFBIG;

    if (at < 0) {
        return (int)at;
    }
    *p = (char *)(uintptr_t)at;
    return 0;
}

int map_fixed(char *p, const char *from, size_t len)
{
    struct apart job = {.what = FIXED, .at = p, .from = from, .len = len};

    return map_apart(&job) > 0;
}

int map_views(const struct views *v)
{
    struct apart job = {.what = VIEWS, .views = v};

    return (int)map_apart(&job);
}
