/* state.h - the core's state: read-only, outside and inside parts. */
#ifndef MPKCORE_STATE_H
#define MPKCORE_STATE_H

#include "layout.h"

#include <mpkcore/gate.h>

#include <pthread.h>
#include <stdatomic.h>

/* Pieces of the module, between the core's own data and what is outside. */
#define MPK_MODULE_RANGES (MPK_OUTSIDE_MAX + 4)
#define MPK_HW_KEYS 16
#define MPK_HAD_BITS 10
#define MPK_CONTROL_SIZE (36 * 1024)
#define MPK_TABLE_RESERVE ((size_t)128 << 20)
#define MPK_CHUNK ((size_t)1 << 20)
/*
 * Chunks that are reserved, for the heap and for the groups each: the most, and
 * the least, where addresses are limited. How many it is, mpk_ro.chunks says.
 */
#define MPK_CHUNKS ((size_t)4096)
#define MPK_CHUNKS_MIN ((size_t)16)
/* The heap is committed in units of this size. */
#define MPK_UNIT ((size_t)64 << 10)
#define MPK_UNITS (MPK_CHUNKS * MPK_CHUNK / MPK_UNIT)

/*
 * Read-only once mpk_core_init is done: what the gate decides by. The assembly
 * knows the first fields by the offsets in layout.h.
 */
struct mpk_ro {
    uint32_t pkru_mask; /* both bits of our key; 0 without protection keys */
    uint32_t cpu;
    _Atomic uint32_t *alive;
    char *slot0; /* control block of slot 0; slot i is i slots below */
    char *base;
    char *end;
    /* From the lowest of |module| below to the end of the highest. */
    const char *module_start, *module_end;
    /* Random numbers, two for each slot, which has them as well once it is
     * made; on a page that a child of fork has whatever it lacks. */
    uint64_t *marks;
    struct mpk_domain *domain;
    struct map_stage *stage; /* a page that fork copies and none can write */
    /* Not 0 where there is a domain that stays (map_seal.c): the kernel wipes
     * it in a child. Anybody can write there. NULL in any other process. */
    _Atomic uint32_t *here;
    char *heap;
    char *groups;  /* page groups of the inside */
    char *table;   /* the inside's view of the table of virtual keys, or NULL */
    size_t chunks; /* reserved for the heap, and as many for the groups */
    const struct mpk_entry *entries;
    uint32_t n_entries;
    enum mpk_backend backend;
    enum mpk_memory memory;
    enum mpk_light light;
    int pkey;
    uint8_t control_kind; /* enum map_kind of the first pages */
    uint8_t heap_kind;
    uint8_t locks_freely; /* whatever RLIMIT_MEMLOCK says */
    struct mpk_range module[MPK_MODULE_RANGES];
    uint32_t n_module;
    void (*notice)(const char *line);
    int64_t errno_at; /* where a thread's errno is, from its fs on */
    int64_t rseq_at;  /* and what libc registers of it (rseq.c) */
    uint64_t rseq_len;
    uint8_t leaves_rseq;
    uint8_t tells_writers; /* the kernel, of a file's mappings */
    uint8_t seals;         /* mappings stay, if they are asked to */
    uint8_t unfiltered;    /* no system call was filtered at the start */
    uint8_t by_any_filter; /* nor is it asked whether they are */
    uint8_t goes_apart;    /* what has a descriptor (map_apart.c) */
    uint8_t leaves_files;  /* and that without copies of all */
    /*
     * What rights.S decides by: the access-disable bits of every key that must
     * not be open outside, and where the inside keeps a number that nobody
     * outside can know.
     */
    uint32_t closed __attribute__((aligned(512)));
    uint32_t n_group_keys;
    const uint64_t *cookie;
    uint8_t group_key[MPK_HW_KEYS]; /* for page groups of the inside */
} __attribute__((aligned(MPK_PAGE)));

