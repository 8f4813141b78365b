/*
 * The memory of a live process, by way of /proc.
 */
#ifndef MPK_TOOLS_PROCMEM_H
#define MPK_TOOLS_PROCMEM_H

#include <sys/types.h>

#include "mapping.h"
#include "matcher.h"

/*
 * procmem_parse appends to |list| the mappings in |text|, |len| bytes in the
 * format of /proc/PID/smaps. Lines it does not understand are passed over; a
 * kernel without protection keys prints none, which means key 0. Returns 0 or
 * -ENOMEM.
 */
int procmem_parse(struct mapping_list *list, const char *text, size_t len);

/*
 * procmem_list appends to |list| the mappings of process |pid|. Returns 0 or
 * -errno.
 */
int procmem_list(struct mapping_list *list, pid_t pid);

/*
 * procmem_search lists the mappings of process |pid| in |list|, searches those
 * that any code in the process could read, and adds the number of bytes read
 * to |*searched|. Returns 0, or -1 after an error message.
 */
int procmem_search(struct mapping_list *list, struct matcher *matcher,
                   pid_t pid, uint64_t *searched);

/*
 * procmem_name writes the printable name of process |pid| to |name|, which
 * becomes empty when it cannot be read.
 */
void procmem_name(char *name, size_t cap, pid_t pid);

#endif
