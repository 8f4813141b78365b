/*
 * Code inside does not go where words in libc's data lead: those that libc's
 * own calls go by, where they are not read-only, the guard of a stack, and the
 * word that says where errno is. This program is linked with the --wrap options
 * that a module with a library inside uses.
 */
#include "core_test.h"

#include "../../mpkcore/internal.h"
#include "../../mpkcore/x86_64/cpu.h"

#include <mpkcore/heap.h>

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { OP_CALL = MPK_ENTRY_FIRST, OP_GUARD, OP_ERRNO };

/* ---- libc's words ------------------------------------------------------- */

typedef uintptr_t function(uintptr_t a, uintptr_t b, uintptr_t c);

#define WORDS 5

static const char *const names[WORDS] = {"memset", "memcmp", "memchr", "strlen",
                                         "strchr"};
static function *real[WORDS];
static volatile int inside, seen[WORDS];

#define SPY(n)                                                                 \
    static uintptr_t spy_##n(uintptr_t a, uintptr_t b, uintptr_t c)            \
    {                                                                          \
        seen[n] += inside;                                                     \
        return real[n](a, b, c);                                               \
    }
SPY(0)
SPY(1)
SPY(2)
SPY(3)
SPY(4)

static function *const spies[WORDS] = {spy_0, spy_1, spy_2, spy_3, spy_4};

static void replace(void **word, int *replaced)
{
    for (int i = 0; i < WORDS; i++) {
        if (*word == (void *)real[i] && writable(word)) {
            *word = (void *)spies[i];
            ++*replaced;
            return;
        }
    }
}

/* Of libc's calls of itself, those that go by a word that can be written. */
static int replace_in(struct dl_phdr_info *info, size_t size, void *arg)
{
    const ElfW(Dyn) *d = NULL;
    const ElfW(Rela) *rela = NULL;
    size_t len = 0;

    (void)size;
    if (strstr(info->dlpi_name, "/libc.so") == NULL) {
        return 0;
    }
    for (int i = 0; i < info->dlpi_phnum; i++) {
        if (info->dlpi_phdr[i].p_type == PT_DYNAMIC) {
            d = (void *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
        }
    }
    for (; d != NULL && d->d_tag != DT_NULL; d++) {
        if (d->d_tag == DT_JMPREL) {
            rela = (void *)d->d_un.d_ptr;
        } else if (d->d_tag == DT_PLTRELSZ) {
            len = d->d_un.d_val;
        }
    }
    for (size_t i = 0; rela != NULL && i < len / sizeof(*rela); i++) {
        replace((void **)(info->dlpi_addr + rela[i].r_offset), arg);
    }
    return 1;
}

static int64_t call_stub(void *frame)
{
    char *large = mpk_heap_alloc(2000), *text = mpk_heap_alloc(300);
    const char *end;

    (void)frame;
    if (large == NULL || text == NULL) {
        return -1;
    }
    memset(text, 'x', 299);
    memcpy(text + 200, "-----BEGIN", 10);
    inside = 1;
    end = memmem(text, 299, "-----BEGIN", 10);
    CHECK(end == text + 200);
    CHECK(memmem(text, 205, "-----BEGIN", 10) == NULL);
    CHECK(memmem(text, 299, "", 0) == text);
    CHECK(strstr(text, "BEGIN") == text + 205);
    CHECK(strstr(text, "END") == NULL);
    CHECK(strcspn(text, ":-") == 200);
    CHECK(strcspn(text, ":") == 299);
    CHECK(strpbrk(text, "EB") == text + 205);
    CHECK(strpbrk(text, ":") == NULL);
    explicit_bzero(text, 205);
    CHECK(text[0] == 0 && text[204] == 0 && text[205] == 'B');
    mpk_heap_free(text);
    mpk_heap_free(large);
    inside = 0;
    return 0;
}

/* ---- the guard ---------------------------------------------------------- */

static __attribute__((noinline)) int guarded(void)
{
    volatile char local[64] = {1};

    __asm__ volatile("notq %%fs:0x28" : : "r"(local) : "memory");
    return local[0];
}

static int64_t guard_stub(void *frame)
{
    (void)frame;
    return guarded();
}

/* ---- errno -------------------------------------------------------------- */

static int elsewhere[64];

/* As any other thread could: errno is in |elsewhere|. */
static int64_t errno_stub(void *frame)
{
    uintptr_t *self = (uintptr_t *)cpu_thread_pointer();
    const uintptr_t was = *self;
    const int at_fs = cpu_fs_word(mpk_ro.errno_at);
    /* A compiler would ask before the word is changed. */
    int *(*volatile where)(void) = __errno_location;

    (void)frame;
    *self = (uintptr_t)&elsewhere[32] - (uintptr_t)mpk_ro.errno_at;
    *where() = at_fs + 1;
    *self = was;
    CHECK(elsewhere[32] == 0);
    CHECK(last_errno() == at_fs);
    return 0;
}

static const struct mpk_entry entries[] = {
    MPK_CORE_ENTRIES,
    {call_stub, 0, MPK_KIND_STACK},
    {guard_stub, 0, MPK_KIND_STACK},
    {errno_stub, 0, MPK_KIND_STACK},
};

static void test_no_call_inside_goes_by_a_word_of_libcs(const struct setup *s)
{
    int replaced = 0;

    make_domain(s, entries, COUNT_OF(entries));
    for (int i = 0; i < WORDS; i++) {
        real[i] = (function *)dlsym(RTLD_DEFAULT, names[i]);
    }
    dl_iterate_phdr(replace_in, &replaced);
    CHECK(mpk_call(OP_CALL, NULL) == 0);
    for (int i = 0; i < WORDS; i++) {
        if (seen[i] != 0) {
            fprintf(stderr, "%s: %d calls\n", names[i], seen[i]);
        }
        CHECK(seen[i] == 0);
    }
}

static void overwrite_guard(const struct setup *s)
{
    make_domain(s, entries, COUNT_OF(entries));
    mpk_call(OP_GUARD, NULL);
}

static void test_a_guard_that_differs_ends_the_process(const struct setup *s)
{
    struct outcome o = run_in_child(overwrite_guard, s);

    CHECK(ended_by_fatal(&o, "past the end of a variable"));
}

static void test_errno_is_not_where_fs_says(const struct setup *s)
{
    make_domain(s, entries, COUNT_OF(entries));
    CHECK(mpk_call(OP_ERRNO, NULL) == 0);
    errno = 0;
    CHECK(close(-1) == -1 && errno == EBADF && last_errno() == EBADF);
}

int main(void)
{
    static const struct core_test tests[] = {
        TEST(test_no_call_inside_goes_by_a_word_of_libcs,
             ONE_MEMORY | NOT_SANITIZED),
        TEST(test_errno_is_not_where_fs_says, ONE_MEMORY | NOT_SANITIZED),
        TEST(test_a_guard_that_differs_ends_the_process,
             ONE_MEMORY | NOT_SANITIZED),
    };

    return core_test_main(tests, COUNT_OF(tests));
}
