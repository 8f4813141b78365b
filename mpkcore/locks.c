/*
 * locks.c - the locks of a library that lives inside, in place of libc's
 * (lock.h says why), by the linker's --wrap. They lie in the types that libc's
 * have, so that what is all zero is free. What the module has of these outside
 * is the same.
 */
#include "internal.h"
#include "lock.h"
#include "x86_64/cpu.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

/* ---- mutexes ------------------------------------------------------------ */

_Static_assert(sizeof(struct lock) <= sizeof(pthread_mutex_t), "fits");

int __wrap_pthread_mutex_init(pthread_mutex_t *m,
                              const pthread_mutexattr_t *attr);
int __wrap_pthread_mutex_destroy(pthread_mutex_t *m);
int __wrap_pthread_mutex_lock(pthread_mutex_t *m);
int __wrap_pthread_mutex_trylock(pthread_mutex_t *m);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *m);

static struct lock *lock_of(pthread_mutex_t *m)
{
    return (struct lock *)(void *)m;
}

int __wrap_pthread_mutex_init(pthread_mutex_t *m,
                              const pthread_mutexattr_t *attr)
{
    memset(m, 0, sizeof(*m));
    return attr == NULL ? 0 : ENOTSUP;
}

int __wrap_pthread_mutex_destroy(pthread_mutex_t *m)
{
    (void)m;
    return 0;
}

int __wrap_pthread_mutex_lock(pthread_mutex_t *m)
{
    lock_take(lock_of(m));
    return 0;
}

int __wrap_pthread_mutex_trylock(pthread_mutex_t *m)
{
    return lock_try(lock_of(m)) ? 0 : EBUSY;
}

int __wrap_pthread_mutex_unlock(pthread_mutex_t *m)
{
    lock_give(lock_of(m));
    return 0;
}

/* ---- conditions --------------------------------------------------------- */

struct condition {
    _Atomic uint32_t turns;
};

_Static_assert(sizeof(struct condition) <= sizeof(pthread_cond_t), "fits");

int __wrap_pthread_cond_init(pthread_cond_t *c, const pthread_condattr_t *attr);
int __wrap_pthread_cond_destroy(pthread_cond_t *c);
int __wrap_pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m);
int __wrap_pthread_cond_signal(pthread_cond_t *c);
int __wrap_pthread_cond_broadcast(pthread_cond_t *c);

static struct condition *condition_of(pthread_cond_t *c)
{
    return (struct condition *)(void *)c;
}

int __wrap_pthread_cond_init(pthread_cond_t *c, const pthread_condattr_t *attr)
{
    memset(c, 0, sizeof(*c));
    return attr == NULL ? 0 : ENOTSUP;
}

int __wrap_pthread_cond_destroy(pthread_cond_t *c)
{
    (void)c;
    return 0;
}

int __wrap_pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m)
{
    uint32_t seen = atomic_load(&condition_of(c)->turns);

    lock_give(lock_of(m));
    word_wait(&condition_of(c)->turns, seen);
    lock_take(lock_of(m));
    return 0;
}

static int turn(pthread_cond_t *c, int n)
{
    atomic_fetch_add(&condition_of(c)->turns, 1);
    word_wake(&condition_of(c)->turns, n);
    return 0;
}

int __wrap_pthread_cond_signal(pthread_cond_t *c)
{
    return turn(c, 1);
}

int __wrap_pthread_cond_broadcast(pthread_cond_t *c)
{
    return turn(c, INT_MAX);
}

/* ---- locks for readers and writers -------------------------------------- */

/*
 * As libc's: a reader waits for no writer that waits. All is in one word, so
 * that who gives the lock back does not touch it afterwards: the next one who
 * has it may be the last, and free it.
 */
struct readers {
    _Atomic uint32_t word; /* how many read, and the bits below */
};

#define RW_WRITER (1U << 31)
#define RW_SLEEPERS (1U << 30) /* while it is taken */
#define RW_MOST (RW_SLEEPERS - 1)

/* As whom a thread sleeps. */
#define RW_AS_READER 1U
#define RW_AS_WRITER 2U

_Static_assert(sizeof(struct readers) <= sizeof(pthread_rwlock_t), "fits");

int __wrap_pthread_rwlock_init(pthread_rwlock_t *l,
                               const pthread_rwlockattr_t *attr);
int __wrap_pthread_rwlock_destroy(pthread_rwlock_t *l);
int __wrap_pthread_rwlock_rdlock(pthread_rwlock_t *l);
int __wrap_pthread_rwlock_wrlock(pthread_rwlock_t *l);
int __wrap_pthread_rwlock_unlock(pthread_rwlock_t *l);

