/*
 * fence.c - the domain's heap for a test: a block ends at the end of a page,
 * behind it is one that faults, and what is given back faults too, for as long
 * as the addresses last. So the inner OpenSSL's assembly is watched as well,
 * which no sanitizer does.
 *
 * It takes the place of mpk_heap_* by the linker's --wrap. For backend none.
 */
#include "../../mpkcore/internal.h"

#include <mpkcore/heap.h>

#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

/* Page groups of the inside are not used here: their addresses are. */
#define PAGES ((uint32_t)(MPK_CHUNKS * MPK_CHUNK / MPK_PAGE))
/* Each takes two mappings of the process's 65530. */
#define LIVE_MAX 12000
/* Of this many blocks one is fenced; the kernel is slow. */
#define ONE_OF 16

void *__real_mpk_heap_alloc(size_t size);
void __real_mpk_heap_free(void *p);
void *__real_mpk_heap_realloc(void *p, size_t size);
size_t __real_mpk_heap_usable(const void *p);
void *__wrap_mpk_heap_alloc(size_t size);
void __wrap_mpk_heap_free(void *p);
void *__wrap_mpk_heap_realloc(void *p, size_t size);
size_t __wrap_mpk_heap_usable(const void *p);

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint32_t next_page, live, turn;
/* By a block's first page: its bytes, and one; 0 for none. */
static uint32_t size_of[PAGES];

static uint32_t pages_of(uint32_t size)
{
    return size / MPK_PAGE + (size % MPK_PAGE != 0) + (size == 0);
}

static char *page_at(uint32_t page)
{
    return mpk_ro.groups + (size_t)page * MPK_PAGE;
}

static int is_fenced(const void *p)
{
    return (const char *)p >= mpk_ro.groups && (const char *)p < page_at(PAGES);
}

static uint32_t page_of(const void *p)
{
    return (uint32_t)((size_t)((const char *)p - mpk_ro.groups) / MPK_PAGE);
}

/* |n| pages that nobody has, with one before them; the lock is held. */
static uint32_t find_pages(uint32_t n)
{
    for (uint32_t run = 0, tries = 0; tries < 2 * PAGES; tries++) {
        uint32_t at = next_page++ % PAGES;

        if (at == 0) {
            run = 0;
        }
        if (size_of[at] != 0) {
            next_page = at + pages_of(size_of[at] - 1) + 1;
            run = 0;
        } else if (++run == n + 2) {
            next_page--; /* the guard of this one is that of the next */
            return at - n;
        }
    }
    mpk_fatal("no addresses for fenced blocks");
}

static char *fenced(uint32_t size)
{
    uint32_t n = pages_of(size), room = (size + 15) & ~15U, page;

    pthread_mutex_lock(&lock);
    if (live >= LIVE_MAX || turn++ % ONE_OF != 0) {
        pthread_mutex_unlock(&lock);
        return NULL;
    }
    page = find_pages(n);
    size_of[page] = size + 1;
    live++;
    pthread_mutex_unlock(&lock);
    if (mprotect(page_at(page), (size_t)n * MPK_PAGE, PROT_READ | PROT_WRITE)) {
        mpk_fatal("a fenced block cannot be opened");
    }
    return page_at(page + n) - (room != 0 ? room : 16);
}

void *__wrap_mpk_heap_alloc(size_t size)
{
    char *p = size < (1U << 20) ? fenced((uint32_t)size) : NULL;

    return p != NULL ? p : __real_mpk_heap_alloc(size);
}

size_t __wrap_mpk_heap_usable(const void *p)
{
    uint32_t size;

    if (!is_fenced(p)) {
        return __real_mpk_heap_usable(p);
    }
    size = size_of[page_of(p)];
    if (size == 0) {
        mpk_fatal("size of a fenced block that is none");
    }
    return size - 1;
}

void __wrap_mpk_heap_free(void *p)
{
    uint32_t page, size;
    size_t len;

    if (p == NULL || !is_fenced(p)) {
        __real_mpk_heap_free(p);
        return;
    }
    page = page_of(p);
    size = __atomic_load_n(&size_of[page], __ATOMIC_RELAXED);
    if (size == 0) {
        mpk_fatal("double free of a fenced block");
    }
    len = (size_t)pages_of(size - 1) * MPK_PAGE;
    if (madvise(page_at(page), len, MADV_DONTNEED) != 0 ||
        mprotect(page_at(page), len, PROT_NONE) != 0) {
        mpk_fatal("a fenced block cannot be shut");
    }
    pthread_mutex_lock(&lock);
    if (size_of[page] != size) {
        mpk_fatal("double free of a fenced block");
    }
    size_of[page] = 0;
    live--;
    pthread_mutex_unlock(&lock);
}

void *__wrap_mpk_heap_realloc(void *p, size_t size)
{
    size_t have;
    void *q;

    if (p == NULL) {
        return __wrap_mpk_heap_alloc(size);
    }
    if (!is_fenced(p)) {
        return __real_mpk_heap_realloc(p, size);
    }
    have = __wrap_mpk_heap_usable(p);
    q = __wrap_mpk_heap_alloc(size);
    if (q != NULL) {
        memcpy(q, p, size < have ? size : have);
        __wrap_mpk_heap_free(p);
    }
    return q;
}
