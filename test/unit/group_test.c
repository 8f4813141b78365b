/* Page groups of the inside: closed to every stub but the one that opened it.
 */
#include "core_test.h"

#include "../../mpkcore/group.h"
#include "../../mpkcore/lock.h"
#include "fail_syscall.h"
#include "group_spied.h"

#include <mpkcore/heap.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

struct frame {
    uint64_t what, group, other;
    volatile uint64_t *p;
    uint64_t value;
};

enum {
    MAKE,       /* a group, with a block that holds |value| */
    READ_OPEN,  /* the block, with |group| open */
    READ_SHUT,  /* the block, with |other| open if it is not 0 */
    LEAVE_OPEN, /* return with the group open */
    FREE,
    HEAP,   /* blocks of a group and of the heap, mixed */
    KEPT,   /* blocks that were given back, for larger ones */
    TWICE,  /* a block that was kept is given back again */
    HAMMER, /* blocks of a group that others have open as well */
    NEW,    /* a group is made while another one is in use */
    LARGE,  /* a group of LARGE_LEN bytes, with a block */
    HOLD,   /* the group is open until |go| says otherwise */
    KEEP,   /* the same, and a block of it was given back */
    BESIDE, /* FREE, which makes |go| say so before its second lock */
    APART,  /* no block of the group is another's */
    ALONE,  /* a group and no block */
    OPENED, /* |other| is freed, with |group| open */
    OTHER,  /* |other| is closed, with |group| open */
    SIZES,  /* groups of sizes that there are not */
};

#define LARGE_LEN ((size_t)16 << 20)

static _Atomic int holding, go[3];

static int64_t make(struct frame *f, size_t len)
{
    uint64_t *p;

    CHECK(mpk_group_new(&f->group, len) == 0);
    CHECK(mpk_group_open(f->group) == 0);
    CHECK(mpk_heap_use(f->group) == 0);
    p = mpk_heap_alloc(sizeof(*p));
    CHECK(p != NULL && group_owns(p));
    CHECK(*p == 0);
    *p = f->value;
    f->p = p;
    mpk_group_close(f->group);
    CHECK(mpk_heap_use(f->group) == -EPERM);
    return 0;
}

static int64_t read_open(struct frame *f)
{
    int err = mpk_group_open(f->group);

    if (err != 0) {
        return err;
    }
    CHECK(mpk_group_open(f->group) == -EBUSY);
    f->value = *f->p;
    mpk_group_close(f->group);
    return 0;
}

/* Whose group stays open until go[value - 1]. */
static int64_t hold(struct frame *f, int keeps)
{
    int err = mpk_group_open(f->group);

    if (err != 0) {
        return err;
    }
    if (keeps) {
        mpk_heap_free(mpk_group_alloc(64));
    }
    atomic_fetch_add(&holding, 1);
    while (!atomic_load(&go[f->value - 1])) {
        usleep(1000);
    }
    mpk_group_close(f->group);
    atomic_fetch_sub(&holding, 1);
    return 0;
}

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

static int64_t read_shut(struct frame *f)
{
    CHECK(f->other == 0 || mpk_group_open(f->other) == 0);
    f->value = *f->p;
    return 0;
}

