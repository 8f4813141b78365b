/*
 * sections.c - has each section of openssl.cnf for this module been loaded?
 *
 * With the full profile there are two. libcrypto passes over one that it cannot
 * load, by a slip in its path or for want of memory, and goes on with the other
 * without a word: connections are not protected then, or private keys. So the
 * one that is there looks for the other. Only in the library context that
 * libcrypto configures by the file, for which it does so before anybody asks.
 */
#include "prov.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

static int is_one_of(const char *value, const char *const words[])
{
    while (*words != NULL && strcasecmp(value, *words) != 0) {
        words++;
    }
    return *words != NULL;
}

static const char *name_of_file(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash != NULL ? slash + 1 : path;
}

/* Settings that no other provider has either. */
static int is_only_ours(const char *setting)
{
    return strcmp(setting, "role") == 0 ||
           (strchr(setting, '-') != NULL && prov_config_known(setting));
}

static char *from_core(const struct prov_ctx *ctx, const char *name)
{
    char *value = NULL;
    OSSL_PARAM params[] = {OSSL_PARAM_utf8_ptr(name, &value, 0),
                           OSSL_PARAM_END};

    return prov.core.get_params(ctx->handle, params) ? value : NULL;
}

/* Activated, and for this module by its file's name or a setting. */
static int is_for_us(const struct prov_ctx *ctx, const struct outer *o,
                     const OPENSSL_STACK *section)
{
    static const char *const no[] = {"0", "no", "off", "false", NULL};
    const char *file = from_core(ctx, OSSL_PROV_PARAM_CORE_MODULE_FILENAME);
    int active = 0, ours = 0;

    for (int i = 0; i < o->stack_num(section); i++) {
        const CONF_VALUE *v = o->stack_value(section, i);

        active |= strcmp(v->name, "activate") == 0 && !is_one_of(v->value, no);
        ours |= is_only_ours(v->name) ||
                (file != NULL && strcmp(v->name, "module") == 0 &&
                 strcmp(name_of_file(v->value), name_of_file(file)) == 0);
    }
    return active && ours;
}

/* What it says itself that is to happen when it does not protect. */
static enum self_check wants(const struct outer *o, CONF *conf,
                             const char *section, enum role role)
{
    const char *value = o->conf_string(
        conf, section, role == ROLE_TLS ? "tls-secrets" : "self-check");

    if (value == NULL || strcasecmp(value, "require") == 0) {
        return SELF_CHECK_REQUIRE;
    }
    return strcasecmp(value, "off") == 0 ? SELF_CHECK_OFF : SELF_CHECK_WARN;
}

/* Configured by the file, which libcrypto does for one library context. */
static int is_of_file(const struct prov_ctx *ctx)
{
    return __atomic_load_n(&ctx->handle, __ATOMIC_SEQ_CST) != NULL &&
           __atomic_load_n(&ctx->of_file, __ATOMIC_SEQ_CST);
}

static void take_of_file(struct prov_ctx *ctx, const struct outer *o)
{
    OSSL_LIB_CTX *libctx = (OSSL_LIB_CTX *)prov.core.get_libctx(ctx->handle);

    if ((libctx == NULL || libctx == o->default_libctx()) &&
        from_core(ctx, "activate") != NULL) {
        __atomic_store_n(&ctx->of_file, 1, __ATOMIC_SEQ_CST);
    }
}

static int is_there(const char *name)
{
    struct prov_ctx *c = prov_contexts();

    while (c != NULL && (!is_of_file(c) || strcmp(c->name, name) != 0)) {
        c = c->next;
    }
    return c != NULL;
}

/* Whoever waits for this one need not any more. */
static void announce(const struct prov_ctx *ctx)
{
    for (struct prov_ctx *c = prov_contexts(); c != NULL; c = c->next) {
        if (is_of_file(c) && strcmp(c->other.name, ctx->name) == 0) {
            c->other.name[0] = '\0';
        }
    }
}

static const char *what_of(enum role role)
{
    return role == ROLE_TLS ? "connections" : "private keys";
}

/* |name| comes before |ctx| in the list, and is not there: that is for |ctx| to
 * deal with, which refuses what it has. */
static void refuse_for(struct prov_ctx *ctx, const char *name, enum role role,
                       enum self_check check)
{
    if (check == SELF_CHECK_REQUIRE) {
        snprintf(ctx->refused, sizeof(ctx->refused),
                 "openssl.cnf lists provider '%.32s' for this module too, and "
                 "it was not loaded: see the 'module' of its section; %s would "
                 "not be protected",
                 name, what_of(role));
    } else if (check == SELF_CHECK_WARN) {
        prov_log(0,
                 "openssl.cnf lists provider '%.32s' for this module too, and "
                 "it was not loaded: %s are NOT protected",
                 name, what_of(role));
    }
}

static int look_at(struct prov_ctx *ctx, const struct outer *o, CONF *conf,
                   const CONF_VALUE *listed, int before)
{
    const char *role_word = o->conf_string(conf, listed->value, "role");
    enum role role = role_word != NULL && strcasecmp(role_word, "tls") == 0
                         ? ROLE_TLS
                         : ROLE_KEYS;
    enum self_check check = wants(o, conf, listed->value, role);

    if (!before) {
        snprintf(ctx->other.name, sizeof(ctx->other.name), "%s", listed->name);
        ctx->other.role = role;
        ctx->other.check = check;
    } else if (!is_there(listed->name)) {
        refuse_for(ctx, listed->name, role, check);
    }
    return ctx->refused[0] == '\0';
}

int prov_sections_look(struct prov_ctx *ctx, const struct outer *o, CONF *conf,
                       const char *list)
{
    const OPENSSL_STACK *all =
        (const OPENSSL_STACK *)o->conf_section(conf, list);
    int n = all != NULL ? o->stack_num(all) : 0, before = 1;

    take_of_file(ctx, o);
    if (!is_of_file(ctx)) {
        return 1;
    }
    announce(ctx);
    for (int i = 0; i < n; i++) {
        const CONF_VALUE *v = o->stack_value(all, i);
        const OPENSSL_STACK *section =
            (const OPENSSL_STACK *)o->conf_section(conf, v->value);

        if (strcmp(v->name, ctx->name) == 0) {
            before = 0;
        } else if (section != NULL && is_for_us(ctx, o, section) &&
                   !look_at(ctx, o, conf, v, before)) {
            return 0;
        }
    }
    return 1;
}

void prov_sections_check(struct prov_ctx *ctx)
{
    if (ctx->other.name[0] == '\0' || ctx->other.check == SELF_CHECK_OFF) {
        return;
    }
    prov_log(0,
             "openssl.cnf lists provider '%s' for this module, after '%s', and "
             "it was not loaded: %s are NOT protected",
             ctx->other.name, ctx->name, what_of(ctx->other.role));
    if (ctx->other.check == SELF_CHECK_REQUIRE) {
        prov_log(0, "the process is ended; see the 'module' of its section");
        abort();
    }
    ctx->other.name[0] = '\0';
}
