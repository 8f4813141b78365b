/* vkey_thread.c - the list of threads that open groups. Inside. */
#include "vkey.h"
#include "x86_64/cpu.h"

#include <asm/prctl.h>
#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

uint32_t vk_tid(void)
{
    long tid = syscall(SYS_gettid);

    return tid > 0 ? (uint32_t)tid : 0;
}

uintptr_t vk_fs_base(void)
{
    uintptr_t fs = 0;

    if (vk_ro.reads_fs) {
        return cpu_fs_base();
    }
    return syscall(SYS_arch_prctl, ARCH_GET_FS, &fs) == 0 ? fs : 0;
}

void vk_thread_release(uint32_t thread)
{
    struct vk_state *vk = vk_state();
    struct vk_thread *t = &vk_ro.table->thread[thread];

    if (t->tid == 0) {
        return;
    }
    vk_cache_forget(thread);
    while (t->n_held > 0) {
        uint32_t held = t->held[--t->n_held];

        vk_row_uncount(&vk_ro.table->row[held >> 1], (int)(held & 1));
    }
    if (t->waiting) {
        t->waiting = 0;
        atomic_fetch_sub(&vk_ro.table->head.waiting, 1);
    }
    t->tid = 0;
    t->tls = 0;
    vk->n_threads--;
    /* Who looks for pins looks at all places up to the last. */
    while (vk->threads > 0 && vk_ro.table->thread[vk->threads - 1].tid == 0) {
        vk->threads--;
    }
}

static int has_open(uint32_t thread)
{
    return vk_ro.table->thread[thread].n_held != 0 || vk_cache_pinned(thread);
}

/*
 * A thread that ended without its destructors is not known to the kernel any
 * more. (If another one has got its number it seems to live, until that one
 * registers or ends too; and the first one is known as long as the process.)
 * Of each it is a system call, with the lock: where many wait for what few have
 * open, each of them asks again and again.
 */
int vk_thread_reap(int all)
{
    struct vk_state *vk = vk_state();
    /* The inside's getpid is for comparisons. */
    pid_t pid = (pid_t)syscall(SYS_getpid);
    int any = 0;

    for (uint32_t i = 0; i < vk->threads; i++) {
        uint32_t tid = vk_ro.table->thread[i].tid;

        if (tid != 0 && (all || has_open(i)) &&
            syscall(SYS_tgkill, pid, tid, 0) != 0 && last_errno() == ESRCH) {
            vk_thread_release(i);
            any = 1;
        }
    }
    return any;
}

int64_t vk_thread_new(struct vk_frame *f)
{
    struct vk_state *vk = vk_state();
    uint32_t tid = vk_tid(), at = VK_NONE;
    uintptr_t fs = vk_fs_base();
    uint64_t tls = fs + vk_ro.self_at;

    if (fs == 0) {
        mpk_fatal("the kernel does not say which thread this is");
    }
    if (tid == 0) {
        return -EPERM;
    }
    for (uint32_t i = 0; i < vk->threads; i++) {
        struct vk_thread *t = &vk_ro.table->thread[i];

        /* Its own, which it has forgotten: what it has open it keeps. */
        if (t->tid == tid && t->tls == tls) {
            f->idx = i + 1;
            return 0;
        }
        /* A dead thread that had this number, or this place: with its idx the
         * caller would have its pins. */
        if (t->tid == tid || (t->tid != 0 && t->tls == tls)) {
            vk_thread_release(i);
        }
        if (at == VK_NONE && t->tid == 0) {
            at = i;
        }
    }
    if (at == VK_NONE && (vk->threads < VK_THREADS || vk_thread_reap(1))) {
        at = vk->threads < VK_THREADS ? vk->threads : 0;
        while (vk_ro.table->thread[at].tid != 0) {
            at++;
        }
    }
    if (at == VK_NONE) {
        return -EAGAIN;
    }
    if (vk->threads <= at) {
        vk->threads = at + 1;
    }
    vk_ro.table->thread[at].tid = tid;
    vk_ro.table->thread[at].tls = tls;
    vk->n_threads++;
    f->idx = at + 1;
    return 0;
}
