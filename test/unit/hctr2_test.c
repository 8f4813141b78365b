/*
 * The wide-block cipher of the handles against its published vectors, with
 * both ways to compute its hash, and an AES of the system's libcrypto. It is
 * the code that ships, which gets another AES only.
 */
#include "claims.h"
#include "hctr2.h"
#include "hctr2_vectors.h"

#include "../from_hex.h"

#include <openssl/evp.h>
#include <openssl/rand.h>

#include <stdint.h>
#include <string.h>
#include <time.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define ROOM 1200

/* ---- the hash ------------------------------------------------------------ */

static void test_polyval_gives_the_vectors(polyval_fn *hash)
{
    for (size_t i = 0; i < COUNT_OF(polyval_vectors); i++) {
        unsigned char key[16], in[ROOM], want[16], state[16] = {0};
        size_t len;

        from_hex(key, polyval_vectors[i].key);
        len = from_hex(in, polyval_vectors[i].in);
        from_hex(want, polyval_vectors[i].hash);
        hash(key, state, in, len / 16);
        CHECK(memcmp(state, want, 16) == 0);
    }
}

static void test_polyvals_agree(polyval_fn *a, polyval_fn *b)
{
    for (int i = 0; i < 500; i++) {
        unsigned char key[16], in[80], x[16], y[16];

        RAND_bytes(key, sizeof(key));
        RAND_bytes(in, sizeof(in));
        RAND_bytes(x, sizeof(x));
        if (i % 10 == 0) {
            memset(i % 20 == 0 ? key : in, i % 40 == 0 ? 0 : 0xff, 16);
        }
        memcpy(y, x, sizeof(x));
        a(key, x, in, (size_t)i % 6);
        b(key, y, in, (size_t)i % 6);
        CHECK(memcmp(x, y, 16) == 0);
    }
}

/* ---- the cipher ---------------------------------------------------------- */

static void run_aes(void *ctx, unsigned char *out, const unsigned char *in,
                    size_t len)
{
    int n = 0;

    EVP_CipherUpdate(ctx, out, &n, in, (int)len);
}

static void *aes_keyed(const unsigned char key[32], int encrypt)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();

    EVP_CipherInit_ex(ctx, EVP_aes_256_ecb(), NULL, key, NULL, encrypt);
    EVP_CIPHER_CTX_set_padding(ctx, 0);
    return ctx;
}

static void keyed(struct hctr2 *h, const unsigned char key[32],
                  polyval_fn *hash)
{
    /* The hash key does not depend on the way to hash. */
    hctr2_init(h, run_aes, aes_keyed(key, 1), aes_keyed(key, 0));
    h->hash = hash;
}

static void release(struct hctr2 *h)
{
    EVP_CIPHER_CTX_free(h->encrypt);
    EVP_CIPHER_CTX_free(h->decrypt);
}

static void test_hctr2_gives_the_vectors(polyval_fn *hash)
{
    for (size_t i = 0; i < COUNT_OF(hctr2_vectors); i++) {
        unsigned char key[32], tweak[64], plain[ROOM], cipher[ROOM];
        unsigned char p[ROOM], state[16];
        size_t len, tweak_len;
        struct hctr2 h;

        from_hex(key, hctr2_vectors[i].key);
        tweak_len = from_hex(tweak, hctr2_vectors[i].tweak);
        len = from_hex(plain, hctr2_vectors[i].plain);
        from_hex(cipher, hctr2_vectors[i].cipher);
        keyed(&h, key, hash);
        hctr2_tweak(&h, state, tweak, tweak_len, len);
        memcpy(p, plain, len);
        hctr2_encrypt(&h, state, p, len);
        CHECK(memcmp(p, cipher, len) == 0);
        hctr2_decrypt(&h, state, p, len);
        CHECK(memcmp(p, plain, len) == 0);
        release(&h);
    }
}

static int blocks_that_differ(const unsigned char *a, const unsigned char *b,
                              size_t len)
{
    int n = 0;

    for (size_t i = 0; i < len; i += 16) {
        n += memcmp(a + i, b + i, len - i < 16 ? len - i : 16) != 0;
    }
    return n;
}

/* A bit of the tweak, or of any byte of either side, changes every block. */
static void test_every_bit_matters(void)
{
    unsigned char key[32] = {1}, tweak[16] = {2}, state[16], other[16];
    unsigned char p[48] = {3}, q[48];
    struct hctr2 h;

    keyed(&h, key, polyval_best());
    hctr2_tweak(&h, state, tweak, sizeof(tweak), sizeof(p));
    tweak[15] ^= 1;
    hctr2_tweak(&h, other, tweak, sizeof(tweak), sizeof(p));
    memcpy(q, p, sizeof(q));
    hctr2_encrypt(&h, state, p, sizeof(p));
    hctr2_encrypt(&h, other, q, sizeof(q));
    CHECK(blocks_that_differ(p, q, sizeof(p)) == 3);
    for (size_t i = 0; i < sizeof(p); i++) {
        unsigned char a[48], b[48];

        memcpy(a, p, sizeof(a));
        memcpy(b, p, sizeof(b));
        b[i] ^= 0x10;
        hctr2_decrypt(&h, state, a, sizeof(a));
        hctr2_decrypt(&h, state, b, sizeof(b));
        CHECK(blocks_that_differ(a, b, sizeof(a)) == 3);
        b[i] ^= a[i] ^ b[i] ^ 1;
        hctr2_encrypt(&h, state, b, sizeof(b));
        CHECK(blocks_that_differ(b, p, sizeof(b)) == 3);
    }
    release(&h);
}

/* ---- what it costs ------------------------------------------------------- */

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* For a reader; the machine decides, so nothing is claimed. */
static void print_cost(const char *name, polyval_fn *hash)
{
    unsigned char key[32] = {1}, state[16], p[64] = {0};
    struct hctr2 h;

    keyed(&h, key, hash);
    for (size_t len = 16; len <= 64; len += 16) {
        double best = 1e9;

        hctr2_tweak(&h, state, key, 16, len);
        for (int round = 0; round < 50; round++) {
            double start = now();

            for (int i = 0; i < 200; i++) {
                hctr2_encrypt(&h, state, p, len);
            }
            start = (now() - start) / 200;
            best = start < best ? start : best;
        }
        printf("%s, EVP's AES: %zu bytes in %.0f ns\n", name, len, best);
    }
    release(&h);
}

int main(void)
{
    polyval_fn *fast = polyval_clmul();

    test_polyval_gives_the_vectors(polyval_portable);
    test_hctr2_gives_the_vectors(polyval_portable);
    if (fast != NULL) {
        test_polyval_gives_the_vectors(fast);
        test_hctr2_gives_the_vectors(fast);
        test_polyvals_agree(fast, polyval_portable);
        print_cost("PCLMULQDQ", fast);
    } else {
        puts("SKIP: this CPU has no PCLMULQDQ");
    }
    test_every_bit_matters();
    print_cost("portable", polyval_portable);
    return claims_end();
}
