/* opctx.c - outside: what the contexts of all operations have in common. */
#include "prov.h"

#include <openssl/crypto.h>

#include <stdlib.h>
#include <string.h>

void *opctx_new(void *provctx, enum ctx_class cls)
{
    struct prov_opctx *c = calloc(1, sizeof(*c));

    if (c == NULL) {
        RAISE(OPERATION, "out of memory");
        return NULL;
    }
    c->ctx = provctx;
    c->cls = cls;
    return c;
}

/* Lets go of the inner context. */
static void drop_inner(struct prov_opctx *c)
{
    struct mpkprov_frame f = {.handle = c->handle, .what = OBJECT_CTX};

    if (c->handle != 0 && !ended_keep(&prov.ended, c->handle)) {
        PROV_CALL(ctx_free, &f);
    }
    c->handle = 0;
}

/* The message of an application. */
static void forget_spent(struct prov_opctx *c)
{
    if (c->spent != NULL) {
        OPENSSL_cleanse(c->spent, c->spent_len);
        free(c->spent);
        c->spent = NULL;
    }
}

void opctx_free(void *vctx)
{
    struct prov_opctx *c = vctx;

    if (c == NULL) {
        return;
    }
    drop_inner(c);
    forget_spent(c);
    known_release(c->known);
    free(c->answers);
    free(c);
}

void *opctx_dup(void *vctx)
{
    const struct prov_opctx *c = vctx;
    struct mpkprov_frame f = {.handle = c->handle};
    struct prov_opctx *copy = opctx_new(c->ctx, c->cls);

    if (copy == NULL) {
        return NULL;
    }
    copy->max_size = c->max_size;
    copy->key = c->key;
    copy->known = known_ref(c->known);
    recipe_copy(&copy->recipe, &c->recipe);
    copy->waiting = c->waiting;
    /* Several threads may copy |c|, so it stays as it is. */
    if (c->spent != NULL) {
        if (!opctx_spend(copy, c->spent_len)) {
            opctx_free(copy);
            return NULL;
        }
        memcpy(copy->spent, c->spent, c->spent_len);
    } else if (c->handle != 0) {
        if (PROV_CALL(ctx_dup, &f) != 1) {
            opctx_free(copy);
            return NULL;
        }
        copy->handle = f.handle2;
    }
    return copy;
}

int opctx_init(enum mpkprov_op op, struct prov_opctx *c, struct prov_key *key,
               int what, const char *name, const OSSL_PARAM params[])
{
    struct mpkprov_frame f = {
        .handle = c->handle, .what = what, .name = name, .params = params};
    int ok;

    /* EVP passes no key when a context is to be used again. */
    if (key != NULL) {
        if (!prov_key_usable(key)) {
            return 0;
        }
        f.handle2 = key->handle;
        c->max_size = prov_key_max_size(key);
    }
    forget_spent(c);
    c->settable = c->gettable = NULL;
    ended_take(&prov.ended, &f);
    ok = prov_call(op, &f, __func__) == 1;
    c->handle = f.handle;
    return ok;
}

int opctx_sign_init(struct prov_opctx *c, struct prov_key *key, int what,
                    const char *name, const OSSL_PARAM params[])
{
    int ok;

    /* What was signed is past, so an inner context that is used up will do. */
    if (c->spent != NULL) {
        forget_spent(c);
        c->waiting = c->handle == 0;
        /* Used up or not there yet, either takes another digest. */
        if (c->waiting && name != NULL) {
            recipe_start(&c->recipe, what, name);
        }
    }
    /* Without a key it is the one that the context was made for. */
    if (key == NULL && !opctx_settle(c)) {
        return 0;
    }
    c->waiting = 0;
    c->recipe.valid = 0;
    if (key != NULL && key->handle != 0 && c->handle == 0 && params == NULL) {
        recipe_start(&c->recipe, what, name);
        known_release(c->known);
        c->known = known_ref(key->known);
        c->key = key->handle;
        c->max_size = key->max_size;
        c->settable = c->gettable = NULL;
        c->waiting = known_find(c->known, &c->recipe) != NULL;
    }
    if (c->waiting) {
        return 1;
    }
    ok = opctx_init(OP_sig_init, c, key, what, name, params);
    c->recipe.valid = c->recipe.valid && ok;
    known_add(c->known, &c->recipe);
    return ok;
}

void opctx_recipe(struct prov_opctx *c, struct mpkprov_frame *f)
{
    f->handle2 = c->key;
    f->name = c->recipe.named ? c->recipe.name : NULL;
    f->in2 = c->recipe.set;
    f->in2_len = c->recipe.n_sets;
    c->waiting = 0;
    ended_take(&prov.ended, f);
}

/* The recipe goes in. */
static int make_inner(struct prov_opctx *c)
{
    struct mpkprov_frame f = {.what = c->recipe.what};
    int ok;

    opctx_recipe(c, &f);
    ok = PROV_CALL(sig_init, &f) == 1;
    c->handle = f.handle;
    return ok;
}

/* Another inner context in place of the one that is used up, which has read
 * what that one had read. */
static int make_again(struct prov_opctx *c)
{
    struct mpkprov_frame f = {.in = c->spent, .in_len = c->spent_len};
    int ok;

    drop_inner(c);
    ok = make_inner(c);
    c->recipe.valid = 0;
    f.handle = c->handle;
    ok = ok && PROV_CALL(sig_update, &f) == 1;
    forget_spent(c);
    if (!ok) {
        /* It would sign without what was lost. */
        drop_inner(c);
    }
    return ok;
}

