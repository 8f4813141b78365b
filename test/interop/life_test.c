/*
 * The life of the provider, of keys and of threads: loading and unloading,
 * library contexts, fork, and every way that a process can end.
 *
 * What ends a process, or needs a configuration of its own, runs in a process
 * of its own: this program, started again with the name of the scenario.
 */
#include "interop.h"
#include "keys.h"
#include "ops.h"

#include <openssl/crypto.h>
#include <openssl/pem.h>
#include <openssl/provider.h>
#include <openssl/ssl.h>

#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Under a sanitizer or valgrind everything takes ten times as long, and the
 * process' memory says nothing. */
#ifdef MPK_SANITIZED
#define FEW 10
#else
#define FEW 1
#endif

static int few(int n)
{
    const char *slow = getenv("MPK_TEST_SLOW");

    return n / (slow != NULL ? 10 * FEW : FEW);
}

static bool memory_means_something(void)
{
    return FEW == 1 && getenv("MPK_TEST_SLOW") == NULL;
}

/* ---- one key, in one library context ---- */

static const char message[] = "a message";

static EVP_PKEY *read_key(OSSL_LIB_CTX *libctx, const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    EVP_PKEY *key =
        PEM_read_bio_PrivateKey_ex(bio, NULL, NULL, NULL, libctx, NULL);

    BIO_free(bio);
    return key;
}

/* The key's PEM, to be freed. */
static char *pem_of(const char *label)
{
    EVP_PKEY *key = key_reference(key_type_find(label));
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL, *copy;
    long len;

    if (!PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL)) {
        exit(1);
    }
    len = BIO_get_mem_data(bio, &text);
    copy = interop_new((size_t)len + 1);
    memcpy(copy, text, (size_t)len);
    copy[len] = '\0';
    BIO_free(bio);
    return copy;
}

/* Nothing else is counted as a signature but one of the right length. */
static bool signs(OSSL_LIB_CTX *libctx, EVP_PKEY *key)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    unsigned char sig[1024];
    size_t len = sizeof(sig);
    bool ok = key != NULL && ctx != NULL &&
              EVP_DigestSignInit_ex(ctx, NULL, "SHA256", libctx, NULL, key,
                                    NULL) > 0 &&
              EVP_DigestSign(ctx, sig, &len, (const unsigned char *)message,
                             sizeof(message)) > 0 &&
              len > 32;

    EVP_MD_CTX_free(ctx);
    return ok;
}

static bool held(EVP_PKEY *key)
{
    return strcmp(interop_provider_of(key), interop_provider()) == 0;
}

/* ---- memory that stays flat ---- */

struct usage {
    size_t heap;
    long resident; /* pages */
};

static struct usage usage_now(void)
{
    struct usage u = {0};
    FILE *f = fopen("/proc/self/statm", "r");

    u.heap = mallinfo2().uordblks;
    if (f == NULL || fscanf(f, "%*d %ld", &u.resident) != 1) {
        u.resident = -1;
    }
    if (f != NULL) {
        fclose(f);
    }
    return u;
}

static void check_flat(struct usage then, size_t heap_room, long page_room)
{
    struct usage now = usage_now();

    if (!memory_means_something()) {
        return;
    }
    if (!CHECK(now.heap <= then.heap + heap_room)) {
        fprintf(stderr, "heap: %zu, then %zu\n", then.heap, now.heap);
    }
    if (!CHECK(now.resident <= then.resident + page_room)) {
        fprintf(stderr, "pages: %ld, then %ld\n", then.resident, now.resident);
    }
}

/* ---- configurations ---- */

/*
 * The configuration in OPENSSL_CONF with |line| for every line of our section
 * that begins with |word|, or, when there is none, with |line| added.
 */
static const char *changed_conf(const char *name, const char *word,
                                const char *line)
{
    FILE *in = fopen(getenv("OPENSSL_CONF"), "r");
    char text[4096] = "", row[256];
    bool ours = false;

    while (in != NULL && fgets(row, sizeof(row), in) != NULL) {
        if (row[0] == '[') {
            ours = strstr(row, "mpk") != NULL;
        }
        if (ours && strncmp(row, word, strlen(word)) == 0) {
            continue;
        }
        strcat(text, row);
        if (ours && row[0] == '[') {
            strcat(strcat(text, line), "\n");
        }
    }
    if (in != NULL) {
        fclose(in);
    }
    return interop_file(name, text, strlen(text));
}

