/*
 * mpkcore/mpk.h - any number of page groups, each under a virtual key.
 *
 * The interface is libmpk's (USENIX ATC 2019), without its kernel module. A
 * page group is a run of pages under a 64-bit virtual key. Nobody can read or
 * write it, until a thread opens it for itself between mpk_begin and mpk_end,
 * or the process opens it for all threads with mpk_mprotect. The CPU has 15
 * protection keys; they are a cache over the groups. A group that has one is
 * opened and closed with one WRPKRU each and no system call; one that has none
 * takes the key of the group that was not used for longest.
 *
 * A virtual key is never used twice: after mpk_munmap it is an error for ever.
 *
 * What it does not protect against: the kernel, root, ptrace and
 * /proc/PID/mem, side channels, code that executes WRPKRU itself or calls
 * mpk_begin, and other code of a thread while that thread has the group open.
 * A thread that is created between mpk_begin and mpk_end starts with the
 * rights of its creator, as clone(2) has it, and keeps them, also when the
 * protection key is another group's: do not create one there. Protection keys
 * do not keep anybody from executing code: see mpk_mmap.
 *
 * All of this is for the outside: stubs of a domain (mpkcore/gate.h) must not
 * call it. Two libraries in a process that each link the core have a domain,
 * keys and groups each; they share the 15 keys (max_keys).
 *
 * Functions return 0, or a negative errno: before mpk_init -ENXIO, but mpk_end
 * -EPERM. All are thread safe. All but
 * mpk_init may also be called in signal handlers of a thread that has opened a
 * group before, as long as each handler ends what it began and returns. The
 * manual page is mpkcore(3).
 */
#ifndef MPKCORE_MPK_H
#define MPKCORE_MPK_H

#include <mpkcore/core.h>

#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A virtual key; 0 is none. */
typedef uint64_t mpk_vkey_t;

/* Groups that one thread may have open at once. */
#define MPK_NEST_MAX 8

struct mpk_params {
    enum mpk_backend backend;
    /* Most protection keys to take from the process, besides the domain's own;
     * 15 or fewer, and 0 means 11, which leaves room for a second domain with a
     * key for groups. They are taken as they are needed, and never the last
     * one. */
    uint32_t max_keys;
    /*
     * How many groups a thread can have open at once whatever other threads do;
     * MPK_NEST_MAX at most, and 0 means 2. Each above 1 holds a key back (see
     * mpk_begin). It is lowered when the process has no more than this number
     * of keys.
     */
    uint32_t nest;
};

/*
 * mpk_init makes the domain in which the bookkeeping is kept, unless there is
 * one, and claims the first keys. |params| NULL means all defaults. Call it
 * once, before threads that open groups are made, and before pthread_atfork is
 * told of handlers that use groups: these must run while there is a domain, and
 * get -EDEADLK otherwise, or end the child. After a failure it can be called
 * again; the domain, if it could be made, stays.
 *
 * Where the kernel lets programs read the register fs (AT_HWCAP2 bit 1, Linux
 * 5.9 and later) a thread is known by that. Elsewhere it is known by the word
 * at fs:0, which other threads can write.
 *
 * A program with a domain of its own (mpk_core_init) puts MPK_VKEY_ENTRIES
 * into its table of entries, after MPK_CORE_ENTRIES and its own;
 * |params->backend| must then be the domain's.
 *
 * Returns what mpk_core_init does (mpk_core_strerror explains it), -ENOSPC also
 * when there is a key for the domain but none for groups besides the one that
 * is left to others, -EALREADY when it has been called, also by another thread
 * at the same time, -EINVAL for |params| that are too large or a backend that
 * is not the domain's, -EAGAIN when there are too many pthread keys, -EFBIG
 * when RLIMIT_FSIZE is below the 69 MiB of the table (of which what is used is
 * memory), -ENOMEM also when RLIMIT_AS leaves no 320 MiB of addresses, or
 * -ENOSYS when the domain's table has no MPK_VKEY_ENTRIES.
 */
MPK_MUST_CHECK int mpk_init(const struct mpk_params *params);

