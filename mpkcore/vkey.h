/*
 * vkey.h - the table of virtual keys, and what its files offer each other.
 *
 * The table is shared memory that is mapped three times: the inside's view in
 * the domain, writable; a view for everybody, read-only; and, for the pins of
 * each protection key, a window that carries that very key, so that a pin can
 * be set by whoever has the key open and by nobody else.
 */
#ifndef MPKCORE_VKEY_H
#define MPKCORE_VKEY_H

#include "internal.h"
#include "lock.h"
#include "x86_64/cpu.h"

#include <mpkcore/mpk.h>

/* Where a test can make two threads meet. */
#ifndef VK_RACE
#define VK_RACE() ((void)0)
#endif

#define VK_ROW_BITS 20
#define VK_ROWS (1U << VK_ROW_BITS)
#define VK_THREADS 4096
#define VK_NONE 0xffffffffU
#define VK_CLASSES 37 /* of 2^n pages */

/* What a group can allow. */
#define VK_PROT (PROT_READ | PROT_WRITE | PROT_EXEC)

/* Rights in PKRU: two bits for each key. */
#define VK_READ 2U   /* write-disable */
#define VK_CLOSED 3U /* access-disable as well */

/*
 * Pages behind a group that are never open. With them no group needs a mapping
 * to be closed: docs/design/vkeys.md, "When the kernel fails".
 */
static inline size_t vk_gap_pages(enum mpk_backend backend)
{
    return backend == MPK_BACKEND_MPROTECT ? 1 : 0;
}

enum vk_kind { VK_ARENA = 1, VK_OWN /* a mapping of its own */ };

/* One group. Free rows stay where they are and keep their pages. */
struct vk_row {
    _Atomic uint64_t vkey; /* serial << 20 | row; 0 when it is free */
    /* The protection key to open it with, or -1: the slow path decides. */
    _Atomic int32_t hit;
    /* The protection key that its pages carry, or -1. */
    _Atomic int32_t key;
    char *base;
    size_t len;
    struct vk_blocks *blocks;  /* of mpk_malloc; in the domain's heap */
    uint32_t readers, writers; /* open, where there are no keys */
    uint32_t next;             /* in its list of free rows */
    uint8_t prot;              /* the most that is allowed */
    _Atomic uint8_t global;    /* what mpk_mprotect has opened */
    uint8_t kind;
    uint8_t cls; /* 2^cls pages are its own */
    uint32_t unused;
};

_Static_assert(sizeof(struct vk_row) == 64, "one line of the cache");

struct vk_thread {
    uint32_t tid; /* 0 when it is free */
    uint8_t waiting;
    uint8_t n_held;
    uint16_t unused;
    uint64_t tls; /* address of its struct vk_self */
    /* What it has open, where there are no keys: row << 1 | writes. */
    uint32_t held[MPK_NEST_MAX];
    uint64_t pad[2];
};

_Static_assert(sizeof(struct vk_thread) == 64, "one line of the cache");

/* That a thread has a protection key open. */
struct vk_pin {
    _Atomic uint32_t count;
    _Atomic uint32_t uses;
    uint64_t before; /* two bits for each level: the rights to go back to */
    uint64_t pad[6];
};

_Static_assert(sizeof(struct vk_pin) == 64, "one line of the cache");
_Static_assert(offsetof(struct vk_row, vkey) == MPK_ROW_VKEY, "hit.S");
_Static_assert(offsetof(struct vk_row, hit) == MPK_ROW_HIT, "hit.S");
_Static_assert(offsetof(struct vk_pin, count) == MPK_PIN_COUNT, "hit.S");
_Static_assert(offsetof(struct vk_pin, uses) == MPK_PIN_USES, "hit.S");
_Static_assert(offsetof(struct vk_pin, before) == MPK_PIN_BEFORE, "hit.S");

struct vk_head {
    _Atomic uint32_t waiting; /* threads in mpk_begin */
    _Atomic uint32_t adopted; /* a child of fork has this table; no other may */
} __attribute__((aligned(MPK_PAGE)));

struct vk_table {
    struct vk_row row[VK_ROWS];
    struct vk_thread thread[VK_THREADS];
    struct vk_head head;
    struct vk_pin pin[MPK_HW_KEYS][VK_THREADS]
        __attribute__((aligned(MPK_PAGE)));
};

