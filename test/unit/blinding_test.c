/*
 * RSA where libcrypto gets no memory: what is computed meanwhile is right or an
 * error, and all that comes afterwards, in whatever thread, is right. Without a
 * domain: libcrypto's memory is malloc's.
 *
 * Seen to fail: without blinding.c, and with a refusal that is not looked for,
 * by wrong results; with factors that stay as they are, or are made anew and
 * stay marked; with new ones that could not be made; with errors for whoever
 * comes next.
 */

/* The functions of RSA are older than providers, which call them. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "claims.h"

#include <mpkcore/heap.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* ---- what is below ------------------------------------------------------- */

/* Of this thread: how many allocations still work, or -1 for all; one does not,
 * and those after it do again. */
static _Thread_local long left = -1;
static _Thread_local uint64_t refused;
static _Thread_local int no_random; /* from which number on; 0: none fails */
static _Thread_local int drawn;     /* random numbers */

uint64_t mpk_heap_refused(void)
{
    return refused;
}

static bool refuses(void)
{
    if (left < 0 || left-- > 0) {
        return false;
    }
    refused++;
    return true;
}

static void *take(size_t n, const char *file, int line)
{
    (void)file;
    (void)line;
    return refuses() ? NULL : malloc(n);
}

static void *resize(void *p, size_t n, const char *file, int line)
{
    (void)file;
    (void)line;
    return refuses() ? NULL : realloc(p, n);
}

static void give_back(void *p, const char *file, int line)
{
    (void)file;
    (void)line;
    free(p);
}

int __real_RAND_priv_bytes_ex(OSSL_LIB_CTX *ctx, unsigned char *p, size_t n,
                              unsigned int strength);
int __wrap_RAND_priv_bytes_ex(OSSL_LIB_CTX *ctx, unsigned char *p, size_t n,
                              unsigned int strength);

int __wrap_RAND_priv_bytes_ex(OSSL_LIB_CTX *ctx, unsigned char *p, size_t n,
                              unsigned int strength)
{
    drawn++;
    if (no_random != 0 && drawn >= no_random) {
        ERR_raise(ERR_LIB_RAND, RAND_R_ERROR_RETRIEVING_ENTROPY);
        return 0;
    }
    return __real_RAND_priv_bytes_ex(ctx, p, n, strength);
}

/* ---- signing ------------------------------------------------------------- */

#define BITS 512
#define LEN (BITS / 8)
/* Blinding is made anew every 32 times; of three in a row one has a handicap,
 * so that each of the three meets that. */
#define ROUNDS 32
#define IN_A_ROW 3

enum outcome { FAILED, RIGHT, WRONG };

/* The key and the signature that it makes, with whatever blinding. */
static RSA *key;
static const unsigned char message[LEN] = {0, 1, 2, 3};
static unsigned char due[LEN];

static enum outcome sign(void)
{
    unsigned char sig[LEN];
    int len = RSA_private_encrypt(LEN, message, sig, key, RSA_NO_PADDING);

    return len != LEN ? FAILED : memcmp(sig, due, LEN) == 0 ? RIGHT : WRONG;
}

/* A key whose blinding is the calling thread's own: others share one. */
static void make_key(void)
{
    BIGNUM *e = BN_new();
    RSA *made = RSA_new();

    BN_set_word(e, RSA_F4);
    CHECK(RSA_generate_key_ex(made, BITS, e, NULL) == 1);
    BN_free(e);
    RSA_free(key);
    key = made;
    CHECK(RSA_private_encrypt(LEN, message, due, key, RSA_NO_PADDING) == LEN);
}

/* Signs with the |n|th allocation refused; false if there are not so many. */
static bool sign_refused(long n, enum outcome *outcome)
{
    bool reached;

    left = n;
    *outcome = sign();
    reached = left < 0;
    left = -1;
    return reached;
}

/* ---- one thread ---------------------------------------------------------- */

/* Each allocation of a signature is refused, at each place of the blinding's
 * life: of a wrong result, or an error that comes later, there is none. */
