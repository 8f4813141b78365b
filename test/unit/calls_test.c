/*
 * Code inside does not go where words in libc's data lead: those that libc's
 * own calls go by, where they are not read-only, the guard of a stack, and the
 * words that say where errno is; does not look into the tables of this thread's
 * locale; does not copy by libc's numbers; and loads nothing. This program is
 * linked with the
 * --wrap options that a module with a library inside uses.
 */
#include "core_test.h"

#include "../../mpkcore/internal.h"
#include "../../mpkcore/x86_64/cpu.h"

#include <mpkcore/heap.h>

#include <ctype.h>
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <langinfo.h>
#include <limits.h>
#include <link.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
    OP_CALL = MPK_ENTRY_FIRST,
    OP_GUARD,
    OP_ERRNO,
    OP_REFUSED,
    OP_LOCALE,
    OP_COPY,
    OP_LOAD
};

/* ---- libc's words ------------------------------------------------------- */

typedef uintptr_t function(uintptr_t a, uintptr_t b, uintptr_t c);

#define WORDS 6

static const char *const names[WORDS] = {"memset", "memcmp", "memchr",
                                         "strlen", "strchr", "strncmp"};
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
SPY(5)

static function *const spies[WORDS] = {spy_0, spy_1, spy_2,
                                       spy_3, spy_4, spy_5};

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
    CHECK(strspn(text, "yx") == 200);
    CHECK(strspn(text, "y") == 0);
    end = getenv("MPK_CALLS_TEST");
    CHECK(end != NULL && strcmp(end, "is set") == 0);
    CHECK(getenv("MPK_CALLS_TES") == NULL && getenv("MPK_CALLS_TEST_") == NULL);
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

/*
 * The word by which all of libc finds errno: mov word(%rip), %rax, where a
 * function asks.
 */
static intptr_t *errno_word(void)
{
    static const unsigned char move[] = {0x48, 0x8b, 0x05};
    const unsigned char *code = dlsym(RTLD_NEXT, "__errno_location");

    for (size_t i = 0; code != NULL && i < 16; i++) {
        if (memcmp(code + i, move, sizeof(move)) == 0) {
            int32_t away;

            memcpy(&away, code + i + 3, sizeof(away));
            return (intptr_t *)(uintptr_t)(code + i + 7 + away);
        }
    }
    return NULL;
}

static int refused(long ret, int err)
{
    int is = ret == -1 && last_errno() == err;

    if (!is) {
        fprintf(stderr, "%ld, errno %d, not %d\n", ret, last_errno(), err);
    }
    set_last_errno(0);
    return is;
}

static intptr_t *word;

/* As libc's grow_heap would have made that word writable: errno is in
 * |elsewhere|. What is called here is what map.c and its like call. */