_Static_assert(sizeof(struct vk_table) <= MPK_TABLE_RESERVE, "fits");

/* Read-only once mpk_init is done. */
struct vk_ro {
    const struct vk_table *view;
    struct vk_table *table;        /* the inside's */
    struct vk_pin *window;         /* [MPK_HW_KEYS][VK_THREADS] */
    const _Atomic uint32_t *alive; /* 0 where no fork handler has run */
    char *arena, *arena_end;
    uint32_t first; /* of our entries in the domain's table */
    enum mpk_backend backend;
    uint32_t max_keys, nest;
    uintptr_t self_at; /* of a thread's struct vk_self, from its fs */
    int reads_fs;      /* by an instruction */
} __attribute__((aligned(MPK_PAGE)));

extern struct vk_ro vk_ro __attribute__((visibility("hidden")));

/* ---- outside ------------------------------------------------------------ */

/* What a thread knows of itself; the inside believes none of it. */
struct vk_self {
    uint32_t idx; /* in vk_table.thread, plus 1 */
    uint32_t depth;
    mpk_vkey_t open[MPK_NEST_MAX];
    uint8_t global[MPK_NEST_MAX]; /* open for all: there is nothing to close */
};

/* In the order of MPK_VKEY_ENTRIES. */
enum vk_op {
    VK_INIT,
    VK_THREAD_NEW,
    VK_THREAD_END,
    VK_MMAP,
    VK_MUNMAP,
    VK_BEGIN,
    VK_END,
    VK_MPROTECT,
    VK_MALLOC,
    VK_FREE, /* is it a block? how long (0: wiped already)? it is no more */
    VK_FREE_DONE, /* wiped: it can be given out */
    VK_STATS
};

/* Results of VK_BEGIN and, the first, of VK_FREE beside 0 and -errno. */
#define VK_WAIT 1
#define VK_IS_GLOBAL 2

/*
 * It is on the caller's stack, where other threads can change it until the gate
 * has copied it, and again when it comes back. So what is asked for is not in
 * it, and what decides over rights does not come back in it.
 */
struct vk_frame {
    uint64_t vkey;
    uint64_t addr;
    uint64_t len;
    int64_t offset;
    struct mpk_stats *stats; /* outside */
    uint32_t idx;            /* thread, plus 1 */
    int32_t prot, flags, fd;
};

_Static_assert(sizeof(struct vk_frame) == MPK_VKEY_FRAME_LEN, "as declared");

static inline __attribute__((always_inline)) uint32_t vk_first(void)
{
    return CPU_WORD_OF(vk_ro, offsetof(struct vk_ro, first));
}

static inline __attribute__((always_inline)) int64_t vk_call(enum vk_op op,
                                                             struct vk_frame *f)
{
    return entry_on_domain_stack(vk_first, (uint32_t)op, f);
}

/* The caller's. */
struct vk_self *vk_my_self(void);
/* How that is found. Returns 0 or -errno. */
int vk_settle_self(void);
/* Something was given back: whoever waits tries again. */
void vk_wake(void);
/* The calling thread ends: what it has open by the table is closed. */
void vk_close_all(const struct vk_self *self);
/* Makes the caller known; returns 0 or -errno. */
int vk_thread_register(struct vk_self *self);
int vk_thread_init(void);
/* The same as mpk_init, with a backend that need not be the domain's. */
int vk_init_with(const struct mpk_params *params, enum mpk_backend backend);

/* rights.S: (PKRU & ~clear) | set becomes PKRU; returns what it was. */
uint32_t mpk_rights_set(uint32_t clear, uint32_t set)
    __attribute__((visibility("hidden")));
uint32_t mpk_rights_get(void) __attribute__((visibility("hidden")));

/*
 * hit.S: mpk_begin for a thread that has |key| closed and wants to write, from
 * its WRPKRU on; it goes on in C where it is otherwise, and with what comes
 * after a pin. And mpk_end, from its WRPKRU on; it looks at |*waiting| when all
 * is given back. Return as mpk_begin and mpk_end.
 */
int mpk_rights_pin(mpk_vkey_t vkey, const struct vk_row *row, int key,
                   struct vk_pin *pin) __attribute__((visibility("hidden")));
