/*
 * Protection keys as a CPU and a kernel have them, played by the linker's
 * --wrap: so that what virtual keys do with them can be run fast, under TSan,
 * and where there are none. Rights are those of a variable of each thread;
 * nothing faults, sim_allows says what would.
 */
#ifndef MPK_TEST_VKEY_SIM_H
#define MPK_TEST_VKEY_SIM_H

#include <stdbool.h>
#include <stddef.h>

/* VK_RACE of the core's files that are built for this. */
void sim_race(void);

/* How many keys there are, 15 or less; call before the first is taken. */
void sim_keys(int n);

/* Whether the calling thread may touch the page at |p|. */
bool sim_allows(const void *p, bool write);

#endif
