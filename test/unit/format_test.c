/*
 * What the inner libcrypto writes texts with, against libc's: each flag, width,
 * precision and size with each kind of argument, in rooms of every length.
 */
#include "claims.h"

#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define ROOM 96

int __wrap_vsnprintf(char *out, size_t room, const char *format, va_list args);
int __wrap___vsnprintf_chk(char *out, size_t room, int flag, size_t object_len,
                           const char *format, va_list args);

typedef int write_fn(char *, size_t, const char *, va_list);

static int write_by(write_fn *f, char *out, size_t room, const char *format,
                    ...)
{
    va_list args;
    int n;

    va_start(args, format);
    n = f(out, room, format, args);
    va_end(args);
    return n;
}

static int ours_checked(char *out, size_t room, size_t object_len,
                        const char *format, ...)
{
    va_list args;
    int n;

    va_start(args, format);
    n = __wrap___vsnprintf_chk(out, room, 1, object_len, format, args);
    va_end(args);
    return n;
}

static void same(const char *format, const char a[ROOM], int a_len,
                 const char b[ROOM], int b_len)
{
    bool equal = a_len == b_len && memcmp(a, b, ROOM) == 0;

    CHECK(equal);
    if (!equal) {
        printf("\"%s\": \"%.90s\" (%d), libc: \"%.90s\" (%d)\n", format, a,
               a_len, b, b_len);
    }
}

/* In a room of |n| bytes, with the rest as it was. */
#define COMPARE(n, format, ...)                                                \
    do {                                                                       \
        char a[ROOM], b[ROOM];                                                 \
        int a_len, b_len;                                                      \
                                                                               \
        memset(a, 'x', ROOM);                                                  \
        memset(b, 'x', ROOM);                                                  \
        a_len = write_by(__wrap_vsnprintf, a, n, format, __VA_ARGS__);         \
        b_len = write_by(vsnprintf, b, n, format, __VA_ARGS__);                \
        same(format, a, a_len, b, b_len);                                      \
    } while (0)

static const char *const some_flags[] = {"",   "-",  "0",  "+",   " ",  "#",
                                         "0#", "-#", "+0", " 0-", "0+#"};
static const char *const lengths[] = {"",   "1",  "7",   "20",   ".0",
                                      ".3", ".9", "7.3", "12.0", "3.7"};

static void test_numbers(const char *sizes, long long value)
{
    static const char kinds[] = "diuoxX";
    char format[24];

    for (size_t f = 0; f < COUNT_OF(some_flags); f++) {
        for (size_t l = 0; l < COUNT_OF(lengths); l++) {
            for (const char *k = kinds; *k != '\0'; k++) {
                snprintf(format, sizeof(format), "<%%%s%s%s%c>", some_flags[f],
                         lengths[l], sizes, *k);
                COMPARE(ROOM, format, value);
            }
        }
    }
}

static void test_all_numbers(void)
{
    static const char *const sizes[] = {"",   "hh", "h", "l",
                                        "ll", "j",  "z", "t"};
    static const long long values[] = {
        0,       1,        -1,       7,        8,        255,  256,  INT_MAX,
        INT_MIN, UINT_MAX, LONG_MAX, LONG_MIN, SHRT_MIN, -128, -129, 123456789};

    for (size_t s = 0; s < COUNT_OF(sizes); s++) {
        for (size_t v = 0; v < COUNT_OF(values); v++) {
            test_numbers(sizes[s], values[v]);
        }
    }
}

static void test_strings(void)
{
    static const char not_ended[3] = {'a', 'b', 'c'};
    char format[16];

    for (size_t l = 0; l < COUNT_OF(lengths); l++) {
        for (int left = 0; left < 2; left++) {
            snprintf(format, sizeof(format), "<%%%s%ss>", left ? "-" : "",
                     lengths[l]);
            COMPARE(ROOM, format, "a text");
            COMPARE(ROOM, format, "");
        }
    }
    COMPARE(ROOM, "%.*s", 3, not_ended);
    COMPARE(ROOM, "%.*s", -1, "all of it");
    COMPARE(ROOM, "%*s|%*s", 9, "right", -9, "left");
    COMPARE(ROOM, "%*d|%.*d|%*.*x", 5, 42, 5, 42, -8, 4, 0xabc);
    COMPARE(ROOM, "%s", (const char *)NULL);
    COMPARE(ROOM, "%c%5c%-5c|%%", 'a', 'b', 'c');
    COMPARE(ROOM, "%p %20p", (const void *)not_ended, (const void *)NULL);
    COMPARE(ROOM, "%s:%d %02X%02x %08lX %zu %ld", "file.c", 12, 10, 11, 12UL,
            (size_t)13, -14L);
}

static void test_rooms(void)
{
    for (size_t n = 0; n < 40; n++) {
        COMPARE(n, "%-8s%08d and what is behind", "some", 12345);
    }
    CHECK(write_by(__wrap_vsnprintf, NULL, 0, "%d", 12345) == 5);
}

static void test_what_is_not_written(void)
{
    char a[ROOM] = "before";

    CHECK(write_by(__wrap_vsnprintf, a, sizeof(a), "a%f", 1.0) == -1);
    CHECK(strcmp(a, "a") == 0);
    CHECK(write_by(__wrap_vsnprintf, a, sizeof(a), "b%n", (int *)NULL) == -1);
    CHECK(write_by(__wrap_vsnprintf, a, sizeof(a), "c%ls", L"wide") == -1);
    CHECK(write_by(__wrap_vsnprintf, a, sizeof(a), "d%99999999999d", 1) == -1);
    CHECK(write_by(__wrap_vsnprintf, a, sizeof(a), "e%") == -1);
}

static void test_a_room_that_is_smaller(void)
{
    char a[8] = "1234567";

    CHECK(ours_checked(a, 100, 4, "%s", "abcdef") == 6);
    CHECK(memcmp(a,
                 "abc\0"
                 "567",
                 8) == 0);
}

int main(void)
{
    test_all_numbers();
    test_strings();
    test_rooms();
    test_what_is_not_written();
    test_a_room_that_is_smaller();
    return claims_end();
}
