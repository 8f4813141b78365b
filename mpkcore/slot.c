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

/* NULL if there is none. Where to begin is a guess. */
static struct mpk_slot *light_slot(uintptr_t here)
{
    uint32_t slots = slots_there();
    uint32_t at = slot_preferred(slots);

    for (uint32_t i = 0; i < slots; i++) {
        struct mpk_slot *slot = slot_ctrl(at);

        if (is_slot_of_light(slot, here)) {
            return slot;
        }
        at = at + 1 < slots ? at + 1 : 0;
    }
    return NULL;
}

static int domain_is_open(void)
{
    return (mpk_ro.pkru_mask == 0 || !(cpu_pkru() & mpk_ro.pkru_mask));
}

struct mpk_slot *mpk_slot_find(void)
{
    uintptr_t here = cpu_stack_pointer();

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
    uint32_t slots = slots_there();
    uint64_t n = 0;

    for (uint32_t i = 0; i < slots; i++) {
        n += atomic_load_explicit(&slot_ctrl(i)->crossings,
                                  memory_order_relaxed);
    }
    return n;
}

int mpk_is_inside_call(void)
{
    return mpk_slot_find() != NULL;
}

void slot_heap_here(struct mpk_slot *slot)
{
    slot->block = heap_here(slot, slot->ask);
}

/*
 * On the stack of the slot, with signals blocked, as all is that runs on one. A
 * handler comes before that or after it, and changes no mask for good. Question
 * and answer wait inside for that, and not in registers, which are saved here.
 */
void *slot_heap_ask(struct mpk_slot *slot, struct heap_ask ask)
{
    slot->ask = ask;
    signals_block(&slot->mask);
    mpk_heap_deep(mpk_slot_self());
    signals_restore(&mpk_slot_self()->mask);
    return mpk_slot_self()->block;
}

int mpk_is_on_domain_stack(void)
{
    return on_domain_stack(cpu_stack_pointer());
}

/* Fresh pages are zero, which is a free slot. What is below slot_low stays
 * unmapped: the guard. */
int slot_make(uint32_t index)
{
    int kind = map_commit(slot_low(index), SLOT_MAPPED);

    return kind < 0 ? kind : 0;
}

void slot_mark(uint32_t index)
{
    struct mpk_slot *slot = slot_ctrl(index);

    slot->mark = mpk_ro.marks[index];
    slot->child_mark = mpk_ro.marks[MPK_SLOTS + index];
}

void slot_hold(uint32_t index)
{
    map_hold(slot_low(index), SLOT_MAPPED,
             mpk_ro.memory != MPK_MEMORY_ANONYMOUS);
}

/*
 * Makes the next stack, for a thread that finds all of them taken. Inside, so
 * that nobody else can write where it is to be; in the core's slot, in which
 * there is one thread at a time, and nobody who waits for anything.
 */
int64_t mpk_stack_stub(void *frame)
{
    struct mpk_domain *d = mpk_ro.domain;
    uint32_t slots = slots_there();
    int err = -EAGAIN;

    (void)frame;
    if (mpk_slot_self() != slot_ctrl(MPK_CORE_SLOT)) {
        return -EPERM;
    }
    if (slots < MPK_SLOTS) {
        err = slot_make(slots);
        if (err == 0) {
            slot_mark(slots);
            slot_hold(slots++);
        }
    }
    atomic_store(&d->slots, slots);
    atomic_store(&mpk_out.slots_ready, slots);
    return err;
}
