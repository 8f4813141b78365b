/*
 * group.c - page groups of the inside, and the protection keys they share.
 *
 * Every open and close comes here and takes the lock, so the pins are plain
 * numbers. A stub has one group open at most: who waits for a key has none, and
 * who has one does not wait.
 */
#include "group_impl.h"
#include "wipe.h"

#include <mpkcore/heap.h>

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>

static struct group_state *new_state(void)
{
    struct group_state *s = mpk_heap_alloc(sizeof(*s)), *first = NULL;

    if (s == NULL) {
        return NULL;
    }
    lock_init(&s->lock);
    for (uint32_t i = 0; i < GROUP_CLASSES; i++) {
        s->free[i] = VK_NONE;
    }
    for (uint32_t i = 0; i < mpk_ro.n_group_keys; i++) {
        s->key[i].pkey = mpk_ro.group_key[i];
    }
    s->next_page = vk_gap_pages(mpk_ro.backend); /* behind the heap */
    if (!atomic_compare_exchange_strong(group_state_at(), &first, s)) {
        mpk_heap_free(s);
        return first;
    }
    return s;
}

static int by_keys(void)
{
    return mpk_ro.n_group_keys != 0;
}

int mpk_group_isolated(void)
{
    return by_keys() || mpk_ro.backend == MPK_BACKEND_MPROTECT;
}

static struct group *find(struct group_state *s, uint64_t id)
{
    uint32_t i = (uint32_t)(id & ((1U << GROUP_BITS) - 1));

    return s != NULL && id != 0 && i < s->n && group_at(s, i)->id == id
               ? group_at(s, i)
               : NULL;
}

/* ---- pages --------------------------------------------------------------- */

static int open_pages(const struct group *g, int key)
{
    struct map_rights open = {RW, key}, closed = {PROT_NONE, mpk_ro.pkey};

    return map_group_change(g->base, g->len, &open, &closed);
}

/* Whose pages carry |key|. */
static int take_key_away(const struct group *g, int key)
{
    struct map_rights open = {RW, key}, closed = {PROT_NONE, mpk_ro.pkey};

    return map_group_change(g->base, g->len, &closed, &open);
}

static int close_pages(char *p, size_t len)
{
    return mpk_group_isolated() ? map_group_tag(p, len, PROT_NONE, mpk_ro.pkey)
                                : 0;
}

/* A chunk at |p|, closed. Returns its kind of memory, or below 0, and then it
 * is as it was. */
static int commit_chunk(char *p)
{
    int kind = map_commit(p, MPK_CHUNK), err;

    if (kind < 0) {
        return kind;
    }
    err = map_group_tag(p, MPK_CHUNK, RW, mpk_ro.pkey);
    if (err == 0) {
        *(volatile char *)p = 0; /* one anon_vma: see map_arena_commit */
        err = close_pages(p, MPK_CHUNK);
    }
    if (err != 0) {
        map_uncommit(p, MPK_CHUNK, kind);
        return err;
    }
    return kind;
}

/* Pages of no group yet. */
static int more_chunks(struct group_state *s, size_t end)
{
    while ((size_t)s->chunks * CHUNK_PAGES < end) {
        char *p = mpk_ro.groups + (size_t)s->chunks * MPK_CHUNK;
        uint32_t *owner = mpk_heap_alloc(CHUNK_PAGES * sizeof(*owner));
        int kind = owner != NULL ? commit_chunk(p) : -ENOMEM;

        if (kind < 0) {
            mpk_heap_free(owner);
            return -ENOMEM;
        }
        s->owner[s->chunks] = owner;
        s->kind[s->chunks++] = (uint8_t)kind;
    }
    return 0;
}

/*
 * A group is in one chunk with the page behind it that is never open, or starts
 * a chunk: so no open page is next to a chunk that more_chunks opens.
 */
