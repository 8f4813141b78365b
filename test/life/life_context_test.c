/*
 * Library contexts: one after the other, two at once, and what libcrypto takes
 * for its first choice all the while.
 */
#include "life.h"

#include <openssl/provider.h>
#include <openssl/ssl.h>

#include <malloc.h>
#include <stdlib.h>

/* What libcrypto keeps by itself, without us, of contexts that have ended: 130
 * bytes of each in 3.0. */
static size_t kept_by_stock(unsigned contexts)
{
    static const char text[] = "openssl_conf = init\n"
                               "[init]\nproviders = all\n"
                               "[all]\ndefault = one\n"
                               "[one]\nactivate = 1\n";
    const char *path = interop_file("stock.cnf", text, sizeof(text) - 1);
    size_t before;

    OSSL_LIB_CTX_free(life_context(path));
    before = mallinfo2().uordblks;
    for (unsigned i = 0; i < contexts; i++) {
        OSSL_LIB_CTX_free(life_context(path));
    }
    return mallinfo2().uordblks - before;
}

static void test_one_after_the_other(const char *pem)
{
    const char *path = getenv("OPENSSL_CONF");
    struct life_usage then = {0};
    unsigned turns = 0;
    size_t kept;

    life_case("library contexts, one after the other");
    for (; life_goes_on_watched(&then, turns); turns++) {
        OSSL_LIB_CTX *libctx = life_context(path);
        EVP_PKEY *key = life_read(libctx, pem);

        life_watch(&then, turns);
        CHECK_HELD(key);
        CHECK(life_signs(libctx, key));
        EVP_PKEY_free(key);
        OSSL_LIB_CTX_free(libctx);
    }
    kept = kept_by_stock(turns - then.turns);
    printf("  %u contexts; of %u stock keeps %zu bytes\n", turns,
           turns - then.turns, kept);
    /* Of those above, and of those just made. */
    life_check_flat(&then, 65536 + 2 * kept, 128);
}

/* A context of its own, with a key of its own, used by two threads. */
struct tenant {
    pthread_t thread[2];
    OSSL_LIB_CTX *libctx;
    EVP_PKEY *key;
    atomic_int *stop, failed, done;
};

static void *run_tenant(void *arg)
{
    struct tenant *t = arg;

    do {
        atomic_fetch_add(&t->failed, !life_signs(t->libctx, t->key));
        atomic_fetch_add(&t->done, 1);
    } while (!atomic_load(t->stop));
    return NULL;
}

static void move_in(struct tenant *t, const char *pem, atomic_int *stop)
{
    *t = (struct tenant){.libctx = life_context(getenv("OPENSSL_CONF")),
                         .stop = stop};
    t->key = life_read(t->libctx, pem);
    CHECK_HELD(t->key);
    for (int i = 0; i < 2; i++) {
        CHECK(pthread_create(&t->thread[i], NULL, run_tenant, t) == 0);
    }
}

static void move_out(struct tenant *t)
{
    for (int i = 0; i < 2; i++) {
        pthread_join(t->thread[i], NULL);
    }
    CHECK_INT(atomic_load(&t->failed), 0);
    CHECK(atomic_load(&t->done) > 0);
    EVP_PKEY_free(t->key);
    OSSL_LIB_CTX_free(t->libctx);
}

/* The first stays, the second ends and begins anew, the default one is there
 * as well. */
static void test_two_at_once(const char *pem, const char *other)
{
    struct tenant one, two;
    atomic_int stop = 0, now = 1;
    EVP_PKEY *mine = life_read(NULL, pem);
    unsigned turns = 0;

    life_case("two library contexts at once");
    CHECK_HELD(mine);
    move_in(&one, pem, &stop);
    do {
        move_in(&two, other, &now);
        CHECK(life_signs(NULL, mine));
        move_out(&two);
        turns++;
    } while (life_goes_on());
    atomic_store(&stop, 1);
    move_out(&one);
    CHECK(life_signs(NULL, mine));
    EVP_PKEY_free(mine);
    printf("  %u contexts beside the first\n", turns);
}

/* ---- the method cache ---- */

static void check_default_first(const char *when)
{
    EVP_PKEY *rsa = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)1024);
    EVP_PKEY *ec = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    EVP_PKEY *x = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
    SSL_CTX *ctx = SSL_CTX_new(TLS_method());

    life_case("new keys are default's, %s", when);
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
    static const char *const kinds[] = {"P-256", "RSA-2048", "P-384",
                                        "brainpoolP256r1"};

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        EVP_PKEY *key = key_load(key_type_find(kinds[i]));

        CHECK_HELD(key);
        CHECK(life_signs(NULL, key));
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

int main(void)
{
    char *pem, *other;

    interop_start();
    pem = life_pem("P-256");
    other = life_pem("RSA-2048");
    if (interop_protected()) {
        test_one_after_the_other(pem);
    }
    test_two_at_once(pem, other);
    test_default_stays_first();
    free(other);
    free(pem);
    return interop_finish();
}
