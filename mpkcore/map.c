/*
 * map.c - the only file, with map_apart.c, map_fork.c, map_group.c,
 * map_module.c and map_seal.c, that maps, tags, locks or seals memory.
 *
 * Pages are tagged before they hold anything: they are mapped without access,
 * or to read where that is what populates them, and get their rights together
 * with the key. Nobody keeps a descriptor of secretmem (map_apart.c): a second
 * mapping of it would be an alias without the key (tried: it is readable).
 */
#include "map_impl.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

int map_failure(void)
{
    int err = last_errno();

    return err > 0 && err <= 4095 ? -err : -EIO;
}

int map_key_alloc(void)
{
    int key = pkey_alloc(0, PKEY_DISABLE_ACCESS);

    if (key >= 0) {
        return key;
    }
    /* The kernel has keys (OSPKE). ENOSPC: they are taken. Else a filter of
     * system calls has spoken, which says EPERM or ENOSYS as a rule. */
    return last_errno() == EINVAL ? -ENOTSUP : map_failure();
}

int map_key_claim(void)
{
    int key = map_key_alloc(), other;

    if (key < 0) {
        return key;
    }
    other = map_key_alloc();
    if (other < 0) {
        pkey_free(key);
        return -ENOSPC;
    }
    pkey_free(other);
    return key;
}

int map_keys_left(unsigned n)
{
    int key[MPK_HW_KEYS], err = 0;
    unsigned have = 0;

    while (have < n && err == 0) {
        key[have] = map_key_alloc();
        err = key[have] < 0 ? key[have] : 0;
        have += err == 0;
    }
    while (have > 0) {
        pkey_free(key[--have]);
    }
    return err;
}

void map_key_free(int key)
{
    if (key >= 0) {
        pkey_free(key);
    }
}

char *map_reserve(size_t size, size_t align, size_t room)
{
    size_t whole;
    char *start, *p;

    for (;; room /= 4) {
        room = room < MPK_CHUNK ? 0 : room;
        whole = size + align + 2 * room;
        p = mmap(NULL, whole, PROT_NONE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (p != MAP_FAILED || room == 0) {
            break;
        }
    }
    if (p == MAP_FAILED) {
        return NULL;
    }
    start = p + room;
    start = (char *)(((uintptr_t)start + align - 1) & ~(uintptr_t)(align - 1));
    if (start > p) {
        munmap(p, (size_t)(start - p));
    }
    munmap(start + size, (size_t)(p + whole - (start + size)));
    madvise(start, size, MADV_DONTDUMP);
    return start;
}

void map_release(char *p, size_t size)
{
    munmap(p, size);
}

int map_tag(char *p, size_t len)
{
    switch (mpk_ro.backend) {
    case MPK_BACKEND_MPK:
        return pkey_mprotect(p, len, PROT_READ | PROT_WRITE, mpk_ro.pkey);
    case MPK_BACKEND_MPROTECT:
        /* Closed, unless some thread is inside and expects it open. */
        return mpk_out.open_count > 0 ? mprotect(p, len, PROT_READ | PROT_WRITE)
                                      : 0;
    case MPK_BACKEND_NONE:
        return mprotect(p, len, PROT_READ | PROT_WRITE);
    }
    return -1;
}

int map_reserve_again(char *p, size_t len)
{
    if (mmap(p, len, PROT_NONE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
             0) == MAP_FAILED) {
        return map_failure();
    }
    madvise(p, len, MADV_DONTDUMP);
    return 0;
}

void map_give_back(char *p, size_t len)
{
    if (map_reserve_again(p, len) != 0) {
        mpk_fatal("memory of the domain cannot be given back");
    }
}

/*
 * Root has the limit too, unless the kernel finds CAP_IPC_LOCK: not in a user
 * namespace, nor in most containers. Asked by locking more than the limit of
 * what is reserved only, which costs nothing.
 */
int map_locks_freely(char *p, size_t size)
{
    struct rlimit limit;
    size_t len;
    int freely;

    if (geteuid() != 0 || getrlimit(RLIMIT_MEMLOCK, &limit) != 0 ||
        limit.rlim_cur >= size - MPK_PAGE) {
        return 0;
    }
    len = (limit.rlim_cur & ~(size_t)(MPK_PAGE - 1)) + MPK_PAGE;
    freely = mlock2(p, len, MLOCK_ONFAULT) == 0;
    if (freely) {
        map_give_back(p, len);
    }
    return freely;
}

/* Bytes of secretmem that there are. Whoever could write it would have the
 * domain grow by ordinary memory; the copy outside only tells. */
static size_t secret_there(void)
{
    return atomic_load(mpk_ro.n_entries != 0 ? &mpk_ro.domain->secret_bytes
                                             : &mpk_out.secret_bytes);
}

static void secret_change(size_t by)
{
    atomic_fetch_add(&mpk_out.secret_bytes, by);
    if (mpk_ro.n_entries != 0) {
        atomic_fetch_add(&mpk_ro.domain->secret_bytes, by);
    }
}

/* Of the module's data, which is locked too. */
static size_t module_there(void)
{
    size_t len = 0;

    for (uint32_t i = 0; i < mpk_ro.n_module; i++) {
        len += mpk_ro.module[i].len;
    }
    return len;
}

/* Half of what may be locked: fork needs as much again for the child. */
static int within_secret_budget(size_t len)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0 ||
        limit.rlim_cur == RLIM_INFINITY ||
        (mpk_ro.locks_freely && geteuid() == 0)) {
        return 1;
    }
    return 2 * (secret_there() + len) + module_there() <= limit.rlim_cur;
}

