/* vkey_stub.c - what the outside asks for, under one lock. Inside. */
#include "vkey.h"
#include "wipe.h"

#include <mpkcore/heap.h>

#include <errno.h>
#include <sys/mman.h>

static int64_t init(void)
{
    struct vk_state *vk;

    if (mpk_ro.domain->vk != NULL) {
        return -EALREADY;
    }
    vk = mpk_heap_alloc(sizeof(*vk));
    if (vk == NULL) {
        return -ENOMEM;
    }
    lock_init(&vk->lock);
    for (uint32_t i = 0; i <= VK_CLASSES; i++) {
        vk->free_row[i] = VK_NONE;
    }
    vk->arena_ready = vk_ro.arena;
    vk->arena_next = vk_ro.arena + vk_gap_pages(vk_ro.backend) * MPK_PAGE;
    mpk_ro.domain->vk = vk;
    mpk_ro.domain->vk_fork = &vk_fork_steps;
    if (vk_ro.backend == MPK_BACKEND_MPK) {
        vk_cache_init();
        if (vk->n_keys == 0) {
            mpk_ro.domain->vk = NULL;
            mpk_ro.domain->vk_fork = NULL;
            mpk_heap_free(vk);
            return -ENOSPC;
        }
    }
    return 0;
}

/* ---- groups without keys ------------------------------------------------- */

static int open_prot(const struct vk_row *row)
{
    int prot = atomic_load(&row->global);

    if (row->writers != 0) {
        return prot | (row->prot & (PROT_READ | PROT_WRITE));
    }
    return row->readers != 0 ? prot | PROT_READ : prot;
}

/* One more or less that reads or writes; the pages follow. */
static int count(struct vk_row *row, int writes, int by)
{
    int before = open_prot(row), after;
    int err = 0;

    *(writes ? &row->writers : &row->readers) += (uint32_t)by;
    after = open_prot(row);
    if (after != before) {
        err = vk_row_protect(row, after, before);
    }
    if (err != 0) {
        *(writes ? &row->writers : &row->readers) -= (uint32_t)by;
    }
    return err;
}

void vk_row_uncount(struct vk_row *row, int writes)
{
    if (count(row, writes, -1) != 0) {
        mpk_fatal("a page group cannot be closed");
    }
}

static int64_t keyless_begin(struct vk_row *row, struct vk_thread *t, int prot)
{
    int writes = (prot & PROT_WRITE) != 0;
    int err;

    if (t->n_held == MPK_NEST_MAX) {
        return -EMLINK;
    }
    err = count(row, writes, 1);
    if (err == 0) {
        t->held[t->n_held++] = vk_row_index(row) << 1 | (uint32_t)writes;
    }
    return err;
}

/* Who ends a group goes on as if it were closed, whatever is returned. */
static int64_t keyless_end(struct vk_row *row, struct vk_thread *t)
{
    if (t->n_held == 0 || t->held[t->n_held - 1] >> 1 != vk_row_index(row)) {
        return -EPERM;
    }
    vk_row_uncount(row, (int)(t->held[--t->n_held] & 1));
    return 0;
}

/* ---- operations ---------------------------------------------------------- */

/*
 * The caller says which thread it is, and the kernel whether that is true: one
 * that lies could change what another one's mpk_end leaves open.
 */
static struct vk_thread *caller(const struct vk_frame *f)
{
    struct vk_thread *t = vk_ro.table->thread;
    uint32_t i = f->idx - 1;

    return i < vk_state()->threads && t[i].tid != 0 && t[i].tid == vk_tid()
               ? &t[i]
               : NULL;
}

/* It asks again, for a group that may be gone by now: it does not wait. */
static void waits_no_more(struct vk_thread *t)
{
    if (t != NULL && t->waiting) {
        t->waiting = 0;
        atomic_fetch_sub(&vk_ro.table->head.waiting, 1);
    }
}

