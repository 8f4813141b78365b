/*
 * mpkcore/gate.h - the only way into the domain.
 *
 * An operation is an entry in a read-only table. mpk_call enters the domain,
 * copies the caller's frame (the argument struct) into it, runs the entry's
 * stub on the copy, copies the frame back and leaves with every caller-saved
 * register wiped. The stub sees only the copy, which no other thread can change
 * under it; pointers in the frame stay untrusted and are used through the
 * functions of "inside" below.
 *
 * All functions are thread safe.
 *
 * Source of the gate's shape: ERIM (USENIX Security 2019) section 4; what was
 * changed and why is in docs/design/gate.md.
 */
#ifndef MPKCORE_GATE_H
#define MPKCORE_GATE_H

#include <mpkcore/core.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Largest frame in bytes. */
#define MPK_FRAME_MAX 512

/* The kind of an entry: what it runs on, and so what it costs. */
enum mpk_kind {
    /*
     * On a stack inside the domain, with all signals blocked: a handler must
     * neither run on that stack nor find our registers in its frame.
     */
    MPK_KIND_STACK = 0,
    /*
     * On the caller's stack, with signals as they are: no system call, unless
     * the slot has no block of memory left that is asked for. For short
     * operations that are as frequent as a TLS record. What was used of that
     * stack is wiped, but while the stub runs it can be read, and written, by
     * every thread; a signal handler's frame holds the registers of the stub.
     * Such a stub
     *   - uses no more than 5,120 bytes of stack and needs as many below the
     *     caller's rsp, as a function with such an array would;
     *   - keeps on the stack no pointer or length whose forging would do harm,
     *     if it can be helped: they belong in the frame, which is a copy in
     *     the domain for this kind too;
     *   - resizes no block of the heap and opens no page group (group.h);
     *   - calls nothing that is a cancellation point (pthreads(7)).
     * A configuration can take it back: mpk_config.light.
     */
    MPK_KIND_LIGHT
};

struct mpk_entry {
    /* Runs inside with the copied frame; the result is mpk_call's. */
    int64_t (*stub)(void *frame);
    uint32_t frame_len;
    enum mpk_kind kind;
};

/* Entries 0 to 2 belong to the core; a table starts with these three. */
#define MPK_CORE_ENTRIES                                                       \
    {mpk_boot_stub, 0, MPK_KIND_STACK},                                        \
        {mpk_fork_stub, MPK_FORK_FRAME_LEN, MPK_KIND_STACK},                   \
    {                                                                          \
        mpk_stack_stub, 0, MPK_KIND_STACK                                      \
    }
#define MPK_ENTRY_FIRST 3
#define MPK_FORK_FRAME_LEN 8
int64_t mpk_boot_stub(void *frame);
int64_t mpk_fork_stub(void *frame);
int64_t mpk_stack_stub(void *frame);

/*
 * mpk_call runs entry |op| with |frame|, which must have the entry's frame_len
 * bytes, and returns the stub's result. It blocks while the process forks, and
 * when 63 threads are inside. Not for signal handlers, nor for stubs.
 *
 * Returns also: -ENOSYS for an |op| that is not in the table, -EFAULT for a
 * |frame| that touches the domain, and -EDEADLK when a signal handler calls in
 * the middle of a light entry, or fork's handler of a library that installed it
 * before the domain was made. A signal handler that interrupts a light entry
 * must return: one that jumps out of it takes a slot with it, and one that
 * calls fork ends the process. Ends the process when it was made by a clone(2)
 * that ran no fork handlers, because its memory is then shared with its
 * parent's.
 */
int64_t mpk_call(uint32_t op, void *frame);

/* mpk_is_inside_call says whether the calling thread is inside the gate. Works
 * on both sides. */
int mpk_is_inside_call(void);

/* ---- inside: for stubs only ---------------------------------------------- */

/*
 * mpk_is_outside says whether the |len| bytes at |p| are entirely outside the
 * domain: not NULL, not wrapping, touching neither the domain's range nor the
 * module data that belongs to it. True for |len| == 0. The memory may still
 * not exist.
 */
int mpk_is_outside(const void *p, size_t len);

/* mpk_is_inside says whether the |len| bytes at |p| are addresses of the
 * domain, all of them: for what a light entry is about to write. */
int mpk_is_inside(const void *p, size_t len);

/*
 * mpk_copy_in copies |len| bytes from |src| outside to |dst| inside, and
 * mpk_copy_out from |src| inside to |dst| outside. Both return 0, or -EFAULT
 * when the outside range is not outside; nothing is copied then.
 */
MPK_MUST_CHECK int mpk_copy_in(void *dst, const void *src, size_t len);
MPK_MUST_CHECK int mpk_copy_out(void *dst, const void *src, size_t len);

/* mpk_is_on_domain_stack says whether this runs on a stack of the domain, and
 * not on its caller's, as a light stub does. */
int mpk_is_on_domain_stack(void);

/* mpk_forks says how many forks lie between this process and the one that made
 * the domain: what a child compares with a number that its parent noted. */
uint32_t mpk_forks(void);

/*
 * mpk_scratch returns MPK_SCRATCH bytes inside, aligned to 64, that are the
 * calling entry's until its stub returns: the end of the frame's place, so for
 * entries whose frame has at most MPK_FRAME_MAX - MPK_SCRATCH. For light stubs,
 * on whose stack every thread can look and write. Not wiped.
 */
#define MPK_SCRATCH 128
void *mpk_scratch(void);

/* mpk_crossings counts the entries of all threads so far, for measurements. */
uint64_t mpk_crossings(void);

#ifdef __cplusplus
}
#endif

#endif
