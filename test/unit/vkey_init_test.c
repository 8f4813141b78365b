/*
 * mpk_init where something is wanting: it says what, leaves nothing behind, and
 * can be called again.
 */
#include "core_test.h"

#include "../../mpkcore/vkey.h"

#include <mpkcore/mpk.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define MIB ((size_t)1 << 20)

static void use_a_group(void)
{
    mpk_vkey_t vkey;
    void *p = NULL;

    CHECK(mpk_mmap(&vkey, &p, 4096, RW, ANON, -1, 0) == 0);
    CHECK(mpk_begin(vkey, RW) == 0);
    CHECK(mpk_end(vkey) == 0);
}

static void test_wrong_parameters_make_no_domain(const struct setup *s)
{
    struct mpk_params params = {.backend = s->backend, .max_keys = 16};
    struct mpk_info info;

    CHECK(mpk_init(&params) == -EINVAL);
    params.max_keys = 0;
    params.nest = MPK_NEST_MAX + 1;
    CHECK(mpk_init(&params) == -EINVAL);
    CHECK(mpk_core_info(&info) == -ENXIO);
    params.nest = 0;
    params.backend = MPK_BACKEND_NONE;
    CHECK(mpk_init(&params) == 0);
}

static const struct mpk_entry entries[] = {MPK_CORE_ENTRIES, MPK_VKEY_ENTRIES};

static size_t room;

static void init_in_little_room(const struct setup *s)
{
    struct mpk_params params = {.backend = s->backend};
    struct rlimit r, less;
    int err;

    make_domain(s, entries, COUNT_OF(entries));
    CHECK(getrlimit(RLIMIT_AS, &r) == 0);
    less = r;
    less.rlim_cur = address_space() + room;
    CHECK(setrlimit(RLIMIT_AS, &less) == 0);
    err = mpk_init(&params);
    CHECK(err == 0 || err == -ENOMEM);
    if (err != 0) {
        CHECK(mpk_begin((mpk_vkey_t)1 << VK_ROW_BITS, RW) == -ENXIO);
        CHECK(mpk_stats_get(&(struct mpk_stats){0}) == -ENXIO);
        CHECK(setrlimit(RLIMIT_AS, &r) == 0);
        CHECK(mpk_init(&params) == 0);
    }
    use_a_group();
}

/* Wherever the addresses end. */
static void test_an_init_that_failed_can_be_tried_again(const struct setup *s)
{
    for (room = 60 * MIB; room < 340 * MIB; room += 4 * MIB - 4096) {
        struct outcome o = run_in_child(init_in_little_room, s);

        CHECK(o.status == 0 && o.signo == 0);
    }
}

static size_t limit_mib;

/* With a domain of its own making, which stays. */
static void init_under_a_limit(const struct setup *s)
{
    struct mpk_params params = {.backend = s->backend};
    struct rlimit r, less;
    int err;

    CHECK(getrlimit(RLIMIT_AS, &r) == 0);
    less = r;
    less.rlim_cur = limit_mib * MIB;
    CHECK(setrlimit(RLIMIT_AS, &less) == 0);
    err = mpk_init(&params);
    CHECK(err == 0 || (err == -ENOMEM && limit_mib < 512));
    if (err != 0) {
        CHECK(setrlimit(RLIMIT_AS, &r) == 0);
        CHECK(mpk_init(&params) == 0);
    }
    use_a_group();
}

static void test_few_addresses_are_enough_or_told(const struct setup *s)
{
    static const size_t more[] = {768, 1024, 2048, 4095, 4096, 8192, 65536};

    for (size_t i = 0; i < 20 + COUNT_OF(more); i++) {
        struct outcome o;

        limit_mib = i < 20 ? 132 + 20 * i : more[i - 20];
        o = run_in_child(init_under_a_limit, s);
        CHECK(o.status == 0 && o.signo == 0);
    }
}

