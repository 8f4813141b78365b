/* ended.c - contexts that have ended, outside, and wait to go in. */
#include "prov.h"

int ended_keep(struct ended *list, uint64_t handle)
{
    for (size_t i = 0; i < MPKPROV_ENDED; i++) {
        uint64_t nothing = 0;

        if (__atomic_compare_exchange_n(&list->handle[i], &nothing, handle, 0,
                                        __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
            return 1;
        }
    }
    return 0;
}

void ended_take(struct ended *list, struct mpkprov_frame *f)
{
    for (size_t i = 0; i < MPKPROV_ENDED; i++) {
        uint64_t *handle = &list->handle[i];

        f->ended[i] = __atomic_load_n(handle, __ATOMIC_RELAXED) != 0
                          ? __atomic_exchange_n(handle, 0, __ATOMIC_ACQ_REL)
                          : 0;
    }
}
