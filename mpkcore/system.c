/*
 * system.c - in place of libc's functions for the system calls of the inside,
 * by the linker's --wrap: in the module, and in the library that is installed.
 *
 * libc's write why a call has failed to where a word of libc's data says that
 * errno is. That word is read-only, but libc has it made writable where words
 * that anybody can write say so, and from then on a failed call of the inside
 * writes a number wherever somebody likes (docs/design/gate.md). By such a word
 * clock_gettime goes to the function that it calls.
 */
#include "internal.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int __wrap_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_ftruncate(int fd, off_t len);
int __wrap_getrlimit(int resource, struct rlimit *limit);
int __wrap_madvise(void *p, size_t len, int advice);
int __wrap_mlock2(const void *p, size_t len, unsigned flags);
void *__wrap_mmap(void *p, size_t len, int prot, int flags, int fd, off_t at);
int __wrap_mprotect(void *p, size_t len, int prot);
int __wrap_munlock(const void *p, size_t len);
int __wrap_munmap(void *p, size_t len);
int __wrap_pkey_alloc(unsigned flags, unsigned rights);
int __wrap_pkey_free(int key);
int __wrap_pkey_mprotect(void *p, size_t len, int prot, int key);

/* What these are called with _FILE_OFFSET_BITS=64. */
int __wrap_ftruncate64(int fd, off_t len)
    __attribute__((alias("__wrap_ftruncate")));
int __wrap_getrlimit64(int resource, struct rlimit *limit)
    __attribute__((alias("__wrap_getrlimit")));
void *__wrap_mmap64(void *p, size_t len, int prot, int flags, int fd, off_t at)
    __attribute__((alias("__wrap_mmap")));

/* The kernel takes longs, and so does syscall. */
#define CALL(name, ...) syscall(SYS_##name, __VA_ARGS__)

/* In x86_64/system.S, for a call that has been refused. */
long mpk_refused(int negative);

long mpk_refused(int negative)
{
    set_last_errno(-negative);
    return -1;
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
    return (int)CALL(clock_gettime, (long)clock, now);
}

int __wrap_ftruncate(int fd, off_t len)
{
    return (int)CALL(ftruncate, (long)fd, len);
}

int __wrap_getrlimit(int resource, struct rlimit *limit)
{
    return (int)CALL(prlimit64, 0L, (long)resource, NULL, limit);
}

int __wrap_madvise(void *p, size_t len, int advice)
{
    return (int)CALL(madvise, p, len, (long)advice);
}

int __wrap_mlock2(const void *p, size_t len, unsigned flags)
{
    return (int)CALL(mlock2, p, len, (long)flags);
}

void *__wrap_mmap(void *p, size_t len, int prot, int flags, int fd, off_t at)
{
    return (void *)CALL(mmap, p, len, (long)prot, (long)flags, (long)fd, at);
}

int __wrap_mprotect(void *p, size_t len, int prot)
{
    return (int)CALL(mprotect, p, len, (long)prot);
}

int __wrap_munlock(const void *p, size_t len)
{
    return (int)CALL(munlock, p, len);
}

int __wrap_munmap(void *p, size_t len)
{
    return (int)CALL(munmap, p, len);
}

int __wrap_pkey_alloc(unsigned flags, unsigned rights)
{
    return (int)CALL(pkey_alloc, (long)flags, (long)rights);
}

int __wrap_pkey_free(int key)
{
    return (int)CALL(pkey_free, (long)key);
}

int __wrap_pkey_mprotect(void *p, size_t len, int prot, int key)
{
    return (int)CALL(pkey_mprotect, p, len, (long)prot, (long)key);
}
