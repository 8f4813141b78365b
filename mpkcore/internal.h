/* internal.h - what the core's files offer each other. */
#ifndef MPKCORE_INTERNAL_H
#define MPKCORE_INTERNAL_H

#include "heap_impl.h"
#include "sanitize.h"
#include "state.h"
#include "x86_64/cpu.h"

#include <errno.h>

/* ---- map.c and map_*.c: nothing else maps, tags, locks or seals memory --- */

enum map_kind { MAP_SECRET = 1, MAP_ANON = 2 };

/*
 * libc's errno of this thread. Not by libc's function for where that is: it
 * adds to a word at fs:0, and who writes there has the inside read and write
 * errno in the domain. Before there is one, nobody is inside.
 */
static inline int last_errno(void)
{
    return mpk_ro.errno_at != 0 ? cpu_fs_word(mpk_ro.errno_at) : errno;
}

/* Writes it: found as above, by the register and an offset that is read-only.
 */
static inline void set_last_errno(int err)
{
    if (mpk_ro.errno_at != 0) {
        cpu_set_fs_word(mpk_ro.errno_at, err);
    } else {
        errno = err;
    }
}

/* Why the system call that has just failed did so, below 0. errno is outside:
 * who writes there must not make a success, or a descriptor, of a failure. */
int map_failure(void);
/* libc's close is a cancellation point, and this is called inside. */
void map_close_fd(int fd);
int map_key_alloc(void);
/* The same, but the last key of the process is left to others. */
int map_key_claim(void);
/* Whether |n| keys, fewer than MPK_HW_KEYS, could be had: 0 or -errno. */
int map_keys_left(unsigned n);
void map_key_free(int key);
/* |size| bytes of addresses, aligned to |align|; nothing there is mapped. With
 * |room| bytes that are free on both sides, or as many as can be had. */
char *map_reserve(size_t size, size_t align, size_t room);
/* Makes the pages at [p, p+len) such as map_reserve left them. Returns 0 or
 * -errno. */
int map_reserve_again(char *p, size_t len);
/* The same, or the process ends. */
void map_give_back(char *p, size_t len);
/* RLIMIT_AS, and how much of it a domain may reserve: the rest is the
 * program's. */
size_t map_address_limit(void);
size_t map_address_share(void);
void map_release(char *p, size_t size);
/* Makes memory at [p, p+len) part of the domain; returns a map_kind or
 * -errno. */
int map_commit(char *p, size_t len);
/* The other way; |kind| is what that returned. */
void map_uncommit(char *p, size_t len, int kind);
/* Whether this process may lock more than its limit; |p| is reserved, for the
 * domain, of |size| bytes. */
int map_locks_freely(char *p, size_t size);
/* Inside, with all signals blocked: whether |page| can be read. */
int map_is_open(const char *page);
/* Nobody can reach [p, p+len) any more. Returns 0 or -errno. */
int map_close(char *p, size_t len);
/* Makes a page that is never secretmem: a child of fork has a copy of it, or,
 * if it is |wiped|, zeros. */
int map_private_page(char *p, int wiped);
/* So that libc's free cannot have the kernel throw it away, where it is not
 * sealed. Nothing is said if it cannot be had. */
void map_lock_page(char *p);
int map_module_data(const struct mpk_config *config);
/* What of it has been done is undone. */
void map_module_undo(void);
/* Last: what ld.so has made read-only of the program or library that this is
 * part of, and its constants if they are asked for, stay as they are, as with
 * map_seal; its code where the kernel can (map_keep). */
void map_module_fix(int constants_too);
/* Before any of these: what the kernel can do. */
void map_seal_init(enum mpk_seal seal);
/* The same of map_apart.c, after it. */
void map_apart_init(void);
/* Whether a system call may be asked for that a filter need not know. */
int map_may_ask(void);
/* Pages of ordinary memory that are not to change any more, ever. Where the
 * kernel can (5.1 and 6.10), nor can they be made writable, or be replaced.
 * Returns 0 or -errno. */
int map_seal(void *p, size_t len);
/* A sealed file with |len| bytes of |from| takes the place at |p|, read-only;
 * 0 if there can be none. */
