/*
 * perkey_test.c - many keys, each with pages of its own.
 *
 * 1,000 private keys of mixed types, no two alike (10,000 with
 * MPK_TEST_LONG=1; 400 where each load changes page rights many times, or
 * instructions are instrumented), are used at random by eight threads, while
 * every other one is freed and every eighth comes in. Each signature is checked
 * with the public key of its own slot, which the reference side keeps.
 *
 * Seen to fail: the next slot's key signs, or the next one of its type; a
 * provider that signs, once in 50 times, with the key that the thread used
 * before; nothing is freed meanwhile.
 */
#include "interop.h"
#include "keys.h"
#include "ops.h"

#include <openssl/pem.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define THREADS 8

/* The kind of slot |n|. RSA and P-384 take a thousand times and ten times as
 * long to make as the others, so there are fewer of them; of all kinds some are
 * freed and some stay. */
static const struct key_type *kind_of(unsigned n)
{
    const char *label = n % 3 == 0 ? "P-256" : "ED25519";

    if (n % 101 == 7) {
        label = "RSA-2048";
    } else if (n % 17 == 5) {
        label = "P-384";
    }
    return key_type_find(label);
}

struct slot {
    pthread_mutex_t lock;
    const struct key_type *type;
    EVP_PKEY *pair; /* the reference side's */
    EVP_PKEY *key;
};

static struct slot *slots;
static unsigned n_slots;
static atomic_uint bad, turn, freed, loaded, used;

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

/* The slot's key pair, on the side under test. */
static EVP_PKEY *load(const struct slot *s)
{
    BIO *bio = BIO_new(BIO_s_mem());
    EVP_PKEY *key = NULL;

    if (bio != NULL && PEM_write_bio_PKCS8PrivateKey(bio, s->pair, NULL, NULL,
                                                     0, NULL, NULL)) {
        key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    }
    BIO_free(bio);
    return key;
}

/* |key| signs as the slot's key does. */
static bool works(const struct slot *s, EVP_PKEY *key, unsigned n)
{
    unsigned char message[64];
    struct bytes sig = {0};
    bool ok;

    fill(message, sizeof(message), n);
    ok = digest_sign(key, s->type->md, NULL, message, sizeof(message), &sig) &&
         digest_verify(s->pair, s->type->md, NULL, message, sizeof(message),
                       &sig) == 1;
    bytes_free(&sig);
    return ok;
}

/* The key is another thread's too, which may be the one that frees it. */
static void use(unsigned n, unsigned i)
{
    struct slot *s = &slots[n];
    EVP_PKEY *key;

    pthread_mutex_lock(&s->lock);
    key = s->key;
    if (key != NULL) {
        EVP_PKEY_up_ref(key);
    }
    pthread_mutex_unlock(&s->lock);
    if (key != NULL) {
        bad += !works(s, key, i);
        used++;
        EVP_PKEY_free(key);
    }
}

static void replace(unsigned n, EVP_PKEY *key)
{
    EVP_PKEY *old;

    pthread_mutex_lock(&slots[n].lock);
    old = slots[n].key;
    slots[n].key = key;
    pthread_mutex_unlock(&slots[n].lock);
    EVP_PKEY_free(old);
}

/* Neighbours in memory do not go one after another. */
static unsigned mixed(unsigned i, unsigned of)
{
    return i * 7919 % of;
}

/*
 * All threads together take two turns for each slot: so in every fourth one of
 * the odd slots is freed, and in every 16th one of the eighths is loaded.
 */
static void *use_them(void *arg)
{
    unsigned seed = (unsigned)(uintptr_t)arg, i;

    while ((i = turn++) < 2 * n_slots) {
        if (i % 4 == 0) {
            replace(2 * mixed(i / 4, n_slots / 2) + 1, NULL);
            freed++;
        } else if (i % 16 == 2) {
            unsigned n = 8 * mixed(i / 16, n_slots / 8);

            replace(n, load(&slots[n]));
            loaded++;
        }
        use((unsigned)rand_r(&seed) % n_slots, i);
    }
    return NULL;
}

static void make_all(void)
{
    slots = calloc(n_slots, sizeof(*slots));
    for (unsigned i = 0; i < n_slots; i++) {
        slots[i].type = kind_of(i);
        slots[i].pair = key_generate(interop_ref(), NULL, slots[i].type);
        bad += slots[i].pair == NULL;
        pthread_mutex_init(&slots[i].lock, NULL);
    }
    CHECK_INT(bad, 0);
}

/* All but those that are loaded later. */
static void load_most(void)
{
    long before = resident_kib();

    for (unsigned i = 0; i < n_slots; i++) {
        if (i % 8 != 0) {
            slots[i].key = load(&slots[i]);
            bad += slots[i].key == NULL;
        }
    }
    CHECK_INT(bad, 0);
    printf("%u keys: %.1f KiB of resident memory for each\n", n_slots * 7 / 8,
           (double)(resident_kib() - before) / (n_slots * 7.0 / 8));
}

/* A multiple of 8, without a divisor in common with mixed(). */
static unsigned how_many(void)
{
    const char *backend = getenv("MPK_TEST_BACKEND");

    if (getenv("MPK_TEST_SLOW") != NULL) {
        return 400;
    }
    if (getenv("MPK_TEST_LONG") != NULL) {
        return 10000;
    }
    return backend != NULL && strcmp(backend, "mprotect") == 0 ? 400 : 1000;
}

static void run_threads(void)
{
    pthread_t t[THREADS];

    for (uintptr_t i = 0; i < THREADS; i++) {
        pthread_create(&t[i], NULL, use_them, (void *)(i + 1));
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(t[i], NULL);
    }
    CHECK_INT(bad, 0);
    CHECK_INT(freed, n_slots / 2);
    CHECK_INT(loaded, n_slots / 8);
    CHECK(used > n_slots);
}

static void test_many_keys_at_random(void)
{
    interop_subject("many keys");
    n_slots = how_many();
    make_all();
    load_most();
    run_threads();
    /* Those that are gone are: what was made meanwhile is in none of them. */
    for (unsigned i = 0; i < n_slots; i++) {
        bad += (slots[i].key == NULL) != (i % 2 == 1);
        bad += slots[i].key != NULL && !works(&slots[i], slots[i].key, i);
        EVP_PKEY_free(slots[i].key);
        EVP_PKEY_free(slots[i].pair);
    }
    CHECK_INT(bad, 0);
    free(slots);
}

int main(void)
{
    interop_start();
    test_many_keys_at_random();
    return interop_finish();
}
