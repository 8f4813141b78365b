/*
 * Blocks of page groups: each is one stub's, is given back once, and goes with
 * its group.
 */
#include "core_test.h"
#include "group_call.h"

#include "../../mpkcore/group.h"
#include "../../mpkcore/lock.h"
#include "group_spied.h"

#include <mpkcore/heap.h>

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

enum {
    KEPT = OWN, /* blocks that were given back, for larger ones */
    TWICE,      /* a block that was kept is given back again */
    HAMMER,     /* blocks of a group that others have open as well */
    NEW,        /* a group is made while another one is in use */
    KEEP,       /* HOLD, and a block of it was given back */
    BESIDE,     /* FREE, which makes |go| say so before its second lock */
    APART,      /* no block of the group is another's */
};

/* Locks that this thread has taken in BESIDE, plus 1; else 0. */
static __thread unsigned locks;

void spied_lock_take(struct lock *lock)
{
    if (locks != 0 && locks++ == 2) {
        atomic_store(&go[0], 1);
        while (atomic_load(&holding) != 0) {
            usleep(1000);
        }
    }
    lock_take(lock);
}

static int64_t free_beside(struct frame *f)
{
    int err;

    locks = 1;
    err = mpk_group_free(f->group);
    CHECK(locks > 1); /* they come here */
    locks = 0;
    return err;
}

static int64_t apart(struct frame *f)
{
    CHECK(mpk_group_open(f->group) == 0);
    for (int i = 0; i < 8; i++) {
        void *p = mpk_group_alloc(64);

        CHECK(p != NULL && p != f->p);
    }
    mpk_group_close(f->group);
    return 0;
}

/* Blocks that are kept for the next one of their size are room for others. */
static int64_t kept(struct frame *f)
{
    char *small[16], *large;

    CHECK(mpk_group_alloc(1) == NULL);
    CHECK(mpk_group_open(f->group) == 0);
    for (int i = 0; i < 16; i++) {
        small[i] = mpk_group_alloc(64);
        CHECK(group_owns(small[i]));
        memset(small[i], 'x', 64);
    }
    for (int i = 0; i < 16; i++) {
        mpk_heap_free(small[i]);
    }
    CHECK(mpk_group_alloc(60) == small[15] && small[15][0] == 0);
    mpk_heap_free(small[15]);
    large = mpk_group_alloc(8192 - 64 - 64);
    CHECK(large != NULL);
    CHECK(mpk_group_alloc(128) == NULL && mpk_group_alloc(64) != NULL);
    mpk_heap_free(large);
    mpk_group_close(f->group);
    return 0;
}

static int64_t twice(struct frame *f)
{
    char *p;

    CHECK(mpk_group_open(f->group) == 0);
    p = mpk_group_alloc(64);
    CHECK(p != NULL);
    mpk_heap_free(p);
    mpk_heap_free(p);
    return 0;
}

/* Some blocks of one stub, which nobody else writes to. */
static void use_blocks(uint64_t *random, uint64_t mine)
{
    uint64_t *block[12];
    size_t size[12], i;

    for (i = 0; i < 12; i++) {
        size[i] = 1 + (next_random(random) >> 40) % 40;
        block[i] = mpk_group_alloc(size[i] * 8);
        for (size_t j = 0; block[i] != NULL && j < size[i]; j++) {
            CHECK(block[i][j] == 0);
            block[i][j] = mine;
        }
    }
    while (i-- > 0) {
        for (size_t j = 0; block[i] != NULL && j < size[i]; j++) {
            CHECK(block[i][j] == mine);
        }
        mpk_heap_free(block[i]);
    }
}

static int64_t new_in_use(void)
{
    mpk_group_t first, second;
    void *p;

    CHECK(mpk_group_new(&first, 8192) == 0);
    CHECK(mpk_group_open(first) == 0);
    CHECK(mpk_heap_use(first) == 0);
    CHECK(mpk_group_new(&second, 8192) == 0);
    p = mpk_heap_alloc(64);
    CHECK(p != NULL && group_owns(p));
    mpk_group_close(first);
    CHECK(mpk_group_free(first) == 0 && mpk_group_free(second) == 0);
    return 0;
}

