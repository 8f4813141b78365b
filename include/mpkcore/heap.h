/*
 * mpkcore/heap.h - the domain's heap. Inside only.
 *
 * Every block is wiped when it is freed. A double free, a pointer that is not
 * a block's start, and a write past a block's end (found when the block is
 * freed or resized) end the process with a fixed message. All metadata is
 * inside the domain. All functions are thread safe.
 *
 * Shape after hardened_malloc: size classes with out-of-line bitmaps. See
 * docs/design/heap.md.
 */
#ifndef MPKCORE_HEAP_H
#define MPKCORE_HEAP_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * mpk_heap_alloc returns |size| zeroed bytes, aligned to 16, or NULL when the
 * domain cannot grow. |size| 0 gives a block that can be freed.
 */
void *mpk_heap_alloc(size_t size);

/*
 * mpk_heap_realloc resizes as realloc(3) does; the part that is added is zero
 * and the block that is left behind is wiped. NULL leaves |p| as it is.
 *
 * A block of more than 1 MiB is whole chunks of 1 MiB, which later serve blocks
 * that fit into them, and are never split or joined: what grows in small steps
 * uses up many times its size. Let it double.
 */
void *mpk_heap_realloc(void *p, size_t size);

/* mpk_heap_free wipes and frees |p|; NULL is accepted. */
void mpk_heap_free(void *p);

/* mpk_heap_usable returns how many bytes may be used at |p|. */
size_t mpk_heap_usable(const void *p);

/* mpk_heap_refused returns how often this call into the domain has been
 * answered with NULL when it asked the heap for memory. A page group that is
 * full (mpkcore/group.h) does not count. */
uint64_t mpk_heap_refused(void);

/* mpk_heap_live returns the number of blocks that are in use. */
size_t mpk_heap_live(void);

#ifdef __cplusplus
}
#endif

#endif
