/* snapshot.h - the memory of a process at one moment, kept for later: what a
 * handshake computes is known in full only when it is over. */
#ifndef MPK_TEST_SCAN_SNAPSHOT_H
#define MPK_TEST_SCAN_SNAPSHOT_H

#include "mapping.h"
#include "matcher.h"

#include <stddef.h>
#include <sys/types.h>

struct snapshot {
    struct mapping_list list;
    unsigned char **bytes; /* of each mapping, NULL: not kept */
    char when[32];
};

/*
 * snapshot_take keeps all that code of process |pid| could read, but for pages
 * that nobody can write. It ends this program on failure. snapshot_free
 * releases it.
 */
void snapshot_take(struct snapshot *s, pid_t pid, const char *when);
void snapshot_free(struct snapshot *s);

/* snapshot_feed puts all of it to |matcher|; false when memory is short. */
bool snapshot_feed(const struct snapshot *s, struct matcher *matcher);

#endif
