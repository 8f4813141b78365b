/*
 * selfcheck.c - does the configuration in force protect keys?
 *
 * Everything about provider order fails open: with this provider in the wrong
 * place, keys are loaded by another one, in the clear, and all works. So (1)
 * the order is watched as libcrypto makes it, and (2) at the first look for
 * decoders, a key made for the purpose is loaded as any other would be, and
 * must arrive here.
 */
#include "prov.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/provider.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/*
 * Says what is wrong. With "require" the process must not go on with keys in
 * the clear; |can_refuse| tells that the caller can see to that by refusing.
 */
static int violated(const struct prov_ctx *ctx, int can_refuse,
                    const char *what)
{
    int require = ctx->self_check == SELF_CHECK_REQUIRE;

    prov_log(0,
             "self-check of provider '%s': private keys are NOT protected: "
             "%s%s",
             ctx->name, what,
             require ? " (self-check = require)" : " (self-check = warn)");
    if (require && !can_refuse) {
        prov_log(0, "the process is ended; set 'self-check = warn' to go on "
                    "with unprotected keys");
        abort();
    }
    return !require;
}

/* The property that all algorithms of this provider have. */
#define PROVIDER_CLAUSE "provider=mpk"

/* ---- the order of providers --------------------------------------------- */

static unsigned order_bit(const char *name)
{
    return strcmp(name, "default") == 0 ? ORDER_DEFAULT
           : strcmp(name, "base") == 0  ? ORDER_BASE
                                        : 0;
}

/*
 * These have decoders for private keys of their own, and with what is activated
 * later libcrypto tries first. With 3.0 it tries our readers before base's too,
 * if default's are there (loading.md, "With 3.0 they are named PVK").
 */
static int takes_keys_first(const struct prov_ctx *ctx, unsigned bit)
{
    return bit == ORDER_DEFAULT ||
           (bit == ORDER_BASE &&
            (prov_core_is(ctx, 3, 1) || !ctx->order.default_active));
}

/* libcrypto sorts providers by name at look-ups, so the name decides too. */
static int name_is_late_enough(const struct prov_ctx *ctx)
{
    return strcmp(ctx->name, "legacy") > 0;
}

/* Each of these events makes libcrypto empty its cache of methods. */
static void cache_emptied(struct prov_ctx *ctx)
{
    __atomic_store_n(&ctx->cache_emptied, ~0U, __ATOMIC_SEQ_CST);
}

/*
 * A callback that could not be taken back (see prov_selfcheck_stop) may come
 * with a context that serves another library context by now. The default one
 * has two names, NULL being the other.
 */
static int concerns(const struct prov_ctx *ctx,
                    const OSSL_CORE_HANDLE *provider)
{
    const OPENSSL_CORE_CTX *its, *ours;

    if (ctx->handle == NULL) {
        return 0;
    }
    its = prov.core.get_libctx(provider);
    ours = prov.core.get_libctx(ctx->handle);
    return its == ours || its == NULL || ours == NULL;
}

/*
 * Called under libcrypto's lock on its providers: must not call back. One that
 * libcrypto had before stays active although it is refused (seen with 3.0).
 */
static int on_create(const OSSL_CORE_HANDLE *provider, void *arg)
{
    struct prov_ctx *ctx = arg;
    const char *name = prov.core.provider_name(provider);
    unsigned bit = order_bit(name);
    char what[192];

    if (!concerns(ctx, provider)) {
        return 1;
    }
    cache_emptied(ctx);
    if (strcmp(name, ctx->name) == 0) {
        __atomic_store_n(&ctx->inactive, 0, __ATOMIC_SEQ_CST);
        return 1;
    }
    __atomic_fetch_add(&ctx->order.others_active, 1, __ATOMIC_SEQ_CST);
    if (bit == ORDER_DEFAULT) {
        ctx->order.default_active = 1;
    }
    if (ctx->role == ROLE_TLS || ctx->self_check == SELF_CHECK_OFF ||
        !ctx->order.started) {
        return 1;
    }
    if (!takes_keys_first(ctx, bit)) {
        ctx->order.base_later |= bit == ORDER_BASE;
        return 1;
    }
    snprintf(what, sizeof(what),
             "provider '%.32s' is activated after it and takes them first; "
             "list '%.32s' before '%s' in openssl.cnf",
             name, name, ctx->name);
    return violated(ctx, !(ctx->order.gone & bit), what);
}

