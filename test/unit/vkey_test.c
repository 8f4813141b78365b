/* Page groups, as a program sees them, on each backend. */
#include "core_test.h"
#include "vkey_model.h"

#include "../../mpkcore/vkey.h"

#include <mpkcore/mpk.h>

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

/* ---- whether an access faults, and how ----------------------------------- */

static __thread sigjmp_buf after;
static __thread volatile int probing, seen_code, seen_key;

static void on_fault(int signo, siginfo_t *info, void *context)
{
    (void)context;
    if (!probing) {
        signal(signo, SIG_DFL);
        return;
    }
    seen_code = info->si_code;
    seen_key = info->si_code == SEGV_PKUERR ? (int)info->si_pkey : -1;
    siglongjmp(after, 1);
}

/* siglongjmp leaves the rights of the handler, which are those of nobody. */
static void keep_faults(void)
{
    struct sigaction a = {.sa_flags = SA_SIGINFO | SA_NODEFER};

    a.sa_sigaction = on_fault;
    sigaction(SIGSEGV, &a, NULL);
}

static bool touches(const volatile char *p, bool write)
{
    uint32_t rights = vk_ro.backend == MPK_BACKEND_MPK ? mpk_rights_get() : 0;
    bool ok = false;

    probing = 1;
    if (sigsetjmp(after, 0) == 0) {
        if (write) {
            __atomic_store_n((volatile char *)(uintptr_t)(p + 4000), 1,
                             __ATOMIC_RELAXED);
        } else {
            /* Others write there at the same time, as the model does. */
            (void)__atomic_load_n(p, __ATOMIC_RELAXED);
        }
        ok = true;
    }
    probing = 0;
    if (vk_ro.backend == MPK_BACKEND_MPK) {
        mpk_rights_set(~0U, rights);
    }
    return ok;
}

static int key_of(mpk_vkey_t vkey)
{
    return atomic_load(&vk_ro.view->row[vkey & (VK_ROWS - 1)].key);
}

/* The key that the pages of the group at |p| carry, -1 if none. */
static int key_at(const volatile char *p)
{
    for (unsigned i = 0; i < 256; i++) {
        if (vk_ro.view->row[i].base == p &&
            atomic_load(&vk_ro.view->row[i].vkey) != 0) {
            return atomic_load(&vk_ro.view->row[i].key);
        }
    }
    return -1;
}

static _Atomic unsigned faults_by_key, faults_without_key;

/* How often a group was given a key or lost it. */
static unsigned long long moves(void)
{
    struct mpk_stats st;

    CHECK(mpk_stats_get(&st) == 0);
    return (unsigned long long)st.loads + st.evictions;
}

/*
 * As the model asks. A fault must be by the key that the group has; while it
 * has none, by the domain's, or by page rights that all threads have. It is
 * left out when other threads move keys at the same time: the group may have
 * had one for just that moment.
 */
static bool allows(const volatile char *p, bool write)
{
    unsigned long long moved = moves();
    int before = key_at(p);
    bool ok = touches(p, write);

    if (ok || vk_ro.backend != MPK_BACKEND_MPK || key_at(p) != before ||
        moves() != moved) {
        return ok;
    }
    if (before > 0) {
        CHECK(seen_code == SEGV_PKUERR && seen_key == before);
        atomic_fetch_add(&faults_by_key, 1);
    } else {
        CHECK(seen_code == SEGV_ACCERR || seen_code == SEGV_MAPERR ||
              (seen_code == SEGV_PKUERR && seen_key == mpk_ro.pkey));
        atomic_fetch_add(&faults_without_key, 1);
    }
    return ok;
}

/* ---- making -------------------------------------------------------------- */

static struct mpk_params params;

static void start(const struct setup *s)
{
    int err;

    params.backend = s->backend;
    err = mpk_init(&params);
    if (err != 0) {
        fprintf(stderr, "mpk_init: %s\n", mpk_core_strerror(err));
        _exit(1);
    }
    keep_faults();
}

static char *group(mpk_vkey_t *vkey, size_t len, int prot)
{
    void *p = NULL;
    int err = mpk_mmap(vkey, &p, len, prot, ANON, -1, 0);

    if (err != 0) {
        fprintf(stderr, "mpk_mmap: %d\n", err);
        _exit(1);
    }
    return p;
}

