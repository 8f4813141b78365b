/*
 * The domain heap gives out what it says: aligned, zeroed, nobody else's.
 *
 * Seen to fail: the wiping tests without the explicit_bzero of mpk_heap_free
 * and of small_free; the test for flat memory without span_release; the test
 * for growth when a chunk is committed as a whole, when a huge block begins
 * before the last chunk's end, and when spans that are not committed count;
 * the test for a huge block of ordinary memory when the last chunk's rest is
 * committed with it; the test for what is kept when it is not taken back, and
 * when only spans, or only this slot's blocks, are; the test for what others
 * gave back when a slot asks its own arena only.
 */
#include "core_test.h"

#include <mpkcore/heap.h>

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define MIB ((size_t)1 << 20)

enum {
    OP_SIZES = MPK_ENTRY_FIRST,
    OP_REALLOC,
    OP_HUGE,
    OP_WIPED,
    OP_LIMITS,
    OP_GROWTH,
    OP_MANY,
    OP_KEPT,
    OP_FULL,
    OP_HUNDRED,
    OP_EIGHT,
    OP_STEPS,
    OP_DROP
};

/* A loop, because a compiler that knows memcmp reasons about |len| - 1. */
static bool all_are(const void *p, int byte, size_t len)
{
    const unsigned char *c = p;

    for (size_t i = 0; i < len; i++) {
        if (c[i] != byte) {
            return false;
        }
    }
    return true;
}

/* ---- one block at a time ------------------------------------------------- */

static int64_t sizes_stub(void *frame)
{
    size_t before = 0;

    (void)frame;
    for (size_t size = 0; size <= 20000; size++) {
        char *p = mpk_heap_alloc(size);
        size_t usable = mpk_heap_usable(p);

        CHECK((uintptr_t)p % 16 == 0);
        CHECK(usable >= size && usable >= before);
        /* A class is a quarter of its power of two, a large block a span. */
        CHECK(usable <= (size <= 4088 ? size + size / 4 + 32 : size + 8192));
        CHECK(all_are(p, 0, usable));
        memset(p, 0xee, usable);
        mpk_heap_free(p);
        before = usable;
    }
    mpk_heap_free(NULL);
    return (int64_t)mpk_heap_live();
}

static void realloc_checked(char **p, size_t from, size_t to)
{
    char *q = mpk_heap_realloc(*p, to);
    size_t kept = from < to ? from : to;

    CHECK(q != NULL);
    CHECK(all_are(q, 0x77, kept));
    CHECK(all_are(q + kept, 0, mpk_heap_usable(q) - kept));
    memset(q, 0x77, to);
    *p = q;
}

static int64_t realloc_stub(void *frame)
{
    static const size_t sizes[] = {1,     40,    39,  24,      200,  4088, 4089,
                                   16376, 16377, 100, 2 * MIB, 5000, 0,    31,
                                   25,    1000,  999, 130,     64};
    size_t have = 0;
    char *p = NULL;

    (void)frame;
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        realloc_checked(&p, have, sizes[i]);
        have = sizes[i];
    }
    for (size_t size = have; size < 20000; size += 61) {
        realloc_checked(&p, have, size);
        have = size;
    }
    while (have > 0) {
        size_t size = have - (have < 97 ? have : 97);

        realloc_checked(&p, have, size);
        have = size;
    }
    mpk_heap_free(p);
    return (int64_t)mpk_heap_live();
}

static size_t committed(void)
{
    struct mpk_info info;

    CHECK(mpk_core_info(&info) == 0);
    return info.committed_secret + info.committed_anon;
}

static int64_t huge_stub(void *frame)
{
    size_t before = 0;

    (void)frame;
    for (int round = 0; round < 4; round++) {
        char *two = mpk_heap_alloc(2 * MIB), *seven = mpk_heap_alloc(7 * MIB);

        CHECK(two != NULL && seven != NULL);
        CHECK(mpk_heap_usable(two) >= 2 * MIB);
        CHECK(all_are(two, 0, mpk_heap_usable(two)));
        CHECK(all_are(seven, 0, mpk_heap_usable(seven)));
        CHECK(two + 2 * MIB <= seven || seven + 7 * MIB <= two);
        memset(two, 1, mpk_heap_usable(two));
        memset(seven, 2, mpk_heap_usable(seven));
        CHECK(all_are(two, 1, 2 * MIB));
        CHECK(round == 0 || committed() == before);
        before = committed();
        mpk_heap_free(two);
        mpk_heap_free(seven);
    }
    return (int64_t)mpk_heap_live();
}