/*
 * Some kernels charge a page of secretmem to the memory-lock limit when it is
 * first touched, root's too, and answer with SIGBUS beyond it (seen on Debian's
 * 6.1.0-56 and 6.12.117). A system call that reads there fails instead; this
 * one blocks no signal.
 */
int map_populate(const char *p, size_t len)
{
    for (size_t at = 0; at < len; at += MPK_PAGE) {
        if (syscall(SYS_rt_sigprocmask, SIG_BLOCK, p + at, NULL,
                    sizeof(uint64_t)) != 0) {
            int err = map_failure();

            return err == -EFAULT ? -EAGAIN : err;
        }
    }
    return 0;
}

int map_move(char *to, char *from, size_t len)
{
    return syscall(SYS_mremap, from, len, len, MREMAP_MAYMOVE | MREMAP_FIXED,
                   to) == (long)(uintptr_t)to;
}

/* Memory at |from| takes the place at |to|, in one step; or it is unmapped. */
static int move_to(char *to, char *from, size_t len)
{
    int err;

    if (map_move(to, from, len)) {
        return 0;
    }
    err = map_failure();
    /* What was there can be gone. Where mappings are scarce, to reserve it
     * needs the one that |from| is. */
    munmap(from, len);
    map_give_back(to, len);
    return err;
}

/*
 * Until they had their key these pages were read-only, which libc can be made
 * to undo; zero is what they are taken for. Whoever makes the domain is
 * outside.
 */
static void wipe_fresh(char *p, size_t len)
{
    volatile uint64_t *word = (volatile uint64_t *)(void *)p;

    if (mpk_ro.pkru_mask != 0 && !(cpu_pkru() & mpk_ro.pkru_mask)) {
        for (size_t i = 0; i < len / sizeof(*word); i++) {
            word[i] = 0;
        }
    }
}

/*
 * It is mapped elsewhere first. Over what is reserved the kernel would unmap
 * that, and then find that the memory-lock limit is reached: until the place
 * was reserved again, memory of the program's could come to be there (seen).
 * It is tagged last: elsewhere is outside, and a thread that is inside could be
 * made to write there what is then taken for fresh pages (fresh_pages_test).
 */
int map_secret(char **p, size_t len)
{
    char *at, *m = NULL;
    int err = map_secret_pages(&m, len);

    if (err != 0) {
        return err;
    }
    err = map_populate(m, len);
    if (err == 0 && mprotect(m, len, PROT_NONE) != 0) {
        err = map_failure();
    }
    if (err != 0) {
        munmap(m, len);
        return err;
    }
    if (*p != NULL && (err = move_to(*p, m, len)) != 0) {
        return err;
    }
    at = *p != NULL ? *p : m;
    if (map_tag(at, len) != 0) {
        err = map_failure();
        if (*p != NULL) {
            map_give_back(at, len);
        } else {
            munmap(at, len);
        }
        return err;
    }
    *p = at;
    return 0;
}

static int commit_secret(char *p, size_t len)
{
    int err = within_secret_budget(len) ? map_secret(&p, len) : -EAGAIN;

    if (err != 0) {
        return err;
    }
    wipe_fresh(p, len);
    madvise(p, len, MADV_DONTDUMP);
    secret_change(len);
    return MAP_SECRET;
}

