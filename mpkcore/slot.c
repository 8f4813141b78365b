/*
 * slot.c - the domain's stacks and what belongs to a thread inside.
 *
 * A thread has no slot of its own. It takes a free one at each entry, by
 * preference the one that its thread pointer hashes to, so a program with a
 * thousand threads needs only as many stacks as threads are inside at once,
 * and nothing has to be given back when a thread ends.
 */
#include "internal.h"

#include <errno.h>

struct mpk_slot *mpk_slot_self(void)
{
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);

    return (struct mpk_slot *)((here & ~(uintptr_t)(MPK_SLOT_SIZE - 1)) +
                               MPK_SLOT_SIZE - MPK_SLOT_CTRL);
}

int mpk_is_inside_call(void)
{
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);

    return here >= (uintptr_t)mpk_ro.base &&
           here < (uintptr_t)mpk_ro.slot0 + MPK_SLOT_CTRL;
}

/*
 * Makes the next stack; called outside with mpk_out.lock. Fresh pages are
 * zero, which is a free slot. The lowest page stays unmapped: the guard.
 */
int slot_make_next(void)
{
    uint32_t index = atomic_load(&mpk_out.slots_ready);
    int kind;

    if (index >= MPK_SLOTS) {
        return -EAGAIN;
    }
    kind = map_commit(slot_bottom(index) + MPK_PAGE, MPK_SLOT_SIZE - MPK_PAGE);
    if (kind < 0) {
        return kind;
    }
    atomic_store(&mpk_out.slots_ready, index + 1);
    return 0;
}
