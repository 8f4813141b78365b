/* group.h - page groups of the inside: what the core's files need of them. */
#ifndef MPKCORE_GROUP_IMPL_H
#define MPKCORE_GROUP_IMPL_H

#include "vkey.h"

#include <mpkcore/group.h>

/* The gate, when a stub returns with a group open or in use. */
void group_leave(struct mpk_slot *slot);

/* heap.c: blocks of groups. */
static inline int group_owns(const void *p)
{
    return (const char *)p >= mpk_ro.groups &&
           (const char *)p < mpk_ro.groups + mpk_ro.chunks * MPK_CHUNK;
}
void *group_alloc(struct mpk_slot *slot, size_t size);
void group_block_free(struct mpk_slot *slot, void *p);
size_t group_block_len(const void *p);

/* fork.c: secretmem is copied aside, for which it must be readable. */
void group_fork_open(struct map_stage *stage,
                     void (*add)(struct map_stage *, char *, size_t));
void group_fork_close(void);
void group_fork_child(void);

/* rights.S */
uint32_t mpk_rights_inside(uint32_t clear, uint32_t set, uint64_t cookie)
    __attribute__((visibility("hidden")));

#endif