static int64_t hammer(struct frame *f)
{
    uint64_t random = f->value;

    CHECK(mpk_group_open(f->group) == 0);
    for (int i = 0; i < 100; i++) {
        use_blocks(&random, f->value);
    }
    mpk_group_close(f->group);
    return 0;
}

int64_t own_stub(struct frame *f)
{
    switch (f->what) {
    case KEPT:
        return kept(f);
    case TWICE:
        return twice(f);
    case NEW:
        return new_in_use();
    case HAMMER:
        return hammer(f);
    case KEEP:
        return hold(f, 1);
    case BESIDE:
        return free_beside(f);
    case APART:
        return apart(f);
    default:
        return -EINVAL;
    }
}

static struct frame many[1]; /* of which all have blocks */

static void *hammer_one(void *seed)
{
    uint64_t random = (uint64_t)(uintptr_t)seed;

    for (unsigned i = 0; i < scaled(500); i++) {
        struct frame f = many[0];

        f.value = next_random(&random) | 1;
        CHECK(call(HAMMER, &f) == 0);
    }
    return NULL;
}

static void test_a_block_is_one_stubs(const struct setup *s)
{
    struct frame f;
    pthread_t t[4];

    start(s);
    f = many[0] = made(1);
    for (uintptr_t i = 0; i < 4; i++) {
        pthread_create(&t[i], NULL, hammer_one, (void *)(i + 1));
    }
    for (unsigned i = 0; i < 4; i++) {
        pthread_join(t[i], NULL);
    }
    CHECK(call(KEPT, &f) == 0);
    CHECK(call(FREE, &f) == 0);
    f = made(1);
    CHECK(call(HAMMER, &f) == 0);
    /* And one that comes after it, with the same place in the table. */
    CHECK(call(FREE, &f) == 0);
    f = made(2);
    for (f.value = 1; f.value < 50; f.value++) {
        CHECK(call(HAMMER, &f) == 0);
    }
    CHECK(call(KEPT, &f) == 0);
}

static void *keeps(void *frame)
{
    CHECK(call(KEEP, frame) == 0);
    return NULL;
}

/* Of a group that somebody else has closed just when it is freed. One block was
 * seen to be given out twice. */
static void test_what_was_kept_goes_with_its_group(const struct setup *s)
{
    struct frame f, same;
    pthread_t t;
    int64_t err;

    start(s);
    f = same = made(1);
    pthread_create(&t, NULL, keeps, &same);
    while (atomic_load(&holding) == 0) {
        usleep(1000);
    }
    err = call(BESIDE, &f);
    atomic_store(&go[0], 1);
    pthread_join(t, NULL);
    CHECK(err == 0 || (err == -EBUSY && call(FREE, &f) == 0));
    f = made(1);
    CHECK(call(APART, &f) == 0);
}

static void give_back_twice(const struct setup *s)
{
    struct frame f;

    start(s);
    f = made(1);
    call(TWICE, &f);
}

static void test_a_block_is_given_back_once(const struct setup *s)
{
    struct outcome o = run_in_child(give_back_twice, s);

    CHECK(ended_by_fatal(&o, "no block of a page group"));
}

static void test_a_group_is_made_while_another_is_in_use(const struct setup *s)
{
    struct frame f = {0};

    start(s);
    CHECK(call(NEW, &f) == 0);
}

static const struct core_test tests[] = {
    TEST(test_a_block_is_one_stubs, ONE_MEMORY),
    TEST(test_what_was_kept_goes_with_its_group, ONE_MEMORY),
    TEST(test_a_block_is_given_back_once, ONE_MEMORY),
    TEST(test_a_group_is_made_while_another_is_in_use, ONE_MEMORY),
};

int main(void)
{
    return core_test_main(tests, COUNT_OF(tests));
}
