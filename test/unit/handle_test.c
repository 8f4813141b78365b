/*
 * Handles under eight threads: an object is released once, never while it is
 * pinned, and an exclusive pin is exclusive; a stale or forged handle, or one
 * of another kind, finds nothing. What cannot be released when it ends is when
 * that is asked for, once.
 *
 * Seen to fail: the hammering without WORD_EXCLUSIVE's part in handle_pin's
 * condition, and with handle_free releasing while there are users; the wrap
 * without the comparison with UINT32_MAX in empty; what is late when its row is
 * given back all the same, and when it is not put off again.
 */
#include "core_test.h"

#include "../../provider/inside.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define THREADS 8
#define SHARED 16 /* handles that all threads use */

enum { OP_MIX = MPK_ENTRY_FIRST, OP_FORGE, OP_WRAP, OP_LATE, OP_FREE_LATE };

/* What an object holds here. */
struct payload {
    _Atomic uint32_t users, alone, released;
};

static _Atomic uint64_t shared[SHARED];
static _Atomic uint32_t wrong, pinned, busy, made, released;

/* Of this many releases one cannot be; 0: all can. */
static uint32_t refused_of;

/* handle.c's way to drop what an object holds. */
int object_release(struct object *o)
{
    static _Atomic uint32_t asked;
    struct payload *p = o->data;

    if (refused_of != 0 && atomic_fetch_add(&asked, 1) % refused_of == 0) {
        return 0;
    }
    if (p == NULL) {
        return 1;
    }
    if (atomic_load(&p->users) != 0 || atomic_load(&p->alone) != 0 ||
        atomic_fetch_add(&p->released, 1) != 0) {
        atomic_fetch_add(&wrong, 1);
    }
    atomic_fetch_add(&released, 1);
    mpk_heap_free(p);
    return 1;
}

static uint64_t new_handle(enum object_kind kind)
{
    uint64_t handle = 0;
    struct object *o = handle_new(kind, &handle);

    if (o == NULL) {
        return 0;
    }
    if (o->data != NULL || handle_pin(handle, kind, 0) != NULL) {
        atomic_fetch_add(&wrong, 1);
    }
    o->data = mpk_heap_alloc(sizeof(struct payload));
    atomic_fetch_add(&made, 1);
    handle_made(o, &handle, 1);
    return handle;
}

static void use(uint64_t handle, int exclusive)
{
    struct object *o = handle_pin(handle, OBJECT_CTX, exclusive);
    struct payload *p;

    if (o == NULL) {
        atomic_fetch_add(&busy, 1);
        return;
    }
    atomic_fetch_add(&pinned, 1);
    p = o->data;
    if (exclusive) {
        if (atomic_fetch_add(&p->alone, 1) != 0 ||
            atomic_load(&p->users) != 0) {
            atomic_fetch_add(&wrong, 1);
        }
        atomic_fetch_sub(&p->alone, 1);
    } else {
        atomic_fetch_add(&p->users, 1);
        if (atomic_load(&p->alone) != 0 || atomic_load(&p->released) != 0) {
            atomic_fetch_add(&wrong, 1);
        }
        atomic_fetch_sub(&p->users, 1);
    }
    handle_unpin(o);
}

/* Some of everything, many times. */
static int64_t mix_stub(void *frame)
{
    uint64_t random = *(uint64_t *)frame;

    for (unsigned i = 0; i < 400; i++) {
        uint64_t r = next_random(&random);
        _Atomic uint64_t *place = &shared[r % SHARED];

        switch (r >> 32 & 7) {
        case 0:
            handle_free(atomic_exchange(place, new_handle(OBJECT_CTX)),
                        OBJECT_CTX);
            break;
        case 1: /* wrong kind: nothing happens */
            handle_free(atomic_load(place), OBJECT_KEY);
            break;
        case 2:
        case 3:
            use(atomic_load(place), 1);
            break;
        case 4:
            handle_free_late();
            break;
        default:
            use(atomic_load(place), 0);
        }
    }
    return 0;
}

static int64_t forge_stub(void *frame)
{
    uint64_t handle = new_handle(OBJECT_KEY), old = handle;
    struct object *o;

    (void)frame;
    CHECK(handle_pin(0, OBJECT_KEY, 0) == NULL);
    CHECK(handle_pin(handle, OBJECT_CTX, 0) == NULL);
    CHECK(handle_pin(handle + (1ULL << 32), OBJECT_KEY, 0) == NULL);
    CHECK(handle_pin(handle - (1ULL << 32), OBJECT_KEY, 0) == NULL);
    CHECK(handle_pin((handle & ~0xffffffffULL) | 1ULL << 22, OBJECT_KEY, 0) ==
          NULL);
    CHECK(handle_pin(handle | 0xffffffff, OBJECT_KEY, 0) == NULL);
    CHECK(handle_pin(~0ULL, OBJECT_KEY, 0) == NULL);
    o = handle_pin(handle, OBJECT_KEY, 0);
    CHECK(o != NULL && handle_pin(handle, OBJECT_KEY, 0) == o);
    CHECK(handle_pin(handle, OBJECT_KEY, 1) == NULL);
    handle_unpin(o);
    handle_free(handle, OBJECT_KEY); /* one user is left */
    CHECK(o->data != NULL);
    CHECK(handle_pin(handle, OBJECT_KEY, 0) == NULL);
    handle_unpin(o);
    CHECK(o->data == NULL);
    handle = new_handle(OBJECT_KEY);
    CHECK((uint32_t)handle == (uint32_t)old && handle != old);
    CHECK(handle_pin(old, OBJECT_KEY, 0) == NULL);
    handle_free(handle, OBJECT_KEY);
    return 0;
}

