/*
 * heap.c - blocks of the domain heap: size classes, caches, checks.
 *
 * A block's last 8 bytes are a canary that depends on its address. Whether a
 * block is the program's is a bit outside the block, flipped atomically, so
 * that the second of two frees sees it, in whatever thread.
 */
#include "group.h"

#include <mpkcore/heap.h>

#include <stdint.h>
#include <string.h>

static const uint16_t class_size[HEAP_CLASSES] = {
    32,   48,   64,   80,   96,   112,  128,  160,  192,
    224,  256,  320,  384,  448,  512,  640,  768,  896,
    1024, 1280, 1536, 1792, 2048, 2560, 3072, 3584, 4096,
};

static struct heap *heap(void)
{
    return &mpk_ro.domain->heap;
}

static uint32_t class_of(size_t bytes)
{
    uint32_t shift;

    if (bytes <= 128) {
        return bytes <= HEAP_MIN ? 0 : (uint32_t)(bytes - 1) / 16 - 1;
    }
    /* Four classes for each doubling. */
    shift = 63 - (uint32_t)__builtin_clzll(bytes - 1);
    return 7 + (shift - 7) * 4 + (uint32_t)((bytes - 1) >> (shift - 2) & 3);
}

static uint64_t canary_for(const void *block)
{
    return heap()->cookie ^
           ((uint64_t)(uintptr_t)block * 0x9e3779b97f4a7c15ULL);
}

static void canary_set(char *block, size_t size)
{
    uint64_t canary = canary_for(block);

    memcpy(block + size - HEAP_CANARY, &canary, HEAP_CANARY);
}

static void canary_check(const char *block, size_t size)
{
    uint64_t canary = canary_for(block);

    if (memcmp(block + size - HEAP_CANARY, &canary, HEAP_CANARY) != 0) {
        mpk_fatal("a block of the domain heap was written past its end");
    }
}

/* Marks |block| as the program's or not; returns what it was before. */
static int live_swap(struct heap_span *span, uint32_t index, int live)
{
    uint64_t bit = 1ULL << (index & 63);
    uint64_t old = live ? atomic_fetch_or(&span->live[index >> 6], bit)
                        : atomic_fetch_and(&span->live[index >> 6], ~bit);

    return (old & bit) != 0;
}

/* ---- small blocks ------------------------------------------------------- */

static void list_add(struct heap_arena *arena, struct heap_span *span)
{
    span->prev = NULL;
    span->next = arena->partial[span->cls];
    if (span->next != NULL) {
        span->next->prev = span;
    }
    arena->partial[span->cls] = span;
    span->in_list = 1;
}

static void list_remove(struct heap_arena *arena, struct heap_span *span)
{
    if (span->prev != NULL) {
        span->prev->next = span->next;
    } else {
        arena->partial[span->cls] = span->next;
    }
    if (span->next != NULL) {
        span->next->prev = span->prev;
    }
    span->in_list = 0;
}

static uint32_t blocks_in_span(uint32_t cls)
{
    return HEAP_SPAN / class_size[cls];
}

static struct heap_span *arena_span(uint32_t arena_index, uint32_t cls)
{
    struct heap_arena *arena = &heap()->arena[arena_index];
    struct heap_span *span = arena->partial[cls];

    if (span != NULL) {
        return span;
    }
    span = span_alloc(heap(), 1);
    if (span != NULL) {
        span->state = SPAN_SMALL;
        span->cls = (uint8_t)cls;
        span->arena = (uint8_t)arena_index;
        list_add(arena, span);
    }
    return span;
}

/* Takes one block of a span that has one. */
static void *span_take(struct heap_arena *arena, struct heap_span *span)
{
    uint32_t n = blocks_in_span(span->cls);

    for (uint32_t w = 0; w < HEAP_WORDS; w++) {
        uint32_t index;

        if (span->taken[w] == ~0ULL) {
            continue;
        }
        index = w * 64 + (uint32_t)__builtin_ctzll(~span->taken[w]);
        if (index >= n) {
            break;
        }
        span->taken[w] |= 1ULL << (index & 63);
        if (++span->used == n) {
            list_remove(arena, span);
        }
        return span_start(span) + (size_t)index * class_size[span->cls];
    }
    mpk_fatal("the domain heap's metadata is damaged");
}

/* Gives a block back to its span; the arena lock is held. */
static void span_give(struct heap_arena *arena, struct heap_span *span,
                      uint32_t index)
{
    span->taken[index >> 6] &= ~(1ULL << (index & 63));
    span->used--;
    if (!span->in_list) {
        list_add(arena, span);
    }
    if (span->used == 0 && (span->next != NULL || span->prev != NULL)) {
        list_remove(arena, span);
        span_release(heap(), span);
    }
}

static void cache_fill(struct heap_cache *cache, uint32_t arena_index,
                       uint32_t cls)
{
    struct heap_arena *arena = &heap()->arena[arena_index];

    pthread_mutex_lock(&arena->lock);
    while (cache->n[cls] < HEAP_CACHE / 2) {
        struct heap_span *span = arena_span(arena_index, cls);

        if (span == NULL) {
            break;
        }
        cache->block[cls][cache->n[cls]++] = span_take(arena, span);
    }
    pthread_mutex_unlock(&arena->lock);
}

static uint32_t index_in_span(const struct heap_span *span, const char *p)
{
    return (uint32_t)((size_t)(p - span_start(span)) / class_size[span->cls]);
}