static int64_t begin(struct vk_frame *f)
{
    struct vk_row *row = vk_row_find(f->vkey);
    struct vk_thread *t = caller(f);
    int global;

    waits_no_more(t);
    if (row == NULL) {
        return -ENOENT;
    }
    if (t == NULL) {
        return -EINVAL;
    }
    if ((f->prot & ~row->prot) != 0) {
        return -EACCES;
    }
    global = atomic_load(&row->global);
    if (global != 0) {
        return (f->prot & ~global) == 0 ? VK_IS_GLOBAL : -EBUSY;
    }
    if (vk_ro.backend != MPK_BACKEND_MPK) {
        return keyless_begin(row, t, f->prot);
    }
    return vk_cache_begin(row, f->idx - 1);
}

static int64_t end(struct vk_row *row, struct vk_frame *f)
{
    struct vk_thread *t = caller(f);

    return t == NULL ? -EINVAL : keyless_end(row, t);
}

static int64_t protect(struct vk_row *row, int prot)
{
    int before = atomic_load(&row->global), err;

    if ((prot & ~VK_PROT) != 0) {
        return -EINVAL;
    }
    if ((prot & ~row->prot) != 0) {
        return -EACCES;
    }
    if ((prot & PROT_WRITE) != 0) {
        prot |= PROT_READ; /* as the CPU has it */
    }
    if (row->readers + row->writers != 0) {
        return -EBUSY;
    }
    err = vk_cache_drop(row);
    if (err == 0) {
        err = vk_row_protect(row, prot, before);
    }
    if (err == 0) {
        atomic_store(&row->global, (uint8_t)prot);
    }
    return err;
}

/* Of a large group that is hardly used little is known: the domain's memory is
 * locked. */
#define FIRST_ROOM ((size_t)1 << 20)

/* Room for a block of |len| bytes, which is at most the group's; 0 where there
 * can be none. */
static int more_room(struct vk_row *row, size_t len)
{
    size_t have = row->blocks != NULL ? vk_blocks_room(row->blocks) : 0;
    size_t want = have + (len > have ? len : have);
    struct vk_blocks *more;

    if (want < FIRST_ROOM) {
        want = FIRST_ROOM;
    }
    want = (want + MPK_PAGE - 1) & ~(size_t)(MPK_PAGE - 1);
    if (want > row->len) {
        want = row->len;
    }
    more = want > have ? vk_blocks_grow(row->blocks, want) : NULL;
    if (more != NULL) {
        row->blocks = more;
    }
    return more != NULL;
}

static int64_t give_block(struct vk_row *row, struct vk_frame *f)
{
    size_t len = f->len;
    int64_t offset = -1;

    if (len > row->len) {
        return -ENOMEM;
    }
    if (row->blocks != NULL) {
        offset = vk_blocks_take(row->blocks, len);
    }
    if (offset < 0 && more_room(row, len)) {
        offset = vk_blocks_take(row->blocks, len);
    }
    if (offset < 0) {
        return -ENOMEM;
    }
    f->addr = (uint64_t)(uintptr_t)row->base + (uint64_t)offset;
    return 0;
}

static int holds(struct vk_row *row, struct vk_thread *t)
{
    uint32_t n = 0;

    if (vk_ro.backend == MPK_BACKEND_MPK) {
        return vk_cache_holds(row, (uint32_t)(t - vk_ro.table->thread));
    }
    while (n < t->n_held && t->held[n] >> 1 != vk_row_index(row)) {
        n++;
    }
    return n < t->n_held;
}

/*
 * Returns how long the block is, which is more than VK_WAIT, in a register:
 * whoever has the group open wipes it. When that is everybody, nothing
 * keeps the group open for as long as that takes but the lock: so it is wiped
 * here. When it is nobody, mpk_mprotect has closed it since mpk_begin.
 */
