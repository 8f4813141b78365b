/*
 * nonce.c - numbers for the nonces of TLS 1.2, drawn before they are needed.
 *
 * A cipher that encrypts with GCM begins to count at a random number. The
 * random generator must not run on the caller's stack, where a record's cipher
 * runs (gate.md), so calls on a stack inside draw a few at a time, and a record
 * takes one of these.
 *
 * A number is given once: who takes it leaves zero, which is no number, in one
 * atomic exchange. And not in a child of fork, which has a copy: the pool is
 * that of one process, and empty for every other one until it has been filled
 * anew.
 */
#include "nonce.h"

#include <openssl/rand.h>

#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

struct pool {
    _Atomic pid_t owner; /* as the inside's getpid tells processes apart */
    _Atomic uint32_t next;
    _Atomic uint64_t number[NONCE_POOL]; /* 0: there is none here */
};

/* In the heap: the module's own data is closed with backend mpk only. */
static _Atomic(struct pool *) the_pool;

int nonce_take(unsigned char p[NONCE_LEN])
{
    struct pool *pool = atomic_load_explicit(&the_pool, memory_order_acquire);
    uint64_t number;
    uint32_t at;

    if (pool == NULL ||
        atomic_load_explicit(&pool->owner, memory_order_acquire) != getpid()) {
        return 0;
    }
    at = atomic_fetch_add_explicit(&pool->next, 1, memory_order_relaxed);
    for (uint32_t i = 0; i < NONCE_POOL; i++) {
        _Atomic uint64_t *place = &pool->number[(at + i) % NONCE_POOL];

        if (atomic_load_explicit(place, memory_order_relaxed) == 0) {
            continue;
        }
        number = atomic_exchange_explicit(place, 0, memory_order_relaxed);
        if (number != 0) {
            memcpy(p, &number, NONCE_LEN);
            return 1;
        }
    }
    return 0;
}

static struct pool *pool_here(void)
{
    struct pool *p = atomic_load(&the_pool), *none = NULL;

    if (p != NULL) {
        return p;
    }
    p = mpk_heap_alloc(sizeof(*p));
    if (p != NULL && !atomic_compare_exchange_strong(&the_pool, &none, p)) {
        mpk_heap_free(p);
        p = none;
    }
    return p;
}

/* What a parent has left is its own. Only then are its copies ours to fill. */
static void adopt(struct pool *p)
{
    if (atomic_load_explicit(&p->owner, memory_order_acquire) == getpid()) {
        return;
    }
    for (uint32_t i = 0; i < NONCE_POOL; i++) {
        atomic_store_explicit(&p->number[i], 0, memory_order_relaxed);
    }
    atomic_store_explicit(&p->owner, getpid(), memory_order_release);
}

static uint32_t count(const struct pool *p)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < NONCE_POOL; i++) {
        n += atomic_load_explicit(&p->number[i], memory_order_relaxed) != 0;
    }
    return n;
}

int nonce_fill(void)
{
    struct pool *p = pool_here();
    uint64_t fresh[NONCE_POOL], none;
    uint32_t have;
    int ok = 1;

    if (p == NULL) {
        return 0;
    }
    adopt(p);
    have = count(p);
    if (have >= NONCE_POOL / 2) {
        return 1;
    }
    ok = RAND_bytes((unsigned char *)fresh,
                    (int)((NONCE_POOL - have) * sizeof(fresh[0]))) > 0;
    for (uint32_t i = 0, n = NONCE_POOL - have; ok && i < NONCE_POOL && n > 0;
         i++) {
        none = 0;
        n -= atomic_compare_exchange_strong(&p->number[i], &none, fresh[n - 1]);
    }
    explicit_bzero(fresh, sizeof(fresh));
    return ok;
}
