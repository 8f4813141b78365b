#include "interop.h"

#include "keys.h"

#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char subject[256] = "start";
static _Atomic unsigned long checks;
static _Atomic unsigned long failures;
static OSSL_LIB_CTX *ref;
static OSSL_PROVIDER *ref_default;
static char folder[] = "/tmp/mpk-interop-XXXXXX";
static char last_file[256];

static bool failed(const char *file, int line, const char *claim)
{
    failures++;
    fprintf(stderr, "%s:%d: %s: not true: %s\n", file, line, subject, claim);
    ERR_print_errors_fp(stderr);
    return false;
}

bool interop_check(bool ok, const char *claim, const char *file, int line)
{
    checks++;
    return ok || failed(file, line, claim);
}

bool interop_check_int(long long got, long long want, const char *claim,
                       const char *file, int line)
{
    checks++;
    if (got == want) {
        return true;
    }
    fprintf(stderr, "got %lld, want %lld\n", got, want);
    return failed(file, line, claim);
}

bool interop_check_str(const char *got, const char *want, const char *claim,
                       const char *file, int line)
{
    checks++;
    if (got != NULL && want != NULL && strcmp(got, want) == 0) {
        return true;
    }
    fprintf(stderr, "got \"%s\", want \"%s\"\n", got != NULL ? got : "(null)",
            want != NULL ? want : "(null)");
    return failed(file, line, claim);
}

bool interop_check_mem(const void *got, size_t got_len, const void *want,
                       size_t want_len, const char *claim, const char *file,
                       int line)
{
    checks++;
    if (got_len == want_len &&
        (want_len == 0 || memcmp(got, want, want_len) == 0)) {
        return true;
    }
    fprintf(stderr, "%zu bytes differ from the %zu wanted\n", got_len,
            want_len);
    return failed(file, line, claim);
}

/* How many claims were only counted. */
static unsigned long other_version;

bool interop_check_as_ref(bool ok, const char *claim, const char *file,
                          int line)
{
    if (!ok && interop_inner_is_newer()) {
        other_version++;
        return true;
    }
    return interop_check(ok, claim, file, line);
}

bool interop_check_int_as_ref(long long got, long long want, const char *claim,
                              const char *file, int line)
{
    if (got != want && interop_inner_is_newer()) {
        other_version++;
        return true;
    }
    return interop_check_int(got, want, claim, file, line);
}

bool interop_check_mem_as_ref(const void *got, size_t got_len, const void *want,
                              size_t want_len, const char *claim,
                              const char *file, int line)
{
    if (interop_inner_is_newer() &&
        (got_len != want_len ||
         (want_len != 0 && memcmp(got, want, want_len) != 0))) {
        other_version++;
        return true;
    }
    return interop_check_mem(got, got_len, want, want_len, claim, file, line);
}

bool interop_check_queue(bool empty, const char *file, int line)
{
    bool is_empty = ERR_peek_error() == 0;

    checks++;
    if (is_empty != empty) {
        return failed(file, line,
                      empty ? "the error queue is empty"
                            : "the error queue holds an entry");
    }
    ERR_clear_error();
    return true;
}

void interop_subject(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(subject, sizeof(subject), format, args);
    va_end(args);
}

void interop_skip(const char *format, ...)
{
    va_list args;

    fputs("SKIP ", stdout);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
}

unsigned long interop_failures(void)
{
    return failures;
}

const char *interop_provider(void)
{
    const char *name = getenv("MPK_TEST_PROVIDER");

    return name != NULL && name[0] != '\0' ? name : "mpk";
}

bool interop_protected(void)
{
    return strcmp(interop_provider(), "default") != 0;
}

const char *interop_provider_of(const EVP_PKEY *key)
{
    const OSSL_PROVIDER *provider;

    if (key == NULL) {
        return "none";
    }
    provider = EVP_PKEY_get0_provider(key);
    return provider != NULL ? OSSL_PROVIDER_get0_name(provider) : "legacy";
}

/* Looking is a crossing, too. */
static long long looks;

static long long count(const char *provider, const char *what)
{
    OSSL_PROVIDER *ours = OSSL_PROVIDER_load(NULL, provider);
    uint64_t n = 0;
    OSSL_PARAM params[] = {OSSL_PARAM_uint64(what, &n), OSSL_PARAM_END};

    CHECK(ours != NULL && OSSL_PROVIDER_get_params(ours, params) &&
          OSSL_PARAM_modified(params));
    OSSL_PROVIDER_unload(ours);
    looks++;
    return (long long)n;
}

long long interop_crossings(const char *provider)
{
    long long n = count(provider, "mpk-crossings");

    return n - looks;
}

long long interop_blocks(const char *provider)
{
    return count(provider, "mpk-blocks-in-use");
}

