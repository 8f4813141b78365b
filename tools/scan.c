/*
 * mpkctl scan: what would a wild read in this process find of these secrets?
 */
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/provider.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include "hex.h"
#include "libctx.h"
#include "mpkctl.h"
#include "presence.h"
#include "procmem.h"
#include "randoms.h"
#include "report.h"
#include "scan_options.h"
#include "secrets.h"

struct scan {
    const struct scan_options *o;
    OSSL_LIB_CTX *libctx;
    OSSL_PROVIDER *provider;
    struct keyfile keys[SCAN_FILES_MAX];
    size_t keys_len;
    struct keylog keylogs[SCAN_FILES_MAX];
    size_t keylogs_len;
    struct pattern_set set;
    struct secrets secrets;
    struct presence presence;
    struct matcher *matcher;
    struct report_pass *passes;
};

/* ---- what to look for --------------------------------------------------- */

static int load_key(struct scan *s, const char *path)
{
    struct keyfile *file = &s->keys[s->keys_len];
    int err = keyfile_load(file, s->libctx, path, s->o->passfile);

    s->keys_len++;
    if (err != 0) {
        return -1;
    }
    err = patterns_add_key(&s->set, (unsigned int)s->keys_len - 1, file);
    if (err == 0) {
        err = presence_add_key(&s->presence, file->pkey);
    }
    if (err == -ENODATA) {
        mpkctl_error("%s holds no private number of 16 bytes or more", path);
    } else if (err != 0) {
        mpkctl_error("%s: %s", path, strerror(-err));
    }
    return err;
}

/* -1 stands for an error that was complained about. */
static int complain(const char *path, int err)
{
    if (err != 0 && err != -1) {
        mpkctl_error("%s: %s", path,
                     err == -EIO ? "libcrypto derives nothing from it"
                                 : strerror(-err));
    }
    return err == 0 ? 0 : -1;
}

static int load_keylog(struct scan *s, const char *path)
{
    struct keylog *log = &s->keylogs[s->keylogs_len];
    int err = keylog_load(log, path);

    s->keylogs_len++;
    if (err == 0) {
        err = secrets_add_keylog(&s->secrets, log);
    }
    if (err == 0) {
        err = randoms_find(&s->secrets, &s->o->target, log);
    }
    if (err == 0) {
        err = presence_add_keylog(&s->presence, log);
    }
    return complain(path, err);
}

static int load_session(struct scan *s, const char *path)
{
    struct session session;
    int err = session_load(&session, path);

    if (err == 0) {
        err = secrets_add_session(&s->secrets, &session);
    }
    session_free(&session);
    return complain(path, err);
}

static int load_secret(struct scan *s, const char *text)
{
    uint8_t bytes[4096];
    char label[KEYLOG_LABEL_MAX];
    const char *hex = strchr(text, '=');
    size_t before = s->set.windows_len;
    int len = hex == NULL
                  ? -EINVAL
                  : hex_decode(bytes, sizeof(bytes), hex + 1, strlen(hex + 1));

    if (len < PATTERN_WINDOW || hex == text) {
        mpkctl_error("--secret wants NAME=HEX, with 16 to 4096 bytes in "
                     "hexadecimal");
        return -1;
    }
    snprintf(label, sizeof(label), "%.*s", (int)(hex - text), text);
    len = secrets_add_named(&s->secrets, label, bytes, (size_t)len);
    OPENSSL_cleanse(bytes, sizeof(bytes));
    if (len == 0 && s->set.windows_len == before) {
        mpkctl_error("%s: too few different bytes to be told from chance",
                     label);
        return -1;
    }
    return complain(label, len);
}

static int load_each(struct scan *s, const struct scan_files *files,
                     int (*load)(struct scan *s, const char *path))
{
    for (size_t i = 0; i < files->len; i++) {
        if (load(s, files->at[i]) != 0) {
            return -1;
        }
    }
    return 0;
}

static int prepare(struct scan *s)
{
    int err;

    s->presence.set = &s->set;
    if (libctx_new(&s->libctx, &s->provider) != 0 ||
        load_each(s, &s->o->keys, load_key) != 0) {
        return -1;
    }
    err = secrets_init(&s->secrets, s->libctx, &s->set,
                       (unsigned int)s->keys_len);
    if (err != 0) {
        mpkctl_error("%s", strerror(-err));
        return -1;
    }
    s->secrets.epochs = s->o->epochs;
    s->secrets.quic = s->o->quic;
    if (load_each(s, &s->o->keylogs, load_keylog) != 0 ||
        load_each(s, &s->o->sessions, load_session) != 0 ||
        load_each(s, &s->o->secrets, load_secret) != 0) {
        return -1;
    }
    s->passes = calloc(s->o->passes, sizeof(*s->passes));
    err = s->passes == NULL ? -ENOMEM : matcher_new(&s->matcher, &s->set);
    if (err != 0) {
        mpkctl_error("%s", strerror(-err));
    }
    return err;
}

/* ---- the search --------------------------------------------------------- */

