/*
 * calls.c - in place of functions of libc that call others of libc, for a
 * library that lives inside, by the linker's --wrap.
 *
 * Within libc such a call can go by a word in libc's data that is writable for
 * as long as the process runs (its .got.plt, where libc was not linked with -z
 * now): who writes there has a function of his choice called inside, with a
 * pointer to a secret. What the module calls itself goes by words of its own,
 * which are read-only.
 */
#include "internal.h"
#include "wipe.h"

#include <mpkcore/core.h>

#include <errno.h>

void __wrap_explicit_bzero(void *p, size_t len);
void *__wrap_memmem(const void *in, size_t in_len, const void *what,
                    size_t what_len);
char *__wrap_strstr(const char *in, const char *what);
size_t __wrap_strcspn(const char *s, const char *stop);
char *__wrap_strpbrk(const char *s, const char *stop);
_Noreturn void __wrap___stack_chk_fail(void);
/* Not there in a program that is linked without --wrap (tests). */
__attribute__((weak)) int *__real___errno_location(void);
int *__wrap___errno_location(void);

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

char *__wrap_strpbrk(const char *s, const char *stop)
{
    s += __wrap_strcspn(s, stop);
    return *s != '\0' ? (char *)s : NULL;
}

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