static int64_t heap(struct frame *f)
{
    char *shared = mpk_heap_alloc(100), *mine, *more;

    CHECK(mpk_group_open(f->group) == 0);
    CHECK(mpk_heap_use(f->group) == 0);
    mine = mpk_heap_alloc(100);
    CHECK(group_owns(mine) && !group_owns(shared));
    CHECK(mpk_heap_usable(mine) == 128);
    memset(mine, 7, 128);
    more = mpk_heap_realloc(mine, 1000);
    CHECK(group_owns(more) && more[99] == 7 && more[500] == 0);
    CHECK(mine[0] == 0); /* wiped */
    CHECK(mpk_heap_alloc(8192) == NULL && mpk_heap_refused() == 0);
    mpk_heap_free(shared);
    CHECK(mpk_heap_use(0) == 0);
    shared = mpk_heap_alloc(100);
    CHECK(!group_owns(shared));
    mpk_heap_free(more);
    mpk_heap_free(shared);
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

static int64_t free_opened(struct frame *f)
{
    int err;

    CHECK(mpk_group_open(f->group) == 0);
    err = mpk_group_free(f->other);
    mpk_group_close(f->group);
    return err;
}

static int64_t close_other(struct frame *f)
{
    CHECK(mpk_group_open(f->group) == 0);
    mpk_group_close(f->other);
    return 0;
}

static int64_t sizes(void)
{
    mpk_group_t group;

    CHECK(mpk_group_new(&group, 0) == -EINVAL);
    CHECK(mpk_group_new(&group, SIZE_MAX) == -EINVAL);
    CHECK(mpk_group_new(&group, (size_t)1 << 60) == -EINVAL);
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

static int64_t stub(void *frame)
{
    struct frame *f = frame;

    switch (f->what) {
    case MAKE:
        return make(f, 8192);
    case LARGE:
        return make(f, LARGE_LEN);
    case READ_OPEN:
        return read_open(f);
    case READ_SHUT:
        return read_shut(f);
    case LEAVE_OPEN:
        return mpk_group_open(f->group);
    case FREE:
        return mpk_group_free(f->group);
    case HEAP:
        return heap(f);
    case KEPT:
        return kept(f);
    case TWICE:
        return twice(f);
    case NEW:
        return new_in_use();
    case HAMMER:
        return hammer(f);
    case HOLD:
        return hold(f, 0);
    case KEEP:
        return hold(f, 1);
    case BESIDE:
        return free_beside(f);
    case APART:
        return apart(f);
    case ALONE:
        return mpk_group_new(&f->group, 8192);
    case OPENED:
        return free_opened(f);
    case OTHER:
        return close_other(f);
    case SIZES:
        return sizes();
    default:
        return -EINVAL;
    }
}

static const struct mpk_entry entries[] = {
    MPK_CORE_ENTRIES, {stub, sizeof(struct frame), MPK_KIND_STACK}};

static uint32_t group_keys = 4;

static void start(const struct setup *s)
{
    struct mpk_config config = {.backend = s->backend,
                                .memory = s->memory,
                                .entries = entries,
                                .n_entries = COUNT_OF(entries),
                                .group_keys = group_keys};
    int err = mpk_core_init(&config);

    if (err != 0) {
        fprintf(stderr, "mpk_core_init: %d\n", err);
        _exit(1);
    }
}

static int64_t call(uint64_t what, struct frame *f)
{
    f->what = what;
    return mpk_call(MPK_ENTRY_FIRST, f);
}

static struct frame made(uint64_t value)
{
    struct frame f = {.value = value};

    CHECK(call(MAKE, &f) == 0);
    return f;
}

/* The key of the group's pages, as the kernel has it. */
static int key_of_page(pid_t pid, const void *p)
{
    char line[512];
    int key = -1;

    if (in_smaps(pid, p, "ProtectionKey:", line, sizeof(line))) {
        sscanf(line, "ProtectionKey: %d", &key);
    }
    return key;
}

static void test_who_opens_a_group_reads_it(const struct setup *s)
{
    struct frame a, b;

    start(s);
    a = made(1);
    b = made(2);
    a.value = b.value = 0;
    CHECK(call(READ_OPEN, &a) == 0 && a.value == 1);
    CHECK(call(READ_OPEN, &b) == 0 && b.value == 2);
    CHECK(call(HEAP, &a) == 0);
    CHECK(call(FREE, &a) == 0);
    CHECK(call(FREE, &a) == -ENOENT);
    CHECK(call(READ_OPEN, &a) == -ENOENT);
    CHECK(call(READ_OPEN, &b) == 0 && b.value == 2);
}

/* ---- with another group open, or none ------------------------------------ */

static void read_with_other_open(const struct setup *s)
{
    struct frame a, b;

    start(s);
    a = made(1);
    b = made(2);
    CHECK(call(READ_OPEN, &b) == 0);
    b.other = a.group;
    call(READ_SHUT, &b);
    _exit(55); /* read */
}

static void read_with_none_open(const struct setup *s)
{
    struct frame b;

    start(s);
    b = made(2);
    call(READ_SHUT, &b);
    _exit(55);
}

static void read_after_leaving_open(const struct setup *s)
{
    struct frame b;

    start(s);
    b = made(2);
    CHECK(call(LEAVE_OPEN, &b) == 0);
    call(READ_SHUT, &b);
    _exit(55);
}

/* With the group open that has the key that was this one's. */
static void read_evicted(const struct setup *s)
{
    struct frame b, other;

    group_keys = 1;
    start(s);
    b = made(2);
    other = made(3);
    CHECK(call(READ_OPEN, &b) == 0);
    b.other = other.group;
    call(READ_SHUT, &b);
    _exit(55);
}

/* What the kernel said of the fault that ended a child. */
struct seen {
    siginfo_t info;
    int page_key; /* that the page had */
    int status;
};

/*
 * Signals are blocked inside, so a fault there ends the process before a
 * handler can see it. A tracer does.
 */
static struct seen trace(child_body *body, const struct setup *s)
{
    struct seen seen = {.page_key = -1};
    pid_t pid = fork();

    if (pid == 0) {
        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        body(s);
        _exit(1);
    }
    while (waitpid(pid, &seen.status, 0) == pid && WIFSTOPPED(seen.status)) {
        int signo = WSTOPSIG(seen.status);

        ptrace(PTRACE_GETSIGINFO, pid, NULL, &seen.info);
        if (signo == SIGSEGV) {
            seen.page_key = key_of_page(pid, seen.info.si_addr);
        }
        ptrace(PTRACE_CONT, pid, NULL, (void *)(uintptr_t)signo);
    }
    return seen;
}

static void test_a_group_that_lost_its_key_is_shut(const struct setup *s)
{
    struct seen seen = trace(read_evicted, s);

    if (s->backend == MPK_BACKEND_NONE) {
        CHECK(WIFEXITED(seen.status) && WEXITSTATUS(seen.status) == 55);
        return;
    }
    CHECK(WIFSIGNALED(seen.status) && WTERMSIG(seen.status) == SIGSEGV);
    CHECK(seen.info.si_code == SEGV_ACCERR);
}

/* Its first page is a mapping of its own: that can be opened, the rest not. */
static void read_opened_in_part(const struct setup *s)
{
    struct setup anonymous = {s->backend, MPK_MEMORY_ANONYMOUS};
    struct frame b = {.value = 2}, other;

    group_keys = 1;
    start(&anonymous);
    CHECK(call(LARGE, &b) == 0);
    other = made(3);
    CHECK(call(READ_OPEN, &other) == 0); /* has the key, where there is one */
    CHECK(madvise((void *)(uintptr_t)b.p, 4096, MADV_DODUMP) == 0);
    /* No more than half of it can be opened. */
    limit_data(LARGE_LEN / 2);
    CHECK(call(READ_OPEN, &b) == -ENOMEM);
    b.other = other.group;
    if (failed_checks == 0) {
        call(READ_SHUT, &b);
        _exit(55);
    }
}

/* Seen to read with what undoes the first part left out (map_group_change). */
static void test_a_group_that_opens_in_part_is_shut(const struct setup *s)
{
    struct seen seen = trace(read_opened_in_part, s);

    CHECK(WIFSIGNALED(seen.status) && WTERMSIG(seen.status) == SIGSEGV);
    CHECK(seen.info.si_code == SEGV_ACCERR);
}

static void dies_of_the_key(child_body *body, const struct setup *s)
{
    struct seen seen = trace(body, s);

    if (s->backend == MPK_BACKEND_NONE) {
        CHECK(WIFEXITED(seen.status) && WEXITSTATUS(seen.status) == 55);
        return;
    }
    CHECK(WIFSIGNALED(seen.status) && WTERMSIG(seen.status) == SIGSEGV);
    if (s->backend == MPK_BACKEND_MPK) {
        CHECK(seen.info.si_code == SEGV_PKUERR);
        CHECK(seen.page_key > 1);
        CHECK((int)seen.info.si_pkey == seen.page_key);
    } else {
        CHECK(seen.info.si_code == SEGV_ACCERR);
    }
}

static void test_a_group_is_shut_while_another_is_open(const struct setup *s)
{
    dies_of_the_key(read_with_other_open, s);
}

static void test_a_group_is_shut_inside(const struct setup *s)
{
    dies_of_the_key(read_with_none_open, s);
}

static void test_the_gate_shuts_what_a_stub_leaves_open(const struct setup *s)
{
    dies_of_the_key(read_after_leaving_open, s);
}

static void test_without_keys_groups_are_the_domains(const struct setup *s)
{
    struct frame b;

    group_keys = 0;
    start(s);
    b = made(2);
    b.value = 0;
    CHECK(call(READ_SHUT, &b) == 0 && b.value == 2);
}

/* ---- many, by many ------------------------------------------------------- */

#define GROUPS 64

static struct frame many[GROUPS];

static void *use_them(void *seed)
{
    uint64_t random = (uint64_t)(uintptr_t)seed;

    for (unsigned i = 0; i < scaled(2000); i++) {
        unsigned n = (unsigned)(next_random(&random) >> 40) % GROUPS;
        struct frame f = many[n];

        f.value = 0;
        CHECK(call(READ_OPEN, &f) == 0);
        CHECK(f.value == n + 100);
    }
    return NULL;
}

static void test_more_stubs_than_keys_wait(const struct setup *s)
{
    pthread_t t[8];

    group_keys = 2;
    start(s);
    for (unsigned i = 0; i < GROUPS; i++) {
        many[i] = made(i + 100);
    }
    for (uintptr_t i = 0; i < 8; i++) {
        pthread_create(&t[i], NULL, use_them, (void *)(i + 77));
    }
    for (unsigned i = 0; i < 8; i++) {
        pthread_join(t[i], NULL);
    }
}

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

static void *holds(void *frame)
{
    CHECK(call(HOLD, frame) == 0);
    return NULL;
}

/* Its pages would be another's while somebody reads and writes them. */
static void test_a_group_that_is_open_is_not_freed(const struct setup *s)
{
    struct frame f, same;
    pthread_t t;

    start(s);
    f = same = made(1);
    f.other = f.group;
    CHECK(call(OPENED, &f) == -EBUSY);
    f.other = made(2).group; /* freeing it may wait, which nobody may here */
    CHECK(call(OPENED, &f) == -EBUSY);
    pthread_create(&t, NULL, holds, &same);
    while (atomic_load(&holding) == 0) {
        usleep(1000);
    }
    CHECK(call(FREE, &f) == -EBUSY);
    atomic_store(&go[0], 1);
    pthread_join(t, NULL);
    CHECK(call(READ_OPEN, &f) == 0 && f.value == 1);
    CHECK(call(FREE, &f) == 0);
    CHECK(call(FREE, &f) == -ENOENT);
    CHECK(call(SIZES, &f) == 0);
}

static void close_another(const struct setup *s)
{
    struct frame f;

    start(s);
    f = made(1);
    f.other = made(2).group;
    call(OTHER, &f);
}

static void test_only_what_is_open_is_closed(const struct setup *s)
{
    struct outcome o = run_in_child(close_another, s);

    CHECK(ended_by_fatal(&o, "a group that is not open"));
}

static void test_a_block_is_given_back_once(const struct setup *s)
{
    struct outcome o = run_in_child(give_back_twice, s);

    CHECK(ended_by_fatal(&o, "no block of a page group"));
}

static void test_a_forked_child_has_its_own(const struct setup *s)
{
    struct frame a;
    int status = -1;
    pid_t pid;

    start(s);
    a = made(5);
    pid = fork();
    if (pid == 0) {
        struct frame b = made(6);

        a.value = 0;
        CHECK(call(READ_OPEN, &a) == 0 && a.value == 5);
        CHECK(call(READ_OPEN, &b) == 0 && b.value == 6);
        CHECK(call(FREE, &a) == 0);
        _exit(failed_checks != 0);
    }
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    a.value = 0;
    CHECK(call(READ_OPEN, &a) == 0 && a.value == 5);
}

/* ---- side by side -------------------------------------------------------- */

static size_t mapping_around(const volatile void *p)
{
    unsigned long from, to, at = (unsigned long)(uintptr_t)p;
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512];
    size_t len = 0;

    while (maps != NULL && fgets(line, sizeof(line), maps) != NULL) {
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2 && at >= from &&
            at < to) {
            len = to - from;
        }
    }
    fclose(maps);
    return len;
}

