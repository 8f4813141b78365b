/*
 * Goes before the core's vkey_blocks.c: while a thread changes the bits that
 * say which blocks there are, others get ahead, if there is no lock.
 */
#ifndef MPK_TEST_VKEY_SIM_BLOCKS_H
#define MPK_TEST_VKEY_SIM_BLOCKS_H

#include "vkey_sim.h"

/* What is not to be changed by what follows. */
#include "../../mpkcore/vkey.h"

#include <stdatomic.h>
#include <stdint.h>

static inline void sim_store(_Atomic uint64_t *p, uint64_t value,
                             memory_order order)
{
    sim_race();
    atomic_store_explicit(p, value, order);
}

#undef atomic_store_explicit
#define atomic_store_explicit sim_store

#endif
