/* opctx_stub.c - inside: what the contexts of all operations have in common. */
#include "inside.h"
#include "tls_group.h"

#include <mpkcore/group.h>

#include <openssl/core_names.h>

#include <stdatomic.h>

/* Function numbers of each class; 0 where a class has no such function. */
static const struct {
    int free, dup, get, gettable, set, settable;
    int get_md, gettable_md, set_md, settable_md;
} id[CTX_CLASSES] = {
    [CTX_SIG] = {OSSL_FUNC_SIGNATURE_FREECTX, OSSL_FUNC_SIGNATURE_DUPCTX,
                 OSSL_FUNC_SIGNATURE_GET_CTX_PARAMS,
                 OSSL_FUNC_SIGNATURE_GETTABLE_CTX_PARAMS,
                 OSSL_FUNC_SIGNATURE_SET_CTX_PARAMS,
                 OSSL_FUNC_SIGNATURE_SETTABLE_CTX_PARAMS,
                 OSSL_FUNC_SIGNATURE_GET_CTX_MD_PARAMS,
                 OSSL_FUNC_SIGNATURE_GETTABLE_CTX_MD_PARAMS,
                 OSSL_FUNC_SIGNATURE_SET_CTX_MD_PARAMS,
                 OSSL_FUNC_SIGNATURE_SETTABLE_CTX_MD_PARAMS},
    [CTX_ENC] = {OSSL_FUNC_ASYM_CIPHER_FREECTX, OSSL_FUNC_ASYM_CIPHER_DUPCTX,
                 OSSL_FUNC_ASYM_CIPHER_GET_CTX_PARAMS,
                 OSSL_FUNC_ASYM_CIPHER_GETTABLE_CTX_PARAMS,
                 OSSL_FUNC_ASYM_CIPHER_SET_CTX_PARAMS,
                 OSSL_FUNC_ASYM_CIPHER_SETTABLE_CTX_PARAMS, 0, 0, 0, 0},
    [CTX_KEX] = {OSSL_FUNC_KEYEXCH_FREECTX, OSSL_FUNC_KEYEXCH_DUPCTX,
                 OSSL_FUNC_KEYEXCH_GET_CTX_PARAMS,
                 OSSL_FUNC_KEYEXCH_GETTABLE_CTX_PARAMS,
                 OSSL_FUNC_KEYEXCH_SET_CTX_PARAMS,
                 OSSL_FUNC_KEYEXCH_SETTABLE_CTX_PARAMS, 0, 0, 0, 0},
    [CTX_KEM] = {OSSL_FUNC_KEM_FREECTX, OSSL_FUNC_KEM_DUPCTX,
                 OSSL_FUNC_KEM_GET_CTX_PARAMS,
                 OSSL_FUNC_KEM_GETTABLE_CTX_PARAMS,
                 OSSL_FUNC_KEM_SET_CTX_PARAMS,
                 OSSL_FUNC_KEM_SETTABLE_CTX_PARAMS, 0, 0, 0, 0},
};

/* The free, dup and parameter functions have one type in all classes. */
#define SHARED(o, member, type)                                                \
    ((OSSL_FUNC_signature_##type##_fn                                          \
          *)(id[(o)->cls].member != 0 ? ctx_alg(o)->fn[id[(o)->cls].member]    \
                                      : NULL))

static void free_data(const struct object *o)
{
    switch (o->kind) {
    case OBJECT_KEY:
        key_data_free(o->type, o->data);
        break;
    case OBJECT_GEN:
        KEY_FN(o->type, gen_cleanup, GEN_CLEANUP)(o->data);
        break;
    case OBJECT_CTX:
        SHARED(o, free, freectx)(o->data);
        break;
    case OBJECT_EPHEMERAL:
        group_key_free(o->what, o->data);
        break;
    case OBJECT_CIPHER:
        cipher_release(o->data);
        break;
    }
}

