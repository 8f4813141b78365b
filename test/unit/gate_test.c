/*
 * The gate keeps its contract: what it saves, wipes, copies and refuses.
 *
 * Seen to fail: the wiping tests without the vector wipe of gate.S and without
 * its last seven xorl; the frame test with the stub given |frame| in place of
 * |copy|; the signal test without block_signals; the lengths with one of the
 * steps of |copy| left out.
 */
#include "core_test.h"

#include "../../mpkcore/internal.h"
#include "../../mpkcore/x86_64/cpu.h"
#include "gate_abi.h"

#include <mpkcore/heap.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum {
    OP_FILL = MPK_ENTRY_FIRST,
    OP_ECHO,
    OP_WATCH,
    OP_LOOK,
    OP_SPIN,
    OP_BELOW,
    OP_COPY,
    N_OPS
};

#define FRAME_LEN 512

static int64_t fill_stub(void *frame)
{
    (void)frame;
    return abi_fill();
}

/* Returns the sum of the frame and turns each byte over. */
static int64_t echo_stub(void *frame)
{
    unsigned char *f = frame;
    int64_t sum = 0;

    for (size_t i = 0; i < FRAME_LEN; i++) {
        sum += f[i];
        f[i] = (unsigned char)~f[i];
    }
    return sum;
}

static volatile int watching;
static atomic_uint rewrites;

/* Says whether its frame changes while another thread writes to the caller's.*/
static int64_t watch_stub(void *frame)
{
    volatile unsigned char *f = frame;
    int64_t changes = 0;

    __atomic_store_n(&watching, 1, __ATOMIC_SEQ_CST);
    while (rewrites < 10) {
    }
    for (unsigned n = scaled(200000); n > 0; n--) {
        changes += f[n % FRAME_LEN] != 0x11;
    }
    __atomic_store_n(&watching, 2, __ATOMIC_SEQ_CST);
    return changes;
}

/* Reads so many bytes below its own frame. */
static int64_t below_stub(void *frame)
{
    const char *here = __builtin_frame_address(0);
    size_t by;

    memcpy(&by, frame, sizeof(by));
    return *(const volatile char *)(here - by);
}

struct look_frame {
    const void *p;
    size_t len;
    uint64_t in, out; /* results of copying */
    int64_t is_outside, is_inside;
};

static int64_t look_stub(void *frame)
{
    struct look_frame *f = frame;
    char *inside = mpk_heap_alloc(64);

    f->is_outside = mpk_is_outside(f->p, f->len);
    f->is_inside = mpk_is_inside(f->p, f->len);
    if (f->len <= 64 || !f->is_outside) {
        f->in = (uint64_t)mpk_copy_in(inside, f->p, f->len);
        f->out =
            (uint64_t)mpk_copy_out((void *)(uintptr_t)f->p, inside, f->len);
    }
    mpk_heap_free(inside);
    return 0;
}

#define LONGEST 300

struct copy_frame {
    const unsigned char *from;
    unsigned char *to;
    size_t len;
};

/* In, and out again, with room for a byte more on the way; says whether that
 * one stayed. */
static int64_t copy_stub(void *frame)
{
    struct copy_frame *f = frame;
    unsigned char *inside = mpk_heap_alloc(LONGEST + 1);
    int64_t ok;

    memset(inside, 0xee, LONGEST + 1);
    ok = mpk_copy_in(inside, f->from, f->len) == 0 && inside[f->len] == 0xee &&
         mpk_copy_out(f->to, inside, f->len) == 0;
    mpk_heap_free(inside);
    return ok;
}

static int64_t milliseconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static volatile int inside_now;

static int64_t spin_stub(void *frame)
{
    int64_t start = milliseconds();

    (void)frame;
    inside_now = 1;
    while (milliseconds() - start < 100) {
    }
    inside_now = 0;
    return mpk_is_inside_call();
}

static const struct mpk_entry entries[] = {
    MPK_CORE_ENTRIES,
    {fill_stub, 0, MPK_KIND_STACK},
    {echo_stub, FRAME_LEN, MPK_KIND_STACK},
    {watch_stub, FRAME_LEN, MPK_KIND_STACK},
    {look_stub, sizeof(struct look_frame), MPK_KIND_STACK},
    {spin_stub, 0, MPK_KIND_STACK},
    {below_stub, sizeof(size_t), MPK_KIND_STACK},
    {copy_stub, sizeof(struct copy_frame), MPK_KIND_STACK},
};

static void make(const struct setup *s)
{
    make_domain(s, entries, COUNT_OF(entries));
    abi_cpu = cpu_vectors();
}

/* ---- registers and stack ------------------------------------------------- */

static void open_domain(const struct setup *s)
{
    (void)s;
    backend_enter();
}