static void closed_groups_are_mappings(const struct frame *f, unsigned n)
{
    for (unsigned i = 1; i + 1 < n; i++) {
        CHECK(mapping_around(f[i].p) == 8192);
    }
}

/* So that to open one divides none. In a child, too. */
static void test_neighbours_stay_mappings_of_their_own(const struct setup *s)
{
    struct frame f[6];
    int status = -1;
    pid_t pid;

    group_keys = 1;
    start(s);
    for (unsigned i = 0; i < 6; i++) {
        f[i] = made(i);
    }
    closed_groups_are_mappings(f, 5);
    pid = fork();
    if (pid == 0) {
        closed_groups_are_mappings(f, 6);
        _exit(failed_checks != 0);
    }
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    closed_groups_are_mappings(f, 6);
    CHECK(call(READ_OPEN, &f[2]) == 0 && f[2].value == 2);
    CHECK(call(READ_OPEN, &f[3]) == 0 && f[3].value == 3);
    closed_groups_are_mappings(f, 6);
}

/* ---- without a mapping --------------------------------------------------- */

/* Three neighbours are open, and the middle one is closed first. Seen to end
 * the process without the page between groups. */
static void test_groups_close_without_a_mapping(const struct setup *s)
{
    struct frame f[3];
    pthread_t t[3];

    start(s);
    for (unsigned i = 0; i < 3; i++) {
        f[i] = made(i + 1);
    }
    for (unsigned i = 0; i < 3; i++) {
        pthread_create(&t[i], NULL, holds, &f[i]);
    }
    while (atomic_load(&holding) < 3) {
        usleep(1000);
    }
    if (!take_all_mappings()) {
        puts("     too many mappings are allowed here");
    }
    for (unsigned i = 0; i < 3; i++) {
        atomic_store(&go[(i + 1) % 3], 1);
        pthread_join(t[(i + 1) % 3], NULL);
        CHECK(i == 2 || s->backend != MPK_BACKEND_MPROTECT ||
              (!readable((const void *)(uintptr_t)f[1].p) &&
               readable((const void *)(uintptr_t)f[0].p)));
    }
    give_mappings_back(100000);
    CHECK(call(READ_OPEN, &f[1]) == 0 && f[1].value == 2);
}

