/* keymgmt.c - key objects outside: what libcrypto asks of them. */
#include "keymgmt.h"
#include "prov.h"

#include <openssl/core_names.h>

#include <stdlib.h>

static void *new_proxy(void *provctx, enum key_type type)
{
    struct mpkprov_frame f = {.type = type};
    struct prov_ctx *ctx = provctx;
    struct prov_key *key;

    if (ctx->refused[0] != '\0') {
        RAISE(UNAVAILABLE, "%s", ctx->refused);
        return NULL;
    }
    key = prov_key_new(ctx, type, 0);
    if (key == NULL || PROV_CALL(key_new, &f) != 1) {
        prov_key_free(key);
        return NULL;
    }
    key->handle = f.handle;
    prov_keep_default_first(ctx, type);
    return key;
}

static void free_proxy(void *keydata)
{
    prov_key_free(keydata);
}

static void *load_proxy(const void *reference, size_t reference_len)
{
    struct prov_key *key;

    if (reference_len != sizeof(key)) {
        return NULL;
    }
    /* The giver's reference becomes the taker's. */
    memcpy(&key, reference, sizeof(key));
    memset((void *)(uintptr_t)reference, 0, sizeof(key));
    if (key != NULL) {
        prov_keep_default_first(key->ctx, key->type);
    }
    return key;
}

static int has_proxy(const void *keydata, int selection)
{
    const struct prov_key *key = keydata;
    struct mpkprov_frame f = {0};

    if (key == NULL) {
        return 0;
    }
    if (key->handle == 0) {
        return 1; /* what it lacks is said when it is used */
    }
    f.handle = key->handle;
    f.what = selection;
    return PROV_CALL(key_has, &f) == 1;
}

static int match_proxy(const void *a, const void *b, int selection)
{
    const struct prov_key *x = a, *y = b;
    struct mpkprov_frame f = {0};

    if (!prov_key_usable(x) || !prov_key_usable(y)) {
        return 0;
    }
    f.handle = x->handle;
    f.handle2 = y->handle;
    f.what = selection;
    return PROV_CALL(key_match, &f) == 1;
}

static int validate_proxy(const void *keydata, int selection, int checktype)
{
    const struct prov_key *key = keydata;
    struct mpkprov_frame f = {0};

    if (!prov_key_usable(key)) {
        return 0;
    }
    f.handle = key->handle;
    f.what = selection;
    f.in_len = (size_t)checktype;
    return PROV_CALL(key_validate, &f) == 1;
}

static void *dup_proxy(const void *keydata, int selection)
{
    const struct prov_key *key = keydata;
    struct mpkprov_frame f = {0};
    struct prov_key *copy;

    if (key->handle == 0) {
        return prov_key_refused(key->ctx, key->type, key->refused);
    }
    copy = prov_key_new(key->ctx, key->type, 0);
    f.handle = key->handle;
    f.what = selection;
    if (copy == NULL || PROV_CALL(key_dup, &f) != 1) {
        prov_key_free(copy);
        return NULL;
    }
    copy->handle = f.handle2;
    atomic_store(&copy->max_size, atomic_load(&key->max_size));
    return copy;
}

/* What worked with this key, and what it said, may not be true of what it
 * becomes. */
static void forget_known(struct prov_key *key)
{
    pthread_mutex_lock(&prov.lock);
    if (!known_is_empty(key->known)) {
        key->was[key->n_was++] = key->known;
        key->known = key->n_was < PROV_KEY_CHANGES ? known_new() : NULL;
    }
    pthread_mutex_unlock(&prov.lock);
}

static int import_proxy(void *keydata, int selection, const OSSL_PARAM params[])
{
    struct prov_key *key = keydata;
    struct mpkprov_frame f = {0};

    if (!prov_key_usable(key)) {
        return 0;
    }
    key->max_size = 0;
    forget_known(key);
    f.handle = key->handle;
    f.what = selection;
    f.params = params;
    return PROV_CALL(key_import, &f) == 1;
}

#define EXPORT_ROOM 8192

static int export_proxy(void *keydata, int selection, OSSL_CALLBACK *cb,
                        void *cbarg)
{
    struct prov_key *key = keydata;
    struct mpkprov_frame f = {0};
    size_t room = EXPORT_ROOM;
    void *out = NULL;
    int ok = 0;

    if (!prov_key_usable(key)) {
        return 0;
    }
    for (int tries = 0; tries < 2; tries++) {
        free(out);
        out = calloc(1, room);
        if (out == NULL) {
            return RAISE(OPERATION, "out of memory");
        }
        f.handle = key->handle;
        f.what = selection;
        f.out = out;
        f.out_len = room;
        ok = PROV_CALL(key_export, &f) == 1;
        if (!ok || f.out2_len <= room) {
            break;
        }
        room = f.out2_len;
    }
    ok = ok && f.out2_len <= room && cb(out, cbarg);
    free(out);
    return ok;
}

static int get_params_proxy(void *keydata, OSSL_PARAM params[])
{
    struct prov_key *key = keydata;
    struct mpkprov_frame f = {0};

    if (!prov_key_usable(key)) {
        return 0;
    }
    if (params == NULL || facts_answer(known_facts(key->known), params)) {
        return 1;
    }
    f.handle = key->handle;
    f.params = params;
    if (PROV_CALL(key_get, &f) != 1) {
        return 0;
    }
    facts_keep(known_facts(key->known), params);
    return 1;
}