#define MPK_VKEY_FRAME_LEN 56
#define MPK_VKEY_ENTRY(op)                                                     \
    {                                                                          \
        mpk_vkey_##op, MPK_VKEY_FRAME_LEN, MPK_KIND_STACK                      \
    }
#define MPK_VKEY_ENTRIES                                                       \
    MPK_VKEY_ENTRY(init), MPK_VKEY_ENTRY(thread_new),                          \
        MPK_VKEY_ENTRY(thread_end), MPK_VKEY_ENTRY(mmap),                      \
        MPK_VKEY_ENTRY(munmap), MPK_VKEY_ENTRY(begin), MPK_VKEY_ENTRY(end),    \
        MPK_VKEY_ENTRY(mprotect), MPK_VKEY_ENTRY(malloc),                      \
        MPK_VKEY_ENTRY(free), MPK_VKEY_ENTRY(free_done), MPK_VKEY_ENTRY(stats)
int64_t mpk_vkey_init(void *frame);
int64_t mpk_vkey_thread_new(void *frame);
int64_t mpk_vkey_thread_end(void *frame);
int64_t mpk_vkey_mmap(void *frame);
int64_t mpk_vkey_munmap(void *frame);
int64_t mpk_vkey_begin(void *frame);
int64_t mpk_vkey_end(void *frame);
int64_t mpk_vkey_mprotect(void *frame);
int64_t mpk_vkey_malloc(void *frame);
int64_t mpk_vkey_free(void *frame);
int64_t mpk_vkey_free_done(void *frame);
int64_t mpk_vkey_stats(void *frame);

/*
 * mpk_mmap makes a page group of |len| bytes, rounded up to pages, and stores
 * its virtual key in |*vkey| and its address in |*addr|. The group is closed to
 * everybody. |prot| is the most that can ever be allowed: PROT_READ,
 * PROT_WRITE, PROT_EXEC as in mmap(2); a group with PROT_WRITE alone can never
 * be begun. |flags|, |fd| and |offset| are mmap's; |*addr| is a hint on entry.
 * MAP_PRIVATE | MAP_ANONYMOUS and no hint is the form for many groups: such
 * groups are side by side, so that 100,000 of them stay clear of
 * vm.max_map_count as long as they are closed (4,096 mappings with keys, some
 * 40 without); each that mpk_mprotect has open takes up to two mappings.
 * MAP_FIXED is refused: a group must not come to lie over another one. So is
 * MAP_GROWSDOWN; MAP_POPULATE does nothing. Do not change a group's mapping by
 * mremap(2) or munmap(2): what the core does not know of keeps a protection key
 * that becomes another group's.
 *
 * Code in a group that allows PROT_EXEC can be executed by every thread as long
 * as the group has a protection key, which it may lose at any time while it is
 * closed. Open such a group for the process, with mpk_mprotect, to run it.
 *
 * What such a group has of addresses serves, when it is given up, groups of its
 * size, rounded up to a power of two. Once there have been 2^20 groups, smaller
 * ones take it too, and where no such one is left it is lost to others.
 *
 * Returns -EINVAL (also for a |len| that is no whole number of huge pages, with
 * MAP_HUGETLB), -EACCES for a file that is not open for |prot|, -ENOMEM, also
 * when what mpk_init has reserved for groups side by side is used up (256 GiB,
 * less under RLIMIT_AS), -ENFILE (2^20 groups exist),
 * or what mmap(2) says, such as -EBADF.
 */
MPK_MUST_CHECK int mpk_mmap(mpk_vkey_t *vkey, void **addr, size_t len, int prot,
                            int flags, int fd, off_t offset);

/*
 * mpk_munmap gives the group up; its contents are gone, mlock(2) of it too, and
 * its virtual key is never used again. Returns -ENOENT for a key that is none,
 * -EBUSY while a thread has the group open by mpk_begin, the caller included,
 * and -ENOMEM when the kernel does not change the pages; it is a group still
 * then, whose contents may be gone. One that mpk_mprotect has opened is given
 * up under its users.
 */
int mpk_munmap(mpk_vkey_t vkey);

