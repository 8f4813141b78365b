/*
 * inside.h - what stubs use. Nothing here may be called outside the gate: the
 * inner OpenSSL's functions and data live in the domain.
 */
#ifndef MPKPROV_INSIDE_H
#define MPKPROV_INSIDE_H

#include "ops.h"
#include "reason.h"
#include "types.h"

#include <mpkcore/heap.h>

#include <openssl/core.h>
#include <openssl/core_dispatch.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rsa.h>

/* ---- the inner provider (inner.c) --------------------------------------- */

/* An algorithm's dispatch functions by their number. */
#define INNER_FUNCTIONS 64
struct inner_alg {
    void (*fn[INNER_FUNCTIONS])(void);
};

struct inner {
    OSSL_PROVIDER *provider;
    void *provctx;
    struct inner_alg keymgmt[KEY_TYPES];
    struct inner_alg ctx[CTX_CLASSES][KEY_TYPES];
};

extern struct inner mpkprov_inner;

/* Fills |alg| from the algorithm |name| of operation |op| of the inner
 * provider. 1, or 0 and |alg| as it was when there is none. */
int inner_look_up(int op, const char *name, struct inner_alg *alg);
/* The same from an algorithm that was found otherwise. */
void inner_fill(struct inner_alg *alg, const OSSL_DISPATCH *d);

/*
 * What the inner OpenSSL cannot make for want of memory, it never makes again.
 * So inner_methods makes what all signatures need, digests and random numbers,
 * when the first key comes; 1, or 0 with an error.
 */
MPK_MUST_CHECK int inner_methods(struct mpkprov_frame *f);

/* INNER(alg, FN, id): function |id| of |alg| with type OSSL_FUNC_FN_fn, NULL
 * when the algorithm has none. */
#define INNER(alg, type, id) ((OSSL_FUNC_##type##_fn *)(alg)->fn[id])
/* KEY_FN(type, FN, ID): function OSSL_FUNC_KEYMGMT_ID, of type
 * OSSL_FUNC_keymgmt_FN_fn, of the keys of |type|. */
