/*
 * heap.c - blocks of the domain heap: size classes, caches, checks.
 *
 * A block's last 8 bytes are a canary that depends on its address. Whether a
 * block is the program's is a byte outside the block, cleared atomically, so
 * that the second of two frees sees it, in whatever thread.
 */
#include "group.h"
#include "wipe.h"
#include "x86_64/cpu.h"

#include <mpkcore/heap.h>

#include <emmintrin.h>
#include <stdint.h>
#include <string.h>

/*
 * What is divided by a class's size is a number of 16 bytes below 1024, for
 * which multiplying by |inverse| and dropping 20 bits is exact.
 */
static const struct {
    uint32_t inverse;
    uint16_t size;
    uint16_t blocks; /* in a span */
} class[HEAP_CLASSES] = {
#define CLASS(n)                                                               \
    {                                                                          \
        ((1U << 20) + (n) / 16 - 1) / ((n) / 16), n, HEAP_SPAN / (n)           \
    }
    CLASS(32),   CLASS(48),   CLASS(64),   CLASS(80),   CLASS(96),
    CLASS(112),  CLASS(128),  CLASS(160),  CLASS(192),  CLASS(224),
    CLASS(256),  CLASS(320),  CLASS(384),  CLASS(448),  CLASS(512),
    CLASS(640),  CLASS(768),  CLASS(896),  CLASS(1024), CLASS(1280),
    CLASS(1536), CLASS(1792), CLASS(2048), CLASS(2560), CLASS(3072),
    CLASS(3584), CLASS(4096),
};

static inline struct heap *heap(void)
{
    return &mpk_ro.domain->heap;
}

void heap_init_classes(struct heap *h)
{
    uint8_t cls = 0;

    for (size_t i = 0; i < sizeof(h->class_of); i++) {
        cls = (uint8_t)(cls + (i * 16 > class[cls].size));
        h->class_of[i] = cls;
    }
}

/* It finds overruns and double frees. Who can read one of these, inside, can
 * make all of them. */
static inline uint64_t canary_for(const void *block)
{
    return heap()->cookie ^ (uint64_t)(uintptr_t)block;
}

static inline void canary_set(char *block, size_t size)
{
    uint64_t canary = canary_for(block);

    memcpy(block + size - HEAP_CANARY, &canary, HEAP_CANARY);
}

static inline void canary_check(const char *block, size_t size)
{
    uint64_t canary;

    memcpy(&canary, block + size - HEAP_CANARY, HEAP_CANARY);
    if (canary != canary_for(block)) {
        mpk_fatal("a block of the domain heap was written past its end");
    }
}

static inline _Atomic uint8_t *live_of(const char *p)
{
    size_t offset = (size_t)(p - mpk_ro.heap);

    return &chunk_at(offset)->live[offset % MPK_CHUNK / HEAP_MIN];
}

/* The block is nobody else's: taken, and not yet given out. */
static inline void live_begin(const char *p)
{
    _Atomic uint8_t *live = live_of(p);

    if (atomic_load_explicit(live, memory_order_relaxed) != 0) {
        mpk_fatal("the domain heap's metadata is damaged");
    }
    atomic_store_explicit(live, 1, memory_order_relaxed);
}

/* Of two threads that free one block, the second finds it clear. */
static inline void live_end(const char *p)
{
    if (!atomic_exchange_explicit(live_of(p), 0, memory_order_acq_rel)) {
        mpk_fatal("double free in the domain heap");
    }
}

/* Only the slot's owner writes, so no locked instruction is needed. */
static inline void count(struct heap_cache *cache, int64_t n)
{
    int64_t now = atomic_load_explicit(&cache->balance, memory_order_relaxed);

    atomic_store_explicit(&cache->balance, now + n, memory_order_relaxed);
}

/* Most blocks are small, and a call of memset costs more than their wiping. */
#define WIPE_INLINE 256

