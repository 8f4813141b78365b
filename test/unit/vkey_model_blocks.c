/*
 * vkey_model_blocks.c - blocks of page groups, as several threads have them: no
 * two overlap, each is zero at first, and holds what its owner wrote.
 */
#include "vkey_model_impl.h"

#include <errno.h>
#include <sys/mman.h>

#define RW (PROT_READ | PROT_WRITE)

/* Before a block is given back, and after one is had, so that another owner's
 * is never found here when all is well. */
static void mark(struct group *g, const void *p, size_t size, bool taken)
{
    size_t offset = (uintptr_t)p - atomic_load(&g->base);
    size_t first = offset / GRAIN, end = (offset + size - 1) / GRAIN + 1;
    bool all = true;

    CHECK(offset % GRAIN == 0 && end * GRAIN <= atomic_load(&g->len));
    if (end * GRAIN > atomic_load(&g->len)) {
        return;
    }
    for (size_t i = first; i < end; i++) {
        _Atomic uint64_t *set = &g->taken[i / 64];
        uint64_t bit = 1ULL << i % 64;
        uint64_t was =
            taken ? atomic_fetch_or(set, bit) : atomic_fetch_and(set, ~bit);

        all &= ((was & bit) == 0) == taken;
    }
    CHECK(all);
}

static void keep(struct runner *r, unsigned i, mpk_vkey_t vkey, void *p,
                 size_t size)
{
    mark(&model.group[i], p, size, true);
    r->block[r->blocks++] =
        (struct block){i, vkey, p, size / sizeof(uint64_t), 0};
    atomic_fetch_add(&model.blocks, 1);
}

static void drop(struct runner *r, unsigned n)
{
    r->block[n] = r->block[--r->blocks];
}

void blocks_of_new(struct runner *r, unsigned i, mpk_vkey_t vkey)
{
    struct group *g = &model.group[i];
    size_t len = atomic_load(&g->len), half = len / 2 / GRAIN;
    size_t before = GRAIN * (1 + pick(r, (unsigned)half));
    void *first = NULL, *part = NULL;

    for (size_t n = 0; n < COUNT_OF(g->taken); n++) {
        atomic_store(&g->taken[n], 0);
    }
    atomic_store(&g->leaks, 0);
    atomic_store(&g->part, atomic_load(&g->base));
    atomic_store(&g->part_len, len);
    if ((atomic_load(&g->prot) & PROT_WRITE) == 0 || r->blocks == MAX_BLOCKS ||
        pick(r, 2)) {
        return;
    }
    len = GRAIN * (1 + pick(r, (unsigned)half));
    CHECK(mpk_malloc(vkey, &first, before) == 0);
    CHECK(mpk_malloc(vkey, &part, len) == 0);
    if (first != NULL && part != NULL) {
        keep(r, i, vkey, first, before);
        mark(g, part, len, true);
        atomic_store(&g->part, (uintptr_t)part);
        atomic_store(&g->part_len, len);
    }
}

static bool has_room(struct group *g)
{
    return atomic_load(&g->part_len) < atomic_load(&g->len);
}

/* ---- with the group's lock, together with others ------------------------- */

static void make(struct runner *r, unsigned i)
{
    struct group *g = &model.group[i];
    mpk_vkey_t vkey = atomic_load(&g->vkey);
    size_t size = sizeof(uint64_t) * (1 + pick(r, pick(r, 4) ? 40 : 700));
    void *p = NULL;
    int err;

    if (vkey == 0 || !has_room(g) || r->blocks == MAX_BLOCKS) {
        return;
    }
    err = mpk_malloc(vkey, &p, size);
    CHECK(err == 0 || err == -ENOMEM);
    if (err == 0) {
        keep(r, i, vkey, p, size);
    }
}

static void look(struct runner *r, struct block *b)
{
    bool same = true;
    int err;

    if (r->depth >= model.w->nest ||
        atomic_load(&model.group[b->group].global) == PROT_READ) {
        return;
    }
    err = mpk_begin(b->vkey, RW);
    CHECK(err == 0);
    if (err != 0) {
        return;
    }
    for (size_t i = 0; i < b->words; i++) {
        same &= b->word[i] == b->content;
    }
    CHECK(same);
    b->content = next_random(&r->random);
    for (size_t i = 0; i < b->words; i++) {
        b->word[i] = b->content;
    }
    CHECK(mpk_end(b->vkey) == 0);
    atomic_fetch_add(&model.looks, 1);
}

