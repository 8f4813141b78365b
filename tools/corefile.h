/*
 * The contents of an ELF core file. The file is trusted for nothing.
 */
#ifndef MPK_TOOLS_COREFILE_H
#define MPK_TOOLS_COREFILE_H

#include "mapping.h"
#include "matcher.h"

/*
 * corefile_open lists in |list| the segments of the core file |fd| with where
 * their contents are. On failure |*why| is a sentence for the operator. Returns
 * 0, -EINVAL (not a core file, or a damaged one), -ENOMEM or the -errno of a
 * read.
 */
int corefile_open(struct mapping_list *list, int fd, const char **why);

/*
 * corefile_search searches all that was dumped into the core file |path|,
 * whatever its permissions and protection keys were: whoever has the file can
 * read it. It lists the segments in |list| and adds the number of bytes read
 * to |*searched|. Returns 0, or -1 after an error message.
 */
int corefile_search(struct mapping_list *list, struct matcher *matcher,
                    const char *path, uint64_t *searched);

#endif
