/* keygen.c - making keys inside the domain. */
#include "inside.h"
#include "keymgmt.h"
#include "prov.h"

#include <stdatomic.h>
#include <stdlib.h>

/* More than any type has. */
#define GEN_SETTABLE_MAX 64

/* ---- inside -------------------------------------------------------------- */

static struct object *pin_gen(struct mpkprov_frame *f)
{
    struct object *o = handle_pin(f->handle, OBJECT_GEN, 1);

    if (o == NULL) {
        fail(f, MPKPROV_R_HANDLE, "not a key generation");
    }
    return o;
}

/* The inner OpenSSL's init does not free all that it has when it refuses the
 * parameters, so they are set afterwards. */
static void *gen_begin(enum key_type type, int selection,
                       const OSSL_PARAM *params)
{
    OSSL_FUNC_keymgmt_gen_init_fn *init = KEY_FN(type, gen_init, GEN_INIT);
    OSSL_FUNC_keymgmt_gen_set_params_fn *set =
        KEY_FN(type, gen_set_params, GEN_SET_PARAMS);
    void *gen =
        init != NULL ? init(mpkprov_inner.provctx, selection, NULL) : NULL;

    if (gen != NULL && params != NULL && set != NULL && set(gen, params) <= 0) {
        KEY_FN(type, gen_cleanup, GEN_CLEANUP)(gen);
        gen = NULL;
    }
    return gen;
}

/* Uses: type, what = selection, params. Makes handle. */
int64_t gen_open_stub(void *frame)
{
    struct mpkprov_frame *f = frame;
    struct params_in ps;
    struct object *o;

    if (!key_type_ok(f->type)) {
        return fail(f, MPKPROV_R_PARAMETER, "no such type of key");
    }
    if (!inner_methods(f)) {
        return 0;
    }
    if (!frame_params_enter(f, &ps, 0, "key generation parameters")) {
        params_free(&ps);
        return 0;
    }
    o = handle_new(OBJECT_GEN, &f->handle);
    if (o == NULL) {
        params_free(&ps);
        return fail(f, MPKPROV_R_MEMORY, OUT_OF_MEMORY);
    }
    o->type = (enum key_type)f->type;
    o->data = gen_begin(o->type, f->what, params_or_null(f, &ps));
    params_free(&ps);
    return handle_made(o, &f->handle, 1) ? 1 : fail_inner(f, "key generation");
}

/* Uses: handle, params. */
int64_t gen_set_stub(void *frame)
{
    struct mpkprov_frame *f = frame;
    struct object *o = pin_gen(f);
    OSSL_FUNC_keymgmt_gen_set_params_fn *set;
    struct params_in ps;
    int ret;

    if (o == NULL) {
        return 0;
    }
    set = KEY_FN(o->type, gen_set_params, GEN_SET_PARAMS);
    ret = frame_params_enter(f, &ps, 0, "key generation parameters") &&
          set != NULL && set(o->data, ps.p) > 0;
    params_free(&ps);
    handle_unpin(o);
    return ret ? 1 : fail_inner(f, "key generation parameters");
}

/*
 * The inner generation keeps a pointer to the template's numbers and no
 * reference to it, so it is given a copy that lives as long.
 */
static int set_template(struct mpkprov_frame *f, struct object *o,
                        const struct object *key,
                        OSSL_FUNC_keymgmt_gen_set_template_fn *set)
{
    void *from = keygroup_copy(f, key, EVP_PKEY_PUBLIC_KEY);

    if (from == NULL) {
        from = keygroup_copy(f, key, EVP_PKEY_KEY_PARAMETERS);
    }
    if (from == NULL) { /* it has none: what that means is not for us to say */
        from = key_data_new(o->type);
    }
    if (from == NULL || set(o->data, from) <= 0) {
        key_data_free(o->type, from);
        return 0;
    }
    key_data_free(o->type, o->from);
    o->from = from;
    return 1;
}

/* Uses: handle, handle2 = a key, or 0 for an empty one. */
int64_t gen_template_stub(void *frame)
{
    struct mpkprov_frame *f = frame;
    struct object *o = pin_gen(f), *key;
    OSSL_FUNC_keymgmt_gen_set_template_fn *set;
    int ret, fits;

    if (o == NULL) {
        return 0;
    }
    set = KEY_FN(o->type, gen_set_template, GEN_SET_TEMPLATE);
    key = f->handle2 != 0 ? handle_pin(f->handle2, OBJECT_KEY, 0) : NULL;
    fits = key != NULL && key->type == o->type;
    if (set == NULL) {
        /* There is nothing that a template would add. */
        ret = f->handle2 == 0 || fits;
    } else {
        ret = fits && set_template(f, o, key, set);
    }
    handle_unpin(key);
    handle_unpin(o);
    return ret ? 1 : fail_inner(f, "template of a key");
}

