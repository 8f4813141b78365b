/*
 * later_libc.c - what a libcrypto.a that was made with glibc 2.38 or later asks
 * of libc, for programs that are linked with it where glibc is older. Of the
 * module these are in mpkcore.
 */
#include <stdlib.h>

long __isoc23_strtol(const char *s, char **end, int base);

#if !__GLIBC_PREREQ(2, 38)
long __isoc23_strtol(const char *s, char **end, int base)
{
    return strtol(s, end, base);
}
#endif
