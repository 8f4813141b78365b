/*
 * maps.c - what the kernel says of a place, for the rare case that mincore(2)
 * does not tell.
 */
#include "internal.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* One line of /proc/self/maps, as far as it is wanted: "start-end rwxp". */
struct line {
    uintptr_t start, end;
    int field;      /* that is being read */
    int accessible; /* whether there is any right */
};

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                  : -1;
}

/* Takes the next character. Returns 1 at the end of a line. */
static int take(struct line *l, char c)
{
    uintptr_t *number = l->field == 0 ? &l->start : &l->end;

    if (c == '\n') {
        return 1;
    }
    if (l->field < 2 && hex_digit(c) >= 0) {
        *number = *number << 4 | (uintptr_t)hex_digit(c);
    } else if (l->field == 2) {
        l->accessible |= c == 'r' || c == 'w' || c == 'x';
    }
    l->field += (l->field == 0 && c == '-') || (l->field >= 1 && c == ' ');
    return 0;
}

/* 1 or 0, or -1 to go on; |l| is what has been read of a line. */
static int look(struct line *l, const char *buf, long n, uintptr_t at)
{
    for (long i = 0; i < n; i++) {
        if (!take(l, buf[i])) {
            continue;
        }
        if (at >= l->start && at < l->end) {
            return !l->accessible;
        }
        *l = (struct line){0};
    }
    return -1;
}

int map_is_reserved(const char *page)
{
    struct line l = {0};
    char buf[1024];
    int ret = -1;
    long n, fd = syscall(SYS_openat, AT_FDCWD, "/proc/self/maps",
                         O_RDONLY | O_CLOEXEC);

    /* libc's functions are cancellation points. */
    while (fd >= 0 && ret < 0 &&
           (n = syscall(SYS_read, fd, buf, sizeof(buf))) > 0) {
        ret = look(&l, buf, n, (uintptr_t)page);
    }
    if (fd >= 0) {
        syscall(SYS_close, fd);
    }
    return ret == 1;
}
