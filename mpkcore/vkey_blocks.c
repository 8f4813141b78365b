/*
 * vkey_blocks.c - blocks of a page group. Inside.
 *
 * Three bits for each 64 bytes of the group, in the domain's heap: whether they
 * belong to a block, whether one ends there, and whether one begins there that
 * is somebody's. There is nothing in the group itself that could be
 * overwritten.
 *
 * Who takes and gives holds a lock of the caller's. Retiring a block, and
 * reviving one that was, needs none: its bits of the first two kinds stay as
 * they are, whatever happens to their neighbours.
 */
#include "vkey.h"

#include <mpkcore/heap.h>

#include <stdatomic.h>

struct vk_blocks {
    size_t grains;
    size_t from; /* where to look first */
    size_t end;  /* no block has been at this grain, or behind it */
    _Atomic uint64_t *taken;
    _Atomic uint64_t *last;
    _Atomic uint64_t *live; /* not given back yet: set at the first grain */
};

static inline uint64_t word(const _Atomic uint64_t *set, size_t at)
{
    return atomic_load_explicit(&set[at >> 6], memory_order_relaxed);
}

static inline int bit(const _Atomic uint64_t *set, size_t at)
{
    return (int)(word(set, at) >> (at & 63) & 1);
}

/* With the lock: nobody else changes these. */
static void bits_set(_Atomic uint64_t *set, size_t at, size_t n, int value)
{
    while (n > 0) {
        size_t here = 64 - (at & 63) < n ? 64 - (at & 63) : n;
        uint64_t mask = (here == 64 ? ~0ULL : (1ULL << here) - 1) << (at & 63);

        atomic_store_explicit(
            &set[at >> 6], value ? word(set, at) | mask : word(set, at) & ~mask,
            memory_order_relaxed);
        at += here;
        n -= here;
    }
}

/* Of two threads that end, or begin, the life of a block one gets 1. */
static int live_end(struct vk_blocks *b, size_t at)
{
    uint64_t mask = 1ULL << (at & 63);

    return (atomic_fetch_and_explicit(&b->live[at >> 6], ~mask,
                                      memory_order_acq_rel) &
            mask) != 0;
}

static int live_begin(struct vk_blocks *b, size_t at)
{
    uint64_t mask = 1ULL << (at & 63);

    return (atomic_fetch_or_explicit(&b->live[at >> 6], mask,
                                     memory_order_acq_rel) &
            mask) == 0;
}

static size_t words_for(size_t len)
{
    return (len / VK_GRAIN + 63) / 64;
}

size_t vk_blocks_size(size_t len)
{
    return sizeof(struct vk_blocks) + 3 * words_for(len) * sizeof(uint64_t);
}

struct vk_blocks *vk_blocks_new(size_t len)
{
    size_t words = words_for(len);
    struct vk_blocks *b = mpk_heap_alloc(vk_blocks_size(len));

    if (b != NULL) {
        b->grains = len / VK_GRAIN;
        b->taken = (_Atomic uint64_t *)(b + 1);
        b->last = b->taken + words;
        b->live = b->last + words;
    }
    return b;
}

void vk_blocks_free(struct vk_blocks *b)
{
    mpk_heap_free(b);
}

static void copy(_Atomic uint64_t *to, const _Atomic uint64_t *from, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        atomic_store_explicit(&to[i], word(from, i * 64), memory_order_relaxed);
    }
}

struct vk_blocks *vk_blocks_grow(struct vk_blocks *b, size_t len)
{
    struct vk_blocks *more = vk_blocks_new(len);

    if (more != NULL && b != NULL) {
        size_t words = words_for(vk_blocks_room(b));

        more->from = b->from;
        more->end = b->end;
        copy(more->taken, b->taken, words);
        copy(more->last, b->last, words);
        copy(more->live, b->live, words);
        vk_blocks_free(b);
    }
    return more;
}

size_t vk_blocks_room(const struct vk_blocks *b)
{
    return b->grains * VK_GRAIN;
}