static void test_callee_saved_registers_are_kept(const struct setup *s)
{
    make(s);
    abi_call((void (*)(void))mpk_call, OP_FILL, NULL, 0);
    CHECK(abi_out.rax == ABI_SECRET);
    CHECK(abi_saved());
    open_domain(s);
    abi_call((void (*)(void))mpk_gate, OP_FILL, NULL, 0);
    CHECK(abi_out.rax == ABI_SECRET);
    CHECK(abi_saved());
}

static void test_abi_fill_does_fill(const struct setup *s)
{
    size_t width = 16;

    (void)s;
    abi_cpu = cpu_vectors();
    abi_call((void (*)(void))abi_fill, 0, NULL, 0);
    width = abi_cpu & MPK_CPU_AVX512 ? 64 : abi_cpu & MPK_CPU_AVX ? 32 : 16;
    CHECK(abi_out.rcx == ABI_SECRET && abi_out.r11 == ABI_SECRET);
    CHECK(abi_vectors.zmm[0][0] == 0xa5);
    CHECK(abi_vectors.zmm[15][width - 1] == 0xa5);
    CHECK(memchr(abi_stack, 0xa5, sizeof(abi_stack)) != NULL);
}

static void test_caller_saved_registers_are_wiped(const struct setup *s)
{
    make(s);
    open_domain(s);
    abi_call((void (*)(void))mpk_gate, OP_FILL, NULL, 0);
    CHECK(abi_out.rax == ABI_SECRET); /* the result */
    CHECK(abi_out.rdx == MPK_GATE_OK);
    CHECK(abi_out.rcx == 0 && abi_out.rsi == 0 && abi_out.rdi == 0);
    CHECK(abi_out.r8 == 0 && abi_out.r9 == 0);
    CHECK(abi_out.r10 == 0 && abi_out.r11 == 0);
    CHECK(abi_vectors_wiped());
}

/* And mpk_call, all of whose code is outside, can add nothing to it. */
static void test_nothing_is_left_after_a_call(const struct setup *s)
{
    make(s);
    abi_call((void (*)(void))mpk_call, OP_FILL, NULL, 0);
    CHECK(abi_out.rax == ABI_SECRET);
    CHECK(abi_vectors_wiped());
}

/* The result itself passes through the stack of mpk_call: one word or two. */
static void
test_the_stub_leaves_nothing_on_the_outside_stack(const struct setup *s)
{
    uint64_t word;

    make(s);
    open_domain(s);
    abi_call((void (*)(void))mpk_gate, OP_FILL, NULL, 0);
    for (size_t i = 0; i < sizeof(abi_stack); i += 8) {
        memcpy(&word, abi_stack + i, 8);
        CHECK(word == 0 || (uintptr_t)(abi_stack + i) == abi_in.rsp);
    }
    abi_call((void (*)(void))mpk_call, OP_FILL, NULL, 0);
    for (size_t i = 8; i < sizeof(abi_stack); i += 8) {
        CHECK(memcmp(abi_stack + i, abi_stack + i - 8, 8) != 0 ||
              abi_stack[i] != 0xa5);
    }
}

/* A push before the switch would be a write to a page that has none. */
static void test_nothing_is_pushed_on_the_outside_stack(const struct setup *s)
{
    uint64_t *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    make(s);
    page[0] = (uint64_t)(uintptr_t)abi_back;
    mprotect(page, 4096, PROT_READ);
    open_domain(s);
    abi_in =
        (struct abi_regs){.rdi = OP_FILL, .rsp = (uint64_t)(uintptr_t)page};
    abi_go((void (*)(void))mpk_gate);
    CHECK(abi_out.rax == ABI_SECRET && abi_out.rdx == MPK_GATE_OK);
}

/* ---- frames -------------------------------------------------------------- */

static void test_the_frame_goes_in_and_comes_back(const struct setup *s)
{
    unsigned char frame[FRAME_LEN + 16];

    make(s);
    memset(frame, 3, sizeof(frame));
    CHECK(mpk_call(OP_ECHO, frame) == 3 * FRAME_LEN);
    for (size_t i = 0; i < sizeof(frame); i++) {
        CHECK(frame[i] == (i < FRAME_LEN ? 0xfc : 3));
    }
}

static void test_copies_are_as_long_as_they_are_to_be(const struct setup *s)
{
    unsigned char from[LONGEST], to[LONGEST + 1];
    struct copy_frame f = {from, to, 0};

    make(s);
    for (size_t i = 0; i < sizeof(from); i++) {
        from[i] = (unsigned char)(i % 251);
    }
    for (; f.len <= LONGEST; f.len++) {
        memset(to, 0xdd, sizeof(to));
        CHECK(mpk_call(OP_COPY, &f) == 1);
        CHECK(memcmp(to, from, f.len) == 0 && to[f.len] == 0xdd);
    }
}

