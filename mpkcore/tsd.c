/*
 * tsd.c - what code that lives inside has in place of libc's functions:
 * thread-specific data, random numbers, the number of the process.
 *
 * libc keeps such pointers in memory that anybody can write, and runs their
 * destructors when a thread ends, outside the gate (seen: SEGV_PKUERR in a
 * destructor of the inner library under __nptl_deallocate_tsd). So a library
 * that is linked into the domain gets these functions in place of libc's, by
 * the linker's --wrap. To the code inside, a slot is a thread: it is the only
 * one to run on it from entry to exit. Slots never end, so nothing is ever
 * destroyed and a destructor is not called.
 */
#include "internal.h"

#include <errno.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

int __wrap_pthread_key_create(pthread_key_t *key, void (*destructor)(void *));
int __wrap_pthread_key_delete(pthread_key_t key);
void *__wrap_pthread_getspecific(pthread_key_t key);
int __wrap_pthread_setspecific(pthread_key_t key, const void *value);

static struct mpk_slot *only_inside(void)
{
    struct mpk_slot *slot = mpk_slot_find();

    if (slot == NULL) {
        mpk_fatal("the inner library ran outside the domain");
    }
    return slot;
}

int __wrap_pthread_key_create(pthread_key_t *key, void (*destructor)(void *))
{
    uint32_t index;

    (void)destructor;
    only_inside();
    index = atomic_fetch_add(&mpk_ro.domain->tsd_next, 1);
    if (index >= MPK_TSD_KEYS) {
        return EAGAIN;
    }
    *key = index;
    return 0;
}

int __wrap_pthread_key_delete(pthread_key_t key)
{
    /* Numbers are not used again: a few keys are made, once. */
    (void)key;
    return 0;
}

void *__wrap_pthread_getspecific(pthread_key_t key)
{
    struct mpk_slot *slot = only_inside();

    return key < MPK_TSD_KEYS ? slot->tsd[key] : NULL;
}

int __wrap_pthread_setspecific(pthread_key_t key, const void *value)
{
    struct mpk_slot *slot = only_inside();

    if (key >= MPK_TSD_KEYS) {
        return EINVAL;
    }
    slot->tsd[key] = (void *)value;
    return 0;
}

pid_t __wrap_getpid(void);

/*
 * Each random number that the inner library makes asks whether this is a forked
 * child, by a system call. A child does not come inside before its fork handler
 * has (the state is "dead" then, and the call ends the process), so what this
 * handler has counted is right.
 *
 * It is for comparisons only, with what was noted here or by a process that
 * this one descends from: how many forks lie between it and the one that made
 * the domain tells these apart. Their own numbers would not: each can be number
 * 1, in a namespace of its own, or come again.
 */
pid_t __wrap_getpid(void)
{
    return mpk_slot_find() != NULL ? (pid_t)(mpk_forks() + 1)
                                   : (pid_t)syscall(SYS_getpid);
}

int __wrap_getentropy(void *p, size_t len);
ssize_t __wrap_getrandom(void *p, size_t len, unsigned flags);

/*
 * Random numbers for the inside come from the kernel itself: newer libcs keep
 * a generator's state and unused bytes in ordinary memory.
 */
ssize_t __wrap_getrandom(void *p, size_t len, unsigned flags)
{
    return syscall(SYS_getrandom, p, len, flags);
}

int __wrap_getentropy(void *p, size_t len)
{
    ssize_t n;

    if (len > 256) {
        return -1;
    }
    do {
        n = __wrap_getrandom(p, len, 0);
    } while (n < 0 && last_errno() == EINTR);
    return n == (ssize_t)len ? 0 : -1;
}
