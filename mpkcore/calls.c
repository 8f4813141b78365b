/*
 * calls.c - in place of functions of libc that call others of libc, for a
 * library that lives inside, by the linker's --wrap.
 *
 * Within libc such a call can go by a word in libc's data that is writable for
 * as long as the process runs (its .got.plt, where libc was not linked with -z
 * now): who writes there has a function of his choice called inside, with a
 * pointer to a secret. What the module calls itself goes by words of its own,
 * which are read-only.
 *
 * And of those that look something up in a table of the locale: where that is
 * stands in the thread's own words, which can be written as well. tolower with
 * a table in the domain returns what is there.
 */
#include "internal.h"
#include "wipe.h"

#include <mpkcore/core.h>

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <unistd.h>

void __wrap_explicit_bzero(void *p, size_t len);
void *__wrap_memmem(const void *in, size_t in_len, const void *what,
                    size_t what_len);
char *__wrap_strstr(const char *in, const char *what);
size_t __wrap_strcspn(const char *s, const char *stop);
size_t __wrap_strspn(const char *s, const char *go);
char *__wrap_strpbrk(const char *s, const char *stop);
int __wrap_strcasecmp(const char *a, const char *b);
int __wrap_strncasecmp(const char *a, const char *b, size_t n);
long __wrap_strtol(const char *s, char **end, int base);
long __wrap___isoc23_strtol(const char *s, char **end, int base);
unsigned long __wrap_strtoul(const char *s, char **end, int base);
unsigned long __wrap___isoc23_strtoul(const char *s, char **end, int base);
const __int32_t **__wrap___ctype_tolower_loc(void);
char *__wrap_getenv(const char *name);
_Noreturn void __wrap___stack_chk_fail(void);
/* Not there in a program that is linked without --wrap (tests). */
__attribute__((weak)) int *__real___errno_location(void);
int *__wrap___errno_location(void);
__attribute__((weak)) void *__real_dlopen(const char *file, int mode);
void *__wrap_dlopen(const char *file, int mode);

void __wrap_explicit_bzero(void *p, size_t len)
{
    wipe(p, len);
}

/* What is looked for is short, and begins with what is rare. */
void *__wrap_memmem(const void *in, size_t in_len, const void *what,
                    size_t what_len)
{
    const char *p = in, *end = p + in_len;

    if (what_len == 0) {
        return (void *)in;
    }
    while ((size_t)(end - p) >= what_len &&
           (p = memchr(p, *(const char *)what,
                       (size_t)(end - p) - what_len + 1)) != NULL) {
        if (memcmp(p, what, what_len) == 0) {
            return (void *)p;
        }
        p++;
    }
    return NULL;
}

char *__wrap_strstr(const char *in, const char *what)
{
    return __wrap_memmem(in, strlen(in), what, strlen(what));
}

size_t __wrap_strcspn(const char *s, const char *stop)
{
    size_t n = 0;

    while (s[n] != '\0' && strchr(stop, s[n]) == NULL) {
        n++;
    }
    return n;
}

/* libc's has a guard on its stack, and says itself that it differs. */
size_t __wrap_strspn(const char *s, const char *go)
{
    size_t n = 0;

    while (s[n] != '\0' && strchr(go, s[n]) != NULL) {
        n++;
    }
    return n;
}

char *__wrap_strpbrk(const char *s, const char *stop)
{
    s += __wrap_strcspn(s, stop);
    return *s != '\0' ? (char *)s : NULL;
}

/* The inner libcrypto asks once, as it starts. */
char *__wrap_getenv(const char *name)
{
    size_t len = strlen(name);

    for (char **e = environ; e != NULL && *e != NULL; e++) {
        if (strncmp(*e, name, len) == 0 && (*e)[len] == '=') {
            return *e + len + 1;
        }
    }
    return NULL;
}

/* ---- letters and numbers: as in the locale "C" --------------------------- */

#define LOWER(c) ((c) >= 'A' && (c) <= 'Z' ? (c) - 'A' + 'a' : (c))

static int lower(char c)
{
    return LOWER((unsigned char)c);
}

int __wrap_strncasecmp(const char *a, const char *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (lower(a[i]) != lower(b[i]) || a[i] == '\0') {
            return lower(a[i]) - lower(b[i]);
        }
    }
    return 0;
}

int __wrap_strcasecmp(const char *a, const char *b)
{
    return __wrap_strncasecmp(a, b, SIZE_MAX);
}

