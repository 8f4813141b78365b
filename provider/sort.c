/*
 * sort.c - qsort for the inner libcrypto.
 *
 * libc's takes a block of the outer heap for what is larger than 1 KiB, and
 * writes there what it sorts. Whoever can write to memory would choose the
 * block, one of the domain for instance. What is that large comes from outside:
 * the attributes of a PKCS#8 key, which are a set and sorted to be encoded. So
 * the linker puts this in its place, in all of the module (--wrap): a heapsort,
 * which needs no memory.
 */
#include <stddef.h>

typedef int compare_fn(const void *, const void *);

void __wrap_qsort(void *base, size_t n, size_t size, compare_fn *compare);

static void swap(char *a, char *b, size_t size)
{
    while (size-- > 0) {
        char c = *a;

        *a++ = *b;
        *b++ = c;
    }
}

/* Of the heap of |n| all is in order but |at|, which may be too small. */
static void sink(char *base, size_t at, size_t n, size_t size,
                 compare_fn *compare)
{
    while (at < n / 2) {
        size_t child = 2 * at + 1;

        if (child + 1 < n &&
            compare(base + child * size, base + (child + 1) * size) < 0) {
            child++;
        }
        if (compare(base + at * size, base + child * size) >= 0) {
            return;
        }
        swap(base + at * size, base + child * size, size);
        at = child;
    }
}

void __wrap_qsort(void *base, size_t n, size_t size, compare_fn *compare)
{
    for (size_t i = n / 2; i-- > 0;) {
        sink(base, i, n, size, compare);
    }
    for (size_t left = n; left-- > 1;) {
        swap(base, (char *)base + left * size, size);
        sink(base, 0, left, size, compare);
    }
}
