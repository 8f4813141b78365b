#include "vkey_model_impl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define STEPS_IN_CHILD 100

struct model model;

unsigned pick(struct runner *r, unsigned n)
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

static void do_mmap(struct runner *r, unsigned i)
{
    static const int prots[] = {PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE,
                                PROT_READ};
    struct group *g = &model.group[i];
    size_t len = (1 + pick(r, MAX_PAGES)) * 4096;
    mpk_vkey_t vkey = 0;
    void *p = NULL;
    int prot = prots[pick(r, 3)], err;

    change(g);
    err = mpk_mmap(&vkey, &p, len, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(err == 0);
    if (err == 0) {
        atomic_store(&g->base, (uintptr_t)p);
        atomic_store(&g->len, len);
        atomic_store(&g->prot, prot);
        atomic_store(&g->global, 0);
        blocks_of_new(r, i, vkey);
        atomic_store(&g->vkey, vkey);
    }
    change(g);
}

static void do_munmap(struct runner *r, unsigned i)
{
    struct group *g = &model.group[i];
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
        model.dead[atomic_fetch_add(&model.n_dead, 1) % COUNT_OF(model.dead)] =
            vkey;
        atomic_store(&g->vkey, 0);
    }
    change(g);
}

static void do_mprotect(struct runner *r, unsigned i)
{
    static const int prots[] = {PROT_NONE, PROT_NONE, PROT_READ,
                                PROT_READ | PROT_WRITE};
    struct group *g = &model.group[i];
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
    struct group *g = &model.group[i];
    uint64_t version = atomic_load(&g->version);
    mpk_vkey_t vkey = atomic_load(&g->vkey);
    uintptr_t part = atomic_load(&g->part);
    size_t part_len = atomic_load(&g->part_len);
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
    r->held[r->depth++] = (struct held){i, vkey, part, part_len, prot};
}

static void do_end(struct runner *r)
{
    struct held *h = &r->held[r->depth - 1];

    if (r->depth > 1 && h[-1].vkey != h->vkey) {
        CHECK(mpk_end(h[-1].vkey) == -EPERM);
    }
    atomic_fetch_sub(&model.group[h->group].holders, 1);
    CHECK(mpk_end(h->vkey) == 0);
    r->depth--;
}

static void do_forged(struct runner *r)
{
    unsigned n = atomic_load(&model.n_dead);
    mpk_vkey_t vkey = next_random(&r->random);

    if (n > 0 && pick(r, 2)) {
        vkey = model.dead[pick(
            r, n < COUNT_OF(model.dead) ? n : COUNT_OF(model.dead))];
    }
    CHECK(mpk_begin(vkey, PROT_READ) == -ENOENT);
    CHECK(mpk_end(vkey) == -EPERM);
    CHECK(mpk_munmap(vkey) == -ENOENT);
    CHECK(mpk_mprotect(vkey, PROT_READ) == -ENOENT);
}

/* ---- rights -------------------------------------------------------------- */

/*
 * A word of what is looked at. Each second one holds the group's key or
 * nothing; the one behind it is written to find out whether that is allowed.
 */
static uintptr_t word_of(struct runner *r, uintptr_t part, size_t len)
{
    return part + 16 * (uintptr_t)pick(r, (unsigned)(len / 16));
}

/* Every group that is open is its own: it holds what was written to it. */
static void check_held(struct runner *r)
{
    for (unsigned i = 0; i < r->depth; i++) {
        struct held *h = &r->held[i];
        _Atomic uint64_t *word =
            (_Atomic uint64_t *)word_of(r, h->part, h->part_len);
        bool top = true;
        int prot = h->prot;

        /* The last begin of a group says how it is open. */
        for (unsigned j = i + 1; j < r->depth; j++) {
            top &= r->held[j].group != h->group;
        }
        if (!top) {
            continue;
        }
        CHECK(model.w->allows((char *)word, false));
        if (model.w->own_rights) {
            CHECK(model.w->allows((char *)(word + 1), true) ==
                  ((prot & PROT_WRITE) != 0));
        }
        if (prot & PROT_WRITE) {
            uint64_t was = atomic_exchange(word, h->vkey);

            CHECK(was == 0 || was == h->vkey);
        }
    }
}

