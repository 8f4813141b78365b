/* entry.c - the C side of the gate: outside mpk_call, inside mpk_dispatch. */
#include "group.h"
#include "x86_64/cpu.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

_Static_assert(MPK_LIGHT_REFUSED == -EFAULT, "gate.S");
_Static_assert(MPK_OWN_REFUSED == -EDEADLK, "gate.S");

/* ---- inside ------------------------------------------------------------- */

/* Whether |op| runs on the caller's stack; both sides ask. */
static int is_light(uint64_t op)
{
    return op < mpk_ro.n_entries && mpk_ro.entries[op].kind == MPK_KIND_LIGHT &&
           mpk_ro.light == MPK_LIGHT_CALLER_STACK;
}

/* Whether a light entry of this thread is under way, below a handler that is
 * now here: it may hold any lock. */
static int interrupts_light(const struct mpk_slot *self)
{
    uint32_t slots = slots_there();

    for (uint32_t i = 0; i < slots; i++) {
        const struct mpk_slot *slot = slot_ctrl(i);

        if (slot != self && atomic_load(&slot->light_rsp) != 0 &&
            atomic_load(&slot->busy) == slot_claim()) {
            return 1;
        }
    }
    return 0;
}

static int64_t run(uint64_t op, void *frame, struct mpk_slot *slot,
                   uint64_t light)
{
    const struct mpk_entry *entry;
    uint64_t crossings;
    int64_t ret;

    /* Nobody else writes it while the slot is taken. */
    crossings = atomic_load_explicit(&slot->crossings, memory_order_relaxed);
    atomic_store_explicit(&slot->crossings, crossings + 1,
                          memory_order_relaxed);
    if (op >= mpk_ro.n_entries) {
        return -ENOSYS;
    }
    if (light != (uint64_t)is_light(op)) {
        return -EPERM;
    }
    /* Otherwise a slot before ours in the search is on this very stack. */
    if (light && !is_searched_first(slot) && mpk_slot_self() != slot) {
        return -EDEADLK;
    }
    /* What forks says so itself (fork.c). */
    if (!light && op >= MPK_ENTRY_FIRST &&
        mpk_ro.light == MPK_LIGHT_CALLER_STACK && interrupts_light(slot)) {
        return -EDEADLK;
    }
    entry = &mpk_ro.entries[op];
    if (frame_copy_in(slot, frame, entry->frame_len) != 0) {
        return -EFAULT;
    }
    slot->frame_len = entry->frame_len;
    slot->cache.refused = 0;
    ret = entry->stub(slot->frame);
    /*
     * A light one was on a stack that others can write. By a slot or a length
     * that was kept there, what is copied out would be any memory of the
     * domain. Even whether it was a light one would have been kept there.
     */
    slot = slot_self_near(slot);
    if (slot->group != 0) {
        group_leave(slot);
    }
    return frame_copy_out(slot, frame) == 0 ? ret : -EFAULT;
}

struct dispatched mpk_dispatch(uint64_t op, void *frame, struct mpk_slot *slot,
                               uint64_t light)
{
    struct dispatched d = {0, slot};

    GATE_ACQUIRE(slot);
    GATE_ACQUIRE(mpk_ro.alive);
    d.value = run(op, frame, slot, light);
    GATE_RELEASE(slot);
    return d;
}

/* ---- outside ------------------------------------------------------------ */

/* glibc's wrapper keeps its internal signals open; none may come here. The mask
 * is where nobody can write: the kernel reads it when it is asked. */
void signals_block(uint64_t *old)
{
    static const uint64_t all = ~0ULL;

    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, old, sizeof(all));
}

void signals_restore(const uint64_t *old)
{
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, old, NULL, sizeof(*old));
}