static int64_t refused_stub(void *frame)
{
    const intptr_t was = *word;
    char *const p = (char *)MPK_PAGE;
    struct timespec now = {0};
    struct rlimit limit;
    int64_t wrong = 0;

    (void)frame;
    *word = (intptr_t)((uintptr_t)&elsewhere[32] - cpu_thread_pointer());
    wrong += !refused(syscall(SYS_read, -1, NULL, 0), EBADF);
    wrong += !refused(syscall(SYS_mremap, p, 0, 0, 0, 0, 0), EINVAL);
    wrong += !refused(mprotect(p + 1, MPK_PAGE, PROT_NONE), EINVAL);
    wrong += !refused(munmap(p + 1, MPK_PAGE), EINVAL);
    wrong +=
        mmap(p, 0, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED;
    wrong += !refused(-1, EINVAL);
    wrong += !refused(madvise(p + 1, MPK_PAGE, MADV_DONTDUMP), EINVAL);
    wrong += !refused(mlock2(p, MPK_PAGE, ~0U), EINVAL);
    wrong += !refused(munlock((void *)UINTPTR_MAX, 2), EINVAL);
    wrong += !refused(ftruncate(-1, 0), EBADF);
    wrong += !refused(pkey_alloc(~0U, 0), EINVAL);
    wrong += !refused(pkey_free(-1), EINVAL);
    wrong += !refused(pkey_mprotect(p + 1, MPK_PAGE, PROT_NONE, -1), EINVAL);
    wrong += !refused(clock_gettime(-1, &now), EINVAL);
    wrong += !refused(getrlimit((__rlimit_resource_t)-1, &limit), EINVAL);
    *word = was;
    wrong += elsewhere[32] != 0;
    wrong += clock_gettime(CLOCK_REALTIME, &now) != 0 || now.tv_sec == 0;
    return wrong;
}

/* ---- the locale --------------------------------------------------------- */

static int is_number(const char *text, int base, long n, size_t len)
{
    char *end;

    return strtol(text, &end, base) == n && (size_t)(end - text) == len &&
           (n < 0 || (strtoul(text, &end, base) == (unsigned long)n &&
                      (size_t)(end - text) == len));
}

static int64_t locale_stub(void *frame)
{
    /* Nothing that the compiler knows the result of. */
    const char *volatile key = "Key", *volatile yek = "kEY",
                         *volatile kez = "k";
    volatile int c = 'A', other = '[', high = 0xc4;
    char *end;

    (void)frame;
    CHECK(tolower(c) == 'a' && tolower(other) == '[' && tolower(high) == 0xc4);
    CHECK(strcasecmp(key, yek) == 0);
    CHECK(strcasecmp(key, kez) > 0 && strcasecmp(kez, key) < 0);
    CHECK(strncasecmp(key, kez, 1) == 0 && strncasecmp(key, kez, 2) > 0);
    CHECK(is_number(" \t12;", 10, 12, 4));
    CHECK(is_number("-12", 10, -12, 3));
    CHECK(is_number("+12", 0, 12, 3));
    CHECK(is_number("0x1Fg", 0, 31, 4) && is_number("0x1fg", 16, 31, 4));
    CHECK(is_number("0xaF", 16, 0xaf, 4));
    CHECK(is_number("0xg", 16, 0, 1) && is_number("0xg", 0, 0, 1));
    CHECK(is_number("0128", 0, 10, 3) && is_number("Zz", 36, 1295, 2));
    CHECK(is_number("", 10, 0, 0) && is_number(" -x", 10, 0, 0));
    CHECK(is_number("9223372036854775807", 10, LONG_MAX, 19));
    CHECK(strtol("9223372036854775808", NULL, 10) == LONG_MAX);
    CHECK(strtol("-9223372036854775808", NULL, 10) == LONG_MIN);
    CHECK(strtol("-99999999999999999999x", &end, 10) == LONG_MIN &&
          *end == 'x');
    CHECK(strtoul("18446744073709551616", NULL, 10) == ULONG_MAX);
    CHECK(strtoul("18446744073709551614", NULL, 10) == ULONG_MAX - 1);
    return 0;
}

/* ---- copies ------------------------------------------------------------- */

#define COPY_MOST 400
#define COPY_ROOM 1024
#define COPY_AT 300

static unsigned char from[COPY_ROOM], to[COPY_ROOM], want[COPY_ROOM];

/* Not in the domain: what lies around the bytes that are copied has to be seen
 * afterwards, whatever was written there. */
static void fill(void)
{
    for (size_t i = 0; i < COPY_ROOM; i++) {
        from[i] = (unsigned char)(i * 7 + (i >> 8));
        to[i] = want[i] = (unsigned char)~from[i];
    }
}

static int is_as_wanted(const unsigned char *p)
{
    for (size_t i = 0; i < COPY_ROOM; i++) {
        if (p[i] != want[i]) {
            fprintf(stderr, "byte %d from where it begins is %d, not %d\n",
                    (int)i - COPY_AT, p[i], want[i]);
            return 0;
        }
    }
    return 1;
}

static int copies_exactly(size_t at, size_t len)
{
    fill();
    for (size_t i = 0; i < len; i++) {
        want[COPY_AT + at + i] = from[COPY_AT + i];
    }
    return memcpy(to + COPY_AT + at, from + COPY_AT, len) ==
               to + COPY_AT + at &&
           is_as_wanted(to);
}

/* Within one variable, |by| bytes further or, below 0, back. */
static int moves_exactly(int by, size_t len)
{
    fill();
    for (size_t i = 0; i < COPY_ROOM; i++) {
        want[i] = from[i];
    }
    for (size_t i = 0; i < len; i++) {
        want[COPY_AT + by + (int)i] = (unsigned char)~to[COPY_AT + i];
    }
    memmove(from + COPY_AT + by, from + COPY_AT, len);
    return is_as_wanted(from);
}

static int sets_exactly(size_t at, size_t len)
{
    fill();
    for (size_t i = 0; i < len; i++) {
        want[COPY_AT + at + i] = 'x';
    }
    memset(to + COPY_AT + at, 'x', len);
    return is_as_wanted(to);
}

static int64_t copy_stub(void *frame)
{
    static const int by[] = {-300, -65, -64, -17, -8, -1, 0,
                             1,    8,   17,  64,  65, 300};

    (void)frame;
    for (size_t len = 0; len < COPY_MOST; len++) {
        for (size_t at = 0; at < 32; at += 5) {
            if (!copies_exactly(at, len) || !sets_exactly(at, len)) {
                return (int64_t)len + 1;
            }
        }
        for (size_t i = 0; i < COUNT_OF(by); i++) {
            if (!moves_exactly(by[i], len)) {
                return (int64_t)len + 1;
            }
        }
    }
    return 0;
}

/*
 * The numbers that libc's memcpy compares a length with: cmp number(%rip),
 * %rdx. Returns how many, of |most|.
 */
static size_t find_numbers(volatile uint64_t *number[], size_t most)
{
    const unsigned char *code = dlsym(RTLD_DEFAULT, "memcpy");
    size_t n = 0;

    for (size_t i = 0; code != NULL && i < 1024 && n < most; i++) {
        if (code[i] == 0x48 && code[i + 1] == 0x3b && code[i + 2] == 0x15) {
            int32_t away;

            memcpy(&away, code + i + 3, sizeof(away));
            number[n++] = (uint64_t *)(uintptr_t)(code + i + 7 + away);
        }
    }
    return n;
}

static int64_t load_stub(void *frame)
{
    (void)frame;
    return dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD) != NULL;
}