/* Pages that cannot be closed are given back, and counted no more. */
static void test_pages_for_groups_are_closed_or_none(const struct setup *s)
{
    struct setup anonymous = {s->backend, MPK_MEMORY_ANONYMOUS};
    struct mpk_info before = {0}, after = {0};
    struct frame f = {0};

    start(&anonymous);
    mpk_core_info(&before);
    CHECK(fail_closing(1, MPK_CHUNK, ENOMEM));
    for (int i = 0; i < 3; i++) {
        CHECK(call(ALONE, &f) == -ENOMEM);
        CHECK(!readable(mpk_ro.groups));
    }
    mpk_core_info(&after);
    CHECK(after.committed_anon - before.committed_anon < MPK_CHUNK);
}

static void test_a_group_is_made_while_another_is_in_use(const struct setup *s)
{
    struct frame f = {0};

    start(s);
    CHECK(call(NEW, &f) == 0);
}

/* Pages of the group that |f| has made by LARGE. */
static size_t resident(const struct frame *f)
{
    static unsigned char page[LARGE_LEN / 4096];
    size_t n = 0;

    CHECK(mincore((void *)(uintptr_t)f->p, LARGE_LEN, page) == 0);
    for (size_t i = 0; i < sizeof(page); i++) {
        n += page[i] & 1;
    }
    return n;
}

