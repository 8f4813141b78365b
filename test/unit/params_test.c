/*
 * What of a caller's parameters comes inside: not what only an OpenSSL that was
 * built for tests knows, which keeps an ECDSA nonce for the next signature.
 *
 * Seen to fail: without is_for_tests in params.c.
 */
#include "fake_inside.h"

#include "claims.h"

#include <openssl/core_names.h>
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

int main(void)
{
    const char *const others = OSSL_SIGNATURE_PARAM_PSS_SALTLEN;

    CHECK(strcmp(only_name("kat", others, 0), others) == 0);
    CHECK(strcmp(only_name(others, "kat", 0), others) == 0);
    CHECK(strcmp(only_name("test-entropy", others, 0), others) == 0);
    return claims_end();
}
