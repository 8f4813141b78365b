/*
 * wipe.h - in place of libc's explicit_bzero, which calls memset by way of a
 * word in libc's data. Anybody can write that, and has a function of his choice
 * called with what is to be wiped.
 */
#ifndef MPKCORE_WIPE_H
#define MPKCORE_WIPE_H

#include "x86_64/cpu.h"

#include <stddef.h>
#include <string.h>

static inline void wipe(void *p, size_t len)
{
    memset(p, 0, len);
    cpu_keep_writes(p);
}

#endif