/* With its lock: what is written there may not get into another group. */
static void check_closed(struct runner *r, unsigned i)
{
    struct group *g = &model.group[i];
    int global = atomic_load(&g->global);
    const char *p;

    if (!model.w->own_rights || holds(r, i, PROT_READ) ||
        atomic_load(&g->vkey) == 0) {
        return;
    }
    p = (const char *)word_of(r, atomic_load(&g->part),
                              atomic_load(&g->part_len));
    CHECK(model.w->allows(p, false) == ((global & PROT_READ) != 0));
    CHECK(model.w->allows(p + 8, true) == ((global & PROT_WRITE) != 0));
}

/* ---- threads ------------------------------------------------------------- */

static void change_one(struct runner *r, unsigned i, unsigned what)
{
    struct group *g = &model.group[i];

    /* A thread that holds groups waits for nobody's lock. */
    if (pthread_rwlock_trywrlock(&g->lock) != 0) {
        return;
    }
    if (atomic_load(&g->vkey) == 0) {
        do_mmap(r, i);
    } else if (what < 3) {
        do_munmap(r, i);
    } else {
        do_mprotect(r, i);
    }
    pthread_rwlock_unlock(&g->lock);
}

static void do_fork(struct runner *r);

static void step(struct runner *r)
{
    unsigned i = pick(r, model.w->groups), what = pick(r, 100);

    if (what < 8) {
        change_one(r, i, what);
    } else if (what < 11) {
        do_forged(r);
    } else if (what < 16) {
        blocks_step(r);
    } else if (what < 57 && r->depth < model.w->nest) {
        do_begin(r, i);
    } else if (what < 85 && r->depth > 0) {
        do_end(r);
    } else if (pthread_rwlock_tryrdlock(&model.group[i].lock) == 0) {
        check_closed(r, i);
        pthread_rwlock_unlock(&model.group[i].lock);
    }
    check_held(r);
    if (model.w->fork_in > 0 && !r->in_child &&
        ++r->steps % model.w->fork_in == 0) {
        do_fork(r);
    }
}

static void end_all(struct runner *r)
{
    while (r->depth > 0) {
        do_end(r);
    }
}

/*
 * Of other threads nothing is left but groups that they were about to change,
 * which stay locked, and blocks. What they had open is not.
 */
static void in_child(struct runner *r)
{
    r->in_child = true;
    failed_checks = 0;
    for (unsigned i = 0; i < model.w->groups; i++) {
        atomic_store(&model.group[i].holders, 0);
    }
    for (unsigned i = 0; i < r->depth; i++) {
        atomic_fetch_add(&model.group[r->held[i].group].holders, 1);
    }
    for (unsigned i = 0; i < STEPS_IN_CHILD; i++) {
        step(r);
    }
    end_all(r);
    _exit(failed_checks != 0);
}

static void do_fork(struct runner *r)
{
    int status = -1;
    pid_t pid = fork();

    if (pid == 0) {
        in_child(r);
    }
    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
    atomic_fetch_add(&model.forks, 1);
}

static void *run(void *arg)
{
    struct runner *r = arg;

    for (unsigned i = 0; i < model.w->steps; i++) {
        step(r);
    }
    end_all(r);
    return NULL;
}

void model_run(const struct world *w, uint64_t seed)
{
    struct runner r[MAX_THREADS];
    pthread_t thread[MAX_THREADS];

    memset(&model, 0, sizeof(model));
    model.w = w;
    for (unsigned i = 0; i < w->groups; i++) {
        pthread_rwlock_init(&model.group[i].lock, NULL);
    }
    for (unsigned i = 0; i < w->threads; i++) {
        r[i] = (struct runner){.random = seed + i * 0x9e3779b97f4a7c15ULL};
        CHECK(pthread_create(&thread[i], NULL, run, &r[i]) == 0);
    }
    for (unsigned i = 0; i < w->threads; i++) {
        pthread_join(thread[i], NULL);
    }
    for (unsigned i = 0; i < w->threads; i++) {
        blocks_end(&r[i]);
    }
    for (unsigned i = 0; i < w->groups; i++) {
        CHECK(atomic_load(&model.group[i].holders) == 0);
        if (atomic_load(&model.group[i].vkey) != 0) {
            blocks_left(&model.group[i]);
        }
        if (atomic_load(&model.group[i].vkey) != 0) {
            CHECK(mpk_munmap(atomic_load(&model.group[i].vkey)) == 0);
        }
    }
    printf("     %u blocks, %u looks at them, %u freed, %u forks\n",
           atomic_load(&model.blocks), atomic_load(&model.looks),
           atomic_load(&model.freed), atomic_load(&model.forks));
    CHECK(atomic_load(&model.looks) > 0 && atomic_load(&model.freed) > 0);
    CHECK((atomic_load(&model.forks) > 0) == (w->fork_in > 0));
}