static int set_params_proxy(void *keydata, const OSSL_PARAM params[])
{
    struct prov_key *key = keydata;
    struct mpkprov_frame f = {0};

    if (!prov_key_usable(key)) {
        return 0;
    }
    forget_known(key);
    f.handle = key->handle;
    f.params = params;
    return PROV_CALL(key_set, &f) == 1;
}

/* ---- tables -------------------------------------------------------------- */

/* libcrypto asks at each use of a key, which is when its cache of methods is
 * put right. */
static const char *operation_name(enum key_type type, int operation)
{
    const char *const *outer = mpkprov_types[type].outer;

    prov_keep_default_again(type);
    switch (operation) {
    case OSSL_OP_SIGNATURE:
        return outer[CTX_SIG];
    case OSSL_OP_ASYM_CIPHER:
        return outer[CTX_ENC];
    case OSSL_OP_KEYEXCH:
        return outer[CTX_KEX];
    case OSSL_OP_KEM:
        return outer[CTX_KEM];
    default:
        return NULL;
    }
}

/*
 * A few functions are called without an object and so do not know for which
 * type: these are made once for each type.
 */
#define FN(id, f)                                                              \
    {                                                                          \
        OSSL_FUNC_KEYMGMT_##id, (void (*)(void))(f)                            \
    }
#define KEYMGMT(T, lower, name, aliases)                                       \
    static OSSL_FUNC_keymgmt_new_fn lower##_new;                               \
    static void *lower##_new(void *provctx)                                    \
    {                                                                          \
        return new_proxy(provctx, KEY_##T);                                    \
    }                                                                          \
    static OSSL_FUNC_keymgmt_gen_init_fn lower##_gen_init;                     \
    static void *lower##_gen_init(void *provctx, int selection,                \
                                  const OSSL_PARAM params[])                   \
    {                                                                          \
        return gen_open_proxy(provctx, KEY_##T, selection, params);            \
    }                                                                          \
    static OSSL_FUNC_keymgmt_gen_settable_params_fn lower##_gen_settable;      \
    static const OSSL_PARAM *lower##_gen_settable(void *genctx, void *provctx) \
    {                                                                          \
        (void)genctx;                                                          \
        (void)provctx;                                                         \
        return gen_settable(KEY_##T);                                          \
    }                                                                          \
    static OSSL_FUNC_keymgmt_gettable_params_fn lower##_gettable;              \
    static const OSSL_PARAM *lower##_gettable(void *provctx)                   \
    {                                                                          \
        (void)provctx;                                                         \
        return key_gettable_of(KEY_##T);                                       \
    }                                                                          \
    static OSSL_FUNC_keymgmt_settable_params_fn lower##_settable;              \
    static const OSSL_PARAM *lower##_settable(void *provctx)                   \
    {                                                                          \
        (void)provctx;                                                         \
        return key_settable_of(KEY_##T);                                       \
    }                                                                          \
    static OSSL_FUNC_keymgmt_import_types_fn lower##_import_types;             \
    static const OSSL_PARAM *lower##_import_types(int selection)               \
    {                                                                          \
        return key_types_of(KEY_##T,                                           \
                            selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY);      \
    }                                                                          \
    static OSSL_FUNC_keymgmt_export_types_fn lower##_export_types;             \
    static const OSSL_PARAM *lower##_export_types(int selection)               \
    {                                                                          \
        return selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY                     \
                   ? NULL                                                      \
                   : key_types_of(KEY_##T, 0);                                 \
    }                                                                          \
    static OSSL_FUNC_keymgmt_query_operation_name_fn lower##_operation;        \
    static const char *lower##_operation(int operation)                        \
    {                                                                          \
        return operation_name(KEY_##T, operation);                             \
    }                                                                          \
    static const OSSL_DISPATCH lower##_functions[] = {                         \
        FN(NEW, lower##_new),                                                  \
        FN(GEN_INIT, lower##_gen_init),                                        \
        FN(GEN_SET_TEMPLATE, gen_template_proxy),                              \
        FN(GEN_SET_PARAMS, gen_set_proxy),                                     \
        FN(GEN_SETTABLE_PARAMS, lower##_gen_settable),                         \
        FN(GEN, gen_run_proxy),                                                \
        FN(GEN_CLEANUP, gen_free_proxy),                                       \
        FN(LOAD, load_proxy),                                                  \
        FN(FREE, free_proxy),                                                  \
        FN(HAS, has_proxy),                                                    \
        FN(MATCH, match_proxy),                                                \
        FN(VALIDATE, validate_proxy),                                          \
        FN(DUP, dup_proxy),                                                    \
        FN(IMPORT, import_proxy),                                              \
        FN(IMPORT_TYPES, lower##_import_types),                                \
        FN(EXPORT, export_proxy),                                              \
        FN(EXPORT_TYPES, lower##_export_types),                                \
        FN(GET_PARAMS, get_params_proxy),                                      \
        FN(GETTABLE_PARAMS, lower##_gettable),                                 \
        FN(SET_PARAMS, set_params_proxy),                                      \
        FN(SETTABLE_PARAMS, lower##_settable),                                 \
        FN(QUERY_OPERATION_NAME, lower##_operation),                           \
        {0, NULL}};

MPKPROV_KEY_TYPES(KEYMGMT)

#define ROW(T, lower, name, aliases)                                           \
    {name aliases, "provider=mpk", lower##_functions, "protected private keys"},
const OSSL_ALGORITHM prov_keymgmts[] = {
    MPKPROV_KEY_TYPES(ROW){NULL, NULL, NULL, NULL}};
