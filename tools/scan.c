/*
 * mpkctl scan: what would a wild read in this process find of these keys?
 */
#include <errno.h>
#include <getopt.h>
#include <openssl/crypto.h>
#include <openssl/provider.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include "corefile.h"
#include "mpkctl.h"
#include "procmem.h"
#include "report.h"

/* As many --key as one command may have. */
#define KEYS_MAX 64

struct options {
    pid_t pid;
    const char *core;
    const char *passfile;
    const char *key_paths[KEYS_MAX];
    size_t keys_len;
    bool json;
    bool verbose;
    bool help;
};

struct scan {
    OSSL_LIB_CTX *libctx;
    OSSL_PROVIDER *provider;
    struct keyfile keys[KEYS_MAX];
    size_t keys_len;
    struct pattern_set set;
    struct matcher *matcher;
    struct match *matches;
    struct mapping_list mappings;
};

static const char usage_text[] =
    "usage: mpkctl scan (--pid PID | --core FILE) --key FILE [--key FILE...]\n"
    "                   [--passin file:PATH] [--json] [--verbose]\n"
    "\n"
    "Searches the memory that any code of a process can read, or a core file,\n"
    "for every private part of the keys, and says where it is.\n"
    "\n"
    "  --pid PID           the process to search\n"
    "  --core FILE         the ELF core file to search instead\n"
    "  --key FILE          a private key, PEM or DER, encrypted or not\n"
    "  --passin file:PATH  the passphrase is the first line of PATH\n"
    "  --json              print JSON\n"
    "  --verbose           list every copy and every mapping\n"
    "\n"
    "Exit status: 0 nothing found, 1 something found, 2 error.\n";

static int parse_pid(const char *text, pid_t *pid)
{
    char *end;
    long value;

    errno = 0;
    value = strtol(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value <= 0 ||
        value > INT32_MAX) {
        mpkctl_error("\"%s\" is not a process id", text);
        return -1;
    }
    *pid = (pid_t)value;
    return 0;
}

static int parse_passin(const char *text, const char **passfile)
{
    if (strncmp(text, "file:", 5) != 0 || text[5] == '\0') {
        mpkctl_error("--passin wants file:PATH");
        return -1;
    }
    *passfile = text + 5;
    return 0;
}

static int add_key_path(struct options *o, const char *path)
{
    if (o->keys_len == KEYS_MAX) {
        mpkctl_error("more than %d keys; use several commands", KEYS_MAX);
        return -1;
    }
    o->key_paths[o->keys_len++] = path;
    return 0;
}

static int parse_option(struct options *o, int option, const char *value)
{
    switch (option) {
    case 'p':
        return parse_pid(value, &o->pid);
    case 'c':
        o->core = value;
        return 0;
    case 'k':
        return add_key_path(o, value);
    case 'i':
        return parse_passin(value, &o->passfile);
    case 'j':
        o->json = true;
        return 0;
    case 'v':
        o->verbose = true;
        return 0;
    case 'h':
        o->help = true;
        return 0;
    default:
        mpkctl_error("bad arguments; try \"mpkctl scan --help\"");
        return -1;
    }
}