static void say_notices(void)
{
    static const char *const text[] = {
        "memfd_secret is not available here: the domain is ordinary locked "
        "memory, which root can read through /proc; boot with "
        "secretmem.enable=1, or allow it where system calls are filtered",
        "the memory-lock limit is reached: part of the domain is ordinary "
        "memory; raise RLIMIT_MEMLOCK (LimitMEMLOCK= in systemd)",
        "the memory-lock limit is reached: part of the domain may be swapped; "
        "raise RLIMIT_MEMLOCK (LimitMEMLOCK= in systemd)",
        "no descriptor is left for secretmem: part of the domain is ordinary "
        "memory; raise RLIMIT_NOFILE (LimitNOFILE= in systemd)",
        "a forked process has no domain, since there is no secretmem for its "
        "copy; raise RLIMIT_MEMLOCK (LimitMEMLOCK= in systemd), and the limits "
        "on descriptors and files, or set 'memory = auto'",
        "the limit on the size of files does not allow secretmem: part of the "
        "domain is ordinary memory; raise RLIMIT_FSIZE (LimitFSIZE= in "
        "systemd)",
        "a forked process has no domain, since there is no memory for its "
        "copy; raise the limits on addresses and data (LimitAS= and LimitDATA= "
        "in systemd)",
        "secretmem cannot be mapped: part of the domain is ordinary memory; "
        "raise the limits on addresses and mappings (LimitAS= in systemd, "
        "vm.max_map_count), and allow mremap where system calls are filtered",
        "threads cannot leave restartable sequences, by which a write to "
        "memory sends them elsewhere: allow rseq where system calls are "
        "filtered (seccomp), or set GLIBC_TUNABLES=glibc.pthread.rseq=0",
    };
    const uint32_t n = sizeof(text) / sizeof(text[0]);
    uint32_t due = atomic_load(&mpk_out.notices);

    due &= ~atomic_fetch_or(&mpk_out.notices_said, due);
    for (uint32_t i = 0; mpk_ro.notice != NULL && i < n; i++) {
        if (due & (1U << i)) {
            mpk_ro.notice(text[i]);
        }
    }
}

static int has_notices(void)
{
    return atomic_load_explicit(&mpk_out.notices, memory_order_relaxed) !=
           atomic_load_explicit(&mpk_out.notices_said, memory_order_relaxed);
}

/* With mpk_out.lock: who forks has it, and finds nobody in the core's slot.
 * That there is no domain is for the next attempt to find. */
static int make_stack(void)
{
    struct gate_result r;

    backend_open();
    r = mpk_gate(MPK_STACK_ENTRY, NULL, MPK_CORE_SLOT);
    backend_close();
    return r.status == MPK_GATE_OK ? (int)r.value : -EAGAIN;
}

/*
 * More threads are inside than there are stacks. Signals are blocked: fork
 * takes this lock, in a handler for one. Returns 0 if there are more now.
 *
 * Who was on his way in with signals blocked has them blocked throughout: a
 * mask that is restored comes from the stack, where others can write, and he
 * would be inside with the one that they chose.
 */
static int more_slots(uint32_t seen)
{
    int made = 0;

    pthread_mutex_lock(&mpk_out.lock);
    if (atomic_load(&mpk_out.slots_ready) == seen) {
        made = make_stack();
    }
    pthread_mutex_unlock(&mpk_out.lock);
    return made;
}

static int more_slots_for_light(uint32_t seen)
{
    uint64_t old;
    int made;

    signals_block(&old);
    made = more_slots(seen);
    signals_restore(&old);
    return made;
}

/*
 * All stacks that there can be are taken, or the gate is closed for a fork. Who
 * is counted here looks once more before he sleeps. He may still be overlooked
 * by one who has just left, so not for long.
 */
static void wait_outside(struct attempt *a)
{
    static const struct timespec most = {0, 20000000};

    if (a->waits) {
        word_wait_until(&mpk_out.left, a->seen, &most);
    } else {
        a->waits = 1;
        atomic_fetch_add(&mpk_out.waiting, 1);
    }
    a->seen = atomic_load(&mpk_out.left);
}

/* Not below 0: where a handler forked while its thread waited, the child counts
 * nobody. */
static void wait_no_longer(struct attempt *a)
{
    uint32_t n = atomic_load(&mpk_out.waiting);

    a->waits = 0;
    while (n != 0 &&
           !atomic_compare_exchange_weak(&mpk_out.waiting, &n, n - 1)) {
    }
}

