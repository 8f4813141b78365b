/*
 * keyset.c - which cipher keys are handles.
 *
 * A set of the handles that the KDFs have given out and no cipher has taken,
 * of limited size: QUIC asks for keys that it never uses, and connections
 * break. But for their mark, handles are as good as random, so their own bits
 * choose the bucket, and the oldest of a full one gives way. A process that has
 * few has one part of the set, with some places of each bucket; without memory
 * for more, keys are refused.
 *
 * The key stands with its handle, so that taking it needs no domain key: that
 * is done on the caller's stack, with signals open. So key_take waits for
 * nobody, calls nothing and keeps nothing on the stack: what lies there can be
 * changed by every thread (see gate.md).
 */
#include "secret.h"
#include "tls_kdf.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#define BUCKETS 512
#define PARTS 8
#define WAYS 2 /* of a bucket in each part */
#define PLACES (BUCKETS * WAYS * PARTS)
#define WORDS 4
#define COPIES 2 /* of one handle: a client and its server in one process */

_Static_assert(WORDS * 8 == KEY_LONGEST, "words");

/*
 * |given| is 0 for a free place, 1 for one that a thread has taken for itself,
 * which only that thread touches, and else when the key came, what it is for,
 * and how many words it has. No two keys came at the same time: while |given|
 * stays the same, so does the place.
 */
#define FREE 0
#define MINE 1
#define LEN_BITS 3
#define USE_BITS 2

static inline uint64_t came(uint64_t given)
{
    return given >> (USE_BITS + LEN_BITS);
}

static inline enum key_use use_of(uint64_t given)
{
    return (enum key_use)(given >> LEN_BITS & ((1 << USE_BITS) - 1));
}

struct place {
    _Atomic uint64_t given;
    _Atomic uint64_t handle[WORDS], key[WORDS];
};

struct part {
    struct place at[BUCKETS][WAYS];
    _Atomic(struct part *) next;
};

/* In the heap: the module's own data is closed with backend mpk only. */
static _Atomic(struct part *) first;

/* Of those who give; these are not on the caller's stack. */
static pthread_mutex_t giving = PTHREAD_MUTEX_INITIALIZER;
static uint64_t now;

