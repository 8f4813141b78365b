/*
 * map_group.c - of the files that map or tag memory the one for the pages of
 * groups, and the table of virtual keys.
 */
#include "map_impl.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TABLE_LEN (sizeof(struct vk_table))
#define PINS_LEN (VK_THREADS * sizeof(struct vk_pin))
#define WINDOW_LEN (MPK_HW_KEYS * PINS_LEN)
#define LARGEST_PAGE ((size_t)1 << 30)

int map_group_tag(char *p, size_t len, int prot, int key)
{
    int ret =
        key >= 0 ? pkey_mprotect(p, len, prot, key) : mprotect(p, len, prot);

    return ret == 0 ? 0 : map_failure();
}

/*
 * A group that the program has locked in part (mlock), or has called madvise
 * for, is more than one mapping. The kernel changes one after another, and when
 * it fails (a limit on data, too many mappings) those before are changed.
 */
int map_group_change(char *p, size_t len, const struct map_rights *to,
                     const struct map_rights *from)
{
    int err = map_group_tag(p, len, to->prot, to->key);

    if (err != 0 && map_group_tag(p, len, from->prot, from->key) != 0) {
        mpk_fatal("a page group was changed in part, and cannot be closed");
    }
    return err;
}

void map_barrier(void)
{
    if (syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) != 0) {
        mpk_fatal("membarrier failed");
    }
}

/* ---- pages of groups ----------------------------------------------------- */

size_t map_address_limit(void)
{
    struct rlimit limit;

    return getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY
               ? SIZE_MAX
               : limit.rlim_cur;
}

size_t map_address_share(void)
{
    size_t limit = map_address_limit();

    return limit / (limit < (size_t)4 << 30 ? 8 : 2);
}

int map_arena_make(size_t len)
{
    char *p = map_reserve(len, MPK_PAGE, 0);

    if (p == NULL) {
        return -ENOMEM;
    }
    vk_ro.arena = p;
    vk_ro.arena_end = p + len;
    return 0;
}

/*
 * A page is touched before the mapping is ever split. The kernel then has one
 * anon_vma for all of it, and pieces that were told apart by a protection key
 * become one again when they have lost it. Otherwise each group that was ever
 * open would stay a mapping, of which there can be 65,530.
 */
int map_arena_commit(char *p, size_t len)
{
    if (mprotect(p, len, PROT_READ | PROT_WRITE) != 0) {
        return map_failure();
    }
    *(volatile char *)p = 0;
    return map_group_tag(p, len, PROT_NONE, mpk_ro.pkey);
}

/* The kernel has one flag more for the pages, which says something of pages of
 * 2 MiB only. Where it knows none such, all is as it was. */
void map_group_set_apart(char *p, size_t len)
{
    madvise(p, len, MADV_NOHUGEPAGE);
}

#ifndef MADV_GUARD_REMOVE
#define MADV_GUARD_REMOVE 103 /* Linux 6.13 */
#endif

/* What the program has asked of mlock(2) and madvise(2) was for its group, and
 * not for the next one in this place. What was not asked for is no error, and
 * what this kernel does not know was not. */
static void forget_advice(char *p, size_t len)
{
    static const int advice[] = {MADV_DOFORK,       MADV_KEEPONFORK,
                                 MADV_DONTDUMP,     MADV_UNMERGEABLE,
                                 MADV_GUARD_REMOVE, MADV_NORMAL};

    munlock(p, len);
    for (size_t i = 0; i < sizeof(advice) / sizeof(advice[0]); i++) {
        madvise(p, len, advice[i]);
    }
}

int map_group_discard(char *p, size_t len)
{
    forget_advice(p, len);
    /* What is not let go all the same is replaced. */
    if (madvise(p, len, MADV_DONTNEED) != 0) {
        int err = map_reserve_again(p, len);

        if (err != 0) {
            return err;
        }
    }
    return map_group_tag(p, len, PROT_NONE, mpk_ro.pkey);
}

/*
 * Pages of a length that is no whole number of pages of their size (hugetlb)
 * end behind |len|, and munmap takes nothing but all of them: the first length
 * that it does not call wrong is theirs.
 */
