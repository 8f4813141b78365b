/*
 * cipher_ctr.c - inside: GCM's counter mode for the caller's stack.
 *
 * libcrypto's own (aesni_ctr32_encrypt_blocks) puts eight counter blocks on its
 * stack that have been added to the first round key. Counters are public, and
 * that key is the key of AES-128 and half of AES-256's. Its code that
 * enciphers and authenticates in one pass (aesni_gcm_encrypt,
 * aesni_gcm_decrypt) keeps half of a product with GHASH's key there, of which a
 * few give the key.
 *
 * So on the caller's stack, where every thread can look, the counters are made
 * in the frame's place, which is inside, and enciphered there by libcrypto's
 * ECB, which has no stack; and nothing is done in one pass. (The linker's
 * --wrap; record_trace_test looks at all that is written to that stack.)
 */
#include "cipher_inside.h"

#include <emmintrin.h>
#include <string.h>

#define BLOCK 16
#define BLOCKS (MPK_SCRATCH / BLOCK) /* at a time */

typedef void ctr_fn(const unsigned char *in, unsigned char *out, size_t blocks,
                    const void *key, const unsigned char ivec[BLOCK]);
typedef size_t gcm_fn(const unsigned char *in, unsigned char *out, size_t len,
                      const void *key, unsigned char ivec[BLOCK], uint64_t *xi);

/* libcrypto's. */
extern void aesni_ecb_encrypt(const unsigned char *in, unsigned char *out,
                              size_t len, const void *key, int encrypt)
    __attribute__((visibility("hidden")));
extern ctr_fn __real_aesni_ctr32_encrypt_blocks
    __attribute__((visibility("hidden")));
extern gcm_fn __real_aesni_gcm_encrypt __attribute__((visibility("hidden")));
extern gcm_fn __real_aesni_gcm_decrypt __attribute__((visibility("hidden")));

ctr_fn __wrap_aesni_ctr32_encrypt_blocks;
gcm_fn __wrap_aesni_gcm_encrypt, __wrap_aesni_gcm_decrypt;

_Static_assert(sizeof(struct mpkprov_frame) + MPK_SCRATCH <= MPK_FRAME_MAX,
               "there is scratch behind the largest frame");

/* |iv|'s first eight bytes, and the last eight of |ends|. */
static inline __m128i upper(__m128i iv, __m128i ends)
{
    return _mm_castpd_si128(
        _mm_move_sd(_mm_castsi128_pd(ends), _mm_castsi128_pd(iv)));
}

/* Each of the four numbers in network order. */
static inline __m128i swap(__m128i n)
{
    const __m128i low = _mm_set1_epi32(0x00ff00ff);

    n = _mm_or_si128(_mm_and_si128(_mm_srli_epi32(n, 8), low),
                     _mm_slli_epi32(_mm_and_si128(n, low), 8));
    return _mm_or_si128(_mm_srli_epi32(n, 16), _mm_slli_epi32(n, 16));
}

/* Puts counter blocks to |to|: |iv|, and in its last four bytes |from| and what
 * follows. */
static inline void count(__m128i to[BLOCKS], __m128i iv, uint32_t from)
{
    const __m128i third = _mm_shuffle_epi32(iv, _MM_SHUFFLE(2, 2, 2, 2));
    __m128i next =
        _mm_add_epi32(_mm_set1_epi32((int)from), _mm_set_epi32(3, 2, 1, 0));

    for (size_t i = 0; i < BLOCKS; i += 4) {
        __m128i number = swap(next);
        __m128i ends = _mm_unpacklo_epi32(third, number);

        _mm_store_si128(to + i, _mm_unpacklo_epi64(iv, ends));
        _mm_store_si128(to + i + 1, upper(iv, ends));
        ends = _mm_unpackhi_epi32(third, number);
        _mm_store_si128(to + i + 2, _mm_unpacklo_epi64(iv, ends));
        _mm_store_si128(to + i + 3, upper(iv, ends));
        next = _mm_add_epi32(next, _mm_set1_epi32(4));
    }
}

/*
 * As libcrypto's: the last four bytes of |ivec| count, in network order, and it
 * stays as it is. How many blocks there is room for is a constant: what is on
 * this stack others can change.
 */
static __attribute__((noinline)) void ctr_in_frame(const __m128i *in,
                                                   __m128i *out, size_t blocks,
                                                   const void *key,
                                                   const unsigned char *ivec)
{
    __m128i iv = _mm_loadu_si128((const __m128i *)ivec);
    __m128i *stream = mpk_scratch();
    uint32_t from;

    memcpy(&from, ivec + 12, sizeof(from));
    for (from = __builtin_bswap32(from); blocks > 0; from += BLOCKS) {
        size_t n = blocks < BLOCKS ? blocks : BLOCKS;

        count(stream, iv, from);
        aesni_ecb_encrypt((unsigned char *)stream, (unsigned char *)stream,
                          n * BLOCK, key, 1);
        for (size_t i = 0; i < n; i++) {
            _mm_storeu_si128(out + i,
                             _mm_xor_si128(_mm_loadu_si128(in + i), stream[i]));
        }
        in += n;
        out += n;
        blocks -= n;
    }
}

void __wrap_aesni_ctr32_encrypt_blocks(const unsigned char *in,
                                       unsigned char *out, size_t blocks,
                                       const void *key,
                                       const unsigned char ivec[BLOCK])
{
    if (mpk_is_on_domain_stack()) {
        __real_aesni_ctr32_encrypt_blocks(in, out, blocks, key, ivec);
        return;
    }
    ctr_in_frame((const __m128i *)in, (__m128i *)out, blocks, key, ivec);
}

/* Elsewhere 0 bytes are done: the rest is done in two passes. */
#define ONE_PASS(name)                                                         \
    size_t __wrap_##name(const unsigned char *in, unsigned char *out,          \
                         size_t len, const void *key,                          \
                         unsigned char ivec[BLOCK], uint64_t *xi)              \
    {                                                                          \
        return mpk_is_on_domain_stack()                                        \
                   ? __real_##name(in, out, len, key, ivec, xi)                \
                   : 0;                                                        \
    }
ONE_PASS(aesni_gcm_encrypt)
ONE_PASS(aesni_gcm_decrypt)
