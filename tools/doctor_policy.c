/*
 * doctor_policy.c - what the system's configuration says of TLS, and the one
 * in force does not: a distribution's least version and ciphers, for one. A
 * file of its own, which OPENSSL_CONF names, replaces all of the system's.
 */
#include <openssl/conf.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

#include "doctor.h"

/* The section with the defaults of every SSL_CTX, or NULL. */
static const char *tls_defaults(const CONF *conf)
{
    const char *init = NCONF_get_string(conf, NULL, "openssl_conf");
    const char *ssl =
        init == NULL ? NULL : NCONF_get_string(conf, init, "ssl_conf");

    return ssl == NULL ? NULL : NCONF_get_string(conf, ssl, "system_default");
}

static void compare(struct doctor *d, const CONF *system, const CONF *ours,
                    const char *file)
{
    const char *from = tls_defaults(system), *to = tls_defaults(ours);
    STACK_OF(CONF_VALUE) *values =
        from == NULL ? NULL : NCONF_get_section(system, from);
    char names[DOCTOR_VALUE] = "";

    for (int i = 0; i < sk_CONF_VALUE_num(values); i++) {
        const CONF_VALUE *v = sk_CONF_VALUE_value(values, i);
        const char *have =
            to == NULL ? NULL : NCONF_get_string(ours, to, v->name);
        size_t at = strlen(names);

        if (have == NULL || strcmp(have, v->value) != 0) {
            snprintf(names + at, sizeof(names) - at, "%s%s",
                     at == 0 ? "" : ", ", v->name);
        }
    }
    if (names[0] != '\0') {
        doctor_say(d, VERDICT_NOTE, "TLS policy",
                   "%s sets %s for TLS, which is not in force here: copy it "
                   "to the section that system_default names, if it is to be",
                   file, names);
    }
}

void doctor_policy(struct doctor *d, const CONF *ours)
{
    const char *dir = OPENSSL_info(OPENSSL_INFO_CONFIG_DIR);
    CONF *system = NCONF_new(NULL);
    char file[DOCTOR_VALUE];

    snprintf(file, sizeof(file), "%s/openssl.cnf", dir == NULL ? "" : dir);
    if (strcmp(file, d->conf.file) != 0 && system != NULL &&
        NCONF_load(system, file, NULL) > 0) {
        compare(d, system, ours, file);
    }
    NCONF_free(system);
}