#define SPANS ((size_t)16 << 10)
#define UNIT ((size_t)64 << 10)

/* Blocks of two spans each, |n| of them, in |block|; each step of growth is a
 * unit or an eighth of |heap|, the bytes that are committed of the heap. */
static void grow_by_spans(unsigned char **block, size_t n, size_t *heap)
{
    for (size_t i = 0; i < n; i++) {
        size_t before = committed(), step;

        block[i] = mpk_heap_alloc(SPANS - 8);
        CHECK(block[i] != NULL && all_are(block[i], 0, SPANS - 8));
        memset(block[i], (int)i + 1, SPANS - 8);
        step = committed() - before;
        CHECK(step <= UNIT || step <= *heap / 8 + UNIT);
        *heap += step;
    }
}

static int64_t growth_stub(void *frame)
{
    enum { FIRST = 70, MORE = 200 };
    unsigned char *block[FIRST + MORE], *huge;
    size_t heap = UNIT, before;

    (void)frame;
    grow_by_spans(block, FIRST, &heap);
    /* The first chunk is full, the second begun; little is not in use. */
    CHECK(heap < 2 * MIB && heap <= (FIRST + 6) * SPANS + 2 * UNIT);
    before = committed();
    huge = mpk_heap_alloc(MIB);
    CHECK(huge != NULL && all_are(huge, 0, mpk_heap_usable(huge)));
    memset(huge, 0xee, mpk_heap_usable(huge));
    /* The chunk is made whole, and two follow. */
    heap += committed() - before;
    CHECK(heap == 4 * MIB);
    grow_by_spans(block + FIRST, MORE, &heap);
    CHECK(all_are(huge, 0xee, mpk_heap_usable(huge)));
    mpk_heap_free(huge);
    for (size_t i = 0; i < FIRST + MORE; i++) {
        CHECK(
            all_are(block[i], (int)(i < FIRST ? i : i - FIRST) + 1, SPANS - 8));
        mpk_heap_free(block[i]);
    }
    return (int64_t)mpk_heap_live();
}

static int64_t eight_stub(void *frame)
{
    (void)frame;
    return mpk_heap_alloc(8 * MIB - 8) != NULL;
}

static int64_t wiped_stub(void *frame)
{
    static const size_t sizes[] = {1, 24, 100, 4000, 5000, 60000, 2 * MIB};

    (void)frame;
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        size_t len = sizes[i], whole;
        char *p = mpk_heap_alloc(len), *q;

        whole = mpk_heap_usable(p) + 8;
        memset(p, 0x77, len);
        mpk_heap_free(p);
        /* The memory stays mapped; what was there is gone, canary and all. */
        CHECK(all_are(p, 0, whole));

        p = mpk_heap_alloc(len);
        memset(p, 0x77, len);
        q = mpk_heap_realloc(p, 2 * len + 20000);
        CHECK(q != p);
        CHECK(all_are(p, 0, len));
        mpk_heap_free(q);
    }
    return 0;
}

static int64_t limits_stub(void *frame)
{
    volatile size_t most = SIZE_MAX;

    (void)frame;
    CHECK(mpk_heap_refused() == 0);
    CHECK(mpk_heap_alloc(most) == NULL);
    CHECK(mpk_heap_alloc(most - 7) == NULL);
    CHECK(mpk_heap_alloc((size_t)1 << 40) == NULL);
    CHECK(mpk_heap_alloc((size_t)4 << 30) == NULL);
    CHECK(mpk_heap_refused() == 4);

    char *p = mpk_heap_alloc(100);

    memset(p, 0x77, 100);
    CHECK(mpk_heap_realloc(p, most) == NULL);
    CHECK(all_are(p, 0x77, 100));
    CHECK(mpk_heap_refused() == 5);
    mpk_heap_free(p);
    return (int64_t)mpk_heap_live();
}

/* ---- many at once -------------------------------------------------------- */

#define HELD 128
#define SHARED 64

/* A block and what is in it. */
struct held {
    unsigned char *p;
    size_t len;
    unsigned char byte;
};

struct worker {
    uint64_t random;
    uint32_t steps;
    uint32_t largest_shift; /* sizes stay below 2 to this */
    struct held *held;      /* outside, HELD of them */
};

static struct held shared[SHARED];
static pthread_mutex_t shared_lock[SHARED];

static void let_go(struct held *h)
{
    if (h->p != NULL) {
        CHECK(all_are(h->p, h->byte, h->len));
        mpk_heap_free(h->p);
        h->p = NULL;
    }
}

