/*
 * group.c - page groups of the inside, and the protection keys they share.
 *
 * Every open and close comes here and takes the lock, so the pins are plain
 * numbers. A stub has one group open at most: who waits for a key has none, and
 * who has one does not wait.
 */
#include "group.h"

#include <mpkcore/heap.h>

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

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
    pthread_mutex_t lock;
    pthread_cond_t freed;
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

static _Atomic(struct group_state *) *state_at(void)
{
    return &mpk_ro.domain->groups;
}

static struct group_state *new_state(void)
{
    struct group_state *s = mpk_heap_alloc(sizeof(*s)), *first = NULL;

    if (s == NULL) {
        return NULL;
    }
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->freed, NULL);
    for (uint32_t i = 0; i < GROUP_CLASSES; i++) {
        s->free[i] = VK_NONE;
    }
    for (uint32_t i = 0; i < mpk_ro.n_group_keys; i++) {
        s->key[i].pkey = mpk_ro.group_key[i];
    }
    if (!atomic_compare_exchange_strong(state_at(), &first, s)) {
        mpk_heap_free(s);
        return first;
    }
    return s;
}

static struct group_state *state(void)
{
    return atomic_load(state_at());
}

static int by_keys(void)
{
    return mpk_ro.n_group_keys != 0;
}

int mpk_group_isolated(void)
{
    return by_keys() || mpk_ro.backend == MPK_BACKEND_MPROTECT;
}

static struct group *at_index(struct group_state *s, uint32_t i)
{
    return &s->block[i / GROUP_STEP][i % GROUP_STEP];
}

static struct group *find(struct group_state *s, uint64_t id)
{
    uint32_t i = (uint32_t)(id & ((1U << GROUP_BITS) - 1));

    return s != NULL && id != 0 && i < s->n && at_index(s, i)->id == id
               ? at_index(s, i)
               : NULL;
}

/* ---- pages --------------------------------------------------------------- */

static int close_pages(char *p, size_t len)
{
    return mpk_group_isolated() ? map_group_tag(p, len, PROT_NONE, mpk_ro.pkey)
                                : 0;
}

/* Pages of no group yet, a multiple of its size from the start. */
static int more_chunks(struct group_state *s, size_t end)
{
    while ((size_t)s->chunks * CHUNK_PAGES < end) {
        char *p = mpk_ro.groups + (size_t)s->chunks * MPK_CHUNK;
        uint32_t *owner = mpk_heap_alloc(CHUNK_PAGES * sizeof(*owner));
        int kind = owner != NULL ? map_commit(p, MPK_CHUNK) : -ENOMEM;

        if (kind < 0 || map_group_tag(p, MPK_CHUNK, RW, mpk_ro.pkey) != 0) {
            mpk_heap_free(owner);
            return -ENOMEM;
        }
        *(volatile char *)p = 0; /* one anon_vma: see map_arena_commit */
        s->owner[s->chunks] = owner;
        s->kind[s->chunks++] = (uint8_t)kind;
        if (close_pages(p, MPK_CHUNK) != 0) {
            return -ENOMEM;
        }
    }
    return 0;
}

static char *take_pages(struct group_state *s, uint8_t cls)
{
    size_t n = (size_t)1 << cls;
    size_t at = (s->next_page + n - 1) & ~(n - 1);

    if (at + n > mpk_ro.chunks * CHUNK_PAGES || more_chunks(s, at + n) != 0) {
        return NULL;
    }
    s->next_page = at + n;
    return mpk_ro.groups + at * MPK_PAGE;
}

static void set_owner(struct group_state *s, const struct group *g)
{
    size_t first = (size_t)(g->base - mpk_ro.groups) / MPK_PAGE;

    for (size_t i = first; i < first + ((size_t)1 << g->cls); i++) {
        s->owner[i / CHUNK_PAGES][i % CHUNK_PAGES] = g->index;
    }
}

static struct group *new_group(struct group_state *s, uint8_t cls)
{
    struct group *g;

    if (s->free[cls] != VK_NONE) {
        g = at_index(s, s->free[cls]);
        s->free[cls] = g->next;
        return g;
    }
    if (s->n == 1U << GROUP_BITS) {
        return NULL;
    }
    if (s->block[s->n / GROUP_STEP] == NULL) {
        s->block[s->n / GROUP_STEP] =
            mpk_heap_alloc(GROUP_STEP * sizeof(struct group));
        if (s->block[s->n / GROUP_STEP] == NULL) {
            return NULL;
        }
    }
    g = at_index(s, s->n);
    g->base = take_pages(s, cls);
    if (g->base == NULL) {
        return NULL;
    }
    g->cls = cls;
    g->index = s->n++;
    set_owner(s, g);
    return g;
}

/* ---- protection keys ----------------------------------------------------- */

static int unload(struct group_key *k)
{
    struct group *g = k->group;
    int err = g != NULL ? close_pages(g->base, g->len) : 0;

    if (err == 0 && g != NULL) {
        g->key = NULL;
        k->group = NULL;
    }
    return err;
}

