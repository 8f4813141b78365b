/*
 * lint.c - finds settings in the provider's section that nobody knows.
 *
 * The core answers for settings that it is asked for by name and cannot list
 * them. So the configuration file is read once more, with the application's
 * own libcrypto, and the section looked at that has this provider's name. A
 * configuration that is not in the default file is not looked at.
 */
#include "prov.h"

#include <stdio.h>
#include <stdlib.h>

/* The name of the section that lists providers, or NULL. */
static const char *list_of(const struct outer *o, CONF *conf)
{
    const char *init = o->conf_string(conf, NULL, "openssl_conf");

    return init != NULL ? o->conf_string(conf, init, "providers") : NULL;
}

static int check(const struct outer *o, CONF *conf, struct prov_ctx *ctx)
{
    const char *list = list_of(o, conf);
    const char *name =
        list != NULL ? o->conf_string(conf, list, ctx->name) : NULL;
    const OPENSSL_STACK *section =
        name != NULL ? (const OPENSSL_STACK *)o->conf_section(conf, name)
                     : NULL;
    int n = section != NULL ? o->stack_num(section) : 0;

    for (int i = 0; i < n; i++) {
        const CONF_VALUE *v = o->stack_value(section, i);

        if (!prov_config_known(v->name)) {
            snprintf(ctx->refused, sizeof(ctx->refused),
                     "openssl.cnf, section of provider '%s': '%.40s' is no "
                     "setting of this provider; see provider-mpk(7)",
                     ctx->name, v->name);
            return 0;
        }
    }
    return section == NULL || prov_sections_look(ctx, o, conf, list);
}

int prov_config_lint(struct prov_ctx *ctx)
{
    const struct outer *o = outer_for(OUTER_CONF);
    char *file;
    CONF *conf;
    int ok = 1;

    if (o == NULL) {
        return 1;
    }
    prov.core.set_error_mark(ctx->handle);
    file = o->conf_file();
    conf = o->conf_new(NULL);
    if (file != NULL && conf != NULL && o->conf_load(conf, file, NULL) > 0) {
        ok = check(o, conf, ctx);
    }
    o->conf_free(conf);
    o->free(file, "", 0);
    prov.core.pop_error_to_mark(ctx->handle);
    return ok;
}