static void unmap_all(char *p, size_t len)
{
    for (size_t page = MPK_PAGE; page <= LARGEST_PAGE; page *= 2) {
        size_t whole = (len + page - 1) & ~(page - 1);

        if (munmap(p, whole) == 0 || last_errno() != EINVAL) {
            return;
        }
    }
}

/*
 * mmap says nothing about rights that are not asked for, so a file that cannot
 * be written, or pages that cannot be closed, would be found out by mpk_begin.
 * The rights are therefore given and taken away before anybody is told the
 * address. The pages carry the domain's key; without keys other
 * threads could read there, if they guessed the address, zeros or what a file
 * has, in which nobody has put a secret by this group yet.
 */
int map_group_own(char **p, size_t len, int prot, int flags, int fd,
                  int64_t offset)
{
    char *m = mmap(*p, len, PROT_NONE, flags, fd, (off_t)offset);
    int err;

    if (m == MAP_FAILED) {
        return map_failure();
    }
    err = map_group_tag(m, len, prot, mpk_ro.pkey);
    if (err == 0) {
        err = map_group_tag(m, len, PROT_NONE, mpk_ro.pkey);
    }
    if (err != 0) {
        unmap_all(m, len);
        return err;
    }
    madvise(m, len, MADV_DONTDUMP);
    *p = m;
    return 0;
}

int map_group_release(char *p, size_t len)
{
    return munmap(p, len) == 0 ? 0 : map_failure();
}

/* ---- the table ----------------------------------------------------------- */

int map_pin_window(int key)
{
    return map_group_tag((char *)(vk_ro.window + (size_t)key * VK_THREADS),
                         PINS_LEN, PROT_READ | PROT_WRITE, key);
}

static int view(char *at, size_t len, int prot, int fd, size_t offset)
{
    return mmap(at, len, prot, MAP_SHARED | MAP_FIXED, fd, (off_t)offset) ==
           MAP_FAILED;
}

/*
 * A page that says 1, and 0 in a child made by a raw clone: such a child would
 * share its parent's table. (Leaving the views out of the child altogether is
 * worse: another library's fork handler might map something in their place.)
 */
int map_table_alive(void)
{
    uint32_t *word = (uint32_t *)(uintptr_t)vk_ro.alive;

    if (mprotect(word, MPK_PAGE, PROT_READ | PROT_WRITE) != 0) {
        return map_failure();
    }
    *word = 1;
    if (mprotect(word, MPK_PAGE, PROT_READ) == 0) {
        return 0;
    }
    *word = 0;
    return map_failure();
}

static int make_alive(void)
{
    void *page;
    int err = map_wiped_page(&page, PROT_READ);

    vk_ro.alive = page;
    return err != 0 ? err : map_table_alive();
}

static struct views own_views(void)
{
    const struct views v = {(char *)vk_ro.table, (char *)(uintptr_t)vk_ro.view,
                            (char *)vk_ro.window};

    return v;
}

static int inside_rights(char *p)
{
    if (mpk_ro.backend == MPK_BACKEND_MPROTECT && mpk_out.open_count == 0) {
        return 0;
    }
    return map_group_tag(p, TABLE_LEN, PROT_READ | PROT_WRITE, mpk_ro.pkey);
}

static int table_fd(void)
{
    return map_memory_file("mpk-table", TABLE_LEN);
}

/* Maps |fd| and closes it: whoever had it could map a writable view of his
 * own. That of everybody comes last, and cannot be made one. */
static int map_views_of(int fd, const struct views *v)
{
    int err = 0;

    if (view(v->table, TABLE_LEN, PROT_NONE, fd, 0) ||
        view(v->window, WINDOW_LEN, PROT_NONE, fd,
             offsetof(struct vk_table, pin))) {
        err = map_failure();
    }
    map_no_more_writers(fd);
    if (err == 0 && view(v->view, TABLE_LEN, PROT_READ, fd, 0)) {
        err = map_failure();
    }
    map_close_fd(fd);
    return err != 0 ? err : inside_rights(v->table);
}

int map_views_here(const struct views *v)
{
    int fd = table_fd();

    return fd < 0 ? fd : map_views_of(fd, v);
}

