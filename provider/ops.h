/*
 * ops.h - the operations that cross the gate, and what crosses with them.
 *
 * Each one has a *_proxy side that runs outside, in the application's
 * OpenSSL, and a *_stub that runs inside, on the inner OpenSSL's own dispatch
 * functions. Both stand in the same file where that is not too long; what
 * NAME.c has outside is otherwise in NAME_stub.c inside, and the loading and
 * printing of keys in keyload.c. MPKPROV_OPS and the two lists after it are the
 * whole of them; the numbers and the gate's table are made from it.
 */
#ifndef MPKPROV_OPS_H
#define MPKPROV_OPS_H

#include "type_list.h"

#include <mpkcore/gate.h>

#include <openssl/core.h>

#include <stddef.h>
#include <stdint.h>

#define MPKPROV_KEY_OPS(X)                                                     \
    X(inner_boot)                                                              \
    X(inner_count)                                                             \
    X(key_new)                                                                 \
    X(key_free)                                                                \
    X(key_has)                                                                 \
    X(key_match)                                                               \
    X(key_validate)                                                            \
    X(key_dup)                                                                 \
    X(key_import)                                                              \
    X(key_export)                                                              \
    X(key_get)                                                                 \
    X(key_set)                                                                 \
    X(key_print)                                                               \
    X(key_decode)                                                              \
    X(key_file)                                                                \
    X(key_seal)                                                                \
    X(gen_open)                                                                \
    X(gen_set)                                                                 \
    X(gen_template)                                                            \
    X(gen_run)                                                                 \
    X(ctx_free)                                                                \
    X(ctx_dup)                                                                 \
    X(ctx_get)                                                                 \
    X(ctx_set)                                                                 \
    X(ctx_tables)                                                              \
    X(sig_init)                                                                \
    X(sig_update)                                                              \
    X(sig_make)                                                                \
    X(sig_check)                                                               \
    X(enc_init)                                                                \
    X(enc_run)                                                                 \
    X(kex_init)                                                                \
    X(kex_peer)                                                                \
    X(kex_derive)                                                              \
    X(kem_init)                                                                \
    X(kem_run)

/* Session secrets: one list for each of tls_kdf.c, tls_group.c, tls_cipher.c
 * and tls_rand.c. */
#define MPKPROV_KDF_OPS(X)                                                     \
    X(tls_boot)                                                                \
    X(kdf_derive)
#define MPKPROV_GROUP_OPS(X)                                                   \
    X(group_there)                                                             \
    X(group_gen)                                                               \
    X(group_free)                                                              \
    X(group_check)                                                             \
    X(group_prime)                                                             \
    X(group_derive)                                                            \
    X(group_encapsulate)                                                       \
    X(group_decapsulate)
#define MPKPROV_CIPHER_OPS(X)                                                  \
    X(cipher_init)                                                             \
    X(cipher_get)                                                              \
    X(cipher_set)                                                              \
    X(cipher_dup)                                                              \
    X(cipher_free)                                                             \
    X(cipher_draw)                                                             \
    X(cipher_info)
#define MPKPROV_RAND_OPS(X) X(rand_make)

#define MPKPROV_OPS(X)                                                         \
    MPKPROV_KEY_OPS(X)                                                         \
    MPKPROV_KDF_OPS(X)                                                         \
    MPKPROV_GROUP_OPS(X)                                                       \
    MPKPROV_CIPHER_OPS(X)                                                      \
    MPKPROV_RAND_OPS(X)

/*
 * Those that run on the caller's stack with signals open, the price of which
 * is in docs/design/gate.md: for the records of a connection only.
 */
#define MPKPROV_LIGHT_OPS(X)                                                   \
    X(cipher_start)                                                            \
    X(cipher_run)

/* Those whose frame is a struct cipher_record; the first is a light one. */
#define MPKPROV_RECORD_OPS(X)                                                  \
    X(cipher_record)                                                           \
    X(cipher_record_deep)

enum mpkprov_op {
    MPKPROV_OP_FIRST = MPK_ENTRY_FIRST - 1,
#define X(name) OP_##name,
    MPKPROV_OPS(X) MPKPROV_LIGHT_OPS(X) MPKPROV_RECORD_OPS(X)
#undef X
};

#define X(name) int64_t name##_stub(void *frame);
MPKPROV_OPS(X)
MPKPROV_LIGHT_OPS(X)
MPKPROV_RECORD_OPS(X)
#undef X

extern const struct mpk_entry mpkprov_entries[];
extern const uint32_t mpkprov_n_entries;

/* Key types. */
enum key_type {
#define X(T, lower, name, aliases) KEY_##T,
    MPKPROV_KEY_TYPES(X)
#undef X
        KEY_TYPES,
    KEY_ANY = -1
};

/* Operation contexts. */
enum ctx_class { CTX_SIG, CTX_ENC, CTX_KEX, CTX_KEM, CTX_CLASSES };

/* What a handle stands for. */
enum object_kind {
    OBJECT_KEY = 1,
    OBJECT_CTX,
    OBJECT_GEN,
    OBJECT_EPHEMERAL, /* key of a TLS group; tls_group_key.c */
    OBJECT_CIPHER
};

/* Which parameters ctx_tables is asked for: what can be set to generate a key,
 * or what a context answers and takes, and its digest. */
enum { TABLE_GEN = -1, TABLE_GET, TABLE_SET, TABLE_GET_MD, TABLE_SET_MD };

#define MPKPROV_ERROR_TEXT 160

/* Sets of parameters that can go in with one call. */
#define MPKPROV_SETS 4
/* Contexts that have ended and wait for a call to go in with. */
#define MPKPROV_ENDED 4

/* What went wrong inside: a reason of reason.h and a sentence. */
struct mpkprov_error {
    int reason;
    char text[MPKPROV_ERROR_TEXT];
};

/* What inner_count counts. */
enum { MPKPROV_COUNT_CROSSINGS, MPKPROV_COUNT_BLOCKS };

/*
 * The frame of every operation. Which members an operation uses is said at its
 * stub. Pointers are the application's and are never followed but through
 * mpk_copy_in and mpk_copy_out, or after mpk_is_outside.
 */
struct mpkprov_frame {
    uint64_t handle;  /* of the object that is worked on; in and out */
    uint64_t handle2; /* of another one, such as the key of a context */
    int32_t type;     /* enum key_type */
    int32_t what;     /* a selection, or which variant of the operation */
    const void *in;
    size_t in_len;
    const void *in2;
    size_t in2_len;
    void *out;
    size_t out_len; /* room at |out|; then how much was, or would be, put */
    void *out2;
    size_t out2_len;
    const OSSL_PARAM *params;
    const char *name;
    uint64_t ended[MPKPROV_ENDED]; /* handles of contexts to free, or 0 */
    struct mpkprov_error error;
};

_Static_assert(sizeof(struct mpkprov_frame) <= MPK_FRAME_MAX, "fits the gate");

/* Of such a parameter |data| is where the value is, and |data_size| the length
 * of that, on both sides. */
static inline int param_is_reference(const OSSL_PARAM *p)
{
    return p->data_type == OSSL_PARAM_UTF8_PTR ||
           p->data_type == OSSL_PARAM_OCTET_PTR;
}

#endif
