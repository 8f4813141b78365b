/*
 * What a light entry takes of the heap, and gives back, is what it has asked
 * for, whatever others write to its stack meanwhile.
 *
 * Seen to fail: with heap_do on the caller's stack; the last without the look
 * at the stack in mpk_group_new, mpk_group_open and mpk_group_free.
 */
#include "core_test.h"
#include "light_entry.h"

#include "../../mpkcore/internal.h"

#include <mpkcore/group.h>
#include <mpkcore/heap.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <ucontext.h>
#include <unistd.h>

enum {
    OP_TAKE = MPK_ENTRY_FIRST,
    OP_GIVE,
    OP_HOLD_HEAP,
    OP_BLOCKS,
    OP_SOUND,
    OP_GROUP,
    OP_GROUP_LIGHT
};

/* No other number there is one of these, but for the class by chance. */
enum { SPANS = 113, FEWER = 109, MORE = 117, CLASS = 26, OTHER_CLASS = 0 };
enum { BLOCK = 4096 - HEAP_CANARY, BLOCKS = 100, REACH = 1024 };

static volatile uintptr_t stub_at;
static volatile int is_met, is_handled, is_rewritten;
static size_t asked_for;
static volatile uint32_t looked_for, put_there;
static char *taken, *block[BLOCKS];

static int64_t take_stub(void *frame)
{
    (void)frame;
    stub_at = (uintptr_t)__builtin_frame_address(0);
    taken = mpk_heap_alloc(asked_for);
    return taken != NULL;
}

static int64_t give_stub(void *frame)
{
    (void)frame;
    stub_at = (uintptr_t)__builtin_frame_address(0);
    mpk_heap_free(taken);
    return 1;
}

/* Nobody takes or gives a span before |is_rewritten|, and who wants to has gone
 * to sleep when |is_met|. */
static int64_t hold_heap_stub(void *frame)
{
    struct lock *lock = &mpk_ro.domain->heap.lock;

    (void)frame;
    lock_take(lock);
    __atomic_store_n(&holding, 1, __ATOMIC_SEQ_CST);
    while (atomic_load(&lock->word) != 2) {
    }
    __atomic_store_n(&is_met, 1, __ATOMIC_SEQ_CST);
    while (!__atomic_load_n(&is_rewritten, __ATOMIC_SEQ_CST)) {
    }
    lock_give(lock);
    return 0;
}

static int64_t blocks_stub(void *frame)
{
    (void)frame;
    for (size_t i = 0; i < BLOCKS; i++) {
        block[i] = mpk_heap_alloc(BLOCK);
    }
    return 0;
}

/* Whether all blocks are as long as they should be, and apart. */
static int64_t sound_stub(void *frame)
{
    bool ok = taken == NULL || mpk_heap_usable(taken) >= asked_for;

    (void)frame;
    for (size_t i = 0; i < BLOCKS; i++) {
        ok = ok && mpk_heap_usable(block[i]) >= BLOCK;
        ok = ok && (taken == NULL || block[i] + BLOCK <= taken ||
                    block[i] >= taken + asked_for);
        for (size_t k = 0; k < i; k++) {
            ok = ok &&
                 (block[i] + BLOCK <= block[k] || block[k] + BLOCK <= block[i]);
        }
    }
    return ok;
}

struct group_frame {
    mpk_group_t group;
    int made, opened, freed;
};

static int64_t group_stub(void *frame)
{
    struct group_frame *f = frame;

    f->made = mpk_group_new(&f->group, MPK_PAGE);
    f->opened = mpk_group_open(f->group);
    if (f->opened == 0) {
        mpk_group_close(f->group);
    }
    f->freed = mpk_group_free(f->group);
    return 0;
}

static const struct mpk_entry entries[] = {
    MPK_CORE_ENTRIES,
    {take_stub, 0, MPK_KIND_LIGHT},
    {give_stub, 0, MPK_KIND_LIGHT},
    {hold_heap_stub, 0, MPK_KIND_STACK},
    {blocks_stub, 0, MPK_KIND_STACK},
    {sound_stub, 0, MPK_KIND_STACK},
    {group_stub, sizeof(struct group_frame), MPK_KIND_STACK},
    {group_stub, sizeof(struct group_frame), MPK_KIND_LIGHT},
};

static void *hold_heap(void *arg)
{
    (void)arg;
    mpk_call(OP_HOLD_HEAP, NULL);
    return NULL;
}

static void wait_for(volatile int *what)
{
    while (!__atomic_load_n(what, __ATOMIC_SEQ_CST)) {
        usleep(100);
    }
}