static void cache_drain(struct heap_cache *cache, uint32_t cls)
{
    while (cache->n[cls] > HEAP_CACHE / 2) {
        char *p = cache->block[cls][--cache->n[cls]];
        struct heap_span *span = span_of(heap(), p);
        struct heap_arena *arena = &heap()->arena[span->arena];

        pthread_mutex_lock(&arena->lock);
        span_give(arena, span, index_in_span(span, p));
        pthread_mutex_unlock(&arena->lock);
    }
}

static void *small_alloc(uint32_t cls)
{
    struct mpk_slot *slot = mpk_slot_self();
    struct heap_cache *cache = &slot->cache;
    struct heap_span *span;
    char *p;

    if (cache->n[cls] == 0) {
        cache_fill(cache, slot_index(slot) % HEAP_ARENAS, cls);
        if (cache->n[cls] == 0) {
            return NULL;
        }
    }
    p = cache->block[cls][--cache->n[cls]];
    span = span_of(heap(), p);
    if (live_swap(span, index_in_span(span, p), 1)) {
        mpk_fatal("the domain heap's metadata is damaged");
    }
    canary_set(p, class_size[cls]);
    return p;
}

static void small_free(struct heap_span *span, char *p)
{
    struct heap_cache *cache = &mpk_slot_self()->cache;
    uint32_t cls = span->cls;

    if (!live_swap(span, index_in_span(span, p), 0)) {
        mpk_fatal("double free in the domain heap");
    }
    canary_check(p, class_size[cls]);
    explicit_bzero(p, class_size[cls]);
    if (cache->n[cls] == HEAP_CACHE) {
        cache_drain(cache, cls);
    }
    cache->block[cls][cache->n[cls]++] = p;
}

/* ---- blocks of any size
 * ------------------------------------------------------ */

static void *large_alloc(size_t size)
{
    size_t spans = (size + HEAP_SPAN - 1) / HEAP_SPAN;
    struct heap_span *span;
    char *p;

    if (spans > HEAP_SPANS - 1) {
        p = huge_alloc(heap(), size);
        if (p != NULL) {
            canary_set(p, huge_len(heap(), p));
        }
        return p;
    }
    span = span_alloc(heap(), (uint32_t)spans);
    if (span == NULL) {
        return NULL;
    }
    live_swap(span, 0, 1);
    p = span_start(span);
    canary_set(p, spans * HEAP_SPAN);
    return p;
}

/* Where |p| is a block's start: its size, and its span unless it is huge. */
static size_t block_size(const char *p, struct heap_span **out)
{
    struct heap_span *span = span_of(heap(), p);
    size_t offset;

    *out = span;
    if (span == NULL) {
        return huge_len(heap(), p);
    }
    offset = (size_t)(p - span_start(span));
    if (span->state == SPAN_SMALL && offset % class_size[span->cls] == 0 &&
        offset / class_size[span->cls] < blocks_in_span(span->cls)) {
        return class_size[span->cls];
    }
    if (span->state == SPAN_LARGE && offset == 0) {
        return (size_t)span->run * HEAP_SPAN;
    }
    return 0;
}

void *mpk_heap_alloc(size_t size)
{
    uint64_t group = mpk_slot_self()->use;
    size_t bytes;
    void *p;

    if (group != 0) {
        return group_alloc(group, size);
    }
    if (__builtin_add_overflow(size, HEAP_CANARY, &bytes) ||
        bytes > MPK_HEAP_RESERVE) {
        return NULL;
    }
    p = bytes <= HEAP_SMALL_MAX ? small_alloc(class_of(bytes))
                                : large_alloc(bytes);
    if (p != NULL) {
        atomic_fetch_add_explicit(&heap()->live_blocks, 1,
                                  memory_order_relaxed);
    }
    return p;
}

void mpk_heap_free(void *p)
{
    struct heap_span *span;
    size_t size;

    if (p == NULL) {
        return;
    }
    if (group_owns(p)) {
        group_block_free(p);
        return;
    }
    size = block_size(p, &span);
    if (size == 0) {
        mpk_fatal("free of a pointer that is no block of the domain heap");
    }
    if (span != NULL && span->state == SPAN_SMALL) {
        small_free(span, p);
    } else {
        if (span != NULL ? !live_swap(span, 0, 0) : !huge_retire(heap(), p)) {
            mpk_fatal("double free in the domain heap");
        }
        canary_check(p, size);
        explicit_bzero(p, size);
        if (span != NULL) {
            span_release(heap(), span);
        } else {
            huge_release(heap(), p);
        }
    }
    atomic_fetch_sub_explicit(&heap()->live_blocks, 1, memory_order_relaxed);
}

size_t mpk_heap_usable(const void *p)
{
    struct heap_span *span;
    size_t size;

    if (group_owns(p)) {
        size = group_block_len(p);
        if (size == 0) {
            mpk_fatal("size of a pointer that is no block of a page group");
        }
        return size;
    }
    size = block_size(p, &span);
    if (size == 0) {
        mpk_fatal("size of a pointer that is no block of the domain heap");
    }
    return size - HEAP_CANARY;
}

void *mpk_heap_realloc(void *p, size_t size)
{
    size_t have;
    char *q;

    if (p == NULL) {
        return mpk_heap_alloc(size);
    }
    have = mpk_heap_usable(p);
    if (size <= have && (size > have / 2 || have < 128)) {
        if (!group_owns(p)) {
            canary_check(p, have + HEAP_CANARY);
        }
        /* What is given up does not stay, and growing again finds zeros. */
        explicit_bzero((char *)p + size, have - size);
        return p;
    }
    q = mpk_heap_alloc(size);
    if (q != NULL) {
        memcpy(q, p, size < have ? size : have);
        mpk_heap_free(p);
    }
    return q;
}

size_t mpk_heap_live(void)
{
    return atomic_load(&heap()->live_blocks);
}