/* The key that was not used for longest, and that no stub has open. */
static struct group_key *oldest(struct group_state *s)
{
    struct group_key *best = NULL;

    for (uint32_t i = 0; i < mpk_ro.n_group_keys; i++) {
        struct group_key *k = &s->key[i];

        if (k->group == NULL) {
            return k;
        }
        if (k->group->open == 0 && (best == NULL || k->last < best->last)) {
            best = k;
        }
    }
    return best;
}

/* Returns 0 with |g| under a key, -EAGAIN if there is none to be had. */
static int load(struct group_state *s, struct group *g)
{
    struct group_key *k = g->key;
    int err;

    if (k == NULL) {
        k = oldest(s);
        if (k == NULL) {
            return -EAGAIN;
        }
        err = unload(k);
        if (err == 0) {
            err = map_group_tag(g->base, g->len, RW, k->pkey);
        }
        if (err != 0) {
            return -ENOMEM;
        }
        k->group = g;
        g->key = k;
    }
    k->last = ++s->clock;
    return 0;
}

static int hold(struct group_state *s, uint64_t id, struct group **out)
{
    int err;

    for (;;) {
        struct group *g = find(s, id);

        *out = g;
        if (g == NULL) {
            return -ENOENT;
        }
        err = 0;
        if (by_keys()) {
            err = load(s, g);
        } else if (mpk_group_isolated() && g->open == 0) {
            err = map_group_tag(g->base, g->len, RW, -1);
        }
        if (err != -EAGAIN) {
            g->open += err == 0;
            return err;
        }
        pthread_cond_wait(&s->freed, &s->lock);
    }
}

static void let_go(struct group_state *s, struct group *g)
{
    if (--g->open != 0) {
        return;
    }
    if (!by_keys() && close_pages(g->base, g->len) != 0) {
        mpk_fatal("a page group cannot be closed");
    }
    pthread_cond_broadcast(&s->freed);
}

static void set_rights(const struct group *g, int open)
{
    uint32_t bits = by_keys() ? VK_CLOSED << (2 * g->key->pkey) : 0;

    if (bits != 0) {
        mpk_rights_inside(bits, open ? 0 : bits, *mpk_ro.cookie);
    }
}

/* ---- what stubs call ----------------------------------------------------- */

int mpk_group_new(mpk_group_t *group, size_t len)
{
    struct group_state *s = state() != NULL ? state() : new_state();
    size_t pages = len / MPK_PAGE + (len % MPK_PAGE != 0);
    struct group *g = NULL;
    uint8_t cls;

    if (len == 0 || pages > mpk_ro.chunks * CHUNK_PAGES) {
        return -EINVAL;
    }
    if (s == NULL) {
        return -ENOMEM;
    }
    cls = pages == 1 ? 0 : (uint8_t)(64 - __builtin_clzll(pages - 1));
    pthread_mutex_lock(&s->lock);
    g = new_group(s, cls);
    if (g != NULL) {
        g->len = pages * MPK_PAGE;
        g->blocks = vk_blocks_new(g->len);
        g->id = ++s->serial << GROUP_BITS | g->index;
        *group = g->id;
    }
    pthread_mutex_unlock(&s->lock);
    return g != NULL ? 0 : -ENOMEM;
}

int mpk_group_open(mpk_group_t group)
{
    struct mpk_slot *slot = mpk_slot_self();
    struct group_state *s = state();
    struct group *g;
    int err;

    if (slot->group != 0) {
        return -EBUSY;
    }
    if (s == NULL) {
        return -ENOENT;
    }
    pthread_mutex_lock(&s->lock);
    err = hold(s, group, &g);
    if (err == 0) {
        slot->group_cache = g->cache_used ? &slot->own_group_cache : &g->cache;
        g->cache_used = 1;
    }
    pthread_mutex_unlock(&s->lock);
    if (err == 0) {
        set_rights(g, 1);
        slot->group = group;
        slot->opened = g;
    }
    return err;
}

/* What has been kept goes back, with the lock. */
static void cache_drain(struct group_cache *c, struct group *g)
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

void mpk_group_close(mpk_group_t group)
{
    struct mpk_slot *slot = mpk_slot_self();
    struct group_state *s = state();
    struct group *g;

    if (group == 0 || slot->group != group) {
        mpk_fatal("mpk_group_close of a group that is not open");
    }
    g = slot->opened;
    slot->group = slot->use = 0;
    slot->opened = NULL;
    set_rights(g, 0);
    pthread_mutex_lock(&s->lock);
    if (slot->group_cache == &g->cache) {
        g->cache_used = 0;
    } else {
        cache_drain(slot->group_cache, g);
    }
    let_go(s, g);
    pthread_mutex_unlock(&s->lock);
}

void group_leave(struct mpk_slot *slot)
{
    mpk_group_close(slot->group);
}

/* Nobody can find it from here on, unless somebody else has it open. */
static struct group *retire(struct group_state *s, mpk_group_t group)
{
    struct group *g = find(s, group);

    if (g->open != 1) {
        return NULL;
    }
    g->id = 0;
    return g;
}

