/* entry.c - the C side of the gate: outside mpk_call, inside mpk_dispatch. */
#include "internal.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* ---- inside ------------------------------------------------------------- */

int64_t mpk_dispatch(uint64_t op, void *frame)
{
    const struct mpk_entry *entry;
    unsigned char copy[MPK_FRAME_MAX] __attribute__((aligned(16)));
    int64_t ret;

    if (op >= mpk_ro.n_entries) {
        return -ENOSYS;
    }
    entry = &mpk_ro.entries[op];
    if (mpk_copy_in(copy, frame, entry->frame_len) != 0) {
        return -EFAULT;
    }
    ret = entry->stub(copy);
    if (mpk_copy_out(frame, copy, entry->frame_len) != 0) {
        return -EFAULT;
    }
    return ret;
}

/* ---- outside ------------------------------------------------------------ */

/* glibc's wrapper keeps its internal signals open; none may come here. */
static void block_signals(uint64_t *old)
{
    uint64_t all = ~0ULL;

    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, old, sizeof(all));
}

static void restore_signals(const uint64_t *old)
{
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, old, NULL, sizeof(*old));
}

static void say_notices(void)
{
    static const char *const text[] = {
        "memfd_secret is not available here: the domain is ordinary locked "
        "memory, which root can read through /proc (see secretmem.enable)",
        "the memory-lock limit is reached: part of the domain is ordinary "
        "memory; raise RLIMIT_MEMLOCK (LimitMEMLOCK= in systemd)",
        "the memory-lock limit is reached: part of the domain may be swapped; "
        "raise RLIMIT_MEMLOCK (LimitMEMLOCK= in systemd)",
    };
    uint32_t due = atomic_load(&mpk_out.notices) & ~mpk_out.notices_said;

    pthread_mutex_lock(&mpk_out.lock);
    due &= ~mpk_out.notices_said;
    mpk_out.notices_said |= due;
    pthread_mutex_unlock(&mpk_out.lock);
    for (uint32_t i = 0; mpk_ro.notice != NULL && i < 3; i++) {
        if (due & (1U << i)) {
            mpk_ro.notice(text[i]);
        }
    }
}

/* More threads are inside than there are stacks. */
static void more_slots(uint32_t seen)
{
    int made = 0;

    pthread_mutex_lock(&mpk_out.lock);
    if (atomic_load(&mpk_out.slots_ready) == seen) {
        made = slot_make_next();
    }
    pthread_mutex_unlock(&mpk_out.lock);
    if (made < 0) {
        sched_yield();
    }
}

static void wait_for_fork(void)
{
    static const struct timespec pause = {0, 50000};

    nanosleep(&pause, NULL);
}

static uint64_t preferred_slot(uint32_t ready)
{
    /* Thread control blocks are pages apart. */
    return (((uintptr_t)pthread_self() >> 12) * 2654435761U >> 8) % ready;
}

static struct gate_result enter(uint32_t op, void *frame)
{
    struct gate_result r;

    for (;;) {
        uint32_t ready = atomic_load(&mpk_out.slots_ready);
        uint64_t first = preferred_slot(ready);

        for (uint32_t i = 0; i < ready; i++) {
            backend_enter();
            r = mpk_gate(op, frame, (first + i) % ready);
            backend_leave();
            if (r.status != MPK_GATE_BUSY) {
                break;
            }
        }
        if (r.status == MPK_GATE_BUSY) {
            more_slots(ready);
        } else if (r.status == MPK_GATE_FORKING) {
            wait_for_fork();
        } else if (r.status == MPK_GATE_DEAD) {
            mpk_fatal("this process was forked without fork handlers (a raw "
                      "clone): its domain is its parent's");
        } else {
            return r;
        }
    }
}

int64_t mpk_call(uint32_t op, void *frame)
{
    struct gate_result r;
    uint64_t old;
    int cancel;

    /* A thread cancelled inside would end there: open, its slot never free. */
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
    block_signals(&old);
    r = enter(op, frame);
    restore_signals(&old);
    pthread_setcancelstate(cancel, NULL);
    if (atomic_load_explicit(&mpk_out.notices, memory_order_relaxed) !=
        mpk_out.notices_said) {
        say_notices();
    }
    return r.value;
}
