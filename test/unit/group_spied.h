/* group_spied.h - what group.c takes a lock by in group_blocks_test. */
#ifndef MPK_TEST_GROUP_SPIED_H
#define MPK_TEST_GROUP_SPIED_H

struct lock;

void spied_lock_take(struct lock *lock);

#endif
