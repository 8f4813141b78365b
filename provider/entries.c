/* entries.c - the gate's table. This is the place that decides what kind of
 * entry an operation is. */
#include "ops.h"

#define ON_DOMAIN_STACK(name)                                                  \
    {name##_stub, sizeof(struct mpkprov_frame), MPK_KIND_STACK},

const struct mpk_entry mpkprov_entries[] = {MPK_CORE_ENTRIES,
                                            MPKPROV_OPS(ON_DOMAIN_STACK)};

const uint32_t mpkprov_n_entries =
    sizeof(mpkprov_entries) / sizeof(mpkprov_entries[0]);