static const struct mpk_entry entries[] = {
    MPK_CORE_ENTRIES,
    {call_stub, 0, MPK_KIND_STACK},
    {guard_stub, 0, MPK_KIND_STACK},
    {errno_stub, 0, MPK_KIND_STACK},
    {refused_stub, 0, MPK_KIND_STACK},
    {locale_stub, 0, MPK_KIND_STACK},
    {copy_stub, 0, MPK_KIND_STACK},
    {load_stub, 0, MPK_KIND_STACK},
};

/* Of a locale's, what libc asks whether it has to look for letters too. */
static uint64_t *is_looked_into(uint64_t *data, size_t words, locale_t c)
{
    size_t at = (size_t)_NL_ITEM_INDEX(_NL_CTYPE_NONASCII_CASE);

    for (size_t i = 0; i + at < words; i++) {
        if (data[i] == (uintptr_t)(c->__ctype_b - 128)) {
            return &data[i + at];
        }
    }
    return NULL;
}

/* All letters are the same one, and nothing is a space. */
static void set_false_locale(void)
{
    static const unsigned short classes[384];
    static int lower[384];
    static uint64_t data[100], *flag;
    static struct __locale_struct locale;
    locale_t c = newlocale(LC_ALL_MASK, "C", NULL);

    CHECK(c != NULL);
    if (c == NULL) {
        return;
    }
    for (size_t i = 0; i < COUNT_OF(lower); i++) {
        lower[i] = 'z';
    }
    locale = *c;
    memcpy(data, c->__locales[LC_CTYPE], sizeof(data));
    flag = is_looked_into(data, COUNT_OF(data), c);
    CHECK(flag != NULL);
    if (flag != NULL) {
        *flag = 1;
    }
    locale.__locales[LC_CTYPE] = (struct __locale_data *)data;
    locale.__ctype_b = classes + 128;
    locale.__ctype_tolower = lower + 128;
    uselocale(&locale);
}