static char *take_pages(struct group_state *s, uint8_t cls)
{
    size_t n = ((size_t)1 << cls) + vk_gap_pages(mpk_ro.backend);
    size_t at = s->next_page, left = CHUNK_PAGES - at % CHUNK_PAGES;

    if (n > left) {
        at += left;
    }
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

static void set_apart(const struct group *g)
{
    if (by_keys() && vk_is_apart(g->index, GROUP_APART, g->cls)) {
        map_group_set_apart(g->base, MPK_PAGE << g->cls);
    }
}

static struct group *new_group(struct group_state *s, uint8_t cls)
{
    struct group *g;

    if (s->free[cls] != VK_NONE) {
        g = group_at(s, s->free[cls]);
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
    g = group_at(s, s->n);
    g->base = take_pages(s, cls);
    if (g->base == NULL) {
        return NULL;
    }
    g->cls = cls;
    g->index = s->n++;
    set_owner(s, g);
    set_apart(g);
    return g;
}

/* ---- protection keys ----------------------------------------------------- */

static int unload(struct group_key *k)
{
    struct group *g = k->group;
    int err = g != NULL ? take_key_away(g, k->pkey) : 0;

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
            err = open_pages(g, k->pkey);
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

/* With the lock, which is given up meanwhile. */
static void wait_for_a_key(struct group_state *s)
{
    uint32_t seen = atomic_load(&s->freed);

    s->waiting++;
    lock_give(&s->lock);
    word_wait(&s->freed, seen);
    lock_take(&s->lock);
    s->waiting--;
}

static void wake_those_who_wait(struct group_state *s)
{
    atomic_fetch_add(&s->freed, 1);
    if (s->waiting != 0) {
        word_wake(&s->freed, INT_MAX);
    }
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
            err = open_pages(g, -1);
        }
        if (err != -EAGAIN) {
            g->open += err == 0;
            return err;
        }
        wait_for_a_key(s);
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
    wake_those_who_wait(s);
}

static void set_rights(const struct group *g, int open)
{
    uint32_t bits = by_keys() ? VK_CLOSED << (2 * g->key->pkey) : 0;

    if (bits != 0) {
        mpk_rights_inside(bits, open ? 0 : bits, *mpk_ro.cookie);
    }
}

static void set_free(struct group_state *s, struct group *g)
{
    g->next = s->free[g->cls];
    s->free[g->cls] = g->index;
}

/* ---- what stubs call ----------------------------------------------------- */

static int make_group(mpk_group_t *group, size_t len)
{
    struct group_state *s = group_state() != NULL ? group_state() : new_state();
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
    lock_take(&s->lock);
    g = new_group(s, cls);
    if (g != NULL) {
        g->len = pages * MPK_PAGE;
        g->blocks = vk_blocks_new(g->len);
        if (g->blocks == NULL) {
            set_free(s, g);
            g = NULL;
        } else {
            g->id = ++s->serial << GROUP_BITS | g->index;
            *group = g->id;
        }
    }
    lock_give(&s->lock);
    return g != NULL ? 0 : -ENOMEM;
}

/* What there is to know about a group is in the heap of all. */
int mpk_group_new(mpk_group_t *group, size_t len)
{
    struct mpk_slot *slot = mpk_slot_self();
    mpk_group_t use = slot->use;
    int err;

    if (!is_on_safe_stack()) {
        return -EPERM;
    }
    slot->use = 0;
    err = make_group(group, len);
    slot->use = use;
    return err;
}

/*
 * A group that was closed is not in the CPU's caches either, where there are
 * many: what the stub is going to need comes while the kernel is at work, and
 * all at once. With a P-256 key and the numbers of a signature that is
 * FETCH_MOST bytes of the group.
 */
#define FETCH_MOST 5184

static void fetch(const void *p, size_t len)
{
    for (size_t at = 0; at < len && at < FETCH_MOST; at += 64) {
        __builtin_prefetch((const char *)p + at);
    }
}

static int is_cold(const struct group *g)
{
    return g != NULL && by_keys() && g->key == NULL;
}

int mpk_group_open(mpk_group_t group)
{
    struct mpk_slot *slot = mpk_slot_self();
    struct group_state *s = group_state();
    struct group *g;
    size_t ahead = 0;
    int err, cold;

    if (!is_on_safe_stack()) {
        return -EPERM;
    }
    if (slot->group != 0) {
        return -EBUSY;
    }
    if (s == NULL) {
        return -ENOENT;
    }
    lock_take(&s->lock);
    g = find(s, group);
    cold = is_cold(g);
    if (cold) {
        fetch(&g->cache, sizeof(g->cache));
        fetch(g->blocks, vk_blocks_size(g->len));
    }
    err = hold(s, group, &g);
    if (err == 0) {
        ahead = cold ? vk_blocks_end(g->blocks) : 0;
        slot->group_cache = g->cache_used ? &slot->own_group_cache : &g->cache;
        g->cache_used = 1;
    }
    lock_give(&s->lock);
    if (err == 0) {
        set_rights(g, 1);
        fetch(g->base, ahead);
        slot->group = group;
        slot->opened = g;
    }
    return err;
}

void mpk_group_close(mpk_group_t group)
{
    struct mpk_slot *slot = mpk_slot_self();
    struct group_state *s = group_state();
    struct group *g;

    if (group == 0 || slot->group != group) {
        mpk_fatal("mpk_group_close of a group that is not open");
    }
    g = slot->opened;
    slot->group = slot->use = 0;
    slot->opened = NULL;
    set_rights(g, 0);
    lock_take(&s->lock);
    if (slot->group_cache == &g->cache) {
        g->cache_used = 0;
    } else {
        group_cache_drain(slot->group_cache, g);
    }
    let_go(s, g);
    lock_give(&s->lock);
}

void group_leave(struct mpk_slot *slot)
{
    mpk_group_close(slot->group);
}

static void give_back(struct group_state *s, struct group *g)
{
    let_go(s, g);
    if (g->key != NULL && unload(g->key) != 0) {
        mpk_fatal("a page group cannot be closed");
    }
    set_free(s, g);
}

/* For the caller alone: nobody can find it from here on. */
static int retire(struct group_state *s, uint64_t id, struct group **out)
{
    int err;

    lock_take(&s->lock);
    err = hold(s, id, out);
    if (err == 0 && (*out)->open != 1) {
        let_go(s, *out);
        err = -EBUSY;
    }
    if (err == 0) {
        (*out)->id = 0;
    }
    lock_give(&s->lock);
    return err;
}

int mpk_group_free(mpk_group_t group)
{
    struct group_state *s = group_state();
    struct group *g;
    int err;

    if (!is_on_safe_stack()) {
        return -EPERM;
    }
    if (mpk_slot_self()->group != 0) {
        return -EBUSY;
    }
    err = s != NULL ? retire(s, group, &g) : -ENOENT;
    if (err != 0) {
        return err;
    }
    /* What no block has had is zero, and often not there yet. */
    set_rights(g, 1);
    wipe(g->base, vk_blocks_end(g->blocks));
    set_rights(g, 0);
    vk_blocks_free(g->blocks);
    g->blocks = NULL;
    memset(g->cache.n, 0, sizeof(g->cache.n));
    lock_take(&s->lock);
    give_back(s, g);
    lock_give(&s->lock);
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

/* ---- fork ---------------------------------------------------------------- */

/* Nobody is inside, so no group is open. */
void group_fork_open(struct map_stage *stage,
                     void (*add)(struct map_stage *, char *, size_t))
{
    struct group_state *s = group_state();

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
    struct group_state *s = group_state();

    for (uint32_t i = 0; s != NULL && i < s->chunks; i++) {
        if (s->kind[i] == MAP_SECRET &&
            close_pages(mpk_ro.groups + (size_t)i * MPK_CHUNK, MPK_CHUNK)) {
            mpk_fatal("page groups cannot be closed in a forked process");
        }
    }
}

/* What the child has moved into place is whole chunks. */
void group_fork_child(void)
{
    struct group_state *s = group_state();

    for (uint32_t i = 0; s != NULL && i < s->n; i++) {
        const struct group *g = group_at(s, i);

        if (s->kind[(size_t)(g->base - mpk_ro.groups) / MPK_CHUNK] ==
            MAP_SECRET) {
            set_apart(g);
        }
    }
    group_fork_close();
}
