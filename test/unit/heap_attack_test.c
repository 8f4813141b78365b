/*
 * Misuse of the domain heap ends the process, with the message for it. Each
 * victim is a stub that returns only when the misuse went unseen.
 *
 * Seen to fail: small_free without the double-free check, without canary_check,
 * block_size without its test of the offset, huge_retire always true,
 * span_give without its check.
 */
#include "core_test.h"

#include "../../mpkcore/internal.h"

#include <mpkcore/heap.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DOUBLE_FREE "double free in the domain heap"
#define NO_BLOCK "a pointer that is no block of the domain heap"
#define OVERRUN "a block of the domain heap was written past its end"
#define DAMAGED "the domain heap's metadata is damaged"

enum { SMALL = 100, LARGE = 50000, HUGE_LEN = 3 << 20 };

static void *outside_block;

/* A compiler knows what free does to its argument. */
static char *hide(void *p)
{
    __asm__ volatile("" : "+r"(p));
    return p;
}

static void free_twice(size_t size)
{
    char *p = mpk_heap_alloc(size);

    mpk_heap_free(p);
    mpk_heap_free(hide(p));
}

static int64_t small_twice(void *frame)
{
    (void)frame;
    free_twice(SMALL);
    return 0;
}

static int64_t large_twice(void *frame)
{
    (void)frame;
    free_twice(LARGE);
    return 0;
}

static int64_t huge_twice(void *frame)
{
    (void)frame;
    free_twice(HUGE_LEN);
    return 0;
}

/* By then the block is back in its span, and the span may be free. */
static int64_t twice_with_others_between(void *frame)
{
    char *p[200];

    (void)frame;
    for (int i = 0; i < 200; i++) {
        p[i] = mpk_heap_alloc(SMALL);
    }
    for (int i = 0; i < 200; i++) {
        mpk_heap_free(p[i]);
    }
    mpk_heap_free(hide(p[0]));
    return 0;
}

static int64_t realloc_after_free(void *frame)
{
    char *p = mpk_heap_alloc(SMALL);

    (void)frame;
    mpk_heap_free(p);
    return mpk_heap_realloc(hide(p), SMALL * 10) == NULL;
}

static int64_t realloc_in_place_after_free(void *frame)
{
    char *p = mpk_heap_alloc(SMALL);

    (void)frame;
    mpk_heap_free(p);
    return mpk_heap_realloc(hide(p), SMALL) == NULL;
}

static int64_t free_outside(void *frame)
{
    (void)frame;
    mpk_heap_free(outside_block);
    return 0;
}

static int64_t free_stack(void *frame)
{
    mpk_heap_free(hide(frame));
    return 0;
}

static int64_t free_control(void *frame)
{
    (void)frame;
    mpk_heap_free(mpk_ro.domain);
    return 0;
}

static int64_t free_metadata(void *frame)
{
    (void)frame;
    mpk_heap_free(mpk_ro.heap);
    return 0;
}

static int64_t free_beyond_the_heap(void *frame)
{
    (void)frame;
    mpk_heap_free(mpk_ro.heap + (mpk_ro.chunks - 1) * MPK_CHUNK);
    return 0;
}

static int64_t free_middle_small(void *frame)
{
    (void)frame;
    mpk_heap_free((char *)mpk_heap_alloc(SMALL) + 16);
    return 0;
}

static int64_t free_middle_large(void *frame)
{
    (void)frame;
    mpk_heap_free((char *)mpk_heap_alloc(LARGE) + HEAP_SPAN);
    return 0;
}

static int64_t free_middle_huge(void *frame)
{
    (void)frame;
    mpk_heap_free((char *)mpk_heap_alloc(HUGE_LEN) + MPK_CHUNK);
    return 0;
}

static int64_t free_never_given_out(void *frame)
{
    char *p = mpk_heap_alloc(SMALL);

    (void)frame;
    mpk_heap_free(p + 20 * 112);
    return 0;
}

static int64_t size_of_outside(void *frame)
{
    (void)frame;
    return (int64_t)mpk_heap_usable(outside_block);
}

static void overrun(size_t size)
{
    char *p = hide(mpk_heap_alloc(size));

    p[mpk_heap_usable(p)] ^= 1;
    mpk_heap_free(p);
}

static int64_t small_overrun(void *frame)
{
    (void)frame;
    overrun(SMALL);
    return 0;
}

static int64_t large_overrun(void *frame)
{
    (void)frame;
    overrun(LARGE);
    return 0;
}

static int64_t huge_overrun(void *frame)
{
    (void)frame;
    overrun(HUGE_LEN);
    return 0;
}

static int64_t overrun_seen_by_realloc(void *frame)
{
    char *p = hide(mpk_heap_alloc(SMALL));

    (void)frame;
    p[mpk_heap_usable(p)] ^= 1;
    return mpk_heap_realloc(p, SMALL - 1) == NULL;
}

/* A run of bytes that starts before a block ends in its neighbour's canary. */
static int64_t underrun(void *frame)
{
    char *p[16];

    (void)frame;
    for (int i = 0; i < 16; i++) {
        p[i] = hide(mpk_heap_alloc(SMALL));
    }
    for (int i = 1; i < 16; i++) {
        p[i][-1] ^= 1;
    }
    for (int i = 0; i < 16; i++) {
        mpk_heap_free(p[i]);
    }
    return 0;
}

