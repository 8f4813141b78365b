#ifndef MPK_TEST_FROM_HEX_H
#define MPK_TEST_FROM_HEX_H

/* Published vectors are written as hexadecimal digits. */

#include <stdlib.h>
#include <string.h>

/* from_hex puts the bytes that |hex| stands for to |out| and returns how many
 * they are. */
static inline size_t from_hex(unsigned char *out, const char *hex)
{
    size_t n = strlen(hex) / 2;

    for (size_t i = 0; i < n; i++) {
        const char pair[] = {hex[2 * i], hex[2 * i + 1], '\0'};

        out[i] = (unsigned char)strtoul(pair, NULL, 16);
    }
    return n;
}

#endif
