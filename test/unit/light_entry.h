/*
 * What the tests of entries on the caller's stack share: stubs that say where
 * they are, or stay inside for a while, and what a caller sees of it.
 */
#ifndef MPK_TEST_LIGHT_ENTRY_H
#define MPK_TEST_LIGHT_ENTRY_H

#include "core_test.h"

/* where_stub, whose frame this is, says where it runs. */
struct where_frame {
    uintptr_t stack, copy, slot;
    int64_t inside;
};

int64_t where_stub(void *frame);

/* A test that has signals |handled| sets how many it needs. */
extern volatile unsigned handled, awaited;
int64_t milliseconds(void);
/* Until the time is over and enough signals were handled, on a machine that
 * lets us run so rarely; within a minute. */
bool goes_on(int64_t until);

/* Is inside for |*frame| milliseconds; says whether its block stayed its own.*/
int64_t spin_stub(void *frame);

/* Is inside, and says so by |holding|, until it is |let_go|; returns whether
 * its slot stayed its own. */
extern volatile int holding, let_go;
int64_t hold_stub(void *frame);

/* Backend mprotect has no light entries. */
bool light(const struct setup *s);

/* Whether nobody is in it; no entry has this number. */
bool is_free(uint64_t slot);

/* Of gate_abi. */
size_t secrets_on_stack(void);

#endif
