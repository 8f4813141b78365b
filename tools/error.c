#include <stdarg.h>
#include <stdio.h>

#include "mpkctl.h"

void mpkctl_error(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    fputs("mpkctl: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
}
