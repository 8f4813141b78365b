/* vkey_table.c - rows of the table of virtual keys, and pages for them. Inside.
 */
#include "vkey.h"

#include <errno.h>
#include <stdint.h>
#include <sys/mman.h>

#define ARENA_STEP ((size_t)64 << 20)
/* A group lies over no other one, and has no pages that it does not know of:
 * what it grew by would keep its protection key when that is another's. */
#define NO_FLAGS (MAP_FIXED | MAP_GROWSDOWN)

struct vk_row *vk_row_find(uint64_t vkey)
{
    struct vk_row *row = &vk_ro.table->row[vkey & (VK_ROWS - 1)];

    return vkey >> VK_ROW_BITS != 0 && atomic_load(&row->vkey) == vkey ? row
                                                                       : NULL;
}

/*
 * The domain's key, and not the one of all other memory: libc makes pages
 * readable where words that anybody can write say so, and then leaves their key
 * as it is (docs/design/gate.md).
 */
struct map_rights vk_closed(void)
{
    return (struct map_rights){PROT_NONE, mpk_ro.pkey};
}

/*
 * Pages that are executable can be read, whatever their rights say, but by a
 * protection key: the kernel has one for PROT_EXEC alone (pkeys(7)), which it
 * uses unless it is told another.
 */
static struct map_rights rights_for(int prot)
{
    struct map_rights r = {prot, -1};

    if (prot == PROT_NONE) {
        return vk_closed();
    }
    if (vk_ro.backend == MPK_BACKEND_MPK && prot != PROT_EXEC) {
        r.key = 0;
    }
    return r;
}

int vk_row_protect(struct vk_row *row, int prot, int before)
{
    struct map_rights to = rights_for(prot), from = rights_for(before);

    if (vk_ro.backend == MPK_BACKEND_NONE) {
        return 0;
    }
    return map_group_change(row->base, row->len, &to, &from);
}

static uint8_t class_of(size_t pages)
{
    return pages <= 1 ? 0 : (uint8_t)(64 - __builtin_clzll(pages - 1));
}

/* The next part of the arena. For a moment it counts as data (RLIMIT_DATA), so
 * that a smaller one may be had where a large one is not. */
static int arena_grow(struct vk_state *vk)
{
    size_t left = (size_t)(vk_ro.arena_end - vk->arena_ready);
    size_t step = left < ARENA_STEP ? left : ARENA_STEP;

    while (step >= MPK_PAGE && map_arena_commit(vk->arena_ready, step) != 0) {
        step = step / 4 & ~(size_t)(MPK_PAGE - 1);
    }
    vk->arena_ready += step;
    return step != 0;
}

/* 2^cls pages that no group ever had, and what is behind them for none; NULL
 * when there are no more. */
static char *arena_take(struct vk_state *vk, uint8_t cls)
{
    size_t pages = ((size_t)1 << cls) + vk_gap_pages(vk_ro.backend);
    size_t len = pages * MPK_PAGE;
    char *p = vk->arena_next;

    if (len > (size_t)(vk_ro.arena_end - p)) {
        return NULL;
    }
    while (p + len > vk->arena_ready) {
        if (!arena_grow(vk)) {
            return NULL;
        }
    }
    vk->arena_next = p + len;
    if (vk_ro.backend == MPK_BACKEND_MPK &&
        vk_is_apart(vk->taken++, VK_APART, cls)) {
        map_group_set_apart(p, len);
    }
    return p;
}

static struct vk_row *row_of(struct vk_state *vk, uint32_t list)
{
    struct vk_row *row = NULL;

    if (vk->free_row[list] != VK_NONE) {
        row = &vk_ro.table->row[vk->free_row[list]];
        vk->free_row[list] = row->next;
    }
    return row;
}

/* A free row of this list, or one without pages, or a new one; or, where there
 * are no new ones, one with more pages, or with whatever. */
static struct vk_row *row_take(struct vk_state *vk, uint32_t list)
{
    struct vk_row *row = row_of(vk, list);

    if (row == NULL) {
        row = row_of(vk, VK_CLASSES);
    }
    if (row == NULL && vk->rows < VK_ROWS) {
        row = &vk_ro.table->row[vk->rows++];
        row->kind = 0;
    }
    for (uint32_t i = 1; i <= VK_CLASSES && row == NULL; i++) {
        row = row_of(vk, (list + i) % (VK_CLASSES + 1));
    }
    return row;
}