int map_fixed(char *p, const char *from, size_t len);
/* That the pages stay what they are, if the kernel can do that. */
void map_keep(const void *p, size_t len);
/* The same for pages of the domain, by whatever thread: nobody can unmap, move
 * or open them any more. What fork copies is |copied|. */
void map_hold(char *p, size_t len, int copied);
/* A file of |len| zero bytes, in memory; or -errno. What maps it from
 * map_no_more_writers on cannot write, whatever it asks for; that returns 0
 * where the kernel knows no such thing. */
int map_memory_file(const char *name, size_t len);
int map_no_more_writers(int fd);
/* The mprotect backend's opening (1) and closing (0) of everything. */
void map_set_open(int open);
/* Touches pages of a file that are zero still, and readable, so that there is
 * an error rather than SIGBUS when one cannot be had. Returns 0 or -errno. */
int map_populate(const char *p, size_t len);
/* fork, on mpk_ro.stage, which nobody outside can write (map_fork.c). Inside:
 * copies |stage->span| aside, if there is memory for that and |stage->slots| is
 * not 0, and makes |stage| the list; or drops the list, with or without the
 * copies. */
int map_stage_init(void);
void map_stage_make(struct map_stage *stage);
void map_stage_forget(int copies_too);
/* In a child, outside: whether there is what it needs; puts it in place, or
 * returns 0: there is no domain then. */
int map_stage_is_made(void);
int map_stage_adopt(void);
/* Inside: whether that was done; whether there is a list to do it by. */
int map_stage_is_adopted(void);
/* Inside, in a child that has them: whether no other child has these copies. */
int map_stage_is_first(void);
int map_stage_is_shown(void);
/* Where the domain stays: a page outside that says whether this process has
 * one; that it has; and that it has none, as a raw clone. */
int map_here_init(void);
void map_here_undo(void);
void map_here_set(void);
int map_is_gone(void);
/* Without a domain: empties the list. Returns 0 when that is denied. */
int map_stage_drop(void);
/* Locks do not survive fork. The copies have been adopted. */
void map_relock(void);

/* ---- slot.c ------------------------------------------------------------- */

#define MPK_TSD_KEYS 128

/* Blocks of a page group that are wiped, and nobody's; by their length in
 * grains (group.c). */
#define GROUP_CACHE_GRAINS 8
#define GROUP_CACHE 20
struct group_cache {
    uint8_t n[GROUP_CACHE_GRAINS];
    uint16_t grain[GROUP_CACHE_GRAINS][GROUP_CACHE]; /* where they start */
};

/* Control block on top of each domain stack; see layout.h. */
struct mpk_slot {
    /* Who has it (slot_claim), 0 when it is free. */
    _Atomic uint64_t busy;
    uint64_t outside_rsp;
    /* In a light entry: its rsp; 0 at all other times. */
    _Atomic uint64_t light_rsp;
    /* mpk_ro.marks has them too: for any entry, and without a domain. */
    uint64_t mark, child_mark;
    uint32_t frame_len; /* of |frame|, while a stub has it */
    /* Not in the line that other threads look at for a free slot. */
    struct heap_cache cache __attribute__((aligned(HEAP_LINE)));
    void *tsd[MPK_TSD_KEYS];
    /* The copy that the stub sees. */
    unsigned char frame[MPK_FRAME_MAX] __attribute__((aligned(64)));
    /* What a light entry has the heap do, and the answer. */
    struct heap_ask ask;
    void *block;
    uint64_t group;       /* that the stub has open */
    uint64_t use;         /* that its blocks come from */
    struct group *opened; /* the same as |group| */
    struct group_cache *group_cache, own_group_cache;
    int err;       /* errno, to a library inside (calls.c) */
    uint64_t mask; /* of signals, while a light entry has them blocked */
    _Atomic uint64_t crossings;
    /* The core's: a child of fork is at work with these copies. */
    _Atomic uint32_t adopted;
};

_Static_assert(offsetof(struct mpk_slot, busy) == MPK_SLOT_BUSY, "gate.S");
_Static_assert(offsetof(struct mpk_slot, outside_rsp) == MPK_SLOT_RSP,
               "gate.S");
