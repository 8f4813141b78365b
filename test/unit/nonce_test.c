/*
 * The pool of numbers for GCM's nonces, without a domain: each is given once,
 * whoever draws, and a child of fork gets none of its parent's.
 *
 * Seen to fail: nonce_take that reads a number and stores zero in place of the
 * exchange; without the zero; without the comparison of the owner; adopt() that
 * does not empty the pool; nonce_fill without a limit on what it fills.
 */
#include "claims.h"
#include "fake_inside.h"
#include "nonce.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* What was drawn, by all threads and processes. */
#define DRAWN_MAX 400000
struct drawn {
    _Atomic uint32_t n;
    uint64_t number[DRAWN_MAX];
};
static struct drawn *drawn;

static int draw_one(void)
{
    uint64_t number = 0;

    if (!nonce_take((unsigned char *)&number)) {
        return 0;
    }
    drawn->number[drawn->n++ % DRAWN_MAX] = number;
    return 1;
}

static unsigned draw_all(void)
{
    unsigned n = 0;

    while (draw_one()) {
        n++;
    }
    return n;
}

static int compare(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

static void check_all_differ(void)
{
    unsigned same = 0, zero = 0;

    qsort(drawn->number, drawn->n, sizeof(drawn->number[0]), compare);
    for (uint32_t i = 0; i < drawn->n; i++) {
        zero += drawn->number[i] == 0;
        same += i > 0 && drawn->number[i] == drawn->number[i - 1];
    }
    CHECK(drawn->n <= DRAWN_MAX && zero == 0 && same == 0);
    drawn->n = 0;
}

static void test_an_empty_pool_gives_nothing(void)
{
    CHECK(!draw_one());
    CHECK(nonce_fill() && draw_all() == NONCE_POOL);
    CHECK(!draw_one());
    check_all_differ();
}

static void test_it_is_filled_when_half_is_gone(void)
{
    CHECK(nonce_fill());
    for (int i = 0; i < NONCE_POOL / 2; i++) {
        CHECK(draw_one());
    }
    CHECK(nonce_fill() && draw_all() == NONCE_POOL / 2);
    CHECK(nonce_fill());
    for (int i = 0; i <= NONCE_POOL / 2; i++) {
        CHECK(draw_one());
    }
    CHECK(nonce_fill() && draw_all() == NONCE_POOL);
    check_all_differ();
}

/* ---- threads ------------------------------------------------------------- */

#define THREADS 4
#define ROUNDS 3000

static pthread_barrier_t together;

static void *draw(void *arg)
{
    (void)arg;
    pthread_barrier_wait(&together);
    for (int i = 0; i < ROUNDS; i++) {
        if (!draw_one()) {
            nonce_fill();
        }
    }
    return NULL;
}

static void start(pthread_t t[THREADS])
{
    pthread_barrier_init(&together, NULL, THREADS);
    for (int i = 0; i < THREADS; i++) {
        pthread_create(&t[i], NULL, draw, NULL);
    }
}

static void join(pthread_t t[THREADS])
{
    for (int i = 0; i < THREADS; i++) {
        pthread_join(t[i], NULL);
    }
    pthread_barrier_destroy(&together);
}

static void test_threads_draw_other_numbers(void)
{
    pthread_t t[THREADS];

    start(t);
    join(t);
    CHECK(drawn->n > THREADS * ROUNDS / 2);
    check_all_differ();
}

/* ---- processes ----------------------------------------------------------- */

/* Nobody draws here before the pool has been filled. */
static int draws_its_own(void)
{
    pthread_t t[THREADS];

    if (draw_one()) {
        return 0;
    }
    start(t);
    join(t);
    draw_all();
    return 1;
}

/* A child, and a child of that, which is there before the pool is filled. */
static void in_a_child(void)
{
    pid_t pid = fork();
    int status = 0;

    if (pid != 0) {
        waitpid(pid, &status, 0);
    }
    _exit(status != 0 || !draws_its_own());
}

static void test_a_child_draws_other_numbers_than_its_parent(void)
{
    int status = -1;
    pid_t pid;

    CHECK(nonce_fill());
    pid = fork();
    if (pid == 0) {
        in_a_child();
    }
    CHECK(draw_all() > 0);
    CHECK(nonce_fill() && draw_all() > 0);
    waitpid(pid, &status, 0);
    CHECK(status == 0);
    check_all_differ();
}

int main(void)
{
    drawn = mmap(NULL, sizeof(*drawn), PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (drawn == MAP_FAILED) {
        return 1;
    }
    test_an_empty_pool_gives_nothing();
    test_it_is_filled_when_half_is_gone();
    test_threads_draw_other_numbers();
    for (int i = 0; i < 5; i++) {
        test_a_child_draws_other_numbers_than_its_parent();
    }
    return claims_end();
}