int object_release(struct object *o)
{
    struct mpkprov_frame unheard;
    void *from = NULL;

    if (o->kind == OBJECT_GEN) {
        from = o->from;
        o->from = NULL;
    }
    if (o->data != NULL) {
        if (!keygroup_open(&unheard, o)) {
            if (mpk_group_opened() != 0) {
                mpk_fatal("an object ends while the pages of a key are open");
            }
            return 0;
        }
        free_data(o);
        keygroup_close(o);
        forget_errors(); /* but not those of whoever could not make it */
    }
    keygroup_drop(o);
    if (o->kind == OBJECT_CTX) {
        handle_unpin(o->holds);
    }
    key_data_free(o->type, from);
    return 1;
}

static OSSL_FUNC_signature_newctx_fn *newctx_of(enum ctx_class cls,
                                                enum key_type type)
{
    static const int newctx[CTX_CLASSES] = {
        OSSL_FUNC_SIGNATURE_NEWCTX, OSSL_FUNC_ASYM_CIPHER_NEWCTX,
        OSSL_FUNC_KEYEXCH_NEWCTX, OSSL_FUNC_KEM_NEWCTX};

    /* The classes without a property query ignore the second argument. */
    return INNER(&mpkprov_inner.ctx[cls][type], signature_newctx, newctx[cls]);
}

/* A new context for |key|'s type, pinned. */
static struct object *ctx_make(struct mpkprov_frame *f, enum ctx_class cls,
                               const struct object *key)
{
    OSSL_FUNC_signature_newctx_fn *make;
    struct object *o;

    if (key == NULL) {
        fail(f, MPKPROV_R_PARAMETER, "no key");
        return NULL;
    }
    make = newctx_of(cls, key->type);
    if (make == NULL) {
        fail(f, MPKPROV_R_PARAMETER, "the key's type has no such operation");
        return NULL;
    }
    o = handle_new(OBJECT_CTX, &f->handle);
    if (o == NULL) {
        fail(f, MPKPROV_R_MEMORY, OUT_OF_MEMORY);
        return NULL;
    }
    o->cls = cls;
    o->type = key->type;
    o->data = make(mpkprov_inner.provctx, NULL);
    return o;
}

/* The key that a context of the same type has to keep alive, or NULL. */
static struct object *to_hold(struct object *key)
{
    return mpkprov_types[key->type].borrowed ? key : NULL;
}

/* Makes the inner context anew, without the key that it has. */
static int ctx_empty(struct mpkprov_frame *f, struct object *ctx)
{
    if (!keygroup_open(f, ctx)) {
        return 0;
    }
    free_data(ctx);
    keygroup_close(ctx);
    keygroup_drop(ctx);
    handle_unpin(ctx->holds);
    ctx->holds = NULL;
    ctx->copied = 0;
    ctx->data = newctx_of(ctx->cls, ctx->type)(mpkprov_inner.provctx, NULL);
    return ctx->data != NULL ? 1 : fail_inner(f, "a new context");
}

/*
 * A context that is made ready for another key starts anew. The inner one would
 * go on with what it has of the last: ECDH with a peer's point that was looked
 * at by that key's curve only, on which this key's private number would be told
 * modulo small numbers, and RSA with a buffer as long as that key's modulus.
 * Also, only with a key's group open can it let go of it.
 */
static int ctx_take_key(struct mpkprov_frame *f, struct object *ctx,
                        struct object *key, int is_new)
{
    if (key == NULL) {
        return 1;
    }
    if (!is_new && !ctx_empty(f, ctx)) {
        return 0;
    }
    if (to_hold(key) != NULL && !handle_hold(key)) {
        return fail(f, MPKPROV_R_HANDLE, "too many contexts have this key");
    }
    ctx->holds = to_hold(key);
    keygroup_share(ctx, key);
    return 1;
}

struct object *ctx_key(struct mpkprov_frame *f)
{
    struct object *key = handle_pin(f->handle2, OBJECT_KEY, 0);

