/*
 * Virtual keys over simulated protection keys: many steps, few keys, so that
 * threads wait, drain and use the keys that are held back.
 *
 * Seen to fail: see the commit.
 */
#include "core_test.h"
#include "vkey_model.h"
#include "vkey_sim.h"

#include "../../mpkcore/vkey.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const struct mpk_entry entries[] = {MPK_CORE_ENTRIES, MPK_VKEY_ENTRIES};

static bool allows(const volatile char *p, bool write)
{
    return sim_allows((const void *)(uintptr_t)p, write);
}

static void run(const struct setup *s, int keys, uint32_t nest,
                unsigned threads, unsigned groups)
{
    struct mpk_params params = {.nest = nest, .max_keys = (uint32_t)keys};
    struct world w = {.threads = threads,
                      .steps = scaled(MPK_MODEL_STEPS) / threads,
                      .groups = groups,
                      .nest = nest,
                      .own_rights = true,
                      .allows = allows};
    struct mpk_stats st = {0};

    make_domain(s, entries, COUNT_OF(entries));
    sim_keys(keys + 1);
    CHECK(vk_init_with(&params, MPK_BACKEND_MPK) == 0);
    model_run(&w, say_seed());
    CHECK(mpk_stats_get(&st) == 0);
    CHECK(st.groups == 0);
    CHECK(st.keys == (uint32_t)keys);
    printf("     %d keys, nest %u, %u threads: %u steps, %llu loads, %llu "
           "evictions, %llu waits\n",
           keys, nest, threads, w.steps * threads, (unsigned long long)st.loads,
           (unsigned long long)st.evictions, (unsigned long long)st.waits);
}

static void many_keys(const struct setup *s)
{
    run(s, 12, 2, 4, 40);
}

static void fewer_keys_than_threads(const struct setup *s)
{
    run(s, 3, 2, 8, 12);
}

static void deep_nests_on_few_keys(const struct setup *s)
{
    run(s, 4, 4, 6, 10);
}

static void one_key(const struct setup *s)
{
    run(s, 1, 1, 4, 6);
}

static void all_nest_at_once(const struct setup *s)
{
    run(s, 2, 2, 8, 5);
}

static const struct core_test tests[] = {
    TEST(many_keys, ONE_MEMORY),
    TEST(fewer_keys_than_threads, ONE_MEMORY),
    TEST(deep_nests_on_few_keys, ONE_MEMORY),
    TEST(one_key, ONE_MEMORY),
    TEST(all_nest_at_once, ONE_MEMORY),
};

int main(void)
{
    setenv("MPK_TEST_BACKEND", "none", 1);
    return core_test_main(tests, COUNT_OF(tests));
}
