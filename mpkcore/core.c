/* core.c - making the domain. */
#include "internal.h"
#include "x86_64/cpu.h"

#include <mpkcore/mpk.h>

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define STACKS_SIZE ((size_t)MPK_SLOTS * MPK_SLOT_SIZE)
/*
 * Free addresses on both sides of a domain that stays: in a child of fork there
 * is nothing where its copies go, and the kernel gives out the highest
 * addresses that are free (or the lowest), to other libraries' handlers too.
 */
#define ROOM ((size_t)64 << 30)

/* Not libc's: newer ones keep unused random bytes in ordinary memory. 256 bytes
 * are whole or none (getrandom(2)). */
static int draw(uint64_t *number, size_t n)
{
    const size_t most = 256 / sizeof(*number);

    while (n > 0) {
        size_t some = n < most ? n : most;
        long len = (long)(some * sizeof(*number));

        if (syscall(SYS_getrandom, number, len, 0) != len) {
            return 0;
        }
        number += some;
        n -= some;
    }
    return 1;
}

/* Runs inside, once, on memory that is all zero. */
int64_t mpk_boot_stub(void *frame)
{
    struct mpk_domain *d = mpk_ro.domain;
    uint64_t cookie;

    (void)frame;
    if (atomic_exchange(&d->booted, 1)) {
        return -EALREADY;
    }
    if (!draw(&cookie, 1) || !draw(mpk_ro.marks, 2 * MPK_SLOTS)) {
        return -EIO;
    }
    atomic_store(&d->secret_bytes, atomic_load(&mpk_out.secret_bytes));
    heap_init(&d->heap, cookie, mpk_ro.heap_kind);
    for (uint32_t i = 0; i < MPK_FIRST_SLOTS; i++) {
        slot_mark(i);
    }
    atomic_store(&d->slots, MPK_FIRST_SLOTS);
    atomic_store(mpk_ro.alive, MPK_STATE_OPEN);
    return 0;
}

static int are_pages(const struct mpk_config *c)
{
    for (size_t i = 0; i < c->n_outside; i++) {
        if (((uintptr_t)c->outside[i].start | c->outside[i].len) % MPK_PAGE !=
            0) {
            return 0;
        }
    }
    return 1;
}

static int valid(const struct mpk_config *c)
{
    return c->backend <= MPK_BACKEND_NONE &&
           c->memory <= MPK_MEMORY_ANONYMOUS &&
           c->light <= MPK_LIGHT_DOMAIN_STACK && c->rseq <= MPK_RSEQ_KEEP &&
           c->seal <= MPK_SEAL_TRY && c->entries != NULL &&
           c->n_entries >= MPK_ENTRY_FIRST &&
           c->entries[0].stub == mpk_boot_stub &&
           c->entries[1].stub == mpk_fork_stub &&
           c->entries[MPK_STACK_ENTRY].stub == mpk_stack_stub &&
           c->n_outside <= MPK_OUTSIDE_MAX && c->group_keys < MPK_HW_KEYS &&
           (c->outside != NULL || c->n_outside == 0) && are_pages(c);
}

static int entries_fit(const struct mpk_config *c)
{
    for (uint32_t i = 0; i < c->n_entries; i++) {
        if (c->entries[i].stub == NULL || c->entries[i].kind > MPK_KIND_LIGHT ||
            c->entries[i].frame_len > MPK_FRAME_MAX) {
            return 0;
        }
    }
    return 1;
}

static int take_key(void)
{
    mpk_ro.pkey = -1;
    if (mpk_ro.backend != MPK_BACKEND_MPK) {
        return 0;
    }
    if (!cpu_has_ospke()) {
        return -ENOTSUP;
    }
    mpk_ro.pkey = map_key_alloc();
    if (mpk_ro.pkey < 0) {
        return mpk_ro.pkey;
    }
    mpk_ro.pkru_mask = 3U << (2 * mpk_ro.pkey);
    mpk_ro.closed = 1U << (2 * mpk_ro.pkey);
    return 0;
}

