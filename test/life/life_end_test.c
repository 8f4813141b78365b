/*
 * Every way that a process can end, with a key and a TLS context alive, alone
 * and while sixteen threads sign: it ends in that way and in no other.
 */
#include "life.h"

#include <openssl/crypto.h>
#include <openssl/provider.h>
#include <openssl/ssl.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct life_crowd crowd;

/* ---- alone ---- */

static int by_return(void)
{
    return 0;
}

static int by_cleanup(void)
{
    OPENSSL_cleanup();
    exit(0);
}

static int by_exit(void)
{
    exit(0);
}

static int by_underscore_exit(void)
{
    _exit(0);
}

static int by_quick_exit(void)
{
    quick_exit(0);
}

static int by_sigterm(void)
{
    kill(getpid(), SIGTERM);
    sleep(60);
    return 1;
}

static int by_sigkill(void)
{
    kill(getpid(), SIGKILL);
    sleep(60);
    return 1;
}

static int by_abort(void)
{
    abort();
}

static void end_in_handler(int signo)
{
    (void)signo;
    _exit(0);
}

static int by_handler(void)
{
    signal(SIGTERM, end_in_handler);
    return by_sigterm();
}

/* LeakSanitizer's, where there is one. */
void __lsan_disable(void) __attribute__((weak));

/* Everything in the wrong order: the key outlives its library context. What
 * the program has loaded once more goes without a word then. */
static int key_after_context_with(const char *once_more)
{
    OSSL_LIB_CTX *libctx;
    char *pem = life_pem("P-256");
    EVP_PKEY *key;

    if (once_more != NULL && __lsan_disable != NULL) {
        __lsan_disable(); /* libcrypto loses parts of it, stock as well */
    }
    libctx = life_context(getenv("OPENSSL_CONF"));
    if (once_more != NULL && OSSL_PROVIDER_load(libctx, once_more) == NULL) {
        return 2;
    }
    key = life_read(libctx, pem);
    free(pem);
    if (!life_held(key) || !life_signs(libctx, key)) {
        return 1;
    }
    OSSL_LIB_CTX_free(libctx);
    /* Meanwhile another context's key is used. */
    if (!life_signs(NULL, life_left_key)) {
        return 3;
    }
    EVP_PKEY_free(key);
    return !life_signs(NULL, life_left_key);
}

static int key_after_context(void)
{
    return key_after_context_with(NULL);
}

static int key_after_context_and_default(void)
{
    return key_after_context_with("default");
}

static int key_after_context_and_mpk(void)
{
    return key_after_context_with("mpk");
}

/* As a static object of C++ does it: nobody else has its provider any more. */
static int key_after_cleanup(void)
{
    SSL_CTX_free(life_left_ctx);
    OPENSSL_cleanup();
    EVP_PKEY_free(life_left_key);
    return 0;
}

/* As many as the program has loaded, and the configuration's. */
static int unload_default(void)
{
    OSSL_PROVIDER *p = OSSL_PROVIDER_load(NULL, "default");

    return p != NULL && OSSL_PROVIDER_unload(p) && OSSL_PROVIDER_unload(p);
}

/* libcrypto has it from before, and keeps it although it is refused. */
static int default_comes_back(void)
{
    return !unload_default() || OSSL_PROVIDER_load(NULL, "default") != NULL;
}

#if !OPENSSL_VERSION_PREREQ(3, 1)
/* Which was let be, since default was there. */
static int only_base_is_left(void)
{
    char *pem = life_pem("P-256");

    if (OSSL_PROVIDER_load(NULL, "base") != NULL && unload_default()) {
        EVP_PKEY_free(life_read(NULL, pem));
    }
    free(pem);
    return 1;
}
#endif

/*
 * Handlers of fork that use a key. They were installed before the module was
 * there, so they run when the domain is shut already, or still is.
 */
static bool handlers_sign;
static int refused, asked;

static void sign_in_handler(void)
{
    if (handlers_sign) {
        asked++;
        refused += !life_signs(NULL, life_left_key);
    }
}

