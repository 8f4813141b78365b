/*
 * Sixteen threads sign while others begin and end, load keys, or free what the
 * rest still uses.
 */
#include "life.h"

#include <openssl/crypto.h>

#include <stdlib.h>

/* Signs, fails at something, and ends with the failure still in its queue. */
static void *run_short(void *arg)
{
    struct life_crowd *c = arg;
    unsigned char *der = NULL;

    atomic_fetch_add(&c->failed, !life_signs(NULL, c->key));
    if (i2d_PrivateKey(c->key, &der) > 0 || ERR_peek_error() == 0) {
        atomic_fetch_add(&c->failed, interop_protected());
    }
    OPENSSL_free(der);
    return NULL;
}

static void test_threads_come_and_go(const char *pem)
{
    EVP_PKEY *key = life_read(NULL, pem);
    struct life_crowd c;
    unsigned ended = 0;

    life_case("threads that begin and end while others sign");
    CHECK_HELD(key);
    life_crowd_start(&c, key);
    do {
        pthread_t thread[4];

        for (int k = 0; k < 4; k++) {
            CHECK(pthread_create(&thread[k], NULL, run_short, &c) == 0);
        }
        for (int k = 0; k < 4; k++) {
            pthread_join(thread[k], NULL);
        }
        ended += 4;
    } while (life_goes_on());
    life_crowd_stop(&c);
    printf("  %u threads ended\n", ended);
    EVP_PKEY_free(key);
}

/* Frees its own reference after a few signatures. */
static void *run_owner(void *arg)
{
    struct life_crowd *c = arg;

    for (int i = 0; i < 5; i++) {
        EVP_PKEY *mine;

        atomic_fetch_add(&c->failed, !life_signs(NULL, c->key));
        mine = EVP_PKEY_dup(c->key);
        atomic_fetch_add(&c->failed, !life_signs(NULL, mine));
        EVP_PKEY_free(mine);
    }
    EVP_PKEY_free(c->key);
    return NULL;
}

/* Whoever is last frees it; nobody knows who that is. */
static void free_while_used(const char *pem)
{
    struct life_crowd c = {.key = life_read(NULL, pem)};

    for (int i = 0; i < LIFE_SIGNERS; i++) {
        EVP_PKEY_up_ref(c.key);
        CHECK(pthread_create(&c.thread[i], NULL, run_owner, &c) == 0);
    }
    EVP_PKEY_free(c.key);
    for (int i = 0; i < LIFE_SIGNERS; i++) {
        pthread_join(c.thread[i], NULL);
    }
    CHECK_INT(atomic_load(&c.failed), 0);
}

static void test_free_while_used(const char *pem)
{
    unsigned keys = 0;

    life_case("keys that are freed while others use them");
    do {
        free_while_used(pem);
        keys++;
    } while (life_goes_on());
    printf("  %u keys\n", keys);
}

/* ---- threads that load ---- */

#define KINDS 4

struct loader {
    pthread_t thread;
    const char *pem;
    const EVP_PKEY *want; /* the public part of what |pem| holds */
    unsigned wrong, loaded;
};

static void *run_loader(void *arg)
{
    struct loader *l = arg;

    do {
        EVP_PKEY *key = life_read(NULL, l->pem);

        l->wrong += !life_held(key) || EVP_PKEY_eq(key, l->want) != 1;
        l->loaded++;
        EVP_PKEY_free(key);
    } while (life_goes_on());
    return NULL;
}

/* Each thread gets the key that it asked for, and gets it from us. */
static void test_loading_threads(unsigned n)
{
    static const char *const kinds[KINDS] = {"P-256", "RSA-2048", "P-384",
                                             "brainpoolP256r1"};
    struct loader *l = interop_new(n * sizeof(*l));
    EVP_PKEY *want[KINDS];
    char *pem[KINDS];
    unsigned loaded = 0;

    for (int i = 0; i < KINDS; i++) {
        pem[i] = life_pem(kinds[i]);
        want[i] = key_load_public(key_type_find(kinds[i]));
    }
    life_case("%u threads that load keys", n);
    for (unsigned i = 0; i < n; i++) {
        l[i] = (struct loader){.pem = pem[i % KINDS], .want = want[i % KINDS]};
        CHECK(pthread_create(&l[i].thread, NULL, run_loader, &l[i]) == 0);
    }
    for (unsigned i = 0; i < n; i++) {
        pthread_join(l[i].thread, NULL);
        CHECK_INT(l[i].wrong, 0);
        loaded += l[i].loaded;
    }
    printf("  %u keys\n", loaded);
    for (int i = 0; i < KINDS; i++) {
        EVP_PKEY_free(want[i]);
        free(pem[i]);
    }
    free(l);
}

int main(void)
{
    char *pem;

    interop_start();
    pem = life_pem("P-256");
    test_threads_come_and_go(pem);
    test_free_while_used(pem);
    test_loading_threads(8);
    test_loading_threads(64);
    free(pem);
    return interop_finish();
}
