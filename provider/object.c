/* object.c - keys outside, and the call through the gate. */
#include "freed.h"
#include "prov.h"

#include <errno.h>
#include <stdlib.h>

int64_t prov_call(enum mpkprov_op op, struct mpkprov_frame *f, const char *func)
{
    int64_t ret;

    f->error.reason = 0;
    ret = mpk_call((uint32_t)op, f);
    if (f->error.reason != 0) {
        f->error.text[MPKPROV_ERROR_TEXT - 1] = '\0';
        prov_raise(f->error.reason, func, "%s", f->error.text);
        prov_log(2, "%s: %s", func, f->error.text);
    } else if (ret == -EDEADLK) {
        prov_raise(MPKPROV_R_OPERATION, func, "%s",
                   "called in a handler: of a signal, in the middle of an "
                   "operation of its thread, or of fork, where it was "
                   "installed before this module");
    } else if (ret < 0) {
        /* The gate's own: a frame that is not where frames are. */
        prov_raise(MPKPROV_R_POINTER, func, "%s", "");
    }
    return ret;
}

const OSSL_PARAM *prov_param(const OSSL_PARAM params[], const char *name)
{
    while (params != NULL && params->key != NULL) {
        if (strcmp(params->key, name) == 0) {
            return params;
        }
        params++;
    }
    return NULL;
}

struct prov_key *prov_key_new(struct prov_ctx *ctx, enum key_type type,
                              uint64_t handle)
{
    struct prov_key *key = calloc(1, sizeof(*key));

    if (key == NULL) {
        RAISE(OPERATION, "out of memory");
        return NULL;
    }
    key->ctx = ctx;
    prov_ctx_key_new(ctx);
    key->type = type;
    key->handle = handle;
    key->known = known_new();
    return key;
}

/* ---- keys that are refused ----------------------------------------------- */

void prov_key_spares(struct prov_ctx *ctx)
{
    for (int t = KEY_ANY; t < KEY_TYPES; t++) {
        struct prov_key *key = &ctx->spares[t + 1];

        key->ctx = ctx;
        key->type = (enum key_type)t;
        strcpy(key->refused, NO_MEMORY);
        ctx->decoders[t + 1].ctx = ctx;
        ctx->decoders[t + 1].type = key->type;
    }
}

static int is_spare(const struct prov_key *key)
{
    const struct prov_key *spares = key->ctx->spares;

    return key >= spares && key <= spares + KEY_TYPES;
}

const char prov_other_type[] = "not of the type asked for";

/* The self-check's own is no news, and that all are refused was said. Nor is a
 * key that nobody asked for, in a file that is read for something else. */
static int level_of_refusal(const struct prov_ctx *ctx, const char *why)
{
    if (__atomic_load_n(&ctx->self_checking, __ATOMIC_SEQ_CST)) {
        return 2;
    }
    return why == ctx->refused || why == prov_other_type ? 1 : 0;
}

struct prov_key *prov_key_refused(struct prov_ctx *ctx, enum key_type type,
                                  const char *why)
{
    struct prov_key *key = calloc(1, sizeof(*key));

    if (key == NULL) {
        key = &ctx->spares[type + 1];
    } else {
        key->ctx = ctx;
        key->type = type;
        strncpy(key->refused, why, sizeof(key->refused) - 1);
    }
    prov_ctx_key_new(ctx);
    prov_log(level_of_refusal(ctx, why), "a private key is refused: %s", why);
    return key;
}

struct prov_key *prov_key_become(struct prov_key *key, enum key_type type)
{
    if (is_spare(key)) {
        return &key->ctx->spares[type + 1];
    }
    key->type = type;
    return key;
}

int prov_key_usable(const struct prov_key *key)
{
    freed_look();
    if (key != NULL && key->handle != 0) {
        return 1;
    }
    return RAISE(REFUSED, "%s", key != NULL ? key->refused : "no key");
}

void prov_key_free(struct prov_key *key)
{
    struct mpkprov_frame f = {0};

    if (key == NULL) {
        return;
    }
    if (key->handle != 0) {
        f.handle = key->handle;
        /* Contexts that hold the key go first. */
        ended_take(&prov.ended, &f);
        PROV_CALL(key_free, &f);
    }
    known_release(key->known);
    for (unsigned i = 0; i < key->n_was; i++) {
        known_release(key->was[i]);
    }
    prov_ctx_key_gone(key->ctx);
    if (!is_spare(key)) {
        free(key);
    }
}

size_t prov_key_max_size(struct prov_key *key)
{
    struct mpkprov_frame f = {0};
    int size = 0;
    OSSL_PARAM params[] = {OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, &size),
                           OSSL_PARAM_END};

    if (atomic_load(&key->max_size) == 0) {
        f.handle = key->handle;
        f.type = key->type;
        f.params = params;
        if (PROV_CALL(key_get, &f) == 1 && size > 0) {
            atomic_store(&key->max_size, (size_t)size);
        }
    }
    return atomic_load(&key->max_size);
}