static void take(struct held *h, struct worker *w)
{
    uint64_t r = next_random(&w->random);

    h->len = next_random(&w->random) & ((1ULL << r % w->largest_shift) - 1);
    h->byte = (unsigned char)(r >> 32 | 1);
    h->p = mpk_heap_alloc(h->len);
    CHECK(h->p != NULL && all_are(h->p, 0, mpk_heap_usable(h->p)));
    memset(h->p, h->byte, h->len);
}

static void resize(struct held *h, struct worker *w)
{
    size_t len = next_random(&w->random) % (2 * h->len + 2);
    size_t kept = len < h->len ? len : h->len;

    CHECK(all_are(h->p, h->byte, h->len));
    h->p = mpk_heap_realloc(h->p, len);
    CHECK(all_are(h->p, h->byte, kept));
    CHECK(all_are(h->p + kept, 0, len - kept));
    memset(h->p, h->byte, len);
    h->len = len;
}

/* So that blocks are freed by threads that did not allocate them. */
static void swap_with_others(struct held *h, uint32_t i)
{
    struct held mine = *h;

    pthread_mutex_lock(&shared_lock[i]);
    *h = shared[i];
    shared[i] = mine;
    pthread_mutex_unlock(&shared_lock[i]);
}

static int64_t steps_stub(void *frame)
{
    struct worker *w = frame;

    for (uint32_t i = 0; i < w->steps; i++) {
        uint64_t r = next_random(&w->random);
        struct held *h = &w->held[(r >> 8) % HELD];

        if (h->p == NULL) {
            take(h, w);
        } else if (r % 8 < 4) {
            let_go(h);
        } else if (r % 8 < 6 && h->len < 1 << 16) {
            resize(h, w);
        } else {
            swap_with_others(h, (uint32_t)(r >> 40) % SHARED);
        }
    }
    return 0;
}

/* Frees all of |held|; |steps| entries. */
static int64_t drop_stub(void *frame)
{
    struct worker *w = frame;

    for (uint32_t i = 0; i < w->steps; i++) {
        let_go(&w->held[i]);
    }
    return (int64_t)mpk_heap_live();
}

/* More than there is room for without growth. */
static int64_t many_stub(void *frame)
{
    int64_t n = 0;

    (void)frame;
    for (int i = 0; i < 400; i++) {
        n += mpk_heap_alloc(4000) != NULL;
    }
    return n;
}

/* Blocks of all sizes until there is no more, which then all go, in some order;
 * after that there is room for a large one, of half of what they had together.
 */
static int64_t kept_stub(void *frame)
{
    static void *block[16384];
    size_t n = 0, sum = 0, size = 24;
    uint64_t random = 1;

    (void)frame;
    while (n < COUNT_OF(block) && (block[n] = mpk_heap_alloc(size)) != NULL) {
        n++;
        sum += size;
        size = size < 3200 ? size + size / 4 : 24;
    }
    CHECK(n > 100 && n < COUNT_OF(block));
    while (n > 0) {
        size_t i = next_random(&random) % n;

        mpk_heap_free(block[i]);
        block[i] = block[--n];
    }
    block[0] = mpk_heap_alloc(sum / 2);
    CHECK(block[0] != NULL && all_are(block[0], 0, sum / 2));
    mpk_heap_free(block[0]);
    return (int64_t)mpk_heap_live();
}

static atomic_int is_full, has_tried;

static void let_go_of_list(void *list)
{
    while (list != NULL) {
        void *next = *(void **)list;

        mpk_heap_free(list);
        list = next;
    }
}

/* Blocks of one size until there is no more, half of which go, each between two
 * that stay. They are there until another thread has tried. */
static int64_t full_stub(void *frame)
{
    void *list[2] = {NULL, NULL}, *p;
    size_t n = 0;

    (void)frame;
    while ((p = mpk_heap_alloc(40)) != NULL) {
        *(void **)p = list[n % 2];
        list[n++ % 2] = p;
    }
    CHECK(n > 1000);
    let_go_of_list(list[0]);
    is_full = 1;
    while (!has_tried) {
        __builtin_ia32_pause();
    }
    let_go_of_list(list[1]);
    return (int64_t)mpk_heap_live();
}

/* More than a cache takes at once. */
static int64_t hundred_stub(void *frame)
{
    void *list = NULL;
    int64_t n;

    (void)frame;
    for (n = 0; n < 100; n++) {
        void *p = mpk_heap_alloc(40);

        if (p == NULL) {
            break;
        }
        *(void **)p = list;
        list = p;
    }
    let_go_of_list(list);
    return n;
}