static inline void wipe_small(char *p, size_t size)
{
    __m128i zero = _mm_setzero_si128();

    if (size > WIPE_INLINE) {
        wipe(p, size);
        return;
    }
    for (char *end = p + size; p != end; p += 16) {
        _mm_store_si128((__m128i *)p, zero);
    }
    cpu_keep_writes(p);
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

static struct heap_span *arena_span(uint32_t arena_index, uint32_t cls)
{
    struct heap_arena *arena = &heap()->arena[arena_index];
    struct heap_span *span = arena->partial[cls];

    if (span != NULL) {
        return span;
    }
    span = span_alloc(heap(), 1, SPAN_SMALL);
    if (span != NULL) {
        span->cls = (uint8_t)cls;
        span->arena = (uint8_t)arena_index;
        list_add(arena, span);
    }
    return span;
}

/* Takes one block of a span that has one. */
static void *span_take(struct heap_arena *arena, struct heap_span *span)
{
    uint32_t n = class[span->cls].blocks;

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
        return span_start(span) + (size_t)index * class[span->cls].size;
    }
    mpk_fatal("the domain heap's metadata is damaged");
}

/* Gives a block back to its span; the arena lock is held. */
static void span_give(struct heap_arena *arena, struct heap_span *span,
                      uint32_t index)
{
    if (span->used == 0 || !(span->taken[index >> 6] >> (index & 63) & 1)) {
        mpk_fatal("the domain heap's metadata is damaged");
    }
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

    lock_take(&arena->lock);
    while (cache->n[cls] < HEAP_CACHE / 2) {
        struct heap_span *span = arena_span(arena_index, cls);

        if (span == NULL) {
            break;
        }
        cache_of(cache, cls)[cache->n[cls]++] = span_take(arena, span);
    }
    lock_give(&arena->lock);
}

static inline uint32_t index_in_span(uint32_t cls, const char *p)
{
    size_t offset = (size_t)(p - mpk_ro.heap) % HEAP_SPAN;

    return (uint32_t)(offset / 16) * class[cls].inverse >> 20;
}

/* Gives the lock of |from| back, or not, and takes that of |to|, unless it is
 * the same or NULL. */
static struct heap_arena *arena_change(struct heap_arena *from,
                                       struct heap_arena *to)
{
    if (from != to && from != NULL) {
        lock_give(&from->lock);
    }
    if (from != to && to != NULL) {
        lock_take(&to->lock);
    }
    return to;
}

static void cache_drain(struct heap_cache *cache, uint32_t cls, uint8_t keep)
{
    struct heap_arena *arena = NULL;

    while (cache->n[cls] > keep) {
        char *p = cache_of(cache, cls)[--cache->n[cls]];
        struct heap_span *span = span_of(heap(), p);

        arena = arena_change(arena, &heap()->arena[span->arena]);
        span_give(arena, span, index_in_span(cls, p));
    }
    arena_change(arena, NULL);
}

static inline void *cache_take(struct heap_cache *cache, uint32_t cls)
{
    char *p = cache_of(cache, cls)[--cache->n[cls]];

    live_begin(p);
    canary_set(p, class[cls].size);
    count(cache, 1);
    return p;
}

static inline void small_free(struct heap_cache *cache, uint32_t cls, char *p)
{
    size_t size = class[cls].size;

    live_end(p);
    canary_check(p, size);
    wipe_small(p, size);
    if (cache->n[cls] == cache_room(cls)) {
        cache_drain(cache, cls, cache_room(cls) / 2);
    }
    cache_of(cache, cls)[cache->n[cls]++] = p;
    count(cache, -1);
}

/* Gives back the empty spans that |arena| keeps for the next small block. */
static void arena_drain(struct heap_arena *arena)
{
    lock_take(&arena->lock);
    for (uint32_t cls = 0; cls < HEAP_CLASSES; cls++) {
        struct heap_span *next;

        for (struct heap_span *span = arena->partial[cls]; span != NULL;
             span = next) {
            next = span->next;
            if (span->used == 0) {
                list_remove(arena, span);
                span_release(heap(), span);
            }
        }
    }
    lock_give(&arena->lock);
}

/* Gives back what is kept to be used again: the slot's own blocks, and the
 * empty spans of all. Other slots' blocks are theirs alone. */