static int on_remove(const OSSL_CORE_HANDLE *provider, void *arg)
{
    const char *name = prov.core.provider_name(provider);
    struct prov_ctx *ctx = arg;
    unsigned bit = order_bit(name);

    if (!concerns(ctx, provider)) {
        return 1;
    }
    cache_emptied(ctx);
    if (strcmp(name, ctx->name) == 0) {
        __atomic_store_n(&ctx->inactive, 1, __ATOMIC_SEQ_CST);
        ctx->order.outlived =
            __atomic_load_n(&ctx->keys, __ATOMIC_SEQ_CST) != 0;
    } else {
        __atomic_fetch_sub(&ctx->order.others_active, 1, __ATOMIC_SEQ_CST);
    }
    ctx->order.gone |= bit;
    if (bit == ORDER_DEFAULT) {
        ctx->order.default_active = 0;
    } else if (bit == ORDER_BASE) {
        ctx->order.base_later = 0;
    }
    return 1;
}

/* The next clause of a property query that is not optional, or NULL. */
static const char *next_demand(const char *p, size_t *len)
{
    while (*p != '\0') {
        p += strspn(p, ", ");
        *len = strcspn(p, ",");
        if (*len != 0 && *p != '?' && *p != '-') {
            return p;
        }
        p += *len;
    }
    return NULL;
}

/*
 * Default properties that demand something else than this provider: libcrypto
 * then finds no operation for a protected key, and from 3.5 on takes keys
 * elsewhere, which the probe will notice.
 */
static int on_properties(const char *properties, void *arg)
{
    struct prov_ctx *ctx = arg;
    const char *p = properties;
    size_t len;

    if (ctx->handle == NULL) {
        return 1; /* as in concerns */
    }
    cache_emptied(ctx);
    __atomic_fetch_add(&ctx->tls.changes, 1, __ATOMIC_SEQ_CST);
    if (ctx->role == ROLE_TLS || ctx->self_check == SELF_CHECK_OFF ||
        properties == NULL) {
        return 1;
    }
    while ((p = next_demand(p, &len)) != NULL) {
        if (len != strlen(PROVIDER_CLAUSE) ||
            strncmp(p, PROVIDER_CLAUSE, len) != 0) {
            prov_log(0,
                     "self-check of provider '%s': default_properties demand "
                     "'%.*s', which protected keys cannot meet; write "
                     "'?%.*s' to prefer instead of demand",
                     ctx->name, (int)len, p, (int)len, p);
        }
        p += len;
    }
    return 1;
}

void prov_selfcheck_start(struct prov_ctx *ctx)
{
    char what[192];

    if (ctx->role == ROLE_KEYS && ctx->self_check != SELF_CHECK_OFF &&
        !name_is_late_enough(ctx)) {
        snprintf(what, sizeof(what),
                 "the name '%s' sorts before 'default', 'base', 'fips' or "
                 "'legacy'; call the provider 'mpk' in openssl.cnf",
                 ctx->name);
        /* What was wrong before is the cause, maybe of this too. */
        if (!violated(ctx, 1, what) && ctx->refused[0] == '\0') {
            snprintf(ctx->refused, sizeof(ctx->refused), "%s", what);
        }
    }
    if (prov.core.register_child_cb != NULL &&
        prov.core.provider_name != NULL) {
        ctx->watching = prov.core.register_child_cb(
            ctx->handle, on_create, on_remove, on_properties, ctx);
    }
    ctx->order.started = 1;
}

void prov_selfcheck_no_names(struct prov_ctx *ctx)
{
    if (ctx->role == ROLE_KEYS && ctx->self_check != SELF_CHECK_OFF) {
        violated(ctx, 0,
                 "libcrypto had no memory for its names of algorithms, and "
                 "loads keys without any provider");
    }
}