static void *refuse_each(void *arg)
{
    bool reached = true;
    int wrong = 0, later = 0, again = 0;
    long n;

    (void)arg;
    CHECK(sign() == RIGHT); /* what is made once is there */
    for (n = 0; reached; n++) {
        reached = false;
        for (int i = 0; i < ROUNDS; i++) {
            enum outcome outcome;

            reached = sign_refused(n, &outcome) || reached;
            wrong += outcome == WRONG;
            for (int k = 1; k < IN_A_ROW; k++) {
                drawn = 0;
                later += sign() != RIGHT;
            }
            again += drawn;
        }
    }
    CHECK(n > 10);
    CHECK(wrong == 0);
    CHECK(later == 0);
    CHECK(again < n * ROUNDS / 8); /* new factors are made once */
    return NULL;
}

static void test_a_refusal_is_over_with_its_signature(void)
{
    make_key();
    refuse_each(NULL);
}

static void in_a_thread(void *(*body)(void *))
{
    pthread_t thread;

    pthread_create(&thread, NULL, body, NULL);
    pthread_join(thread, NULL);
}

static void test_so_it_is_with_blinding_that_is_shared(void)
{
    make_key();
    in_a_thread(refuse_each);
}

/*
 * Signs until the blinding was made anew several times, without random numbers
 * from the |from|th of a signature on. The second is drawn where the first was
 * too large, when one of the factors is new already.
 */
static void without_random_numbers(int from)
{
    int failed = 0, wrong = 0, later = 0;

    for (int k = 0; k < 30; k++) {
        make_key();
        for (int i = 0; i < 4 * ROUNDS; i++) {
            enum outcome outcome;

            drawn = 0;
            no_random = from;
            outcome = sign();
            no_random = 0;
            failed += outcome == FAILED;
            wrong += outcome == WRONG;
            ERR_clear_error();
            later += outcome == FAILED && sign() != RIGHT;
        }
    }
    CHECK(failed > 0);
    CHECK(wrong == 0);
    CHECK(later == 0);
}

static void test_without_random_numbers(void)
{
    without_random_numbers(1);
    without_random_numbers(2);
}

/* Damaged factors need them. */
static void test_damaged_factors_need_random_numbers(void)
{
    int failed = 0, wrong = 0, later = 0;

    make_key();
    for (int i = 0; i < 100 * ROUNDS; i++) {
        enum outcome outcome;

        sign_refused(i / ROUNDS, &outcome);
        ERR_clear_error();
        drawn = 0;
        no_random = 1;
        outcome = sign();
        failed += outcome == FAILED;
        wrong += outcome == WRONG;
        no_random = 0;
        later += sign() != RIGHT;
    }
    CHECK(failed > 0);
    CHECK(wrong == 0);
    CHECK(later == 0);
}

/* ---- many threads -------------------------------------------------------- */

#define THREADS 3
#define TIMES 3000

static _Atomic bool over;
static _Atomic int others_failed, others_wrong;

static void *sign_undisturbed(void *arg)
{
    (void)arg;
    while (!over) {
        enum outcome outcome = sign();

        others_failed += outcome == FAILED;
        others_wrong += outcome == WRONG;
    }
    return NULL;
}

static void *refuse_at_random(void *arg)
{
    int failed = 0, wrong = 0;
    unsigned seed = 1;

    (void)arg;
    for (int i = 0; i < TIMES; i++) {
        enum outcome outcome;

        sign_refused(rand_r(&seed) % 40, &outcome);
        failed += outcome == FAILED;
        wrong += outcome == WRONG;
    }
    CHECK(failed > 0);
    CHECK(wrong == 0);
    return NULL;
}

static void test_a_refusal_is_no_matter_to_other_threads(void)
{
    pthread_t thread[THREADS];

    make_key();
    for (int i = 0; i < THREADS; i++) {
        pthread_create(&thread[i], NULL, sign_undisturbed, NULL);
    }
    in_a_thread(refuse_at_random);
    over = true;
    for (int i = 0; i < THREADS; i++) {
        pthread_join(thread[i], NULL);
    }
    CHECK(others_failed == 0);
    CHECK(others_wrong == 0);
}

int main(void)
{
    if (CRYPTO_set_mem_functions(take, resize, give_back) != 1) {
        return 1;
    }
    test_a_refusal_is_over_with_its_signature();
    test_so_it_is_with_blinding_that_is_shared();
    test_without_random_numbers();
    test_damaged_factors_need_random_numbers();
    test_a_refusal_is_no_matter_to_other_threads();
    RSA_free(key);
    return claims_end();
}
