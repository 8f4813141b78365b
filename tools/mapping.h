/*
 * A list of the mappings of an address space, wherever it was read from
 * (/proc/PID/smaps or a core file), in ascending order of address.
 */
#ifndef MPK_TOOLS_MAPPING_H
#define MPK_TOOLS_MAPPING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Why a mapping was searched or not. */
enum mapping_fate {
    MAPPING_SEARCHED,
    MAPPING_KEYED,     /* a protection key other than 0: a read faults */
    MAPPING_PROT_NONE, /* no access at all: a read faults */
    MAPPING_SPECIAL,   /* [vvar], [vsyscall]: the kernel's, no secrets */
    MAPPING_DEVICE,    /* reading it could have side effects */
};

struct mapping {
    uint64_t start;
    uint64_t end;
    uint64_t file_off;  /* where the contents begin in its file; core file: in
                         * that */
    uint64_t file_len;  /* core file: how much of it was dumped */
    uint64_t populated; /* Rss + Swap in bytes, 0 if nothing was touched */
    uint64_t unread;    /* bytes that should have been read and could not be */
    uint32_t pkey;
    bool anonymous; /* no file behind it: untouched pages are zero */
    bool shared;    /* what is in it is the file's */
    bool writable;
    enum mapping_fate fate;
    char name[64]; /* "[heap]", "libcrypto.so.3", "[anon]", printable */
};

struct mapping_list {
    struct mapping *at;
    size_t len;
    size_t cap;
};

/*
 * mapping_add appends an all-zero mapping to |list| and returns it, or NULL
 * when memory is short. The pointer is valid until the next mapping_add.
 */
struct mapping *mapping_add(struct mapping_list *list);

/*
 * mapping_set_name gives |m| the |len| bytes at |path|, shortened to the last
 * path component; "[anon]" when |len| is 0. Unprintable bytes become '?':
 * the name ends up on terminals.
 */
void mapping_set_name(struct mapping *m, const char *path, size_t len);

/* mapping_find returns the mapping that holds |addr|, or NULL. */
const struct mapping *mapping_find(const struct mapping_list *list,
                                   uint64_t addr);

/* mapping_free releases what |list| holds and empties it. */
void mapping_free(struct mapping_list *list);

#endif
