/* vkey.c - the outside of virtual keys, but for mpk_begin and mpk_end. */
#include "vkey.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#ifdef MPK_SANITIZED /* whose run-time writes shadow for all of it */
#define ARENA_LEN ((size_t)1 << 30)
#else
#define ARENA_LEN ((size_t)1 << 38)
#endif
#define DEFAULT_KEYS 12
#define DEFAULT_NEST 2

static const struct mpk_entry entries[] = {MPK_CORE_ENTRIES, MPK_VKEY_ENTRY};

int64_t vk_call(struct vk_frame *f)
{
    return mpk_call(vk_ro.op, f);
}

static int make_domain(enum mpk_backend backend)
{
    struct mpk_config config = {
        .backend = backend,
        .memory = MPK_MEMORY_ANONYMOUS, /* there is nothing secret in it */
        .entries = entries,
        .n_entries = sizeof(entries) / sizeof(entries[0]),
    };

    return mpk_ro.domain != NULL ? 0 : mpk_core_init(&config);
}

static int find_entry(void)
{
    for (uint32_t i = 0; i < mpk_ro.n_entries; i++) {
        if (mpk_ro.entries[i].stub == mpk_vkey_stub) {
            vk_ro.op = i;
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

static int make_memory(void)
{
    size_t len = ARENA_LEN;
    int err;

    if (mpk_ro.table == NULL) {
        return -ENOMEM; /* too few addresses */
    }
    /* Less where addresses are limited (RLIMIT_AS). */
    do {
        err = map_arena_make(len);
        len /= 4;
    } while (err == -ENOMEM && len >= (size_t)1 << 28);
    return err != 0 ? err : map_table_make();
}

int vk_init_with(const struct mpk_params *params, enum mpk_backend backend)
{
    struct vk_frame f = {.op = VK_INIT};
    int err;

    if (vk_ro.view != NULL) {
        return -EALREADY;
    }
    if (params->max_keys >= MPK_HW_KEYS || params->nest > MPK_NEST_MAX) {
        return -EINVAL;
    }
    settle(params, backend);
    err = find_entry();
    if (err == 0) {
        err = make_memory();
    }
    if (err == 0) {
        err = map_seal(&vk_ro, sizeof(vk_ro));
    }
    if (err == 0) {
        err = vk_thread_init();
    }
    return err != 0 ? err : (int)vk_call(&f);
}

int mpk_init(const struct mpk_params *params)
{
    static const struct mpk_params defaults;
    int err;

    if (params == NULL) {
        params = &defaults;
    }
    err = make_domain(params->backend);
    if (err != 0) {
        return err;
    }
    if (params->backend != mpk_ro.backend) {
        return -EINVAL;
    }
    return vk_init_with(params, params->backend);
}

int mpk_mmap(mpk_vkey_t *vkey, void **addr, size_t len, int prot, int flags,
             int fd, off_t offset)
{
    struct vk_frame f = {.op = VK_MMAP,
                         .addr = (uint64_t)(uintptr_t)*addr,
                         .len = len,
                         .prot = prot,
                         .flags = flags,
                         .fd = fd,
                         .offset = offset};
    int64_t err;

    if (vk_ro.view == NULL) {
        return -ENXIO;
    }
    err = vk_call(&f);
    if (err == 0) {
        *vkey = f.vkey;
        *addr = (void *)(uintptr_t)f.addr;
    }
    return (int)err;
}

static int call_with(enum vk_op op, mpk_vkey_t vkey, int prot)
{
    struct vk_frame f = {.op = op, .vkey = vkey, .prot = prot};

    return vk_ro.view == NULL ? -ENXIO : (int)vk_call(&f);
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
    struct vk_frame f = {.op = VK_MALLOC, .vkey = vkey, .len = size};
    int64_t err = vk_ro.view == NULL ? -ENXIO : vk_call(&f);

    if (err == 0) {
        *p = (void *)(uintptr_t)f.addr;
    }
    return (int)err;
}

int mpk_free(mpk_vkey_t vkey, void *p)
{
    struct vk_frame f = {
        .op = VK_FREE, .vkey = vkey, .addr = (uint64_t)(uintptr_t)p};
    int64_t err;

    if (p == NULL) {
        return 0;
    }
    /* Opened first: the block must not be lost if that fails. */
    err = mpk_begin(vkey, PROT_READ | PROT_WRITE);
    if (err != 0) {
        return (int)err;
    }
    err = vk_call(&f);
    if (err == 0) {
        explicit_bzero(p, f.len);
        f.op = VK_FREE_DONE;
        err = vk_call(&f);
    }
    mpk_end(vkey);
    return (int)err;
}

int mpk_stats_get(struct mpk_stats *stats)
{
    struct vk_frame f = {.op = VK_STATS, .stats = stats};

    return vk_ro.view == NULL ? -ENXIO : (int)vk_call(&f);
}
