/*
 * draw.c - private random numbers, drawn ahead.
 *
 * An ephemeral key or a nonce takes some 32 bytes. The inner OpenSSL's
 * generator makes them with a new AES key for each request, through many
 * layers, whose code has left the CPU's caches when the next handshake comes to
 * it. So a slot draws a block of them and hands it out piece by piece. The
 * calls of the inner OpenSSL's objects come here by the linker's --wrap; public
 * random numbers have a generator of their own, and do not.
 *
 * A byte is given once: it is wiped as it goes, and nobody but the slot has it.
 * And not in a child of fork, which has a copy: a block is that of the process
 * that has drawn it. Nor long after: a machine that goes on from a snapshot
 * taken hours ago, perhaps twice, finds a generator that seeds itself anew, and
 * not what it made before.
 */
#include "draw.h"

#include "inside.h"

#include <pthread.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct drawn {
    pid_t owner; /* as the inside's getpid tells processes apart */
    uint32_t left;
    time_t when;
    unsigned char byte[DRAW_BLOCK];
};

/* To the inside a slot is a thread (tsd.c). */
static pthread_key_t key;

int draw_boot(void)
{
    return pthread_key_create(&key, NULL) == 0;
}

/* The slot's block, or NULL when there is no memory for one. */
static struct drawn *drawn_here(void)
{
    struct drawn *d = pthread_getspecific(key);

    if (d != NULL) {
        return d;
    }
    d = mpk_heap_alloc(sizeof(*d));
    if (d != NULL) {
        d->left = 0;
        if (pthread_setspecific(key, d) != 0) {
            mpk_heap_free(d);
            d = NULL;
        }
    }
    return d;
}

static int is_fresh(const struct drawn *d, pid_t self, time_t now)
{
    return d->owner == self && now >= d->when && now - d->when < DRAW_SECONDS;
}

/* Whether |d| has |n| bytes, which are drawn now if need be. */
static int has(struct drawn *d, size_t n)
{
    pid_t self = getpid();
    time_t now = time(NULL);

    if (d->left >= n && is_fresh(d, self, now)) {
        return 1;
    }
    d->left = 0;
    if (__real_RAND_priv_bytes_ex(NULL, d->byte, DRAW_BLOCK, 0) != 1) {
        return 0;
    }
    d->owner = self;
    d->when = now;
    d->left = DRAW_BLOCK;
    return 1;
}

/* There is one library context inside. */
int __wrap_RAND_priv_bytes_ex(OSSL_LIB_CTX *libctx, unsigned char *p, size_t n,
                              unsigned int strength)
{
    struct drawn *d = n <= DRAW_MOST ? drawn_here() : NULL;

    if (d == NULL || strength > DRAW_STRENGTH || !has(d, n)) {
        return __real_RAND_priv_bytes_ex(libctx, p, n, strength);
    }
    d->left -= (uint32_t)n;
    memcpy(p, d->byte + d->left, n);
    explicit_bzero(d->byte + d->left, n);
    return 1;
}
