/*
 * cipher_registers.c - inside: which ciphers may run on the caller's stack.
 *
 * There every thread can read what a function keeps. With the instructions for
 * AES, and with AVX-512 for ChaCha20, libcrypto's code has keys in registers
 * and in its context, but for what cipher_ctr.c replaces. But ChaCha20's code
 * for AVX2, for SSSE3 and in C puts the whole key on the stack for as long as a
 * record takes, and GCM's for VAES, in OpenSSL 3.1 and later, does that with
 * powers of the GHASH key if there is enough data. AES in C and ARIA are slow
 * enough that nobody sees two system calls more.
 * record_trace_test and record_stack_test look at the stacks.
 */
#include "cipher_inside.h"

#include <string.h>

/* What libcrypto's own code goes by: the processor's features, less those that
 * OPENSSL_ia32cap takes away. */
extern unsigned int OPENSSL_ia32cap_P[] __attribute__((visibility("hidden")));

/* Not in OpenSSL 3.0. Not a weak symbol: gold leaves one that is nowhere to
 * ld.so, which takes a hidden one to be where the module begins. */
extern int ossl_vaes_vpclmulqdq_capable(void)
    __attribute__((visibility("hidden")));

#define VAES_SMALL 256 /* bytes; up to here the powers in the context do */
/* Bytes; from here on two passes (cipher_ctr.c) take longer than one pass on a
 * stack inside, with the system calls for it. */
#define TWO_PASSES 8192

#define CARRYLESS (1U << 1) /* in [1]: PCLMULQDQ */
#define AES_NI (1U << 25)   /* in [1] */
#define AVX512F (1U << 16)  /* in [2] */

static int is_vaes(void)
{
#if OPENSSL_VERSION_PREREQ(3, 1)
    return ossl_vaes_vpclmulqdq_capable() != 0;
#else
    return 0;
#endif
}

size_t cipher_deep_from(const struct cipher_row *row)
{
    const unsigned int aes = AES_NI | CARRYLESS;

    if (row->mode == CIPHER_CHACHA) {
        return (OPENSSL_ia32cap_P[2] & AVX512F) != 0 ? SIZE_MAX : 0;
    }
    if (memcmp(row->names, "AES", 3) != 0 ||
        (OPENSSL_ia32cap_P[1] & aes) != aes) {
        return 0;
    }
    if (row->mode != CIPHER_GCM) {
        return SIZE_MAX;
    }
    return is_vaes() ? VAES_SMALL + 1 : TWO_PASSES + 1;
}
