/* group_impl.h - what page groups of the inside are made of: group.c and
 * group_blocks.c. */
#ifndef MPKCORE_GROUP_PARTS_H
#define MPKCORE_GROUP_PARTS_H

#include "group.h"
#include "lock.h"

#define GROUP_BITS 20
#define GROUP_STEP 1024  /* groups in a block of the table */
#define GROUP_CLASSES 21 /* of 2^n pages */
#define CHUNK_PAGES (MPK_CHUNK / MPK_PAGE)
#define RW (PROT_READ | PROT_WRITE)

struct group {
    uint64_t id; /* serial << 20 | index; 0 when it is free */
    char *base;
    size_t len;
    struct vk_blocks *blocks;
    struct group_key *key;
    uint32_t open; /* stubs that have it open */
    uint32_t index, next;
    uint8_t cls, cache_used;
    /* Of the stub that has the group open, if it was the first of them. */
    struct group_cache cache;
};

struct group_key {
    int pkey;
    struct group *group; /* whose pages carry it */
    uint64_t last;
};

struct group_state {
    struct lock lock;
    /* How often a group was let go, on which those who wait sleep. */
    _Atomic uint32_t freed;
    uint32_t waiting;
    uint64_t serial, clock;
    struct group_key key[MPK_HW_KEYS];
    struct group *block[(1U << GROUP_BITS) / GROUP_STEP];
    uint32_t n; /* groups ever made */
    uint32_t free[GROUP_CLASSES];
    uint32_t chunks;
    uint8_t kind[MPK_CHUNKS];    /* enum map_kind */
    uint32_t *owner[MPK_CHUNKS]; /* of each page: its group's index */
    size_t next_page;
};

static inline _Atomic(struct group_state *) *group_state_at(void)
{
    return &mpk_ro.domain->groups;
}

static inline struct group_state *group_state(void)
{
    return atomic_load(group_state_at());
}

static inline struct group *group_at(struct group_state *s, uint32_t i)
{
    return &s->block[i / GROUP_STEP][i % GROUP_STEP];
}

/* What has been kept goes back, with the lock. */
void group_cache_drain(struct group_cache *c, struct group *g);

#endif
