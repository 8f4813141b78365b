/* lock.c - see lock.h. */
#include "lock.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What is held inside is held for some hundred cycles mostly. */
#define SPINS 100

/* Why it returned is not asked: errno lies outside. */
void word_wait(_Atomic uint32_t *word, uint32_t seen)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}

void word_wake(_Atomic uint32_t *word, int n)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0);
}

void word_wait_until(_Atomic uint32_t *word, uint32_t seen,
                     const struct timespec *most)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, most, NULL, 0);
}

void word_wait_as(_Atomic uint32_t *word, uint32_t seen, uint32_t who)
{
    syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, seen, NULL, NULL, who);
}

void word_wake_as(_Atomic uint32_t *word, int n, uint32_t who)
{
    syscall(SYS_futex, word, FUTEX_WAKE_BITSET_PRIVATE, n, NULL, NULL, who);
}

void lock_sleep(struct lock *lock)
{
    for (int i = 0; i < SPINS; i++) {
        if (atomic_load_explicit(&lock->word, memory_order_relaxed) == 0 &&
            lock_try(lock)) {
            return;
        }
        __builtin_ia32_pause();
    }
    while (atomic_exchange_explicit(&lock->word, 2, memory_order_acquire) !=
           0) {
        word_wait(&lock->word, 2);
    }
}