    if (key == NULL) {
        fail(f, MPKPROV_R_HANDLE, "not a key");
        return NULL;
    }
    /* The inner OpenSSL looks at numbers without asking for them. */
    if (!key->whole) {
        handle_unpin(key);
        fail(f, MPKPROV_R_PARAMETER, "the key has no numbers");
        return NULL;
    }
    /* Once: all threads look there. */
    if (!atomic_load_explicit(&key->used, memory_order_relaxed)) {
        atomic_store(&key->used, 1);
    }
    return key;
}

int ctx_open(struct mpkprov_frame *f, enum ctx_class cls, struct object **ctx,
             struct object **key)
{
    int make = f->handle == 0;

    handle_free_ended(f, OBJECT_CTX);
    handle_free_late();
    *key = NULL;
    if (f->handle2 != 0) {
        *key = ctx_key(f);
        if (*key == NULL) {
            return 0;
        }
    }
    *ctx = make ? ctx_make(f, cls, *key) : handle_pin(f->handle, OBJECT_CTX, 1);
    if (*ctx == NULL) {
        handle_unpin(*key);
        return make ? 0 : fail(f, MPKPROV_R_HANDLE, "not a context");
    }
    if ((*ctx)->data == NULL) {
        handle_made(*ctx, &f->handle, 0);
        handle_unpin(*key);
        return fail_inner(f, "a new context");
    }
    if ((*ctx)->cls != cls || (*key != NULL && (*key)->type != (*ctx)->type)) {
        ctx_close(*ctx, *key);
        return fail(f, MPKPROV_R_HANDLE, "not a context for this key");
    }
    (*ctx)->ready = 0;
    if (!ctx_take_key(f, *ctx, *key, make)) {
        ctx_close(*ctx, *key);
        return 0;
    }
    return 1;
}

void ctx_close(struct object *ctx, struct object *key)
{
    handle_unpin(ctx);
    handle_unpin(key);
}

/* f->handle as a context that is ready, exclusively, or NULL. */
static struct object *pin_ready(const struct mpkprov_frame *f)
{
    struct object *o = handle_pin(f->handle, OBJECT_CTX, 1);

    if (o != NULL && !o->ready) {
        handle_unpin(o);
        o = NULL;
    }
    return o;
}

struct object *ctx_pin(struct mpkprov_frame *f, enum ctx_class cls)
{
    static const char *const what[CTX_CLASSES] = {
        "not a signature context that is ready, or in use by another thread",
        "not an encryption context that is ready",
        "not a key exchange context that is ready",
        "not an encapsulation context that is ready"};
    struct object *o = pin_ready(f);

    if (o != NULL && o->cls != cls) {
        handle_unpin(o);
        o = NULL;
    }
    if (o == NULL) {
        fail(f, MPKPROV_R_HANDLE, what[cls]);
    }
    return o;
}

int ctx_init(struct mpkprov_frame *f, enum ctx_class cls, int id_init,
             const char *what)
{
    OSSL_FUNC_keyexch_init_fn *init;
    uint64_t refused = mpk_heap_refused();
    struct params_in ps;
    struct object *o, *key;
    int ok;

    if (f->what < 0 || f->what > 1) {
        return fail(f, MPKPROV_R_PARAMETER, "no such operation");
    }
    if (!ctx_open(f, cls, &o, &key)) {
        return 0;
    }
    init = INNER(ctx_alg(o), keyexch_init, id_init);
    o->what = f->what;
    ok = frame_params_enter(f, &ps, 0, "parameters of the operation") &&
         init != NULL && key != NULL && keygroup_open(f, o);
    if (ok) {
        ok = init(o->data, key->data, params_or_null(f, &ps)) > 0 &&
             had_memory(refused);
        keygroup_close(o);
    }
    o->ready = (uint8_t)ok;
    params_free(&ps);
    ctx_close(o, key);
    return ok ? 1 : fail_inner(f, what);
}