static void give_back(struct group_state *s, struct group *g)
{
    let_go(s, g);
    if (g->key != NULL && unload(g->key) != 0) {
        mpk_fatal("a page group cannot be closed");
    }
    g->next = s->free[g->cls];
    s->free[g->cls] = g->index;
}

static void forget_open(struct mpk_slot *slot)
{
    slot->group = slot->use = 0;
    slot->opened = NULL;
    memset(slot->group_cache->n, 0, sizeof(slot->group_cache->n));
}

int mpk_group_free(mpk_group_t group)
{
    int err = mpk_group_open(group);
    struct group_state *s = state();
    struct group *g;

    if (err != 0) {
        return err;
    }
    pthread_mutex_lock(&s->lock);
    g = retire(s, group);
    pthread_mutex_unlock(&s->lock);
    if (g == NULL) {
        mpk_group_close(group);
        return -EBUSY;
    }
    explicit_bzero(g->base, g->len);
    set_rights(g, 0);
    forget_open(mpk_slot_self());
    vk_blocks_free(g->blocks);
    g->blocks = NULL;
    g->cache_used = 0;
    pthread_mutex_lock(&s->lock);
    give_back(s, g);
    pthread_mutex_unlock(&s->lock);
    return 0;
}

mpk_group_t mpk_group_opened(void)
{
    return mpk_slot_self()->group;
}

int mpk_heap_use(mpk_group_t group)
{
    struct mpk_slot *slot = mpk_slot_self();

    if (group != 0 && slot->group != group) {
        return -EPERM;
    }
    slot->use = group;
    return 0;
}

/* ---- blocks -------------------------------------------------------------- */

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

void *group_alloc(struct mpk_slot *slot, size_t size)
{
    struct group_state *s = state();
    struct group *g = slot->opened;
    void *p = cache_take(slot, vk_grains(size));
    int64_t offset;

    if (p != NULL || g->blocks == NULL) {
        return p;
    }
    pthread_mutex_lock(&s->lock);
    offset = vk_blocks_take(g->blocks, size);
    if (offset < 0) {
        cache_drain(slot->group_cache, g);
        offset = vk_blocks_take(g->blocks, size);
    }
    pthread_mutex_unlock(&s->lock);
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
    return at_index(s, s->owner[page / CHUNK_PAGES][page % CHUNK_PAGES]);
}

size_t group_block_len(const void *p)
{
    struct group_state *s = state();
    struct group *g = owner_of(s, p);
    size_t len = 0;

    if (g != NULL) {
        pthread_mutex_lock(&s->lock);
        if (g->blocks != NULL && g->id != 0) {
            len = vk_blocks_len(g->blocks, (size_t)((const char *)p - g->base));
        }
        pthread_mutex_unlock(&s->lock);
    }
    return len;
}

/* Of a group that this stub has not open: there is no such block, if all is
 * well. */
static struct group *retire_elsewhere(char *p, size_t *offset, size_t *len)
{
    struct group_state *s = state();
    struct group *g = owner_of(s, p);

    *len = 0;
    if (g != NULL) {
        pthread_mutex_lock(&s->lock);
        *offset = (size_t)(p - g->base);
        if (g->blocks != NULL && g->id != 0) {
            *len = vk_blocks_retire(g->blocks, *offset);
        }
        pthread_mutex_unlock(&s->lock);
    }
    return g;
}

void group_block_free(struct mpk_slot *slot, void *p)
{
    struct group *g = slot->opened;
    struct group_state *s = state();
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
    explicit_bzero(p, len);
    if (g != slot->opened || !cache_keep(slot, offset, len / VK_GRAIN)) {
        pthread_mutex_lock(&s->lock);
        vk_blocks_give(g->blocks, offset);
        pthread_mutex_unlock(&s->lock);
    }
}

/* ---- fork ---------------------------------------------------------------- */

/* Nobody is inside, so no group is open. */
void group_fork_open(struct map_stage *stage,
                     void (*add)(struct map_stage *, char *, size_t))
{
    struct group_state *s = state();

    for (uint32_t i = 0; s != NULL && i < mpk_ro.n_group_keys; i++) {
        if (unload(&s->key[i]) != 0) {
            mpk_fatal("a page group cannot be closed");
        }
    }
    for (uint32_t i = 0; s != NULL && i < s->chunks; i++) {
        char *p = mpk_ro.groups + (size_t)i * MPK_CHUNK;

        if (s->kind[i] != MAP_SECRET) {
            continue;
        }
        if (mpk_group_isolated() &&
            map_group_tag(p, MPK_CHUNK, RW, mpk_ro.pkey) != 0) {
            mpk_fatal("page groups cannot be copied for a forked process");
        }
        add(stage, p, MPK_CHUNK);
    }
}

void group_fork_close(void)
{
    struct group_state *s = state();

    for (uint32_t i = 0; s != NULL && i < s->chunks; i++) {
        if (s->kind[i] == MAP_SECRET &&
            close_pages(mpk_ro.groups + (size_t)i * MPK_CHUNK, MPK_CHUNK)) {
            mpk_fatal("page groups cannot be closed in a forked process");
        }
    }
}
