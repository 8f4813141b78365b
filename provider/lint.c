/*
 * lint.c - finds keys in the provider's section that nobody knows.
 *
 * The core answers for keys that it is asked for by name and cannot list
 * them. So the configuration file is read once more, with the application's
 * own libcrypto, and the section looked at that has this provider's name. A
 * configuration that is not in the default file is not looked at.
 */
#include "prov.h"

#include <openssl/conf.h>

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * Found through the address of a function that it gave us, because its names
 * are also those of the inner libcrypto. It stays loaded while it calls us.
 */
void prov_find_outer(void)
{
    Dl_info info;
    void *lib;

    prov.has_libcrypto =
        dladdr((void *)(uintptr_t)prov.core.get_params, &info) != 0;
    lib = prov.has_libcrypto ? dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD)
                             : NULL;
    if (lib != NULL) {
        dlclose(lib);
    }
    /* Without: a program that has libcrypto inside it. */
    prov.libcrypto = lib != NULL ? lib : RTLD_DEFAULT;
}

void *prov_outer_symbol(const char *name)
{
    return prov.has_libcrypto ? dlsym(prov.libcrypto, name) : NULL;
}

struct conf_functions {
    CONF *(*conf_new)(CONF_METHOD *);
    void (*conf_free)(CONF *);
    int (*load)(CONF *, const char *, long *);
    char *(*get_string)(const CONF *, const char *, const char *);
    STACK_OF(CONF_VALUE) * (*get_section)(const CONF *, const char *);
    char *(*default_file)(void);
    void (*free)(void *, const char *, int);
    int (*num)(const OPENSSL_STACK *);
    void *(*value)(const OPENSSL_STACK *, int);
};

static int find_functions(struct conf_functions *c)
{
    *(void **)&c->conf_new = prov_outer_symbol("NCONF_new");
    *(void **)&c->conf_free = prov_outer_symbol("NCONF_free");
    *(void **)&c->load = prov_outer_symbol("NCONF_load");
    *(void **)&c->get_string = prov_outer_symbol("NCONF_get_string");
    *(void **)&c->get_section = prov_outer_symbol("NCONF_get_section");
    *(void **)&c->default_file =
        prov_outer_symbol("CONF_get1_default_config_file");
    *(void **)&c->free = prov_outer_symbol("CRYPTO_free");
    *(void **)&c->num = prov_outer_symbol("OPENSSL_sk_num");
    *(void **)&c->value = prov_outer_symbol("OPENSSL_sk_value");
    return c->conf_new && c->conf_free && c->load && c->get_string &&
           c->get_section && c->default_file && c->free && c->num && c->value;
}

/* The section of the provider |name|, or NULL. */
static STACK_OF(CONF_VALUE) *
    our_section(const struct conf_functions *c, CONF *conf, const char *name)
{
    const char *init = c->get_string(conf, NULL, "openssl_conf");
    const char *list =
        init != NULL ? c->get_string(conf, init, "providers") : NULL;
    const char *section = list != NULL ? c->get_string(conf, list, name) : NULL;

    return section != NULL ? c->get_section(conf, section) : NULL;
}

static int check(const struct conf_functions *c, CONF *conf,
                 struct prov_ctx *ctx)
{
    const OPENSSL_STACK *section =
        (const OPENSSL_STACK *)our_section(c, conf, ctx->name);
    int n = section != NULL ? c->num(section) : 0;

    for (int i = 0; i < n; i++) {
        const CONF_VALUE *v = c->value(section, i);

        if (!prov_config_known(v->name)) {
            snprintf(ctx->refused, sizeof(ctx->refused),
                     "openssl.cnf, section of provider '%s': '%.40s' is no "
                     "setting of this provider; see provider-mpk(7)",
                     ctx->name, v->name);
            return 0;
        }
    }
    return 1;
}

int prov_config_lint(struct prov_ctx *ctx)
{
    struct conf_functions c;
    char *file;
    CONF *conf;
    int ok = 1;

    if (!find_functions(&c)) {
        return 1;
    }
    prov.core.set_error_mark(ctx->handle);
    file = c.default_file();
    conf = c.conf_new(NULL);
    if (file != NULL && conf != NULL && c.load(conf, file, NULL) > 0) {
        ok = check(&c, conf, ctx);
    }
    c.conf_free(conf);
    c.free(file, "", 0);
    prov.core.pop_error_to_mark(ctx->handle);
    return ok;
}
