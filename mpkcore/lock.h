/*
 * lock.h - locks of the inside.
 *
 * libc's locks go by words of libc's: whether the process has one thread only
 * (then pthread_mutex_lock is no atomic operation), which thread this is (then
 * pthread_rwlock_wrlock refuses, and pthread_rwlock_unlock takes a reader for
 * the writer). Anybody can write these. All that a lock here goes by is in
 * itself. It is not recursive, and knows no owner.
 */
#ifndef MPKCORE_LOCK_H
#define MPKCORE_LOCK_H

#include <stdatomic.h>
#include <stdint.h>

struct timespec;

/* All zero is a free one. */
struct lock {
    _Atomic uint32_t word; /* 0 free, 1 taken, 2 taken and somebody sleeps */
};

/* lock.c: the way that meets somebody. */
void lock_sleep(struct lock *lock);
/* Sleeps while |*word| is |seen|, or not; and wakes |n| that do. By the system
 * call itself: libc's pthread_cond_wait is a cancellation point. Both sides. */
void word_wait(_Atomic uint32_t *word, uint32_t seen);
void word_wake(_Atomic uint32_t *word, int n);
/* Sleeps for |most| at most. */
void word_wait_until(_Atomic uint32_t *word, uint32_t seen,
                     const struct timespec *most);
/* The same as one of those, or of those, that |who| has a bit of. */
void word_wait_as(_Atomic uint32_t *word, uint32_t seen, uint32_t who);
void word_wake_as(_Atomic uint32_t *word, int n, uint32_t who);

static inline void lock_init(struct lock *lock)
{
    atomic_init(&lock->word, 0);
}

static inline int lock_try(struct lock *lock)
{
    uint32_t free = 0;

    return atomic_compare_exchange_strong_explicit(
        &lock->word, &free, 1, memory_order_acquire, memory_order_relaxed);
}

static inline void lock_take(struct lock *lock)
{
    if (!lock_try(lock)) {
        lock_sleep(lock);
    }
}

static inline void lock_give(struct lock *lock)
{
    if (atomic_exchange_explicit(&lock->word, 0, memory_order_release) == 2) {
        word_wake(&lock->word, 1);
    }
}

#endif
