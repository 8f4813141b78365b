#include <errno.h>
#include <openssl/conf.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/auxv.h>
#include <sys/stat.h>

#include "doctor.h"
#include "handle_key.h"

static void keep_all(char *out, size_t cap, const char *value)
{
    if (value != NULL) {
        snprintf(out, cap, "%s", value);
    }
}

static void keep(char out[DOCTOR_VALUE], const char *value)
{
    keep_all(out, DOCTOR_VALUE, value);
}

static void look_at_module(struct doctor *d, const char *name, const char *path)
{
    char title[DOCTOR_VALUE], why[3 * DOCTOR_VALUE];

    snprintf(title, sizeof(title), "module of '%s'", name);
    if (doctor_module_fault(path, why, sizeof(why)) == NULL) {
        doctor_say(d, VERDICT_OK, title, "%s", path);
    } else {
        doctor_say(d, VERDICT_TODO, title, "%s", why);
    }
}

static void take_section(struct doctor *d, CONF *conf, const char *name,
                         const char *section)
{
    const struct doctor_section *s =
        doctor_section_take(d, conf, name, section);

    if (s == NULL || !s->active) {
        return;
    }
    d->conf.ours = true;
    d->conf.tls |= s->tls;
    d->conf.keys |= !s->tls;
    /* Of the others the module takes none of these. */
    if (!s->tls || d->conf.tls_name[0] != '\0') {
        return;
    }
    keep(d->conf.tls_name, name);
    keep_all(d->conf.handle_key_file, DOCTOR_PATH,
             NCONF_get_string(conf, section, "handle-key-file"));
    keep_all(d->conf.keylog, DOCTOR_PATH,
             NCONF_get_string(conf, section, "keylog"));
    keep(d->conf.tls_secrets, NCONF_get_string(conf, section, "tls-secrets"));
    keep(d->conf.tls12_cbc, NCONF_get_string(conf, section, "tls12-cbc"));
    keep(d->conf.tls12_premaster,
         NCONF_get_string(conf, section, "tls12-premaster"));
    keep(d->conf.x448, NCONF_get_string(conf, section, "x448"));
    keep(d->conf.quic, NCONF_get_string(conf, section, "quic"));
}

/* libcrypto takes such a value for the section, and "default" always is one. */
static void look_at_values(struct doctor *d, CONF *conf, const char *section)
{
    STACK_OF(CONF_VALUE) *values = NCONF_get_section(conf, section);
    const CONF_VALUE *v;

    for (int i = 0; i < sk_CONF_VALUE_num(values); i++) {
        v = sk_CONF_VALUE_value(values, i);
        if (NCONF_get_section(conf, v->value) != NULL) {
            doctor_say(d, VERDICT_TODO, "setting",
                       "%s = %s in section [%s]: there is a section of that "
                       "name, which libcrypto takes it for; it then goes on "
                       "without these providers, and with all secrets in the "
                       "clear. If it is not from there: what stands behind an "
                       ".include belongs to the last section of that file; "
                       "let it be the last line",
                       v->name, v->value, section);
        }
    }
}

/* Returns |section|'s values; what names one that is not there is a fault. */
static STACK_OF(CONF_VALUE) * named_by(struct doctor *d, CONF *conf,
                                       const char *name, const char *section)
{
    STACK_OF(CONF_VALUE) *values =
        section == NULL ? NULL : NCONF_get_section(conf, section);

    if (section != NULL && values == NULL && d->conf.fault[0] == '\0') {
        snprintf(d->conf.fault, DOCTOR_VALUE,
                 "%.64s = %.64s names a section that is not in the file", name,
                 section);
    }
    return values;
}

static void each_provider(struct doctor *d, CONF *conf,
                          void (*call)(struct doctor *d, CONF *conf,
                                       const char *name, const char *section))
{
    const char *init = NCONF_get_string(conf, NULL, "openssl_conf");
    const char *list = named_by(d, conf, "openssl_conf", init) == NULL
                           ? NULL
                           : NCONF_get_string(conf, init, "providers");
    STACK_OF(CONF_VALUE) *section = named_by(d, conf, "providers", list);
    const CONF_VALUE *v;
    const char *dot;

    for (int i = 0; i < sk_CONF_VALUE_num(section); i++) {
        v = sk_CONF_VALUE_value(section, i);
        dot = strchr(v->name, '.');
        if (named_by(d, conf, v->name, v->value) != NULL) {
            call(d, conf, dot == NULL ? v->name : dot + 1, v->value);
        }
    }
}

