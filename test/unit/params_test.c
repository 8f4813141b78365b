/*
 * What of a caller's parameters comes inside: not what only an OpenSSL that was
 * built for tests knows, which keeps an ECDSA nonce for the next signature, nor
 * a digest's length that what makes signatures has no room for.
 *
 * Seen to fail: without is_for_tests, and without is_too_long, in params.c.
 */
#include "fake_inside.h"

#include "claims.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <string.h>

int mpk_is_outside(const void *p, size_t len)
{
    (void)len;
    return p != NULL;
}

static const char *only_name(const char *first, const char *second, int to_get)
{
    static char name[PARAMS_NAME];
    struct params_in ps;
    unsigned value = 1;
    OSSL_PARAM params[] = {OSSL_PARAM_uint(first, &value),
                           OSSL_PARAM_uint(second, &value), OSSL_PARAM_END};

    CHECK(params_enter(&ps, params, to_get, NULL));
    name[0] = '\0';
    if (ps.n == 1) {
        memcpy(name, ps.name[0], PARAMS_NAME);
    }
    params_free(&ps);
    return name;
}

static int takes_length(OSSL_PARAM len)
{
    OSSL_PARAM params[] = {len, OSSL_PARAM_END};
    struct params_in ps;
    int ok = params_enter(&ps, params, 0, NULL);

    params_free(&ps);
    return ok;
}

/* However long the number is. */
static void test_lengths_of_digests(void)
{
    for (int i = 0; i < 3; i++) {
        size_t size = i == 0 ? EVP_MAX_MD_SIZE : EVP_MAX_MD_SIZE + (size_t)i;
        unsigned number = (unsigned)size;
        unsigned char bytes[20] = {(unsigned char)size};

        CHECK(takes_length(OSSL_PARAM_construct_size_t(OSSL_DIGEST_PARAM_XOFLEN,
                                                       &size)) == (i == 0));
        CHECK(takes_length(OSSL_PARAM_construct_uint(OSSL_DIGEST_PARAM_XOFLEN,
                                                     &number)) == (i == 0));
        CHECK(takes_length(OSSL_PARAM_construct_BN(
                  OSSL_DIGEST_PARAM_XOFLEN, bytes, sizeof(bytes))) == (i == 0));
    }
}

int main(void)
{
    const char *const others = OSSL_SIGNATURE_PARAM_PSS_SALTLEN;

    CHECK(strcmp(only_name("kat", others, 0), others) == 0);
    CHECK(strcmp(only_name(others, "kat", 0), others) == 0);
    CHECK(strcmp(only_name("test-entropy", others, 0), others) == 0);
    test_lengths_of_digests();
    return claims_end();
}
