/* span.c - chunks of the domain heap, and the spans they are cut into. */
#include "internal.h"

#include <string.h>

#define UNITS_OF_CHUNK ((uint32_t)(MPK_CHUNK / MPK_UNIT))

static char *chunk_start(uint32_t index)
{
    return mpk_ro.heap + (size_t)index * MPK_CHUNK;
}

static struct heap_chunk *chunk_meta(uint32_t index)
{
    return (struct heap_chunk *)chunk_start(index);
}

static void chunk_ready(struct heap *heap, uint32_t index)
{
    heap->chunk[index].state = CHUNK_SPANS;
    heap->chunk[index].first = HEAP_META_SPANS;
    memset(chunk_meta(index), 0, sizeof(struct heap_chunk));
    for (uint32_t i = 0; i < HEAP_META_SPANS; i++) {
        chunk_meta(index)->span[i].state = SPAN_META;
    }
}

/* |kind| is an enum map_kind. A unit is anonymous until it is noted. */
static void note_kind(struct heap *heap, uint32_t unit, int kind)
{
    if (kind == MAP_SECRET) {
        heap->secret[unit / 8] |= (uint8_t)(1 << unit % 8);
    }
}

static int is_secret(const struct heap *heap, uint32_t unit)
{
    return heap->secret[unit / 8] >> unit % 8 & 1;
}

void heap_init(struct heap *heap, uint64_t cookie, int first_kind)
{
    heap->cookie = cookie;
    heap_init_classes(heap);
    lock_init(&heap->lock);
    for (uint32_t i = 0; i < HEAP_ARENAS; i++) {
        lock_init(&heap->arena[i].lock);
    }
    heap->chunks = 1;
    heap->units = 1;
    note_kind(heap, 0, first_kind);
    chunk_ready(heap, 0);
}

/* Commits |n| more units, which were reserved; 0 when there is no memory. */
static int commit(struct heap *heap, uint32_t n)
{
    char *end = mpk_ro.heap + heap->units * MPK_UNIT;
    int kind = map_commit(end, n * MPK_UNIT);

    if (kind < 0) {
        return 0;
    }
    map_hold(end, n * MPK_UNIT, kind == MAP_SECRET);
    for (uint32_t i = 0; i < n; i++) {
        note_kind(heap, heap->units++, kind);
    }
    atomic_store(&mpk_out.heap_end, end + n * MPK_UNIT);
    return 1;
}

/* Units that the last chunk does not have yet. */
static uint32_t units_due(const struct heap *heap)
{
    return heap->chunks * UNITS_OF_CHUNK - heap->units;
}

/* More spans: an eighth of what there is, but not beyond a chunk's end. */
static int grow(struct heap *heap)
{
    uint32_t due = units_due(heap), n = heap->units / 8 + 1;
    uint32_t left = due > 0 ? due : UNITS_OF_CHUNK;

    if (heap->units == mpk_ro.chunks * UNITS_OF_CHUNK ||
        !commit(heap, n < left ? n : left)) {
        return 0;
    }
    if (due == 0) {
        chunk_ready(heap, heap->chunks);
        heap->chunks++;
    }
    return 1;
}

/* How many spans of a chunk are committed. */
static uint32_t spans_ready(const struct heap *heap, uint32_t index)
{
    uint32_t due = index + 1 == heap->chunks ? units_due(heap) : 0;

    return HEAP_SPANS - due * HEAP_UNIT_SPANS;
}

/* First fit in one chunk; returns NULL when there is no run of |run| spans. */
static struct heap_span *chunk_fit(struct heap *heap, uint32_t index,
                                   uint32_t run)
{
    struct heap_chunk *meta = chunk_meta(index);
    uint32_t have = 0, ready = spans_ready(heap, index);

    for (uint32_t i = heap->chunk[index].first; i < ready; i++) {
        have = meta->span[i].state == SPAN_FREE ? have + 1 : 0;
        if (have == run) {
            uint32_t at = i + 1 - run;

            if (at == heap->chunk[index].first) {
                heap->chunk[index].first = (uint16_t)(i + 1);
            }
            return &meta->span[at];
        }
    }
    return NULL;
}

/* First fit in all of them. */
static struct heap_span *fit(struct heap *heap, uint32_t run)
{
    struct heap_span *span = NULL;

    for (uint32_t i = 0; i < heap->chunks && span == NULL; i++) {
        if (heap->chunk[i].state == CHUNK_SPANS) {
            span = chunk_fit(heap, i, run);
        }
    }
    return span;
}

/* NULL when there is no run of |run| spans; with the lock. */
static struct heap_span *take(struct heap *heap, uint32_t run,
                              enum span_state state)
{
    struct heap_span *span = fit(heap, run);

