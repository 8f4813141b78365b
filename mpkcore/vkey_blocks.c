/*
 * vkey_blocks.c - blocks of a page group. Inside.
 *
 * Two bits for each 64 bytes of the group, in the domain's heap: whether they
 * belong to a block, and whether one ends there. There is nothing in the group
 * itself that could be overwritten.
 */
#include "vkey.h"

#include <mpkcore/heap.h>

#include <string.h>

struct vk_blocks {
    size_t grains;
    size_t from; /* where to look first */
    uint64_t *taken;
    uint64_t *last;
    uint64_t *live; /* not given back yet: set at a block's first grain */
};

static int bit(const uint64_t *set, size_t at)
{
    return (int)(set[at >> 6] >> (at & 63) & 1);
}

static void bits_set(uint64_t *set, size_t at, size_t n, int value)
{
    for (size_t i = at; i < at + n; i++) {
        if (value) {
            set[i >> 6] |= 1ULL << (i & 63);
        } else {
            set[i >> 6] &= ~(1ULL << (i & 63));
        }
    }
}

struct vk_blocks *vk_blocks_new(size_t len)
{
    size_t words = (len / VK_GRAIN + 63) / 64;
    struct vk_blocks *b =
        mpk_heap_alloc(sizeof(*b) + 3 * words * sizeof(uint64_t));

    if (b != NULL) {
        b->grains = len / VK_GRAIN;
        b->taken = (uint64_t *)(b + 1);
        b->last = b->taken + words;
        b->live = b->last + words;
    }
    return b;
}

void vk_blocks_free(struct vk_blocks *b)
{
    mpk_heap_free(b);
}

/* The first of |n| free grains in a row in [from, to), or -1. */
static int64_t find(const struct vk_blocks *b, size_t from, size_t to, size_t n)
{
    size_t have = 0;

    for (size_t i = from; i < to; i++) {
        if ((i & 63) == 0 && b->taken[i >> 6] == ~0ULL) {
            have = 0;
            i += 63;
            continue;
        }
        have = bit(b->taken, i) ? 0 : have + 1;
        if (have == n) {
            return (int64_t)(i + 1 - n);
        }
    }
    return -1;
}

int64_t vk_blocks_take(struct vk_blocks *b, size_t size)
{
    size_t n = size <= VK_GRAIN ? 1 : (size - 1) / VK_GRAIN + 1;
    int64_t at;

    if (n > b->grains) {
        return -1;
    }
    at = find(b, b->from, b->grains, n);
    if (at < 0) {
        at = find(b, 0, b->grains, n);
    }
    if (at < 0) {
        return -1;
    }
    bits_set(b->taken, (size_t)at, n, 1);
    bits_set(b->last, (size_t)at + n - 1, 1, 1);
    bits_set(b->live, (size_t)at, 1, 1);
    b->from = (size_t)at + n;
    return at * VK_GRAIN;
}

/* Length of the block that starts at |at|, given back or not; 0 if none does.
 */
static size_t block_grains(const struct vk_blocks *b, size_t at)
{
    size_t end = at;

    if (at >= b->grains || !bit(b->taken, at) ||
        (at > 0 && bit(b->taken, at - 1) && !bit(b->last, at - 1))) {
        return 0;
    }
    while (!bit(b->last, end)) {
        end++;
    }
    return end + 1 - at;
}

size_t vk_blocks_len(const struct vk_blocks *b, size_t offset)
{
    size_t at = offset / VK_GRAIN, n = block_grains(b, at);

    return offset % VK_GRAIN == 0 && n != 0 && bit(b->live, at) ? n * VK_GRAIN
                                                                : 0;
}

size_t vk_blocks_retire(struct vk_blocks *b, size_t offset)
{
    size_t len = vk_blocks_len(b, offset);

    if (len != 0) {
        bits_set(b->live, offset / VK_GRAIN, 1, 0);
    }
    return len;
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