static int64_t retire_block(struct vk_row *row, const struct vk_frame *f)
{
    struct vk_thread *t = caller(f);
    int for_all = (atomic_load(&row->global) & PROT_WRITE) != 0;
    uint64_t offset = f->addr - (uint64_t)(uintptr_t)row->base;
    size_t len;

    if (t == NULL) {
        return -EINVAL;
    }
    if (!for_all && !holds(row, t)) {
        return VK_WAIT;
    }
    len = row->blocks != NULL ? vk_blocks_retire(row->blocks, offset) : 0;
    if (len == 0) {
        mpk_fatal("mpk_free of a pointer that is no block of the group");
    }
    if (for_all) {
        wipe(row->base + offset, len);
        vk_blocks_give(row->blocks, offset);
        return 0;
    }
    return (int64_t)len;
}

static int64_t give_back(struct vk_row *row, const struct vk_frame *f)
{
    uint64_t offset = f->addr - (uint64_t)(uintptr_t)row->base;

    return row->blocks != NULL && vk_blocks_give(row->blocks, offset) != 0
               ? 0
               : -EINVAL;
}

static int64_t stats(struct vk_frame *f)
{
    struct vk_state *vk = vk_state();
    struct mpk_stats s = {
        .keys = vk->n_keys,
        .groups = vk->groups,
        .loads = vk->loads,
        .evictions = vk->evictions,
        .waits = vk->waits,
        .table_bytes = vk->rows * sizeof(struct vk_row),
    };

    return mpk_copy_out(f->stats, &s, sizeof(s));
}

static int64_t with_row(enum vk_op op, struct vk_frame *f)
{
    struct vk_row *row = vk_row_find(f->vkey);

    if (row == NULL) {
        return -ENOENT;
    }
    switch (op) {
    case VK_MUNMAP:
        return vk_table_munmap(row);
    case VK_END:
        return end(row, f);
    case VK_MPROTECT:
        return protect(row, f->prot);
    case VK_MALLOC:
        return give_block(row, f);
    case VK_FREE:
        return retire_block(row, f);
    case VK_FREE_DONE:
        return give_back(row, f);
    default:
        return -EINVAL;
    }
}

static int64_t locked(enum vk_op op, struct vk_frame *f)
{
    int64_t ret;

    switch (op) {
    case VK_THREAD_NEW:
        return vk_thread_new(f);
    case VK_THREAD_END:
        if (caller(f) == NULL) {
            return -EINVAL;
        }
        vk_thread_release(f->idx - 1);
        return 0;
    case VK_MMAP:
        return vk_table_mmap(f);
    case VK_STATS:
        return stats(f);
    case VK_BEGIN:
        return begin(f);
    case VK_MUNMAP:
    case VK_MPROTECT:
        ret = with_row(op, f);
        /* Who has it open may be dead. */
        return ret == -EBUSY && vk_thread_reap(0) ? with_row(op, f) : ret;
    default:
        return with_row(op, f);
    }
}

static int64_t run(enum vk_op op, struct vk_frame *f)
{
    int64_t ret;

    if (op == VK_INIT) {
        return init();
    }
    if (vk_state() == NULL) {
        return -ENXIO;
    }
    lock_take(&vk_state()->lock);
    ret = locked(op, f);
    lock_give(&vk_state()->lock);
    return ret;
}

/*
 * One entry for each: which one is called is in a register on its way. In the
 * frame, any other thread could turn a call for the statistics into one that
 * opens a group for all.
 */
#define STUB(name, op)                                                         \
    int64_t mpk_vkey_##name(void *frame)                                       \
    {                                                                          \
        return run(op, frame);                                                 \
    }
STUB(init, VK_INIT)
STUB(thread_new, VK_THREAD_NEW)
STUB(thread_end, VK_THREAD_END)
STUB(mmap, VK_MMAP)
STUB(munmap, VK_MUNMAP)
STUB(begin, VK_BEGIN)
STUB(end, VK_END)
STUB(mprotect, VK_MPROTECT)
STUB(malloc, VK_MALLOC)
STUB(free, VK_FREE)
STUB(free_done, VK_FREE_DONE)
STUB(stats, VK_STATS)
