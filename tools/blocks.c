#include "blocks.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What is touched of it is wiped, and costs a page fault for each page. */
#define BLOCK ((size_t)1 << 17)
#define OVERLAP (PATTERN_WINDOW - 1)
#define PAGE 4096u

int blocks_init(struct block_reader *r, int fd, struct matcher *matcher)
{
    memset(r, 0, sizeof(*r));
    r->fd = fd;
    r->matcher = matcher;
    r->buf = malloc(OVERLAP + BLOCK);
    return r->buf == NULL ? -ENOMEM : 0;
}

static int search(struct block_reader *r, uint64_t addr, size_t len)
{
    size_t total;
    int err;

    if (addr != r->next) {
        memmove(r->buf, r->buf + r->held, len);
        r->held = 0;
    }
    total = r->held + len;
    err = matcher_feed(r->matcher, addr - r->held, r->buf, total);
    r->bytes += len;
    r->next = addr + len;
    r->held = total < OVERLAP ? total : OVERLAP;
    memmove(r->buf, r->buf + total - r->held, r->held);
    return err;
}

int blocks_read(struct block_reader *r, uint64_t addr, uint64_t off,
                uint64_t len, uint64_t *unread)
{
    uint64_t step;
    ssize_t n;
    int err = 0;

    while (err == 0 && len > 0) {
        step = len < BLOCK ? len : BLOCK;
        n = pread(r->fd, r->buf + r->held, step, (off_t)off);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n == 0) {
            return -ENODATA;
        }
        if (n > 0) {
            step = (uint64_t)n;
            err = search(r, addr, (size_t)n);
        } else {
            /* Gone meanwhile, or kept from the kernel: on with the next. */
            step = PAGE - off % PAGE < len ? PAGE - off % PAGE : len;
            *unread += step;
        }
        addr += step;
        off += step;
        len -= step;
    }
    return err;
}

void blocks_free(struct block_reader *r)
{
    if (r->buf != NULL) {
        OPENSSL_cleanse(r->buf, OVERLAP + BLOCK);
        free(r->buf);
    }
    r->buf = NULL;
}