static void *rewrite_once_inside(void *frame)
{
    while (__atomic_load_n(&watching, __ATOMIC_SEQ_CST) == 0) {
    }
    while (__atomic_load_n(&watching, __ATOMIC_SEQ_CST) == 1) {
        memset(frame, 0x22, FRAME_LEN);
        rewrites++;
    }
    return NULL;
}

static void test_the_frame_cannot_change_inside(const struct setup *s)
{
    unsigned char frame[FRAME_LEN];
    pthread_t thread;

    make(s);
    memset(frame, 0x11, sizeof(frame));
    pthread_create(&thread, NULL, rewrite_once_inside, frame);
    CHECK(mpk_call(OP_WATCH, frame) == 0);
    pthread_join(thread, NULL);
}

static void test_forged_numbers_are_refused(const struct setup *s)
{
    static const uint32_t forged[] = {N_OPS, N_OPS + 1, 0x7fffffff, 0x80000000,
                                      0xffffffff};
    unsigned char frame[FRAME_LEN] = {0};

    make(s);
    for (size_t i = 0; i < COUNT_OF(forged); i++) {
        CHECK(mpk_call(forged[i], frame) == -ENOSYS);
    }
    open_domain(s);
    CHECK(mpk_gate(0x100000000ULL + OP_ECHO, frame, 0).value == -ENOSYS);
    CHECK(mpk_gate(~0ULL, frame, 0).value == -ENOSYS);
}

/* Its length. */
static size_t where_the_domain_is(uintptr_t *base, uintptr_t *end)
{
    struct mpk_info info;

    CHECK(mpk_core_info(&info) == 0);
    *base = (uintptr_t)info.base;
    *end = *base + info.size;
    return info.size;
}

static void test_frames_that_touch_the_domain_are_refused(const struct setup *s)
{
    uintptr_t base, end;
    size_t size;

    make(s);
    size = where_the_domain_is(&base, &end);
    const uintptr_t bad[] = {0,
                             base,
                             base - 1,
                             base - FRAME_LEN + 1,
                             end - 1,
                             end - FRAME_LEN,
                             base + size / 2,
                             UINTPTR_MAX,
                             UINTPTR_MAX - FRAME_LEN + 2};

    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        CHECK(mpk_call(OP_ECHO, (void *)bad[i]) == -EFAULT);
    }
    CHECK(mpk_call(1, (void *)base) == -EFAULT);
}

static struct look_frame look(uintptr_t p, size_t len)
{
    struct look_frame f = {.p = (const void *)p, .len = len};

    CHECK(mpk_call(OP_LOOK, &f) == 0);
    return f;
}

static bool refused(uintptr_t p, size_t len)
{
    struct look_frame f = look(p, len);

    return !f.is_outside && f.in == (uint64_t)-EFAULT &&
           f.out == (uint64_t)-EFAULT;
}

static void test_outside_ends_where_the_domain_begins(const struct setup *s)
{
    uintptr_t base, end;
    size_t size;
    char mine[64] = "mine";

    make(s);
    size = where_the_domain_is(&base, &end);
    CHECK(look((uintptr_t)mine, sizeof(mine)).is_outside);
    CHECK(strcmp(mine, "mine") == 0);
    CHECK(look(base - 65, 65).is_outside);
    CHECK(look(end, 65).is_outside);
    CHECK(refused(base - 64, 65) && refused(base, 1) && refused(end - 1, 1));
    CHECK(refused(end - 1, 65) && refused(base - 8, size + 16));
    CHECK(refused(0, 1) && refused(1, SIZE_MAX));
    CHECK(refused(UINTPTR_MAX, 1) && refused(UINTPTR_MAX - 7, 9));
    CHECK(look(UINTPTR_MAX - 127, 127).is_outside);
    CHECK(refused(end, SIZE_MAX) && refused(end, SIZE_MAX - end + 1));
    CHECK(look(base, 0).is_outside && look(0, 0).is_outside);
    CHECK(look(base, 0).in == 0 && look(0, 0).out == 0);
}

static void test_inside_is_all_of_it_or_not(const struct setup *s)
{
    uintptr_t base, end;
    size_t size;

    make(s);
    size = where_the_domain_is(&base, &end);
    CHECK(look(base, 1).is_inside && look(base, size).is_inside);
    CHECK(look(end - 64, 64).is_inside && look(end - 1, 1).is_inside);
    CHECK(!look(end - 64, 65).is_inside && !look(end, 65).is_inside);
    CHECK(!look(base - 1, 2).is_inside && !look(0, SIZE_MAX).is_inside);
    CHECK(!look(base, size + 1).is_inside);
    CHECK(!look(end - 8, SIZE_MAX).is_inside);
}

