#include "vkey_model.h"

#include "core_test.h"

#include <mpkcore/mpk.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MAX_GROUPS 256
#define MAX_THREADS 16

/*
 * What the model knows of a group. |state| changes under |lock|, which a thread
 * holds around calls that make or destroy; begin and end take no lock, so their
 * results are checked against what |state| can have been meanwhile: it has a
 * version that grows with each change.
 */
struct group {
    pthread_mutex_t lock;
    _Atomic uint64_t version; /* odd: being changed */
    _Atomic uint64_t vkey;    /* 0: there is none */
    _Atomic uintptr_t base;
    _Atomic int prot, global;
    _Atomic int holders;
    size_t len;
};

static struct {
    const struct world *w;
    struct group group[MAX_GROUPS];
    _Atomic mpk_vkey_t dead[1024];
    _Atomic unsigned n_dead;
} m;

struct held {
    unsigned group;
    mpk_vkey_t vkey;
    uintptr_t base;
    int prot;
};

struct runner {
    uint64_t random;
    unsigned depth;
    struct held held[MPK_NEST_MAX];
};

static unsigned pick(struct runner *r, unsigned n)
{
    return (unsigned)(next_random(&r->random) >> 33) % n;
}

static bool holds(const struct runner *r, unsigned g, int prot)
{
    for (unsigned i = 0; i < r->depth; i++) {
        if (r->held[i].group == g && (r->held[i].prot & prot) == prot) {
            return true;
        }
    }
    return false;
}

/* ---- calls --------------------------------------------------------------- */

static void change(struct group *g)
{
    atomic_fetch_add(&g->version, 1);
}