/* What handle.c keeps behind an object: the word is the first thing. */
static void set_generation(struct object *o, uint32_t generation)
{
    _Atomic uint64_t *word = (_Atomic uint64_t *)(o + 1);

    atomic_store(word, (atomic_load(word) & 0xffffffffULL) |
                           (uint64_t)generation << 32);
}

static int64_t wrap_stub(void *frame)
{
    uint64_t handle = new_handle(OBJECT_KEY), last;
    struct object *o;

    (void)frame;
    o = handle_pin(handle, OBJECT_KEY, 0);
    set_generation(o, UINT32_MAX);
    handle_unpin(o);
    handle = last = (handle & 0xffffffffULL) | 0xffffffffULL << 32;
    o = handle_pin(handle, OBJECT_KEY, 1);
    CHECK(o != NULL);
    handle_unpin(o);
    handle_free(handle, OBJECT_KEY);
    CHECK(handle_pin(last, OBJECT_KEY, 0) == NULL);
    handle = new_handle(OBJECT_KEY);
    CHECK((uint32_t)handle != (uint32_t)last);
    return 0;
}

static int64_t late_stub(void *frame)
{
    uint64_t one = new_handle(OBJECT_KEY), two = new_handle(OBJECT_KEY), other;
    struct object *o = handle_pin(one, OBJECT_KEY, 0);
    uint32_t before = released;

    (void)frame;
    refused_of = 1;
    handle_free(one, OBJECT_KEY);
    handle_unpin(o);
    handle_free(two, OBJECT_KEY);
    handle_free_late();
    CHECK(released == before && o->data != NULL);
    CHECK(handle_pin(one, OBJECT_KEY, 0) == NULL);
    other = new_handle(OBJECT_KEY);
    CHECK((uint32_t)other != (uint32_t)one && (uint32_t)other != (uint32_t)two);
    refused_of = 0;
    handle_free_late();
    CHECK(released == before + 2 && o->data == NULL);
    handle_free_late();
    handle_free(other, OBJECT_KEY);
    CHECK(released == before + 3);
    return 0;
}

static int64_t free_late_stub(void *frame)
{
    (void)frame;
    handle_free_late();
    return 0;
}

static const struct mpk_entry entries[] = {
    MPK_CORE_ENTRIES,
    {mix_stub, sizeof(uint64_t), MPK_KIND_STACK},
    {forge_stub, 0, MPK_KIND_STACK},
    {wrap_stub, 0, MPK_KIND_STACK},
    {late_stub, 0, MPK_KIND_STACK},
    {free_late_stub, 0, MPK_KIND_STACK},
};

static void make(const struct setup *s)
{
    make_domain(s, entries, COUNT_OF(entries));
}

static void *hammer(void *arg)
{
    uint64_t seed = *(uint64_t *)arg;

    for (unsigned i = 0; i < scaled(200); i++) {
        uint64_t frame = next_random(&seed);

        CHECK(mpk_call(OP_MIX, &frame) == 0);
    }
    return NULL;
}

static void test_eight_threads_on_the_same_handles(const struct setup *s)
{
    pthread_t thread[THREADS];
    uint64_t seed[THREADS], first = say_seed();

    make(s);
    refused_of = 5;
    for (int i = 0; i < THREADS; i++) {
        seed[i] = next_random(&first);
        pthread_create(&thread[i], NULL, hammer, &seed[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(thread[i], NULL);
    }
    refused_of = 0;
    CHECK(mpk_call(OP_FREE_LATE, NULL) == 0);
    CHECK(wrong == 0);
    CHECK(pinned > 1000 && busy > 0 && released > 100);
    CHECK(made - released <= SHARED); /* those that are left */
}

static void test_forged_and_stale_handles_find_nothing(const struct setup *s)
{
    make(s);
    CHECK(mpk_call(OP_FORGE, NULL) == 0);
}

static void test_a_row_ends_with_its_last_generation(const struct setup *s)
{
    make(s);
    CHECK(mpk_call(OP_WRAP, NULL) == 0);
}

static void test_what_cannot_be_released_waits(const struct setup *s)
{
    make(s);
    CHECK(mpk_call(OP_LATE, NULL) == 0);
}

int main(void)
{
    static const struct core_test tests[] = {
        TEST(test_eight_threads_on_the_same_handles, ONE_MEMORY),
        TEST(test_forged_and_stale_handles_find_nothing, ONE_MEMORY),
        TEST(test_a_row_ends_with_its_last_generation, ONE_MEMORY),
        TEST(test_what_cannot_be_released_waits, ONE_MEMORY),
    };

    return core_test_main(tests, COUNT_OF(tests));
}
