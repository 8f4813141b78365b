/*
 * perkey_test.c - many keys, each with pages of its own.
 *
 * 2,000 private keys of mixed types (10,000 with MPK_TEST_LONG=1; 600 where
 * each load changes page rights many times) are loaded
 * and used at random by eight threads while every other one is freed; each
 * signature is checked with the reference side's public key. And a stub that
 * works for one key cannot read another one.
 */
#include "interop.h"
#include "keys.h"
#include "ops.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define THREADS 8
#define USES 150 /* of a thread */

static const char *const labels[] = {"P-256",   "ED25519", "P-384",
                                     "ED25519", "P-256",   "RSA-2048"};
#define LABELS (sizeof(labels) / sizeof(labels[0]))

struct slot {
    pthread_mutex_t lock;
    const struct key_type *type;
    EVP_PKEY *key;
};

static struct slot *slots;
static unsigned n_slots;
static EVP_PKEY *public_key[LABELS];
static atomic_uint bad, used;

static long resident_kib(void)
{
    FILE *f = fopen("/proc/self/statm", "r");
    long size = 0, pages = 0;

    if (f == NULL || fscanf(f, "%ld %ld", &size, &pages) != 2) {
        pages = 0;
    }
    if (f != NULL) {
        fclose(f);
    }
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static bool works(const struct slot *s, EVP_PKEY *public, unsigned n)
{
    unsigned char message[64];
    struct bytes sig = {0};
    bool ok;

    fill(message, sizeof(message), n);
    ok = digest_sign(s->key, s->type->md, NULL, message, sizeof(message),
                     &sig) &&
         digest_verify(public, s->type->md, NULL, message, sizeof(message),
                       &sig) == 1;
    bytes_free(&sig);
    return ok;
}

static void *use_them(void *arg)
{
    unsigned seed = (unsigned)(uintptr_t)arg;

    for (unsigned i = 0; i < USES; i++) {
        unsigned n = (unsigned)rand_r(&seed) % n_slots;
        struct slot *s = &slots[n];

        pthread_mutex_lock(&s->lock);
        if (s->key != NULL) {
            bad += !works(s, public_key[n % LABELS], i);
            used++;
        }
        if (n % 2 != 0) {
            EVP_PKEY_free(s->key);
            s->key = NULL;
        }
        pthread_mutex_unlock(&s->lock);
    }
    return NULL;
}

static void load_all(void)
{
    long before = resident_kib();

    for (unsigned i = 0; i < n_slots; i++) {
        slots[i].type = key_type_find(labels[i % LABELS]);
        slots[i].key = key_load(slots[i].type);
        bad += slots[i].key == NULL;
        pthread_mutex_init(&slots[i].lock, NULL);
    }
    printf("%u keys: %.1f KiB of resident memory for each\n", n_slots,
           (double)(resident_kib() - before) / n_slots);
}

static unsigned how_many(void)
{
    const char *backend = getenv("MPK_TEST_BACKEND");

    if (getenv("MPK_TEST_LONG") != NULL) {
        return 10000;
    }
    return backend != NULL && strcmp(backend, "mprotect") == 0 ? 600 : 2000;
}

static void test_many_keys_at_random(void)
{
    pthread_t t[THREADS];

    interop_subject("many keys");
    n_slots = how_many();
    slots = calloc(n_slots, sizeof(*slots));
    for (unsigned i = 0; i < LABELS; i++) {
        CHECK(key_type_find(labels[i]) != NULL);
        public_key[i] = key_reference_public(key_type_find(labels[i]));
    }
    load_all();
    CHECK_INT(bad, 0);
    for (uintptr_t i = 0; i < THREADS; i++) {
        pthread_create(&t[i], NULL, use_them, (void *)(i + 1));
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(t[i], NULL);
    }
    CHECK_INT(bad, 0);
    CHECK(used > THREADS * USES / 2);
    /* What was made meanwhile for all keys is in none of those now gone. */
    for (unsigned i = 1; i < n_slots; i += 2) {
        EVP_PKEY_free(slots[i].key);
        slots[i].key = NULL;
    }
    for (unsigned i = 0; i < n_slots; i += 2) {
        if (i < 40) {
            CHECK(works(&slots[i], public_key[i % LABELS], i));
        }
        EVP_PKEY_free(slots[i].key);
    }
    for (unsigned i = 0; i < LABELS; i++) {
        EVP_PKEY_free(public_key[i]);
    }
    free(slots);
}

int main(void)
{
    interop_start();
    test_many_keys_at_random();
    return interop_finish();
}
