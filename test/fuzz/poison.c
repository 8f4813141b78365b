/*
 * poison.c - the domain's heap for a fuzzer: what lies around a block, and what
 * was given back, is poisoned for AddressSanitizer, which otherwise knows
 * nothing of the domain. What is given back stays so for a while.
 *
 * It takes the place of mpk_heap_* by the linker's --wrap, as does syscall. For
 * one thread.
 */
#include "../../mpkcore/internal.h"

#include <mpkcore/heap.h>

#include <sanitizer/asan_interface.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>

#define EDGE 16        /* before and behind a block */
#define KEPT 256       /* blocks that were given back */
#define KEPT_MAX 65536 /* longer ones are not kept */

void *__real_mpk_heap_alloc(size_t size);
void __real_mpk_heap_free(void *p);
size_t __real_mpk_heap_usable(const void *p);
void *__wrap_mpk_heap_alloc(size_t size);
void __wrap_mpk_heap_free(void *p);
void *__wrap_mpk_heap_realloc(void *p, size_t size);
size_t __wrap_mpk_heap_usable(const void *p);
size_t mpk_fuzz_live(void);
long __real_syscall(long number, long a, long b, long c, long d, long e,
                    long f);
long __wrap_syscall(long number, long a, long b, long c, long d, long e,
                    long f);

/* What stands before a block. */
struct edge {
    size_t size;
    uint64_t live;
};
_Static_assert(sizeof(struct edge) == EDGE, "blocks are aligned to 16");

static char *kept[KEPT];
static size_t next_kept, live;

/* The fuzzer asks how many blocks there are. */
size_t mpk_fuzz_live(void)
{
    return live;
}

/* What lies in a page group of a key goes with it, and has no edges. */
static int is_of_group(const void *p)
{
    return (const char *)p >= mpk_ro.groups;
}

static size_t whole(size_t size)
{
    return EDGE + ((size + 15) & ~(size_t)15) + EDGE;
}

void *__wrap_mpk_heap_alloc(size_t size)
{
    size_t len = size < SIZE_MAX / 2 ? whole(size) : size;
    char *base = __real_mpk_heap_alloc(len);

    if (base == NULL) {
        return NULL;
    }
    if (is_of_group(base)) {
        __real_mpk_heap_free(base);
        return __real_mpk_heap_alloc(size);
    }
    *(struct edge *)base = (struct edge){size, 1};
    live++;
    __asan_poison_memory_region(base, EDGE);
    __asan_poison_memory_region(base + EDGE + size, len - EDGE - size);
    return base + EDGE;
}

/* Both look at what is poisoned. */
__attribute__((no_sanitize("address"))) static struct edge
edge_of(const void *p)
{
    return *(const struct edge *)((const char *)p - EDGE);
}

__attribute__((no_sanitize("address"))) static void edge_end(void *p)
{
    struct edge *e = (struct edge *)((char *)p - EDGE);

    if (e->live != 1) {
        mpk_fatal("double free, or free of what is no block");
    }
    e->live = 0;
}

size_t __wrap_mpk_heap_usable(const void *p)
{
    return is_of_group(p) ? __real_mpk_heap_usable(p) : edge_of(p).size;
}

static void let_go(char *p)
{
    if (p != NULL) {
        __asan_unpoison_memory_region(p - EDGE, whole(edge_of(p).size));
        __real_mpk_heap_free(p - EDGE);
    }
}

void __wrap_mpk_heap_free(void *p)
{
    size_t size;

    if (p == NULL) {
        return;
    }
    if (is_of_group(p)) {
        __real_mpk_heap_free(p);
        return;
    }
    edge_end(p);
    live--;
    size = edge_of(p).size;
    if (size > KEPT_MAX) {
        let_go(p);
        return;
    }
    __asan_poison_memory_region(p, size);
    let_go(kept[next_kept % KEPT]);
    kept[next_kept++ % KEPT] = p;
}

void *__wrap_mpk_heap_realloc(void *p, size_t size)
{
    void *q = __wrap_mpk_heap_alloc(size);
    size_t have = p != NULL ? __wrap_mpk_heap_usable(p) : 0;

    if (q != NULL && p != NULL) {
        memcpy(q, p, size < have ? size : have);
        __wrap_mpk_heap_free(p);
    }
    return q;
}

/*
 * Inside all signals are blocked, and whoever faults there ends without a word
 * of the sanitizer's or the fuzzer's. Here those that say of a fault are not.
 */
long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f)
{
    static const uint64_t all_but_faults =
        ~(1ULL << (SIGSEGV - 1) | 1ULL << (SIGBUS - 1) | 1ULL << (SIGILL - 1) |
          1ULL << (SIGFPE - 1) | 1ULL << (SIGTRAP - 1) | 1ULL << (SIGABRT - 1) |
          1ULL << (SIGALRM - 1));

    if (number == SYS_rt_sigprocmask && b != 0 &&
        *(const uint64_t *)b == ~0ULL) {
        b = (long)&all_but_faults;
    }
    return __real_syscall(number, a, b, c, d, e, f);
}