int mpk_rights_unpin(int key, struct vk_pin *pin,
                     const _Atomic uint32_t *waiting)
    __attribute__((visibility("hidden")));
/* ... the thread has rights to |key|: all of it remains to be done; */
int vk_pin_here(mpk_vkey_t vkey, const struct vk_row *row, int key,
                struct vk_pin *pin) __attribute__((visibility("hidden")));
/* ... it has a pin, too; the key was closed and is open now; */
int vk_pin_again(mpk_vkey_t vkey, const struct vk_row *row, int key,
                 struct vk_pin *pin) __attribute__((visibility("hidden")));
/* ... the first pin is set, but the table has changed; */
int vk_pin_lost(mpk_vkey_t vkey, const struct vk_row *row, int key,
                struct vk_pin *pin) __attribute__((visibility("hidden")));
/* ... and has not: |vkey| is put on the thread's list. */
int vk_pinned(mpk_vkey_t vkey) __attribute__((visibility("hidden")));
/* ... in mpk_end: the pin is gone; */
int vk_pin_is_gone(void) __attribute__((visibility("hidden")));
/* ... somebody waits. */
int vk_unpinned_wake(void) __attribute__((visibility("hidden")));

/* ---- inside ------------------------------------------------------------- */

/* A protection key of the cache. */
struct vk_key {
    int pkey;
    uint32_t row;   /* whose pages carry it, or VK_NONE */
    uint8_t spare;  /* held back for nested begins */
    uint8_t drains; /* nobody new may open it: |want| is to have it */
    uint64_t want;  /* virtual key */
    uint64_t last;  /* when it was last seen in use ... */
    uint32_t seen;  /* ... by its pins' uses */
};

/* What is used of the table, aside, while the process forks. */
struct vk_stage {
    char *copy;
    size_t rows, threads;
};

struct vk_state {
    struct lock lock;
    uint64_t serial;
    uint32_t rows;    /* ever used */
    uint32_t taken;   /* groups of the arena ever made */
    uint32_t threads; /* up to the last that is used */
    uint32_t n_threads;
    uint32_t free_row[VK_CLASSES + 1]; /* by class; the last: without pages */
    char *arena_next, *arena_ready;
    /* keycache.c */
    struct vk_key key[MPK_HW_KEYS];
    uint32_t n_keys, n_spare;
    uint32_t nester; /* the thread that may use spare keys, or VK_NONE */
    uint64_t clock;
    uint64_t groups, loads, evictions, waits;
    uint32_t fork_tid;
    struct vk_stage stage;
};

static inline struct vk_state *vk_state(void)
{
    return mpk_ro.domain->vk;
}

/* vkey_table.c */
struct vk_row *vk_row_find(uint64_t vkey);
static inline uint32_t vk_row_index(const struct vk_row *row)
{
    return (uint32_t)(row - vk_ro.table->row);
}
int64_t vk_table_mmap(struct vk_frame *f);
int64_t vk_table_munmap(struct vk_row *row);
/* Changes what the pages allow, for a group that has no protection key. After a
 * failure it is |before| still. */
int vk_row_protect(struct vk_row *row, int prot, int before);
/* vkey_stub.c: a holder is gone, where there are no keys. */
void vk_row_uncount(struct vk_row *row, int writes);

/* keycache.c: the lock is held. */
void vk_cache_init(void);
int64_t vk_cache_begin(struct vk_row *row, uint32_t thread);
/* Whether the thread has it open; or any. */
int vk_cache_holds(struct vk_row *row, uint32_t thread);
int vk_cache_pinned(uint32_t thread);
/* Takes the row's key away; returns -EBUSY if a thread has it open. */
int vk_cache_drop(struct vk_row *row);
void vk_cache_forget(uint32_t thread);

/* vkey_thread.c: inside */
/* Both sides; 0 if the kernel does not say. */
uint32_t vk_tid(void);
/* The address in the calling thread's fs, by an instruction or the kernel's
 * word, never by memory; 0 if the kernel does not say. Both sides. */
uintptr_t vk_fs_base(void);
int64_t vk_thread_new(struct vk_frame *f);
void vk_thread_release(uint32_t thread);
/* Releases what dead threads have, those that have a group open or all; says
 * whether there was any. */
int vk_thread_reap(int all);

/* vkey_fork.c */
extern const struct fork_steps vk_fork_steps;

