/*
 * vkey_fork.c - a forked child has a table of virtual keys of its own. Inside.
 *
 * The pages of groups are private memory, which the kernel copies, with the
 * keys that they carry. The table is shared memory, so that a second one is
 * made before the fork. Of the threads there is one in the child, and it has
 * open what it had.
 */
#include "vkey.h"

static int prepare(void)
{
    struct vk_state *vk = vk_state();

    vk->fork_tid = vk_tid();
    vk->stage.rows = vk->rows;
    vk->stage.threads = vk->threads;
    return map_table_stage(&vk->stage);
}

static void parent(void)
{
    map_table_unstage(&vk_state()->stage);
}

static int has_windows(const struct vk_state *vk)
{
    for (uint32_t i = 0; i < vk->n_keys; i++) {
        if (map_pin_window(vk->key[i].pkey) != 0) {
            return 0;
        }
    }
    return 1;
}

/* Nobody outside goes by the table before it is alive. */
static int child(void)
{
    struct vk_state *vk = vk_state();

    if (!map_table_child(&vk->stage) || !has_windows(vk)) {
        return 0;
    }
    for (uint32_t i = 0; i < vk->threads; i++) {
        struct vk_thread *t = &vk_ro.table->thread[i];

        t->waiting = 0; /* nobody waits here, and the count begins at 0 */
        if (t->tid == vk->fork_tid) {
            t->tid = vk_tid();
        } else {
            vk_thread_release(i);
        }
    }
    return map_table_alive() == 0;
}

const struct fork_steps vk_fork_steps = {prepare, parent, child};