static void do_mmap(struct runner *r, struct group *g)
{
    static const int prots[] = {PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE,
                                PROT_READ};
    mpk_vkey_t vkey = 0;
    void *p = NULL;
    int prot = prots[pick(r, 3)], err;

    g->len = (1 + pick(r, 4)) * 4096;
    change(g);
    err = mpk_mmap(&vkey, &p, g->len, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(err == 0);
    if (err == 0) {
        atomic_store(&g->base, (uintptr_t)p);
        atomic_store(&g->prot, prot);
        atomic_store(&g->global, 0);
        atomic_store(&g->vkey, vkey);
    }
    change(g);
}

static void do_munmap(struct runner *r, unsigned i)
{
    struct group *g = &m.group[i];
    mpk_vkey_t vkey = atomic_load(&g->vkey);
    bool mine = holds(r, i, PROT_READ);
    int err;

    change(g);
    err = mpk_munmap(vkey);
    CHECK(err == 0 || err == -EBUSY);
    CHECK(!(err == 0 && mine));
    if (err == 0) {
        /* Nobody can have counted himself in who is still in. */
        CHECK(atomic_load(&g->holders) == 0);
        CHECK(mpk_munmap(vkey) == -ENOENT);
        m.dead[atomic_fetch_add(&m.n_dead, 1) % COUNT_OF(m.dead)] = vkey;
        atomic_store(&g->vkey, 0);
    }
    change(g);
}

static void do_mprotect(struct runner *r, unsigned i)
{
    static const int prots[] = {PROT_NONE, PROT_NONE, PROT_READ,
                                PROT_READ | PROT_WRITE};
    struct group *g = &m.group[i];
    int prot = prots[pick(r, 4)], err;
    bool mine = holds(r, i, PROT_READ) && atomic_load(&g->global) == 0;

    change(g);
    err = mpk_mprotect(atomic_load(&g->vkey), prot);
    if ((prot & ~atomic_load(&g->prot)) != 0) {
        CHECK(err == -EACCES);
    } else {
        CHECK(err == 0 || err == -EBUSY);
        CHECK(!(err == 0 && mine));
    }
    if (err == 0) {
        atomic_store(&g->global, prot);
    }
    change(g);
}

static int expected(const struct group *g, mpk_vkey_t vkey, int prot)
{
    if (atomic_load(&g->vkey) != vkey || vkey == 0) {
        return -ENOENT;
    }
    if ((prot & ~atomic_load(&g->prot)) != 0) {
        return -EACCES;
    }
    return (prot & ~atomic_load(&g->global)) != 0 &&
                   atomic_load(&g->global) != 0
               ? -EBUSY
               : 0;
}

static void do_begin(struct runner *r, unsigned i)
{
    struct group *g = &m.group[i];
    uint64_t version = atomic_load(&g->version);
    mpk_vkey_t vkey = atomic_load(&g->vkey);
    uintptr_t base = atomic_load(&g->base);
    int prot = pick(r, 3) ? PROT_READ | PROT_WRITE : PROT_READ;
    int want = expected(g, vkey, prot), global = atomic_load(&g->global), err;
    bool quiet;

    err = mpk_begin(vkey, prot);
    quiet = atomic_load(&g->version) == version && (version & 1) == 0;
    CHECK(!quiet || err == want);
    if (err != 0) {
        CHECK(err == -ENOENT || err == -EACCES || err == -EBUSY);
        return;
    }
    if (global != 0 || !quiet) {
        /* Perhaps a right of all, which does not keep the group: leave. */
        CHECK(mpk_end(vkey) == 0);
        return;
    }
    atomic_fetch_add(&g->holders, 1);
    r->held[r->depth++] = (struct held){i, vkey, base, prot};
}

static void do_end(struct runner *r)
{
    struct held *h = &r->held[r->depth - 1];

    if (r->depth > 1 && h[-1].vkey != h->vkey) {
        CHECK(mpk_end(h[-1].vkey) == -EPERM);
    }
    atomic_fetch_sub(&m.group[h->group].holders, 1);
    CHECK(mpk_end(h->vkey) == 0);
    r->depth--;
}

static void do_forged(struct runner *r)
{
    unsigned n = atomic_load(&m.n_dead);
    mpk_vkey_t vkey = next_random(&r->random);

    if (n > 0 && pick(r, 2)) {
        vkey = m.dead[pick(r, n < COUNT_OF(m.dead) ? n : COUNT_OF(m.dead))];
    }
    CHECK(mpk_begin(vkey, PROT_READ) == -ENOENT);
    CHECK(mpk_end(vkey) == -EPERM);
    CHECK(mpk_munmap(vkey) == -ENOENT);
    CHECK(mpk_mprotect(vkey, PROT_READ) == -ENOENT);
}

/* ---- rights -------------------------------------------------------------- */

/* Every group that is open is its own: it holds what was written to it. */
static void check_held(struct runner *r)
{
    for (unsigned i = 0; i < r->depth; i++) {
        struct held *h = &r->held[i];
        _Atomic uint64_t *word = (_Atomic uint64_t *)h->base;
        bool top = true;
        int prot = h->prot;

        /* The last begin of a group says how it is open. */
        for (unsigned j = i + 1; j < r->depth; j++) {
            top &= r->held[j].group != h->group;
        }
        if (!top) {
            continue;
        }
        CHECK(m.w->allows((char *)h->base, false));
        if (m.w->own_rights) {
            CHECK(m.w->allows((char *)h->base, true) ==
                  ((prot & PROT_WRITE) != 0));
        }
        if (prot & PROT_WRITE) {
            uint64_t was = atomic_exchange(word, h->vkey);

            CHECK(was == 0 || was == h->vkey);
        }
    }
}

static void check_closed(struct runner *r, unsigned i)
{
    struct group *g = &m.group[i];
    uint64_t version = atomic_load(&g->version);
    const char *p = (const char *)atomic_load(&g->base);
    int global = atomic_load(&g->global);
    bool reads, writes;

    if (!m.w->own_rights || holds(r, i, PROT_READ) ||
        atomic_load(&g->vkey) == 0) {
        return;
    }
    reads = m.w->allows(p, false);
    writes = m.w->allows(p, true);
    if ((version & 1) == 0 && atomic_load(&g->version) == version) {
        CHECK(reads == ((global & PROT_READ) != 0));
        CHECK(writes == ((global & PROT_WRITE) != 0));
    }
}

/* ---- threads ------------------------------------------------------------- */

static void change_one(struct runner *r, unsigned i, unsigned what)
{
    struct group *g = &m.group[i];

    /* A thread that holds groups waits for nobody's lock. */
    if (pthread_mutex_trylock(&g->lock) != 0) {
        return;
    }
    if (atomic_load(&g->vkey) == 0) {
        do_mmap(r, g);
    } else if (what < 3) {
        do_munmap(r, i);
    } else {
        do_mprotect(r, i);
    }
    pthread_mutex_unlock(&g->lock);
}

static void step(struct runner *r)
{
    unsigned i = pick(r, m.w->groups), what = pick(r, 100);

    if (what < 8) {
        change_one(r, i, what);
    } else if (what < 11) {
        do_forged(r);
    } else if (what < 55 && r->depth < m.w->nest) {
        do_begin(r, i);
    } else if (what < 85 && r->depth > 0) {
        do_end(r);
    } else {
        check_closed(r, i);
    }
    check_held(r);
}

static void *run(void *arg)
{
    struct runner *r = arg;

    for (unsigned i = 0; i < m.w->steps; i++) {
        step(r);
    }
    while (r->depth > 0) {
        do_end(r);
    }
    return NULL;
}

void model_run(const struct world *w, uint64_t seed)
{
    struct runner r[MAX_THREADS];
    pthread_t thread[MAX_THREADS];

    memset(&m, 0, sizeof(m));
    m.w = w;
    for (unsigned i = 0; i < w->groups; i++) {
        pthread_mutex_init(&m.group[i].lock, NULL);
    }
    for (unsigned i = 0; i < w->threads; i++) {
        r[i] = (struct runner){.random = seed + i * 0x9e3779b97f4a7c15ULL};
        CHECK(pthread_create(&thread[i], NULL, run, &r[i]) == 0);
    }
    for (unsigned i = 0; i < w->threads; i++) {
        pthread_join(thread[i], NULL);
    }
    for (unsigned i = 0; i < w->groups; i++) {
        CHECK(atomic_load(&m.group[i].holders) == 0);
        if (atomic_load(&m.group[i].vkey) != 0) {
            CHECK(mpk_munmap(atomic_load(&m.group[i].vkey)) == 0);
        }
    }
}