uint32_t attempt_slot(struct attempt *a)
{
    uint32_t first = a->core ? MPK_CORE_SLOT : MPK_CORE_SLOT + 1;

    if (a->left == 0) {
        a->ready = atomic_load(&mpk_out.slots_ready);
        if (a->ready < MPK_FIRST_SLOTS) {
            mpk_fatal("a call into a domain that was not made");
        }
        a->left = a->ready - first;
        a->at = a->core ? first : slot_preferred(a->ready);
    } else {
        a->at = a->at + 1 < a->ready ? a->at + 1 : first;
    }
    a->left--;
    return a->at;
}

/* Slots may look busy in a fork too, for a moment, and more_slots would wait
 * for the lock that fork has. */
static int is_refused_by_own_fork(uint64_t status)
{
    return (status == MPK_GATE_FORKING || status == MPK_GATE_DEAD ||
            status == MPK_GATE_BUSY) &&
           is_in_own_fork();
}

/* |more| is a constant, and no pointer to a function that is kept anywhere. */
static inline __attribute__((always_inline)) int
again(struct attempt *a, struct gate_result *r, int (*more)(uint32_t seen))
{
    if (is_refused_by_own_fork(r->status)) {
        r->status = MPK_GATE_OK;
        r->value = -EDEADLK;
    }
    switch (r->status) {
    case MPK_GATE_BUSY:
        if (a->left == 0 &&
            (a->core || a->ready >= MPK_SLOTS || more(a->ready) != 0)) {
            wait_outside(a);
        }
        return 1;
    case MPK_GATE_FORKING:
        /* Not before all have been tried: a handler may have come in the middle
         * of an entry, whose slot says so, and which the fork waits for. */
        if (a->left == 0) {
            wait_outside(a);
        }
        return 1;
    case MPK_GATE_DEAD:
        fatal_without_domain();
    default:
        if (a->waits) {
            wait_no_longer(a);
        }
        /* Not a handler's, which is to meet its thread in there again. */
        if (!a->core && a->ready - a->left > 2 && r->value != -EDEADLK) {
            slot_had(a->at);
        }
        return 0;
    }
}

int attempt_again(struct attempt *a, struct gate_result *r)
{
    return again(a, r, more_slots);
}

void entering_begin(struct entering *e)
{
    rseq_leave_once();
    e->err = last_errno();
    e->attempt.left = 0;
    e->attempt.waits = 0;
    e->attempt.core = 0;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &e->cancel);
    signals_block(&e->mask);
}

void entering_end(struct entering *e)
{
    wake_waiting(1);
    signals_restore(&e->mask);
    pthread_setcancelstate(e->cancel, NULL);
    if (has_notices()) {
        say_notices();
    }
    set_last_errno(e->err);
}

/* The slot that this thread nearly always gets. Backend mprotect has no light
 * entries. */
static inline struct gate_result try_one(uint32_t op, void *frame)
{
    uint32_t ready = atomic_load(&mpk_out.slots_ready);

    return mpk_gate(op, frame, slot_preferred(ready) | MPK_GATE_LIGHT);
}

static struct gate_result try_all(uint32_t op, void *frame)
{
    struct attempt a = {.left = 0};
    struct gate_result r;

    do {
        r = mpk_gate(op, frame, attempt_slot(&a) | MPK_GATE_LIGHT);
    } while (again(&a, &r, more_slots_for_light));
    return r;
}

/*
 * There is no cancellation point in a light entry, so it is enough that a
 * cancellation waits for one. That is the default, which costs a look at it.
 */
static int64_t call_on_own_stack(uint32_t op, void *frame)
{
    struct gate_result r;
    int type, err = last_errno();

    rseq_leave_once();
    pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &type);
    r = try_one(op, frame);
    if (r.status != MPK_GATE_OK) {
        r = try_all(op, frame);
    }
    wake_waiting(1);
    if (type != PTHREAD_CANCEL_DEFERRED) {
        pthread_setcanceltype(type, NULL);
    }
    if (has_notices()) {
        say_notices();
    }
    set_last_errno(err);
    return r.value;
}

int64_t mpk_call(uint32_t op, void *frame)
{
    return is_light(op) ? call_on_own_stack(op, frame)
                        : entry_on_domain_stack(NULL, op, frame);
}