_Static_assert(offsetof(struct mpk_slot, light_rsp) == MPK_SLOT_LIGHT_RSP,
               "gate.S");
_Static_assert(offsetof(struct mpk_slot, mark) == MPK_SLOT_MARK, "gate.S");
_Static_assert(offsetof(struct mpk_slot, child_mark) == MPK_SLOT_CHILD_MARK,
               "gate.S");
_Static_assert(sizeof(struct mpk_slot) <= MPK_SLOT_CTRL, "fits its block");
_Static_assert(sizeof(struct mpk_slot) <= MPK_PAGE, "touches one page only");

/*
 * Whether the light entry that the stack at |here| is in has |slot|. What
 * decides is inside the domain: the slot is taken, by a light entry, whose
 * stack reaches from its rsp down to the end of what is wiped. No two threads
 * can both be in that part of one stack.
 */
static inline int is_slot_of_light(const struct mpk_slot *slot, uintptr_t here)
{
    uint64_t rsp = atomic_load_explicit(&slot->light_rsp, memory_order_relaxed);

    return rsp - here < MPK_LIGHT_STACK &&
           atomic_load_explicit(&slot->busy, memory_order_relaxed) != 0;
}
/* The slot that has it; ends the process if none does. */
struct mpk_slot *slot_of_light(uintptr_t here);

static inline int on_domain_stack(uintptr_t here)
{
    return here >= (uintptr_t)mpk_ro.base &&
           here < (uintptr_t)mpk_ro.slot0 + MPK_SLOT_CTRL;
}

/* Nobody else writes to this stack: at the start, and on one of the domain. */
static inline int is_on_safe_stack(void)
{
    return mpk_ro.n_entries == 0 || on_domain_stack(cpu_stack_pointer());
}

/* The slot that the domain stack at |here| belongs to. */
static inline struct mpk_slot *slot_of_stack(uintptr_t here)
{
    return (struct mpk_slot *)((here & ~(uintptr_t)(MPK_SLOT_SIZE - 1)) +
                               MPK_SLOT_SIZE - MPK_SLOT_CTRL);
}

/* The caller's slot; inside only. Ends the process if it has none. */
static inline struct mpk_slot *mpk_slot_self(void)
{
    uintptr_t here = cpu_stack_pointer();

    return on_domain_stack(here) ? slot_of_stack(here) : slot_of_light(here);
}

/* The same for both sides: NULL outside. */
struct mpk_slot *mpk_slot_find(void);
/* A frame's way in and out of the slot that the caller has; otherwise as
 * mpk_copy_in and mpk_copy_out. (copy.c) */
MPK_MUST_CHECK int frame_copy_in(struct mpk_slot *slot, const void *frame,
                                 size_t len);
MPK_MUST_CHECK int frame_copy_out(const struct mpk_slot *slot, void *frame);

/* What the gate writes to |busy| for this thread. */
uint64_t slot_claim(void);
static inline uint32_t hash_of_thread(void)
{
    /* Thread control blocks are pages apart. */
    return (uint32_t)(cpu_thread_pointer() >> 12) * 2654435761U;
}
static inline _Atomic uint8_t *had_by(uint32_t hash)
{
    _Static_assert(sizeof(mpk_out.had) == 1 << MPK_HAD_BITS, "all of a hash");
    return &mpk_out.had[hash >> (32 - MPK_HAD_BITS)];
}
/* Of |ready| slots, the one that this thread tries first; not the core's. */
static inline uint32_t slot_preferred(uint32_t ready)
{
    uint32_t hash = hash_of_thread();
    uint32_t had =
        atomic_load_explicit(had_by(hash), memory_order_relaxed) - 1U;

    return had < ready && had != MPK_CORE_SLOT
               ? had
               : 1 + (uint32_t)((uint64_t)hash * (ready - 1) >> 32);
}
/* It had |slot|, which was not that one. */
void slot_had(uint32_t slot);
static inline char *slot_bottom(uint32_t index)
{
    return mpk_ro.slot0 + MPK_SLOT_CTRL - (size_t)(index + 1) * MPK_SLOT_SIZE;
}
/* Where a slot's memory begins, above the guard; all that is mapped of it. */
#define SLOT_MAPPED ((size_t)(MPK_SLOT_SIZE - MPK_SLOT_GUARD))
static inline char *slot_low(uint32_t index)
{
    return slot_bottom(index) + MPK_SLOT_GUARD;
}
static inline struct mpk_slot *slot_ctrl(uint32_t index)
{
    return (struct mpk_slot *)(mpk_ro.slot0 - (size_t)index * MPK_SLOT_SIZE);
}
static inline uint32_t slot_index(const struct mpk_slot *slot)
{
    return (uint32_t)((size_t)(mpk_ro.slot0 - (const char *)slot) >>
                      MPK_SLOT_SHIFT);
}
/* heap_here in a light entry, which has |slot|; and the way to its stack
 * (x86_64/deep.S), and from there. */