/* ---- a program's view ---------------------------------------------------- */

static void test_a_group_is_open_between_begin_and_end(const struct setup *s)
{
    bool closes = s->backend != MPK_BACKEND_NONE;
    mpk_vkey_t vkey;
    char *p;

    start(s);
    p = group(&vkey, 8192, RW);
    CHECK(touches(p, false) == !closes);
    CHECK(mpk_begin(vkey, RW) == 0);
    CHECK(touches(p, true) && touches(p + 4096, true));
    p[0] = 42;
    CHECK(mpk_end(vkey) == 0);
    CHECK(touches(p, false) == !closes);
    CHECK(mpk_begin(vkey, PROT_READ) == 0);
    CHECK(touches(p, false) && p[0] == 42);
    CHECK(touches(p, true) == !closes);
    CHECK(mpk_end(vkey) == 0);
    CHECK(mpk_end(vkey) == -EPERM);
    CHECK(mpk_munmap(vkey) == 0);
    CHECK(mpk_begin(vkey, RW) == -ENOENT);
}

static void test_begins_nest(const struct setup *s)
{
    bool closes = s->backend != MPK_BACKEND_NONE;
    mpk_vkey_t a, b;
    char *pa, *pb;

    start(s);
    pa = group(&a, 4096, RW);
    pb = group(&b, 4096, RW);
    CHECK(mpk_begin(a, PROT_READ) == 0);
    CHECK(mpk_begin(b, RW) == 0);
    CHECK(mpk_begin(a, RW) == 0);
    CHECK(touches(pa, true) && touches(pb, true));
    CHECK(mpk_end(b) == -EPERM);
    CHECK(mpk_end(a) == 0);
    CHECK(touches(pa, false) && touches(pb, true));
    CHECK(touches(pa, true) == !closes);
    CHECK(mpk_end(b) == 0);
    CHECK(touches(pb, false) == !closes);
    CHECK(touches(pa, false));
    CHECK(mpk_end(a) == 0);
    CHECK(touches(pa, false) == !closes);
}

static uint32_t pins_on(int key)
{
    uint32_t n = 0;

    for (unsigned i = 0; i < VK_THREADS; i++) {
        n += atomic_load(&vk_ro.view->pin[key][i].count);
    }
    return n;
}

/* A row that says what the table said when the hit began, or says now. */
static int hit(const struct vk_row *row, mpk_vkey_t vkey, int key)
{
    unsigned i = 0;

    while (vk_ro.view->thread[i].tls != (uint64_t)(uintptr_t)vk_my_self()) {
        i++;
    }
    return mpk_rights_pin(vkey, row, key,
                          &vk_ro.window[(size_t)key * VK_THREADS + i]);
}

static void test_a_hit_that_comes_too_late_is_a_miss(const struct setup *s)
{
    struct vk_row late;
    mpk_vkey_t a, b;
    void *p = NULL, *q = NULL;
    int key;

    start(s);
    if (vk_ro.backend != MPK_BACKEND_MPK) {
        return;
    }
    CHECK(mpk_mmap(&a, &p, 4096, RW, ANON, -1, 0) == 0);
    CHECK(mpk_mmap(&b, &q, 4096, RW, ANON, -1, 0) == 0);
    CHECK(mpk_begin(b, RW) == 0 && mpk_begin(a, RW) == 0);
    CHECK(mpk_end(a) == 0 && mpk_end(b) == 0);
    key = key_of(b);
    memset(&late, 0, sizeof(late));
    /* The key of |b| was the one of |a|; or its row is another group's. */
    for (int i = 0; i < 2; i++) {
        atomic_store(&late.vkey, i == 0 ? a : b);
        atomic_store(&late.hit, i == 0 ? -1 : key);
        CHECK(hit(&late, a, key) == 0);
        CHECK(pins_on(key) == 0 && pins_on(key_of(a)) == 1);
        CHECK(!touches(q, false) && touches(p, true));
        CHECK(mpk_end(a) == 0 && pins_on(key_of(a)) == 0);
        CHECK(!touches(p, false));
    }
    atomic_store(&late.vkey, b);
    CHECK(hit(&late, b, key) == 0);
    CHECK(pins_on(key) == 1 && touches(q, true) && mpk_end(b) == 0);
}