/* A signal's frame has the registers that are not on the stack yet. */
static void on_signal(int sig, siginfo_t *info, void *context)
{
    gregset_t *reg = &((ucontext_t *)context)->uc_mcontext.gregs;

    (void)sig;
    (void)info;
    for (size_t i = 0; i < COUNT_OF(*reg); i++) {
        if ((*reg)[i] == looked_for) {
            (*reg)[i] = put_there;
        }
    }
    __atomic_store_n(&is_handled, 1, __ATOMIC_SEQ_CST);
}

/* Below the stub, where what it calls keeps registers. */
static void rewrite_stack(void)
{
    volatile uint32_t *at = (volatile uint32_t *)stub_at;

    for (size_t i = 1; i <= REACH / sizeof(*at); i++) {
        if (at[-(ptrdiff_t)i] == looked_for) {
            at[-(ptrdiff_t)i] = put_there;
        }
    }
}

/* A thread that has signals blocked does not come to the handler. */
static void *rewrite(void *arg)
{
    wait_for(&is_met);
    rewrite_stack();
    pthread_kill(*(pthread_t *)arg, SIGUSR1);
    for (int i = 0; i < 100 && !is_handled; i++) {
        usleep(1000);
    }
    __atomic_store_n(&is_rewritten, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

/* Calls |op| while another thread puts |to| where |from| is in its frames. */
static void call_while_rewritten(uint32_t op, uint32_t from, uint32_t to)
{
    const struct sigaction action = {.sa_sigaction = on_signal,
                                     .sa_flags = SA_SIGINFO | SA_RESTART};
    pthread_t holder, writer, self = pthread_self();

    looked_for = from;
    put_there = to;
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    pthread_create(&holder, NULL, hold_heap, NULL);
    wait_for(&holding);
    pthread_create(&writer, NULL, rewrite, &self);
    CHECK(mpk_call(op, NULL) == 1);
    pthread_join(writer, NULL);
    pthread_join(holder, NULL);
    CHECK(is_handled); /* if only afterwards */
}

static void take_while_rewritten(const struct setup *s, size_t size,
                                 uint32_t from, uint32_t to)
{
    make_domain(s, entries, COUNT_OF(entries));
    asked_for = size;
    call_while_rewritten(OP_TAKE, from, to);
    mpk_call(OP_BLOCKS, NULL);
    CHECK(mpk_call(OP_SOUND, NULL) == 1);
}

static void take_spans(const struct setup *s)
{
    take_while_rewritten(s, SPANS * HEAP_SPAN - HEAP_CANARY, SPANS, FEWER);
}

static void take_a_block(const struct setup *s)
{
    take_while_rewritten(s, BLOCK, CLASS, OTHER_CLASS);
}

/* What lies behind those spans is others'. */
static void give_spans(const struct setup *s)
{
    make_domain(s, entries, COUNT_OF(entries));
    asked_for = SPANS * HEAP_SPAN - HEAP_CANARY;
    CHECK(mpk_call(OP_TAKE, NULL) == 1);
    mpk_call(OP_BLOCKS, NULL);
    call_while_rewritten(OP_GIVE, SPANS, MORE);
    taken = NULL;
    CHECK(mpk_call(OP_SOUND, NULL) == 1);
}

static void in_a_child(void (*body)(const struct setup *),
                       const struct setup *s)
{
    struct outcome o;

    if (light(s)) {
        o = run_in_child(body, s);
        CHECK(o.status == 0);
    }
}

static void test_it_is_as_long_as_was_asked_for(const struct setup *s)
{
    in_a_child(take_spans, s);
}

static void test_it_is_of_the_class_that_was_asked_for(const struct setup *s)
{
    in_a_child(take_a_block, s);
}

static void test_no_more_than_it_had_is_given_back(const struct setup *s)
{
    in_a_child(give_spans, s);
}

static void test_it_has_no_page_group(const struct setup *s)
{
    struct group_frame f;

    make_domain(s, entries, COUNT_OF(entries));
    CHECK(mpk_call(OP_GROUP, &f) == 0);
    CHECK(f.made == 0 && f.opened == 0 && f.freed == 0);
    CHECK(mpk_call(OP_GROUP_LIGHT, &f) == 0);
    if (light(s)) {
        CHECK(f.made == -EPERM && f.opened == -EPERM && f.freed == -EPERM);
    }
}

int main(void)
{
    static const struct core_test tests[] = {
        TEST(test_it_is_as_long_as_was_asked_for, ONE_MEMORY | NOT_SANITIZED),
        TEST(test_it_is_of_the_class_that_was_asked_for,
             ONE_MEMORY | NOT_SANITIZED),
        TEST(test_no_more_than_it_had_is_given_back,
             ONE_MEMORY | NOT_SANITIZED),
        TEST(test_it_has_no_page_group, ONE_MEMORY),
    };

    return core_test_main(tests, COUNT_OF(tests));
}