/* A library context configured by |path|, or NULL. */
static OSSL_LIB_CTX *configured(const char *path)
{
    OSSL_LIB_CTX *libctx = OSSL_LIB_CTX_new();

    if (libctx != NULL && !OSSL_LIB_CTX_load_config(libctx, path)) {
        OSSL_LIB_CTX_free(libctx);
        return NULL;
    }
    return libctx;
}

/* ---- loading and unloading ---- */

/* One turn: the provider comes, a key is made and used, and both go. */
static void come_and_go(OSSL_LIB_CTX *libctx, const char *pem)
{
    OSSL_PROVIDER *provider = OSSL_PROVIDER_load(libctx, "mpk");
    EVP_PKEY *key;

    CHECK(provider != NULL);
    key = read_key(libctx, pem);
    CHECK_HELD(key);
    CHECK(signs(libctx, key));
    EVP_PKEY_free(key);
    CHECK(OSSL_PROVIDER_unload(provider) == 1);
}

static void test_load_and_unload(const char *pem)
{
    OSSL_LIB_CTX *libctx =
        configured(changed_conf("idle.cnf", "activate", "# idle"));
    struct usage then = {0};

    interop_subject("loading and unloading");
    /* libcrypto itself grows at first: its tables of methods. */
    for (int i = 0; i < few(100); i++) {
        if (i == few(50)) {
            then = usage_now();
        }
        come_and_go(libctx, pem);
    }
    check_flat(then, 24576, 64);
    OSSL_LIB_CTX_free(libctx);
    CHECK_QUEUE_EMPTY();
}

static void test_many_contexts(const char *pem)
{
    const char *path = getenv("OPENSSL_CONF");
    struct usage then = {0};

    interop_subject("library contexts, one after the other");
    for (int i = 0; i < few(50) + 10; i++) {
        OSSL_LIB_CTX *libctx = configured(path);
        EVP_PKEY *key = read_key(libctx, pem);

        if (i == 10) {
            then = usage_now();
        }
        CHECK_HELD(key);
        CHECK(signs(libctx, key));
        EVP_PKEY_free(key);
        OSSL_LIB_CTX_free(libctx);
    }
    check_flat(then, 65536, 128);
}

static void test_two_contexts(const char *pem)
{
    OSSL_LIB_CTX *one = configured(getenv("OPENSSL_CONF"));
    OSSL_LIB_CTX *two = configured(getenv("OPENSSL_CONF"));
    EVP_PKEY *a = read_key(one, pem), *b = read_key(two, pem);
    EVP_PKEY *c = read_key(NULL, pem);

    interop_subject("two library contexts at once");
    CHECK_HELD(a);
    CHECK_HELD(b);
    CHECK_HELD(c);
    CHECK(signs(one, a) && signs(two, b) && signs(NULL, c));
    EVP_PKEY_free(a);
    OSSL_LIB_CTX_free(one);
    CHECK(signs(two, b) && signs(NULL, c));
    EVP_PKEY_free(b);
    OSSL_LIB_CTX_free(two);
    CHECK(signs(NULL, c));
    EVP_PKEY_free(c);
}

/* The objects keep the provider there until they go. */
static void test_free_after_unload(const char *pem)
{
    OSSL_LIB_CTX *libctx =
        configured(changed_conf("idle.cnf", "activate", "# idle"));
    OSSL_PROVIDER *provider = OSSL_PROVIDER_load(libctx, "mpk");
    EVP_PKEY *key = read_key(libctx, pem);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(libctx, key, NULL);

    interop_subject("a key and a context freed after the provider");
    CHECK_HELD(key);
    CHECK(EVP_PKEY_sign_init(ctx) > 0);
    CHECK(OSSL_PROVIDER_unload(provider) == 1);
    CHECK(signs(libctx, key));
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(key);
    OSSL_LIB_CTX_free(libctx);
    CHECK(ERR_peek_error() == 0);
    ERR_clear_error();
}

/* ---- loads ---- */

static void test_many_loads(const char *pem)
{
    int all = few(10000), failed = 0;
    struct usage then = {0};

    interop_subject("%d loads", all);
    for (int i = 0; i < all; i++) {
        EVP_PKEY *key = read_key(NULL, pem);

        failed += !held(key);
        EVP_PKEY_free(key);
        if (i == all / 10) {
            then = usage_now();
        }
    }
    CHECK_INT(failed, 0);
    check_flat(then, 16384, 64);
    CHECK_QUEUE_EMPTY();
}

