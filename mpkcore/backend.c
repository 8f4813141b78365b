/*
 * backend.c - opening and closing for the backend that has no keys.
 *
 * mprotect is process-wide, so the domain is open while any thread is inside:
 * the first one opens, the last one closes. That is as good as it gets
 * without keys, and what we are measured against.
 */
#include "internal.h"

#include <errno.h>

void backend_open(void)
{
    if (mpk_ro.backend == MPK_BACKEND_MPROTECT && mpk_out.open_count++ == 0) {
        map_set_open(1);
    }
}

void backend_close(void)
{
    if (mpk_ro.backend == MPK_BACKEND_MPROTECT && --mpk_out.open_count == 0) {
        map_set_open(0);
    }
}

int backend_enter(void)
{
    if (mpk_ro.backend != MPK_BACKEND_MPROTECT) {
        return 0;
    }
    if (is_in_own_fork()) { /* which has the lock */
        return -EDEADLK;
    }
    pthread_mutex_lock(&mpk_out.lock);
    backend_open();
    pthread_mutex_unlock(&mpk_out.lock);
    return 0;
}

void backend_leave(void)
{
    if (mpk_ro.backend != MPK_BACKEND_MPROTECT) {
        return;
    }
    pthread_mutex_lock(&mpk_out.lock);
    backend_close();
    pthread_mutex_unlock(&mpk_out.lock);
}

/* In a child of fork, where the other threads are gone. */
void backend_child(void)
{
    mpk_out.open_count = 0;
    if (mpk_ro.backend == MPK_BACKEND_MPROTECT) {
        map_set_open(0);
    }
}
