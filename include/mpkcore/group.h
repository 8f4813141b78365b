/*
 * mpkcore/group.h - page groups of the inside. For stubs only.
 *
 * A group is a part of the domain that is closed even inside, but for the stub
 * that has opened it: what works for one key cannot read another one's. There
 * can be any number of them; they share the protection keys that
 * mpk_config.group_keys has claimed at start-up, and the gate closes what a
 * stub leaves open. With backend mprotect a group is opened and closed by
 * mprotect(2); with backend none, or when no key could be had, it is memory of
 * the domain like any other (mpk_group_isolated says so).
 *
 * Only entries of MPK_KIND_STACK may use groups. All functions are thread safe.
 */
#ifndef MPKCORE_GROUP_H
#define MPKCORE_GROUP_H

#include <mpkcore/core.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A group; 0 is none. Numbers are never used again. */
typedef uint64_t mpk_group_t;

/*
 * mpk_group_new makes a group with room for |len| bytes, rounded up to pages,
 * that are zero and closed. The stub may have another group open, and in use.
 * Returns 0, -EINVAL or -ENOMEM; and -EPERM, as mpk_group_free and
 * mpk_group_open do, in a light stub, on whose stack others would say which
 * pages are opened.
 */
MPK_MUST_CHECK int mpk_group_new(mpk_group_t *group, size_t len);

/*
 * mpk_group_free wipes the group, whatever is still allocated in it. It opens
 * it for that, as mpk_group_open does, and waits as that does. Returns 0,
 * -ENOENT, -EBUSY while a stub has it open or the caller any group, or -ENOMEM
 * when its pages cannot be opened: it is a group still.
 */
int mpk_group_free(mpk_group_t group);

/*
 * mpk_group_open opens the group for the calling stub; it waits while every
 * protection key is in use. A stub has one group open at most, so that nobody
 * who waits keeps a key. Returns 0, -ENOENT, -EBUSY when the stub has one open,
 * or -ENOMEM. mpk_group_close closes it.
 */
MPK_MUST_CHECK int mpk_group_open(mpk_group_t group);
void mpk_group_close(mpk_group_t group);

/*
 * mpk_heap_use makes mpk_heap_alloc and mpk_heap_realloc of the calling stub
 * take blocks of |group|, which it must have open, until it calls this with 0
 * or returns. mpk_heap_free knows such blocks by their address; the group must
 * be open for it. A group that is full gives NULL. Returns 0 or -EPERM.
 */
int mpk_heap_use(mpk_group_t group);

/* mpk_group_alloc is one such block of the group that the calling stub has
 * open; NULL if it has none, or if that is full. */
void *mpk_group_alloc(size_t size);

/* mpk_group_opened is the group that the calling stub has open, or 0. */
mpk_group_t mpk_group_opened(void);

/* mpk_group_isolated says whether groups are closed to other stubs here. */
int mpk_group_isolated(void);

#ifdef __cplusplus
}
#endif

#endif
