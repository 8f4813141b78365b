/* guard.c - ways to protect two regions of memory. */
#include "guard.h"

#include "../groups.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

/* ---- page groups --------------------------------------------------------- */

bool guard_start(const char **why)
{
#ifdef STORE_PLAYED /* the linker has put test/unit/vkey_sim.c in their place  \
                     */
    *why = NULL;
    groups_start_without(MPK_BACKEND_MPK);
    return true;
#else
    return groups_start(why);
#endif
}

static void map_one(struct region *r, bool group)
{
    void *p = NULL;

    if (group) {
        groups_must(mpk_mmap(&r->vkey, &p, r->len, RW, ANON, -1, 0),
                    "mpk_mmap");
        groups_must(mpk_mprotect(r->vkey, RW), "mpk_mprotect");
    } else {
        p = mmap(NULL, r->len, RW, ANON, -1, 0);
        if (p == MAP_FAILED) {
            perror("mmap");
            exit(1);
        }
    }
    r->p = p;
    /* Huge pages would come to one region and not to another. */
    madvise(p, r->len, MADV_NOHUGEPAGE);
}

void guard_map(struct guard *g, const size_t *len)
{
    for (int i = 0; i < REGIONS; i++) {
        g->regions[i] = (struct region){.len = len[i]};
        map_one(&g->regions[i], g->groups);
    }
}

/* Pages that have got their rights just now fault once more where a hypervisor
 * keeps page tables of its own. */
static void touch(const struct region *r)
{
    for (size_t at = 0; at < r->len; at += 4096) {
        volatile char *c = r->p + at;

        *c = *c;
    }
}

void guard_settle(struct guard *g)
{
    for (int i = 0; i < REGIONS; i++) {
        if (g->groups) {
            groups_must(mpk_mprotect(g->regions[i].vkey, PROT_NONE),
                        "mpk_mprotect");
        }
    }
    g->open(g);
    for (int i = 0; i < REGIONS; i++) {
        touch(&g->regions[i]);
    }
    g->close(g);
}

/* ---- begin and end ------------------------------------------------------- */

static void nothing(struct guard *g)
{
    (void)g;
}

static void begin(struct guard *g)
{
    groups_must(mpk_begin(g->regions[INDEX].vkey, RW), "mpk_begin");
    groups_must(mpk_begin(g->regions[SLABS].vkey, RW), "mpk_begin");
}

static void end(struct guard *g)
{
    groups_must(mpk_end(g->regions[SLABS].vkey), "mpk_end");
    groups_must(mpk_end(g->regions[INDEX].vkey), "mpk_end");
}

/* ---- for all threads ----------------------------------------------------- */

/*
 * Rights of all threads: the first request opens, and the last one that is
 * under way closes. A request that closed on its own would take the store away
 * from the others.
 */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned inside;

static int protect_group(const struct region *r, int prot)
{
    return mpk_mprotect(r->vkey, prot);
}

static int protect_pages(const struct region *r, int prot)
{
    return mprotect(r->p, r->len, prot);
}

static void all(struct guard *g, int prot,
                int (*protect)(const struct region *r, int prot))
{
    for (int i = 0; i < REGIONS; i++) {
        groups_must(protect(&g->regions[i], prot), "rights of all threads");
    }
}

static void one_more(struct guard *g,
                     int (*protect)(const struct region *r, int prot))
{
    pthread_mutex_lock(&lock);
    if (inside++ == 0) {
        all(g, RW, protect);
    }
    pthread_mutex_unlock(&lock);
}

static void one_less(struct guard *g,
                     int (*protect)(const struct region *r, int prot))
{
    pthread_mutex_lock(&lock);
    if (--inside == 0) {
        all(g, PROT_NONE, protect);
    }
    pthread_mutex_unlock(&lock);
}

static void open_groups(struct guard *g)
{
    one_more(g, protect_group);
}

static void close_groups(struct guard *g)
{
    one_less(g, protect_group);
}

static void open_pages(struct guard *g)
{
    one_more(g, protect_pages);
}

static void close_pages(struct guard *g)
{
    one_less(g, protect_pages);
}

struct guard guard_of(enum way_to_guard way, struct region *regions)
{
    static const struct guard guards[GUARDS] = {
        [NONE] = {"none", NULL, nothing, nothing, false, false},
#ifdef STORE_PLAYED
        [BEGIN_END] = {"begin-end-played", NULL, begin, end, true, false},
#else
        [BEGIN_END] = {"begin-end", NULL, begin, end, true, true},
#endif
        [MPK_MPROTECT] = {"mpk-mprotect", NULL, open_groups, close_groups, true,
                          true},
        [MPROTECT] = {"mprotect", NULL, open_pages, close_pages, false, true},
    };
    struct guard g = guards[way];

    g.regions = regions;
    return g;
}

/* ---- does it close? ------------------------------------------------------ */

static sigjmp_buf after;

static void on_fault(int signo)
{
    (void)signo;
    siglongjmp(after, 1);
}

/* siglongjmp leaves the handler's rights: every group closed, as they were. */
bool guard_faults(const volatile char *p, bool write)
{
    struct sigaction catch = {.sa_handler = on_fault, .sa_flags = SA_NODEFER};
    struct sigaction before;
    volatile bool faulted = true;

    sigaction(SIGSEGV, &catch, &before);
    if (sigsetjmp(after, 0) == 0) {
        char c = *p;

        if (write) {
            *(volatile char *)(uintptr_t)p = c;
        }
        faulted = false;
    }
    sigaction(SIGSEGV, &before, NULL);
    return faulted;
}
