/* Where the tests of the gate's entries aim pointers. */
#ifndef MPK_TEST_INTEROP_ATTACK_ENTRY_TARGETS_H
#define MPK_TEST_INTEROP_ATTACK_ENTRY_TARGETS_H

#include <stdbool.h>
#include <stddef.h>

struct target {
    const char *name;
    char *p;
    size_t len; /* given with it, if there is one to give */
    bool unmapped;
};

#define TARGETS 10
extern struct target targets[TARGETS];
extern bool below_is_ours; /* else a name there may end before it is inside */
extern char *readable;     /* 64 bytes that backend none lets us look at */

/* find_targets asks the core where the domain is. */
void find_targets(void);

#endif