#define KEY_FN(type, fn, id)                                                   \
    INNER(&mpkprov_inner.keymgmt[type], keymgmt_##fn, OSSL_FUNC_KEYMGMT_##id)

/* ---- its provider, in two parts (inner_ciphers.c) ----------------------- */

/* Loads the inner default provider without most of its ciphers; NULL on failure
 * (no memory), with or without an error in the inner queue. */
OSSL_PROVIDER *inner_default_provider(OSSL_LIB_CTX *ctx);

/* All that the inner default provider has for an operation (OSSL_OP_*), ciphers
 * included, once it is loaded; NULL if nothing. */
const OSSL_ALGORITHM *inner_algorithms(int op);

/*
 * Has libcrypto know the other ciphers too. EVP_CIPHER_fetch inside does so
 * when it has to; who gets a cipher otherwise, by EVP_get_cipherbyname, calls
 * this first. 1, or 0 where there was no memory; may be called again.
 * Thread-safe.
 */
MPK_MUST_CHECK int inner_all_ciphers(void);

/* ---- objects and their handles (handle.c) ------------------------------- */

struct object {
    enum object_kind kind;
    enum key_type type;
    enum ctx_class cls; /* of an OBJECT_CTX */
    int what;           /* the variant a context was made for; a TLS group */
    /* A key that has its numbers; with which something can be done. */
    uint8_t filled, whole;
    uint8_t ready;  /* a context whose last init has worked */
    uint8_t copied; /* a context that began as a copy of another */
    _Atomic uint8_t
        used;   /* a key that contexts hold; set by all who share it */
    void *data; /* the inner OpenSSL's object */
    union {
        struct keygroup *group; /* where a private key is, or NULL */
        void *from;             /* of an OBJECT_GEN: the template, or NULL */
    };
    struct object *holds; /* the key that a context borrows, pinned, or NULL */
};

/*
 * handle_new makes an object of |kind|, pinned exclusively, with the handle
 * |*handle|. The caller fills it and calls handle_made, which lets others at it
 * or, when it is not |ok| or has no data, drops it. Returns NULL when there is
 * no memory; handle_made takes that too and returns 0.
 */
struct object *handle_new(enum object_kind kind, uint64_t *handle);
int handle_made(struct object *o, uint64_t *handle, int ok);

/*
 * handle_pin finds the object of |handle| if it is of |kind|, and keeps it
 * alive until handle_unpin. With |exclusive| nobody else may be using it, and
 * nobody can until then. Returns NULL for a forged, stale or busy handle, or
 * one of another kind.
 */
struct object *handle_pin(uint64_t handle, enum object_kind kind,
                          int exclusive);
void handle_unpin(struct object *o);
/* handle_hold pins once more an object that the caller has pinned, even when
 * its handle has ended. Returns 1, or 0 when too many have it. */
MPK_MUST_CHECK int handle_hold(struct object *o);

/* handle_free ends |handle|; its object goes when nobody has it pinned. */
void handle_free(uint64_t handle, enum object_kind kind);
/* All of f->ended, which are of this |kind|. */
void handle_free_ended(const struct mpkprov_frame *f, enum object_kind kind);

/*
 * Ended objects whose pages could not be opened (object_release) are freed as
 * soon as they can be: when handle_free_late is called. Not from a light entry:
 * what frees a key is not run on the caller's stack. No group may be open.
 */
void handle_free_late(void);

/* Frees what an object holds; for handle.c. 1, or 0 and nothing has changed, if
 * its pages cannot be opened. */
int object_release(struct object *o);
/* The part of that for an OBJECT_CIPHER (cipher_stub.c). */
void cipher_release(void *data);

/* ---- contexts (opctx_stub.c) --------------------------------------------- */

/* ctx_key pins the key f->handle2, with which something is to be done; NULL
 * with an error. */
struct object *ctx_key(struct mpkprov_frame *f);

/*
 * ctx_open pins the context f->handle of |cls|, or makes one when it is 0, and
 * the key f->handle2 if there is one; 1, or 0 with an error. A context that
 * was made stays even when its init fails, as in any provider. ctx_close
 * unpins both.
 */
int ctx_open(struct mpkprov_frame *f, enum ctx_class cls, struct object **ctx,
             struct object **key);
void ctx_close(struct object *ctx, struct object *key);
/* ctx_set gives |params|, which are inside, to a context; 1 or 0. */
int ctx_set(const struct object *ctx, const OSSL_PARAM *params);
/*
 * ctx_init is an init that takes a key and parameters and nothing else:
 * function |id| of the inner algorithm, on f->handle, f->handle2, f->params.
 */
int ctx_init(struct mpkprov_frame *f, enum ctx_class cls, int id,
             const char *what);

/* ctx_pin pins f->handle for use, exclusively, if it is a context of |cls|
 * that is ready; NULL with an error. */
struct object *ctx_pin(struct mpkprov_frame *f, enum ctx_class cls);

/* A table of the inner OpenSSL becomes f->out if it may be shown: if it lies in
 * read-only data. Returns 1. */
int table_show(struct mpkprov_frame *f, const OSSL_PARAM *t);

/* The inner algorithm that |ctx| runs. */
static inline const struct inner_alg *ctx_alg(const struct object *ctx)
{
    return &mpkprov_inner.ctx[ctx->cls][ctx->type];
}

/* ---- parameters (params.c) ----------------------------------------------- */

#define PARAMS_MAX 64
#define PARAMS_NAME 64
/* A number or string larger than this is no parameter. */
#define PARAMS_DATA_MAX ((size_t)1 << 20)

struct params_in {
    OSSL_PARAM p[PARAMS_MAX + 1];
    char name[PARAMS_MAX][PARAMS_NAME];
    /* For those that are answered: where the caller wants it. */
    OSSL_PARAM *outer[PARAMS_MAX];
    void *outer_data[PARAMS_MAX];
    size_t n;
};

/*
 * params_enter copies the caller's parameters into the domain: names and, to
 * set something, values; to get something, room of the same size. With |allow|
 * only those names. Returns 1, or 0 on a pointer into the domain, on too many
 * or too large ones, or without memory. Either way |ps| is then good for
 * params_free. A NULL |outer| is an empty list.
 */
MPK_MUST_CHECK int params_enter(struct params_in *ps, const OSSL_PARAM *outer,
                                int to_get, const char *const *allow);
/* A number of a key's: as long as RSA's longest modulus here, and a sign. */
#define PARAMS_NUMBER_MAX (OPENSSL_RSA_MAX_MODULUS_BITS / 8 + 1)
/*
 * params_may_end: whether a key of these parameters, which are inside, can be
 * computed with in seconds; 1, or 0 with an error in the inner queue. Inside
 * nothing can be broken off: signals wait, and so does whoever forks.
 * params_enter has looked.
 */
MPK_MUST_CHECK int params_may_end(const OSSL_PARAM *params);
/*
 * params_answer copies the answers to where the caller wants them. What is
 * asked for by reference is put into |room| bytes at |scratch| outside, and
 * the caller's pointer set to it there. Returns 1 or 0.
 */
int params_answer(struct params_in *ps, void *scratch, size_t room);
/* After a get that has failed: says of what was not answered how large it is,
 * or 0, and nothing else. */
void params_answer_room(struct params_in *ps);
void params_free(struct params_in *ps);
/* For an init: what the caller gave, and NULL for NULL, of which some inner
 * functions make something else than of an empty list. */
static inline const OSSL_PARAM *params_or_null(const struct mpkprov_frame *f,
                                               const struct params_in *ps)
{
    return f->params != NULL ? ps->p : NULL;
}
/*
 * Writes |params| flat into |room| bytes at |out| outside, so that the result
 * is an OSSL_PARAM array there; the names, which must be constants, are shown
 * where they are. Returns the bytes needed; nothing is written when |room| is
 * less. 0 on a bad pointer.
 */
size_t params_flatten(void *out, size_t room, const OSSL_PARAM *params);

/* ---- small helpers (inner.c) --------------------------------------------- */

/* Records an error for the caller's queue; returns 0. |text| may be NULL. */
int fail(struct mpkprov_frame *f, int reason, const char *text)
    __attribute__((cold));
/*
 * The same with a text in parts, up to a NULL. Nothing inside uses printf: it
 * calls what a program has registered with libc, in memory that anybody can
 * write.
 */
int fail_with(struct mpkprov_frame *f, int reason, const char *const *part)
    __attribute__((cold));
/* The same with what the inner OpenSSL says, whose queue is left empty. An
 * error that is there already stays: it is nearer to the cause. */
int fail_inner(struct mpkprov_frame *f, const char *what) __attribute__((cold));
/* params_enter has failed: for what has been said of it, by the inner OpenSSL's
 * queue too, or else for what the caller gave. */
int fail_params(struct mpkprov_frame *f, const char *what)
    __attribute__((cold));
/* params_enter for f->params, or that error; either way |ps| is for
 * params_free. */
MPK_MUST_CHECK static inline int frame_params_enter(struct mpkprov_frame *f,
                                                    struct params_in *ps,
                                                    int to_get,
                                                    const char *what)
{
    return params_enter(ps, f->params, to_get, NULL) || fail_params(f, what);
}
#define OUT_OF_MEMORY                                                          \
    "out of domain memory: raise the limit on locked memory, on descriptors "  \
    "or on addresses, or set 'memory = auto'"
/*
 * Whether the heap has refused nothing since mpk_heap_refused() was |refused|.
 * What libcrypto does without a block it does not always say: so what it has
 * made of a key meanwhile is no success, and fail_inner says why.
 */
static inline int had_memory(uint64_t refused)
{
    return mpk_heap_refused() == refused;
}

/* Drops what the inner OpenSSL has queued. */
void forget_errors(void);

/* A copy inside of the |len| bytes at |p|, to be freed with mpk_heap_free. NULL
 * for a bad pointer or without memory, with the error recorded. */
void *take(struct mpkprov_frame *f, const void *p, size_t len);
/* The same for a string; |*out| is NULL for NULL. Returns 1 or 0. */
int take_string(struct mpkprov_frame *f, const char *s, char out[64],
                const char **ptr);
/* Puts |len| bytes at f->out if there is room, and sets f->out_len. */
int give(struct mpkprov_frame *f, const void *p, size_t len);

/* ---- files (file.c) ------------------------------------------------------ */

/*
 * The whole file |path| of at most |max| bytes, read straight into the domain,
 * to be freed with mpk_heap_free; NULL with an error recorded. With
 * |only_owner| it is refused when others have rights to it.
 */
unsigned char *file_take(struct mpkprov_frame *f, const char *path, size_t max,
                         int only_owner, size_t *len);

/* ---- a page group for each private key (keygroup.c) ---------------------- */

/* Uses: what = 1 for groups, type = 1 if they must be closed to others. */
int keygroup_boot(struct mpkprov_frame *f);
/* The inner OpenSSL's memory: keys and numbers from the group that is open. */
void *keygroup_malloc(size_t n, const char *file);
void *keygroup_realloc(void *p, size_t n, const char *file);
/*
 * keygroup_open opens the group of a key, or of the key that a context was made
 * for; 1, or 0 with an error. Nothing is done where there is none. A stub has
 * one open at a time, and closes it before it unpins an object: the end of an
 * object opens its group again.
 */
MPK_MUST_CHECK int keygroup_open(struct mpkprov_frame *f,
                                 const struct object *o);
void keygroup_close(const struct object *o);
/* keygroup_share gives |o|, which has no group, that of |with|. */
void keygroup_share(struct object *o, const struct object *with);
/* keygroup_drop takes it away; the last one frees it. */
void keygroup_drop(struct object *o);
/* keygroup_move puts a private key, which nobody else knows yet, into a group
 * of its own if that is configured; 1, or 0 with an error. */
MPK_MUST_CHECK int keygroup_move(struct mpkprov_frame *f, struct object *key);
/* The |selection| of a key's numbers as parameters, and as an inner key, in the
 * shared heap; NULL on failure, as for a type that has no such numbers. No
 * group may be open. */
OSSL_PARAM *keygroup_numbers(struct mpkprov_frame *f, const struct object *key,
                             int selection);
void *keygroup_copy(struct mpkprov_frame *f, const struct object *key,
                    int selection);

/* ---- keys (keymgmt_stub.c) --------------------------------------------- */

/* Whether a frame's number is one of an enum key_type. */
static inline int key_type_ok(int32_t type)
{
    return type >= 0 && type < KEY_TYPES;
}
/* An empty inner key of |type|, or NULL; and its end, which takes NULL. */
void *key_data_new(enum key_type type);
void key_data_free(enum key_type type, void *data);
/* Whether it is more than parameters and a public part. */
int key_data_has_private(enum key_type type, const void *data);
/*
 * Finds out whether a context can be made for |o|: the inner OpenSSL's
 * functions look at a key's numbers and not whether it has any. |o| has data,
 * and is in no group or in the one that is open.
 */
void key_note_whole(struct object *o);
/* Imports the inner |pkey| as a new key object; 1, or 0 with an error. */
int key_adopt(struct mpkprov_frame *f, EVP_PKEY *pkey);
/* The same with |data|, an inner key of |type|, which stays the caller's. */
int key_adopt_data(struct mpkprov_frame *f, enum key_type type, void *data);
/* The public part of |key| as an inner EVP_PKEY, or NULL. */
EVP_PKEY *key_public(struct mpkprov_frame *f, const struct object *key);
/* keygen.c: the inner OpenSSL's callback while it makes a key. */
int gen_no_progress(const OSSL_PARAM params[], void *arg);

#endif
