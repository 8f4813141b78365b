/*
 * format.c - vsnprintf for the inner libcrypto.
 *
 * From 4.0 on it writes texts, of errors for one, with libc's, which calls what
 * it finds in libc's own memory (register_printf_specifier): whoever can write
 * there would have a function of his choice run inside. So the linker puts this
 * in its place, in all of the module (--wrap). What libcrypto writes is
 * strings, characters, whole numbers and addresses; all else is an error.
 */
#include <limits.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>

int __wrap_vsnprintf(char *out, size_t room, const char *format, va_list args);
int __wrap___vsnprintf_chk(char *out, size_t room, int flag, size_t object_len,
                           const char *format, va_list args);

/* What was written, or would have been. */
struct text {
    char *p;
    size_t room, len;
};

struct spec {
    int left, zero, plus, space, alternative;
    int width, precision; /* -1: none */
    char size;            /* 0 or one of "Hhlqjzt": H is hh, q is ll */
};

static void put(struct text *t, char c)
{
    if (t->len + 1 < t->room) {
        t->p[t->len] = c;
    }
    t->len++;
}

static void pad(struct text *t, char c, size_t n)
{
    while (n-- > 0) {
        put(t, c);
    }
}

/* ---- what stands between % and the letter -------------------------------- */

static const char *flags(struct spec *s, const char *f)
{
    for (;; f++) {
        switch (*f) {
        case '-':
            s->left = 1;
            break;
        case '0':
            s->zero = 1;
            break;
        case '+':
            s->plus = 1;
            break;
        case ' ':
            s->space = 1;
            break;
        case '#':
            s->alternative = 1;
            break;
        default:
            return f;
        }
    }
}

/* -1, with |*f| as it was, for a number that is too large. */
static int number(const char **f, va_list *args)
{
    const char *p = *f;
    int n = 0;

    if (*p == '*') {
        *f = p + 1;
        return va_arg(*args, int);
    }
    for (; *p >= '0' && *p <= '9'; p++) {
        if (n > (INT_MAX - 9) / 10) {
            return -1;
        }
        n = 10 * n + (*p - '0');
    }
    *f = p;
    return n;
}

static const char *size(struct spec *s, const char *f)
{
    if ((f[0] == 'h' || f[0] == 'l') && f[1] == f[0]) {
        s->size = f[0] == 'h' ? 'H' : 'q';
        return f + 2;
    }
    if (*f != '\0' && strchr("hljzt", *f) != NULL) {
        s->size = *f++;
    }
    return f;
}

static const char *read_spec(struct spec *s, const char *f, va_list *args)
{
    *s = (struct spec){.precision = -1};
    f = flags(s, f);
    s->width = number(&f, args);
    if (s->width < 0) {
        s->left = 1;
        s->width = s->width == INT_MIN ? INT_MAX : -s->width;
    }
    if (*f == '.') {
        f++;
        s->precision = number(&f, args);
    }
    return size(s, f);
}

/* ---- the arguments ------------------------------------------------------- */

static intmax_t take_signed(const struct spec *s, va_list *args)
{
    switch (s->size) {
    case 'H':
        return (signed char)va_arg(*args, int);
    case 'h':
        return (short)va_arg(*args, int);
    case 'l':
        return va_arg(*args, long);
    case 'q':
        return va_arg(*args, long long);
    case 'j':
        return va_arg(*args, intmax_t);
    case 'z':
        return va_arg(*args, ssize_t);
    case 't':
        return va_arg(*args, ptrdiff_t);
    default:
        return va_arg(*args, int);
    }
}

static uintmax_t take_unsigned(const struct spec *s, va_list *args)
{
    switch (s->size) {
    case 'H':
        return (unsigned char)va_arg(*args, unsigned);
    case 'h':
        return (unsigned short)va_arg(*args, unsigned);
    case 'l':
        return va_arg(*args, unsigned long);
    case 'q':
        return va_arg(*args, unsigned long long);
    case 'j':
        return va_arg(*args, uintmax_t);
    case 'z':
        return va_arg(*args, size_t);
    case 't':
        return (uintmax_t)va_arg(*args, ptrdiff_t);
    default:
        return va_arg(*args, unsigned);
    }
}

/* ---- what is written ----------------------------------------------------- */

static void put_string(struct text *t, const struct spec *s, const char *p,
                       size_t len)
{
    size_t before = (size_t)s->width > len ? (size_t)s->width - len : 0;

    pad(t, ' ', s->left ? 0 : before);
    for (size_t i = 0; i < len; i++) {
        put(t, p[i]);
    }
    pad(t, ' ', s->left ? before : 0);
}