static int not_a_context(struct mpkprov_frame *f)
{
    return fail(f, MPKPROV_R_HANDLE,
                "not a context, or in use by another thread");
}

/* The same of whatever class. */
static struct object *ctx_pin_any(struct mpkprov_frame *f)
{
    struct object *o = pin_ready(f);

    if (o == NULL) {
        not_a_context(f);
    }
    return o;
}

int ctx_set(const struct object *o, const OSSL_PARAM *params)
{
    OSSL_FUNC_signature_set_ctx_params_fn *set = SHARED(o, set, set_ctx_params);

    return set != NULL && set(o->data, params) > 0;
}

/* Uses: handle, what = kind of object. */
int64_t ctx_free_stub(void *frame)
{
    struct mpkprov_frame *f = frame;

    handle_free(f->handle, f->what == OBJECT_GEN ? OBJECT_GEN : OBJECT_CTX);
    return 1;
}

/*
 * Uses: handle. Makes handle2, a copy; of one that is not ready there is none,
 * and handle2 is 0. Several threads may copy one context, which is only read.
 */
int64_t ctx_dup_stub(void *frame)
{
    struct mpkprov_frame *f = frame;
    struct object *o = handle_pin(f->handle, OBJECT_CTX, 0), *copy;
    OSSL_FUNC_signature_dupctx_fn *dup;

    if (o == NULL) {
        return not_a_context(f);
    }
    if (!o->ready) {
        f->handle2 = 0;
        handle_unpin(o);
        return 1;
    }
    dup = SHARED(o, dup, dupctx);
    copy = dup != NULL ? handle_new(OBJECT_CTX, &f->handle2) : NULL;
    if (copy != NULL) {
        *copy = *o;
        copy->data = NULL;
        copy->copied = 1;
        keygroup_share(copy, o);
        if (o->holds != NULL && !handle_hold(o->holds)) {
            copy->holds = NULL;
        } else if (keygroup_open(f, o)) {
            copy->data = dup(o->data);
            keygroup_close(o);
        }
    }
    handle_unpin(o);
    return handle_made(copy, &f->handle2, 1)
               ? 1
               : fail_inner(f, "a copy of the context");
}

/*
 * Before OpenSSL 3.5 the identifier of a copy is a pointer into the context
 * that it was copied from, which may have ended: what lies there then may be
 * anything of the domain's. RSA makes it when it is asked.
 */
static int has_lost(const struct object *o, const struct params_in *ps)
{
    return !OPENSSL_VERSION_PREREQ(3, 5) && o->cls == CTX_SIG && o->copied &&
           o->type != KEY_RSA && o->type != KEY_RSA_PSS &&
           OSSL_PARAM_locate_const(ps->p, OSSL_SIGNATURE_PARAM_ALGORITHM_ID) !=
               NULL;
}

/*
 * Uses: handle, what = 1 for those of the digest, params, out = room for what
 * is asked for by reference.
 */
int64_t ctx_get_stub(void *frame)
{
    struct mpkprov_frame *f = frame;
    struct object *o = ctx_pin_any(f);
    OSSL_FUNC_signature_get_ctx_params_fn *get;
    struct params_in ps;
    int ret;

    if (o == NULL) {
        return 0;
    }
    get = f->what ? SHARED(o, get_md, get_ctx_params)
                  : SHARED(o, get, get_ctx_params);
    ret = frame_params_enter(f, &ps, 1, "parameters of the operation") &&
          get != NULL;
    if (ret && has_lost(o, &ps)) {
        ret = fail(f, MPKPROV_R_PARAMETER, "the algorithm of a copied context");
    }
    ret = ret && keygroup_open(f, o);
    if (ret) {
        ret = get(o->data, ps.p) > 0;
        keygroup_close(o);
    }
    if (ret) {
        ret = params_answer(&ps, f->out, f->out_len);
    } else {
        params_answer_room(&ps);
    }
    params_free(&ps);
    handle_unpin(o);
    return ret ? 1 : fail_inner(f, "parameters of the operation");
}

