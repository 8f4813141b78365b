/*
 * tls_selfcheck.c - are session secrets protected in this configuration?
 *
 * What libssl takes from where is decided by the order of providers and by
 * default properties, and each way to get them wrong leaves a server that
 * works, with its secrets in the clear. So when libssl looks for groups, which
 * it does for each SSL_CTX before any connection, that is used to look for what
 * libssl will be given.
 */
#include "tls.h"

#include <stdio.h>

/* ---- groups: the first to advertise one gives it ------------------------- */

struct first {
    const struct outer *o;
    const char *other; /* one that comes before us, or NULL */
    int found_us;
};

static int has_group(const OSSL_PARAM params[], void *arg)
{
    (void)params;
    *(int *)arg = 1;
    return 1;
}

static int look_at(OSSL_PROVIDER *provider, void *arg)
{
    struct first *f = arg;
    const struct prov_ctx *ctx = f->o->provider_ctx(provider);
    int groups = 0, ours = prov_ctx_is_ours(ctx);

    if (f->found_us || f->other != NULL) {
        return 1;
    }
    if (ours) {
        f->found_us = ctx->role == ROLE_TLS;
        return 1;
    }
    f->o->capabilities(provider, "TLS-GROUP", has_group, &groups);
    if (groups) {
        f->other = f->o->provider_name(provider);
    }
    return 1;
}

static int groups_are_ours(struct prov_ctx *ctx, const struct outer *o,
                           char *what, size_t room)
{
    struct first f = {o, NULL, 0};

    o->all_providers((OSSL_LIB_CTX *)prov.core.get_libctx(ctx->handle), look_at,
                     &f);
    if (f.other == NULL) {
        return 1;
    }
    snprintf(what, room,
             "provider '%.32s' comes before it and gives the groups; list "
             "'%s' first in openssl.cnf, under a name that sorts before "
             "'base' and 'default', such as MPK",
             f.other, ctx->name);
    return 0;
}

/* ---- algorithms: default properties decide ------------------------------- */

static int is_ours(const struct outer *o, const OSSL_PROVIDER *provider)
{
    const struct prov_ctx *ctx =
        provider != NULL ? o->provider_ctx(provider) : NULL;

    return ctx != NULL && prov_ctx_is_ours(ctx) && ctx->role == ROLE_TLS;
}

static int kdf_is_ours(const struct outer *o, OSSL_LIB_CTX *libctx,
                       const char *name)
{
    EVP_KDF *kdf = o->kdf_fetch(libctx, name, NULL);
    int ok = kdf != NULL && is_ours(o, o->kdf_provider(kdf));

    o->kdf_free(kdf);
    return ok;
}

static int cipher_is_ours(const struct outer *o, OSSL_LIB_CTX *libctx,
                          const char *name)
{
    EVP_CIPHER *cipher = o->cipher_fetch(libctx, name, NULL);
    int ok = cipher != NULL && is_ours(o, o->cipher_provider(cipher));

    o->cipher_free(cipher);
    return ok;
}

static int algorithms_are_ours(struct prov_ctx *ctx, const struct outer *o,
                               char *what, size_t room)
{
    static const char *const kdfs[] = {"TLS13-KDF", "TLS1-PRF"};
    /* By the names that libssl uses. */
    static const char *const ciphers[] = {"id-aes128-GCM", "id-aes256-GCM",
                                          "ChaCha20-Poly1305"};
    OSSL_LIB_CTX *libctx = (OSSL_LIB_CTX *)prov.core.get_libctx(ctx->handle);
    const char *wrong = NULL;

    for (size_t i = 0; i < sizeof(kdfs) / sizeof(kdfs[0]); i++) {
        wrong = kdf_is_ours(o, libctx, kdfs[i]) ? wrong : kdfs[i];
    }
    for (size_t i = 0; i < sizeof(ciphers) / sizeof(ciphers[0]); i++) {
        wrong = cipher_is_ours(o, libctx, ciphers[i]) ? wrong : ciphers[i];
    }
    if (wrong == NULL) {
        return 1;
    }
    snprintf(what, room,
             "%s is taken from another provider; set 'default_properties = "
             "?mpk.use=yes' in the alg_section of openssl.cnf",
             wrong);
    return 0;
}

/* ---- the check ----------------------------------------------------------- */