static void put_text(struct text *t, const struct spec *s, const char *p)
{
    if (p == NULL) {
        p = s->precision < 0 || s->precision >= 6 ? "(null)" : "";
    }
    put_string(t, s, p,
               s->precision < 0 ? strlen(p) : strnlen(p, (size_t)s->precision));
}

/* |value| with |sign|, which may be "0x" as well, in front of it. */
static void put_number(struct text *t, const struct spec *s, const char *sign,
                       uintmax_t value, unsigned base, const char *digits)
{
    char reversed[24];
    size_t n = 0, zeros = 0, len;

    for (; value != 0; value /= base) {
        reversed[n++] = digits[value % base];
    }
    if (s->precision < 0 && n == 0) {
        reversed[n++] = '0';
    }
    if (s->precision > 0 && (size_t)s->precision > n) {
        zeros = (size_t)s->precision - n;
    }
    if (base == 8 && s->alternative && zeros == 0 &&
        (n == 0 || reversed[n - 1] != '0')) {
        zeros = 1;
    }
    len = strlen(sign) + zeros + n;
    if (s->zero && !s->left && s->precision < 0 && (size_t)s->width > len) {
        zeros += (size_t)s->width - len;
        len = (size_t)s->width;
    }
    pad(t, ' ', !s->left && (size_t)s->width > len ? s->width - len : 0);
    while (*sign != '\0') {
        put(t, *sign++);
    }
    pad(t, '0', zeros);
    while (n > 0) {
        put(t, reversed[--n]);
    }
    pad(t, ' ', s->left && (size_t)s->width > len ? s->width - len : 0);
}

static void put_signed(struct text *t, const struct spec *s, intmax_t value)
{
    const char *sign = value < 0 ? "-" : s->plus ? "+" : s->space ? " " : "";
    uintmax_t magnitude = (uintmax_t)value;

    put_number(t, s, sign, value < 0 ? 0 - magnitude : magnitude, 10,
               "0123456789");
}

static void put_hex(struct text *t, const struct spec *s, uintmax_t value,
                    int capital)
{
    const char *prefix = capital ? "0X" : "0x";

    put_number(t, s, s->alternative && value != 0 ? prefix : "", value, 16,
               capital ? "0123456789ABCDEF" : "0123456789abcdef");
}

static void put_address(struct text *t, struct spec *s, const void *p)
{
    if (p == NULL) {
        put_string(t, s, "(nil)", 5);
        return;
    }
    s->alternative = 1;
    put_hex(t, s, (uintptr_t)p, 0);
}

/* 1, or 0 if that is none of the kinds that are written here. */
static int convert(struct text *t, struct spec *s, char kind, va_list *args)
{
    char c;

    switch (kind) {
    case 'd':
    case 'i':
        put_signed(t, s, take_signed(s, args));
        return 1;
    case 'u':
        put_number(t, s, "", take_unsigned(s, args), 10, "0123456789");
        return 1;
    case 'o':
        put_number(t, s, "", take_unsigned(s, args), 8, "01234567");
        return 1;
    case 'x':
    case 'X':
        put_hex(t, s, take_unsigned(s, args), kind == 'X');
        return 1;
    case 'p':
        put_address(t, s, va_arg(*args, void *));
        return 1;
    case 'c':
        c = (char)va_arg(*args, int);
        put_string(t, s, &c, 1);
        return s->size == 0;
    case 's':
        if (s->size == 0) {
            put_text(t, s, va_arg(*args, const char *));
        }
        return s->size == 0;
    case '%':
        put(t, '%');
        return 1;
    default:
        return 0;
    }
}

static int write_all(struct text *t, const char *f, va_list *args)
{
    struct spec s;

    for (; *f != '\0'; f++) {
        if (*f != '%') {
            put(t, *f);
            continue;
        }
        f = read_spec(&s, f + 1, args);
        if (!convert(t, &s, *f, args)) {
            return 0;
        }
    }
    return 1;
}

int __wrap_vsnprintf(char *out, size_t room, const char *format, va_list args)
{
    struct text t = {.p = out, .room = room};
    va_list rest;
    int ok;

    va_copy(rest, args);
    ok = write_all(&t, format, &rest);
    va_end(rest);
    if (room > 0) {
        out[t.len < room ? t.len : room - 1] = '\0';
    }
    return ok && t.len <= INT_MAX ? (int)t.len : -1;
}

/* As _FORTIFY_SOURCE calls it: |object_len| is what is really there. */
int __wrap___vsnprintf_chk(char *out, size_t room, int flag, size_t object_len,
                           const char *format, va_list args)
{
    (void)flag;
    return __wrap_vsnprintf(out, room < object_len ? room : object_len, format,
                            args);
}
