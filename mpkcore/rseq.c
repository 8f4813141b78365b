/*
 * rseq.c - a thread that comes inside takes no part in restartable sequences.
 *
 * glibc (2.35 and later) registers an area of each thread, in memory that
 * anybody can write, and at the next preemption the kernel goes by what stands
 * there: who writes to it sends the thread elsewhere, with the domain open
 * (rseq(2), <linux/rseq.h>). So it is given back before a thread's first entry.
 * glibc uses it for sched_getcpu only, which does without.
 *
 * That it was is to be known at each entry, without a system call and by
 * nothing that another thread can write. A thread has one register that
 * programs have no use for, the base of gs: it is put as far from that of fs,
 * the thread's own, as RSEQ_LEFT says. A new thread begins with its maker's gs
 * and with an fs of its own, so it is never taken for one that was here.
 */
#include "internal.h"

#include <linux/rseq.h>
#include <stddef.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>

/* glibc's, of 2.35 and later: from the thread pointer to the area, and how much
 * of that is in use, 0 when it registers none; both read-only. */
extern const ptrdiff_t __rseq_offset __attribute__((weak));
extern const unsigned __rseq_size __attribute__((weak));

#define GLIBC_SIGNATURE 0x53053053U
/* What glibc registers, to 2.39; later as much as the kernel uses, if more. How
 * much that is, the kernel has written where everybody can write. */
#define AREA_LEN 32UL
#define AT_FEATURE_SIZE 27 /* AT_RSEQ_FEATURE_SIZE, AT_RSEQ_ALIGN */
#define AT_ALIGN 28

/* Thread pointers, and what a program would have gs point to, end otherwise. */
#define ENDS_LIKE (RSEQ_LEFT & 63)
_Static_assert(RSEQ_LEFT < 64 && RSEQ_LEFT % 8 != 0, "nobody's address");

static unsigned long len_of_kernel(void)
{
    unsigned long align = getauxval(AT_ALIGN);
    unsigned long size = getauxval(AT_FEATURE_SIZE);

    return align != 0 ? (size + align - 1) / align * align : 0;
}

void rseq_init(enum mpk_rseq rseq)
{
    int before = errno;

    if (rseq == MPK_RSEQ_UNREGISTER && &__rseq_size != NULL &&
        &__rseq_offset != NULL && __rseq_size != 0 && cpu_may_read_fs()) {
        mpk_ro.rseq_at = __rseq_offset;
        mpk_ro.rseq_len = len_of_kernel();
        mpk_ro.leaves_rseq = 1;
    }
    errno = before; /* getauxval sets it */
}

static int unregister(uintptr_t area, unsigned long len)
{
    return syscall(SYS_rseq, area, len, RSEQ_FLAG_UNREGISTER,
                   GLIBC_SIGNATURE) == 0
               ? 0
               : map_failure();
}

void rseq_leave(void)
{
    int before = last_errno();
    uintptr_t fs = cpu_fs_base(), gs = cpu_gs_base();
    uintptr_t area = fs + (uintptr_t)mpk_ro.rseq_at;
    int err = unregister(area, AREA_LEN);

    /* Whatever the error: it is in errno, which is outside. */
    if (err != 0 && mpk_ro.rseq_len > AREA_LEN) {
        err = unregister(area, mpk_ro.rseq_len);
    }
    /* That there is none is no failure: it is the same error. */
    if (err != 0 && err != -EINVAL) {
        mpk_notice_due(MPK_NOTICE_RSEQ);
    }
    /* Whoever has a use for gs all the same keeps it, and gives the kernel a
     * look at each entry. */
    if (gs == 0 || gs % 64 == ENDS_LIKE) {
        cpu_set_gs_base(fs + RSEQ_LEFT);
    }
    set_last_errno(before);
}
