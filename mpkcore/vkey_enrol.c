/* vkey_enrol.c - how a thread comes into the list of threads that open groups,
 * and leaves it. Outside. */
#include "vkey.h"

static pthread_key_t at_exit_key;

/*
 * What a thread has open when it ends is closed here, before its pins are given
 * back: other destructors run after this one, and a key that was open for them
 * would soon be another group's. What counts is what the table says: its own
 * list can have been changed.
 */
static void thread_ends(void *unused)
{
    /* What pthread_setspecific was given lies where everybody can write. */
    struct vk_self *self = vk_my_self();
    struct vk_frame f = {.idx = self->idx};

    (void)unused;
    while (self->depth > 0 && self->depth <= MPK_NEST_MAX &&
           mpk_end(self->open[self->depth - 1]) == 0) {
    }
    vk_close_all(self);
    if (self->idx != 0 && vk_call(VK_THREAD_END, &f) == 0) {
        self->idx = 0;
        self->depth = 0;
        vk_wake();
    }
}

int vk_thread_init(void)
{
    static int done;

    if (!done) {
        int err = pthread_key_create(&at_exit_key, thread_ends);

        if (err != 0) {
            return -err;
        }
        done = 1;
    }
    return 0;
}

int vk_thread_register(struct vk_self *self)
{
    struct vk_frame f = {0};
    int64_t err = vk_call(VK_THREAD_NEW, &f);
    int unheard;

    if (err != 0) {
        return (int)err;
    }
    self->idx = f.idx;
    unheard = pthread_setspecific(at_exit_key, self);
    if (unheard != 0) {
        /* Its end would close nothing, nor give its place back. */
        thread_ends(NULL);
    }
    return -unheard;
}
