/* tls_group_answer.c - what keys of TLS groups answer. Outside. */
#include "param_answer.h"
#include "tls_group_outer.h"

#include <openssl/core_names.h>

/* Points are shown uncompressed, as stock shows them. */
static int answer_public(OSSL_PARAM params[], const struct group_key *key)
{
    const char *name = OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY;
    const OSSL_PARAM *p = prov_param(params, name);
    int ok = answer_octets(params, name, key->public, key->group->public_len);

    if (ok && p != NULL && p->data != NULL && key->alg == GROUP_EC) {
        *(unsigned char *)p->data = POINT_UNCOMPRESSED;
    }
    return ok;
}

/*
 * From 4.0 on, a libssl server takes these for DHE of TLS 1.2 too (RFC 7919),
 * and says the numbers themselves. 1 also when nobody asks.
 */
static int answer_prime(OSSL_PARAM params[], struct group_key *key)
{
    unsigned char prime[GROUP_PUBLIC_MAX];
    struct mpkprov_frame f = {
        .type = group_number(key), .out = prime, .out_len = sizeof(prime)};

    if (prov_param(params, OSSL_PKEY_PARAM_FFC_P) == NULL) {
        return 1;
    }
    __atomic_store_n(&key->in_numbers, 1, __ATOMIC_RELAXED);
    return PROV_CALL(group_prime, &f) == 1 &&
           answer_natural(params, OSSL_PKEY_PARAM_FFC_P, prime,
                          key->group->public_len);
}

static int answer_public_number(OSSL_PARAM params[],
                                const struct group_key *key)
{
    size_t len = key->group->public_len;
    unsigned char reversed[GROUP_PUBLIC_MAX];

    if (key->public == NULL ||
        prov_param(params, OSSL_PKEY_PARAM_PUB_KEY) == NULL) {
        return 1;
    }
    for (size_t i = 0; i < len; i++) {
        reversed[i] = key->public[len - 1 - i];
    }
    return answer_natural(params, OSSL_PKEY_PARAM_PUB_KEY, reversed, len);
}

static int answer_numbers(OSSL_PARAM params[], struct group_key *key)
{
    static const unsigned char two = 2; /* RFC 7919 appendix A: of all */

    return key->alg != GROUP_DH ||
           (answer_prime(params, key) &&
            answer_natural(params, OSSL_PKEY_PARAM_FFC_G, &two, 1) &&
            answer_public_number(params, key));
}

int group_key_get_proxy(void *keydata, OSSL_PARAM params[])
{
    struct group_key *key = keydata;
    const struct tls_group *g = key->group;

    if (g == NULL) {
        return RAISE(PARAMETER, "the key has no group yet");
    }
    return answer_int(params, OSSL_PKEY_PARAM_BITS, (int)g->bits) &&
           answer_int(params, OSSL_PKEY_PARAM_SECURITY_BITS,
                      (int)g->security_bits) &&
           answer_int(params, OSSL_PKEY_PARAM_MAX_SIZE,
                      (int)group_handle_len(g)) &&
           answer_text(params, OSSL_PKEY_PARAM_GROUP_NAME, g->name) &&
           (key->public == NULL || answer_public(params, key)) &&
           answer_numbers(params, key);
}

#define GETTABLE_OF_ALL                                                        \
    OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, NULL),                                \
        OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, NULL),                   \
        OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, NULL),                        \
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),           \
        OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, NULL, 0)

const OSSL_PARAM *group_key_list(void *provctx)
{
    static const OSSL_PARAM params[] = {GETTABLE_OF_ALL, OSSL_PARAM_END};

    (void)provctx;
    return params;
}

const OSSL_PARAM *group_key_list_numbers(void *provctx)
{
    static const OSSL_PARAM params[] = {
        GETTABLE_OF_ALL, OSSL_PARAM_BN(OSSL_PKEY_PARAM_FFC_P, NULL, 0),
        OSSL_PARAM_BN(OSSL_PKEY_PARAM_FFC_G, NULL, 0),
        OSSL_PARAM_BN(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0), OSSL_PARAM_END};

    (void)provctx;
    return params;
}