#define KINDS 4
static const char *const kinds[KINDS] = {"P-256", "RSA-2048", "P-384",
                                         "brainpoolP256r1"};

struct loader {
    pthread_t thread;
    const char *pem;
    const EVP_PKEY *want; /* the public part of what |pem| holds */
    int rounds, wrong;
};

static void *run_loader(void *arg)
{
    struct loader *l = arg;

    for (int i = 0; i < l->rounds; i++) {
        EVP_PKEY *key = read_key(NULL, l->pem);

        l->wrong += !held(key) || EVP_PKEY_eq(key, l->want) != 1;
        EVP_PKEY_free(key);
    }
    return NULL;
}

/* Each thread gets the key that it asked for, and gets it from us. */
static void test_loading_threads(int n, int rounds)
{
    struct loader *l = interop_new((size_t)n * sizeof(*l));
    EVP_PKEY *want[KINDS];
    char *pem[KINDS];

    interop_subject("%d threads that load keys", n);
    for (int i = 0; i < KINDS; i++) {
        pem[i] = pem_of(kinds[i]);
        want[i] = key_load_public(key_type_find(kinds[i]));
    }
    for (int i = 0; i < n; i++) {
        l[i] = (struct loader){
            .pem = pem[i % KINDS], .want = want[i % KINDS], .rounds = rounds};
        CHECK(pthread_create(&l[i].thread, NULL, run_loader, &l[i]) == 0);
    }
    for (int i = 0; i < n; i++) {
        pthread_join(l[i].thread, NULL);
        CHECK_INT(l[i].wrong, 0);
    }
    for (int i = 0; i < KINDS; i++) {
        EVP_PKEY_free(want[i]);
        free(pem[i]);
    }
    free(l);
}

/* ---- signing threads ---- */

#define SIGNERS 16

struct crowd {
    pthread_t thread[SIGNERS];
    EVP_PKEY *key;
    atomic_int stop, failed, done;
};

static void *run_signer(void *arg)
{
    struct crowd *c = arg;

    while (!atomic_load(&c->stop)) {
        atomic_fetch_add(&c->failed, !signs(NULL, c->key));
        atomic_fetch_add(&c->done, 1);
    }
    return NULL;
}

static void crowd_start(struct crowd *c, EVP_PKEY *key)
{
    memset(c, 0, sizeof(*c));
    c->key = key;
    for (int i = 0; i < SIGNERS; i++) {
        CHECK(pthread_create(&c->thread[i], NULL, run_signer, c) == 0);
    }
}

static void crowd_stop(struct crowd *c)
{
    atomic_store(&c->stop, 1);
    for (int i = 0; i < SIGNERS; i++) {
        pthread_join(c->thread[i], NULL);
    }
    CHECK_INT(atomic_load(&c->failed), 0);
    CHECK(atomic_load(&c->done) > 0);
}

/* Signs, fails at something, and ends with the failure still in its queue. */
static void *run_short(void *arg)
{
    struct crowd *c = arg;
    unsigned char *der = NULL;

    atomic_fetch_add(&c->failed, !signs(NULL, c->key));
    if (i2d_PrivateKey(c->key, &der) > 0 || ERR_peek_error() == 0) {
        atomic_fetch_add(&c->failed, interop_protected());
    }
    OPENSSL_free(der);
    return NULL;
}

static void test_threads_come_and_go(EVP_PKEY *key)
{
    struct crowd c;

    interop_subject("threads that end while others sign");
    crowd_start(&c, key);
    for (int i = 0; i < few(200); i += 4) {
        pthread_t thread[4];

        for (int k = 0; k < 4; k++) {
            CHECK(pthread_create(&thread[k], NULL, run_short, &c) == 0);
        }
        for (int k = 0; k < 4; k++) {
            pthread_join(thread[k], NULL);
        }
    }
    crowd_stop(&c);
}

/* Frees its own reference after each signature. */
static void *run_owner(void *arg)
{
    struct crowd *c = arg;

    for (int i = 0; i < few(200); i++) {
        EVP_PKEY *mine;

        atomic_fetch_add(&c->failed, !signs(NULL, c->key));
        mine = EVP_PKEY_dup(c->key);
        atomic_fetch_add(&c->failed, !signs(NULL, mine));
        EVP_PKEY_free(mine);
    }
    EVP_PKEY_free(c->key);
    return NULL;
}