/* Keys for page groups of the inside: some, with luck all that were asked for;
 * none is no error, since groups are then part of the domain. */
static void take_group_keys(uint32_t wanted)
{
    for (uint32_t i = 0; i < wanted && mpk_ro.backend == MPK_BACKEND_MPK; i++) {
        int key = map_key_claim();

        if (key < 0) {
            return;
        }
        mpk_ro.group_key[mpk_ro.n_group_keys++] = (uint8_t)key;
        mpk_ro.closed |= 1U << (2 * key);
    }
}

/* A domain stays, so it has room for the table from the start, however few the
 * addresses are, if its program may want virtual keys. */
static size_t table_size(const struct mpk_config *c)
{
    for (uint32_t i = 0; i < c->n_entries; i++) {
        if (c->entries[i].stub == mpk_vkey_init) {
            return MPK_TABLE_RESERVE;
        }
    }
    return 0;
}

static size_t size_with(size_t chunks, size_t table)
{
    return STACKS_SIZE + MPK_CONTROL_SIZE + 3 * MPK_PAGE +
           2 * chunks * MPK_CHUNK + table;
}

/* Lays out the range as in layout.h; nothing is mapped yet. */
static int reserve(size_t table)
{
    size_t chunks = MPK_CHUNKS, share = map_address_share(), size;
    char *base;

    while (chunks > MPK_CHUNKS_MIN && size_with(chunks, table) > share) {
        chunks /= 4;
    }
    size = size_with(chunks, table);
    base = map_reserve(size, MPK_SLOT_SIZE, mpk_ro.seals ? ROOM : 0);
    if (base == NULL) {
        return -ENOMEM;
    }
    mpk_ro.locks_freely =
        mpk_ro.memory != MPK_MEMORY_ANONYMOUS && map_locks_freely(base, size);
    mpk_ro.chunks = chunks;
    mpk_ro.base = base;
    mpk_ro.end = base + size;
    mpk_ro.slot0 = base + STACKS_SIZE - MPK_SLOT_CTRL;
    mpk_ro.domain = (struct mpk_domain *)(base + STACKS_SIZE);
    mpk_ro.alive = (_Atomic uint32_t *)(base + STACKS_SIZE + MPK_CONTROL_SIZE);
    /* Behind what the mprotect backend opens and closes. */
    mpk_ro.stage = (struct map_stage *)(mpk_ro.end - MPK_PAGE);
    mpk_ro.marks = (uint64_t *)((char *)mpk_ro.alive + MPK_PAGE);
    mpk_ro.heap = (char *)mpk_ro.marks + MPK_PAGE;
    mpk_ro.groups = mpk_ro.heap + chunks * MPK_CHUNK;
    if (table != 0) {
        mpk_ro.table = mpk_ro.groups + chunks * MPK_CHUNK;
    }
    mpk_ro.cookie = &mpk_ro.domain->heap.cookie;
    atomic_store(&mpk_out.heap_end, mpk_ro.heap);
    return 0;
}

static int commit_first(void)
{
    int kind = map_commit((char *)mpk_ro.domain, MPK_CONTROL_SIZE);
    int err;

    if (kind < 0) {
        return kind;
    }
    mpk_ro.control_kind = (uint8_t)kind;
    err = map_private_page((char *)mpk_ro.alive, 1);
    if (err == 0) {
        err = map_private_page((char *)mpk_ro.marks, 0);
        map_lock_page((char *)mpk_ro.marks);
    }
    if (err == 0) {
        err = map_stage_init();
    }
    if (err == 0 && mpk_ro.seals && mpk_ro.backend != MPK_BACKEND_MPROTECT) {
        err = map_here_init();
    }
    if (err < 0) {
        return err;
    }
    kind = map_commit(mpk_ro.heap, MPK_UNIT);
    if (kind < 0) {
        return kind;
    }
    mpk_ro.heap_kind = (uint8_t)kind;
    atomic_store(&mpk_out.heap_end, mpk_ro.heap + MPK_UNIT);
    for (uint32_t i = 0; i < MPK_FIRST_SLOTS; i++) {
        err = slot_make(i);
        if (err < 0) {
            return err;
        }
    }
    atomic_store(&mpk_out.slots_ready, MPK_FIRST_SLOTS);
    return 0;
}

