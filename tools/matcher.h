/*
 * Finds the windows of a pattern set in memory that is fed in block by block,
 * and puts those that belong to one copy of a piece together.
 */
#ifndef MPK_TOOLS_MATCHER_H
#define MPK_TOOLS_MATCHER_H

#include "patterns.h"

struct matcher;

/* One copy of a piece, or what is left of one. */
struct match {
    uint32_t piece;
    uint32_t windows; /* how many of the piece's windows are there */
    uint64_t addr;    /* of the first of them */
    uint64_t begin;   /* from there to |end| it is all the piece's own, or */
    uint64_t end;     /* both are 0: only the DER around it is left */
    bool doubled;     /* a better match has bytes in common with it */
    bool full;        /* all of them are */
    bool in_der;      /* and the DER around the number as well */
};

/*
 * matcher_new makes an index of |set|, which must outlive it and not change.
 * The caller releases |*out| with matcher_free. Returns 0 or -ENOMEM.
 */
int matcher_new(struct matcher **out, const struct pattern_set *set);

/*
 * matcher_feed searches the |len| bytes |buf| that lie at |addr| in the
 * target. Windows that reach past the end are not seen: the last
 * PATTERN_WINDOW - 1 bytes have to come again in front of what follows them.
 * Returns 0 or -ENOMEM.
 */
int matcher_feed(struct matcher *m, uint64_t addr, const uint8_t *buf,
                 size_t len);

/*
 * matcher_finish stores in |*out| all copies seen, by piece and then address,
 * and their number in |*len|, and forgets them: what is fed next is another
 * look. The caller frees |*out|. Returns 0 or -ENOMEM.
 */
int matcher_finish(struct matcher *m, struct match **out, size_t *len);

/* matcher_free wipes and releases |m|, which may be NULL. */
void matcher_free(struct matcher *m);

#endif
