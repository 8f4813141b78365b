/*
 * keyset.c - which cipher keys are handles.
 *
 * A set of the handles that the KDFs have given out and no cipher has taken,
 * of constant size: QUIC asks for keys that it never uses, and connections
 * break. Handles are as good as random, so their own bits choose the bucket,
 * and the oldest of a full one gives way.
 */
#include "secret.h"

#include <pthread.h>
#include <string.h>

#define BUCKETS 512
#define WAYS 16
/* Of a handle; 16 bytes of one under a cipher of its width are as good a name
 * as all. */
#define NAME 16

/* The youngest is first; a key of no length is a free place. */
struct bucket {
    unsigned char name[WAYS][NAME];
    unsigned char len[WAYS];
};

static struct bucket buckets[BUCKETS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct bucket *bucket_of(const unsigned char *handle)
{
    return &buckets[(handle[0] | handle[1] << 8) % BUCKETS];
}

/* The oldest goes, and the first place is to be filled. */
static void push(struct bucket *b)
{
    memmove(b->name[1], b->name[0], (WAYS - 1) * NAME);
    memmove(b->len + 1, b->len, WAYS - 1);
}

static void drop(struct bucket *b, int i)
{
    memmove(b->name[i], b->name[i + 1], (size_t)(WAYS - 1 - i) * NAME);
    memmove(b->len + i, b->len + i + 1, (size_t)(WAYS - 1 - i));
    b->len[WAYS - 1] = 0;
}

void key_give(unsigned char *p, size_t len)
{
    struct bucket *b;

    secret_seal(SECRET_KEY, p, len);
    b = bucket_of(p);
    pthread_mutex_lock(&lock);
    push(b);
    memcpy(b->name[0], p, NAME);
    b->len[0] = (unsigned char)len;
    pthread_mutex_unlock(&lock);
}

int key_take(unsigned char *p, size_t len)
{
    struct bucket *b;
    int i = 0;

    if (len < SECRET_MIN || len > SECRET_MAX) {
        return 0;
    }
    b = bucket_of(p);
    pthread_mutex_lock(&lock);
    while (i < WAYS && (b->len[i] != len || memcmp(b->name[i], p, NAME) != 0)) {
        i++;
    }
    if (i < WAYS) {
        drop(b, i);
    }
    pthread_mutex_unlock(&lock);
    if (i == WAYS) {
        return 0;
    }
    secret_open(SECRET_KEY, p, len);
    return 1;
}
