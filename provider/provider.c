/* provider.c - the module's entry point and what the core asks first. */
#include "param_answer.h"
#include "prov.h"
#include "tls.h"

#include <openssl/objects.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct prov_outside prov = {.lock = PTHREAD_MUTEX_INITIALIZER};

/*
 * The C library wants this of a module that has destructors; ours is linked
 * without the start files that would bring them, since they write to module
 * data at exit, outside the gate.
 */
extern void *const __dso_handle;
__attribute__((visibility("hidden"))) void *const __dso_handle =
    (void *)&__dso_handle;

__attribute__((visibility("default"))) OSSL_provider_init_fn OSSL_provider_init;

/* ---- the core's functions ------------------------------------------------ */

static void take_core(const OSSL_DISPATCH *in)
{
    struct core *c = &prov.core;

#define TAKE(id, name, member)                                                 \
    case OSSL_FUNC_##id:                                                       \
        c->member = OSSL_FUNC_##name(in);                                      \
        break
    for (; in->function_id != 0; in++) {
        switch (in->function_id) {
            TAKE(CORE_GET_PARAMS, core_get_params, get_params);
            TAKE(CORE_GET_LIBCTX, core_get_libctx, get_libctx);
            TAKE(CORE_NEW_ERROR, core_new_error, new_error);
            TAKE(CORE_SET_ERROR_DEBUG, core_set_error_debug, set_error_debug);
            TAKE(CORE_VSET_ERROR, core_vset_error, vset_error);
            TAKE(CORE_SET_ERROR_MARK, core_set_error_mark, set_error_mark);
            TAKE(CORE_POP_ERROR_TO_MARK, core_pop_error_to_mark,
                 pop_error_to_mark);
            TAKE(BIO_READ_EX, BIO_read_ex, bio_read_ex);
            TAKE(BIO_WRITE_EX, BIO_write_ex, bio_write_ex);
            TAKE(BIO_GETS, BIO_gets, bio_gets);
            TAKE(BIO_CTRL, BIO_ctrl, bio_ctrl);
            TAKE(PROVIDER_REGISTER_CHILD_CB, provider_register_child_cb,
                 register_child_cb);
            TAKE(PROVIDER_DEREGISTER_CHILD_CB, provider_deregister_child_cb,
                 deregister_child_cb);
            TAKE(PROVIDER_NAME, provider_name, provider_name);
            TAKE(PROVIDER_UP_REF, provider_up_ref, provider_up_ref);
        }
    }
#undef TAKE
}

/* ---- what the core asks -------------------------------------------------- */

/* Unless it is refused, or nobody wants it. */
static int offers_tls(const struct prov_ctx *ctx)
{
    return ctx->refused[0] == '\0' && ctx->tls.secrets != SELF_CHECK_OFF;
}

static const OSSL_ALGORITHM *query_tls(const struct tls_settings *s,
                                       int operation)
{
    switch (operation) {
    case OSSL_OP_KDF:
        return tls_kdfs(s->quic);
    case OSSL_OP_KEYMGMT:
        return tls_keymgmts;
    case OSSL_OP_KEYEXCH:
        return tls_exchanges;
    case OSSL_OP_KEM:
        return tls_kems;
    case OSSL_OP_CIPHER:
        return tls_ciphers;
    case OSSL_OP_RAND:
        return tls_rands;
    default:
        return NULL;
    }
}

static const OSSL_ALGORITHM *query_keys(const struct prov_ctx *ctx,
                                        int operation)
{
    switch (operation) {
    case OSSL_OP_KEYMGMT:
        return prov_keymgmts;
    case OSSL_OP_SIGNATURE:
        return prov_signatures;
    case OSSL_OP_ASYM_CIPHER:
        return prov_asym_ciphers;
    case OSSL_OP_KEYEXCH:
        return prov_exchanges;
    case OSSL_OP_KEM:
        return prov_kems;
    case OSSL_OP_DECODER:
        return prov_core_is(ctx, 3, 1) ? prov_decoders : prov_decoders_3_0;
    case OSSL_OP_ENCODER:
        return prov_encoders;
    case OSSL_OP_STORE:
        return prov_stores;
    default:
        return NULL;
    }
}

static const OSSL_ALGORITHM *query(void *provctx, int operation, int *no_cache)
{
    struct prov_ctx *ctx = provctx;

    *no_cache = 0;
    if (ctx->role == ROLE_TLS) {
        if (operation == OSSL_OP_DECODER) {
            prov_sections_check(ctx); /* somebody is about to load a key */
        }
        return offers_tls(ctx) ? query_tls(&ctx->tls, operation) : NULL;
    }
    return query_keys(ctx, operation);
}

