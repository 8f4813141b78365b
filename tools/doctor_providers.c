#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/provider.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "doctor.h"

#ifndef SYS_close_range
#define SYS_close_range 436 /* Linux 5.9 */
#endif
#ifndef SYS_mseal
#define SYS_mseal 462 /* Linux 6.10 */
#endif

#define INSIDE "OpenSSL " /* in what the module says of how it was built */

/* One provider after the other, as libcrypto has them. */
struct listing {
    struct doctor *d;
    char names[DOCTOR_VALUE];
    size_t ours;
    const char *build; /* what our module says of itself; NULL if none does */
    bool usable;       /* there is one that has ciphers, digests, and so on */
};

static const char *text_param(const OSSL_PROVIDER *p, const char *key)
{
    char *text = NULL;
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_ptr(key, &text, 0),
                           OSSL_PARAM_construct_end()};

    return OSSL_PROVIDER_get_params(p, params) ? text : NULL;
}

bool doctor_ours(const OSSL_PROVIDER *p)
{
    const char *title = p == NULL ? NULL : text_param(p, OSSL_PROV_PARAM_NAME);

    return title != NULL &&
           strncmp(title, DOCTOR_TITLE, strlen(DOCTOR_TITLE)) == 0;
}

static void look_at_ours(struct doctor *d, const OSSL_PROVIDER *p,
                         const char *build)
{
    const char *why = text_param(p, "mpk-refused");
    int status = 0;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_int(OSSL_PROV_PARAM_STATUS, &status),
        OSSL_PARAM_construct_end()};
    char title[DOCTOR_VALUE];

    snprintf(title, sizeof(title), "provider '%s'", OSSL_PROVIDER_get0_name(p));
    if (OSSL_PROVIDER_get_params(p, params) && status != 0) {
        doctor_say(d, VERDICT_OK, title, "active, version %s",
                   build == NULL ? "unknown" : build);
    } else {
        doctor_say(d, VERDICT_TODO, title, "refuses: %s (version %s)",
                   why == NULL ? "for another reason than this mpkctl knows of"
                               : why,
                   build == NULL ? "unknown" : build);
    }
}

static int list_one(OSSL_PROVIDER *p, void *arg)
{
    struct listing *l = arg;
    size_t at = strlen(l->names);
    const char *name = OSSL_PROVIDER_get0_name(p);

    snprintf(l->names + at, sizeof(l->names) - at, "%s%s", at == 0 ? "" : ", ",
             name);
    l->usable |= strcmp(name, "default") == 0 || strcmp(name, "fips") == 0;
    if (doctor_ours(p)) {
        l->ours++;
        l->build = text_param(p, OSSL_PROV_PARAM_BUILDINFO);
        look_at_ours(l->d, p, l->build);
    }
    return 1;
}

/*
 * The self-check answers a wrong order by keeping the default provider out,
 * which nothing works without. (To ask libcrypto for a provider by its name
 * would sort them all: then this process would have a better order than most.)
 */
static void say_names(struct doctor *d, const struct listing *l)
{
    if (l->ours == 0) {
        doctor_say(d, VERDICT_TODO, "providers", "%s; none of them is this one",
                   l->names[0] == '\0' ? "none is active" : l->names);
    } else if (!l->usable) {
        doctor_say(d, VERDICT_TODO, "providers",
                   "%s; 'default' is not active: list it before 'mpk', with "
                   "activate = 1",
                   l->names);
    } else {
        doctor_say(d, VERDICT_OK, "providers", "%s, in this order", l->names);
    }
}

/* The inside has the libcrypto that the module was built with, which a
 * package's update does not change. */
static void say_inside(struct doctor *d, const char *build)
{
    const char *at = build == NULL ? NULL : strstr(build, INSIDE);
    const unsigned outside[] = {OPENSSL_version_major(),
                                OPENSSL_version_minor(),
                                OPENSSL_version_patch()};
    unsigned inside[3];
    int diff = 0;

    if (at == NULL ||
        sscanf(at, INSIDE "%u.%u.%u", inside, inside + 1, inside + 2) != 3) {
        return;
    }
    for (size_t i = 0; i < 3 && diff == 0; i++) {
        diff = (inside[i] > outside[i]) - (inside[i] < outside[i]);
    }
    doctor_say(d, diff < 0 ? VERDICT_NOTE : VERDICT_OK, "OpenSSL inside",
               "%s%s", at,
               diff < 0 ? ", older than the one outside: after an update of "
                          "OpenSSL the module has to be built anew, with its "
                          "libssl-dev"
                        : "");
}