/* A page that is locked is also none that libc's free can have the kernel throw
 * away: it goes by words that anybody can write, and by no key. */
void map_lock(char *p, size_t len)
{
    /* On fault, because populating would read through a closed key. */
    if (mlock2(p, len, MLOCK_ONFAULT) != 0) {
        mpk_notice_due(MPK_NOTICE_LOCK_LIMIT);
    }
}

static int commit_anonymous(char *p, size_t len)
{
    if (mmap(p, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
             0) == MAP_FAILED ||
        map_tag(p, len) != 0) {
        return map_failure();
    }
    /* wipe_fresh takes memory; where that is locked (mlockall) it is there. */
    if (madvise(p, len, MADV_DONTNEED) != 0) {
        wipe_fresh(p, len);
    }
    madvise(p, len, MADV_DONTDUMP);
    map_lock(p, len);
    atomic_fetch_add(&mpk_out.anon_bytes, len);
    return MAP_ANON;
}

/* Fork has all signals blocked, so none more are by this. What decides is the
 * result alone: errno lies outside. */
int map_is_open(const char *page)
{
    return syscall(SYS_rt_sigprocmask, SIG_BLOCK, page, NULL,
                   sizeof(uint64_t)) == 0;
}

int map_close(char *p, size_t len)
{
    return mprotect(p, len, PROT_NONE) == 0 ? 0 : map_failure();
}

uint32_t map_notice_for(int err)
{
    switch (err) {
    case -EAGAIN:
        return MPK_NOTICE_SECRETMEM_LIMIT;
    case -EMFILE:
    case -ENFILE:
        return MPK_NOTICE_NO_DESCRIPTOR;
    case -EFBIG:
        return MPK_NOTICE_FILE_LIMIT;
    case -ENODEV:
        return MPK_NOTICE_NO_SECRETMEM;
    default:
        return MPK_NOTICE_NOT_MAPPED;
    }
}

int map_commit(char *p, size_t len)
{
    int ret;

    if (mpk_ro.memory != MPK_MEMORY_ANONYMOUS) {
        ret = commit_secret(p, len);
        if (ret >= 0 || mpk_ro.memory == MPK_MEMORY_SECRETMEM) {
            return ret;
        }
        mpk_notice_due(map_notice_for(ret));
    }
    return commit_anonymous(p, len);
}

void map_uncommit(char *p, size_t len, int kind)
{
    map_give_back(p, len);
    if (kind == MAP_SECRET) {
        secret_change(0 - len);
    } else {
        atomic_fetch_sub(&mpk_out.anon_bytes, len);
    }
}

int map_private_page(char *p, int wiped)
{
    if (mmap(p, MPK_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
             -1, 0) == MAP_FAILED ||
        (wiped && madvise(p, MPK_PAGE, MADV_WIPEONFORK) != 0) ||
        map_tag(p, MPK_PAGE) != 0) {
        return map_failure();
    }
    madvise(p, MPK_PAGE, MADV_DONTDUMP);
    return 0;
}

int map_wiped_page(void **page, int prot)
{
    void *p = mmap(NULL, MPK_PAGE, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    *page = p != MAP_FAILED ? p : NULL;
    return p != MAP_FAILED && madvise(p, MPK_PAGE, MADV_WIPEONFORK) == 0
               ? 0
               : map_failure();
}

void map_lock_page(char *p)
{
    mlock2(p, MPK_PAGE, MLOCK_ONFAULT);
}

/* ---- the mprotect backend ----------------------------------------------- */

void map_set_open(int open)
{
    int prot = open ? PROT_READ | PROT_WRITE : PROT_NONE;
    uint32_t slots = atomic_load(&mpk_out.slots_ready);
    char *low = slot_low(0);
    char *high = atomic_load(&mpk_out.heap_end);

    if (mprotect(low, (size_t)(high - low), prot) != 0 ||
        (vk_ro.table != NULL &&
         mprotect(vk_ro.table, sizeof(*vk_ro.table), prot) != 0)) {
        mpk_fatal("mprotect of the domain failed");
    }
    for (uint32_t i = 1; i < slots && i < MPK_SLOTS; i++) {
        if (mprotect(slot_low(i), SLOT_MAPPED, prot) != 0) {
            mpk_fatal("mprotect of a domain stack failed");
        }
    }
}