/* What was made at the start is there for good. */
static void hold_first(void)
{
    map_hold((char *)mpk_ro.domain, MPK_CONTROL_SIZE,
             mpk_ro.control_kind == MAP_SECRET);
    map_hold((char *)mpk_ro.alive, 2 * MPK_PAGE, 0); /* and the marks */
    map_hold(mpk_ro.heap, MPK_UNIT, mpk_ro.heap_kind == MAP_SECRET);
    for (uint32_t i = 0; i < MPK_FIRST_SLOTS; i++) {
        slot_hold(i);
    }
    for (uint32_t i = 0; i < mpk_ro.n_module; i++) {
        map_hold((char *)(uintptr_t)mpk_ro.module[i].start,
                 mpk_ro.module[i].len, 0);
    }
    map_hold((char *)mpk_ro.here, MPK_PAGE, 0);
}

/* Nothing is left of what was begun: mpk_core_init can be called again. */
static void undo(void)
{
    map_module_undo();
    map_here_undo();
    if (mpk_ro.base != NULL) {
        map_release(mpk_ro.base, (size_t)(mpk_ro.end - mpk_ro.base));
    }
    for (uint32_t i = 0; i < mpk_ro.n_group_keys; i++) {
        map_key_free(mpk_ro.group_key[i]);
    }
    map_key_free(mpk_ro.pkey);
    memset(&mpk_ro, 0, sizeof(mpk_ro));
    atomic_store(&mpk_out.slots_ready, 0);
    atomic_store(&mpk_out.secret_bytes, 0);
    atomic_store(&mpk_out.anon_bytes, 0);
}

static int make_domain(const struct mpk_config *config)
{
    int err;

    err = take_key();
    if (err == 0) {
        take_group_keys(config->group_keys);
        err = reserve(table_size(config));
    }
    if (err == 0) {
        err = commit_first();
    }
    if (err == 0 && config->module_data != NULL &&
        mpk_ro.backend == MPK_BACKEND_MPK) {
        err = map_module_data(config);
    }
    if (err == 0) {
        mpk_ro.entries = config->entries;
        mpk_ro.n_entries = config->n_entries;
        err = (int)mpk_call(0, NULL);
    }
    if (err == 0) {
        err = map_seal(&mpk_ro, sizeof(mpk_ro));
    }
    if (err != 0) {
        undo();
    } else {
        map_module_fix(config->module_data != NULL);
        hold_first();
    }
    return err;
}

/* The last step, for lack of memory perhaps not the first time. The domain
 * stays: it cannot be undone any more, nor can handlers. */
static int handle_forks(void)
{
    int err = fork_install();

    if (err == 0) {
        atomic_store(&mpk_out.handlers, 1);
    }
    return err;
}

/* There is a domain, which may lack its last step. */
static int made_before(const struct mpk_config *config)
{
    int err = atomic_load(&mpk_out.handlers) ? -EALREADY : handle_forks();

    if (err == 0 && (config->entries != mpk_ro.entries ||
                     config->backend != mpk_ro.backend)) {
        err = -EALREADY;
    }
    return err;
}

/* Nobody looks at each time: handlers would run on the domain's stacks. */
static int signals_can_be_blocked(void)
{
    uint64_t now;

    return syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &now, sizeof(now)) == 0
               ? 0
               : -EPERM;
}