static mpk_vkey_t interrupted;
static void *its_page;
static volatile sig_atomic_t handled;

/* A handler starts with every key closed. */
static void begin_in_handler(int signo)
{
    (void)signo;
    CHECK(mpk_begin(interrupted, RW) == 0);
    CHECK(pins_on(key_of(interrupted)) == 2);
    *(volatile char *)its_page = 2;
    CHECK(mpk_end(interrupted) == 0);
    handled = 1;
}

static void test_a_handler_begins_what_it_interrupts(const struct setup *s)
{
    struct sigaction a = {.sa_handler = begin_in_handler};

    start(s);
    if (vk_ro.backend != MPK_BACKEND_MPK) {
        return;
    }
    its_page = NULL;
    CHECK(mpk_mmap(&interrupted, &its_page, 4096, RW, ANON, -1, 0) == 0);
    CHECK(mpk_begin(interrupted, RW) == 0 && mpk_end(interrupted) == 0);
    CHECK(sigaction(SIGUSR1, &a, NULL) == 0);
    /* Open for writing, and for reading only: as it was after the handler. */
    for (int prot = RW; prot >= PROT_READ; prot -= PROT_WRITE) {
        handled = 0;
        CHECK(mpk_begin(interrupted, prot) == 0);
        raise(SIGUSR1);
        CHECK(handled && pins_on(key_of(interrupted)) == 1);
        CHECK(touches(its_page, false));
        CHECK(touches(its_page, true) == (prot == RW));
        CHECK(mpk_end(interrupted) == 0 && !touches(its_page, false));
        CHECK(pins_on(key_of(interrupted)) == 0);
    }
    /* A key that is closed by other means is open once more, not anew. */
    CHECK(mpk_begin(interrupted, RW) == 0);
    mpk_rights_set(0, VK_CLOSED << (2 * key_of(interrupted)));
    CHECK(mpk_begin(interrupted, RW) == 0 && touches(its_page, true));
    CHECK(pins_on(key_of(interrupted)) == 2);
    CHECK(mpk_end(interrupted) == 0 && mpk_end(interrupted) == 0);
    CHECK(pins_on(key_of(interrupted)) == 0 && !touches(its_page, false));
    /* One in the other, with other rights each time. */
    for (int i = 0; i < 16; i++) {
        for (int level = 0; level < 4; level++) {
            CHECK(mpk_begin(interrupted, i >> level & 1 ? RW : PROT_READ) == 0);
        }
        for (int level = 3; level >= 0; level--) {
            CHECK(touches(its_page, true) == (i >> level & 1));
            CHECK(mpk_end(interrupted) == 0);
        }
        CHECK(!touches(its_page, false));
    }
}

static void test_arguments_are_checked(const struct setup *s)
{
    void *p = NULL;
    mpk_vkey_t vkey;

    CHECK(mpk_begin(1, RW) == -ENXIO);
    CHECK(mpk_mprotect(1, RW) == -ENXIO);
    CHECK(mpk_free(1, NULL) == -ENXIO);
    start(s);
    CHECK(mpk_init(&params) == -EALREADY);
    CHECK(mpk_mmap(&vkey, &p, 0, RW, ANON, -1, 0) == -EINVAL);
    CHECK(mpk_mmap(&vkey, &p, SIZE_MAX, RW, ANON, -1, 0) == -ENOMEM);
    CHECK(mpk_mmap(&vkey, &p, SIZE_MAX, RW, ANON | MAP_NORESERVE, -1, 0) ==
          -ENOMEM);
    CHECK(mpk_mmap(&vkey, &p, 4096, 64, ANON, -1, 0) == -EINVAL);
    CHECK(mpk_mmap(&vkey, &p, 4096, RW, MAP_PRIVATE, -1, 0) == -EBADF);
    group(&vkey, 4096, PROT_READ);
    CHECK(mpk_begin(vkey, RW) == -EACCES);
    CHECK(mpk_begin(vkey, PROT_WRITE) == -EINVAL);
    CHECK(mpk_begin(vkey, 0) == -EINVAL);
    CHECK(mpk_mprotect(vkey, RW) == -EACCES);
    CHECK(mpk_mprotect(vkey, PROT_READ | PROT_GROWSDOWN) == -EINVAL);
}