    for (uint32_t i = 0; span != NULL && i < run; i++) {
        memset(&span[i], 0, sizeof(span[i]));
        span[i].state = i == 0 ? (uint8_t)state : SPAN_LARGE_REST;
    }
    if (span != NULL) {
        span->run = (uint16_t)run;
    }
    return span;
}

struct heap_span *span_alloc(struct heap *heap, uint32_t run,
                             enum span_state state)
{
    struct heap_span *span;

    lock_take(&heap->lock);
    do {
        span = take(heap, run, state);
    } while (span == NULL && grow(heap));
    lock_give(&heap->lock);
    return span;
}

void span_release(struct heap *heap, struct heap_span *span)
{
    size_t offset = (size_t)((char *)span - mpk_ro.heap);
    uint32_t chunk = (uint32_t)(offset / MPK_CHUNK);
    uint32_t at = (uint32_t)(span - chunk_meta(chunk)->span);
    uint32_t run = span->run;

    lock_take(&heap->lock);
    for (uint32_t i = 0; i < run; i++) {
        memset(&span[i], 0, sizeof(span[i]));
    }
    if (at < heap->chunk[chunk].first) {
        heap->chunk[chunk].first = (uint16_t)at;
    }
    lock_give(&heap->lock);
}

char *span_start(const struct heap_span *span)
{
    size_t offset = (size_t)((const char *)span - mpk_ro.heap);
    uint32_t chunk = (uint32_t)(offset / MPK_CHUNK);
    size_t at = (size_t)(span - chunk_meta(chunk)->span);

    return chunk_start(chunk) + at * HEAP_SPAN;
}

/* ---- blocks larger than a chunk ----------------------------------------- */

/*
 * Commits |n| whole chunks; returns the first one's index or -1. What the last
 * chunk lacks is for keys: it can be secretmem where there is not enough of it
 * for a huge block.
 */
static int64_t huge_grow(struct heap *heap, uint32_t n)
{
    uint32_t index = heap->chunks, due = units_due(heap);

    if (n > mpk_ro.chunks - index || (due > 0 && !commit(heap, due)) ||
        !commit(heap, n * UNITS_OF_CHUNK)) {
        return -1;
    }
    heap->chunks += n;
    return index;
}

static int64_t huge_reuse(const struct heap *heap, uint32_t n)
{
    for (uint32_t i = 0; i < heap->chunks; i++) {
        if (heap->chunk[i].state == CHUNK_HUGE_FREE &&
            heap->chunk[i].run >= n) {
            return i;
        }
    }
    return -1;
}

char *huge_alloc(struct heap *heap, uint32_t n)
{
    int64_t at;
    uint32_t run;

    lock_take(&heap->lock);
    at = huge_reuse(heap, n);
    run = at >= 0 ? heap->chunk[at].run : n;
    if (at < 0) {
        at = huge_grow(heap, run);
    }
    if (at >= 0) {
        for (uint32_t i = 0; i < run; i++) {
            heap->chunk[at + i].state = i == 0 ? CHUNK_HUGE : CHUNK_HUGE_REST;
        }
        heap->chunk[at].run = (uint16_t)run;
    }
    lock_give(&heap->lock);
    return at < 0 ? NULL : chunk_start((uint32_t)at);
}

size_t huge_len(const struct heap *heap, const void *p)
{
    size_t offset = (size_t)((const char *)p - mpk_ro.heap);

    if ((const char *)p < mpk_ro.heap || offset % MPK_CHUNK != 0 ||
        offset / MPK_CHUNK >= heap->chunks ||
        heap->chunk[offset / MPK_CHUNK].state != CHUNK_HUGE) {
        return 0;
    }
    return heap->chunk[offset / MPK_CHUNK].run * MPK_CHUNK;
}

int huge_retire(struct heap *heap, const void *p)
{
    size_t at = (size_t)((const char *)p - mpk_ro.heap) / MPK_CHUNK;
    int mine;

    lock_take(&heap->lock);
    mine = heap->chunk[at].state == CHUNK_HUGE;
    if (mine) {
        heap->chunk[at].state = CHUNK_HUGE_WIPED;
    }
    lock_give(&heap->lock);
    return mine;
}

void huge_release(struct heap *heap, void *p)
{
    uint32_t at = (uint32_t)((size_t)((char *)p - mpk_ro.heap) / MPK_CHUNK);

    lock_take(&heap->lock);
    heap->chunk[at].state = CHUNK_HUGE_FREE;
    lock_give(&heap->lock);
}

void heap_list_secret(struct heap *heap, struct map_stage *stage,
                      void (*add)(struct map_stage *, char *, size_t))
{
    for (uint32_t i = 0; i < heap->units; i++) {
        if (is_secret(heap, i)) {
            add(stage, mpk_ro.heap + i * MPK_UNIT, MPK_UNIT);
        }
    }
}
