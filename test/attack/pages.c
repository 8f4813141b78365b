/*
 * pages.c - attacks that have the kernel change what the domain's pages are:
 * where mappings are sealed (mseal, Linux 6.10, in a process without a filter
 * of system calls), and where they are not.
 */
#include "attack.h"

#include "../unit/fail_syscall.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE ((size_t)4096)

static char *page_of_the_key(void)
{
    return (char *)((uintptr_t)victim.target & ~(uintptr_t)(PAGE - 1));
}

static void leave_unsealed_here(void)
{
    if (!leave_unheld()) {
        trouble("a filter");
    }
}

static void call_mprotect(void)
{
    char *page;

    victim_ready();
    page = page_of_the_key();
    if (victim.column == MPK ? pkey_mprotect(page, 2 * PAGE, PROT_READ, 0) != 0
                             : mprotect(page, 2 * PAGE, PROT_READ) != 0) {
        cell("refused: %s", strerror(errno));
    }
    victim_read_target();
}

static void call_mprotect_unsealed(void)
{
    leave_unsealed_here();
    call_mprotect();
}

/*
 * glibc keeps two words before each block: its size, with a bit that says that
 * it is a mapping of its own, and how far before it that begins.
 */
static void have_free_unmap(char *page)
{
    volatile size_t *start = aligned_alloc(PAGE, PAGE);
    void *volatile block = (void *)(uintptr_t)(start + 2);
    size_t before = (size_t)((char *)(uintptr_t)start - page);

    if (start == NULL) {
        trouble("memory");
    }
    start[0] = before;
    start[1] = (PAGE - before) | 2;
    free(block);
}

static void by_free(void)
{
    char *page;

    victim_ready();
    page = page_of_the_key();
    have_free_unmap(page);
    if (mmap(page, PAGE, PROT_NONE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1,
             0) == (void *)page) {
        cell("**page replaced**");
    }
    cell(victim_intact() ? "key intact" : "**key overwritten**");
}

static void by_free_unsealed(void)
{
    leave_unsealed_here();
    by_free();
}

#define REPLACED "**page replaced**"
#define UNSEALED                                                               \
    "the same before Linux 6.10, or where system calls are filtered"

const struct attack pages_attacks[] = {
    {"mprotect", "T2: `mprotect(2)`, `pkey_mprotect(2)`",
     "makes the key's pages readable", KEYS, call_mprotect,
     .want = {NULL, "**key read**", "refused: Operation not permitted"},
     .needs_seals = true},
    {"mprotect_unsealed", "T2: the same, without `mseal(2)`", UNSEALED, KEYS,
     call_mprotect_unsealed, .want = {NULL, "**key read**", "**key read**"}},
    {"free", "T1: libc's `free`",
     "writes the two words before a block that the program frees, so that the "
     "key's page is unmapped, and maps another one there",
     KEYS, by_free, .want = {NULL, REPLACED, "key intact"},
     .needs_seals = true},
    {"free_unsealed", "T1: the same, without `mseal(2)`", UNSEALED, KEYS,
     by_free_unsealed, .want = {NULL, REPLACED, REPLACED}},
    {0},
};