static inline uint64_t get(const _Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

static inline void set(_Atomic uint64_t *word, uint64_t value)
{
    atomic_store_explicit(word, value, memory_order_relaxed);
}

static inline uint64_t word_at(const unsigned char *p, size_t i)
{
    uint64_t word;

    memcpy(&word, p + 8 * i, 8);
    return word;
}

static inline int is_key_len(size_t len)
{
    return len == 16 || len == KEY_LONGEST;
}

static inline size_t bucket_of(const unsigned char *handle)
{
    const unsigned char *p = handle + KEY_MARK;

    return (size_t)(p[0] | p[1] << 8) % BUCKETS;
}

static inline struct part *follow(const _Atomic(struct part *) *link)
{
    return atomic_load_explicit(link, memory_order_acquire);
}

/* Whether |at| has the handle at |p|, of |n| words; |*given| says since when.
 * That can be over when it returns, and claim() then fails. */
static inline int has(struct place *at, const unsigned char *p, size_t n,
                      uint64_t *given)
{
    *given = atomic_load_explicit(&at->given, memory_order_acquire);
    if (*given <= MINE || (*given & ((1 << LEN_BITS) - 1)) != n) {
        return 0;
    }
    return get(&at->handle[0]) == word_at(p, 0) &&
           get(&at->handle[1]) == word_at(p, 1) &&
           (n == 2 || (get(&at->handle[2]) == word_at(p, 2) &&
                       get(&at->handle[3]) == word_at(p, 3)));
}

static inline int claim(struct place *at, uint64_t given)
{
    return atomic_compare_exchange_strong_explicit(
        &at->given, &given, MINE, memory_order_acq_rel, memory_order_relaxed);
}

/* ---- giving -------------------------------------------------------------- */

/* One more part: 1; 0 if there are all, below 0 without memory for it. */
static int add_part(void)
{
    _Atomic(struct part *) *end = &first;
    struct part *part, *more;
    int n = 0;

    while ((part = follow(end)) != NULL) {
        end = &part->next;
        n++;
    }
    if (n == PARTS) {
        return 0;
    }
    more = mpk_heap_alloc(sizeof(*more));
    if (more == NULL) {
        return -1;
    }
    atomic_store(end, more);
    return 1;
}

/* The free place of |bucket|, or the one that was taken longest ago; |*since|
 * says when. NULL if threads have claimed them all, or there is none. */
static struct place *oldest_of(size_t bucket, uint64_t *since)
{
    struct place *oldest = NULL;

    *since = UINT64_MAX;
    for (struct part *part = follow(&first); part; part = follow(&part->next)) {
        for (int i = 0; i < WAYS; i++) {
            struct place *at = &part->at[bucket][i];
            uint64_t given =
                atomic_load_explicit(&at->given, memory_order_acquire);

            if (given != MINE && given < *since) {
                *since = given;
                oldest = at;
            }
        }
    }
    return oldest;
}

/*
 * The place for one more, which is made free. NULL if there is none, and no
 * memory for more: a key gives way without being asked for only when as many
 * have come since as there would be places for. Those that are refused count,
 * so that keys which nobody comes for do not keep the places for ever.
 */
static struct place *make_room(size_t bucket)
{
    for (;;) {
        uint64_t since;
        struct place *at = oldest_of(bucket, &since);
        int added = since != FREE ? add_part() : 0;

        if (added > 0) {
            continue;
        }
        if (added < 0 && at != NULL && now - came(since) < PLACES) {
            now++;
            return NULL;
        }
        if (at == NULL || claim(at, since)) {
            return at;
        }
    }
}

static void put(struct place *at, const unsigned char *handle,
                const unsigned char *key, size_t n, enum key_use use)
{
    for (size_t i = 0; i < n; i++) {
        set(&at->handle[i], word_at(handle, i));
        set(&at->key[i], word_at(key, i));
    }
    for (size_t i = n; i < WORDS; i++) {
        set(&at->key[i], 0); /* of the one that gave way */
    }
    atomic_store_explicit(&at->given,
                          (++now << USE_BITS | (unsigned)use) << LEN_BITS | n,
                          memory_order_release);
}

static int copies(const unsigned char *handle, size_t n)
{
    uint64_t given;
    int found = 0;

    for (struct part *part = follow(&first); part; part = follow(&part->next)) {
        for (int i = 0; i < WAYS; i++) {
            found += has(&part->at[bucket_of(handle)][i], handle, n, &given);
        }
    }
    return found;
}

/* Whether |call| has not given it before. */
static int note(struct keys_given *call, const unsigned char *handle,
                size_t len)
{
    for (uint32_t i = 0; i < call->n; i++) {
        if (call->len[i] == len && memcmp(call->handle[i], handle, len) == 0) {
            return 0;
        }
    }
    if (call->n == KEYS_PER_CALL) {
        mpk_fatal("a call gives more keys than there are derivations in it");
    }
    memcpy(call->handle[call->n], handle, len);
    call->len[call->n++] = (uint8_t)len;
    return 1;
}

/* Whether it waits there now. */
static int add(const unsigned char *handle, const unsigned char *key, size_t n,
               enum key_use use)
{
    struct place *at;
    int there;

    pthread_mutex_lock(&giving);
    there = copies(handle, n) == COPIES;
    at = there ? NULL : make_room(bucket_of(handle));
    if (at != NULL) {
        put(at, handle, key, n, use);
    }
    pthread_mutex_unlock(&giving);
    return there || at != NULL;
}

/* The mark, and what of the sealed key there is room for. The key itself stands
 * beside it. */
static void make_handle(unsigned char *p, size_t len)
{
    uint64_t mark = key_mark();

    secret_seal(SECRET_KEY, p, len);
    memmove(p + KEY_MARK, p, len - KEY_MARK);
    memcpy(p, &mark, KEY_MARK);
}

int key_give(struct keys_given *call, unsigned char *p, size_t len,
             enum key_use use)
{
    unsigned char key[KEY_LONGEST];
    int ok = 1;

    if (!is_key_len(len)) {
        mpk_fatal("a key has a length that no cipher of TLS has");
    }
    memcpy(key, p, len);
    make_handle(p, len);
    if (note(call, p, len) && !add(p, key, len / 8, use)) {
        call->n--; /* it was not given */
        ok = 0;
    }
    explicit_bzero(key, sizeof(key));
    return ok;
}

/* ---- taking -------------------------------------------------------------- */

/* Word by word: no call, and no vector registers. */
static inline void move_word(struct place *at, unsigned char *p, size_t i)
{
    uint64_t word = get(&at->key[i]);

    set(&at->key[i], 0);
    memcpy(p + 8 * i, &word, 8);
}

static inline void move_out(struct place *at, unsigned char *p, size_t n)
{
    move_word(at, p, 0);
    move_word(at, p, 1);
    if (n != 2) {
        move_word(at, p, 2);
        move_word(at, p, 3);
    }
    atomic_store_explicit(&at->given, FREE, memory_order_release);
}

/* Needs no register that would have to be saved first, and no stack: a function
 * for keyset_code_test to look at. The bucket is asked for at each place
 * because keeping it would take a register more. */
static __attribute__((noinline)) enum key_use take_kept(unsigned char *p,
                                                        size_t len)
{
    uint64_t given;

    for (struct part *part = follow(&first); part; part = follow(&part->next)) {
        struct place *at = part->at[bucket_of(p)];

        for (int left = WAYS; left > 0; left--, at++) {
            if (has(at, p, len / 8, &given) && claim(at, given)) {
                move_out(at, p, len / 8);
                return use_of(given);
            }
        }
    }
    return KEY_RAW;
}

/* |p| was on a stack that others can write. From here on it is in registers. */
enum key_use key_take(unsigned char *p, size_t len)
{
    uint64_t mark = key_mark();
    enum key_use use;

    if (!mpk_is_inside(p, len)) {
        mpk_fatal("a key was to be written outside the domain");
    }
    if (!is_key_len(len)) {
        return KEY_RAW;
    }
    use = take_kept(p, len);
    return use == KEY_RAW && word_at(p, 0) == mark ? KEY_GONE : use;
}
