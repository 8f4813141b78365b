/*
 * What the inner libcrypto sorts with, against libc's: numbers of elements and
 * sizes of them, with elements that are equal and without.
 */
#include "claims.h"

#include <stdlib.h>
#include <string.h>

#define MOST 300
#define SIZE_MOST 24

typedef int compare_fn(const void *, const void *);

void __wrap_qsort(void *base, size_t n, size_t size, compare_fn *compare);

static size_t compared;

/* All bytes, so that what is equal is the same. */
static int compare(const void *a, const void *b)
{
    return memcmp(a, b, compared);
}

static unsigned next(void)
{
    static unsigned state = 1;

    state = state * 1103515245U + 12345U;
    return state >> 16;
}

static void test_as_libc_sorts(size_t n, size_t size, unsigned values)
{
    unsigned char a[MOST * SIZE_MOST + 1], b[MOST * SIZE_MOST + 1];

    compared = size;
    for (size_t i = 0; i < sizeof(a); i++) {
        a[i] = (unsigned char)(next() % values);
    }
    memcpy(b, a, sizeof(a));
    __wrap_qsort(a, n, size, compare);
    qsort(b, n, size, compare);
    CHECK(memcmp(a, b, sizeof(a)) == 0);
    /* What is in order already. */
    __wrap_qsort(a, n, size, compare);
    CHECK(memcmp(a, b, sizeof(a)) == 0);
}

int main(void)
{
    static const size_t sizes[] = {1, 4, 8, SIZE_MOST};

    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
        for (size_t n = 0; n <= MOST; n += n < 40 ? 1 : 13) {
            test_as_libc_sorts(n, sizes[s], 256);
            test_as_libc_sorts(n, sizes[s], 2);
        }
    }
    return claims_end();
}