/* Where |n| bits in a row begin that are set; |n| is below 64. */
static uint64_t runs(uint64_t bits, size_t n)
{
    size_t have = 1;

    while (have < n) {
        size_t more = n - have < have ? n - have : have;

        bits &= bits >> more;
        have += more;
    }
    return bits;
}

/* The first of |n| free grains in a row that begins at |from| or behind it, and
 * before |to|; or -1. By words, for others wait for the lock. */
static int64_t find(const struct vk_blocks *b, size_t from, size_t to, size_t n)
{
    uint64_t before = (1ULL << (from & 63)) - 1, begins;
    size_t have = 0; /* free ones at the end of what is behind us */

    for (size_t i = from & ~(size_t)63; i < b->grains && i - have < to;
         i += 64) {
        uint64_t taken = word(b->taken, i) | before;
        size_t free = taken != 0 ? (size_t)__builtin_ctzll(taken) : 64;

        before = 0;
        if (have + free >= n) {
            return (int64_t)(i - have);
        }
        if (taken == 0) {
            have += 64;
            continue;
        }
        begins = n < 64 ? runs(~taken, n) : 0;
        if (begins != 0) {
            return (int64_t)i + __builtin_ctzll(begins);
        }
        have = (size_t)__builtin_clzll(taken);
    }
    return -1;
}

int64_t vk_blocks_take(struct vk_blocks *b, size_t size)
{
    size_t n = vk_grains(size);
    int64_t at;

    if (n > b->grains) {
        return -1;
    }
    at = find(b, b->from, b->grains, n);
    if (at < 0) {
        at = find(b, 0, b->from, n);
    }
    if (at < 0) {
        return -1;
    }
    bits_set(b->taken, (size_t)at, n, 1);
    bits_set(b->last, (size_t)at + n - 1, 1, 1);
    live_begin(b, (size_t)at);
    b->from = (size_t)at + n;
    if (b->end < b->from) {
        b->end = b->from;
    }
    return at * VK_GRAIN;
}

size_t vk_blocks_end(const struct vk_blocks *b)
{
    return b->end * VK_GRAIN;
}

/* To the end of the block that starts at |at|. */
static size_t grains_from(const struct vk_blocks *b, size_t at)
{
    size_t end = at;
    uint64_t ends;

    while ((ends = word(b->last, end) >> (end & 63)) == 0) {
        end = (end | 63) + 1;
    }
    return end + (size_t)__builtin_ctzll(ends) + 1 - at;
}

/* Length of the block that starts at |at|, given back or not; 0 if none does.
 */
static size_t block_grains(const struct vk_blocks *b, size_t at)
{
    if (at >= b->grains || !bit(b->taken, at) ||
        (at > 0 && bit(b->taken, at - 1) && !bit(b->last, at - 1))) {
        return 0;
    }
    return grains_from(b, at);
}

size_t vk_blocks_len(const struct vk_blocks *b, size_t offset)
{
    size_t at = offset / VK_GRAIN, n = block_grains(b, at);

    return offset % VK_GRAIN == 0 && n != 0 && bit(b->live, at) ? n * VK_GRAIN
                                                                : 0;
}

/* Without the lock a neighbour's bits may be half written: that a block starts
 * here is known from its life. */
size_t vk_blocks_retire(struct vk_blocks *b, size_t offset)
{
    size_t at = offset / VK_GRAIN;

    return offset % VK_GRAIN == 0 && at < b->grains && live_end(b, at)
               ? grains_from(b, at) * VK_GRAIN
               : 0;
}

int vk_blocks_revive(struct vk_blocks *b, size_t offset)
{
    return live_begin(b, offset / VK_GRAIN);
}

size_t vk_blocks_give(struct vk_blocks *b, size_t offset)
{
    size_t at = offset / VK_GRAIN, n = block_grains(b, at);

    if (offset % VK_GRAIN != 0 || n == 0 || bit(b->live, at)) {
        return 0;
    }
    bits_set(b->taken, at, n, 0);
    bits_set(b->last, at + n - 1, 1, 0);
    if (at < b->from) {
        b->from = at;
    }
    return n * VK_GRAIN;
}