/* vkey_blocks.c: blocks of a group, by bits in the domain's heap. */
#define VK_GRAIN 64
/* How many a block of |size| bytes takes; an empty one has one, too. */
static inline size_t vk_grains(size_t size)
{
    return size <= VK_GRAIN ? 1 : (size - 1) / VK_GRAIN + 1;
}
struct vk_blocks *vk_blocks_new(size_t len);
size_t vk_blocks_size(size_t len);
void vk_blocks_free(struct vk_blocks *b);
/* The same blocks with room for others, where |b| is for less than |len| or
 * NULL; nobody retires one meanwhile. NULL without memory: |b| is as it was. */
struct vk_blocks *vk_blocks_grow(struct vk_blocks *b, size_t len);
size_t vk_blocks_room(const struct vk_blocks *b);
/* Offset of a new block, or -1. */
int64_t vk_blocks_take(struct vk_blocks *b, size_t size);
/* How far blocks have ever reached. */
size_t vk_blocks_end(const struct vk_blocks *b);
/* Length of the block that starts at |offset|, 0 if none does. */
size_t vk_blocks_len(const struct vk_blocks *b, size_t offset);
/* The block is nobody's any more, and not yet free; 0 if it was none. */
size_t vk_blocks_retire(struct vk_blocks *b, size_t offset);
/* A retired block is somebody's again, who has kept it; 0 if it was not. */
int vk_blocks_revive(struct vk_blocks *b, size_t offset);
/* A retired block is free; 0 if it is none. */
size_t vk_blocks_give(struct vk_blocks *b, size_t offset);

/* ---- map_group.c -------------------------------------------------------- */

/* Maps the table's views; returns 0 or -errno. */
int map_table_make(void);
/* Takes back what map_table_make and map_arena_make have done, or a part. */
void map_table_undo(void);
int map_arena_make(size_t len);
/* Makes [p, p+len) of the arena one mapping, closed. */
int map_arena_commit(char *p, size_t len);
/* |key| 0 is no key, -1 leaves the key that the pages have. Returns 0 or
 * -errno. */
int map_group_tag(char *p, size_t len, int prot, int key);
/* What pages of a group allow, and their key as map_group_tag takes it. */
struct map_rights {
    int prot, key;
};
/* Those of a group that nobody has open (vkey_table.c). */
struct map_rights vk_closed(void);
/* Opens or closes pages: all of them or, with -errno, none. Ends the process if
 * those that were changed cannot be changed back: they would be open, or under
 * a key that is going to be another group's. */
int map_group_change(char *p, size_t len, const struct map_rights *to,
                     const struct map_rights *from);
/*
 * A closed group beside closed groups is one mapping with these, so that to
 * open it and to close it the kernel divides a mapping and makes one of them
 * again: as much work as the change of rights itself. So every second group is
 * set apart, if it is small, where it counts, and one of the first |most|: of
 * the program's, which may need its mappings for other things, or of the
 * inside's. A process may have 65,530 by default (vm.max_map_count).
 */
#define VK_APART 4096
#define GROUP_APART 10240
#define VK_APART_CLASS 8 /* up to 2^8 pages */
static inline int vk_is_apart(uint32_t nth, uint32_t most, uint8_t cls)
{
    return nth < most && nth % 2 != 0 && cls <= VK_APART_CLASS;
}
void map_group_set_apart(char *p, size_t len);
/* Takes contents, rights and what was asked of the kernel for them away.
 * Returns 0 or -errno. */
int map_group_discard(char *p, size_t len);
/* Closed pages, which can be opened with |prot|; and their end. Return 0 or
 * -errno. */
int map_group_own(char **p, size_t len, int prot, int flags, int fd,
                  int64_t offset);
int map_group_release(char *p, size_t len);
/* Pins of |key| get a window of that key. */
int map_pin_window(int key);
/* Every other running thread of the process has executed a full barrier. */
void map_barrier(void);
/* From here on threads outside go by the table. Returns 0 or -errno. */
int map_table_alive(void);
/* fork: a table for the child, with what is used of this one, or 0 where there
 * is no memory or descriptor for it; in the child it becomes the table, or 0
 * where that cannot be. */
int map_table_stage(struct vk_stage *st);
void map_table_unstage(struct vk_stage *st);
int map_table_child(struct vk_stage *st);

#endif