int mpk_core_init(const struct mpk_config *config)
{
    int err;

    if (mpk_ro.domain != NULL) {
        return made_before(config);
    }
    if (!valid(config) || !entries_fit(config)) {
        return -EINVAL;
    }
    mpk_ro.backend = config->backend;
    mpk_ro.memory = config->memory;
    mpk_ro.light = config->backend == MPK_BACKEND_MPROTECT
                       ? MPK_LIGHT_DOMAIN_STACK
                       : config->light;
    mpk_ro.notice = config->notice;
    /* valgrind takes what a function has left on a stack for unset. */
    mpk_ro.cpu = cpu_vectors();
    if (cpu_is_valgrind()) {
        mpk_ro.cpu &= ~(uint32_t)MPK_CPU_AVX2;
    }
    mpk_ro.errno_at = (char *)&errno - (char *)cpu_thread_pointer();
    rseq_init(config->rseq);
    map_seal_init(config->seal);
    map_apart_init();
    err = signals_can_be_blocked();
    if (err == 0) {
        err = make_domain(config);
    }
    return err != 0 ? err : handle_forks();
}

const char *mpk_core_strerror(int err)
{
    switch (err) {
    case 0:
        return "no error";
    case -ENOTSUP:
        return "this CPU or kernel has no memory protection keys (no 'ospke' "
               "in /proc/cpuinfo): use a machine that has, or ask by name for "
               "'backend = mprotect'";
    case -ENOSPC:
        return "all protection keys of this process are taken by other "
               "libraries: free one, or ask by name for 'backend = mprotect'";
    case -ENODEV:
        return "there is no memfd_secret: boot with secretmem.enable=1, or "
               "allow it where system calls are filtered (seccomp), or set "
               "'memory = auto' or 'memory = anonymous'";
    case -ENOSYS:
    case -EPERM:
    case -EACCES:
        return "a system call that the domain needs is denied, probably by a "
               "filter (seccomp): allow pkey_alloc, pkey_mprotect, mprotect, "
               "mmap, mremap, madvise, memfd_secret, ftruncate and "
               "rt_sigprocmask, and for page groups memfd_create, membarrier "
               "and gettid";
    case -EIO:
        return "the kernel gives no random numbers: allow getrandom where "
               "system calls are filtered (seccomp)";
    case -EAGAIN:
        return "the memory-lock limit does not allow secretmem: raise "
               "RLIMIT_MEMLOCK (LimitMEMLOCK= in systemd), or set 'memory = "
               "auto'; or, for page groups, memory cannot be locked, or no "
               "pthread key is left";
    case -EMFILE:
    case -ENFILE:
        return "no file descriptor is left for secretmem, or for the table of "
               "virtual keys: raise RLIMIT_NOFILE (LimitNOFILE= in systemd), "
               "or, for secretmem, set 'memory = auto'";
    case -EFBIG:
        return "the limit on the size of files is too low for secretmem, or "
               "for the table of virtual keys (69 MiB): raise RLIMIT_FSIZE "
               "(LimitFSIZE= in systemd), or, for secretmem, set 'memory = "
               "auto'";
    case -ENOMEM:
        return "not enough address space or memory for the domain or for page "
               "groups: raise RLIMIT_AS (LimitAS= in systemd), or, where the "
               "program locks all of its memory (mlockall), RLIMIT_MEMLOCK "
               "(LimitMEMLOCK=)";
    case -EALREADY:
        return "this process has a domain already";
    case -EINVAL:
        return "the configuration of the domain makes no sense";
    default:
        return "the domain cannot be made";
    }
}

int mpk_core_info(struct mpk_info *info)
{
    if (mpk_ro.domain == NULL) {
        return -ENXIO;
    }
    info->backend = mpk_ro.backend;
    info->pkey = mpk_ro.pkey;
    info->base = mpk_ro.base;
    info->size = (size_t)(mpk_ro.end - mpk_ro.base);
    info->committed_secret = atomic_load(&mpk_out.secret_bytes);
    info->committed_anon = atomic_load(&mpk_out.anon_bytes);
    info->stacks = atomic_load(&mpk_out.slots_ready);
    return 0;
}