/* "0.1 with OpenSSL 3.5.0" */
static void inner_version(unsigned *major, unsigned *minor)
{
    static const char before[] = " with OpenSSL ";
    OSSL_PROVIDER *ours;
    const char *build = NULL;
    OSSL_PARAM params[] = {OSSL_PARAM_DEFN(OSSL_PROV_PARAM_BUILDINFO,
                                           OSSL_PARAM_UTF8_PTR, &build, 0),
                           OSSL_PARAM_END};
    const char *at;

    ERR_set_mark();
    ours = OSSL_PROVIDER_load(NULL, interop_provider());
    if (ours != NULL && OSSL_PROVIDER_get_params(ours, params) &&
        build != NULL && (at = strstr(build, before)) != NULL) {
        (void)sscanf(at + strlen(before), "%u.%u", major, minor);
    }
    OSSL_PROVIDER_unload(ours);
    ERR_pop_to_mark();
}

bool interop_inner_is_newer(void)
{
    static unsigned major, minor;

    if (major == 0) {
        major = 3; /* where there is none */
        inner_version(&major, &minor);
    }
    return (major > 3 || minor >= 5) && (major > OPENSSL_version_major() ||
                                         (major == OPENSSL_version_major() &&
                                          minor > OPENSSL_version_minor()));
}

OSSL_LIB_CTX *interop_ref(void)
{
    return ref;
}

bool interop_memory_counts(void)
{
#ifdef MPK_SANITIZED
    return false;
#else
    return getenv("MPK_TEST_SLOW") == NULL;
#endif
}

bool interop_in_turn(size_t i)
{
    return getenv("MPK_TEST_SLOW") == NULL || i % 3 == 0;
}

void *interop_new(size_t len)
{
    void *p = malloc(len != 0 ? len : 1);

    if (p == NULL) {
        fputs("out of memory\n", stderr);
        exit(1);
    }
    return p;
}

bool interop_queue_says(const char *text)
{
    const char *data, *reason;
    bool found = false;
    unsigned long code;
    int flags;

    while ((code = ERR_get_error_all(NULL, NULL, NULL, &data, &flags)) != 0) {
        reason = ERR_reason_error_string(code);
        found = found || (reason != NULL && strcasestr(reason, text) != NULL) ||
                ((flags & ERR_TXT_STRING) && strcasestr(data, text) != NULL);
    }
    return found;
}

static void remove_folder(void)
{
    char command[sizeof(folder) + 16];

    snprintf(command, sizeof(command), "rm -rf %s", folder);
    if (system(command) != 0) {
        perror(folder);
    }
}

/* At the first file, so that a program that ends by a signal leaves none. */
static void make_folder(void)
{
    static bool made;

    if (made) {
        return;
    }
    if (mkdtemp(folder) == NULL) {
        perror(folder);
        exit(1);
    }
    made = true;
    atexit(remove_folder);
}

const char *interop_file(const char *name, const void *data, size_t len)
{
    FILE *f;

    make_folder();
    snprintf(last_file, sizeof(last_file), "%s/%s", folder, name);
    f = fopen(last_file, "wb");
    if (f == NULL || fwrite(data, 1, len, f) != len || fclose(f) != 0) {
        perror(last_file);
        exit(1);
    }
    return last_file;
}

void interop_need_backend(void)
{
    const char *backend = getenv("MPK_TEST_BACKEND");
    FILE *f = fopen("/proc/cpuinfo", "r");
    char line[4096];
    bool has = f == NULL;

    while (f != NULL && !has && fgets(line, sizeof(line), f) != NULL) {
        has = strstr(line, " ospke") != NULL;
    }
    if (f != NULL) {
        fclose(f);
    }
    if (backend != NULL && strcmp(backend, "mpk") == 0 && !has) {
        puts("skipped: this CPU or kernel has no protection keys");
        exit(77);
    }
}

void interop_start(void)
{
    const struct key_type *probe;
    EVP_PKEY *key;
    bool held;

    setvbuf(stdout, NULL, _IOLBF, 0);
    interop_need_backend();
    ref = OSSL_LIB_CTX_new();
    ref_default = ref != NULL ? OSSL_PROVIDER_load(ref, "default") : NULL;
    probe = key_type_find("P-256");
    if (ref_default == NULL || probe == NULL) {
        fputs("the reference side cannot be made\n", stderr);
        exit(1);
    }
    interop_subject("who holds a plain P-256 key");
    key = key_load(probe);
    held = CHECK_HELD(key);
    EVP_PKEY_free(key);
    if (!held) {
        exit(1);
    }
}

int interop_finish(void)
{
    keys_free();
    OSSL_PROVIDER_unload(ref_default);
    OSSL_LIB_CTX_free(ref);
    ref_default = NULL;
    ref = NULL;
    if (other_version != 0) {
        interop_skip("%lu times the OpenSSL inside did not as the older "
                     "reference",
                     other_version);
    }
    printf("%lu claims, %lu not true, provider under test %s\n", checks,
           failures, interop_provider());
    return failures == 0 ? 0 : 1;
}
