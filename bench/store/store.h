#ifndef MPK_BENCH_STORE_H
#define MPK_BENCH_STORE_H

/*
 * A store of keys and values as Memcached's: a hash table, and slabs of 1 MiB
 * that are cut into items of one size class each. All of it, its bookkeeping
 * too, is in two regions that the caller maps: the index and the slabs. It
 * touches them in store_serve only, which takes Memcached's text protocol:
 * get and set of one key.
 *
 * A request spends well below a microsecond in here, so one lock is enough.
 */

#include <stdbool.h>
#include <stddef.h>

#define STORE_SLAB ((size_t)1 << 20)
#define STORE_LINE 512 /* a command, without the value */

struct store;

/* store_index_len returns how long the index for these slabs is to be. */
size_t store_index_len(size_t slabs_len);

/* store_new makes an empty store; both regions are zero and open. */
struct store *store_new(void *index, void *slabs, size_t slabs_len);

/*
 * store_serve does the request in |in| and writes the answer to |out|, which
 * has |room| bytes. Returns the answer's length, 0 if the request is none.
 */
size_t store_serve(struct store *s, const char *in, size_t len, char *out,
                   size_t room);

/* store_wants returns how long the request that starts with |in| is, 0 while
 * that cannot be told. */
size_t store_wants(const char *in, size_t len);

/* Items that had to make room. */
size_t store_evictions(const struct store *s);

#endif