int __wrap_pthread_rwlock_init(pthread_rwlock_t *l,
                               const pthread_rwlockattr_t *attr)
{
    memset(l, 0, sizeof(*l));
    return attr == NULL ? 0 : ENOTSUP;
}

int __wrap_pthread_rwlock_destroy(pthread_rwlock_t *l)
{
    (void)l;
    return 0;
}

/*
 * Both return what they have seen instead, in |*now|. |slept| is RW_SLEEPERS
 * for who has slept: others may do so still. Of the writers only one was woken.
 */
static int read_try(struct readers *r, uint32_t *now, uint32_t slept)
{
    *now = atomic_load_explicit(&r->word, memory_order_relaxed);
    while (!(*now & RW_WRITER) && (*now & RW_MOST) < RW_MOST) {
        if (atomic_compare_exchange_weak_explicit(
                &r->word, now, (*now + 1) | slept, memory_order_acquire,
                memory_order_relaxed)) {
            return 1;
        }
    }
    return 0;
}

static int write_try(struct readers *r, uint32_t *now, uint32_t slept)
{
    *now = 0;
    return atomic_compare_exchange_strong_explicit(
        &r->word, now, RW_WRITER | slept, memory_order_acquire,
        memory_order_relaxed);
}

static int wait_for(struct readers *r, uint32_t who,
                    int (*try)(struct readers *r, uint32_t *now,
                               uint32_t slept))
{
    uint32_t now, slept = 0;

    while (!try(r, &now, slept)) {
        if ((now & RW_SLEEPERS) ||
            atomic_compare_exchange_strong_explicit(
                &r->word, &now, now | RW_SLEEPERS, memory_order_relaxed,
                memory_order_relaxed)) {
            word_wait_as(&r->word, now | RW_SLEEPERS, who);
            slept = RW_SLEEPERS;
        }
    }
    return 0;
}

int __wrap_pthread_rwlock_rdlock(pthread_rwlock_t *l)
{
    return wait_for((struct readers *)(void *)l, RW_AS_READER, read_try);
}

int __wrap_pthread_rwlock_wrlock(pthread_rwlock_t *l)
{
    return wait_for((struct readers *)(void *)l, RW_AS_WRITER, write_try);
}

/*
 * Who is woken and finds it taken says again that he sleeps. All writers at
 * once would find it taken but for one: on a machine with many CPUs a lock that
 * all threads write, as that of a shared RSA key, did little else.
 */
int __wrap_pthread_rwlock_unlock(pthread_rwlock_t *l)
{
    struct readers *r = (struct readers *)(void *)l;
    uint32_t now = atomic_load_explicit(&r->word, memory_order_relaxed), next;

    do {
        next = (now & RW_WRITER) ? 0 : now - 1;
        next = next == RW_SLEEPERS ? 0 : next;
    } while (!atomic_compare_exchange_weak_explicit(
        &r->word, &now, next, memory_order_release, memory_order_relaxed));
    if (next == 0 && (now & RW_SLEEPERS)) {
        word_wake_as(&r->word, 1, RW_AS_WRITER);
        word_wake_as(&r->word, INT_MAX, RW_AS_READER);
    }
    return 0;
}

/* ---- what is done once -------------------------------------------------- */

enum { ONCE_NOT_YET = PTHREAD_ONCE_INIT, ONCE_NOW, ONCE_DONE };

_Static_assert(sizeof(pthread_once_t) == sizeof(uint32_t) && ONCE_NOT_YET == 0,
               "a word, zero at first");

int __wrap_pthread_once(pthread_once_t *once, void (*init)(void));

/* libc's has the number of forks in it, from outside. Nobody is inside when a
 * process forks, so no child finds one begun. */
int __wrap_pthread_once(pthread_once_t *once, void (*init)(void))
{
    _Atomic uint32_t *word = (_Atomic uint32_t *)(void *)once;
    uint32_t now = atomic_load_explicit(word, memory_order_acquire);

    while (now != ONCE_DONE) {
        if (now == ONCE_NOT_YET &&
            atomic_compare_exchange_strong(word, &now, ONCE_NOW)) {
            init();
            atomic_store(word, ONCE_DONE);
            word_wake(word, INT_MAX);
            break;
        }
        if (now == ONCE_NOW) {
            word_wait(word, ONCE_NOW);
            now = atomic_load(word);
        }
    }
    return 0;
}

/* ---- which thread this is ----------------------------------------------- */

pthread_t __wrap_pthread_self(void);

/* To the code inside, a slot is a thread (tsd.c). What RSA's blinding is used
 * without a lock by is this number. */
pthread_t __wrap_pthread_self(void)
{
    struct mpk_slot *slot = mpk_slot_find();

    return slot != NULL ? (pthread_t)(uintptr_t)slot
                        : (pthread_t)cpu_thread_pointer();
}