/* ---- signals ------------------------------------------------------------- */

static volatile unsigned handled, handled_inside;

static void count_signal(int signo)
{
    (void)signo;
    handled++;
    handled_inside += inside_now || mpk_is_inside_call();
}

static size_t how_far;

static void reach_below(const struct setup *s)
{
    make(s);
    open_domain(s);
    mpk_gate(OP_BELOW, &how_far, 0);
}

/* Of two stacks, this is the upper one. Seen to fail with a guard of a page. */
static void
test_a_large_frame_does_not_reach_the_next_stack(const struct setup *s)
{
    const size_t bottom = MPK_SLOT_SIZE - MPK_SLOT_GUARD - MPK_SLOT_CTRL;

    for (how_far = bottom; how_far < bottom + 16 * MPK_PAGE;
         how_far += MPK_PAGE) {
        struct outcome o = run_in_child(reach_below, s);

        CHECK(o.signo == SIGSEGV);
    }
    how_far = bottom - MPK_PAGE;
    CHECK(run_in_child(reach_below, s).status == 0);
}

static void test_no_handler_runs_inside(const struct setup *s)
{
    struct itimerval each_ms = {{0, 1000}, {0, 1000}}, never = {{0, 0}, {0, 0}};
    struct sigaction action = {.sa_handler = count_signal};

    make(s);
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &each_ms, NULL);
    for (int i = 0; i < 5; i++) {
        CHECK(mpk_call(OP_SPIN, NULL) == 1);
    }
    setitimer(ITIMER_REAL, &never, NULL);
    CHECK(handled >= 5); /* one waits at each call's end */
    CHECK(handled_inside == 0);
}

static void test_the_signal_mask_comes_back(const struct setup *s)
{
    sigset_t set, after;

    make(s);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_SETMASK, &set, NULL);
    CHECK(mpk_call(OP_FILL, NULL) == (int64_t)ABI_SECRET);
    sigprocmask(SIG_SETMASK, NULL, &after);
    CHECK(sigismember(&after, SIGUSR2) == 1);
    CHECK(sigismember(&after, SIGUSR1) == 0);
}

/* ---- other keys ---------------------------------------------------------- */

static uint32_t rdpkru(void)
{
    uint32_t value;

    __asm__ volatile("rdpkru" : "=a"(value) : "c"(0) : "rdx");
    return value;
}

static void test_the_rights_of_other_keys_stay(const struct setup *s)
{
    int other = pkey_alloc(0, 0);

    make(s);
    CHECK(other > 0);
    for (unsigned rights = 0; rights < 4; rights++) {
        uint32_t before;

        CHECK(pkey_set(other, rights) == 0);
        before = rdpkru();
        CHECK(mpk_call(OP_FILL, NULL) == (int64_t)ABI_SECRET);
        CHECK(rdpkru() == before);
        CHECK(pkey_get(other) == (int)rights);
    }
}

int main(void)
{
    static const struct core_test tests[] = {
        TEST(test_abi_fill_does_fill, ONE_MEMORY),
        TEST(test_callee_saved_registers_are_kept, ONE_MEMORY),
        TEST(test_caller_saved_registers_are_wiped, ONE_MEMORY),
        TEST(test_nothing_is_left_after_a_call, ONE_MEMORY),
        TEST(test_the_stub_leaves_nothing_on_the_outside_stack, ONE_MEMORY),
        TEST(test_nothing_is_pushed_on_the_outside_stack, ONE_MEMORY),
        TEST(test_the_frame_goes_in_and_comes_back, 0),
        TEST(test_copies_are_as_long_as_they_are_to_be, ONE_MEMORY),
        TEST(test_the_frame_cannot_change_inside, ONE_MEMORY | NOT_TSAN),
        TEST(test_forged_numbers_are_refused, ONE_MEMORY),
        TEST(test_frames_that_touch_the_domain_are_refused, ONE_MEMORY),
        TEST(test_outside_ends_where_the_domain_begins, ONE_MEMORY),
        TEST(test_inside_is_all_of_it_or_not, ONE_MEMORY),
        TEST(test_a_large_frame_does_not_reach_the_next_stack,
             ONE_MEMORY | NOT_SANITIZED),
        TEST(test_no_handler_runs_inside, ONE_MEMORY),
        TEST(test_the_signal_mask_comes_back, ONE_MEMORY),
        TEST(test_the_rights_of_other_keys_stay, ONE_MEMORY | NEEDS_KEYS),
    };

    return core_test_main(tests, COUNT_OF(tests));
}