/* Whoever is last frees it; nobody knows who that is. */
static void test_free_while_used(const char *pem)
{
    struct crowd c = {.key = read_key(NULL, pem)};

    interop_subject("a key that is freed while others use it");
    for (int i = 0; i < SIGNERS; i++) {
        EVP_PKEY_up_ref(c.key);
        CHECK(pthread_create(&c.thread[i], NULL, run_owner, &c) == 0);
    }
    EVP_PKEY_free(c.key);
    for (int i = 0; i < SIGNERS; i++) {
        pthread_join(c.thread[i], NULL);
    }
    CHECK_INT(atomic_load(&c.failed), 0);
}

/* ---- fork ---- */

static int wait_for(pid_t pid)
{
    int status = -1;

    return waitpid(pid, &status, 0) == pid ? status : -1;
}

static _Noreturn void be_grandchild(EVP_PKEY *key)
{
    alarm(60);
    _exit(signs(NULL, key) ? 0 : 3);
}

static _Noreturn void be_child(EVP_PKEY *key)
{
    pid_t pid;

    alarm(60);
    if (!signs(NULL, key)) {
        _exit(1);
    }
    pid = fork();
    if (pid == 0) {
        be_grandchild(key);
    }
    _exit(wait_for(pid) == 0 && signs(NULL, key) ? 0 : 2);
}

/* As many as a busy machine comes to in half a minute, but a few. */
static void fork_generations(EVP_PKEY *key, int n)
{
    time_t end = time(NULL) + 30;

    for (int i = 0; i < n && (i < 4 || time(NULL) < end); i++) {
        pid_t pid = fork();

        if (pid == 0) {
            be_child(key);
        }
        CHECK_INT(wait_for(pid), 0);
    }
}

static void fork_while_others_sign(EVP_PKEY *key)
{
    struct crowd c;

    interop_subject("fork while others sign");
    crowd_start(&c, key);
    fork_generations(key, few(40) + 2);
    crowd_stop(&c);
    CHECK(signs(NULL, key));
}

/* ---- the method cache ---- */

static void check_default_first(const char *when)
{
    EVP_PKEY *rsa = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
    EVP_PKEY *ec = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    EVP_PKEY *x = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
    SSL_CTX *ctx = SSL_CTX_new(TLS_method());

    interop_subject("new keys are default's, %s", when);
    CHECK_STR(interop_provider_of(rsa), "default");
    CHECK_STR(interop_provider_of(ec), "default");
    CHECK_STR(interop_provider_of(x), "default");
    CHECK(ctx != NULL && SSL_CTX_set1_groups_list(ctx, "P-256:X25519") == 1);
    SSL_CTX_free(ctx);
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(ec);
    EVP_PKEY_free(x);
}

static void sign_with_all(void)
{
    for (int i = 0; i < KINDS; i++) {
        EVP_PKEY *key = key_load(key_type_find(kinds[i]));

        CHECK_HELD(key);
        CHECK(signs(NULL, key));
        EVP_PKEY_free(key);
    }
}

static void test_default_stays_first(void)
{
    OSSL_PROVIDER *legacy;

    sign_with_all();
    check_default_first("after signatures");
    legacy = OSSL_PROVIDER_load(NULL, "legacy");
    if (legacy == NULL) {
        interop_skip("no legacy provider here");
        ERR_clear_error();
    }
    sign_with_all();
    check_default_first("after another provider was loaded");
    OSSL_PROVIDER_unload(legacy);
    sign_with_all();
    check_default_first("after it was unloaded");
    CHECK(EVP_set_default_properties(NULL, "?provider=default") == 1);
    sign_with_all();
    check_default_first("after new default properties");
    CHECK(EVP_set_default_properties(NULL, "") == 1);
    sign_with_all();
    check_default_first("after default properties were taken back");
}

/* ---- processes of their own ---- */

static EVP_PKEY *left_alive;
static SSL_CTX *left_ctx;

static void *run_exit(void *arg)
{
    struct crowd *c = arg;

    while (atomic_load(&c->done) < SIGNERS) {
        usleep(1000);
    }
    exit(0);
}

/* libcrypto was told to leave everything in place at exit: without that, its
 * own clean-up crashes under other threads, with or without us. */
static int end_exit_in_thread(void)
{
    static struct crowd c;
    pthread_t thread;

    crowd_start(&c, left_alive);
    pthread_create(&thread, NULL, run_exit, &c);
    pthread_join(thread, NULL);
    return 1;
}