_Static_assert(offsetof(struct mpk_ro, pkru_mask) == MPK_RO_MASK, "gate.S");
_Static_assert(offsetof(struct mpk_ro, cpu) == MPK_RO_CPU, "gate.S");
_Static_assert(offsetof(struct mpk_ro, alive) == MPK_RO_ALIVE, "gate.S");
_Static_assert(offsetof(struct mpk_ro, slot0) == MPK_RO_SLOT0, "gate.S");
_Static_assert(offsetof(struct mpk_ro, base) == MPK_RO_BASE, "gate.S");
_Static_assert(offsetof(struct mpk_ro, end) == MPK_RO_END, "gate.S");
_Static_assert(offsetof(struct mpk_ro, module_start) == MPK_RO_MODULE,
               "gate.S");
_Static_assert(offsetof(struct mpk_ro, module_end) == MPK_RO_MODULE_END,
               "gate.S");
_Static_assert(offsetof(struct mpk_ro, marks) == MPK_RO_MARKS, "gate.S");
_Static_assert(offsetof(struct mpk_ro, closed) == MPK_RO_CLOSED, "rights.S");
_Static_assert(offsetof(struct mpk_ro, cookie) == MPK_RO_COOKIE, "rights.S");
_Static_assert(sizeof(struct mpk_ro) == MPK_PAGE, "has its page to itself");

extern struct mpk_ro mpk_ro __attribute__((visibility("hidden")));

/* ---- fork: what a child is to be given as a copy of its own ------------- */

/* Each stack is one, and so is each run of the heap of one kind of memory. */
#define MAP_STAGE_SPANS (MPK_SLOTS + 128)

struct map_span {
    char *start;
    size_t len;
};

struct map_stage {
    char *copy; /* the copies, one after another; NULL without */
    size_t len;
    uint32_t secret; /* they are secretmem */
    uint32_t slots;  /* stacks that the child has; 0: it has no domain */
    uint32_t n;      /* spans */
    uint32_t given;  /* the child has some of what they are copies of */
    struct map_span span[MAP_STAGE_SPANS];
};

/* Notices that the inside leaves for the outside to print, once each. */
enum {
    MPK_NOTICE_NO_SECRETMEM = 1,
    MPK_NOTICE_SECRETMEM_LIMIT = 2,
    MPK_NOTICE_LOCK_LIMIT = 4,
    MPK_NOTICE_NO_DESCRIPTOR = 8,
    MPK_NOTICE_NO_COPY = 16,
    MPK_NOTICE_FILE_LIMIT = 32,
    MPK_NOTICE_NO_COPY_MEMORY = 64,
    MPK_NOTICE_NOT_MAPPED = 128,
    MPK_NOTICE_RSEQ = 256
};

/* Why a process has no domain, although it was made when there was one. */
enum { MPK_DEAD_CLONE = 1, MPK_DEAD_NO_COPY, MPK_DEAD_NO_PLACE };

/*
 * Writable outside. What is inside goes by its own numbers; a wrong one here
 * costs time, or the process its life.
 */
struct mpk_out {
    _Atomic uint32_t slots_ready;
    _Atomic uint32_t notices; /* due */
    _Atomic uint32_t notices_said;
    pthread_mutex_t lock;        /* slots, and the mprotect backend's count */
    _Atomic uint32_t open_count; /* written under the lock */
    _Atomic(char *) heap_end;    /* end of what is committed */
    _Atomic size_t secret_bytes;
    _Atomic size_t anon_bytes;
    _Atomic uint32_t vk_seq;   /* what waiters for protection keys sleep on */
    _Atomic uint32_t dead;     /* MPK_DEAD_*: there is no domain to fork */
    _Atomic uint32_t handlers; /* those of fork are installed */
    uint64_t signals;          /* that were blocked before fork */
    _Atomic uint64_t forker;   /* who has closed the gate for its fork, or 0 */
    _Atomic uint32_t waiting;  /* threads, for any stack */
    _Atomic uint32_t left;     /* what these sleep on */
    /* The slot that a thread had last, plus one, or 0; by its hash. */
    _Atomic uint8_t had[1 << MPK_HAD_BITS] __attribute__((aligned(64)));
} __attribute__((aligned(MPK_PAGE)));

_Static_assert(sizeof(struct mpk_out) == MPK_PAGE, "has its page to itself");

extern struct mpk_out mpk_out __attribute__((visibility("hidden")));

#endif
