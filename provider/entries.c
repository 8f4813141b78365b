/* entries.c - the gate's table. This is the place that decides what kind of
 * entry an operation is. */
#include "inside.h"

/* What an earlier operation on this stack left in the inner queue is not this
 * one's to report. */
#define ENTRY(name)                                                            \
    static int64_t name##_entry(void *frame)                                   \
    {                                                                          \
        forget_errors();                                                       \
        return name##_stub(frame);                                             \
    }
MPKPROV_OPS(ENTRY)
MPKPROV_LIGHT_OPS(ENTRY)

#define ON_DOMAIN_STACK(name)                                                  \
    {name##_entry, sizeof(struct mpkprov_frame), MPK_KIND_STACK},
#define ON_CALLERS_STACK(name)                                                 \
    {name##_entry, sizeof(struct mpkprov_frame), MPK_KIND_LIGHT},

const struct mpk_entry mpkprov_entries[] = {
    MPK_CORE_ENTRIES,
    MPKPROV_OPS(ON_DOMAIN_STACK) MPKPROV_LIGHT_OPS(ON_CALLERS_STACK)};

const uint32_t mpkprov_n_entries =
    sizeof(mpkprov_entries) / sizeof(mpkprov_entries[0]);