static int parse_options(struct options *o, int argc, char **argv)
{
    static const struct option longopts[] = {
        {"pid", required_argument, NULL, 'p'},
        {"core", required_argument, NULL, 'c'},
        {"key", required_argument, NULL, 'k'},
        {"passin", required_argument, NULL, 'i'},
        {"json", no_argument, NULL, 'j'},
        {"verbose", no_argument, NULL, 'v'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int option;

    opterr = 0; /* one message, ours */
    while ((option = getopt_long(argc, argv, "", longopts, NULL)) != -1) {
        if (parse_option(o, option, optarg) != 0) {
            return -1;
        }
    }
    if (o->help) {
        return 0;
    }
    if (optind != argc || o->keys_len == 0 ||
        (o->pid != 0) == (o->core != NULL)) {
        mpkctl_error("wants --key and one of --pid and --core; try \"mpkctl "
                     "scan --help\"");
        return -1;
    }
    return 0;
}

/*
 * No configuration: mpkctl has to see keys as they are on disk, whatever
 * OPENSSL_CONF sets up for the servers it looks at.
 */
static int start_libcrypto(struct scan *s)
{
    if (OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL)) {
        s->libctx = OSSL_LIB_CTX_new();
    }
    if (s->libctx != NULL) {
        s->provider = OSSL_PROVIDER_load(s->libctx, "default");
    }
    if (s->provider == NULL) {
        mpkctl_error("libcrypto does not start: is it installed completely?");
        return -1;
    }
    return 0;
}

static int load_key(struct scan *s, const char *path, const char *passfile)
{
    struct keyfile *file = &s->keys[s->keys_len];
    int err = keyfile_load(file, s->libctx, path, passfile);

    s->keys_len++;
    if (err != 0) {
        return -1;
    }
    err = patterns_add_key(&s->set, (unsigned int)s->keys_len - 1, file);
    if (err == -ENODATA) {
        mpkctl_error("%s holds no private number of 16 bytes or more", path);
    } else if (err != 0) {
        mpkctl_error("%s: %s", path, strerror(-err));
    }
    return err;
}

static int prepare(struct scan *s, const struct options *o)
{
    int err;

    if (start_libcrypto(s) != 0) {
        return -1;
    }
    for (size_t i = 0; i < o->keys_len; i++) {
        if (load_key(s, o->key_paths[i], o->passfile) != 0) {
            return -1;
        }
    }
    err = matcher_new(&s->matcher, &s->set);
    if (err != 0) {
        mpkctl_error("%s", strerror(-err));
    }
    return err;
}

static double seconds_since(const struct timespec *then)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - then->tv_sec) +
           (double)(now.tv_nsec - then->tv_nsec) / 1e9;
}

static int search(struct scan *s, const struct options *o, struct report *r)
{
    struct timespec start;
    int err;

    clock_gettime(CLOCK_MONOTONIC, &start);
    if (o->core != NULL) {
        err = corefile_search(&s->mappings, s->matcher, o->core, &r->searched);
    } else {
        err = procmem_search(&s->mappings, s->matcher, o->pid, &r->searched);
    }
    r->seconds = seconds_since(&start);
    return err;
}

static int report(struct scan *s, const struct options *o, struct report *r)
{
    int err = matcher_finish(s->matcher, &s->matches, &r->matches_len);

    if (err == 0) {
        r->keys = s->keys;
        r->keys_len = s->keys_len;
        r->set = &s->set;
        r->matches = s->matches;
        r->mappings = &s->mappings;
        r->verbose = o->verbose;
        err = report_print(r, o->json);
    }
    if (err != 0) {
        mpkctl_error("cannot write the report: %s", strerror(-err));
        return MPKCTL_ERROR;
    }
    return r->matches_len > 0 ? MPKCTL_FOUND : MPKCTL_OK;
}

static int run(struct scan *s, const struct options *o)
{
    struct report r = {.pid = o->pid, .name = o->core};
    char name[64];

    if (o->core == NULL) {
        procmem_name(name, sizeof(name), o->pid);
        r.name = name;
    }
    if (prepare(s, o) != 0 || search(s, o, &r) != 0) {
        return MPKCTL_ERROR;
    }
    return report(s, o, &r);
}

static void finish(struct scan *s)
{
    free(s->matches);
    matcher_free(s->matcher);
    patterns_free(&s->set);
    for (size_t i = 0; i < s->keys_len; i++) {
        keyfile_free(&s->keys[i]);
    }
    mapping_free(&s->mappings);
    OSSL_PROVIDER_unload(s->provider);
    OSSL_LIB_CTX_free(s->libctx);
}

int mpkctl_scan(int argc, char **argv)
{
    struct options o = {0};
    struct scan s = {0};
    int status;

    if (parse_options(&o, argc, argv) != 0) {
        return MPKCTL_ERROR;
    }
    if (o.help) {
        fputs(usage_text, stdout);
        return MPKCTL_OK;
    }
#ifndef MPK_SANITIZED
    /* All the keys are in here now: no core file, no other reader. */
    prctl(PR_SET_DUMPABLE, 0);
#endif
    status = run(&s, &o);
    finish(&s);
    return status;
}