static void give(struct runner *r, unsigned n)
{
    struct block *b = &r->block[n];
    struct group *g = &model.group[b->group];
    size_t size = b->words * sizeof(uint64_t);
    int err;

    look(r, b);
    mark(g, b->word, size, false);
    err = mpk_free(b->vkey, b->word);
    if (atomic_load(&g->global) == PROT_READ) {
        CHECK(err == -EBUSY);
    } else {
        CHECK(err == 0 || (err == -EDEADLK && r->depth >= model.w->nest));
    }
    if (err != 0) {
        mark(g, b->word, size, true);
        return;
    }
    atomic_fetch_add(&model.freed, 1);
    drop(r, n);
}

static void with_a_block(struct runner *r, unsigned n, bool to_free)
{
    struct block *b = &r->block[n];
    struct group *g = &model.group[b->group];

    if (pthread_rwlock_tryrdlock(&g->lock) != 0) {
        return;
    }
    if (atomic_load(&g->vkey) != b->vkey) {
        drop(r, n); /* with the group */
    } else if (to_free) {
        give(r, n);
    } else {
        look(r, b);
    }
    pthread_rwlock_unlock(&g->lock);
}

/* ---- without it: the group may go at any time ---------------------------- */

static void make_and_free(struct runner *r, struct group *g)
{
    uint64_t version = atomic_load(&g->version);
    mpk_vkey_t vkey = atomic_load(&g->vkey);
    bool room = has_room(g);
    void *p = NULL;
    int err;

    if (vkey == 0 || !room || (version & 1) != 0 ||
        atomic_load(&g->version) != version || r->depth >= model.w->nest) {
        return;
    }
    err = mpk_malloc(vkey, &p, GRAIN * (1 + pick(r, 8)));
    CHECK(err == 0 || err == -ENOENT || err == -ENOMEM);
    if (err == 0) {
        err = mpk_free(vkey, p);
        CHECK(err == 0 || err == -ENOENT || err == -EBUSY);
        if (err != 0) {
            atomic_store(&g->leaks, 1);
        }
    }
}

static void one_step(struct runner *r)
{
    unsigned i = pick(r, model.w->groups), what = pick(r, 10);
    struct group *g = &model.group[i];

    if (what == 0) {
        make_and_free(r, g);
    } else if (what > 4 && r->blocks > 0) {
        with_a_block(r, pick(r, r->blocks), what > 7);
    } else if (pthread_rwlock_tryrdlock(&g->lock) == 0) {
        make(r, i);
        pthread_rwlock_unlock(&g->lock);
    }
}

/* Several: while threads that begin and end seldom come to it. */
void blocks_step(struct runner *r)
{
    for (unsigned i = 0; i < 4; i++) {
        one_step(r);
    }
}

/* ---- at the end ---------------------------------------------------------- */

void blocks_end(struct runner *r)
{
    unsigned n;

    while (r->blocks > 0) {
        struct block *b = &r->block[r->blocks - 1];
        struct group *g = &model.group[b->group];

        if (atomic_load(&g->vkey) == b->vkey &&
            atomic_load(&g->global) == PROT_READ) {
            CHECK(mpk_mprotect(b->vkey, PROT_NONE) == 0);
            atomic_store(&g->global, 0);
        }
        n = r->blocks;
        with_a_block(r, n - 1, true);
        CHECK(r->blocks < n);
        r->blocks = n - 1;
    }
}

void blocks_left(struct group *g)
{
    mpk_vkey_t vkey = atomic_load(&g->vkey);
    size_t len = atomic_load(&g->len), part_len = atomic_load(&g->part_len);
    size_t before = atomic_load(&g->part) - atomic_load(&g->base);
    size_t behind = len - part_len - before;
    size_t more = before > behind ? before : behind;
    size_t less = before + behind - more;
    void *p = NULL;

    if (atomic_load(&g->leaks) == 0 && has_room(g)) {
        CHECK(mpk_malloc(vkey, &p, more) == 0);
        CHECK(less == 0 || mpk_malloc(vkey, &p, less) == 0);
        CHECK(mpk_malloc(vkey, &p, 1) == -ENOMEM);
    }
}