static void report_file(struct doctor *d)
{
    const char *from = getenv("OPENSSL_CONF") == NULL
                           ? "the default; set OPENSSL_CONF for another"
                       : getauxval(AT_SECURE) != 0
                           ? "the default; OPENSSL_CONF is ignored in a "
                             "program that is setuid, setgid or has "
                             "capabilities of its own"
                           : "OPENSSL_CONF";

    if (d->conf.file[0] == '\0') {
        doctor_say(d, VERDICT_TODO, "configuration",
                   "OPENSSL_CONF is empty, so that libcrypto reads none: write "
                   "the file's name, or take the variable away");
    } else if (d->conf.fault[0] != '\0') {
        doctor_say(d, VERDICT_TODO, "configuration",
                   "'%s' (%s): %s; libcrypto goes on without it%s",
                   d->conf.file, from, d->conf.fault,
                   d->conf.read ? " and what comes after it"
                                : ", and with all secrets in the clear");
    } else if (!d->conf.ours && d->conf.n_sections > 0) {
        doctor_say(d, VERDICT_TODO, "configuration",
                   "%s (%s) activates no provider with this module: write "
                   "\"activate = 1\" into section [%s]",
                   d->conf.file, from, d->conf.sections[0].section);
    } else if (!d->conf.ours) {
        doctor_say(d, VERDICT_TODO, "configuration",
                   "%s (%s) has no provider with the module mpk.so: use "
                   "mpk-keys.cnf or mpk.cnf; an .include has to be the last "
                   "line, and is ignored when it is not found",
                   d->conf.file, from);
    } else {
        doctor_say(d, VERDICT_OK, "configuration", "%s (%s), %s profile",
                   d->conf.file, from,
                   !d->conf.keys ? "half of the full"
                   : d->conf.tls ? "full"
                                 : "keys");
    }
}

static void report_backend(struct doctor *d)
{
    if (d->conf.backends_differ) {
        return;
    }
    if (strcasecmp(d->conf.backend, "mprotect") == 0) {
        doctor_say(d, VERDICT_NOTE, "backend",
                   "mprotect: weaker than mpk, the domain is open for the "
                   "whole process while any thread is inside");
    } else if (strcasecmp(d->conf.backend, "none") == 0) {
        doctor_say(d, VERDICT_TODO, "backend",
                   "none: protects nothing; it is for debugging and measuring");
    } else if (strcasecmp(d->conf.backend, "mpk") == 0) {
        doctor_say(d, VERDICT_OK, "backend", "mpk");
    } else {
        doctor_say(d, VERDICT_TODO, "backend",
                   "%s is none of: mpk, mprotect, none", d->conf.backend);
    }
}

/* What belongs to ticket keys and can be seen from here. */
static void report_handle_key(struct doctor *d)
{
    const char *why = NULL;

    if (d->conf.handle_key_file[0] == '\0') {
        doctor_say(d, VERDICT_NOTE, "handle key",
                   "of each process anew: if your ticket keys outlive it (a "
                   "ticket key file with a restart or HAProxy's reload, "
                   "several machines), resumption will end in alerts; set "
                   "handle-key-file (mpkctl handle-key FILE)");
    } else if (handle_key_check(d->conf.handle_key_file, &why) != 0) {
        doctor_say(d, VERDICT_TODO, "handle key", "%s: %s",
                   d->conf.handle_key_file, why);
    } else {
        doctor_say(d, VERDICT_OK, "handle key", "%s", d->conf.handle_key_file);
    }
}

