/*
 * group_blocks.c - memory in a page group of the inside: blocks, and those that
 * a stub has given back, which are kept for the next.
 */
#include "group_impl.h"
#include "wipe.h"

/* One that the stub has given back before, or none. */
static void *cache_take(struct mpk_slot *slot, size_t grains)
{
    struct group_cache *c = slot->group_cache;
    struct group *g = slot->opened;
    size_t offset;

    if (grains > GROUP_CACHE_GRAINS || c->n[grains - 1] == 0) {
        return NULL;
    }
    offset = (size_t)c->grain[grains - 1][--c->n[grains - 1]] * VK_GRAIN;
    if (!vk_blocks_revive(g->blocks, offset)) {
        mpk_fatal("the blocks of a page group are damaged");
    }
    return g->base + offset;
}

static int cache_keep(struct mpk_slot *slot, size_t offset, size_t grains)
{
    struct group_cache *c = slot->group_cache;

    if (grains > GROUP_CACHE_GRAINS || c->n[grains - 1] == GROUP_CACHE ||
        offset / VK_GRAIN > UINT16_MAX) {
        return 0;
    }
    c->grain[grains - 1][c->n[grains - 1]++] = (uint16_t)(offset / VK_GRAIN);
    return 1;
}

void group_cache_drain(struct group_cache *c, struct group *g)
{
    for (int i = 0; i < GROUP_CACHE_GRAINS; i++) {
        while (c->n[i] > 0) {
            if (vk_blocks_give(g->blocks, (size_t)c->grain[i][--c->n[i]] *
                                              VK_GRAIN) == 0) {
                mpk_fatal("the blocks of a page group are damaged");
            }
        }
    }
}

void *group_alloc(struct mpk_slot *slot, size_t size)
{
    struct group_state *s = group_state();
    struct group *g = slot->opened;
    void *p = cache_take(slot, vk_grains(size));
    int64_t offset;

    if (p != NULL || g->blocks == NULL) {
        return p;
    }
    lock_take(&s->lock);
    offset = vk_blocks_take(g->blocks, size);
    if (offset < 0) {
        group_cache_drain(slot->group_cache, g);
        offset = vk_blocks_take(g->blocks, size);
    }
    lock_give(&s->lock);
    return offset >= 0 ? g->base + offset : NULL;
}

void *mpk_group_alloc(size_t size)
{
    struct mpk_slot *slot = mpk_slot_self();

    return slot->opened != NULL ? group_alloc(slot, size) : NULL;
}

static struct group *owner_of(struct group_state *s, const void *p)
{
    size_t page = (size_t)((const char *)p - mpk_ro.groups) / MPK_PAGE;

    if (s == NULL || page / CHUNK_PAGES >= s->chunks) {
        return NULL;
    }
    return group_at(s, s->owner[page / CHUNK_PAGES][page % CHUNK_PAGES]);
}

size_t group_block_len(const void *p)
{
    struct group_state *s = group_state();
    struct group *g = owner_of(s, p);
    size_t len = 0;

    if (g != NULL) {
        lock_take(&s->lock);
        if (g->blocks != NULL && g->id != 0) {
            len = vk_blocks_len(g->blocks, (size_t)((const char *)p - g->base));
        }
        lock_give(&s->lock);
    }
    return len;
}

/* Of a group that this stub has not open: there is no such block, if all is
 * well. */
static struct group *retire_elsewhere(char *p, size_t *offset, size_t *len)
{
    struct group_state *s = group_state();
    struct group *g = owner_of(s, p);

    *len = 0;
    if (g != NULL) {
        lock_take(&s->lock);
        *offset = (size_t)(p - g->base);
        if (g->blocks != NULL && g->id != 0) {
            *len = vk_blocks_retire(g->blocks, *offset);
        }
        lock_give(&s->lock);
    }
    return g;
}

void group_block_free(struct mpk_slot *slot, void *p)
{
    struct group *g = slot->opened;
    struct group_state *s = group_state();
    size_t offset, len;

    if (g != NULL && (char *)p >= g->base && (char *)p < g->base + g->len) {
        offset = (size_t)((char *)p - g->base);
        len = vk_blocks_retire(g->blocks, offset);
    } else {
        g = retire_elsewhere(p, &offset, &len);
    }
    if (len == 0) {
        mpk_fatal("free of a pointer that is no block of a page group");
    }
    wipe(p, len);
    if (g != slot->opened || !cache_keep(slot, offset, len / VK_GRAIN)) {
        lock_take(&s->lock);
        vk_blocks_give(g->blocks, offset);
        lock_give(&s->lock);
    }
}
