/*
 * polyval.c - POLYVAL, with carry-less multiplication or without.
 *
 * Elements are polynomials over GF(2) modulo
 * P = x^128 + x^127 + x^126 + x^121 + 1, bit i of the little-endian number
 * being the coefficient of x^i. The product of POLYVAL is a * b * x^-128: a
 * Montgomery product, so the reduction works from the low end up.
 */
#include "polyval.h"

#include <cpuid.h>
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "x86-64 only");

/* ---- without help from the CPU ------------------------------------------ */

struct element {
    uint64_t lo, hi;
};

/* (P - 1) / x, its upper half: what is added when an element with constant
 * term 1 is divided by x. */
#define P_OVER_X 0xe100000000000000ULL

/*
 * a * b * x^-128: for each coefficient of a from the lowest, add b and divide
 * by x. 128 steps, each the same whatever the bits are.
 */
static struct element multiply(struct element a, struct element b)
{
    struct element z = {0, 0};

    for (int i = 0; i < 128; i++) {
        uint64_t bit = 0 - ((i < 64 ? a.lo >> i : a.hi >> (i - 64)) & 1);
        uint64_t odd;

        z.lo ^= b.lo & bit;
        z.hi ^= b.hi & bit;
        odd = 0 - (z.lo & 1);
        z.lo = z.lo >> 1 | z.hi << 63;
        z.hi = z.hi >> 1 ^ (P_OVER_X & odd);
    }
    return z;
}

void polyval_portable(const unsigned char key[POLYVAL_BLOCK],
                      unsigned char state[POLYVAL_BLOCK],
                      const unsigned char *in, size_t n)
{
    struct element h, s, x;

    memcpy(&h, key, sizeof(h));
    memcpy(&s, state, sizeof(s));
    for (; n > 0; n--, in += POLYVAL_BLOCK) {
        memcpy(&x, in, sizeof(x));
        s.lo ^= x.lo;
        s.hi ^= x.hi;
        s = multiply(s, h);
    }
    memcpy(state, &s, sizeof(s));
}

/* ---- with PCLMULQDQ ------------------------------------------------------ */

#define CLMUL __attribute__((target("pclmul,sse2")))

/*
 * Adds the multiple of P that makes the low 64 bits of |x| zero, and drops
 * these: P is 1 + (x^57 + x^62 + x^63) x^64 + x^128, so the low half, times
 * the bracket, is added 64 bits up, and itself 128 bits up. The latter is what
 * the exchange of the halves leaves in place.
 */
CLMUL static __m128i fold(__m128i x)
{
    const __m128i p = _mm_set_epi64x(0, (long long)0xc200000000000000ULL);

    return _mm_xor_si128(_mm_shuffle_epi32(x, 0x4e),
                         _mm_clmulepi64_si128(x, p, 0x00));
}

CLMUL static __m128i multiply_clmul(__m128i a, __m128i b)
{
    __m128i lo = _mm_clmulepi64_si128(a, b, 0x00);
    __m128i hi = _mm_clmulepi64_si128(a, b, 0x11);
    __m128i mid = _mm_xor_si128(_mm_clmulepi64_si128(a, b, 0x01),
                                _mm_clmulepi64_si128(a, b, 0x10));

    lo = _mm_xor_si128(lo, _mm_slli_si128(mid, 8));
    hi = _mm_xor_si128(hi, _mm_srli_si128(mid, 8));
    return _mm_xor_si128(hi, fold(fold(lo)));
}

CLMUL static void with_clmul(const unsigned char key[POLYVAL_BLOCK],
                             unsigned char state[POLYVAL_BLOCK],
                             const unsigned char *in, size_t n)
{
    __m128i h = _mm_loadu_si128((const __m128i *)key);
    __m128i s = _mm_loadu_si128((const __m128i *)state);

    for (; n > 0; n--, in += POLYVAL_BLOCK) {
        s = _mm_xor_si128(s, _mm_loadu_si128((const __m128i *)in));
        s = multiply_clmul(s, h);
    }
    _mm_storeu_si128((__m128i *)state, s);
}

polyval_fn *polyval_clmul(void)
{
    unsigned eax, ebx, ecx, edx;

    return __get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & bit_PCLMUL)
               ? with_clmul
               : NULL;
}

polyval_fn *polyval_best(void)
{
    polyval_fn *fast = polyval_clmul();

    return fast != NULL ? fast : polyval_portable;
}
