/*
 * keyset.c - which cipher keys are handles.
 *
 * A set of the handles that the KDFs have given out and no cipher has taken,
 * of constant size: QUIC asks for keys that it never uses, and connections
 * break. Handles are as good as random, so their own bits choose the bucket,
 * and the oldest of a full one gives way.
 *
 * The key stands with its handle, so that taking it needs no domain key: that
 * is done on the caller's stack, with signals open (see records.md).
 */
#include "secret.h"

#include <pthread.h>
#include <string.h>

#define BUCKETS 512
#define WAYS 16
#define LONGEST 32

/* The youngest is first; a key of no length is a free place. */
struct bucket {
    struct {
        unsigned char handle[LONGEST], key[LONGEST];
    } at[WAYS];
    unsigned char len[WAYS];
};

/* In the heap: the module's own data is closed with backend mpk only. */
static struct bucket *buckets;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct bucket *bucket_of(const unsigned char *handle)
{
    return &buckets[(handle[0] | handle[1] << 8) % BUCKETS];
}

/* The oldest goes, and the first place is to be filled. */
static void push(struct bucket *b)
{
    memmove(b->at + 1, b->at, (WAYS - 1) * sizeof(b->at[0]));
    memmove(b->len + 1, b->len, WAYS - 1);
}

static void drop(struct bucket *b, int i)
{
    memmove(b->at + i, b->at + i + 1,
            (size_t)(WAYS - 1 - i) * sizeof(b->at[0]));
    memmove(b->len + i, b->len + i + 1, (size_t)(WAYS - 1 - i));
    explicit_bzero(&b->at[WAYS - 1], sizeof(b->at[0]));
    b->len[WAYS - 1] = 0;
}

void key_give(unsigned char *p, size_t len)
{
    unsigned char key[LONGEST];
    struct bucket *b;

    if (len > sizeof(key)) {
        mpk_fatal("a key is too long for any cipher");
    }
    memcpy(key, p, len);
    secret_seal(SECRET_KEY, p, len);
    pthread_mutex_lock(&lock);
    if (buckets == NULL) {
        buckets = mpk_heap_alloc(BUCKETS * sizeof(*buckets));
    }
    /* Without memory no cipher will find it, and refuse. */
    if (buckets != NULL) {
        b = bucket_of(p);
        push(b);
        memcpy(b->at[0].handle, p, len);
        memcpy(b->at[0].key, key, len);
        b->len[0] = (unsigned char)len;
    }
    pthread_mutex_unlock(&lock);
    explicit_bzero(key, sizeof(key));
}

int key_take(unsigned char *p, size_t len)
{
    struct bucket *b;
    int i = 0;

    if (len < SECRET_MIN || len > LONGEST) {
        return 0;
    }
    pthread_mutex_lock(&lock);
    if (buckets == NULL) {
        pthread_mutex_unlock(&lock);
        return 0;
    }
    b = bucket_of(p);
    while (i < WAYS &&
           (b->len[i] != len || memcmp(b->at[i].handle, p, len) != 0)) {
        i++;
    }
    if (i < WAYS) {
        memcpy(p, b->at[i].key, len);
        drop(b, i);
    }
    pthread_mutex_unlock(&lock);
    return i < WAYS;
}