static int is_protected(struct prov_ctx *ctx, char *what, size_t room)
{
    const struct outer *o = outer_for(OUTER_TLS);
    int ok;

    if (o == NULL) {
        snprintf(what, room, "this libcrypto lacks functions of OpenSSL 3");
        return 0;
    }
    prov.core.set_error_mark(ctx->handle);
    ok = groups_are_ours(ctx, o, what, room) &&
         algorithms_are_ours(ctx, o, what, room);
    prov.core.pop_error_to_mark(ctx->handle);
    return ok;
}

/* Says what is wrong, when that is news; 1 if the application may go on. */
static int violated(const struct prov_ctx *ctx, const char *what, int news)
{
    int require = ctx->tls.secrets == SELF_CHECK_REQUIRE;

    if (news) {
        prov_log(0,
                 "self-check of provider '%s': session secrets are NOT "
                 "protected: %s (tls-secrets = %s)",
                 ctx->name, what, require ? "require" : "warn");
    }
    return require ? RAISE(UNAVAILABLE, "session secrets: %s", what) : 1;
}

static int look_for_keys(OSSL_PROVIDER *provider, void *arg)
{
    const struct prov_ctx *ctx = prov.outer.provider_ctx(provider);

    *(int *)arg |= prov_ctx_is_ours(ctx) && ctx->role == ROLE_KEYS;
    return 1;
}

/* Wanted by those who have their keys elsewhere, in hardware for one. */
static void say_if_keys_are_open(const struct prov_ctx *ctx)
{
    int keys = 0;

    prov.outer.all_providers((OSSL_LIB_CTX *)prov.core.get_libctx(ctx->handle),
                             look_for_keys, &keys);
    if (!keys) {
        prov_log(0,
                 "private keys are NOT protected: no section of this module "
                 "is about them beside '%s'; add the one of mpk.cnf, 'mpk', "
                 "behind 'default'",
                 ctx->name);
    }
}

/*
 * For each SSL_CTX again: a program can change its default properties at any
 * time, to those of FIPS for one, and from then on take all algorithms from
 * elsewhere. Two threads that come together both look, and find the same.
 */
int tls_selfcheck(struct prov_ctx *ctx)
{
    char what[256];
    int found, before;

    if (ctx->tls.secrets == SELF_CHECK_OFF) {
        return 1;
    }
    /* Which was said. "warn" is for what is around the module, as with keys. */
    if (ctx->refused[0] != '\0') {
        return RAISE(UNAVAILABLE, "%s", ctx->refused);
    }
    found = is_protected(ctx, what, sizeof(what)) ? 1 : -1;
    before = __atomic_exchange_n(&ctx->tls.found, found, __ATOMIC_SEQ_CST);
    if (found < 0) {
        return violated(ctx, what, before != found);
    }
    if (before != found) {
        prov_log(1, "self-check: session secrets are protected");
        say_if_keys_are_open(ctx);
    }
    return 1;
}

/*
 * An SSL_CTX keeps the ciphers that it has found, and not its KDFs. When
 * default properties come to name another provider, connections whose key
 * exchange has no group of ours (DHE and RSA of TLS 1.2) have their KDF there,
 * and all of their secrets in the clear, and the first thing of it that comes
 * here is a record key.
 */
int tls_still_ours(struct prov_ctx *ctx)
{
    unsigned changes = __atomic_load_n(&ctx->tls.changes, __ATOMIC_ACQUIRE);
    char what[256] = "default properties name another provider";
    int found, news = 0;

    if (ctx->tls.secrets == SELF_CHECK_OFF) {
        return 1;
    }
    if (changes != __atomic_load_n(&ctx->tls.looked, __ATOMIC_ACQUIRE)) {
        const struct outer *o = outer_for(OUTER_TLS);

        prov.core.set_error_mark(ctx->handle);
        found = o != NULL && !algorithms_are_ours(ctx, o, what, sizeof(what));
        prov.core.pop_error_to_mark(ctx->handle);
        news = __atomic_exchange_n(&ctx->tls.elsewhere, found,
                                   __ATOMIC_SEQ_CST) != found;
        __atomic_store_n(&ctx->tls.looked, changes, __ATOMIC_RELEASE);
    }
    return !__atomic_load_n(&ctx->tls.elsewhere, __ATOMIC_ACQUIRE) ||
           violated(ctx, what, news);
}
