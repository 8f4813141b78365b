/* Blocks of page groups: where they lie, what fits, and what they cost. */
#include "core_test.h"
#include "vkey_probe.h"

#include <mpkcore/mpk.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static void test_blocks_of_a_group(const struct setup *s)
{
    void *a = NULL, *b = NULL, *c = NULL;
    mpk_vkey_t vkey;
    char *p;

    start(s);
    p = group(&vkey, 4096, RW);
    CHECK(mpk_malloc(vkey, &a, 100) == 0 && (char *)a == p);
    CHECK(mpk_malloc(vkey, &b, 1) == 0 && (char *)b == p + 128);
    CHECK(mpk_malloc(vkey, &c, 4096) == -ENOMEM);
    CHECK(mpk_malloc(vkey, &c, SIZE_MAX) == -ENOMEM);
    CHECK(mpk_begin(vkey, RW) == 0);
    memset(a, 'x', 100);
    CHECK(mpk_end(vkey) == 0);
    CHECK(mpk_free(vkey, a) == 0);
    CHECK(mpk_malloc(vkey, &c, 128) == 0 && c == a);
    CHECK(mpk_begin(vkey, RW) == 0);
    for (int i = 0; i < 128; i++) {
        CHECK(((char *)c)[i] == 0);
    }
    CHECK(mpk_end(vkey) == 0);
    CHECK(mpk_free(vkey, NULL) == 0);
    CHECK(mpk_munmap(vkey) == 0);
}

/* As many as there is room for, side by side. */
static void test_blocks_fill_a_large_group(const struct setup *s)
{
    const size_t len = 8 << 20, size = 5056;
    void *first = NULL, *b = NULL;
    mpk_vkey_t vkey;
    char *p;

    start(s);
    p = group(&vkey, len, RW);
    CHECK(mpk_malloc(vkey, &first, size) == 0 && first == p);
    for (size_t i = 1; i < len / size; i++) {
        CHECK(mpk_malloc(vkey, &b, size) == 0 && b == p + i * size);
    }
    CHECK(mpk_malloc(vkey, &b, size) == -ENOMEM);
    CHECK(mpk_free(vkey, b) == 0 && mpk_free(vkey, first) == 0);
    CHECK(mpk_malloc(vkey, &first, size) == 0 && first == p);
    CHECK(mpk_malloc(vkey, &first, size) == 0 && first == b);
    CHECK(mpk_munmap(vkey) == 0);
    p = group(&vkey, len, RW);
    CHECK(mpk_malloc(vkey, &b, 1) == 0 && b == p);
    CHECK(mpk_malloc(vkey, &b, len) == -ENOMEM);
    CHECK(mpk_malloc(vkey, &b, len - 64) == 0 && b == p + 64);
    CHECK(mpk_malloc(vkey, &b, 1) == -ENOMEM);
}

#define GRAINS 640 /* ten pages */

/* Where |n| free grains are in a row. */
static bool has_run(const bool *taken, size_t n)
{
    size_t have = 0;

    for (size_t i = 0; i < GRAINS && have < n; i++) {
        have = taken[i] ? 0 : have + 1;
    }
    return have >= n;
}

static bool has_taken(const bool *taken, size_t n)
{
    return memchr(taken, 1, n) != NULL;
}

/* By lengths up to a word of the bookkeeping and beyond. */
static void test_what_fits_is_found(const struct setup *s)
{
    size_t at[GRAINS], len[GRAINS], live = 0, refused = 0;
    static bool taken[GRAINS];
    mpk_vkey_t vkey;
    unsigned seed = 1;
    char *p;

    start(s);
    p = group(&vkey, GRAINS * 64, RW);
    for (size_t step = 0; step < 20000; step++) {
        size_t n = 1 + (size_t)rand_r(&seed) % (step % 500 < 400 ? 6 : 150);
        void *b = NULL;
        int err = 0;

        if (live < 4 || (size_t)rand_r(&seed) % 5 < 2 + step / 500 % 2) {
            err = mpk_malloc(vkey, &b, n * 64);
            CHECK(err == (has_run(taken, n) ? 0 : -ENOMEM));
        }
        if (b != NULL) {
            at[live] = (size_t)((char *)b - p) / 64;
            len[live] = n;
            CHECK(at[live] + n <= GRAINS && !has_taken(taken + at[live], n));
            memset(taken + at[live++], 1, n);
            continue;
        }
        refused += err != 0;
        n = (size_t)rand_r(&seed) % live--;
        CHECK(mpk_free(vkey, p + at[n] * 64) == 0);
        memset(taken + at[n], 0, len[n]);
        at[n] = at[live];
        len[n] = len[live];
    }
    CHECK(refused > 100);
}

static size_t domain_bytes(void)
{
    struct mpk_info info;

    CHECK(mpk_core_info(&info) == 0);
    return info.committed_secret + info.committed_anon;
}

static void test_a_block_costs_what_is_used(const struct setup *s)
{
    size_t before;

    start(s);
    before = domain_bytes();
    for (int i = 0; i < 4; i++) {
        mpk_vkey_t vkey;
        void *p = NULL, *b;

        CHECK(mpk_mmap(&vkey, &p, (size_t)16 << 30, RW, ANON | MAP_NORESERVE,
                       -1, 0) == 0);
        CHECK(mpk_malloc(vkey, &b, 64) == 0 && b == p);
    }
    CHECK(domain_bytes() - before <= 256 << 10);
}

static const struct core_test tests[] = {
    TEST(test_blocks_of_a_group, ONE_MEMORY),
    TEST(test_blocks_fill_a_large_group, ONE_MEMORY),
    TEST(test_what_fits_is_found, ONE_MEMORY),
    TEST(test_a_block_costs_what_is_used, ONE_MEMORY | NOT_SANITIZED),
};

int main(void)
{
    return core_test_main(tests, COUNT_OF(tests));
}
