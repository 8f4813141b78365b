/*
 * What the tests of fork share: a number inside the domain, and children that
 * look at it.
 */
#ifndef MPK_TEST_FORK_CELL_H
#define MPK_TEST_FORK_CELL_H

#include "core_test.h"

/* Where the number is. */
extern uint64_t *cell;

/* make makes the domain and the number, 1. */
void make(const struct setup *s);

/* The same, with a fork that has another library's handlers as well:
 * |meanwhile| runs after the core's first, |in_parent| after its last; NULL is
 * nothing. */
void make_with_company(const struct setup *s);
extern void (*meanwhile)(void);
extern void (*in_parent)(void);

/* What a child's handler does, by hand: the other threads of its parent are
 * none of its own, any of whom may have the lock, or fork; the last step,
 * inside; all of it, which returns what that does, or -1. */
void forget_the_parents_threads(void);
int64_t childs_step(void);
int64_t take_the_copies(void);

int64_t get(void);
void set(uint64_t value);

/* work_inside stays inside so long, with blocks and locks in use. */
void work_inside(uint64_t milliseconds);

/* take_blocks makes the heap larger by as many times 8 KiB. */
void take_blocks(uint64_t n);
/* The same by a light entry. */
void take_blocks_lightly(uint64_t n);

/* open_early waits inside for a fork, and then asks for its last step at once.
 */
int64_t open_early(void);

/* fork_to runs |body| in a child, which ends with 0 if all claims held. */
pid_t fork_to(void (*body)(void));
/* The same by a raw clone, which runs no handlers. */
pid_t clone_to(void (*body)(void));
bool ended_well(pid_t pid);

/* A |body|: all that a child can do. */
void use_everything(void);
/* One that knows that it has no domain. */
void use_no_domain(void);

#endif