void *slot_heap_ask(struct mpk_slot *slot, struct heap_ask ask);
void mpk_heap_deep(struct mpk_slot *slot) __attribute__((visibility("hidden")));
void slot_heap_here(struct mpk_slot *slot);
/* Returns 0 or -errno. Before there is a domain, or by mpk_stack_stub. */
int slot_make(uint32_t index);
/* The last steps: the gate takes it for a slot, and it stays one. */
void slot_mark(uint32_t index);
void slot_hold(uint32_t index);
#define MPK_STACK_ENTRY 2

/* What a part of the inside that has more than the heap does in a fork. The
 * first and the last return 0 when a child cannot have it. */
struct fork_steps {
    int (*prepare)(void);
    void (*parent)(void);
    int (*child)(void);
};

/* ---- inside state, in the control region -------------------------------- */

struct mpk_domain {
    struct heap heap;
    _Atomic uint32_t booted;
    _Atomic uint32_t tsd_next;
    _Atomic uint32_t forks; /* between this process and the one that made it */
    _Atomic uint32_t slots; /* that there are; mpk_stack_stub makes more */
    _Atomic size_t secret_bytes; /* of the domain that are secretmem */
    /* Between the first step of a fork and its parent's last. The list for the
     * child says where the copies are as well, but can be dropped outside. */
    _Atomic uint32_t fork_prepared;
    char *copies;
    size_t copies_len;
    struct vk_state *vk; /* virtual keys */
    const struct fork_steps *vk_fork;
    _Atomic(struct group_state *) groups; /* page groups of the inside */
};

_Static_assert(sizeof(struct mpk_domain) <= MPK_CONTROL_SIZE, "fits");

/* Inside: how many slots there are. mpk_out.slots_ready, which goes after it,
 * can be written by everybody. */
static inline uint32_t slots_there(void)
{
    return atomic_load_explicit(&mpk_ro.domain->slots, memory_order_acquire);
}
/*
 * mpk_slot_self where |guess|, which may be anything, nearly always is the
 * slot. It is a control block in any case, as in gate.S, and one that is there:
 * the others are no memory yet, or what came to be there.
 */
static inline struct mpk_slot *slot_self_near(const struct mpk_slot *guess)
{
    size_t down = (size_t)(mpk_ro.slot0 - (const char *)guess) &
                  ((size_t)(MPK_SLOTS - 1) << MPK_SLOT_SHIFT);
    struct mpk_slot *slot = (struct mpk_slot *)(mpk_ro.slot0 - down);
    uintptr_t here = cpu_stack_pointer();

    return down >> MPK_SLOT_SHIFT < slots_there() &&
                   is_slot_of_light(slot, here)
               ? slot
               : mpk_slot_self();
}
/* Whether a search for the light entry of this stack (slot_of_light) begins at
 * |slot|. */
static inline int is_searched_first(const struct mpk_slot *slot)
{
    return slot == slot_ctrl(slot_preferred(slots_there()));
}

/* ---- rseq.c ------------------------------------------------------------- */

/* Before the first entry. */
void rseq_init(enum mpk_rseq rseq);
/* Outside: this thread has no area registered from now on. errno is kept. */
__attribute__((cold)) void rseq_leave(void);

#define RSEQ_LEFT 0x2d /* from the base of fs to that of gs */
static inline void rseq_leave_once(void)
{
    if (mpk_ro.leaves_rseq && cpu_gs_base() - cpu_fs_base() != RSEQ_LEFT) {
        rseq_leave();
    }
}