static const struct mpk_entry entries[] = {
    MPK_CORE_ENTRIES,
    {sizes_stub, 0, MPK_KIND_STACK},
    {realloc_stub, 0, MPK_KIND_STACK},
    {huge_stub, 0, MPK_KIND_STACK},
    {wiped_stub, 0, MPK_KIND_STACK},
    {limits_stub, 0, MPK_KIND_STACK},
    {growth_stub, 0, MPK_KIND_STACK},
    {many_stub, 0, MPK_KIND_STACK},
    {kept_stub, 0, MPK_KIND_STACK},
    {full_stub, 0, MPK_KIND_STACK},
    {hundred_stub, 0, MPK_KIND_STACK},
    {eight_stub, 0, MPK_KIND_STACK},
    {steps_stub, sizeof(struct worker), MPK_KIND_STACK},
    {drop_stub, sizeof(struct worker), MPK_KIND_STACK},
};

struct load {
    uint64_t seed;
    uint32_t calls;
    uint32_t largest_shift;
};

static void *work(void *arg)
{
    const struct load *load = arg;
    struct held held[HELD] = {{0}};
    struct worker w = {load->seed, 100, load->largest_shift, held};

    for (uint32_t i = 0; i < load->calls; i++) {
        CHECK(mpk_call(OP_STEPS, &w) == 0);
    }
    w.steps = HELD;
    mpk_call(OP_DROP, &w);
    return NULL;
}

/* Four threads, each with |calls| times 100 steps; leaves nothing live. */
static void run_load(uint64_t seed, uint32_t calls, uint32_t largest_shift)
{
    struct worker rest = {.steps = SHARED, .held = shared};
    struct load load[4];
    pthread_t thread[4];

    for (unsigned i = 0; i < 4; i++) {
        load[i] = (struct load){seed + 2 * i, calls, largest_shift};
        pthread_create(&thread[i], NULL, work, &load[i]);
    }
    for (unsigned i = 0; i < 4; i++) {
        pthread_join(thread[i], NULL);
    }
    CHECK(mpk_call(OP_DROP, &rest) == 0);
}

/* ---- claims -------------------------------------------------------------- */

static void make(const struct setup *s)
{
    for (size_t i = 0; i < SHARED; i++) {
        pthread_mutex_init(&shared_lock[i], NULL);
    }
    make_domain(s, entries, COUNT_OF(entries));
}

static void
test_blocks_of_every_size_are_aligned_and_zero(const struct setup *s)
{
    make(s);
    CHECK(mpk_call(OP_SIZES, NULL) == 0);
    CHECK(mpk_call(OP_SIZES, NULL) == 0);
}

static void test_realloc_keeps_content_and_adds_zeros(const struct setup *s)
{
    make(s);
    CHECK(mpk_call(OP_REALLOC, NULL) == 0);
}

static void test_huge_blocks_are_used_again(const struct setup *s)
{
    make(s);
    CHECK(mpk_call(OP_HUGE, NULL) == 0);
}

static void test_the_heap_grows_by_what_is_needed(const struct setup *s)
{
    make(s);
    CHECK(mpk_call(OP_GROWTH, NULL) == 0);
}

/* One that is too large for secretmem takes nothing of the last chunk along. */
static void test_a_huge_block_of_ordinary_memory(const struct setup *s)
{
    struct mpk_info before, after;

    if (!become_nobody(8 * MIB)) {
        return;
    }
    make(s);
    CHECK(mpk_core_info(&before) == 0);
    CHECK(mpk_call(OP_EIGHT, NULL) == 1);
    CHECK(mpk_core_info(&after) == 0);
    if (before.committed_anon == 0) {
        CHECK(after.committed_secret == before.committed_secret + MIB - UNIT);
        CHECK(after.committed_anon == 8 * MIB);
    }
}

/* All that the limit leaves, but for less than a piece of the heap. */
static void lock_much(void)
{
    const size_t len = 4 * MIB, step = 65536;
    char *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    size_t locked = 0;

    CHECK(p != MAP_FAILED);
    while (locked < len && mlock(p + locked, step) == 0) {
        locked += step;
    }
    CHECK(locked > 0 && locked < len);
}