static void take_back(struct heap_cache *cache)
{
    for (uint32_t cls = 0; cls < HEAP_CLASSES; cls++) {
        cache_drain(cache, cls, 0);
    }
    for (uint32_t i = 0; i < HEAP_ARENAS; i++) {
        arena_drain(&heap()->arena[i]);
    }
}

/* The slot's own arena first. When the heap cannot grow, another may have a
 * span with blocks to spare, where this one can have no span any more. */
static void *small_here(struct mpk_slot *slot, uint32_t cls)
{
    struct heap_cache *cache = &slot->cache;
    uint32_t own = slot_index(slot);

    cache_fill(cache, own % HEAP_ARENAS, cls);
    if (cache->n[cls] == 0) {
        take_back(cache);
        for (uint32_t i = 0; i < HEAP_ARENAS && cache->n[cls] == 0; i++) {
            cache_fill(cache, (own + i) % HEAP_ARENAS, cls);
        }
    }
    return cache->n[cls] != 0 ? cache_take(cache, cls) : NULL;
}

/* Whether a small block of |span| starts at |p|. */
static inline int small_starts(const struct heap_span *span, const char *p)
{
    size_t offset = (size_t)(p - mpk_ro.heap) % HEAP_SPAN;
    uint32_t index = index_in_span(span->cls, p);

    return index < class[span->cls].blocks &&
           (size_t)index * class[span->cls].size == offset;
}

/* The span of the small block that starts at |p|, or NULL if none does. */
static inline struct heap_span *small_span(const char *p)
{
    struct heap_span *span = span_of(heap(), p);

    return span != NULL && span->state == SPAN_SMALL && small_starts(span, p)
               ? span
               : NULL;
}

/* ---- blocks of any size -------------------------------------------------- */

static void *large_here(struct mpk_slot *slot, uint32_t spans)
{
    struct heap_span *span = span_alloc(heap(), spans, SPAN_LARGE);
    char *p;

    if (span == NULL) {
        take_back(&slot->cache);
        span = span_alloc(heap(), spans, SPAN_LARGE);
    }
    if (span == NULL) {
        return NULL;
    }
    p = span_start(span);
    live_begin(p);
    canary_set(p, (size_t)span->run * HEAP_SPAN);
    count(&slot->cache, 1);
    return p;
}

/* In what is kept there are no whole chunks. */
static void *huge_here(struct mpk_slot *slot, uint32_t chunks)
{
    char *p = huge_alloc(heap(), chunks);

    if (p != NULL) {
        canary_set(p, huge_len(heap(), p));
        count(&slot->cache, 1);
    }
    return p;
}

/* Where |p| is a block's start: its size, and its span unless it is huge. */
static size_t block_size(const char *p, struct heap_span **out)
{
    struct heap_span *span = span_of(heap(), p);

    *out = span;
    if (span == NULL) {
        return huge_len(heap(), p);
    }
    if (span->state == SPAN_SMALL) {
        return small_starts(span, p) ? class[span->cls].size : 0;
    }
    if (span->state == SPAN_LARGE && p == span_start(span)) {
        return (size_t)span->run * HEAP_SPAN;
    }
    return 0;
}

/* Gives back a block that is no small one. */
static void other_free(struct mpk_slot *slot, char *p)
{
    struct heap_span *span;
    size_t size = block_size(p, &span);

    if (size == 0) {
        mpk_fatal("free of a pointer that is no block of the domain heap");
    }
    if (span != NULL) {
        live_end(p);
    } else if (!huge_retire(heap(), p)) {
        mpk_fatal("double free in the domain heap");
    }
    canary_check(p, size);
    wipe(p, size);
    if (span != NULL) {
        span_release(heap(), span);
    } else {
        huge_release(heap(), p);
    }
    count(&slot->cache, -1);
}

static void free_here(struct mpk_slot *slot, char *p)
{
    struct heap_span *span = small_span(p);

    if (span != NULL) {
        small_free(&slot->cache, span->cls, p);
    } else {
        other_free(slot, p);
    }
}

