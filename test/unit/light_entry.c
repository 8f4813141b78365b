#include "light_entry.h"

#include "../../mpkcore/internal.h"
#include "gate_abi.h"

#include <mpkcore/heap.h>

#include <string.h>
#include <time.h>

volatile unsigned handled, awaited;
volatile int holding, let_go;

int64_t where_stub(void *frame)
{
    struct where_frame *f = frame;

    f->stack = (uintptr_t)__builtin_frame_address(0);
    f->copy = (uintptr_t)frame;
    f->slot = (uintptr_t)mpk_slot_self();
    f->inside = mpk_is_inside_call();
    return 0;
}

int64_t milliseconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Until the time is over and enough signals were handled, on a machine that
 * lets us run so rarely; within a minute. */
bool goes_on(int64_t until)
{
    int64_t now = milliseconds();

    return now < until || (handled < awaited && now < until + 60000);
}

/* Is inside for |*frame| milliseconds; says whether its block stayed its own.*/
int64_t spin_stub(void *frame)
{
    int64_t until = milliseconds() + *(int64_t *)frame, n = 0, lost = 0;

    while (goes_on(until)) {
        volatile int64_t *p = mpk_heap_alloc(64);

        *p = ++n;
        lost += *p != n;
        mpk_heap_free((void *)(uintptr_t)p);
    }
    return lost;
}

int64_t hold_stub(void *frame)
{
    struct mpk_slot *slot = mpk_slot_self();

    (void)frame;
    __atomic_store_n(&holding, 1, __ATOMIC_SEQ_CST);
    while (!__atomic_load_n(&let_go, __ATOMIC_SEQ_CST)) {
    }
    return mpk_slot_self() == slot;
}

/* Backend mprotect has no light entries. */
bool light(const struct setup *s)
{
    return s->backend != MPK_BACKEND_MPROTECT;
}

/* Whether nobody is in it; no entry has this number. */
bool is_free(uint64_t slot)
{
    struct gate_result r;

    backend_enter();
    r = mpk_gate(100, NULL, slot);
    backend_leave();
    return r.status == MPK_GATE_OK;
}

size_t secrets_on_stack(void)
{
    uint64_t word;
    size_t n = 0;

    for (size_t i = 0; i < sizeof(abi_stack); i += 8) {
        memcpy(&word, abi_stack + i, 8);
        n += word == ABI_SECRET;
    }
    return n;
}
