/* token_pass.c - a key is handed on to the next decoder of a chain. */
#include "prov.h"

#include <openssl/core_object.h>

/*
 * Offers a token for |*key|, which is NULL once somebody has come for it. With
 * the name of its type libcrypto asks that type's decoders alone, and not all
 * that read DER, most of them before ours.
 */
static int offer(struct prov_key **key, OSSL_CALLBACK *cb, void *cbarg)
{
    unsigned char der[TOKEN_MAX];
    OSSL_PARAM params[] = {
        OSSL_PARAM_octet_string(OSSL_OBJECT_PARAM_DATA, der, 0), OSSL_PARAM_END,
        OSSL_PARAM_END};
    struct pending_token token;
    int ret, cancel;

    if ((*key)->type != KEY_ANY) {
        params[1] = OSSL_PARAM_construct_utf8_string(
            OSSL_OBJECT_PARAM_DATA_TYPE,
            (char *)mpkprov_types[(*key)->type].name, 0);
    }

    /* Whoever is cancelled in there would leave the list a link to what was his
     * stack. */
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
    params[0].data_size = token_issue(&token, *key, der);
    ret = cb(params, cbarg);
    *key = token_withdraw(&token);
    pthread_setcancelstate(cancel, NULL);
    return ret;
}

/*
 * libcrypto's old code reads keys of EC as ones of SM2, and those as of EC.
 * Asked for any other type it finds none, and a program goes on to the next.
 */
static enum key_type as_old_code_takes(const struct prov_key *key)
{
    switch (key->type) {
    case KEY_EC:
        return KEY_SM2;
    case KEY_SM2:
        return KEY_EC;
    default:
        return KEY_ANY;
    }
}

/* Passes a token for |key|, found in |s|, to the next decoder. */
int token_pass(struct prov_key *key, const struct key_source *s,
               OSSL_CALLBACK *cb, void *cbarg)
{
    int of_any_type = key->type == KEY_ANY, ret;

    /* It is handed on as what it probably is; but this may be a chain for
     * another type, and then the key is of that. */
    if (of_any_type) {
        key = prov_key_become(key, key_likely(s));
    }
    ret = offer(&key, cb, cbarg);
    if (of_any_type && key != NULL) {
        key = prov_key_become(key, KEY_ANY);
        ret = offer(&key, cb, cbarg);
    }
    /*
     * Nobody came for it: there is no decoder for its type in this chain. To
     * go on would be to offer the key to the other providers.
     */
    if (key != NULL && as_old_code_takes(key) != KEY_ANY) {
        enum key_type as = as_old_code_takes(key);
        struct prov_ctx *ctx = key->ctx;

        prov_key_free(key);
        key = prov_key_refused(ctx, as, prov_other_type);
        ret = offer(&key, cb, cbarg);
    }
    if (key != NULL) {
        /* libcrypto says nothing when it had none of that type to ask. */
        prov_key_free(key);
        ret = RAISE(UNSUPPORTED_KEY, "%s", prov_other_type);
    }
    return ret;
}

int token_pass_refused(struct prov_ctx *ctx, const char *why, OSSL_CALLBACK *cb,
                       void *cbarg)
{
    static const struct key_source unknown = {0};

    return token_pass(prov_key_refused(ctx, KEY_ANY, why), &unknown, cb, cbarg);
}