int gen_no_progress(const OSSL_PARAM params[], void *arg)
{
    (void)params;
    (void)arg;
    return 1;
}

/* Uses: handle. Makes handle2, a key. */
int64_t gen_run_stub(void *frame)
{
    struct mpkprov_frame *f = frame;
    struct object *o = pin_gen(f), *key;
    int ok = 0;

    if (o == NULL) {
        return 0;
    }
    key = handle_new(OBJECT_KEY, &f->handle2);
    if (key != NULL) {
        key->filled = 1;
        key->type = o->type;
        key->data = KEY_FN(o->type, gen, GEN)(o->data, gen_no_progress, NULL);
        if (key->data != NULL) {
            key_note_whole(key);
        }
        ok = keygroup_move(f, key);
    }
    handle_unpin(o);
    return handle_made(key, &f->handle2, ok) ? 1
                                             : fail_inner(f, "key generation");
}

/* ---- outside ------------------------------------------------------------- */

struct gen {
    struct prov_ctx *ctx;
    enum key_type type;
    uint64_t handle;
};

void *gen_open_proxy(void *provctx, enum key_type type, int selection,
                     const OSSL_PARAM params[])
{
    struct mpkprov_frame f = {
        .type = type, .what = selection, .params = params};
    struct prov_ctx *ctx = provctx;
    struct gen *gen;

    if (ctx->refused[0] != '\0') {
        RAISE(UNAVAILABLE, "%s", ctx->refused);
        return NULL;
    }
    gen = calloc(1, sizeof(*gen));
    if (gen == NULL || PROV_CALL(gen_open, &f) != 1) {
        free(gen);
        return NULL;
    }
    gen->ctx = ctx;
    gen->type = type;
    gen->handle = f.handle;
    return gen;
}

int gen_template_proxy(void *genctx, void *templ)
{
    struct gen *gen = genctx;
    struct prov_key *key = templ;
    struct mpkprov_frame f = {.handle = gen->handle};

    /* Of a key without numbers libcrypto has nothing to give. */
    if (key != NULL && !prov_key_usable(key)) {
        return 0;
    }
    f.handle2 = key != NULL ? key->handle : 0;
    return PROV_CALL(gen_template, &f) == 1;
}

int gen_set_proxy(void *genctx, const OSSL_PARAM params[])
{
    struct gen *gen = genctx;
    struct mpkprov_frame f = {.handle = gen->handle, .params = params};

    return PROV_CALL(gen_set, &f) == 1;
}

/*
 * Progress is told once, before: nothing runs outside while a key is made. A
 * callback that says no ends it there.
 */
static int tell_progress(OSSL_CALLBACK *cb, void *cbarg)
{
    int zero = 0;
    OSSL_PARAM params[] = {OSSL_PARAM_int(OSSL_GEN_PARAM_POTENTIAL, &zero),
                           OSSL_PARAM_int(OSSL_GEN_PARAM_ITERATION, &zero),
                           OSSL_PARAM_END};

    return cb == NULL || cb(params, cbarg);
}

/* The others' keys are random numbers. */
static int looks_for_primes(enum key_type type)
{
    return type == KEY_RSA || type == KEY_RSA_PSS || type == KEY_DSA ||
           type == KEY_DH || type == KEY_DHX;
}

void *gen_run_proxy(void *genctx, OSSL_CALLBACK *cb, void *cbarg)
{
    struct gen *gen = genctx;
    struct mpkprov_frame f = {.handle = gen->handle};
    struct prov_key *key;

    if (looks_for_primes(gen->type) && !tell_progress(cb, cbarg)) {
        return NULL;
    }
    key = prov_key_new(gen->ctx, gen->type, 0);
    if (key == NULL || PROV_CALL(gen_run, &f) != 1) {
        prov_key_free(key);
        return NULL;
    }
    key->handle = f.handle2;
    return key;
}

void gen_free_proxy(void *genctx)
{
    struct gen *gen = genctx;
    struct mpkprov_frame f = {.what = OBJECT_GEN};

    if (gen != NULL) {
        f.handle = gen->handle;
        PROV_CALL(ctx_free, &f);
        free(gen);
    }
}

const OSSL_PARAM *gen_settable(enum key_type type)
{
    const OSSL_PARAM *known = atomic_load(&prov.gen_settable[type]);
    OSSL_PARAM *copy;
    struct mpkprov_frame f = {.type = type,
                              .what = TABLE_GEN,
                              .out_len = GEN_SETTABLE_MAX * sizeof(*copy)};

    if (known != NULL) {
        return known;
    }
    f.out = copy = malloc(f.out_len);
    if (copy == NULL || PROV_CALL(ctx_tables, &f) != 1 || f.out == NULL ||
        !atomic_compare_exchange_strong(&prov.gen_settable[type], &known,
                                        copy)) {
        free(copy);
        return known; /* NULL, or another thread's */
    }
    return copy;
}