/* The addresses that are kept for groups are for those that lie there. */
static void test_a_limit_bounds_what_it_is_for(const struct setup *s)
{
    struct mpk_params params = {.backend = s->backend};
    struct rlimit r = {1024 * MIB, RLIM_INFINITY};
    mpk_vkey_t vkey;
    void *p = NULL;

    CHECK(setrlimit(RLIMIT_AS, &r) == 0);
    CHECK(mpk_init(&params) == 0);
    CHECK(mpk_mmap(&vkey, &p, 300 * MIB, RW, ANON, -1, 0) == -ENOMEM);
    CHECK(mpk_mmap(&vkey, &p, 300 * MIB, RW, ANON | MAP_NORESERVE, -1, 0) == 0);
    CHECK(mpk_begin(vkey, RW) == 0 && writable((char *)p + 300 * MIB - 1));
    CHECK(mpk_end(vkey) == 0 && mpk_munmap(vkey) == 0);
}

/* Much less than what is made ready for groups at a time. */
static void test_little_data_is_enough_for_groups(const struct setup *s)
{
    struct mpk_params params = {.backend = s->backend};
    mpk_vkey_t vkey;
    void *p = NULL;

    CHECK(mpk_init(&params) == 0);
    limit_data(3 * MIB);
    for (int i = 0; i < 100; i++) {
        use_a_group();
    }
    CHECK(mpk_mmap(&vkey, &p, MIB, RW, ANON, -1, 0) == 0);
    CHECK(mpk_begin(vkey, RW) == 0 && mpk_end(vkey) == 0);
}

/* The first one that there is no key for must not make a domain that stays. */
static void test_without_keys_another_backend_is_left(const struct setup *s)
{
    struct mpk_params params = {.backend = s->backend};
    int key[MPK_HW_KEYS], n = 0;

    while (n < MPK_HW_KEYS && (key[n] = pkey_alloc(0, 0)) > 0) {
        n++;
    }
    CHECK(n > 3);
    for (int left = 0; left < 3; left++) {
        CHECK(mpk_init(&params) == -ENOSPC);
        CHECK(mpk_begin((mpk_vkey_t)1 << VK_ROW_BITS, RW) == -ENXIO);
        pkey_free(key[--n]);
    }
    CHECK(mpk_init(&params) == 0);
}

static void test_a_limit_on_files_is_an_error(const struct setup *s)
{
    struct mpk_params params = {.backend = s->backend};
    struct rlimit limit = {1000000, 1000000};

    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    CHECK(mpk_init(&params) == -EFBIG);
}

/* ---- threads at odds ----------------------------------------------------- */

#define STARTERS 4

static pthread_barrier_t at_once;

static void *starts(void *params)
{
    pthread_barrier_wait(&at_once);
    return (void *)(intptr_t)mpk_init(params);
}

static void start_in_threads(const struct setup *s)
{
    struct mpk_params params = {.backend = s->backend};
    pthread_t t[STARTERS];
    int first = 0, others = 0;

    CHECK(pthread_barrier_init(&at_once, NULL, STARTERS) == 0);
    for (int i = 0; i < STARTERS; i++) {
        CHECK(pthread_create(&t[i], NULL, starts, &params) == 0);
    }
    for (int i = 0; i < STARTERS; i++) {
        void *err;

        CHECK(pthread_join(t[i], &err) == 0);
        first += (intptr_t)err == 0;
        others += (intptr_t)err == -EALREADY;
    }
    CHECK(first == 1 && others == STARTERS - 1);
    use_a_group();
}

static void
test_of_several_inits_at_once_one_is_the_first(const struct setup *s)
{
    for (int i = 0; i < 10; i++) {
        struct outcome o = run_in_child(start_in_threads, s);

        CHECK(o.status == 0 && o.signo == 0);
    }
}

static const struct core_test tests[] = {
    TEST(test_wrong_parameters_make_no_domain, ONE_MEMORY),
    TEST(test_an_init_that_failed_can_be_tried_again, ONE_MEMORY),
    TEST(test_few_addresses_are_enough_or_told, ONE_MEMORY | NOT_SANITIZED),
    TEST(test_a_limit_bounds_what_it_is_for, ONE_MEMORY | NOT_SANITIZED),
    TEST(test_little_data_is_enough_for_groups, ONE_MEMORY | NOT_SANITIZED),
    TEST(test_without_keys_another_backend_is_left, ONE_MEMORY | NEEDS_KEYS),
    TEST(test_a_limit_on_files_is_an_error, ONE_MEMORY),
    TEST(test_of_several_inits_at_once_one_is_the_first, ONE_MEMORY),
};

int main(void)
{
    return core_test_main(tests, COUNT_OF(tests));
}