static void row_give(struct vk_state *vk, struct vk_row *row)
{
    uint32_t list = row->kind == VK_ARENA ? row->cls : VK_CLASSES;

    row->next = vk->free_row[list];
    vk->free_row[list] = vk_row_index(row);
}

/* Those of the arena stay with the row. */
static int give_up_pages(struct vk_row *row, size_t len)
{
    int err;

    if (row->kind == VK_ARENA) {
        return map_group_discard(row->base, len);
    }
    err = row->kind == VK_OWN ? map_group_release(row->base, len) : 0;
    if (err == 0) {
        row->kind = 0;
    }
    return err;
}

static int64_t pages_for(struct vk_state *vk, struct vk_row *row,
                         struct vk_frame *f, int arena, uint8_t cls)
{
    char *p = (char *)(uintptr_t)f->addr;
    int err;

    if (!arena) {
        err = map_group_own(&p, f->len, f->prot, f->flags, f->fd, f->offset);
        if (err == 0 && !mpk_is_outside(p, f->len)) {
            mpk_fatal("pages of a group are in the domain");
        }
        row->kind = err == 0 ? VK_OWN : 0;
        row->base = p;
        return err;
    }
    if (row->kind != VK_ARENA || row->cls < cls) {
        p = arena_take(vk, cls);
        if (p == NULL) {
            return -ENOMEM;
        }
        row->base = p;
        row->kind = VK_ARENA;
        row->cls = cls;
    }
    return 0;
}

/* That a group can have. Of addresses that are not ours the kernel knows. */
static size_t most_bytes(int arena)
{
    return arena ? (size_t)(vk_ro.arena_end - vk_ro.arena) : (size_t)INT64_MAX;
}

int64_t vk_table_mmap(struct vk_frame *f)
{
    struct vk_state *vk = vk_state();
    int arena = f->flags == (MAP_PRIVATE | MAP_ANONYMOUS) && f->addr == 0;
    struct vk_row *row;
    uint8_t cls;
    int64_t err;

    if (f->len == 0 || (f->prot & ~VK_PROT) != 0 ||
        (f->flags & NO_FLAGS) != 0) {
        return -EINVAL;
    }
    if (f->len > most_bytes(arena)) {
        return -ENOMEM;
    }
    f->len = (f->len + MPK_PAGE - 1) & ~(uint64_t)(MPK_PAGE - 1);
    cls = class_of(f->len / MPK_PAGE);
    row = row_take(vk, arena ? cls : VK_CLASSES);
    if (row == NULL) {
        return -ENFILE;
    }
    err = pages_for(vk, row, f, arena, cls);
    if (err == 0 && vk_ro.backend == MPK_BACKEND_NONE) {
        err = map_group_tag(row->base, f->len, f->prot, -1);
        if (err != 0) {
            (void)give_up_pages(row, f->len);
        }
    }
    if (err != 0) {
        row_give(vk, row);
        return err;
    }
    row->len = f->len;
    row->prot = (uint8_t)f->prot;
    atomic_store(&row->global, 0);
    atomic_store(&row->key, -1);
    atomic_store(&row->hit, -1);
    row->blocks = NULL;
    row->readers = row->writers = 0;
    vk->groups++;
    f->addr = (uint64_t)(uintptr_t)row->base;
    f->vkey = ++vk->serial << VK_ROW_BITS | vk_row_index(row);
    atomic_store(&row->vkey, f->vkey);
    return 0;
}

int64_t vk_table_munmap(struct vk_row *row)
{
    struct vk_state *vk = vk_state();
    int err;

    if (row->readers + row->writers != 0) {
        return -EBUSY;
    }
    /* The pages lose their key before anything else can have either. */
    err = vk_cache_drop(row);
    if (err == 0) {
        err = give_up_pages(row, row->len);
    }
    if (err != 0) {
        return err;
    }
    atomic_store(&row->vkey, 0);
    vk_blocks_free(row->blocks);
    row->blocks = NULL;
    vk->groups--;
    row_give(vk, row);
    return 0;
}
