/*
 * What is searched: a live process or a core file.
 */
#ifndef MPK_TOOLS_TARGET_H
#define MPK_TOOLS_TARGET_H

#include <sys/types.h>

#include "mapping.h"
#include "matcher.h"

struct target {
    pid_t pid;
    const char *core; /* NULL: the process */
};

/*
 * target_search lists the mappings in |list|, feeds their contents to |matcher|
 * and adds the number of bytes read to |*searched|. Returns 0, or -1 after an
 * error message.
 */
int target_search(const struct target *t, struct mapping_list *list,
                  struct matcher *matcher, uint64_t *searched);

/*
 * target_read copies |len| bytes at |addr|, which must lie in one mapping of
 * |list|, to |buf|. Returns 0 or -1.
 */
int target_read(const struct target *t, const struct mapping_list *list,
                uint64_t addr, void *buf, size_t len);

#endif