/* Without the algorithms there is nothing to advertise. */
static int get_capabilities(void *provctx, const char *capability,
                            OSSL_CALLBACK *cb, void *cbarg)
{
    struct prov_ctx *ctx = provctx;

    if (strcmp(capability, "TLS-GROUP") == 0 && !tls_selfcheck(ctx)) {
        return 0;
    }
    return !offers_tls(ctx) ||
           tls_get_capabilities(provctx, capability, cb, cbarg);
}

static const OSSL_PARAM *gettable(void *provctx)
{
    static const OSSL_PARAM params[] = {
        OSSL_PARAM_utf8_ptr(OSSL_PROV_PARAM_NAME, NULL, 0),
        OSSL_PARAM_utf8_ptr(OSSL_PROV_PARAM_VERSION, NULL, 0),
        OSSL_PARAM_utf8_ptr(OSSL_PROV_PARAM_BUILDINFO, NULL, 0),
        OSSL_PARAM_int(OSSL_PROV_PARAM_STATUS, NULL),
        OSSL_PARAM_uint64(MPKPROV_PARAM_CROSSINGS, NULL),
        OSSL_PARAM_uint64(MPKPROV_PARAM_BLOCKS, NULL),
        OSSL_PARAM_utf8_ptr(MPKPROV_PARAM_REFUSED, NULL, 0),
        OSSL_PARAM_END};

    (void)provctx;
    return params;
}

/* For tests, benchmarks, and whoever looks for a leak. */
static int answer_count(OSSL_PARAM params[], const char *name, int what)
{
    struct mpkprov_frame f = {.what = what};

    return prov_param(params, name) == NULL ||
           (prov.initialised > 0 && PROV_CALL(inner_count, &f) == 1 &&
            answer_size(params, name, f.handle));
}

static int get_params(void *provctx, OSSL_PARAM params[])
{
    const struct prov_ctx *ctx = provctx;

    return answer_text(params, OSSL_PROV_PARAM_NAME,
                       ctx->role == ROLE_TLS ? "MPK-protected session secrets"
                                             : "MPK-protected keys") &&
           answer_text(params, OSSL_PROV_PARAM_VERSION, MPKPROV_VERSION) &&
           answer_text(params, OSSL_PROV_PARAM_BUILDINFO,
                       MPKPROV_VERSION " with " MPKPROV_INNER) &&
           answer_int(params, OSSL_PROV_PARAM_STATUS,
                      ctx->refused[0] == '\0') &&
           answer_text(params, MPKPROV_PARAM_REFUSED, ctx->refused) &&
           answer_count(params, MPKPROV_PARAM_CROSSINGS,
                        MPKPROV_COUNT_CROSSINGS) &&
           answer_count(params, MPKPROV_PARAM_BLOCKS, MPKPROV_COUNT_BLOCKS);
}

static const OSSL_ITEM *reasons(void *provctx)
{
    (void)provctx;
    return prov_reasons;
}

struct prov_ctx *prov_contexts(void)
{
    return __atomic_load_n(&prov.contexts, __ATOMIC_ACQUIRE);
}

static const OSSL_CORE_HANDLE *owner(const struct prov_ctx *ctx)
{
    return __atomic_load_n(&ctx->handle, __ATOMIC_SEQ_CST);
}

/* A key can outlive its context, and is counted there. */
static int is_free(const struct prov_ctx *ctx)
{
    return owner(ctx) == NULL &&
           __atomic_load_n(&ctx->keys, __ATOMIC_SEQ_CST) == 0;
}

static struct prov_ctx *ctx_add(void)
{
    const size_t n = sizeof(prov.first) / sizeof(prov.first[0]);
    struct prov_ctx *ctx = prov.n_first < n ? &prov.first[prov.n_first++]
                                            : calloc(1, sizeof(*ctx));

    if (ctx != NULL) {
        prov_key_spares(ctx);
        ctx->next = prov.contexts;
        __atomic_store_n(&prov.contexts, ctx, __ATOMIC_RELEASE);
    }
    return ctx;
}

/*
 * A context for |handle|. Contexts are used again and never freed, so that the
 * list of them can be walked without a lock.
 */
static struct prov_ctx *ctx_take(const OSSL_CORE_HANDLE *handle)
{
    const size_t shared = offsetof(struct prov_ctx, name);
    struct prov_ctx *ctx;

    pthread_mutex_lock(&prov.lock);
    /* Not with those of the domain, which come behind the core's, so that
     * fork takes our lock before what the core locks: contexts have visitors
     * where there is no domain too. */
    prov.forks_seen = prov.forks_seen || prov_follow_forks();
    ctx = prov.contexts;
    while (ctx != NULL && !is_free(ctx)) {
        ctx = ctx->next;
    }
    if (ctx == NULL) {
        ctx = ctx_add();
    }
    if (ctx != NULL) {
        memset((char *)ctx + shared, 0, sizeof(*ctx) - shared);
        __atomic_store_n(&ctx->cache_emptied, 0, __ATOMIC_SEQ_CST);
        __atomic_store_n(&ctx->inactive, 0, __ATOMIC_SEQ_CST);
        __atomic_store_n(&ctx->handle, handle, __ATOMIC_SEQ_CST);
    }
    pthread_mutex_unlock(&prov.lock);
    return ctx;
}