/* Uses: handle, what = 1 for those of the digest, params. */
int64_t ctx_set_stub(void *frame)
{
    struct mpkprov_frame *f = frame;
    struct object *o = ctx_pin_any(f);
    OSSL_FUNC_signature_set_ctx_params_fn *set_md;
    uint64_t refused = mpk_heap_refused();
    struct params_in ps;
    int ret;

    if (o == NULL) {
        return 0;
    }
    set_md = f->what ? SHARED(o, set_md, set_ctx_params) : NULL;
    ret = frame_params_enter(f, &ps, 0, "parameters of the operation") &&
          keygroup_open(f, o);
    if (ret) {
        ret = f->what ? set_md != NULL && set_md(o->data, ps.p) > 0
                      : ctx_set(o, ps.p);
        ret = ret && had_memory(refused);
        keygroup_close(o);
    }
    params_free(&ps);
    handle_unpin(o);
    return ret ? 1 : fail_inner(f, "parameter of the operation");
}

int table_show(struct mpkprov_frame *f, const OSSL_PARAM *t)
{
    f->out = t != NULL && mpk_is_outside(t, sizeof(*t)) ? (void *)t : NULL;
    forget_errors();
    return 1;
}

/* A copy, since these lie in data that can be written, the domain's. The names
 * are constants. */
static int show_gen_settable(struct mpkprov_frame *f)
{
    OSSL_FUNC_keymgmt_gen_settable_params_fn *ask =
        INNER(&mpkprov_inner.keymgmt[f->type], keymgmt_gen_settable_params,
              OSSL_FUNC_KEYMGMT_GEN_SETTABLE_PARAMS);
    const OSSL_PARAM *t = ask != NULL ? ask(NULL, mpkprov_inner.provctx) : NULL;
    size_t n = 0;

    while (t != NULL && t[n].key != NULL) {
        if (!mpk_is_outside(t[n++].key, 1)) {
            t = NULL;
        }
    }
    n++;
    forget_errors();
    if (t == NULL || n > f->out_len / sizeof(*t) ||
        mpk_copy_out(f->out, t, n * sizeof(*t)) != 0) {
        f->out = NULL;
    }
    return 1;
}

/*
 * Uses: handle, what = TABLE_*: sets out. Or what = TABLE_GEN, type, and out
 * with out_len bytes, where it puts them, or makes out NULL.
 */
int64_t ctx_tables_stub(void *frame)
{
    struct mpkprov_frame *f = frame;
    OSSL_FUNC_signature_gettable_ctx_params_fn *ask;
    OSSL_FUNC_signature_gettable_ctx_md_params_fn *ask_md;
    const OSSL_PARAM *t = NULL;
    struct object *o;

    if (f->what == TABLE_GEN && f->type >= 0 && f->type < KEY_TYPES) {
        return show_gen_settable(f);
    }
    o = ctx_pin_any(f);
    if (o == NULL) {
        return 0;
    }
    if (!keygroup_open(f, o)) {
        handle_unpin(o);
        return 0;
    }
    if (f->what < TABLE_GET_MD) {
        ask = f->what != TABLE_GET ? SHARED(o, settable, gettable_ctx_params)
                                   : SHARED(o, gettable, gettable_ctx_params);
        t = ask != NULL ? ask(o->data, mpkprov_inner.provctx) : NULL;
    } else {
        ask_md = f->what == TABLE_SET_MD
                     ? SHARED(o, settable_md, gettable_ctx_md_params)
                     : SHARED(o, gettable_md, gettable_ctx_md_params);
        t = ask_md != NULL ? ask_md(o->data) : NULL;
    }
    keygroup_close(o);
    handle_unpin(o);
    return table_show(f, t);
}
