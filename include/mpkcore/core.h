/*
 * mpkcore/core.h - one protected memory domain in this process.
 *
 * The domain is a range of memory that is closed to every thread except while
 * that thread is inside the gate (see mpkcore/gate.h). Closing is done with a
 * memory protection key (Intel SDM vol. 3A 4.6.2, pkeys(7)), so that opening
 * costs one WRPKRU and no system call. A heap (mpkcore/heap.h) and one stack
 * for each thread that is inside live in the range.
 *
 * What it does not protect against: the kernel, root, ptrace and
 * /proc/PID/mem on memory that is not secretmem, side channels, and code that
 * executes WRPKRU itself.
 *
 * Linux on x86-64 only. All functions are thread safe unless they say
 * otherwise.
 */
#ifndef MPKCORE_CORE_H
#define MPKCORE_CORE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MPK_MUST_CHECK __attribute__((warn_unused_result))

/* How the domain is closed. Nothing but MPK_BACKEND_MPK is ever a default. */
enum mpk_backend {
    /* Protection keys: each thread has its own view. */
    MPK_BACKEND_MPK = 0,
    /*
     * mprotect(2) at each entry: the domain is open for every thread while
     * one of them is inside, and an entry costs system calls. What one can
     * have without protection keys, and the baseline of our measurements.
     */
    MPK_BACKEND_MPROTECT,
    /* Never closed: for valgrind and for measuring. Protects nothing. */
    MPK_BACKEND_NONE
};

/* What the domain's pages are. */
enum mpk_memory {
    /* secretmem as far as the memory-lock limit allows, then anonymous. */
    MPK_MEMORY_AUTO = 0,
    /* memfd_secret(2) only; an allocation that cannot have it fails, and a
     * child of fork(2) for whose copy there is none has no domain. */
    MPK_MEMORY_SECRETMEM,
    /* Anonymous pages, locked as far as the limit allows. */
    MPK_MEMORY_ANONYMOUS
};

/* Where light entries run (mpkcore/gate.h, MPK_KIND_LIGHT). */
enum mpk_light {
    /*
     * On the caller's stack, which other threads can write: cheap. Backend
     * mprotect, which opens the domain to every thread anyway and where a
     * system call more is nothing, takes the domain's stacks all the same.
     */
    MPK_LIGHT_CALLER_STACK = 0,
    /* Like every other entry, for who wants no exception. */
    MPK_LIGHT_DOMAIN_STACK
};

/* What becomes of restartable sequences (rseq(2)), which libc registers a
 * thread for in memory that others can write. */
enum mpk_rseq {
    /*
     * A thread that comes inside is not registered any more: what stands in
     * that memory would send it elsewhere, with the domain open. The base of
     * its gs, if that was 0, says so from then on. Needs a kernel with
     * FSGSBASE (Linux 5.9) and glibc's area: what a program registers by itself
     * it keeps.
     */
    MPK_RSEQ_UNREGISTER = 0,
    /* It stays, for programs that use it. */
    MPK_RSEQ_KEEP
};

/* Whether pages of the domain are sealed (mseal(2), Linux 6.10): nobody can
 * have them unmapped, moved or opened any more. */
enum mpk_seal {
    /* Where no system call of the process is filtered: a filter that does not
     * know the call may end it. */
    MPK_SEAL_AUTO = 0,
    /* By any filter, for who knows that it lets the call pass, or fail; and so
     * close_range(2), by which the thread that opens what is secretmem copies
     * no more than 64 of the process's descriptors. */
    MPK_SEAL_TRY
};

#define MPK_OUTSIDE_MAX 4
/* A page-aligned object of the embedding module that stays outside. */
struct mpk_range {
    const void *start;
    size_t len;
};

struct mpk_entry;

struct mpk_config {
    enum mpk_backend backend;
    enum mpk_memory memory;
    enum mpk_light light;
    enum mpk_rseq rseq;
    enum mpk_seal seal;
    /* The operations that the gate offers; must be in read-only memory. */
    const struct mpk_entry *entries;
    uint32_t n_entries;
    /*
     * Protection keys to claim for page groups of the inside (mpkcore/group.h):
     * as many of these as there are, of which the process keeps one for others.
     * 0 when there are no such groups.
     */
    uint32_t group_keys;
    /*
     * When |module_data| is not NULL it is an address inside a loaded module
     * whose writable data (.data, .bss) is to become part of the domain,
     * except the |n_outside| ranges of |outside|, at most MPK_OUTSIDE_MAX, each
     * of whole pages (what is not is -EINVAL), in any order. For a
     * module that embeds a whole library, whose state must not be forged from
     * outside. Ignored by MPK_BACKEND_NONE and MPK_BACKEND_MPROTECT.
     */
    const void *module_data;
    const struct mpk_range *outside;
    size_t n_outside;
    /*
     * Called outside the domain with one line (no newline) that an operator
     * should see, such as "the memory-lock limit is reached". It must not
     * call into the domain: a fork may be under way. May be NULL.
     */
    void (*notice)(const char *line);
};

/*
 * mpk_core_init makes the domain of this process: reserves the range, takes a
 * protection key, commits and tags the first pages and opens the gate for
 * |config->entries|. It can be done once in a process; the domain lives until
 * the process ends. The caller makes sure that two threads do not call it at
 * once. After a failure it can be called again, also with another |config|.
 *
 * Returns 0, -EALREADY when there is a domain, -EINVAL for a |config| that
 * makes no sense, -ENOTSUP when the CPU or the kernel has no protection keys,
 * -ENOSPC when the process has no key left, -ENODEV when secretmem was asked
 * for and there is none, or it is denied, -EMFILE or -ENFILE when it was asked
 * for and no descriptor is left, -EFBIG when it was asked for and RLIMIT_FSIZE
 * does not allow it, -ENOMEM, -EAGAIN when the memory-lock limit
 * does not allow what was asked for, -ENOSYS, -EPERM or -EACCES when another
 * system call is denied, or -EIO when there are no random numbers.
 */
MPK_MUST_CHECK int mpk_core_init(const struct mpk_config *config);

/* mpk_core_strerror says in one sentence what an operator can do about |err|,
 * a result of mpk_core_init. The string is static. */
const char *mpk_core_strerror(int err);

struct mpk_info {
    enum mpk_backend backend;
    int pkey;                /* protection key, or -1 */
    const void *base;        /* the reserved range ... */
    size_t size;             /* ... in bytes */
    size_t committed_secret; /* bytes of secretmem in use */
    size_t committed_anon;   /* bytes of anonymous memory in use */
    uint32_t stacks;         /* domain stacks made so far */
};

/* mpk_core_info fills |*info|; returns 0, or -ENXIO before mpk_core_init. */
int mpk_core_info(struct mpk_info *info);

/*
 * mpk_fatal writes "mpk: fatal: |text|" to standard error and ends the process
 * with SIGABRT, whatever handler the program has for it. For corruption and
 * broken invariants only. May be called inside and outside.
 */
void mpk_fatal(const char *text) __attribute__((cold, noreturn));

#ifdef __cplusplus
}
#endif

#endif
