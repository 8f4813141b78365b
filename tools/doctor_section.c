/*
 * doctor_section.c - the sections of this module in the configuration: which
 * of them libcrypto activates, and whose settings are in force. A process has
 * one domain, with what the first of them says.
 */
#include <openssl/conf.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "doctor.h"

/* What a section may have: the module's settings, and libcrypto's own. */
static const char *const settings[] = {
    "backend",     "memory",          "self-check",   "role",
    "tls-secrets", "key-isolation",   "record-stack", "key-references",
    "x448",        "handle-key-file", "tls12-cbc",    "tls12-premaster",
    "quic",        "keylog",          "rseq",         "seal-pages",
};
static const char *const core_settings[] = {"identity", "module", "activate",
                                            "soft_load"};

static const char *const backends[] = {"mpk", "mprotect", "none", NULL};
static const char *const memories[] = {"auto", "secretmem", "anonymous", NULL};

static const char *behind_dot(const char *name)
{
    const char *dot = strchr(name, '.');

    return dot == NULL ? name : dot + 1;
}

/* Of its own settings libcrypto drops what stands before a dot. */
static bool is_known(const char *name)
{
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
        if (strcmp(name, settings[i]) == 0) {
            return true;
        }
    }
    name = behind_dot(name);
    for (size_t i = 0; i < sizeof(core_settings) / sizeof(core_settings[0]);
         i++) {
        if (strcmp(name, core_settings[i]) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_one_of(const char *word, const char *const *words)
{
    while (*words != NULL && strcasecmp(word, *words) != 0) {
        words++;
    }
    return *words != NULL;
}

/* Any value does, up to 3.1. */
static bool activates(const char *value)
{
    static const char *const off[] = {"0", "no", "false", "off", NULL};

    return OPENSSL_version_major() == 3 && OPENSSL_version_minor() < 2
               ? true
               : !is_one_of(value, off);
}

static void set(char out[DOCTOR_VALUE], const char *value)
{
    snprintf(out, DOCTOR_VALUE, "%s", value);
}

static void take_value(struct doctor_section *s, const CONF_VALUE *v)
{
    if (strcmp(behind_dot(v->name), "activate") == 0) {
        s->active = activates(v->value);
        set(s->activate, v->value);
    } else if (strcmp(v->name, "backend") == 0) {
        set(s->backend, v->value);
    } else if (strcmp(v->name, "memory") == 0) {
        set(s->memory, v->value);
    } else if (strcmp(v->name, "role") == 0) {
        s->tls = strcasecmp(v->value, "tls") == 0;
    } else if (!is_known(v->name) && s->unknown[0] == '\0') {
        set(s->unknown, v->name);
    }
}

struct doctor_section *doctor_section_take(struct doctor *d, const CONF *conf,
                                           const char *name,
                                           const char *section)
{
    const STACK_OF(CONF_VALUE) *values = NCONF_get_section(conf, section);
    struct doctor_section *s = &d->conf.sections[d->conf.n_sections];
    const char *module = NULL;

    if (d->conf.n_sections == DOCTOR_SECTIONS) {
        return NULL;
    }
    memset(s, 0, sizeof(*s));
    set(s->name, name);
    set(s->section, section);
    set(s->backend, "mpk");
    set(s->memory, "auto");
    for (int i = 0; i < sk_CONF_VALUE_num(values); i++) {
        const CONF_VALUE *v = sk_CONF_VALUE_value(values, i);

        if (strcmp(behind_dot(v->name), "module") == 0) {
            module = v->value;
        }
        take_value(s, v);
    }
    doctor_module_path(s->path, sizeof(s->path), module, name);
    if (!doctor_module_is_ours(s->path)) {
        return NULL;
    }
    d->conf.n_sections++;
    return s;
}

/* The module refuses the section, and makes no domain for it. */
static bool is_refused(const struct doctor_section *s)
{
    return s->unknown[0] != '\0' || !is_one_of(s->backend, backends) ||
           !is_one_of(s->memory, memories);
}

const struct doctor_section *doctor_section_in_force(const struct doctor *d)
{
    const struct doctor_section *first = NULL;

    for (size_t i = 0; i < d->conf.n_sections; i++) {
        const struct doctor_section *s = &d->conf.sections[i];

        if (s->active && !is_refused(s)) {
            return s;
        }
        if (s->active && first == NULL) {
            first = s;
        }
    }
    return first;
}

static bool same_file(const char *a, const char *b)
{
    struct stat x, y;

    /* One that is not there is reported as such. */
    return stat(a, &x) != 0 || stat(b, &y) != 0 ||
           (x.st_dev == y.st_dev && x.st_ino == y.st_ino);
}

static bool say_if_other(struct doctor *d, const char *setting,
                         const struct doctor_section *first, const char *value,
                         const struct doctor_section *s, const char *other)
{
    if (strcasecmp(value, other) == 0) {
        return false;
    }
    doctor_say(d, VERDICT_TODO, setting,
               "%s is in force, of the first section, '%s'; '%s' has %s, which "
               "is ignored: write the same into all sections of the module",
               value, first->name, s->name, other);
    return true;
}

/* Says what is wrong with |s| beside |first|. */
static void compare(struct doctor *d, const struct doctor_section *first,
                    const struct doctor_section *s)
{
    if (!same_file(first->path, s->path)) {
        doctor_say(d, VERDICT_TODO, "module",
                   "two files: '%s' has %s, '%s' has %s. Each makes a domain "
                   "of its own and knows nothing of the other: write the same "
                   "into both sections",
                   first->name, first->path, s->name, s->path);
        return;
    }
    d->conf.backends_differ |=
        say_if_other(d, "backend", first, first->backend, s, s->backend);
    say_if_other(d, "memory", first, first->memory, s, s->memory);
}

static void look_at(struct doctor *d, const struct doctor_section *s)
{
    char title[DOCTOR_VALUE + 16];

    snprintf(title, sizeof(title), "section of '%s'", s->name);
    if (!s->active && s->activate[0] == '\0') {
        doctor_say(d, VERDICT_TODO, title,
                   "[%s] has no \"activate = 1\": libcrypto goes on without "
                   "this provider",
                   s->section);
    } else if (!s->active) {
        doctor_say(d, VERDICT_TODO, title,
                   "[%s] has \"activate = %s\": libcrypto goes on without this "
                   "provider; write 1",
                   s->section, s->activate);
    }
    if (s->unknown[0] != '\0') {
        doctor_say(d, VERDICT_TODO, title,
                   "'%s' in [%s] is no setting of this provider: correct it; "
                   "provider-mpk(7) lists them",
                   s->unknown, s->section);
    }
}

void doctor_sections(struct doctor *d)
{
    const struct doctor_section *first = doctor_section_in_force(d);

    for (size_t i = 0; i < d->conf.n_sections; i++) {
        const struct doctor_section *s = &d->conf.sections[i];

        look_at(d, s);
        if (s->active && s != first) {
            compare(d, first, s);
        }
    }
}