int prov_ctx_is_ours(const void *ctx)
{
    const struct prov_ctx *c = prov_contexts();

    while (c != NULL && c != ctx) {
        c = c->next;
    }
    return c != NULL;
}

const OSSL_CORE_HANDLE *prov_handle(void)
{
    for (struct prov_ctx *c = prov_contexts(); c != NULL; c = c->next) {
        const OSSL_CORE_HANDLE *handle = owner(c);

        if (handle != NULL) {
            return handle;
        }
    }
    return NULL;
}

/* The domain stays: keys may be freed after the provider, and it can come
 * back. */
static void teardown(void *provctx)
{
    struct prov_ctx *ctx = provctx;

    prov_selfcheck_stop(ctx);
    __atomic_store_n(&ctx->handle, NULL, __ATOMIC_SEQ_CST);
}

#define EVERY_ROLE                                                             \
    {OSSL_FUNC_PROVIDER_TEARDOWN, (void (*)(void))teardown},                   \
        {OSSL_FUNC_PROVIDER_GETTABLE_PARAMS, (void (*)(void))gettable},        \
        {OSSL_FUNC_PROVIDER_GET_PARAMS, (void (*)(void))get_params},           \
        {OSSL_FUNC_PROVIDER_QUERY_OPERATION, (void (*)(void))query},           \
    {                                                                          \
        OSSL_FUNC_PROVIDER_GET_REASON_STRINGS, (void (*)(void))reasons         \
    }

static const OSSL_DISPATCH keys_functions[] = {
    EVERY_ROLE,
    {OSSL_FUNC_PROVIDER_GET_CAPABILITIES,
     (void (*)(void))keys_get_capabilities},
    {0, NULL}};
static const OSSL_DISPATCH tls_functions[] = {
    EVERY_ROLE,
    {OSSL_FUNC_PROVIDER_GET_CAPABILITIES, (void (*)(void))get_capabilities},
    {OSSL_FUNC_PROVIDER_RANDOM_BYTES, (void (*)(void))tls_random_bytes},
    {0, NULL}};

/* The section's name, which is the provider's for the application. */
static void take_name(struct prov_ctx *ctx)
{
    char *name = NULL;
    OSSL_PARAM params[] = {
        OSSL_PARAM_utf8_ptr(OSSL_PROV_PARAM_CORE_PROV_NAME, &name, 0),
        OSSL_PARAM_END};

    if (prov.core.get_params(ctx->handle, params) && name != NULL) {
        strncpy(ctx->name, name, sizeof(ctx->name) - 1);
    }
}

static void take_version(struct prov_ctx *ctx)
{
    char *version = NULL;
    OSSL_PARAM params[] = {
        OSSL_PARAM_utf8_ptr(OSSL_PROV_PARAM_CORE_VERSION, &version, 0),
        OSSL_PARAM_END};

    ctx->core_major = ctx->core_minor = ctx->core_patch = 0;
    if (prov.core.get_params(ctx->handle, params) && version != NULL) {
        sscanf(version, "%d.%d.%d", &ctx->core_major, &ctx->core_minor,
               &ctx->core_patch);
    }
}

int prov_core_is(const struct prov_ctx *ctx, int major, int minor)
{
    return ctx->core_major > major ||
           (ctx->core_major == major && ctx->core_minor >= minor);
}

/*
 * 3.0.0 takes a signature from this provider and the keys for it from the first
 * one that has such keys, which would need the private numbers.
 */
static int core_can(struct prov_ctx *ctx)
{
    if (ctx->core_major != 3 || ctx->core_minor != 0 || ctx->core_patch != 0) {
        return 1;
    }
    snprintf(ctx->refused, sizeof(ctx->refused),
             "OpenSSL 3.0.0 cannot sign with protected keys; it takes 3.0.1");
    return 0;
}

/*
 * A program may want no names of digests (OPENSSL_INIT_NO_ADD_ALL_DIGESTS): its
 * old table has none then. libcrypto fills that before the map, but does not
 * come to it without one.
 */
static int wants_names(void)
{
    const struct outer *old = outer_for(OUTER_OLD_NAMES);

    if (old != NULL) {
        old->init_crypto(OPENSSL_INIT_ADD_ALL_DIGESTS, NULL);
    }
    return old == NULL ||
           old->old_name("SHA256", OBJ_NAME_TYPE_MD_METH) != NULL;
}

