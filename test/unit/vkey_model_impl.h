/*
 * What the parts of the model share: vkey_model.c has groups and rights,
 * vkey_model_blocks.c blocks of groups.
 */
#ifndef MPK_TEST_VKEY_MODEL_IMPL_H
#define MPK_TEST_VKEY_MODEL_IMPL_H

#include "core_test.h"
#include "vkey_model.h"

#include <mpkcore/mpk.h>

#include <pthread.h>
#include <stdatomic.h>

#define MAX_GROUPS 256
#define MAX_THREADS 16
#define MAX_PAGES 4
#define MAX_BLOCKS 12 /* of a thread */
#define GRAIN 64

/*
 * What the model knows of a group. |vkey| and what follows change under |lock|,
 * which a thread holds alone around calls that make or destroy, and with others
 * around those for blocks; begin and end take no lock, so their results are
 * checked against what the group can have been meanwhile: it has a version that
 * grows with each change.
 */
struct group {
    pthread_rwlock_t lock;
    _Atomic uint64_t version; /* odd: being changed */
    _Atomic uint64_t vkey;    /* 0: there is none */
    _Atomic uintptr_t base;
    _Atomic int prot, global;
    _Atomic int holders;
    _Atomic size_t len;
    /* Words are written here to see who may; what is around it is for blocks.
     * All of the group, if it has none. */
    _Atomic uintptr_t part;
    _Atomic size_t part_len;
    _Atomic int leaks; /* blocks that nobody will free */
    _Atomic uint64_t taken[MAX_PAGES * 4096 / GRAIN / 64];
};

struct model {
    const struct world *w;
    struct group group[MAX_GROUPS];
    _Atomic mpk_vkey_t dead[1024];
    _Atomic unsigned n_dead;
    _Atomic unsigned blocks, looks, freed, forks;
};

extern struct model model;

struct held {
    unsigned group;
    mpk_vkey_t vkey;
    uintptr_t part;
    size_t part_len;
    int prot;
};

struct block {
    unsigned group;
    mpk_vkey_t vkey;
    uint64_t *word;
    size_t words;
    uint64_t content; /* of each word */
};

struct runner {
    uint64_t random;
    unsigned steps;
    bool in_child;
    unsigned depth;
    struct held held[MPK_NEST_MAX];
    unsigned blocks;
    struct block block[MAX_BLOCKS];
};

/* A number below |n|. */
unsigned pick(struct runner *r, unsigned n);

/* blocks_of_new makes room for blocks in the group |i|, which is |vkey| now and
 * not yet to be found, or not. */
void blocks_of_new(struct runner *r, unsigned i, mpk_vkey_t vkey);

/* blocks_step makes, looks at, or frees a block. */
void blocks_step(struct runner *r);

/* blocks_end frees what is left of a thread's, blocks_left claims that there is
 * room again. For one thread, with nothing open. */
void blocks_end(struct runner *r);
void blocks_left(struct group *g);

#endif