static void release(void *p, size_t len)
{
    if (p != NULL) {
        munmap(p, len);
    }
}

void map_table_undo(void)
{
    release((void *)(uintptr_t)vk_ro.view, TABLE_LEN);
    release(vk_ro.window, WINDOW_LEN);
    release((void *)(uintptr_t)vk_ro.alive, MPK_PAGE);
    release(vk_ro.arena, (size_t)(vk_ro.arena_end - vk_ro.arena));
    if (vk_ro.table != NULL) {
        map_give_back((char *)vk_ro.table, TABLE_LEN);
    }
}

/* What map_barrier asks for is there. Linux before 4.14 does not know it. */
static int barrier_init(void)
{
    int err = 0;

    if (syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0,
                0) != 0) {
        err = map_failure();
    }
    return err == -EINVAL ? -ENOSYS : err;
}

int map_table_make(void)
{
    struct views v;
    int err = barrier_init();

    if (err != 0) {
        return err;
    }
    vk_ro.table = (struct vk_table *)mpk_ro.table;
    vk_ro.view = (const struct vk_table *)map_reserve(TABLE_LEN, MPK_PAGE, 0);
    vk_ro.window = (struct vk_pin *)map_reserve(WINDOW_LEN, MPK_PAGE, 0);
    if (vk_ro.view == NULL || vk_ro.window == NULL) {
        return -ENOMEM;
    }
    v = own_views();
    err = map_views(&v);
    return err != 0 ? err : make_alive();
}

/* ---- fork ---------------------------------------------------------------- */

#define STAGE_LEN (2 * TABLE_LEN + WINDOW_LEN)

static struct views stage_views(char *p)
{
    const struct views v = {p, p + TABLE_LEN, p + 2 * TABLE_LEN};

    return v;
}

static int copy_part(struct vk_table *to, const void *part, size_t len)
{
    char *p = (char *)to + ((const char *)part - (const char *)vk_ro.table);
    size_t in_page = (size_t)p % MPK_PAGE;

    if (map_populate(p - in_page, len + in_page) != 0) {
        return 0;
    }
    memcpy(p, part, len);
    return 1;
}

/* The parts of the table that are used. */
static int copy_parts(const struct vk_stage *st, struct vk_table *to)
{
    const struct vk_table *from = vk_ro.table;
    int done =
        copy_part(to, from->row, sizeof(struct vk_row) * st->rows) &&
        copy_part(to, from->thread, sizeof(struct vk_thread) * st->threads);

    for (uint32_t k = 0; k < MPK_HW_KEYS && done; k++) {
        done = copy_part(to, from->pin[k], sizeof(struct vk_pin) * st->threads);
    }
    return done;
}

void map_table_unstage(struct vk_stage *st)
{
    if (st->copy != NULL) {
        munmap(st->copy, STAGE_LEN);
        st->copy = NULL;
    }
}

/*
 * A table for the child, mapped as a table is, so that nothing can be wanting
 * any more, such as a descriptor, when the child puts it in place.
 */
int map_table_stage(struct vk_stage *st)
{
    struct views v;

    st->copy = map_reserve(STAGE_LEN, MPK_PAGE, 0);
    if (st->copy == NULL) {
        return 0;
    }
    v = stage_views(st->copy);
    if (map_views(&v) != 0 || !copy_parts(st, (struct vk_table *)v.table) ||
        (mpk_ro.backend == MPK_BACKEND_MPROTECT &&
         map_close(v.table, TABLE_LEN) != 0)) {
        map_table_unstage(st);
        return 0;
    }
    return 1;
}

int map_table_child(struct vk_stage *st)
{
    struct views from = stage_views(st->copy), to = own_views();
    int moved = st->copy != NULL && map_move(to.table, from.table, TABLE_LEN) &&
                map_move(to.view, from.view, TABLE_LEN) &&
                map_move(to.window, from.window, WINDOW_LEN) &&
                inside_rights(to.table) == 0 &&
                !atomic_exchange(&vk_ro.table->head.adopted, 1);

    st->copy = NULL;
    return moved;
}