static int early_handlers(void)
{
    pid_t pid;

    handlers_sign = true;
    pid = fork();
    handlers_sign = false;
    if (asked != 2 || refused != 2 || !life_signs(NULL, life_left_key)) {
        _exit(1);
    }
    if (pid == 0) {
        _exit(0);
    }
    return life_wait(pid) != 0;
}

/* ---- while others sign ---- */

static int busy(int (*end)(void))
{
    life_crowd_start(&crowd, life_left_key);
    return end();
}

static int busy_return(void)
{
    return busy(by_return);
}

static int busy_underscore_exit(void)
{
    return busy(by_underscore_exit);
}

static int busy_quick_exit(void)
{
    return busy(by_quick_exit);
}

static int busy_sigterm(void)
{
    return busy(by_sigterm);
}

static int busy_sigkill(void)
{
    return busy(by_sigkill);
}

static int busy_abort(void)
{
    return busy(by_abort);
}

static int busy_handler(void)
{
    return busy(by_handler);
}

static void *exit_here(void *arg)
{
    (void)arg;
    exit(0);
}

static int busy_thread_exits(void)
{
    pthread_t thread;

    life_crowd_start(&crowd, life_left_key);
    pthread_create(&thread, NULL, exit_here, NULL);
    pthread_join(thread, NULL);
    return 1;
}

/* ---- all ---- */

#define EARLY_HANDLERS "a key used by handlers of fork from before the module"

static const struct life_scenario scenarios[] = {
    {"return from main", by_return, 0},
    {"OPENSSL_cleanup, then exit", by_cleanup, 0},
    {"exit", by_exit, 0},
    {"_exit", by_underscore_exit, 0},
    {"quick_exit", by_quick_exit, 0},
    {"SIGTERM", by_sigterm, SIGTERM},
    {"SIGKILL", by_sigkill, SIGKILL},
    {"abort", by_abort, SIGABRT},
    {"_exit in a handler", by_handler, 0},
    {"a key freed after its library context", key_after_context, 0},
    {"a key freed after its library context, with default loaded twice",
     key_after_context_and_default, 0},
    {"a key freed after its library context, with mpk loaded twice",
     key_after_context_and_mpk, 0},
    {"a key freed after OPENSSL_cleanup", key_after_cleanup, 0},
    {EARLY_HANDLERS, early_handlers, 0},
    {"the default provider is activated once more", default_comes_back,
     SIGABRT},
#if !OPENSSL_VERSION_PREREQ(3, 1)
    {"base is left without the default provider", only_base_is_left, SIGABRT},
#endif
    {"return from main while others sign", busy_return, 0},
    {"_exit while others sign", busy_underscore_exit, 0},
    {"quick_exit while others sign", busy_quick_exit, 0},
    {"SIGTERM while others sign", busy_sigterm, SIGTERM},
    {"SIGKILL while others sign", busy_sigkill, SIGKILL},
    {"abort while others sign", busy_abort, SIGABRT},
    {"_exit in a handler while others sign", busy_handler, 0},
    {"exit in a thread while others sign", busy_thread_exits, 0},
};
#define SCENARIOS (sizeof(scenarios) / sizeof(scenarios[0]))

static void test_ends(void)
{
    unsigned ended = 0;

    life_case("processes that end");
    do {
        for (size_t i = 0; i < SCENARIOS; i++) {
            interop_subject("%s", scenarios[i].name);
            CHECK_INT(life_again(scenarios[i].name, getenv("OPENSSL_CONF")),
                      scenarios[i].signal);
            ended++;
        }
    } while (life_goes_on());
    printf("  %u processes\n", ended);
}

int main(int argc, char **argv)
{
    /* Its own clean-up at exit crashes under other threads that use it, with
     * or without us, so libcrypto is told to leave everything in place. */
    if (argc > 1 && strstr(argv[1], "while others sign") != NULL) {
        OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL);
    }
    if (argc > 1 && strcmp(argv[1], EARLY_HANDLERS) == 0) {
        pthread_atfork(sign_in_handler, sign_in_handler, sign_in_handler);
    }
    interop_start();
    if (argc > 1) {
        return life_scenario(scenarios, SCENARIOS, argv[1]);
    }
    test_ends();
    return interop_finish();
}
