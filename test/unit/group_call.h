/*
 * What the tests of page groups share: a group with a block in it, what stubs
 * do with it, and the domain that has them.
 */
#ifndef MPK_TEST_GROUP_CALL_H
#define MPK_TEST_GROUP_CALL_H

#include "core_test.h"

struct frame {
    uint64_t what, group, other;
    volatile uint64_t *p;
    uint64_t value;
};

enum {
    MAKE,      /* a group, with a block that holds |value| */
    READ_OPEN, /* the block, with |group| open */
    READ_SHUT, /* the block, with |other| open if it is not 0 */
    FREE,
    LARGE, /* a group of LARGE_LEN bytes, with a block */
    HOLD,  /* the group is open until |go| says otherwise */
    OWN,   /* and those of a program, from here on */
};

#define LARGE_LEN ((size_t)16 << 20)

extern _Atomic int holding, go[3];

/* own_stub is what each program defines for its own. */
int64_t own_stub(struct frame *f);

/* Whose group stays open until go[value - 1]; with |keeps|, and a block of it
 * was given back. */
int64_t hold(struct frame *f, int keeps);

/* start makes the domain, with this many keys for groups. */
extern uint32_t group_keys;
void start(const struct setup *s);

int64_t call(uint64_t what, struct frame *f);
/* What MAKE has made. */
struct frame made(uint64_t value);
/* A thread that does HOLD. */
void *holds(void *frame);

#endif