/* Blocks go back to their spans when a cache is full. */
static void give_back_after(void (*damage)(struct heap_span *span))
{
    char *p[200];

    for (int i = 0; i < 200; i++) {
        p[i] = mpk_heap_alloc(SMALL);
    }
    for (int i = 0; i < 200; i++) {
        damage(span_of(&mpk_ro.domain->heap, p[i]));
        mpk_heap_free(p[i]);
    }
}

static void clear_taken(struct heap_span *span)
{
    memset(span->taken, 0, sizeof(span->taken));
}

static void clear_used(struct heap_span *span)
{
    span->used = 0;
}

static int64_t give_back_what_was_not_taken(void *frame)
{
    (void)frame;
    give_back_after(clear_taken);
    return 0;
}

static int64_t give_back_to_an_unused_span(void *frame)
{
    (void)frame;
    give_back_after(clear_used);
    return 0;
}

static const struct victim {
    const char *name;
    int64_t (*stub)(void *frame);
    const char *message;
} victims[] = {
    {"small block freed twice", small_twice, DOUBLE_FREE},
    {"large block freed twice", large_twice, NO_BLOCK},
    {"huge block freed twice", huge_twice, NO_BLOCK},
    {"freed twice, others between", twice_with_others_between, ""},
    {"realloc of a freed block", realloc_after_free, DOUBLE_FREE},
    {"realloc in place of a freed block", realloc_in_place_after_free, ""},
    {"free of a block outside", free_outside, NO_BLOCK},
    {"free of a domain stack", free_stack, NO_BLOCK},
    {"free of the control block", free_control, NO_BLOCK},
    {"free of the heap's metadata", free_metadata, NO_BLOCK},
    {"free beyond the heap", free_beyond_the_heap, NO_BLOCK},
    {"free inside a small block", free_middle_small, NO_BLOCK},
    {"free inside a large block", free_middle_large, NO_BLOCK},
    {"free inside a huge block", free_middle_huge, NO_BLOCK},
    {"free of what was never given out", free_never_given_out, DOUBLE_FREE},
    {"size of a block outside", size_of_outside, NO_BLOCK},
    {"small block overrun", small_overrun, OVERRUN},
    {"large block overrun", large_overrun, OVERRUN},
    {"huge block overrun", huge_overrun, OVERRUN},
    {"overrun, then realloc", overrun_seen_by_realloc, OVERRUN},
    {"underrun", underrun, OVERRUN},
    {"a block that its span never gave", give_back_what_was_not_taken, DAMAGED},
    {"a block of an unused span", give_back_to_an_unused_span, DAMAGED},
};

static const struct victim *victim;

static void run_victim(const struct setup *s)
{
    const struct mpk_entry entries[] = {MPK_CORE_ENTRIES,
                                        {victim->stub, 0, MPK_KIND_STACK}};

    outside_block = malloc(SMALL);
    make_domain(s, entries, COUNT_OF(entries));
    mpk_call(MPK_ENTRY_FIRST, NULL);
}

static void test_misuse_ends_the_process(const struct setup *s)
{
    for (size_t i = 0; i < COUNT_OF(victims); i++) {
        struct outcome o;

        victim = &victims[i];
        o = run_in_child(run_victim, s);
        if (!ended_by_fatal(&o, victim->message)) {
            fprintf(stderr, "%s: ", victim->name);
            CHECK(!"ended by the message for it");
        }
    }
}

/* ---- two threads --------------------------------------------------------- */

struct pass_frame {
    void *p;
    size_t size;
};

static int64_t give_stub(void *frame)
{
    struct pass_frame *f = frame;

    f->p = mpk_heap_alloc(f->size);
    return 0;
}

static int64_t free_stub(void *frame)
{
    mpk_heap_free(((struct pass_frame *)frame)->p);
    return 0;
}

static const struct mpk_entry pass_entries[] = {
    MPK_CORE_ENTRIES,
    {give_stub, sizeof(struct pass_frame), MPK_KIND_STACK},
    {free_stub, sizeof(struct pass_frame), MPK_KIND_STACK},
};

static void *free_it(void *frame)
{
    mpk_call(MPK_ENTRY_FIRST + 1, frame);
    return NULL;
}

static size_t pass_size;

static void run_two_threads(const struct setup *s)
{
    struct pass_frame f = {NULL, pass_size};
    pthread_t thread[2];

    make_domain(s, pass_entries, COUNT_OF(pass_entries));
    mpk_call(MPK_ENTRY_FIRST, &f);
    for (int i = 0; i < 2; i++) {
        pthread_create(&thread[i], NULL, free_it, &f);
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(thread[i], NULL);
    }
}

static void test_two_threads_cannot_free_one_block(const struct setup *s)
{
    static const size_t sizes[] = {SMALL, LARGE, HUGE_LEN};

    for (unsigned i = 0; i < scaled(60); i++) {
        struct outcome o;

        pass_size = sizes[i % COUNT_OF(sizes)];
        o = run_in_child(run_two_threads, s);
        if (!ended_by_fatal(&o, "")) {
            fprintf(stderr, "%zu bytes: ", pass_size);
            CHECK(!"freed once");
        }
    }
}

int main(void)
{
    static const struct core_test tests[] = {
        TEST(test_misuse_ends_the_process, ONE_MEMORY),
        TEST(test_two_threads_cannot_free_one_block, ONE_MEMORY),
    };

    return core_test_main(tests, COUNT_OF(tests));
}