/* ---- fatal.c ------------------------------------------------------------ */

/* mpk_fatal for a process that was forked and has no domain. */
_Noreturn __attribute__((cold)) void fatal_without_domain(void);

/* ---- entry.c, backend.c, fork.c ----------------------------------------- */

/* What the gate runs inside: the result in rax, |slot| again in rdx. */
struct dispatched {
    int64_t value;
    struct mpk_slot *slot;
};
struct dispatched mpk_dispatch(uint64_t op, void *frame, struct mpk_slot *slot,
                               uint64_t light)
    __attribute__((visibility("hidden")));
/* All of them, those of libc's own too. */
void signals_block(uint64_t *old);
void signals_restore(const uint64_t *old);
/* Returns 0, or -EDEADLK where it would wait for this thread's own fork. */
int backend_enter(void);
void backend_leave(void);
/* The same for who has mpk_out.lock. */
void backend_open(void);
void backend_close(void);
void backend_child(void);
int fork_install(void);
/*
 * Whether this thread is between fork's first handler of ours and the last one:
 * in somebody else's, that was installed before us. The gate is shut for it
 * too, since what it would change inside has been copied.
 */
int is_in_own_fork(void);

/* The assembly: result in rax, status in rdx. |slot| is the number of the slot
 * to try, with MPK_GATE_LIGHT added to stay on the caller's stack. */
struct gate_result {
    int64_t value;
    uint64_t status;
};
struct gate_result mpk_gate(uint64_t op, void *frame, uint64_t slot)
    __attribute__((visibility("hidden")));
/* Where its code ends; for tests. */
extern const unsigned char mpk_gate_end[] __attribute__((visibility("hidden")));

/*
 * Going in. attempt_slot says which slot to try next; attempt_again, for who
 * has signals blocked, looks at what the gate says of it, waits where that
 * helps, and says whether to try again; where that would be for ever, the
 * result is -EDEADLK. entering_begin and entering_end are what goes around an
 * entry on a stack of the domain. errno is the program's, which may look at it
 * after it has freed what it had: a wait leaves it as it was.
 */
struct attempt {
    uint32_t ready, left, at; /* slots there are, and left to try; the last */
    uint32_t waits, seen;     /* is counted as waiting; mpk_out.left */
    uint32_t core;            /* in the core's slot, or any other */
};
uint32_t attempt_slot(struct attempt *a);
int attempt_again(struct attempt *a, struct gate_result *r);

struct entering {
    struct attempt attempt;
    uint64_t mask; /* of signals, before */
    int cancel, err;
};
void entering_begin(struct entering *e);
void entering_end(struct entering *e);
/* Wakes |n| of those who wait to go in, for they may. */
static inline void wake_waiting(int n)
{
    if (atomic_load_explicit(&mpk_out.waiting, memory_order_relaxed) != 0) {
        atomic_fetch_add(&mpk_out.left, 1);
        word_wake(&mpk_out.left, n);
    }
}

/*
 * Part of its caller, so that a number of an entry that is known there is put
 * into the gate's register each time anew: all else that this function has is
 * on its stack now and then, where any thread could make another entry of it.
 * What adds to the number, |base| or NULL, reads read-only memory and has no
 * pointer to it, which gcc 16 kept there. (entry_code_test)
 */
static inline __attribute__((always_inline)) int64_t
entry_on_domain_stack(uint32_t (*base)(void), uint32_t op, void *frame)
{
    struct gate_result r;
    struct entering e;

    entering_begin(&e);
    e.attempt.core = base == NULL && op <= MPK_LAST_CORE_ENTRY;
    do {
        uint64_t slot = attempt_slot(&e.attempt);

        if (backend_enter() != 0) {
            r.value = -EDEADLK;
            break;
        }
        r = mpk_gate(base != NULL ? base() + op : op, frame, slot);
        backend_leave();
    } while (attempt_again(&e.attempt, &r));
    entering_end(&e);
    return r.value;
}

static inline void mpk_notice_due(uint32_t bit)
{
    atomic_fetch_or(&mpk_out.notices, bit);
}

#endif
