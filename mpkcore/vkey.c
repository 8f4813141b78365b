/* vkey.c - the outside of virtual keys, but for mpk_begin and mpk_end. */
#include "vkey.h"
#include "wipe.h"
#include "x86_64/cpu.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#ifdef MPK_SANITIZED /* whose run-time writes shadow for all of it */
#define ARENA_LEN ((size_t)1 << 30)
#else
#define ARENA_LEN ((size_t)1 << 38)
#endif
#define ARENA_LEAST ((size_t)1 << 26)
#define DEFAULT_KEYS 11
#define DEFAULT_NEST 2

static const struct mpk_entry entries[] = {MPK_CORE_ENTRIES, MPK_VKEY_ENTRIES};

static int make_domain(enum mpk_backend backend)
{
    struct mpk_config config = {
        .backend = backend,
        .memory = MPK_MEMORY_ANONYMOUS, /* there is nothing secret in it */
        .entries = entries,
        .n_entries = sizeof(entries) / sizeof(entries[0]),
    };

    /* One that is there lacks its last step, or nothing. */
    int err = mpk_core_init(&config);

    return err == -EALREADY ? 0 : err;
}

static int find_entries(void)
{
    for (uint32_t i = 0; i + VK_STATS < mpk_ro.n_entries; i++) {
        if (mpk_ro.entries[i].stub == mpk_vkey_init &&
            mpk_ro.entries[i + VK_STATS].stub == mpk_vkey_stats) {
            vk_ro.first = i;
            return 0;
        }
    }
    return -ENOSYS;
}

static void settle(const struct mpk_params *p, enum mpk_backend backend)
{
    vk_ro.backend = backend;
    vk_ro.max_keys = p->max_keys != 0 ? p->max_keys : DEFAULT_KEYS;
    vk_ro.nest = p->nest != 0 ? p->nest : DEFAULT_NEST;
}

/* Where addresses are limited (RLIMIT_AS) the program keeps some. */
static int make_arena(void)
{
    size_t len = ARENA_LEN, share = map_address_limit() / 4;
    int err;

    while (len > share && len > ARENA_LEAST) {
        len /= 4;
    }
    while ((err = map_arena_make(len)) == -ENOMEM && len > ARENA_LEAST) {
        len /= 4;
    }
    return err;
}

static int make_memory(void)
{
    int err = map_table_make();

    return err != 0 ? err : make_arena();
}

/* Nothing is left of what was begun: mpk_init can be called again. */
static int give_up(int err)
{
    map_table_undo();
    memset(&vk_ro, 0, sizeof(vk_ro));
    return err;
}

static int refused(const struct mpk_params *params)
{
    if (vk_ro.view != NULL) {
        return -EALREADY;
    }
    return params->max_keys >= MPK_HW_KEYS || params->nest > MPK_NEST_MAX
               ? -EINVAL
               : 0;
}

int vk_init_with(const struct mpk_params *params, enum mpk_backend backend)
{
    struct vk_frame f = {0};
    int err = refused(params);

    if (err != 0) {
        return err;
    }
    settle(params, backend);
    err = find_entries();
    if (err == 0) {
        err = vk_settle_self();
    }
    if (err == 0) {
        err = vk_thread_init();
    }
    if (err == 0) {
        err = make_memory();
    }
    if (err == 0) {
        err = (int)vk_call(VK_INIT, &f);
    }
    if (err != 0) {
        return give_up(err);
    }
    if (map_seal(&vk_ro, sizeof(vk_ro)) != 0) {
        mpk_fatal("the description of the keys cannot be made read-only");
    }
    return 0;
}

/* Asked before there is a domain, which would stay: it needs a key, groups need
 * one, and one is left to others. */
static int keys_are_left(enum mpk_backend backend)
{
    if (backend != MPK_BACKEND_MPK || !cpu_has_ospke()) {
        return 0; /* or an error of the domain's */
    }
    return map_keys_left(mpk_ro.domain != NULL ? 2 : 3);
}

static int init(const struct mpk_params *params)
{
    int err = refused(params);

    if (err == 0) {
        err = keys_are_left(params->backend);
    }
    if (err == 0) {
        err = make_domain(params->backend);
    }
    if (err != 0) {
        return err;
    }
    if (params->backend != mpk_ro.backend) {
        return -EINVAL;
    }
    return vk_init_with(params, params->backend);
}

int mpk_init(const struct mpk_params *params)
{
    static const struct mpk_params defaults;
    static pthread_mutex_t once = PTHREAD_MUTEX_INITIALIZER;
    int err;

    /* What is half made by one thread the next would take for made, or undo. */
    pthread_mutex_lock(&once);
    err = init(params != NULL ? params : &defaults);
    pthread_mutex_unlock(&once);
    return err;
}

int mpk_mmap(mpk_vkey_t *vkey, void **addr, size_t len, int prot, int flags,
             int fd, off_t offset)
{
    struct vk_frame f = {.addr = (uint64_t)(uintptr_t)*addr,
                         .len = len,
                         .prot = prot,
                         .flags = flags,
                         .fd = fd,
                         .offset = offset};
    int64_t err;

    if (vk_ro.view == NULL) {
        return -ENXIO;
    }
    err = vk_call(VK_MMAP, &f);
    if (err == 0) {
        *vkey = f.vkey;
        *addr = (void *)(uintptr_t)f.addr;
    }
    return (int)err;
}

static inline __attribute__((always_inline)) int
call_with(enum vk_op op, mpk_vkey_t vkey, int prot)
{
    struct vk_frame f = {.vkey = vkey, .prot = prot};

    return vk_ro.view == NULL ? -ENXIO : (int)vk_call(op, &f);
}

int mpk_munmap(mpk_vkey_t vkey)
{
    return call_with(VK_MUNMAP, vkey, 0);
}

int mpk_mprotect(mpk_vkey_t vkey, int prot)
{
    return call_with(VK_MPROTECT, vkey, prot);
}

int mpk_malloc(mpk_vkey_t vkey, void **p, size_t size)
{
    struct vk_frame f = {.vkey = vkey, .len = size};
    int64_t err = vk_ro.view == NULL ? -ENXIO : vk_call(VK_MALLOC, &f);

    if (err == 0) {
        *p = (void *)(uintptr_t)f.addr;
    }
    return (int)err;
}

/* The group is open: wipes the block and gives it back. */
static int64_t free_block(mpk_vkey_t vkey, void *p)
{
    struct vk_frame f = {
        .idx = vk_my_self()->idx, .vkey = vkey, .addr = (uint64_t)(uintptr_t)p};
    int64_t len = vk_call(VK_FREE, &f);

    if (len <= VK_WAIT) {
        return len;
    }
    wipe(p, (size_t)len);
    return vk_call(VK_FREE_DONE, &f);
}

int mpk_free(mpk_vkey_t vkey, void *p)
{
    int64_t err;

    if (vk_ro.view == NULL) {
        return -ENXIO;
    }
    if (p == NULL) {
        return 0;
    }
    do {
        /* Opened first: the block must not be lost if that fails. */
        err = mpk_begin(vkey, PROT_READ | PROT_WRITE);
        if (err == 0) {
            err = free_block(vkey, p);
            if (mpk_end(vkey) != 0) {
                mpk_fatal("mpk_free: the group cannot be closed again");
            }
        }
    } while (err == VK_WAIT); /* it was open for all, and is no longer */
    return (int)err;
}

int mpk_stats_get(struct mpk_stats *stats)
{
    struct vk_frame f = {.stats = stats};

    return vk_ro.view == NULL ? -ENXIO : (int)vk_call(VK_STATS, &f);
}
