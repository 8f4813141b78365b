/*
 * sections.c - can each section of openssl.cnf for this module be loaded?
 *
 * With the full profile there are two. libcrypto passes over one whose module
 * it cannot open, and goes on with the other without a word: connections are
 * not protected then, or private keys. So the one that is loaded looks at the
 * file of the other. Only a file that is not there, or may not be read, counts:
 * a section that is not loaded can be another list's, or come later.
 */
#include "prov.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

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

/* A setting that no other provider has as well. */
static int is_only_ours(const CONF_VALUE *v)
{
    static const char *const roles[] = {"keys", "tls", NULL};

    return strcmp(v->name, "role") == 0
               ? is_one_of(v->value, roles)
               : strchr(v->name, '-') != NULL && prov_config_known(v->name);
}

static const char *our_file(const struct prov_ctx *ctx)
{
    char *path = NULL;
    OSSL_PARAM params[] = {
        OSSL_PARAM_utf8_ptr(OSSL_PROV_PARAM_CORE_MODULE_FILENAME, &path, 0),
        OSSL_PARAM_END};

    return prov.core.get_params(ctx->handle, params) && path != NULL ? path
                                                                     : "";
}

/* Without a whole path libcrypto looks in a folder of its own. */
static int cannot_be_opened(const char *path)
{
    int fd;

    if (path[0] != '/') {
        return 0;
    }
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd >= 0) {
        close(fd);
        return 0;
    }
    return errno == ENOENT || errno == ENOTDIR || errno == EACCES;
}

struct section {
    const char *module;
    enum role role;
    enum self_check check; /* what it wants when it does not protect */
};

static enum self_check wants(const char *value)
{
    if (value == NULL || strcasecmp(value, "require") == 0) {
        return SELF_CHECK_REQUIRE;
    }
    return strcasecmp(value, "off") == 0 ? SELF_CHECK_OFF : SELF_CHECK_WARN;
}

/* 1 if |name| is active, for this module by its file's name or a setting, and
 * cannot be loaded. */
static int is_lost(const struct prov_ctx *ctx, const struct outer *o,
                   CONF *conf, const char *name, struct section *s)
{
    static const char *const no[] = {"0", "no", "off", "false", NULL};
    const OPENSSL_STACK *lines =
        (const OPENSSL_STACK *)o->conf_section(conf, name);
    const char *active = NULL, *role = NULL;
    int ours = 0;

    s->module = NULL;
    for (int i = 0; lines != NULL && i < o->stack_num(lines); i++) {
        const CONF_VALUE *v = o->stack_value(lines, i);

        active = strcmp(v->name, "activate") == 0 ? v->value : active;
        role = strcmp(v->name, "role") == 0 ? v->value : role;
        s->module = strcmp(v->name, "module") == 0 ? v->value : s->module;
        ours |= is_only_ours(v);
    }
    if (active == NULL || is_one_of(active, no) || s->module == NULL) {
        return 0;
    }
    s->role =
        role != NULL && strcasecmp(role, "tls") == 0 ? ROLE_TLS : ROLE_KEYS;
    s->check = wants(o->conf_string(
        conf, name, s->role == ROLE_TLS ? "tls-secrets" : "self-check"));
    return (ours || strcmp(name_of_file(s->module),
                           name_of_file(our_file(ctx))) == 0) &&
           cannot_be_opened(s->module);
}

static const char *what_of(enum role role)
{
    return role == ROLE_TLS ? "connections" : "private keys";
}

static void deal_with(struct prov_ctx *ctx, const char *name,
                      const struct section *s)
{
    if (s->check == SELF_CHECK_REQUIRE) {
        ctx->lost_keys |= s->role == ROLE_KEYS;
        snprintf(ctx->refused, sizeof(ctx->refused),
                 "openssl.cnf: '%.60s', the module of provider '%.32s', cannot "
                 "be opened, and %s would not be protected",
                 s->module, name, what_of(s->role));
    } else if (s->check == SELF_CHECK_WARN) {
        prov_log(
            0,
            "openssl.cnf: '%.200s', the module of provider '%.32s', cannot "
            "be opened: %s are NOT protected",
            s->module, name, what_of(s->role));
    }
}

/*
 * A program can have a line of its own for its name in place of openssl_conf
 * (CONF_modules_load_file), and nobody can say which one has been used.
 */
static int has_another_list(const struct outer *o, CONF *conf, const char *list)
{
    const OPENSSL_STACK *lines =
        (const OPENSSL_STACK *)o->conf_section(conf, "default");
    int found = 0;

    for (int i = 0; lines != NULL && i < o->stack_num(lines); i++) {
        const CONF_VALUE *v = o->stack_value(lines, i);
        const char *other = o->conf_string(conf, v->value, "providers");

        found |= other != NULL && strcmp(other, list) != 0;
    }
    return found;
}

/* That is, those of the library context that libcrypto configures by itself. */
static int is_of_default_context(const struct prov_ctx *ctx,
                                 const struct outer *o)
{
    OSSL_LIB_CTX *libctx = (OSSL_LIB_CTX *)prov.core.get_libctx(ctx->handle);

    return libctx == NULL || libctx == o->default_libctx();
}

int prov_sections_look(struct prov_ctx *ctx, const struct outer *o, CONF *conf,
                       const char *list)
{
    const OPENSSL_STACK *all =
        (const OPENSSL_STACK *)o->conf_section(conf, list);
    int n = all != NULL ? o->stack_num(all) : 0;

    if (!is_of_default_context(ctx, o) || has_another_list(o, conf, list)) {
        return 1;
    }
    for (int i = 0; i < n && ctx->refused[0] == '\0'; i++) {
        const CONF_VALUE *v = o->stack_value(all, i);
        struct section s;

        if (is_lost(ctx, o, conf, v->value, &s)) {
            deal_with(ctx, v->name, &s);
        }
    }
    return ctx->refused[0] == '\0';
}

void prov_sections_check(const struct prov_ctx *ctx)
{
    if (ctx->lost_keys) {
        prov_log(0, "the process is ended, since it is about to load a key: "
                    "see the line that says which module cannot be opened");
        abort();
    }
}
