/* entries.c - the gate's table. This is the place that decides what kind of
 * entry an operation is. */
#include "cipher.h"
#include "inside.h"
#include "secret.h"

/* What an operation leaves in the inner queue is not for a later one on this
 * stack to report. |leaves| says of |ret| whether it can have left anything. */
#define ENTRY_WHEN(name, ready, leaves)                                        \
    static int64_t name##_entry(void *frame)                                   \
    {                                                                          \
        int64_t ret = (ready) ? name##_stub(frame) : 0;                        \
                                                                               \
        if (leaves) {                                                          \
            forget_errors();                                                   \
        }                                                                      \
        return ret;                                                            \
    }
#define ENTRY(name) ENTRY_WHEN(name, 1, 1)
/* Without session secrets there is nothing ready inside that these could run
 * on, whoever calls them. */
#define TLS_ENTRY(name) ENTRY_WHEN(name, secrets_on(), 1)
/* Ciphers that succeed leave nothing, and a look takes as long as a short
 * record's bytes. */
#define LIGHT_ENTRY(name) ENTRY_WHEN(name, secrets_on(), ret != 1)
MPKPROV_KEY_OPS(ENTRY)
MPKPROV_KDF_OPS(ENTRY)
MPKPROV_GROUP_OPS(ENTRY)
MPKPROV_RAND_OPS(ENTRY)
MPKPROV_CIPHER_OPS(TLS_ENTRY)
MPKPROV_LIGHT_OPS(LIGHT_ENTRY)
MPKPROV_RECORD_OPS(LIGHT_ENTRY)

#define ON_DOMAIN_STACK(name)                                                  \
    {name##_entry, sizeof(struct mpkprov_frame), MPK_KIND_STACK},
#define ON_CALLERS_STACK(name)                                                 \
    {name##_entry, sizeof(struct mpkprov_frame), MPK_KIND_LIGHT},

const struct mpk_entry mpkprov_entries[] = {
    MPK_CORE_ENTRIES,
    MPKPROV_OPS(ON_DOMAIN_STACK) MPKPROV_LIGHT_OPS(ON_CALLERS_STACK){
        cipher_record_entry, sizeof(struct cipher_record), MPK_KIND_LIGHT},
    {cipher_record_deep_entry, sizeof(struct cipher_record), MPK_KIND_STACK}};

const uint32_t mpkprov_n_entries =
    sizeof(mpkprov_entries) / sizeof(mpkprov_entries[0]);