/*
 * A key that is freed after its library context is what ends the provider
 * then, and to deregister would be to use what is gone. It is gone, or
 * nothing is lost, when no other provider is active in it. One that the program
 * has activated once more than it has said goes without a word, and counts as
 * active: so what ends with a key is let be, and the callbacks keep the context
 * for themselves, as one more key would.
 */
void prov_selfcheck_stop(struct prov_ctx *ctx)
{
    if (!ctx->watching ||
        __atomic_load_n(&ctx->order.others_active, __ATOMIC_SEQ_CST) == 0) {
        return;
    }
    if (ctx->order.outlived) {
        prov_ctx_key_new(ctx);
    } else {
        prov.core.deregister_child_cb(ctx->handle);
    }
}

/* ---- a key for the purpose ---------------------------------------------- */

/* Made for this file and used nowhere: whoever reads it has nothing. */
static const char probe[] =
    "-----BEGIN PRIVATE KEY-----\n"
    "MC4CAQAwBQYDK2VwBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f\n"
    "-----END PRIVATE KEY-----\n";

/* What is wrong, or NULL. */
static const char *load_probe(struct prov_ctx *ctx, const struct outer *o,
                              char what[192])
{
    BIO *bio = o->bio_of(probe, (int)strlen(probe));
    const OSSL_PROVIDER *holder;
    const char *ret = NULL;
    EVP_PKEY *pkey;

    if (bio == NULL) {
        return "there is no memory to load a key made for the purpose";
    }
    pkey = o->pem_read(bio, NULL, NULL, NULL,
                       (OSSL_LIB_CTX *)prov.core.get_libctx(ctx->handle), NULL);
    holder = pkey != NULL ? o->pkey_provider(pkey) : NULL;
    if (pkey == NULL) {
        ret = "a key made for the purpose could not be loaded";
    } else if (holder == NULL) {
        ret = "a key made for the purpose was loaded without any provider";
    } else if (!prov_ctx_is_ours(o->provider_ctx(holder))) {
        snprintf(what, 192,
                 "a key made for the purpose went to provider '%.32s'; "
                 "list '%s' last in openssl.cnf",
                 o->provider_name(holder), ctx->name);
        ret = what;
    }
    o->pkey_free(pkey);
    o->bio_free(bio);
    return ret;
}

/* At a clean-up default goes before base, so that is not wrong by itself. */
static void check_order(struct prov_ctx *ctx)
{
    if (ctx->order.base_later && !ctx->order.default_active &&
        ctx->self_check != SELF_CHECK_OFF) {
        ctx->order.base_later = 0;
        violated(ctx, 0,
                 "provider 'base' was activated after it and, now that "
                 "'default' is not active, takes them first");
    }
}

/* Also when all keys are refused: only those that come here are. */
void prov_selfcheck_run(struct prov_ctx *ctx)
{
    const struct outer *o = outer_for(OUTER_KEYS);
    const char *wrong;
    char what[192];

    check_order(ctx);
    if (ctx->self_check == SELF_CHECK_OFF ||
        __atomic_exchange_n(&ctx->self_checked, 1, __ATOMIC_SEQ_CST)) {
        return;
    }
    if (!ctx->order.default_active) {
        prov_log(0,
                 "self-check of provider '%s': the default provider is not "
                 "active; activate it in openssl.cnf, before '%s'",
                 ctx->name, ctx->name);
    }
    if (o == NULL) {
        return;
    }
    prov.core.set_error_mark(ctx->handle);
    __atomic_store_n(&ctx->self_checking, 1, __ATOMIC_SEQ_CST);
    wrong = load_probe(ctx, o, what);
    __atomic_store_n(&ctx->self_checking, 0, __ATOMIC_SEQ_CST);
    prov.core.pop_error_to_mark(ctx->handle);
    if (wrong != NULL) {
        violated(ctx, 0, wrong);
    } else if (ctx->refused[0] == '\0') {
        prov_log(1, "self-check: a key made for the purpose is protected");
    }
}