static void test_no_table_of_the_locale_is_looked_into(const struct setup *s)
{
    make_domain(s, entries, COUNT_OF(entries));
    set_false_locale();
    CHECK(mpk_call(OP_LOCALE, NULL) == 0);
    uselocale(LC_GLOBAL_LOCALE);
}

static void test_no_call_inside_goes_by_a_word_of_libcs(const struct setup *s)
{
    int replaced = 0;

    setenv("MPK_CALLS_TEST", "is set", 1);
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

/*
 * From which length on libc copies with rep movsb, and from which on not any
 * more: between the two, the second being the smaller, it copies more than it
 * is told. The one between them is left alone: with 0 there it ends the
 * process.
 */
static void test_no_copy_goes_by_numbers_of_libcs(const struct setup *s)
{
    enum { REP, NON_TEMPORAL, REP_STOP, NUMBERS };
    volatile uint64_t *number[NUMBERS];
    size_t n = find_numbers(number, NUMBERS);
    uint64_t rep = 0, stop = 0;
    int64_t ret;

    make_domain(s, entries, COUNT_OF(entries));
    if (n == NUMBERS) {
        rep = *number[REP];
        stop = *number[REP_STOP];
        *number[REP] = 64;
        *number[REP_STOP] = 0;
    }
    ret = mpk_call(OP_COPY, NULL);
    if (n == NUMBERS) {
        *number[REP] = rep;
        *number[REP_STOP] = stop;
    } else {
        fprintf(stderr, "libc's memcpy is another one\n");
    }
    CHECK(ret == 0);
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

static void load_inside(const struct setup *s)
{
    make_domain(s, entries, COUNT_OF(entries));
    mpk_call(OP_LOAD, NULL);
}

static void test_nothing_is_loaded_inside(const struct setup *s)
{
    struct outcome o = run_in_child(load_inside, s);
    void *libc = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);

    CHECK(ended_by_fatal(&o, "would load a library"));
    CHECK(libc != NULL && dlclose(libc) == 0);
}

static void test_errno_is_not_where_fs_says(const struct setup *s)
{
    make_domain(s, entries, COUNT_OF(entries));
    CHECK(mpk_call(OP_ERRNO, NULL) == 0);
    errno = 0;
    CHECK(close(-1) == -1 && errno == EBADF && last_errno() == EBADF);
}

static void test_no_refusal_is_written_where_libc_says(const struct setup *s)
{
    const uintptr_t page = ~((uintptr_t)MPK_PAGE - 1);

    make_domain(s, entries, COUNT_OF(entries));
    word = errno_word();
    CHECK(word != NULL);
    if (word != NULL) {
        CHECK(mprotect((void *)((uintptr_t)word & page), MPK_PAGE,
                       PROT_READ | PROT_WRITE) == 0);
        CHECK(mpk_call(OP_REFUSED, NULL) == 0);
    }
}

int main(void)
{
    static const struct core_test tests[] = {
        TEST(test_no_call_inside_goes_by_a_word_of_libcs,
             ONE_MEMORY | NOT_SANITIZED),
        TEST(test_nothing_is_loaded_inside, ONE_MEMORY | NOT_SANITIZED),
        TEST(test_errno_is_not_where_fs_says, ONE_MEMORY | NOT_SANITIZED),
        TEST(test_no_refusal_is_written_where_libc_says,
             ONE_MEMORY | NOT_SANITIZED),
        TEST(test_no_copy_goes_by_numbers_of_libcs, ONE_MEMORY | NOT_SANITIZED),
        TEST(test_no_table_of_the_locale_is_looked_into,
             ONE_MEMORY | NOT_SANITIZED),
        TEST(test_a_guard_that_differs_ends_the_process,
             ONE_MEMORY | NOT_SANITIZED),
    };

    return core_test_main(tests, COUNT_OF(tests));
}