static void *read_it(void *p)
{
    return (void *)(uintptr_t)(touches(p, false) + 2 * touches(p, true));
}

static long elsewhere(char *p)
{
    pthread_t t;
    void *ret;

    pthread_create(&t, NULL, read_it, p);
    pthread_join(t, &ret);
    return (long)(uintptr_t)ret;
}

static void test_mprotect_is_for_all_threads(const struct setup *s)
{
    bool closes = s->backend != MPK_BACKEND_NONE;
    mpk_vkey_t vkey;
    char *p;

    start(s);
    p = group(&vkey, 3 * 4096, RW);
    CHECK(elsewhere(p) == (closes ? 0 : 3));
    CHECK(mpk_mprotect(vkey, RW) == 0);
    CHECK(elsewhere(p) == 3 && touches(p, true));
    CHECK(mpk_begin(vkey, RW) == 0);
    CHECK(mpk_mprotect(vkey, PROT_READ) == 0); /* a right of all ends */
    CHECK(mpk_end(vkey) == 0);
    CHECK(elsewhere(p) == (closes ? 1 : 3));
    CHECK(mpk_begin(vkey, RW) == -EBUSY);
    CHECK(mpk_mprotect(vkey, PROT_NONE) == 0);
    CHECK(elsewhere(p) == (closes ? 0 : 3));
    CHECK(mpk_begin(vkey, RW) == 0);
    CHECK(mpk_mprotect(vkey, PROT_READ) == -EBUSY);
    CHECK(mpk_end(vkey) == 0);
}

static void test_who_may_write_may_read(const struct setup *s)
{
    mpk_vkey_t vkey;
    void *p = NULL;

    start(s);
    group(&vkey, 4096, RW);
    CHECK(mpk_malloc(vkey, &p, 64) == 0);
    CHECK(mpk_mprotect(vkey, PROT_WRITE) == 0);
    CHECK(touches(p, false) && touches(p, true));
    CHECK(mpk_begin(vkey, PROT_READ) == 0 && mpk_end(vkey) == 0);
    CHECK(mpk_begin(vkey, RW) == 0 && mpk_end(vkey) == 0);
    CHECK(mpk_free(vkey, p) == 0);
    /* Not with mpk_begin, where that is all that the group allows. */
    group(&vkey, 4096, PROT_WRITE);
    CHECK(mpk_mprotect(vkey, PROT_WRITE) == 0);
    CHECK(mpk_begin(vkey, PROT_READ) == -EACCES);
    CHECK(mpk_begin(vkey, RW) == -EACCES);
}

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

/* Whether a mapping of this process has |name|. Where a group was, a fault
 * would say less: another mapping may have its place, a sanitizer's does. */
static bool is_mapped(const char *name)
{
    FILE *f = fopen("/proc/self/maps", "r");
    bool found = false;
    char line[512];

    CHECK(f != NULL);
    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        found = found || strstr(line, name) != NULL;
    }
    if (f != NULL) {
        fclose(f);
    }
    return found;
}

static void test_a_file_in_a_group(const struct setup *s)
{
    int fd = memfd_create("file in a group", 0);
    mpk_vkey_t vkey;
    void *p = NULL;

    start(s);
    CHECK(write(fd, "hello", 5) == 5);
    CHECK(mpk_mmap(&vkey, &p, 5, PROT_READ, MAP_PRIVATE, fd, 0) == 0);
    CHECK(mpk_begin(vkey, PROT_READ) == 0);
    CHECK(memcmp(p, "hello", 5) == 0);
    CHECK(mpk_end(vkey) == 0);
    CHECK(is_mapped("file in a group"));
    CHECK(mpk_munmap(vkey) == 0);
    CHECK(!is_mapped("file in a group"));
}