static bool is_ours(const struct doctor *d, const char *line)
{
    bool ours = false;

    for (size_t i = 0; i < d->conf.n_sections; i++) {
        const char *path = d->conf.sections[i].path;

        ours |= path[0] != '\0' && strstr(line, path) != NULL;
    }
    return ours;
}

/*
 * Whether the module has found a way to keep what it decides by from being made
 * writable, which it does without, and says nothing (docs/design/gate.md). What
 * was kept is not the module's file any more, but for the beginning of that.
 */
static bool has_sealed_all(const struct doctor *d)
{
    FILE *f = fopen("/proc/self/maps", "re");
    bool some = false, rest = false;
    unsigned long at;
    char line[1024];

    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        some |= strstr(line, "/memfd:mpk-fixed") != NULL;
        rest |= sscanf(line, "%*s r--p %lx", &at) == 1 && at != 0 &&
                is_ours(d, line);
    }
    if (f != NULL) {
        fclose(f);
    }
    return some && !rest;
}

static void say_sealed(struct doctor *d)
{
    bool has = has_sealed_all(d);

    doctor_say(
        d, has ? VERDICT_OK : VERDICT_NOTE, "fixed data",
        has ? "in sealed files: nobody can make it writable"
            : "read-only, and not all sealed: who writes memory can have "
              "libc make it writable; allow memfd_create, ftruncate and "
              "fcntl, and files of 1 MiB (LimitFSIZE=)");
}

/* Of all that is sealed (mseal) only what is the domain's is kept out of core
 * dumps. */
static bool has_held_pages(void)
{
    FILE *f = fopen("/proc/self/smaps", "re");
    bool held = false, kernels = false;
    char line[1024];

    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        if (strncmp(line, "VmFlags:", 8) == 0) {
            held |= !kernels && strstr(line, " sl") != NULL &&
                    strstr(line, " dd") != NULL;
        } else if (strchr(line, '-') != NULL) { /* its first line */
            kernels = strchr(line, '[') != NULL;
        }
    }
    if (f != NULL) {
        fclose(f);
    }
    return held;
}

/* And the other call that is asked for then, which may fail. */
static bool can_seal(void)
{
    syscall(SYS_close_range, ~0U, ~0U, 0U);
    return syscall(SYS_mseal, NULL, 0UL, 0UL) == 0;
}

/* A filter that does not know the call may end who asks: that is a child. */
static bool filter_lets_seal(void)
{
    return prctl(PR_GET_SECCOMP) != 0 && doctor_tries(can_seal);
}

#define NOT_SEALED                                                             \
    "not sealed: who writes memory can have libc unmap or move them; that "

static const char *why_not_held(const struct doctor *d)
{
    if (strcasecmp(d->conf.backend, "mprotect") != 0 && filter_lets_seal()) {
        return NOT_SEALED "takes 'seal-pages = try' in the first section of "
                          "this module here, where a filter of system calls "
                          "lets mseal pass";
    }
    return NOT_SEALED "takes Linux 6.10, a backend other than mprotect, and no "
                      "filter of system calls, or one that lets mseal pass "
                      "('seal-pages = try')";
}

static void say_held(struct doctor *d)
{
    bool held = has_held_pages();

    doctor_say(d, held ? VERDICT_OK : VERDICT_NOTE, "domain's pages", "%s",
               held ? "sealed: nobody can unmap, move or open them"
                    : why_not_held(d));
}

void doctor_providers(struct doctor *d)
{
    struct listing l = {.d = d};
    char why[DOCTOR_VALUE];

    doctor_say(d, VERDICT_OK, "OpenSSL outside", "%s",
               OpenSSL_version(OPENSSL_VERSION));
    if (!OPENSSL_init_crypto(OPENSSL_INIT_LOAD_CONFIG, NULL)) {
        doctor_say(d, VERDICT_TODO, "configuration",
                   "libcrypto cannot load it: %s",
                   doctor_last_error(why, sizeof(why)));
    }
    /* A fetch makes the fallback provider active where none is configured. */
    EVP_MD_free(EVP_MD_fetch(NULL, "SHA256", NULL));
    OSSL_PROVIDER_do_all(NULL, list_one, &l);
    say_inside(d, l.build);
    if (l.ours > 0) {
        say_sealed(d);
        say_held(d);
    }
    say_names(d, &l);
    ERR_clear_error();
}
