/*
 * Private random numbers that are drawn ahead, without a domain: each byte is
 * given once and wiped, and not in a child of fork, not late, and not to
 * another thread. The generator is a fake that never gives a byte twice in a
 * row of 8.
 *
 * Seen to fail: without the wipe; without taking what was given from |left|;
 * without the comparison of the owner; without that of the time, and without
 * its half for a clock that went back; with one block for all threads; has()
 * that does not look how many are left; a request of any length, or strength,
 * that is served from a block; a generator that fails and is not heard.
 */
#include "claims.h"
#include "draw.h"
#include "fake_inside.h"

#include <pthread.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ---- what is below ------------------------------------------------------- */

static struct {
    _Atomic uint64_t next;
    _Atomic int asked; /* for how often */
    int fails;
    unsigned int strength; /* that was asked for last */
    size_t len;
    const unsigned char *block; /* the last block that was filled */
} generator = {.next = 1};

int __real_RAND_priv_bytes_ex(OSSL_LIB_CTX *libctx, unsigned char *p, size_t n,
                              unsigned int strength)
{
    uint64_t number;

    (void)libctx;
    generator.asked++;
    generator.len = n;
    generator.strength = strength;
    if (generator.fails) {
        memset(p, 0, n);
        return 0;
    }
    if (n == DRAW_BLOCK) {
        generator.block = p;
    }
    for (size_t i = 0; i < n; i++) {
        if (i % sizeof(number) == 0) {
            /* An odd factor: other numbers for others, and no zero. */
            number = generator.next++ * 0x9e3779b97f4a7c15;
        }
        p[i] = ((const unsigned char *)&number)[i % sizeof(number)];
    }
    return 1;
}

static time_t now = 1000000;

/* libc's is not asked. */
time_t time(time_t *t)
{
    if (t != NULL) {
        *t = now;
    }
    return now;
}

static int draw(unsigned char *p, size_t n)
{
    return __wrap_RAND_priv_bytes_ex(NULL, p, n, 0);
}

/* Whether drawing |n| asks the generator |times|. */
static int asks(size_t n, int times)
{
    unsigned char p[2 * DRAW_BLOCK];
    int before = generator.asked;

    return draw(p, n) == 1 && generator.asked - before == times;
}

/* So that the next draw fills a block. */
static void use_up(void)
{
    now += DRAW_SECONDS;
}

/* ---- one thread ---------------------------------------------------------- */

static void test_each_byte_is_given_once_and_wiped(void)
{
    static const unsigned char nothing[DRAW_BLOCK];
    unsigned char whole[DRAW_BLOCK], got[DRAW_BLOCK];
    size_t left = DRAW_BLOCK;

    use_up();
    CHECK(draw(got, 1) == 1);
    memcpy(whole, generator.block, DRAW_BLOCK - 1);
    CHECK(generator.block[--left] == 0);
    for (size_t n = 1; left >= n; n = n % DRAW_MOST + 1) {
        CHECK(draw(got, n) == 1);
        left -= n;
        CHECK(memcmp(got, whole + left, n) == 0);
        CHECK(memcmp(generator.block + left, nothing, DRAW_BLOCK - left) == 0);
        CHECK(memcmp(generator.block, whole, left) == 0);
    }
}

static void test_what_does_not_suffice_is_not_given(void)
{
    unsigned char got[DRAW_MOST], first[DRAW_MOST];

    use_up();
    CHECK(asks(DRAW_MOST, 1));
    for (size_t left = DRAW_BLOCK - DRAW_MOST; left >= DRAW_MOST;
         left -= DRAW_MOST) {
        CHECK(asks(DRAW_MOST, 0));
    }
    memcpy(first, generator.block, sizeof(first));
    CHECK(DRAW_BLOCK % DRAW_MOST != 0 && asks(DRAW_MOST, 1));
    CHECK(draw(got, DRAW_BLOCK % DRAW_MOST) == 1);
    CHECK(memcmp(got, first, DRAW_BLOCK % DRAW_MOST) != 0);
}