/* ---- threads and processes ----------------------------------------------- */

static mpk_vkey_t shared[16];

static void *exits_pinned(void *how)
{
    for (int i = 0; i < 12; i++) {
        if (mpk_begin(shared[i], RW) != 0) {
            break;
        }
        if (i == MPK_NEST_MAX - 1 || (how != NULL && i == 0)) {
            break;
        }
    }
    if (how != NULL) {
        syscall(SYS_exit, 0); /* no destructor runs */
    }
    return NULL;
}

static void test_a_thread_that_ends_gives_back(const struct setup *s)
{
    pthread_t t;

    params.max_keys = 2;
    start(s);
    for (int i = 0; i < 16; i++) {
        group(&shared[i], 4096, RW);
    }
    pthread_create(&t, NULL, exits_pinned, NULL);
    pthread_join(t, NULL);
    for (int i = 0; i < 16; i++) {
        CHECK(mpk_begin(shared[i], RW) == 0);
        CHECK(mpk_end(shared[i]) == 0);
        CHECK(mpk_munmap(shared[i]) == 0);
    }
}

static void test_a_thread_that_dies_gives_back(const struct setup *s)
{
    pthread_t t[2];

    params.max_keys = 2;
    start(s);
    for (int i = 0; i < 16; i++) {
        group(&shared[i], 4096, RW);
    }
    for (int i = 0; i < 2; i++) {
        pthread_create(&t[i], NULL, exits_pinned, "killed");
        usleep(50000);
    }
    for (int i = 2; i < 16; i++) {
        CHECK(mpk_begin(shared[i], RW) == 0);
        CHECK(mpk_end(shared[i]) == 0);
    }
}

static void *begin_and_tell(void *done)
{
    CHECK(mpk_begin(shared[1], RW) == 0);
    atomic_store((_Atomic int *)done, 1);
    CHECK(mpk_end(shared[1]) == 0);
    return NULL;
}

/* Who waits asks again now and then, and does not wait for that moment. */
static bool somebody_waits(_Atomic int *done)
{
    while (atomic_load(&vk_ro.view->head.waiting) != 1 && !atomic_load(done)) {
        usleep(1000);
    }
    return !atomic_load(done);
}

/* As a child of fork has it: nobody does, whatever its parent's threads do. */
static int waiting_in_a_child(void)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        _exit((int)(atomic_load(&vk_ro.view->head.waiting) & 127));
    }
    CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void test_who_finds_no_key_waits_for_one(const struct setup *s)
{
    _Atomic int done = 0;
    pthread_t t;

    params.max_keys = 1;
    params.nest = 1;
    start(s);
    group(&shared[0], 4096, RW);
    group(&shared[1], 4096, RW);
    CHECK(mpk_begin(shared[0], RW) == 0);
    CHECK(mpk_begin(shared[1], RW) == -EDEADLK);
    pthread_create(&t, NULL, begin_and_tell, &done);
    for (int i = 0; i < 10; i++) {
        CHECK(somebody_waits(&done));
        CHECK(waiting_in_a_child() == 0);
    }
    CHECK(mpk_end(shared[0]) == 0);
    pthread_join(t, NULL);
    CHECK(atomic_load(&done));
}

static void in_child(char *p, mpk_vkey_t held, mpk_vkey_t other)
{
    mpk_vkey_t fresh;
    char *q;

    CHECK(touches(p, true) && p[1] == 7);
    p[1] = 8;
    CHECK(mpk_end(held) == 0);
    CHECK(mpk_begin(other, RW) == 0 && mpk_end(other) == 0);
    CHECK(mpk_munmap(other) == 0);
    q = group(&fresh, 4096, RW);
    CHECK(mpk_begin(fresh, RW) == 0);
    *q = 1;
    CHECK(mpk_end(fresh) == 0);
    _exit(failed_checks != 0);
}