static double seconds_since(const struct timespec *then)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - then->tv_sec) +
           (double)(now.tv_nsec - then->tv_nsec) / 1e9;
}

static int search(struct scan *s, struct report_pass *pass, struct report *r)
{
    int err =
        target_search(&s->o->target, &pass->mappings, s->matcher, &r->searched);

    if (err == 0) {
        err = matcher_finish(s->matcher, &pass->matches, &pass->matches_len);
        if (err != 0) {
            mpkctl_error("%s", strerror(-err));
            return err;
        }
        pass->matches_len =
            presence_take(&s->presence, pass->matches, pass->matches_len);
    }
    return err;
}

static void pass_free(struct report_pass *pass)
{
    free(pass->matches);
    pass->matches = NULL;
    mapping_free(&pass->mappings);
}

static void pause_between(unsigned int ms)
{
    struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000};

    while (nanosleep(&t, &t) != 0 && errno == EINTR) {
    }
}

#define OPEN_RETRIES 10
#define OPEN_RETRY_MS 20
#define OPEN_RETRY_S 2 /* a large process is searched once */

/*
 * With backend mprotect a thread inside has the domain open to all of them, and
 * a moment later it is mostly shut. What was found is no less found then.
 */
static int search_when_shut(struct scan *s, struct report_pass *pass,
                            struct report *r)
{
    struct timespec start;
    int err;

    clock_gettime(CLOCK_MONOTONIC, &start);
    err = search(s, pass, r);
    for (int left = OPEN_RETRIES;
         err == 0 && left > 0 && pass->matches_len == 0 &&
         s->o->target.core == NULL && seconds_since(&start) < OPEN_RETRY_S &&
         report_open_in(&pass->mappings) > 0;
         left--) {
        pause_between(OPEN_RETRY_MS);
        pass_free(pass);
        err = search(s, pass, r);
    }
    return err;
}

static int search_all(struct scan *s, struct report *r)
{
    struct timespec start;
    int err = 0;

    clock_gettime(CLOCK_MONOTONIC, &start);
    for (unsigned int i = 0; err == 0 && i < s->o->passes; i++) {
        if (i > 0) {
            pause_between(s->o->interval_ms);
        }
        err = search_when_shut(s, &s->passes[i], r);
    }
    r->seconds = seconds_since(&start);
    return err;
}

static bool saw_all(const struct report *r)
{
    if (report_open(r) == 0) {
        return true;
    }
    mpkctl_error("the process has secretmem that is open to all of its code, "
                 "and could not be searched: with the module that is 'backend "
                 "= none', or 'mprotect' while a thread is inside (search "
                 "again then)");
    return false;
}

static int report(struct scan *s, struct report *r)
{
    int err;
    bool found = false;

    r->keys = s->keys;
    r->keys_len = s->keys_len;
    r->secrets = &s->secrets;
    r->presence = &s->presence;
    r->set = &s->set;
    r->passes = s->passes;
    r->passes_len = s->o->passes;
    r->verbose = s->o->verbose;
    err = report_print(r, s->o->json);
    if (err != 0) {
        mpkctl_error("cannot write the report: %s", strerror(-err));
        return MPKCTL_ERROR;
    }
    for (size_t i = 0; i < r->passes_len; i++) {
        found |= r->passes[i].matches_len > 0;
    }
    return found ? MPKCTL_FOUND : saw_all(r) ? MPKCTL_OK : MPKCTL_ERROR;
}

static int run(struct scan *s)
{
    struct report r = {.pid = s->o->target.pid, .name = s->o->target.core};
    char name[64];

    if (s->o->target.core == NULL) {
        procmem_name(name, sizeof(name), r.pid);
        r.name = name;
    }
    if (prepare(s) != 0 || search_all(s, &r) != 0) {
        return MPKCTL_ERROR;
    }
    return report(s, &r);
}

static void finish(struct scan *s)
{
    for (size_t i = 0; s->passes != NULL && i < s->o->passes; i++) {
        pass_free(&s->passes[i]);
    }
    free(s->passes);
    matcher_free(s->matcher);
    patterns_free(&s->set);
    secrets_free(&s->secrets);
    presence_free(&s->presence);
    for (size_t i = 0; i < s->keys_len; i++) {
        keyfile_free(&s->keys[i]);
    }
    for (size_t i = 0; i < s->keylogs_len; i++) {
        keylog_free(&s->keylogs[i]);
    }
    libctx_free(s->libctx, s->provider);
}

int mpkctl_scan(int argc, char **argv)
{
    struct scan_options o;
    struct scan s = {.o = &o};
    int status;

    if (scan_options_parse(&o, argc, argv) != 0) {
        return MPKCTL_ERROR;
    }
    if (o.help) {
        fputs(scan_usage, stdout);
        return MPKCTL_OK;
    }
#ifndef MPK_SANITIZED
    /* All the keys are in here now: no core file, no other reader. */
    prctl(PR_SET_DUMPABLE, 0);
#endif
    status = run(&s);
    finish(&s);
    return status;
}