/* How much of the domain's range is mapped, with or without rights. */
static size_t covered(const struct mpk_info *info)
{
    uintptr_t base = (uintptr_t)info->base, end = base + info->size;
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512];
    size_t sum = 0;

    while (maps != NULL && fgets(line, sizeof(line), maps) != NULL) {
        uintptr_t from, to;

        if (sscanf(line, "%lx-%lx", &from, &to) == 2 && from < end &&
            to > base) {
            sum += (to < end ? to : end) - (from > base ? from : base);
        }
    }
    CHECK(maps != NULL);
    fclose(maps);
    return sum;
}

/* Nothing of the program's may come to be there. (AddressSanitizer lets nothing
 * be locked.) */
static void test_a_refused_growth_leaves_no_hole(const struct setup *s)
{
    struct mpk_info info;

    if (!become_nobody(2 * MIB)) {
        return;
    }
    make(s);
    CHECK(mpk_core_info(&info) == 0);
    lock_much();
    CHECK((mpk_call(OP_MANY, NULL) < 400) ==
          (s->memory == MPK_MEMORY_SECRETMEM));
    CHECK(covered(&info) == info.size);
}

/* Empty spans, and blocks of the caches, which are kept to be used again. */
static void test_what_is_kept_is_taken_back(const struct setup *s)
{
    if (s->memory != MPK_MEMORY_SECRETMEM || !become_nobody(2 * MIB)) {
        return;
    }
    make(s);
    CHECK(mpk_call(OP_KEPT, NULL) == 0);
    CHECK(mpk_call(OP_KEPT, NULL) == 0);
}

static void *fill_all(void *unused)
{
    (void)unused;
    CHECK(mpk_call(OP_FULL, NULL) == 0);
    return NULL;
}

/* The other thread is on another stack, whose arena has no block of this size.
 */
static void test_a_full_heap_has_what_others_gave_back(const struct setup *s)
{
    pthread_t thread;

    if (s->memory != MPK_MEMORY_SECRETMEM || !become_nobody(2 * MIB)) {
        return;
    }
    make(s);
    CHECK(pthread_create(&thread, NULL, fill_all, NULL) == 0);
    while (!is_full) {
        sched_yield();
    }
    CHECK(mpk_call(OP_HUNDRED, NULL) == 100);
    has_tried = 1;
    CHECK(pthread_join(thread, NULL) == 0);
}

static void test_freed_memory_is_wiped(const struct setup *s)
{
    make(s);
    CHECK(mpk_call(OP_WIPED, NULL) == 0);
}

static void test_too_much_is_refused(const struct setup *s)
{
    make(s);
    CHECK(mpk_call(OP_LIMITS, NULL) == 0);
}

static void test_random_use_by_threads_keeps_every_byte(const struct setup *s)
{
    uint64_t seed = say_seed();

    make(s);
    run_load(seed, scaled(260), 18);
    run_load(seed, scaled(4), 22);
}

/* The first rounds make the spans that each thread's slot likes to have. */
static void test_the_same_load_does_not_grow_the_heap(const struct setup *s)
{
    uint64_t seed = say_seed();
    struct mpk_info info;
    size_t early = 0, late;

    make(s);
    for (int round = 0; round < 50; round++) {
        run_load(seed, 2, 17);
        if (round == 9) {
            early = committed();
        }
    }
    late = committed();
    CHECK(mpk_core_info(&info) == 0);
    /* Threads may meet later than before: two chunks, and a stack for each. */
    CHECK(late <= early + 2 * MIB + 4 * 131072);
}

int main(void)
{
    static const struct core_test tests[] = {
        TEST(test_blocks_of_every_size_are_aligned_and_zero, ONE_MEMORY),
        TEST(test_realloc_keeps_content_and_adds_zeros, ONE_MEMORY),
        TEST(test_huge_blocks_are_used_again, NEEDS_LOCKING),
        TEST(test_the_heap_grows_by_what_is_needed, NEEDS_LOCKING),
        TEST(test_a_huge_block_of_ordinary_memory, ONE_MEMORY),
        TEST(test_a_refused_growth_leaves_no_hole, NOT_SANITIZED),
        TEST(test_what_is_kept_is_taken_back, NOT_SANITIZED),
        TEST(test_a_full_heap_has_what_others_gave_back, NOT_SANITIZED),
        TEST(test_freed_memory_is_wiped, NEEDS_LOCKING),
        TEST(test_too_much_is_refused, NEEDS_LOCKING),
        TEST(test_random_use_by_threads_keeps_every_byte, NEEDS_LOCKING),
        TEST(test_the_same_load_does_not_grow_the_heap, NEEDS_LOCKING),
    };

    return core_test_main(tests, COUNT_OF(tests));
}