static int end_cleanup(void)
{
    OPENSSL_cleanup();
    exit(0);
}

static int end_quick_exit(void)
{
    quick_exit(0);
}

static int end_at_once(void)
{
    _exit(0);
}

static int end_return(void)
{
    return 0;
}

/* Everything in the wrong order: the key outlives its library context. */
static int end_key_after_context(void)
{
    OSSL_LIB_CTX *libctx = configured(getenv("OPENSSL_CONF"));
    char *pem = pem_of("P-256");
    EVP_PKEY *key = read_key(libctx, pem);

    free(pem);
    if (!held(key) || !signs(libctx, key)) {
        return 1;
    }
    OSSL_LIB_CTX_free(libctx);
    EVP_PKEY_free(key);
    return 0;
}

static int end_forks(void)
{
    fork_while_others_sign(left_alive);
    EVP_PKEY_free(left_alive);
    SSL_CTX_free(left_ctx);
    return interop_finish();
}

static const struct {
    const char *name;
    int (*run)(void);
} scenarios[] = {
    {"exit in a thread while others sign", end_exit_in_thread},
    {"OPENSSL_cleanup, then exit", end_cleanup},
    {"quick_exit", end_quick_exit},
    {"_exit", end_at_once},
    {"return from main", end_return},
    {"a key freed after its library context", end_key_after_context},
    {"forks", end_forks},
};
#define SCENARIOS (sizeof(scenarios) / sizeof(scenarios[0]))

/* What runs in the process of its own: a key and a TLS context are alive. */
static int be_scenario(const char *name)
{
    alarm(300);
    left_alive = key_load(key_type_find("P-256"));
    left_ctx = SSL_CTX_new(TLS_server_method());
    if (!signs(NULL, left_alive) ||
        SSL_CTX_use_PrivateKey(left_ctx, left_alive) != 1) {
        return 4;
    }
    for (size_t i = 0; i < SCENARIOS; i++) {
        if (strcmp(scenarios[i].name, name) == 0) {
            return scenarios[i].run();
        }
    }
    return 5;
}

/* The wait status of this program, run again for |scenario|. */
static int run_self(const char *scenario, const char *conf)
{
    pid_t pid = fork();

    if (pid == 0) {
        setenv("OPENSSL_CONF", conf, 1);
        execl("/proc/self/exe", "life_test", scenario, (char *)NULL);
        _exit(6);
    }
    return wait_for(pid);
}

static void test_ends(void)
{
    for (size_t i = 0; i < SCENARIOS - 1; i++) {
        interop_subject("%s", scenarios[i].name);
        for (int k = 0; k < 3; k++) {
            CHECK_INT(run_self(scenarios[i].name, getenv("OPENSSL_CONF")), 0);
        }
    }
}

/* 1 from interop_start: the provider has refused the key. */
static void test_forks(const char *memory)
{
    char line[64];
    int status;

    snprintf(line, sizeof(line), "memory = %s", memory);
    interop_subject("fork with %s", line);
    status = run_self("forks", changed_conf("memory.cnf", "memory", line));
    if (strcmp(memory, "secretmem") == 0 && WIFEXITED(status) &&
        WEXITSTATUS(status) == 4) {
        interop_skip("forks with secretmem: not to be had here");
        return;
    }
    CHECK_INT(status, 0);
}

/* ---- all ---- */

static void test_threads(const char *pem)
{
    EVP_PKEY *key = read_key(NULL, pem);

    test_threads_come_and_go(key);
    EVP_PKEY_free(key);
    test_free_while_used(pem);
    test_loading_threads(8, few(200));
    test_loading_threads(64, few(40) + 1);
}

int main(int argc, char **argv)
{
    char *pem;

    if (argc > 1 && strcmp(argv[1], scenarios[0].name) == 0) {
        OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL);
    }
    interop_start();
    if (argc > 1) {
        return be_scenario(argv[1]);
    }
    pem = pem_of("P-256");
    if (interop_protected()) {
        test_load_and_unload(pem);
        test_many_contexts(pem);
        test_free_after_unload(pem);
    }
    test_two_contexts(pem);
    test_many_loads(pem);
    test_threads(pem);
    test_ends();
    test_forks("anonymous");
    test_forks("secretmem");
    test_default_stays_first();
    free(pem);
    return interop_finish();
}
