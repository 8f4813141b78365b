/* freed.c - wiping what was freed of a key's text. */
#include "freed.h"
#include "prov.h"

#include <stdlib.h>

/* malloc keeps up to seven small blocks of a size for the thread that has freed
 * them (tunable tcache_count). Larger ones it cuts from what it has for all,
 * the last that was freed among the first. */
#define FREED_MAX 16

void freed_wipe(size_t size)
{
    void *p[FREED_MAX];

    for (int i = 0; i < FREED_MAX; i++) {
        p[i] = malloc(size);
        if (p[i] != NULL) {
            explicit_bzero(p[i], size);
        }
    }
    for (int i = 0; i < FREED_MAX; i++) {
        free(p[i]);
    }
}

/* A stream's buffer on file systems with blocks of that size, which most have.
 */
#define STREAM_BUFFER 4096

/* Whether the certificate fits is asked while the stream is open, and once more
 * afterwards; a signature follows. */
#define LOOKS 8

void freed_expect(void)
{
    atomic_store(&prov.freed_by, pthread_self());
    atomic_store(&prov.freed_looks, LOOKS);
}

void freed_look(void)
{
    if (atomic_load(&prov.freed_looks) > 0 &&
        atomic_load(&prov.freed_by) == pthread_self()) {
        atomic_fetch_sub(&prov.freed_looks, 1);
        freed_wipe(STREAM_BUFFER);
    }
}