static void test_the_end_of_a_group_takes_no_memory(const struct setup *s)
{
    struct setup anonymous = {s->backend, MPK_MEMORY_ANONYMOUS};
    struct frame f = {.value = 2};
    size_t before;

    start(&anonymous);
    CHECK(call(LARGE, &f) == 0);
    before = resident(&f);
    CHECK(before < LARGE_LEN / 4096 / 16);
    CHECK(call(FREE, &f) == 0);
    CHECK(resident(&f) == before);
    f.value = 3;
    CHECK(call(LARGE, &f) == 0); /* of the same pages, and zero */
    CHECK(resident(&f) == before);
}

static const struct core_test tests[] = {
    TEST(test_who_opens_a_group_reads_it, EACH_MEMORY | NEEDS_LOCKING),
    TEST(test_a_group_is_shut_while_another_is_open, ONE_MEMORY),
    TEST(test_a_group_is_shut_inside, ONE_MEMORY),
    TEST(test_a_group_that_lost_its_key_is_shut, ONE_MEMORY),
    TEST(test_a_group_that_opens_in_part_is_shut,
         ONE_MEMORY | NEEDS_CLOSING | NOT_SANITIZED),
    TEST(test_the_gate_shuts_what_a_stub_leaves_open, ONE_MEMORY),
    TEST(test_without_keys_groups_are_the_domains, ONE_MEMORY | NEEDS_KEYS),
    TEST(test_more_stubs_than_keys_wait, ONE_MEMORY),
    TEST(test_a_block_is_one_stubs, ONE_MEMORY),
    TEST(test_what_was_kept_goes_with_its_group, ONE_MEMORY),
    TEST(test_a_group_that_is_open_is_not_freed, ONE_MEMORY),
    TEST(test_only_what_is_open_is_closed, ONE_MEMORY),
    TEST(test_a_block_is_given_back_once, ONE_MEMORY),
    TEST(test_a_group_is_made_while_another_is_in_use, ONE_MEMORY),
    TEST(test_the_end_of_a_group_takes_no_memory, ONE_MEMORY),
    TEST(test_neighbours_stay_mappings_of_their_own,
         EACH_MEMORY | NEEDS_KEYS | NEEDS_LOCKING),
    TEST(test_groups_close_without_a_mapping,
         EACH_MEMORY | NEEDS_LOCKING | NOT_SANITIZED),
    TEST(test_pages_for_groups_are_closed_or_none, ONE_MEMORY | NEEDS_CLOSING),
    TEST(test_a_forked_child_has_its_own, EACH_MEMORY | NEEDS_LOCKING),
};

int main(void)
{
    return core_test_main(tests, COUNT_OF(tests));
}
