/*
 * fork.c - a child of fork has a domain of its own, with the same keys in it.
 *
 * Anonymous pages are copied by the kernel, secretmem pages are shared. So
 * before the fork, with every other thread kept out, the secretmem pages are
 * copied aside; the child puts the copies over the originals before anything
 * runs in it, and the parent drops them. Nobody being inside also means that
 * no lock of the inside is held across the fork.
 */
#include "group.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum fork_step { FORK_PREPARE, FORK_PARENT, FORK_CHILD };

struct fork_frame {
    uint64_t step;
};

_Static_assert(sizeof(struct fork_frame) == MPK_FORK_FRAME_LEN, "as declared");
_Static_assert(sizeof(struct map_stage) <= MPK_PAGE, "has a page to itself");

/* ---- inside ------------------------------------------------------------- */

static void add_span(struct map_stage *stage, char *start, size_t len)
{
    struct map_span *last = stage->n > 0 ? &stage->span[stage->n - 1] : NULL;

    stage->len += len;
    if (last != NULL && last->start + last->len == start &&
        start != mpk_ro.groups) {
        last->len += len;
        return;
    }
    if (stage->n == MAP_STAGE_SPANS) {
        mpk_fatal("the domain is in too many pieces to fork");
    }
    stage->span[stage->n].start = start;
    stage->span[stage->n++].len = len;
}

static void list_secret_spans(struct mpk_domain *d, struct map_stage *stage,
                              uint32_t slots)
{
    memset(stage, 0, sizeof(*stage));
    stage->slots = slots;
    for (uint32_t i = 0; i < slots; i++) {
        if (mpk_ro.memory != MPK_MEMORY_ANONYMOUS) {
            add_span(stage, slot_low(i), SLOT_MAPPED);
        }
    }
    if (mpk_ro.control_kind == MAP_SECRET) {
        add_span(stage, (char *)d, MPK_CONTROL_SIZE);
    }
    heap_list_secret(&d->heap, stage, add_span);
    group_fork_open(stage, add_span);
}

/* For somebody else to get on, whatever our priority: who yields goes on before
 * everybody of a lower one. Both sides. libc's is a cancellation point. */
static void pause_a_little(unsigned times)
{
    /* Who has waited for 5 ms can wait for another one. */
    const struct timespec pause = {0, times < 100 ? 50000 : 1000000};

    syscall(SYS_nanosleep, &pause, NULL);
}

/* First for who makes a stack: there are no more after that. */
static void wait_until_alone(void)
{
    struct mpk_slot *self = mpk_slot_self();

    _Static_assert(MPK_CORE_SLOT == 0, "comes first");
    for (uint32_t i = 0; i < slots_there(); i++) {
        struct mpk_slot *slot = slot_ctrl(i);
        unsigned times = 0;
        uint64_t by;

        while (slot != self && (by = atomic_load(&slot->busy)) != 0) {
            /* It is below us, and waits for us. Its heap may be in pieces. */
            if (by == slot_claim()) {
                mpk_fatal("a signal handler forks in the middle of an "
                          "operation in the domain");
            }
            pause_a_little(times++);
        }
        GATE_ACQUIRE(slot);
    }
}

/*
 * In the child nobody else is inside, but slots can look busy: those that were
 * claimed for a moment by threads that then found the door shut, or that fork
 * too.
 */
static void free_slots(void)
{
    struct mpk_slot *self = mpk_slot_self();
    uint32_t slots = mpk_ro.stage->slots;

    for (uint32_t i = 0; i < slots; i++) {
        struct mpk_slot *slot = slot_ctrl(i);

        if (slot != self) {
            atomic_store(&slot->light_rsp, 0);
            atomic_store(&slot->busy, 0);
        }
    }
}

static void prepare(void)
{
    struct mpk_domain *d = mpk_ro.domain;
    struct map_stage stage;

    wait_until_alone();
    list_secret_spans(d, &stage, slots_there());
    if (d->vk_fork != NULL && !d->vk_fork->prepare()) {
        mpk_notice_due(MPK_NOTICE_NO_COPY_MEMORY);
        stage.slots = 0; /* a child has no domain */
    }
    map_stage_make(&stage);
    group_fork_close();
    atomic_store(&d->fork_prepared, 1);
}

/* Returns 0 when the child cannot have all of it. */
static int child(void)
{
    free_slots();
    atomic_fetch_add(&mpk_ro.domain->forks, 1);
    group_fork_child();
    return mpk_ro.domain->vk_fork == NULL || mpk_ro.domain->vk_fork->child();
}

/* A list that is here all the same is its parent's, whose child has what is on
 * it: nobody else is to put it in place. */
static int64_t without_domain(void)
{
    if (map_stage_is_shown() && !map_stage_drop()) {
        mpk_fatal("the list of what fork copies cannot be dropped");
    }
    return -ENXIO;
}

