/*
 * heap_impl.h - the domain heap's structures.
 *
 * The heap is cut into chunks of 1 MiB, and these into spans of 8 KiB, of
 * which the first ones hold the chunk's metadata. A span serves one size class,
 * or is part of a run that serves one large block. A block larger than a chunk
 * has whole chunks to itself. What is committed of the heap is a number of
 * units of 64 KiB, so that the last chunk may be there in part.
 */
#ifndef MPKCORE_HEAP_IMPL_H
#define MPKCORE_HEAP_IMPL_H

#include "lock.h"
#include "state.h"

#define HEAP_SPAN 8192
#define HEAP_SPANS (MPK_CHUNK / HEAP_SPAN)
#define HEAP_UNIT_SPANS (MPK_UNIT / HEAP_SPAN)
#define HEAP_MIN 32
#define HEAP_SMALL_MAX 4096
#define HEAP_CLASSES 27
#define HEAP_WORDS (HEAP_SPAN / HEAP_MIN / 64)
#define HEAP_ARENAS 8
/* Blocks that a slot keeps of a class: what one signature takes of the small
 * ones, and gives back, is more than what is worth keeping of the others. */
#define HEAP_CACHE_SMALL 16
#define HEAP_CACHE 8
#define HEAP_CLASSES_SMALL 4 /* up to 80 bytes */
/* What one thread writes all the time lies in no line with what others read. */
#define HEAP_LINE 64
#define HEAP_CANARY 8

enum span_state {
    SPAN_FREE = 0,
    SPAN_META,
    SPAN_SMALL,
    SPAN_LARGE, /* first of a run */
    SPAN_LARGE_REST
};

struct heap_span {
    uint8_t state;
    uint8_t cls;
    uint8_t arena;
    uint8_t in_list;
    uint16_t used; /* blocks given out of a small span */
    uint16_t run;  /* spans of a large block */
    struct heap_span *next, *prev;
    /* Given out to a cache or to the program; changed under the arena lock. */
    uint64_t taken[HEAP_WORDS];
};

struct heap_chunk {
    struct heap_span span[HEAP_SPANS];
    /* By offset / HEAP_MIN, at most one block starts in each: 1 while that
     * block is in the program's hands. */
    _Atomic uint8_t live[MPK_CHUNK / HEAP_MIN];
};

#define HEAP_META_SPANS                                                        \
    ((sizeof(struct heap_chunk) + HEAP_SPAN - 1) / HEAP_SPAN)

enum chunk_state {
    CHUNK_NONE = 0,
    CHUNK_SPANS,
    CHUNK_HUGE, /* first of a run of whole chunks */
    CHUNK_HUGE_REST,
    CHUNK_HUGE_WIPED, /* no longer the program's, not free yet */
    CHUNK_HUGE_FREE
};

struct chunk_info {
    _Atomic uint8_t state; /* written under the lock, see |chunks| */
    uint16_t run;          /* chunks of a huge block */
    uint16_t first;        /* SPANS: no free span below this one */
};

struct heap_arena {
    struct lock lock __attribute__((aligned(HEAP_LINE)));
    struct heap_span *partial[HEAP_CLASSES];
};

struct heap {
    /* First what every call reads and hardly any writes. */
    uint64_t cookie;
    /* Written under the lock. span_of and huge_len read it without: the chunk
     * of a block that somebody holds was counted before that block was made. */
    _Atomic uint32_t chunks;
    uint32_t units; /* committed; those of the last chunk may be to come */
    uint8_t class_of[HEAP_SMALL_MAX / 16 + 1]; /* by size / 16, rounded up */
    struct heap_arena arena[HEAP_ARENAS];
    /* Of chunks and spans. */
    struct lock lock __attribute__((aligned(HEAP_LINE)));
    struct chunk_info chunk[MPK_CHUNKS] __attribute__((aligned(HEAP_LINE)));
    uint8_t secret[MPK_UNITS / 8]; /* bits: units that are secretmem */
};

/* Blocks that a slot keeps at hand: taken, wiped, not live. */
struct heap_cache {
    /* Blocks given out by this slot less those taken back; others read it. */
    _Atomic int64_t balance;
    uint64_t refused; /* allocations that got no memory */
    uint8_t n[HEAP_CLASSES];
    void *small[HEAP_CLASSES_SMALL][HEAP_CACHE_SMALL];
    void *block[HEAP_CLASSES - HEAP_CLASSES_SMALL][HEAP_CACHE];
};

static inline uint8_t cache_room(uint32_t cls)
{
    return cls < HEAP_CLASSES_SMALL ? HEAP_CACHE_SMALL : HEAP_CACHE;
}

static inline void **cache_of(struct heap_cache *cache, uint32_t cls)
{
    return cls < HEAP_CLASSES_SMALL ? cache->small[cls]
                                    : cache->block[cls - HEAP_CLASSES_SMALL];
}

/* |first_kind| is the kind of memory that the first unit has. */
void heap_init(struct heap *heap, uint64_t cookie, int first_kind);
void heap_list_secret(struct heap *heap, struct map_stage *stage,
                      void (*add)(struct map_stage *, char *, size_t));

/* heap.c */
void heap_init_classes(struct heap *heap);

/* What of the heap is more than a block of the slot's own, and of what: */
struct heap_ask {
    enum heap_what {
        HEAP_SMALL, /* a block of class |n| */
        HEAP_LARGE, /* one of |n| spans */
        HEAP_HUGE,  /* one of |n| whole chunks */
        HEAP_FREE   /* the block that starts |n| grains up the heap is free */
    } what;
    uint32_t n;
};
#define HEAP_GRAIN 16

/* heap.c, on a domain stack: the block, NULL when there is no memory. */
struct mpk_slot;
void *heap_here(struct mpk_slot *slot, struct heap_ask ask);

/* span.c: on a domain stack, with heap->lock not held. |state| is the first
 * span's: those who look for free ones read it under the lock. */
struct heap_span *span_alloc(struct heap *heap, uint32_t run,
                             enum span_state state);
void span_release(struct heap *heap, struct heap_span *span);
char *span_start(const struct heap_span *span);

/* The metadata of the chunk that has |offset|, a block's way from the start. */
static inline struct heap_chunk *chunk_at(size_t offset)
{
    return (struct heap_chunk *)(mpk_ro.heap + (offset & ~(MPK_CHUNK - 1)));
}

/* The span that |p| lies in, or NULL when it is nothing of the heap's. */
static inline struct heap_span *span_of(const struct heap *heap, const void *p)
{
    /* What lies below the heap is far beyond its end here. */
    size_t offset = (uintptr_t)p - (uintptr_t)mpk_ro.heap;
    size_t index = offset / MPK_CHUNK;

    if (index >= atomic_load_explicit(&heap->chunks, memory_order_relaxed) ||
        atomic_load_explicit(&heap->chunk[index].state, memory_order_relaxed) !=
            CHUNK_SPANS) {
        return NULL;
    }
    return &chunk_at(offset)->span[offset % MPK_CHUNK / HEAP_SPAN];
}

/* |n| whole chunks, or NULL. */
char *huge_alloc(struct heap *heap, uint32_t n);
/* The length of the huge block that starts at |p|, or 0 if none does. */
size_t huge_len(const struct heap *heap, const void *p);
/* Takes a huge block from the program; false if another thread was first. */
int huge_retire(struct heap *heap, const void *p);
void huge_release(struct heap *heap, void *p);

#endif
