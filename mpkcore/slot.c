/*
 * slot.c - the domain's stacks and what belongs to a thread inside.
 *
 * A thread has no slot of its own. It takes a free one at each entry, by
 * preference the one that it had last, or else the one that its thread pointer
 * hashes to, so a program with a thousand threads needs only as many stacks as
 * threads are inside at once, and nothing has to be given back when a thread
 * ends. Two threads that want the same one part for good when they first meet.
 * A light entry has a slot too, for all but its stack.
 */
#include "internal.h"
#include "x86_64/cpu.h"

#include <errno.h>

/* As in gate.S: the thread pointer, which anybody can write, so never 0. */
uint64_t slot_claim(void)
{
    return cpu_thread_pointer() | 1;
}

void slot_had(uint32_t slot)
{
    _Static_assert(MPK_SLOTS < UINT8_MAX, "fits");
    atomic_store_explicit(had_by(hash_of_thread()), (uint8_t)(slot + 1),
                          memory_order_relaxed);
}

/* In mpk_domain.entered. */
static uint64_t bit_of(const struct mpk_slot *slot)
{
    _Static_assert(MPK_SLOTS <= 64, "a bit for each");
    return (uint64_t)1 << slot_index(slot);
}

static int is_used(uint32_t slot)
{
    const char *page = (const char *)slot_ctrl(slot);

    return map_is_touched(page) && map_is_open(page);
}

/*
 * Who comes to a stack for the first time has claimed it some twenty
 * instructions before he is counted. He has touched it by then.
 */
uint32_t slots_there(void)
{
    uint32_t made = atomic_load(&mpk_out.slots_ready), n = MPK_SLOTS;
    uint32_t entered = slots_entered();

    made = made < MPK_SLOTS ? made : MPK_SLOTS;
    made = made > entered ? made : entered;
    while (n > made && !is_used(n - 1)) {
        n--;
    }
    return n;
}

/* Fresh pages where a stack has been: it was made anew all the same, because
 * mincore is forbidden, or the pages were swapped out. In a child of fork that
 * is no sign of it before the last step (free_slots). */
void slot_first_entered(const struct mpk_slot *slot)
{
    uint64_t bit = bit_of(slot);

    if ((atomic_fetch_or(&mpk_ro.domain->entered, bit) & bit) &&
        atomic_load(mpk_ro.alive) != MPK_STATE_DEAD) {
        mpk_fatal("a stack of the domain was made anew below a thread");
    }
}

void slot_never_entered(const struct mpk_slot *slot)
{
    atomic_fetch_and(&mpk_ro.domain->entered, ~bit_of(slot));
}

/* NULL if there is none. Where to begin is a guess. */
static struct mpk_slot *light_slot(uintptr_t here)
{
    uint32_t entered = slots_entered();
    uint32_t at = slot_preferred(entered);

    for (uint32_t i = 0; i < entered; i++) {
        struct mpk_slot *slot = slot_ctrl(at);

        if (is_slot_of_light(slot, here)) {
            return slot;
        }
        at = at + 1 < entered ? at + 1 : 0;
    }
    return NULL;
}

static int domain_is_open(void)
{
    return (mpk_ro.pkru_mask == 0 || !(cpu_pkru() & mpk_ro.pkru_mask));
}

struct mpk_slot *mpk_slot_find(void)
{
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);

    if (on_domain_stack(here)) {
        return slot_of_stack(here);
    }
    if (mpk_ro.light != MPK_LIGHT_CALLER_STACK || mpk_ro.domain == NULL ||
        !domain_is_open()) {
        return NULL;
    }
    return light_slot(here);
}

struct mpk_slot *slot_of_light(uintptr_t here)
{
    struct mpk_slot *slot = light_slot(here);

    if (slot == NULL) {
        mpk_fatal("code of the inside runs on a stack that is nobody's");
    }
    return slot;
}

uint32_t mpk_forks(void)
{
    return atomic_load_explicit(&mpk_ro.domain->forks, memory_order_relaxed);
}

void *mpk_scratch(void)
{
    return mpk_slot_self()->frame + MPK_FRAME_MAX - MPK_SCRATCH;
}

uint64_t mpk_crossings(void)
{
    uint32_t ready = atomic_load(&mpk_out.slots_ready);
    uint64_t n = 0;

    for (uint32_t i = 0; i < ready && i < MPK_SLOTS; i++) {
        n += atomic_load_explicit(&slot_ctrl(i)->crossings,
                                  memory_order_relaxed);
    }
    return n;
}

int mpk_is_inside_call(void)
{
    return mpk_slot_find() != NULL;
}

/*
 * Whether a stack is there already: somebody may be on it, and the count was
 * lowered. A place that is reserved and no more is touched as well when a
 * debugger, or what searches memory, has read it through /proc/PID/mem: what it
 * has left there goes. Nobody can have used it, and nobody else makes stacks.
 */
static int is_made(uint32_t index)
{
    char *low = slot_low(index);
    const char *page = (const char *)slot_ctrl(index);

    if (!map_is_touched(page)) {
        return 0;
    }
    return !map_is_reserved(page) || map_reserve_again(low, SLOT_MAPPED) != 0;
}

/*
 * Makes the next stack; called outside with mpk_out.lock. Fresh pages are
 * zero, which is a free slot. What is below slot_low stays unmapped: the guard.
 */
int slot_make_next(void)
{
    uint32_t index = atomic_load(&mpk_out.slots_ready);
    int kind;

    if (index >= MPK_SLOTS) {
        return -EAGAIN;
    }
    if (!is_made(index)) {
        char *low = slot_low(index);

        /* Who has come since then, or comes yet, does so before or never. */
        kind = map_close(low, SLOT_MAPPED);
        if (kind < 0) {
            return kind;
        }
        if (map_is_touched((const char *)slot_ctrl(index))) {
            mpk_fatal("a stack of the domain is to be made below a thread");
        }
        kind = map_commit(low, SLOT_MAPPED);
        if (kind < 0) {
            return kind;
        }
    }
    atomic_store(&mpk_out.slots_ready, index + 1);
    return 0;
}
