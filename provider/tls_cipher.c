/* tls_cipher.c - the table of the AEADs of TLS, and their constants. Outside.
 */
#include "cipher_ctx.h"
#include "tls.h"

/* Asked when an algorithm is fetched: the inner provider's answers. */
static int constants(int slot, OSSL_PARAM params[])
{
    struct mpkprov_frame f = {
        .type = slot, .what = CIPHER_INFO, .params = params};

    return params == NULL || PROV_CALL(cipher_info, &f) == 1;
}

static const OSSL_PARAM *table(int slot, int which)
{
    struct mpkprov_frame f = {.type = slot, .what = which};

    return PROV_CALL(cipher_info, &f) == 1 ? f.out : NULL;
}

#define FN(id, f)                                                              \
    {                                                                          \
        OSSL_FUNC_CIPHER_##id, (void (*)(void))(f)                             \
    }

/* newctx and get_params are not told which algorithm they are called for, so
 * every one has its own. */
#define X(slot, names, mode, key_len)                                          \
    static void *slot##_newctx(void *provctx)                                  \
    {                                                                          \
        return cipher_ctx_new(provctx, CIPHER_##slot);                         \
    }                                                                          \
    static int slot##_get_params(OSSL_PARAM params[])                          \
    {                                                                          \
        return constants(CIPHER_##slot, params);                               \
    }                                                                          \
    static const OSSL_PARAM *slot##_gettable(void *provctx)                    \
    {                                                                          \
        (void)provctx;                                                         \
        return table(CIPHER_##slot, CIPHER_INFO_GET);                          \
    }                                                                          \
    static const OSSL_PARAM *slot##_gettable_ctx(void *cctx, void *provctx)    \
    {                                                                          \
        (void)cctx;                                                            \
        (void)provctx;                                                         \
        return table(CIPHER_##slot, CIPHER_CTX_GET);                           \
    }                                                                          \
    static const OSSL_PARAM *slot##_settable_ctx(void *cctx, void *provctx)    \
    {                                                                          \
        (void)cctx;                                                            \
        (void)provctx;                                                         \
        return table(CIPHER_##slot, CIPHER_CTX_SET);                           \
    }                                                                          \
    static const OSSL_DISPATCH slot##_functions[] = {                          \
        FN(NEWCTX, slot##_newctx),                                             \
        FN(FREECTX, cipher_ctx_free),                                          \
        FN(DUPCTX, cipher_ctx_dup),                                            \
        FN(ENCRYPT_INIT, cipher_ctx_einit),                                    \
        FN(DECRYPT_INIT, cipher_ctx_dinit),                                    \
        FN(UPDATE, cipher_ctx_update),                                         \
        FN(FINAL, cipher_ctx_final),                                           \
        FN(CIPHER, cipher_ctx_cipher),                                         \
        FN(GET_PARAMS, slot##_get_params),                                     \
        FN(GETTABLE_PARAMS, slot##_gettable),                                  \
        FN(GET_CTX_PARAMS, cipher_ctx_get),                                    \
        FN(GETTABLE_CTX_PARAMS, slot##_gettable_ctx),                          \
        FN(SET_CTX_PARAMS, cipher_ctx_set),                                    \
        FN(SETTABLE_CTX_PARAMS, slot##_settable_ctx),                          \
        {0, NULL}};
CIPHERS(X)
#undef X

#define X(slot, names, mode, key_len)                                          \
    {names, TLS_PROPERTIES, slot##_functions, "AEAD with a protected key"},
const OSSL_ALGORITHM tls_ciphers[] = {CIPHERS(X){NULL, NULL, NULL, NULL}};
#undef X
