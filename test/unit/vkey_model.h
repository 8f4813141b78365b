/*
 * Random calls from several threads against a simple model of rights; what is
 * different between real keys, simulated ones and none is in |struct world|.
 */
#ifndef MPK_TEST_VKEY_MODEL_H
#define MPK_TEST_VKEY_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct world {
    unsigned threads, steps; /* of each thread */
    unsigned groups;
    unsigned nest;    /* groups that one thread has open at most */
    unsigned fork_in; /* a fork once in so many steps; 0: none */
    /* Rights are a thread's own, so that what it may not do can be checked
     * while others run. */
    bool own_rights;
    /* Whether the thread may touch the byte, which a write sets to anything; a
     * fault is checked in there. */
    bool (*allows)(const volatile char *p, bool write);
};

/* Runs it all; CHECKs. Call after mpk_init. */
void model_run(const struct world *w, uint64_t seed);

#endif