static void test_a_child_of_fork_has_what_its_parent_had(const struct setup *s)
{
    mpk_vkey_t vkey, other;
    int status = -1;
    char *p;
    pid_t pid;

    start(s);
    p = group(&vkey, 4096, RW);
    group(&other, 4096, RW);
    CHECK(mpk_begin(vkey, RW) == 0);
    p[1] = 7;
    pid = fork();
    if (pid == 0) {
        in_child(p, vkey, other);
    }
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    CHECK(p[1] == 7);
    CHECK(mpk_end(vkey) == 0);
    CHECK(mpk_begin(other, RW) == 0 && mpk_end(other) == 0);
    CHECK(mpk_munmap(other) == 0 && mpk_munmap(vkey) == 0);
}

/* ---- many ---------------------------------------------------------------- */

static size_t resident_kib(void)
{
    char line[256];
    FILE *f = fopen("/proc/self/statm", "r");
    unsigned long all = 0, resident = 0;

    if (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        sscanf(line, "%lu %lu", &all, &resident);
        fclose(f);
    }
    return resident * 4;
}

static unsigned mappings(void)
{
    FILE *f = fopen("/proc/self/maps", "r");
    unsigned n = 0;
    int c;

    while (f != NULL && (c = getc(f)) != EOF) {
        n += c == '\n';
    }
    fclose(f);
    return n;
}

static void test_a_hundred_thousand_groups(const struct setup *s)
{
    /* Each call maps and unmaps where there are no keys. */
    unsigned n = scaled(s->backend == MPK_BACKEND_MPROTECT ? 10000 : 100000);
    mpk_vkey_t *vkey = calloc(n, sizeof(*vkey));
    char **p = calloc(n, sizeof(*p));
    struct mpk_stats st;
    unsigned at_start, apart;
    size_t before;

    start(s);
    before = resident_kib();
    at_start = mappings();
    for (unsigned i = 0; i < n; i++) {
        p[i] = group(&vkey[i], 4096, RW);
    }
    CHECK(mpk_stats_get(&st) == 0 && st.groups == n);
    CHECK(st.table_bytes <= (size_t)64 * n); /* as mpkcore(3) says */
    printf("     %u groups: %zu bytes of table for each, %.0f bytes resident\n",
           n, st.table_bytes / n,
           1024.0 * (double)(resident_kib() - before) / n);
    for (unsigned i = 0; i < n; i++) {
        CHECK(mpk_begin(vkey[i], RW) == 0);
        /* Where nothing is ever closed, those that are read again will do. */
        if (s->backend != MPK_BACKEND_NONE || i % 97 == 0) {
            *(unsigned *)p[i] = i;
        }
        CHECK(mpk_end(vkey[i]) == 0);
    }
    for (unsigned i = 0; i < n; i += 97) {
        CHECK(mpk_begin(vkey[i], PROT_READ) == 0);
        CHECK(*(unsigned *)p[i] == i);
        CHECK(mpk_end(vkey[i]) == 0);
    }
    printf("     %u mappings, %u at the start\n", mappings(), at_start);
    /* With keys the first of them stay mappings of their own. */
    apart = s->backend == MPK_BACKEND_MPK && n > VK_APART ? VK_APART : 0;
    CHECK(mappings() >= apart && mappings() < at_start + apart + 150);
    free(p);
    free(vkey);
}

/* ---- the model ----------------------------------------------------------- */

static void test_rights_are_the_models(const struct setup *s)
{
    struct world w = {.threads = 4,
                      .steps = scaled(20000),
                      .groups = 24,
                      .nest = 2,
                      .own_rights = s->backend == MPK_BACKEND_MPK,
                      .allows = allows};
    struct mpk_stats st;

    params.max_keys = 4;
    start(s);
    model_run(&w, say_seed());
    CHECK(mpk_stats_get(&st) == 0);
    printf("     %u steps, %llu loads, %llu evictions, %llu waits\n",
           w.steps * w.threads, (unsigned long long)st.loads,
           (unsigned long long)st.evictions, (unsigned long long)st.waits);
    if (w.own_rights) {
        printf("     %u faults by the group's key, %u of groups without one\n",
               atomic_load(&faults_by_key), atomic_load(&faults_without_key));
        CHECK(atomic_load(&faults_by_key) > 0);
        CHECK(atomic_load(&faults_without_key) > 0);
    }
}