void *heap_here(struct mpk_slot *slot, struct heap_ask ask)
{
    void *p = NULL;

    switch (ask.what) {
    case HEAP_SMALL:
        p = ask.n < HEAP_CLASSES ? small_here(slot, ask.n) : NULL;
        break;
    case HEAP_LARGE:
        p = ask.n > 0 && ask.n <= HEAP_SPANS - HEAP_META_SPANS
                ? large_here(slot, ask.n)
                : NULL;
        break;
    case HEAP_HUGE:
        p = ask.n > 0 && ask.n <= mpk_ro.chunks ? huge_here(slot, ask.n) : NULL;
        break;
    case HEAP_FREE:
        free_here(slot, mpk_ro.heap + (size_t)ask.n * HEAP_GRAIN);
        return NULL;
    }
    slot->cache.refused += p == NULL;
    return p;
}

/*
 * What others have as well, and what takes long. On the stack of a light entry,
 * which others can write to, the heap would take from there what it is doing.
 */
static void *heap_do(struct mpk_slot *slot, enum heap_what what, size_t n)
{
    struct heap_ask ask = {what, (uint32_t)n};

    return is_on_safe_stack() ? heap_here(slot, ask) : slot_heap_ask(slot, ask);
}

#define SMALL_MOST (HEAP_SMALL_MAX - HEAP_CANARY)

/* A full group is no refusal of the heap's. */
static void *other_alloc(struct mpk_slot *slot, size_t size)
{
    size_t len = size + HEAP_CANARY;
    size_t spans = (len + HEAP_SPAN - 1) / HEAP_SPAN;

    if (slot->use != 0) {
        return group_alloc(slot, size);
    }
    if (size > mpk_ro.chunks * MPK_CHUNK - HEAP_CANARY) {
        slot->cache.refused++;
        return NULL;
    }
    return spans <= HEAP_SPANS - HEAP_META_SPANS
               ? heap_do(slot, HEAP_LARGE, spans)
               : heap_do(slot, HEAP_HUGE, (len + MPK_CHUNK - 1) / MPK_CHUNK);
}

static inline uint32_t class_for(size_t size)
{
    return heap()->class_of[(size + HEAP_CANARY + 15) / 16];
}

void *mpk_heap_alloc(size_t size)
{
    struct mpk_slot *slot = mpk_slot_self();
    uint32_t cls;

    if (size > SMALL_MOST || slot->use != 0) {
        return other_alloc(slot, size);
    }
    cls = class_for(size);
    return slot->cache.n[cls] != 0 ? cache_take(&slot->cache, cls)
                                   : heap_do(slot, HEAP_SMALL, cls);
}

/* No group has an address of the heap. */
void mpk_heap_free(void *p)
{
    size_t offset = (uintptr_t)p - (uintptr_t)mpk_ro.heap;
    struct heap_span *span;
    struct mpk_slot *slot;

    if (p == NULL) {
        return;
    }
    slot = mpk_slot_self();
    span = small_span(p);
    if (span != NULL && slot->cache.n[span->cls] < cache_room(span->cls)) {
        small_free(&slot->cache, span->cls, p);
    } else if (group_owns(p)) {
        group_block_free(slot, p);
    } else if (offset % HEAP_GRAIN != 0 ||
               offset >= mpk_ro.chunks * MPK_CHUNK) {
        mpk_fatal("free of a pointer that is no block of the domain heap");
    } else {
        heap_do(slot, HEAP_FREE, offset / HEAP_GRAIN);
    }
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
        wipe((char *)p + size, have - size);
        return p;
    }
    q = mpk_heap_alloc(size);
    if (q != NULL) {
        memcpy(q, p, size < have ? size : have);
        mpk_heap_free(p);
    }
    return q;
}

uint64_t mpk_heap_refused(void)
{
    return mpk_slot_self()->cache.refused;
}

size_t mpk_heap_live(void)
{
    uint32_t slots = slots_there();
    int64_t live = 0;

    for (uint32_t i = 0; i < slots; i++) {
        live += atomic_load_explicit(&slot_ctrl(i)->cache.balance,
                                     memory_order_relaxed);
    }
    return (size_t)live;
}