/* The state says which step is due, whatever the frame asks for. */
int64_t mpk_fork_stub(void *frame)
{
    struct fork_frame *f = frame;
    uint32_t due = MPK_STATE_OPEN;
    int whole;

    /* Nothing goes back: a frame may be where another thread's copies come to
     * be, and would undo eight bytes of them. */
    mpk_slot_self()->frame_len = 0;
    switch (f->step) {
    case FORK_PREPARE:
        if (!atomic_compare_exchange_strong(mpk_ro.alive, &due,
                                            MPK_STATE_FORKING)) {
            return due == MPK_STATE_DEAD ? without_domain() : -EBUSY;
        }
        prepare();
        return 0;
    case FORK_CHILD:
        /*
         * The word is wiped by the kernel, in a child only. One that has not
         * put its copies in place, by whatever way it came here, is in its
         * parent's domain: it stays without. So does the second of two, whose
         * parent forked by what another thread of it had made: what a first
         * step returns is on a stack that others can write.
         */
        if (atomic_load(mpk_ro.alive) != MPK_STATE_DEAD ||
            !map_stage_is_adopted() || !map_stage_is_first()) {
            return -EINVAL;
        }
        whole = child();
        map_stage_forget(0);
        atomic_store(&mpk_ro.domain->fork_prepared, 0);
        if (!whole) {
            return -ENOMEM;
        }
        break;
    case FORK_PARENT:
        /*
         * Not while another thread is in its first step: it would go on to copy
         * what is not still any more, and nobody would drop that.
         */
        if (atomic_load(mpk_ro.alive) != MPK_STATE_FORKING ||
            !atomic_exchange(&mpk_ro.domain->fork_prepared, 0)) {
            return -EINVAL;
        }
        /* The list first: what a child finds there has to be there. */
        map_stage_forget(1);
        if (mpk_ro.domain->vk_fork != NULL) {
            mpk_ro.domain->vk_fork->parent();
        }
        break;
    default:
        return -EINVAL;
    }
    atomic_store(mpk_ro.alive, MPK_STATE_OPEN);
    return 0;
}

/* ---- outside ------------------------------------------------------------ */

/* The number of the entry is a constant here, as that of a call of page groups
 * is (entry_on_domain_stack). */
static inline __attribute__((always_inline)) int64_t
fork_call(struct fork_frame *f)
{
    return entry_on_domain_stack(NULL, 1, f);
}

static void open_again(void)
{
    struct fork_frame f = {FORK_PARENT};

    pthread_mutex_unlock(&mpk_out.lock);
    fork_call(&f);
    wake_waiting(MPK_SLOTS);
}

/* Returns with mpk_out.lock: nobody has it in the child, nor looks in at the
 * core's slot. */
static void close_for_fork(void)
{
    struct fork_frame f = {FORK_PREPARE};
    uint32_t alive = 0;
    unsigned times = 0;
    int64_t err;

    if (map_is_gone()) { /* and what is there is not ours to go into */
        err = without_domain();
    } else {
        while ((err = fork_call(&f)) == -EBUSY) { /* another thread forks */
            pause_a_little(times++);
        }
    }
    /*
     * A process that was made by a raw clone may fork as it likes; there is no
     * domain for it or its children.
     */
    if (err == -ENXIO) {
        atomic_compare_exchange_strong(&mpk_out.dead, &alive, MPK_DEAD_CLONE);
        return;
    }
    if (err != 0) {
        mpk_fatal("the domain cannot be copied for a forked process");
    }
    pthread_mutex_lock(&mpk_out.lock);
}

int is_in_own_fork(void)
{
    return atomic_load(&mpk_out.forker) == slot_claim();
}

/*
 * From the first handler to the last no signal comes to this thread: the
 * handler of one might call into the domain, which is shut for its own fork.
 */
static void fork_prepare(void)
{
    uint64_t old;

    /* Without going where its parent may be. */
    if (atomic_load(&mpk_out.dead) && map_stage_drop()) {
        return;
    }
    signals_block(&old);
    close_for_fork();
    if (atomic_load(&mpk_out.dead)) {
        signals_restore(&old);
    } else {
        mpk_out.signals = old;
        atomic_store(&mpk_out.forker, slot_claim());
    }
}

static void fork_parent(void)
{
    uint64_t old = mpk_out.signals;

    if (!atomic_load(&mpk_out.dead)) {
        atomic_store(&mpk_out.forker, 0);
        open_again();
        signals_restore(&old);
    }
}

static int take_copies(void)
{
    struct fork_frame f = {FORK_CHILD};
    int64_t ret;

    if (!map_stage_is_made() || !map_stage_adopt()) {
        return 0;
    }
    map_relock();
    backend_child();
    ret = fork_call(&f);
    if (ret != 0 && ret != -ENOMEM) {
        mpk_fatal("a forked process cannot have its copy of the domain");
    }
    if (ret == 0) {
        map_here_set();
    }
    return ret == 0;
}

static void fork_child(void)
{
    pthread_mutex_t fresh = PTHREAD_MUTEX_INITIALIZER;
    uint64_t old = mpk_out.signals;
    uint32_t dead = 0;

    if (atomic_load(&mpk_out.dead)) {
        return;
    }
    mpk_out.lock = fresh;
    atomic_store(&mpk_out.forker, 0);
    atomic_store(&mpk_out.waiting, 0);
    if (!take_copies()) {
        /* A thread that waited for the fork had it open. */
        if (mpk_out.open_count > 0) {
            backend_child();
        }
        /* As if by a raw clone. It may have been forked to call exec only. */
        atomic_compare_exchange_strong(&mpk_out.dead, &dead, MPK_DEAD_NO_COPY);
    }
    signals_restore(&old);
}

int fork_install(void)
{
    return -pthread_atfork(fork_prepare, fork_parent, fork_child);
}