static void test_a_fault_carries_the_groups_key(const struct setup *s)
{
    mpk_vkey_t vkey;
    char *p;

    start(s);
    p = group(&vkey, 4096, RW);
    CHECK(!touches(p, false) && seen_code == SEGV_PKUERR);
    CHECK(seen_key == mpk_ro.pkey); /* the group has none yet */
    CHECK(mpk_begin(vkey, RW) == 0);
    CHECK(mpk_end(vkey) == 0);
    CHECK(key_of(vkey) > 0);
    CHECK(!touches(p, false) && seen_code == SEGV_PKUERR);
    CHECK(seen_key == key_of(vkey));
    CHECK(mpk_begin(vkey, PROT_READ) == 0);
    CHECK(!touches(p, true) && seen_code == SEGV_PKUERR);
    CHECK(seen_key == key_of(vkey));
    CHECK(mpk_end(vkey) == 0);
    CHECK(elsewhere(p) == 0 && !touches(p, false));
}

static void test_keys_are_left_to_others(const struct setup *s)
{
    struct mpk_stats st;
    mpk_vkey_t vkey[20];
    int key;

    params.max_keys = 15;
    start(s);
    for (int i = 0; i < 20; i++) {
        group(&vkey[i], 4096, RW);
        CHECK(mpk_begin(vkey[i], RW) == 0);
        CHECK(mpk_end(vkey[i]) == 0);
    }
    CHECK(mpk_stats_get(&st) == 0 && st.keys >= 2 && st.keys < 14);
    key = pkey_alloc(0, 0);
    CHECK(key > 0);
    CHECK(pkey_alloc(0, 0) < 0);
}

/* A second library with the core in it: its domain's key, one for groups, and
 * the last one, which it leaves. */
static void test_by_default_a_second_domain_has_room(const struct setup *s)
{
    struct mpk_stats st;
    mpk_vkey_t vkey[20];

    start(s);
    for (int i = 0; i < 20; i++) {
        group(&vkey[i], 4096, RW);
        CHECK(mpk_begin(vkey[i], RW) == 0);
        CHECK(mpk_end(vkey[i]) == 0);
    }
    CHECK(mpk_stats_get(&st) == 0 && st.keys <= 11);
    for (int i = 0; i < 3; i++) {
        CHECK(pkey_alloc(0, 0) > 0);
    }
}

static const struct core_test tests[] = {
    TEST(test_a_group_is_open_between_begin_and_end, ONE_MEMORY),
    TEST(test_begins_nest, ONE_MEMORY),
    TEST(test_a_hit_that_comes_too_late_is_a_miss, ONE_MEMORY),
    TEST(test_a_handler_begins_what_it_interrupts, ONE_MEMORY),
    TEST(test_arguments_are_checked, ONE_MEMORY),
    TEST(test_mprotect_is_for_all_threads, ONE_MEMORY),
    TEST(test_who_may_write_may_read, ONE_MEMORY),
    TEST(test_blocks_of_a_group, ONE_MEMORY),
    TEST(test_blocks_fill_a_large_group, ONE_MEMORY),
    TEST(test_what_fits_is_found, ONE_MEMORY),
    TEST(test_a_block_costs_what_is_used, ONE_MEMORY | NOT_SANITIZED),
    TEST(test_a_file_in_a_group, ONE_MEMORY),
    TEST(test_a_thread_that_ends_gives_back, ONE_MEMORY),
    TEST(test_a_thread_that_dies_gives_back, ONE_MEMORY),
    TEST(test_who_finds_no_key_waits_for_one, ONE_MEMORY | NEEDS_KEYS),
    TEST(test_a_child_of_fork_has_what_its_parent_had, ONE_MEMORY),
    TEST(test_a_hundred_thousand_groups, ONE_MEMORY),
    TEST(test_rights_are_the_models, ONE_MEMORY),
    TEST(test_a_fault_carries_the_groups_key, ONE_MEMORY | NEEDS_KEYS),
    TEST(test_keys_are_left_to_others, ONE_MEMORY | NEEDS_KEYS),
    TEST(test_by_default_a_second_domain_has_room, ONE_MEMORY | NEEDS_KEYS),
};

int main(void)
{
    return core_test_main(tests, COUNT_OF(tests));
}