/* What the settings leave as it is. */
static void report_left(struct doctor *d)
{
    bool cbc = strcasecmp(d->conf.tls12_cbc, "refuse") != 0;
    bool pms = strcasecmp(d->conf.tls12_premaster, "refuse") != 0;
    bool x448 = strcasecmp(d->conf.x448, "protect") != 0;

    if (cbc || pms || x448) {
        doctor_say(d, VERDICT_NOTE, "left in the clear", "%s%s%s%s%s",
                   cbc ? "record keys of CBC suites in TLS 1.2 (tls12-cbc = "
                         "refuse has none of these)"
                       : "",
                   cbc && (pms || x448) ? "; " : "",
                   pms ? "pre-master secrets of RSA (a client's), DHE and PSK "
                         "in TLS 1.2 (tls12-premaster = refuse)"
                       : "",
                   pms && x448 ? "; " : "",
                   x448 ? "secrets of the group X448 (x448 = protect, for "
                          "servers)"
                        : "");
    }
    if (strcasecmp(d->conf.quic, "protect") != 0) {
        doctor_say(
            d, VERDICT_NOTE, "HTTP/3",
            "nginx's and HAProxy's does not work without quic = protect");
    }
}

static bool reveals(const char *keylog)
{
    const char *word = "reveal-for-debugging ";

    return strncmp(keylog, word, strlen(word)) == 0;
}

/* One that is not active is no reason to add another. */
static bool has_keys_section(const struct doctor *d)
{
    for (size_t i = 0; i < d->conf.n_sections; i++) {
        if (!d->conf.sections[i].tls) {
            return true;
        }
    }
    return false;
}

static void report_ours(struct doctor *d)
{
    report_backend(d);
    if (!has_keys_section(d)) {
        doctor_say(d, VERDICT_TODO, "private keys",
                   "'%s' is about session secrets only (role = tls): add the "
                   "section 'mpk' of mpk.cnf, last in the list of providers",
                   d->conf.tls_name);
    }
    if (d->conf.tls) {
        report_handle_key(d);
        report_left(d);
    }
    if (reveals(d->conf.keylog)) {
        doctor_say(d, VERDICT_TODO, "key log",
                   "\"keylog = %s\" gives all session secrets away: remove it "
                   "when you are done debugging",
                   d->conf.keylog);
    }
}

/* Of each file once. */
static void report_owners(struct doctor *d, const char *file)
{
    const struct doctor_section *s = d->conf.sections;

    doctor_owner(d, "the configuration", file);
    for (size_t i = 0; i < d->conf.n_sections; i++) {
        if (i == 0 || strcmp(s[i].path, s[i - 1].path) != 0) {
            doctor_owner(d, "the module", s[i].path);
        }
    }
    if (d->conf.handle_key_file[0] != '\0') {
        doctor_owner(d, "the handle key", d->conf.handle_key_file);
    }
}

static void report_modules(struct doctor *d, CONF *conf)
{
    for (size_t i = 0; i < d->conf.n_sections; i++) {
        look_at_module(d, d->conf.sections[i].name, d->conf.sections[i].path);
        look_at_values(d, conf, d->conf.sections[i].section);
    }
    doctor_sections(d);
}

/* Fills |d|->conf.fault where the file is none. */
static void load(struct doctor *d, CONF *conf, const char *file)
{
    FILE *f = fopen(file, "re");
    struct stat st;
    bool is_folder;

    if (f == NULL) {
        keep(d->conf.fault, strerror(errno));
        return;
    }
    is_folder = fstat(fileno(f), &st) == 0 && S_ISDIR(st.st_mode);
    fclose(f);
    if (is_folder) {
        keep(d->conf.fault, strerror(EISDIR));
        return;
    }
    d->conf.read = NCONF_load(conf, file, NULL) > 0;
    if (!d->conf.read) {
        doctor_last_error(d->conf.fault, DOCTOR_VALUE);
    }
}

void doctor_conf_read(struct doctor *d)
{
    char *file = CONF_get1_default_config_file();
    CONF *conf = NCONF_new(NULL);
    const struct doctor_section *first;

    keep(d->conf.file, file);
    if (file != NULL && conf != NULL) {
        load(d, conf, file);
    }
    if (d->conf.read) {
        each_provider(d, conf, take_section);
    }
    first = doctor_section_in_force(d);
    keep(d->conf.backend, first == NULL ? "mpk" : first->backend);
    keep(d->conf.memory, first == NULL ? "auto" : first->memory);
    report_file(d);
    report_modules(d, conf);
    if (d->conf.ours) {
        report_owners(d, file);
        report_ours(d);
        doctor_policy(d, conf);
    }
    ERR_clear_error();
    NCONF_free(conf);
    OPENSSL_free(file);
}
