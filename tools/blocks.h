/*
 * Reads ranges of a file in large blocks into a matcher, so that nothing is
 * missed where two blocks, or two adjoining ranges, meet.
 */
#ifndef MPK_TOOLS_BLOCKS_H
#define MPK_TOOLS_BLOCKS_H

#include "matcher.h"

struct block_reader {
    int fd;
    struct matcher *matcher;
    uint8_t *buf;
    size_t held;    /* bytes at the start of |buf| that were searched before */
    uint64_t next;  /* the address that follows them */
    uint64_t bytes; /* read so far */
};

/* blocks_init prepares |r| to read |fd|. Returns 0 or -ENOMEM. */
int blocks_init(struct block_reader *r, int fd, struct matcher *matcher);

/*
 * blocks_read searches |len| bytes from offset |off| of the file, which are at
 * |addr| in the target, and adds to |*unread| those that cannot be read.
 * Returns 0, -ENOMEM, or -ENODATA when the file ends before.
 */
int blocks_read(struct block_reader *r, uint64_t addr, uint64_t off,
                uint64_t len, uint64_t *unread);

/* blocks_free wipes and releases the buffer; |fd| stays open. */
void blocks_free(struct block_reader *r);

#endif