int opctx_settle(struct prov_opctx *c)
{
    if (c->spent != NULL) {
        return make_again(c);
    }
    return !c->waiting || make_inner(c);
}

/* Of more than this a copy of the inner context costs less than one of the
 * message. */
#define SPENT_MAX 4096

int opctx_spend(struct prov_opctx *c, size_t len)
{
    if (!c->recipe.valid || len > SPENT_MAX) {
        return 0;
    }
    /* Not NULL for nothing, which can be signed as well. */
    c->spent = malloc(len + 1);
    c->spent_len = len;
    return c->spent != NULL;
}

/* 1 if |params| can wait with the rest. */
static int set_later(struct prov_opctx *c, const OSSL_PARAM params[])
{
    struct recipe longer;

    if (!c->waiting) {
        return 0;
    }
    recipe_copy(&longer, &c->recipe);
    if (!recipe_add(&longer, params) || known_find(c->known, &longer) == NULL) {
        return 0;
    }
    recipe_copy(&c->recipe, &longer);
    c->settable = c->gettable = NULL;
    return 1;
}

/* They have gone in, by themselves. */
static void note_set(struct prov_opctx *c, int ok, int md,
                     const OSSL_PARAM params[])
{
    c->recipe.valid =
        c->recipe.valid && ok && !md && recipe_add(&c->recipe, params);
    known_add(c->known, &c->recipe);
}

int prov_answers_room(void **answers, size_t size, const OSSL_PARAM *params,
                      struct mpkprov_frame *f)
{
    const OSSL_PARAM *p = params;

    while (p->key != NULL && !param_is_reference(p)) {
        p++;
    }
    if (p->key == NULL) {
        return 1;
    }
    if (*answers == NULL) {
        *answers = calloc(1, size);
    }
    f->out = *answers;
    f->out_len = *answers != NULL ? size : 0;
    return *answers != NULL || RAISE(OPERATION, "out of memory");
}

/* For an OAEP label, or what goes into a KDF: a context has one of these. */
#define ANSWERS_ROOM 4096

static int get_or_set(enum mpkprov_op op, struct prov_opctx *c, int md,
                      const OSSL_PARAM params[])
{
    struct mpkprov_frame f = {.what = md, .params = params};
    int ok;

    if (params == NULL) {
        return 1;
    }
    if (op == OP_ctx_set && !md && set_later(c, params)) {
        return 1;
    }
    if (!opctx_settle(c)) {
        return 0;
    }
    f.handle = c->handle;
    if (c->handle == 0) {
        return RAISE(OPERATION, "the operation is not initialised");
    }
    if (op == OP_ctx_get &&
        !prov_answers_room(&c->answers, ANSWERS_ROOM, params, &f)) {
        return 0;
    }
    ok = prov_call(op, &f, __func__) == 1;
    if (op == OP_ctx_set) {
        note_set(c, ok, md, params);
    }
    return ok;
}

int opctx_get(void *vctx, OSSL_PARAM params[])
{
    return get_or_set(OP_ctx_get, vctx, 0, params);
}

int opctx_set(void *vctx, const OSSL_PARAM params[])
{
    return get_or_set(OP_ctx_set, vctx, 0, params);
}

int opctx_get_md(void *vctx, OSSL_PARAM params[])
{
    return get_or_set(OP_ctx_get, vctx, 1, params);
}

int opctx_set_md(void *vctx, const OSSL_PARAM params[])
{
    return get_or_set(OP_ctx_set, vctx, 1, params);
}

static const OSSL_PARAM *table(struct prov_opctx *c, int which)
{
    struct mpkprov_frame f = {.what = which};

    if (c == NULL || !opctx_settle(c) || c->handle == 0) {
        return NULL;
    }
    f.handle = c->handle;
    return PROV_CALL(ctx_tables, &f) == 1 ? f.out : NULL;
}

const OSSL_PARAM *opctx_gettable(void *vctx, void *provctx)
{
    struct prov_opctx *c = vctx;

    (void)provctx;
    if (c != NULL && c->gettable == NULL) {
        c->gettable = table(c, TABLE_GET);
    }
    return c != NULL ? c->gettable : NULL;
}

/* What can be set follows from how the context was made. */
static const OSSL_PARAM *known_settable(struct prov_opctx *c)
{
    struct recipe *r = known_find(c->known, &c->recipe);
    const OSSL_PARAM *t =
        r != NULL ? __atomic_load_n(&r->settable, __ATOMIC_RELAXED) : NULL;

    if (t == NULL) {
        t = table(c, TABLE_SET);
        if (r != NULL) {
            __atomic_store_n(&r->settable, t, __ATOMIC_RELAXED);
        }
    }
    return t;
}

const OSSL_PARAM *opctx_settable(void *vctx, void *provctx)
{
    struct prov_opctx *c = vctx;

    (void)provctx;
    if (c != NULL && c->settable == NULL) {
        c->settable = known_settable(c);
    }
    return c != NULL ? c->settable : NULL;
}

const OSSL_PARAM *opctx_gettable_md(void *vctx)
{
    return table(vctx, TABLE_GET_MD);
}

const OSSL_PARAM *opctx_settable_md(void *vctx)
{
    return table(vctx, TABLE_SET_MD);
}