/*
 * libcrypto 3.0 fills its map of names at the first look-up, and other threads
 * may look up and add names meanwhile: "EC" and "id-ecPublicKey" then are two
 * things, and keys are loaded by its old code, in the clear, as long as the
 * process lives (3 of 1,500 whose first act was to load keys in three threads).
 * A configuration is loaded by one thread: here it has its look-up.
 *
 * It must not be one that looks for an algorithm (EVP_get_digestbyname does, of
 * a name that it does not know): in there libcrypto takes the configuration for
 * loaded, and other threads, which wait for that, go on without this provider.
 *
 * Another thread may be at it already. 0 when there is no map after a second,
 * for want of memory: libcrypto does not try again.
 */
static int have_names_filled(void)
{
    const struct outer *o = outer_for(OUTER_NAMES);
    const struct timespec pause = {0, 1000000};
    int tries = 0;

    /* Where there are no names, all are equal. */
    while (o != NULL && o->digest_is_a(o->some_digest(), "of no such name")) {
        int wanted = wants_names();

        if (tries++ == (wanted ? 1000 : 20)) {
            return !wanted;
        }
        syscall(SYS_nanosleep, &pause, NULL);
    }
    return 1;
}

/* ---- a second libcrypto -------------------------------------------------- */

/*
 * A process may have two: a plugin, or a module of a language, with one linked
 * in. Both obey OPENSSL_CONF, and ld.so gives both this module, once. It has
 * one set of the core's functions, and what belongs to one libcrypto must not
 * be given to another. So the first is served, and the other is told that it is
 * not: its provider has no algorithms.
 */
static int is_served_to_another(const OSSL_DISPATCH *in)
{
    OSSL_FUNC_core_get_params_fn *its = NULL;

    for (; in->function_id != 0; in++) {
        if (in->function_id == OSSL_FUNC_CORE_GET_PARAMS) {
            its = OSSL_FUNC_core_get_params(in);
        }
    }
    return its != prov.core.get_params && prov_handle() != NULL;
}

static const OSSL_ALGORITHM *query_nothing(void *provctx, int operation,
                                           int *no_cache)
{
    (void)provctx;
    (void)operation;
    *no_cache = 0;
    return NULL;
}

static const OSSL_DISPATCH nothing[] = {
    {OSSL_FUNC_PROVIDER_QUERY_OPERATION, (void (*)(void))query_nothing},
    {0, NULL}};

static int serve_nothing(const OSSL_DISPATCH **out, void **provctx)
{
    prov_log(0, "there is a second libcrypto in this process, which has been "
                "told to load this module too: its private keys and "
                "connections are NOT protected; the first one's are");
    *out = nothing;
    *provctx = &prov;
    return 1;
}

static void say_refused(const struct prov_ctx *ctx)
{
    if (ctx->role == ROLE_TLS && ctx->tls.secrets == SELF_CHECK_OFF) {
        prov_log(0, "provider '%s' protects no connections anyway: %s",
                 ctx->name, ctx->refused);
    } else {
        prov_log(0, "provider '%s' refuses all %s: %s", ctx->name,
                 ctx->role == ROLE_TLS ? "connections" : "private keys",
                 ctx->refused);
    }
}

/* libcrypto would go on without this provider, and without a word. */
static _Noreturn void end_without_context(void)
{
    prov_log(0, "there is no memory for another provider: its private keys and "
                "connections would not be protected; the process is ended");
    abort();
}

int OSSL_provider_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in,
                       const OSSL_DISPATCH **out, void **provctx)
{
    struct mpk_config config = {0};
    struct prov_ctx *ctx;
    int named;

    if (is_served_to_another(in)) {
        return serve_nothing(out, provctx);
    }
    take_core(in);
    ctx = ctx_take(handle);
    if (ctx == NULL) {
        end_without_context();
    }
    outer_find();
    prov_cleanup_expect();
    named = have_names_filled();
    prov_log_open();
    take_name(ctx);
    take_version(ctx);
    /*
     * What goes wrong from here on is kept in |ctx->refused|, and init
     * succeeds: libcrypto treats a provider that fails as if it were not
     * configured, and would load every key in the clear.
     */
    if (prov_config_read(ctx, &config) && prov_config_lint(ctx) &&
        core_can(ctx)) {
        prov_use_domain(ctx, &config);
    }
    if (!named) {
        prov_selfcheck_no_names(ctx);
    }
    if (!prov.forks_seen && ctx->refused[0] == '\0') {
        snprintf(ctx->refused, sizeof(ctx->refused), PROV_NO_HANDLER);
    }
    prov_selfcheck_start(ctx);
    if (ctx->refused[0] != '\0') {
        say_refused(ctx);
    }
    *out = ctx->role == ROLE_TLS ? tls_functions : keys_functions;
    *provctx = ctx;
    return 1;
}