#define LOWER8(c)                                                              \
    LOWER(c), LOWER((c) + 1), LOWER((c) + 2), LOWER((c) + 3), LOWER((c) + 4),  \
        LOWER((c) + 5), LOWER((c) + 6), LOWER((c) + 7)
#define LOWER64(c)                                                             \
    LOWER8(c), LOWER8((c) + 8), LOWER8((c) + 16), LOWER8((c) + 24),            \
        LOWER8((c) + 32), LOWER8((c) + 40), LOWER8((c) + 48), LOWER8((c) + 56)

/* Of what a char can be, signed or not. */
static const __int32_t lower_table[] = {LOWER64(-128), LOWER64(-64),
                                        LOWER64(0),    LOWER64(64),
                                        LOWER64(128),  LOWER64(192)};

/* What <ctype.h> makes of tolower. */
const __int32_t **__wrap___ctype_tolower_loc(void)
{
    static const __int32_t *const from_zero = lower_table + 128;

    return (const __int32_t **)&from_zero;
}

static int digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    return lower(c) >= 'a' && lower(c) <= 'z' ? lower(c) - 'a' + 10 : INT_MAX;
}

/* |*base| is what it is in the end; 0x is passed over if a digit follows. */
static const char *after_prefix(const char *s, int *base)
{
    if ((*base == 0 || *base == 16) && s[0] == '0' && lower(s[1]) == 'x' &&
        digit(s[2]) < 16) {
        *base = 16;
        return s + 2;
    }
    if (*base == 0) {
        *base = s[0] == '0' ? 8 : 10;
    }
    return s;
}

/* The number at |s| without its sign, or ULONG_MAX if it is larger. */
static unsigned long number(const char *s, char **end, int base, int *minus)
{
    const char *p = s;
    unsigned long n = 0;
    int over = 0;

    while (*p == ' ' || (*p >= '\t' && *p <= '\r')) {
        p++;
    }
    *minus = *p == '-';
    p += *p == '-' || *p == '+';
    p = after_prefix(p, &base);
    for (; digit(*p) < base; s = ++p) {
        over |= __builtin_mul_overflow(n, (unsigned long)base, &n);
        over |= __builtin_add_overflow(n, (unsigned long)digit(*p), &n);
    }
    if (end != NULL) {
        *end = (char *)s;
    }
    return over ? ULONG_MAX : n;
}

/* These leave errno as it is: it lies outside. */
unsigned long __wrap_strtoul(const char *s, char **end, int base)
{
    int minus;
    unsigned long n = number(s, end, base, &minus);

    return minus && n != ULONG_MAX ? 0 - n : n;
}

long __wrap_strtol(const char *s, char **end, int base)
{
    int minus;
    unsigned long n = number(s, end, base, &minus);

    if (n > LONG_MAX) {
        return minus ? LONG_MIN : LONG_MAX;
    }
    return minus ? -(long)n : (long)n;
}

unsigned long __wrap___isoc23_strtoul(const char *s, char **end, int base)
{
    return __wrap_strtoul(s, end, base);
}

long __wrap___isoc23_strtol(const char *s, char **end, int base)
{
    return __wrap_strtol(s, end, base);
}

/* ---- words of the thread: a stack's guard, errno ------------------------- */

/* What a stack's guard is compared with, at fs, is anybody's to write as well.
 * libc's says so with code that looks for much more outside. */
_Noreturn void __wrap___stack_chk_fail(void)
{
    mpk_fatal("a stack was written past the end of a variable");
}

/*
 * libc's own adds to the word at fs:0. libcrypto keeps errno while it makes an
 * error, and puts it back: with that word changed meanwhile, four bytes of the
 * domain would be put back, to what they were a moment ago. A system call's is
 * here as long as it is looked at once after each.
 */
int *__wrap___errno_location(void)
{
    struct mpk_slot *slot = mpk_slot_find();

    if (slot == NULL) {
        return __real___errno_location != NULL ? __real___errno_location()
                                               : &errno;
    }
    slot->err = last_errno();
    return &slot->err;
}

/* The constructors of what is loaded would run inside, and it stays there. */
void *__wrap_dlopen(const char *file, int mode)
{
    if (mpk_slot_find() != NULL) {
        mpk_fatal("code inside would load a library");
    }
    return __real_dlopen(file, mode);
}
