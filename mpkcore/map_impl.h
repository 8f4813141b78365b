/*
 * map_impl.h - what map.c and map_*.c have for each other.
 */
#ifndef MPKCORE_MAP_IMPL_H
#define MPKCORE_MAP_IMPL_H

#include "vkey.h"

#include <sys/mman.h>

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18 /* Linux 4.14 */
#endif

/* Gives mapped pages the rights of the domain. Returns 0, or below 0 with errno
 * set. */
int map_tag(char *p, size_t len);
/* Secretmem that is zero and read-only, anywhere, at |*p|. Returns 0 or -errno;
 * -ENODEV where there is none at all. (map_apart.c) */
int map_secret_pages(char **p, size_t len);
/* Where a table of virtual keys is mapped: for the inside, for everybody, and
 * its pins. */
struct views {
    char *table, *view, *window;
};
/* Maps a new one so (map_apart.c); the second does it in this thread, or who
 * runs it (map_group.c). Return 0 or -errno. */
int map_views(const struct views *v);
int map_views_here(const struct views *v);
/*
 * Maps secretmem at |*p|, which is reserved, or anywhere when that is NULL, as
 * part of the domain. Until it has the key it is zero and read-only. The
 * descriptor is closed before anything that takes its time, because any thread
 * could map what has a number. Returns 0 or -errno.
 */
int map_secret(char **p, size_t len);
/* What is mapped at |from| takes the place at |to|; 0 with errno set if not. By
 * the system call itself: libc's function has a guard on its stack, and says
 * itself that it differs. */
int map_move(char *to, char *from, size_t len);
/* Maps a page of its own, outside, that the kernel wipes in a child of fork.
 * Returns 0 or -errno; |*page| is to be unmapped then, too, if it is not NULL.
 */
int map_wiped_page(void **page, int prot);
/* Locks pages in memory, or leaves a notice. */
void map_lock(char *p, size_t len);
/* Which notice tells why there is no secretmem: |err| is below 0. */
uint32_t map_notice_for(int err);

#endif