static void test_long_and_strong_requests_go_by(void)
{
    unsigned char got[DRAW_MOST + 1];
    int before;

    CHECK(asks(1, 0) || asks(1, 0));
    CHECK(asks(DRAW_MOST + 1, 1) && generator.len == DRAW_MOST + 1);
    CHECK(asks(2 * DRAW_BLOCK, 1) && generator.len == 2 * DRAW_BLOCK);
    before = generator.asked;
    CHECK(__wrap_RAND_priv_bytes_ex(NULL, got, 32, DRAW_STRENGTH) == 1);
    CHECK(generator.asked == before);
    CHECK(__wrap_RAND_priv_bytes_ex(NULL, got, 32, DRAW_STRENGTH + 1) == 1);
    CHECK(generator.asked == before + 1 && generator.len == 32 &&
          generator.strength == DRAW_STRENGTH + 1);
}

static void test_a_block_is_good_for_a_minute(void)
{
    use_up();
    CHECK(asks(32, 1));
    now += DRAW_SECONDS - 1;
    CHECK(asks(32, 0));
    now++;
    CHECK(asks(32, 1));
    now--;
    CHECK(asks(32, 1));
    CHECK(asks(32, 0));
}

static void test_a_generator_that_fails_is_heard(void)
{
    unsigned char got[DRAW_MOST];

    use_up();
    for (int i = 0; i < DRAW_BLOCK / DRAW_MOST; i++) {
        CHECK(draw(got, DRAW_MOST) == 1);
    }
    generator.fails = 1;
    CHECK(draw(got, DRAW_MOST) == 0);
    CHECK(draw(got, 1) == 0); /* of those that had been left */
    generator.fails = 0;
    CHECK(asks(32, 1));
    CHECK(asks(32, 0));
}

/* ---- threads, memory ----------------------------------------------------- */

static const unsigned char *other_block;

static void *draw_elsewhere(void *arg)
{
    CHECK(asks(32, 1));
    other_block = generator.block;
    return arg;
}

static void test_a_thread_has_its_own_block(void)
{
    const unsigned char *mine;
    pthread_t t;

    use_up();
    CHECK(asks(32, 1));
    mine = generator.block;
    pthread_create(&t, NULL, draw_elsewhere, NULL);
    pthread_join(t, NULL);
    CHECK(other_block != mine);
    CHECK(asks(32, 0));
}

static void *draw_without_memory(void *arg)
{
    fake_inside_full = 1;
    CHECK(asks(32, 1) && generator.len == 32);
    CHECK(asks(32, 1) && generator.len == 32);
    fake_inside_full = 0;
    CHECK(asks(32, 1) && generator.len == DRAW_BLOCK);
    CHECK(asks(32, 0));
    return arg;
}

static void test_without_memory_nothing_is_drawn_ahead(void)
{
    pthread_t t;

    pthread_create(&t, NULL, draw_without_memory, NULL);
    pthread_join(t, NULL);
}

static void test_a_child_does_not_give_its_parents(void)
{
    int status = -1;
    pid_t pid;

    use_up();
    CHECK(asks(32, 1));
    pid = fork();
    if (pid == 0) {
        _exit(!(asks(32, 1) && asks(32, 0)));
    }
    waitpid(pid, &status, 0);
    CHECK(status == 0);
    CHECK(asks(32, 0));
}

int main(void)
{
    CHECK(draw_boot());
    test_each_byte_is_given_once_and_wiped();
    test_what_does_not_suffice_is_not_given();
    test_long_and_strong_requests_go_by();
    test_a_block_is_good_for_a_minute();
    test_a_generator_that_fails_is_heard();
    test_a_thread_has_its_own_block();
    test_without_memory_nothing_is_drawn_ahead();
    test_a_child_does_not_give_its_parents();
    return claims_end();
}
