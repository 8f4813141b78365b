/*
 * The provider, library contexts and keys come and go, again and again, and
 * the process does not grow.
 */
#include "life.h"

#include <openssl/provider.h>

#include <stdlib.h>

/* One turn: the provider comes, a key is made and used, and both go. */
static void come_and_go(OSSL_LIB_CTX *libctx, const char *pem)
{
    OSSL_PROVIDER *provider = OSSL_PROVIDER_load(libctx, "mpk");
    EVP_PKEY *key;

    CHECK(provider != NULL);
    key = life_read(libctx, pem);
    CHECK_HELD(key);
    CHECK(life_signs(libctx, key));
    EVP_PKEY_free(key);
    CHECK(OSSL_PROVIDER_unload(provider) == 1);
}

static void test_load_and_unload(const char *pem)
{
    OSSL_LIB_CTX *libctx =
        life_context(life_conf("idle.cnf", "activate", "# idle"));
    struct life_usage then = {0};
    unsigned turns = 0;

    life_case("loading and unloading");
    for (; life_goes_on_watched(&then, turns); turns++) {
        life_watch(&then, turns);
        come_and_go(libctx, pem);
    }
    printf("  %u turns\n", turns);
    life_check_flat(&then, 49152, 64);
    OSSL_LIB_CTX_free(libctx);
    CHECK_QUEUE_EMPTY();
}

static void *sign_meanwhile(void *arg)
{
    struct life_crowd *c = arg;

    do {
        atomic_fetch_add(&c->failed, !life_signs(NULL, c->key));
        atomic_fetch_add(&c->done, 1);
    } while (!atomic_load(&c->stop));
    return NULL;
}

/* The module's other user must not notice. */
static void test_load_while_another_signs(const char *pem)
{
    OSSL_LIB_CTX *libctx =
        life_context(life_conf("idle.cnf", "activate", "# idle"));
    struct life_crowd c = {.key = life_read(NULL, pem)};

    life_case("loading and unloading while another thread signs");
    CHECK_HELD(c.key);
    CHECK(pthread_create(&c.thread[0], NULL, sign_meanwhile, &c) == 0);
    do {
        come_and_go(libctx, pem);
    } while (life_goes_on());
    atomic_store(&c.stop, 1);
    pthread_join(c.thread[0], NULL);
    CHECK_INT(atomic_load(&c.failed), 0);
    CHECK(atomic_load(&c.done) > 0);
    EVP_PKEY_free(c.key);
    OSSL_LIB_CTX_free(libctx);
}

/* The objects keep the provider there until they go. */
static void test_free_after_unload(const char *pem)
{
    OSSL_LIB_CTX *libctx =
        life_context(life_conf("idle.cnf", "activate", "# idle"));
    OSSL_PROVIDER *provider = OSSL_PROVIDER_load(libctx, "mpk");
    EVP_PKEY *key = life_read(libctx, pem);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(libctx, key, NULL);

    life_case("a key and a context freed after the provider");
    CHECK_HELD(key);
    CHECK(EVP_PKEY_sign_init(ctx) > 0);
    CHECK(OSSL_PROVIDER_unload(provider) == 1);
    CHECK(life_signs(libctx, key));
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(key);
    OSSL_LIB_CTX_free(libctx);
    CHECK(ERR_peek_error() == 0);
    ERR_clear_error();
}

static void test_many_loads(const char *pem)
{
    struct life_usage then = {0};
    unsigned turns = 0, failed = 0;

    life_case("loading keys");
    for (; life_goes_on_watched(&then, turns); turns++) {
        EVP_PKEY *key = life_read(NULL, pem);

        failed += !life_held(key);
        EVP_PKEY_free(key);
        life_watch(&then, turns);
    }
    printf("  %u keys\n", turns);
    CHECK_INT(failed, 0);
    life_check_flat(&then, 16384, 64);
    CHECK_QUEUE_EMPTY();
}

int main(void)
{
    char *pem;

    interop_start();
    pem = life_pem("P-256");
    if (interop_protected()) {
        test_load_and_unload(pem);
        test_load_while_another_signs(pem);
        test_free_after_unload(pem);
    }
    test_many_loads(pem);
    free(pem);
    return interop_finish();
}
