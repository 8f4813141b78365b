#include "fork_cell.h"

#include "../../mpkcore/internal.h"

#include <mpkcore/heap.h>

#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    OP_NEW = MPK_ENTRY_FIRST,
    OP_GET,
    OP_SET,
    OP_WORK,
    OP_OPEN,
    OP_TAKE,
    OP_TAKE_LIGHT
};

struct cell_frame {
    uint64_t *cell; /* inside */
    uint64_t value;
};

static int64_t new_stub(void *frame)
{
    struct cell_frame *f = frame;

    f->cell = mpk_heap_alloc(sizeof(*f->cell));
    *f->cell = f->value;
    return 0;
}

static int64_t get_stub(void *frame)
{
    return (int64_t) * ((struct cell_frame *)frame)->cell;
}

static int64_t set_stub(void *frame)
{
    struct cell_frame *f = frame;

    *f->cell = f->value;
    return 0;
}

/* Stays inside for |value| milliseconds, with blocks and locks in use. */
static int64_t work_stub(void *frame)
{
    struct cell_frame *f = frame;
    volatile uint64_t mine = (uint64_t)(uintptr_t)&f;
    struct timespec now, end;

    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_nsec += (long)f->value * 1000000;
    do {
        void *p = mpk_heap_alloc(5000), *q = mpk_heap_alloc(50);

        mpk_heap_free(p);
        mpk_heap_free(q);
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((now.tv_sec - end.tv_sec) * 1000000000L + now.tv_nsec <
             end.tv_nsec);
    return mine != (uint64_t)(uintptr_t)&f;
}

/* |value| blocks of 8 KiB, for good. */
static int64_t take_stub(void *frame)
{
    struct cell_frame *f = frame;
    int64_t lacking = 0;

    for (uint64_t i = 0; i < f->value; i++) {
        lacking += mpk_heap_alloc(8192) == NULL;
    }
    return lacking;
}

static int64_t open_stub(void *frame)
{
    uint64_t parent = 1;

    (void)frame;
    while (atomic_load(mpk_ro.alive) != MPK_STATE_FORKING) {
    }
    return mpk_fork_stub(&parent);
}

static const struct mpk_entry entries[] = {
    MPK_CORE_ENTRIES,
    {new_stub, sizeof(struct cell_frame), MPK_KIND_STACK},
    {get_stub, sizeof(struct cell_frame), MPK_KIND_STACK},
    {set_stub, sizeof(struct cell_frame), MPK_KIND_STACK},
    {work_stub, sizeof(struct cell_frame), MPK_KIND_STACK},
    {open_stub, 0, MPK_KIND_STACK},
    {take_stub, sizeof(struct cell_frame), MPK_KIND_STACK},
    {take_stub, sizeof(struct cell_frame), MPK_KIND_LIGHT},
};

uint64_t *cell;

void make(const struct setup *s)
{
    struct cell_frame f = {NULL, 1};

    make_domain(s, entries, COUNT_OF(entries));
    CHECK(mpk_call(OP_NEW, &f) == 0);
    cell = f.cell;
}

/* ---- while fork is under way ---- */

void (*meanwhile)(void);
void (*in_parent)(void);

/* This thread has all signals blocked, another one would not. */
static void act(void)
{
    sigset_t fault;

    sigemptyset(&fault);
    sigaddset(&fault, SIGSEGV);
    if (meanwhile != NULL) {
        pthread_sigmask(SIG_UNBLOCK, &fault, NULL);
        meanwhile();
        pthread_sigmask(SIG_BLOCK, &fault, NULL);
    }
}

static void act_in_parent(void)
{
    if (in_parent != NULL) {
        in_parent();
    }
}

/* Handlers of prepare run last to first: this one after the core's. Those of
 * the parent run first to last. */
void make_with_company(const struct setup *s)
{
    CHECK(pthread_atfork(act, act_in_parent, NULL) == 0);
    make(s);
}

/* ---- by hand ---- */

/* One of them may have the lock, or fork. */
void forget_the_parents_threads(void)
{
    pthread_mutex_t fresh = PTHREAD_MUTEX_INITIALIZER;

    mpk_out.lock = fresh;
    mpk_out.forker = 0;
}

int64_t childs_step(void)
{
    struct {
        uint64_t step;
    } frame = {2};

    return mpk_call(1, &frame);
}

int64_t take_the_copies(void)
{
    forget_the_parents_threads();
    if (!map_stage_is_made() || !map_stage_adopt()) {
        return -1;
    }
    backend_child();
    return childs_step();
}

int64_t get(void)
{
    struct cell_frame f = {cell, 0};

    return mpk_call(OP_GET, &f);
}

void set(uint64_t value)
{
    struct cell_frame f = {cell, value};

    CHECK(mpk_call(OP_SET, &f) == 0);
}

void work_inside(uint64_t milliseconds)
{
    struct cell_frame f = {NULL, milliseconds};

    CHECK(mpk_call(OP_WORK, &f) == 0);
}

void take_blocks(uint64_t n)
{
    struct cell_frame f = {NULL, n};

    CHECK(mpk_call(OP_TAKE, &f) == 0);
}

void take_blocks_lightly(uint64_t n)
{
    struct cell_frame f = {NULL, n};

    CHECK(mpk_call(OP_TAKE_LIGHT, &f) == 0);
}

int64_t open_early(void)
{
    return mpk_call(OP_OPEN, NULL);
}

/* |pid| as the call that has made the child returned it. */
static pid_t run_if_child(pid_t pid, void (*body)(void))
{
    if (pid == 0) {
        failed_checks = 0;
        alarm(60);
        body();
        _exit(failed_checks != 0);
    }
    CHECK(pid > 0);
    return pid;
}

pid_t fork_to(void (*body)(void))
{
    return run_if_child(fork(), body);
}

pid_t clone_to(void (*body)(void))
{
    return run_if_child((pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0), body);
}

bool ended_well(pid_t pid)
{
    int status;

    return waitpid(pid, &status, 0) == pid && status == 0;
}

void use_everything(void)
{
    CHECK(get() == 1);
    work_inside(1);
    set(7);
    CHECK(get() == 7);
}

void use_no_domain(void)
{
    CHECK(mpk_out.dead != 0);
}