/*
 * mpk_begin opens the group for the calling thread, with |prot| PROT_READ or
 * PROT_READ | PROT_WRITE. mpk_end closes the group that the thread has opened
 * last; what was open before is as it was. They nest like brackets, and a group
 * may be opened again while it is open, which counts for MPK_NEST_MAX too. An
 * open group keeps its protection key. Who leaves by longjmp or an exception
 * leaves the group open until he calls mpk_end, for the last one first.
 *
 * When every key is kept by some thread, mpk_begin waits until one is not. It
 * is a wait as for a lock: do not hold up, between mpk_begin and mpk_end, for
 * something that a thread in mpk_begin is to do. Groups by themselves cannot
 * make a deadlock as long as no thread has more than |nest| of them open.
 *
 * mpk_begin returns -ENOENT for a key that is none, -EINVAL or -EACCES for a
 * |prot| that makes no sense or that the group does not allow, -EBUSY for a
 * group that mpk_mprotect has opened with less than |prot|, -EDEADLK for more
 * than |nest| groups where waiting could last for ever, -EMLINK for more than
 * MPK_NEST_MAX begins, -EAGAIN when 4096 threads use groups, -EPERM when gettid
 * is denied to a thread's first begin, and -ENOMEM when the kernel does not
 * change the pages' key or rights: the group is as it was, in all its pages.
 * mpk_end returns -EPERM for a group that is not the last opened one. An end
 * that cannot close its group, without protection keys, ends the process, and
 * so do pages that can be neither opened nor closed again.
 */
MPK_MUST_CHECK int mpk_begin(mpk_vkey_t vkey, int prot);
int mpk_end(mpk_vkey_t vkey);

/*
 * mpk_mprotect sets what all threads of the process may do with the group, as
 * mprotect(2) does, for threads that exist and those to come; |prot| is at most
 * what mpk_mmap was given. PROT_NONE closes the group again. When it returns,
 * no thread has more, also not one that has begun the group by that right. It
 * changes the pages, and costs and allows what mprotect(2) does: PROT_WRITE is
 * PROT_READ too, and PROT_EXEC alone keeps readers out where the kernel has a
 * protection key left for that (pkeys(7)).
 *
 * Returns -ENOENT, -EINVAL for a |prot| that makes no sense, -EACCES, -EBUSY
 * while a thread has the group open with mpk_begin, or -ENOMEM when the kernel
 * does not change the pages' rights: they are what they were then, and a group
 * that was to be closed is open.
 */
MPK_MUST_CHECK int mpk_mprotect(mpk_vkey_t vkey, int prot);

/*
 * mpk_malloc allocates |size| bytes of the group, aligned to 64, and stores the
 * address in |*p|. The group need not be open. The bookkeeping is in the
 * domain: writing past a block does not damage it. It is 6 to 12 MiB of locked
 * memory for each GiB that blocks have reached, until mpk_munmap. A child of
 * fork has its own, also of a group with MAP_SHARED. The bytes are zero, unless
 * the group is a file's or the program has written there without a block.
 *
 * Returns -ENOENT, or -ENOMEM when the group is full.
 */
MPK_MUST_CHECK int mpk_malloc(mpk_vkey_t vkey, void **p, size_t size);

/*
 * mpk_free wipes the block and gives it back to the group; it opens the group
 * for that, as mpk_begin does, and needs a group with PROT_WRITE. A pointer
 * that is no block of the group, freed ones included, ends the process. Returns
 * what mpk_begin does: -EACCES for a group with less than PROT_READ |
 * PROT_WRITE, -EMLINK when the thread has MPK_NEST_MAX begins already. NULL is
 * freed as by free(3): nothing is done. If the
 * group cannot be closed again the process ends.
 */
int mpk_free(mpk_vkey_t vkey, void *p);

struct mpk_stats {
    uint32_t keys;      /* protection keys taken, without the domain's */
    uint64_t groups;    /* groups that exist */
    uint64_t loads;     /* times a group got a key ... */
    uint64_t evictions; /* ... and another one lost it for that */
    uint64_t waits;     /* times a thread found every key kept */
    size_t table_bytes; /* bookkeeping for the groups, without mpk_malloc's */
};

/* mpk_stats_get fills |*stats|; returns 0, -EFAULT for NULL, or -ENXIO before
 * mpk_init. */
int mpk_stats_get(struct mpk_stats *stats);

#ifdef __cplusplus
}
#endif

#endif
