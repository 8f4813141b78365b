#include "groups.h"

#include <openssl/core_names.h>
#include <openssl/provider.h>
#include <string.h>

static void copy_text(const OSSL_PARAM params[], const char *key,
                      char out[GROUP_NAME_MAX])
{
    const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, key);

    out[0] = '\0';
    CHECK(p != NULL && p->data_type == OSSL_PARAM_UTF8_STRING);
    if (p != NULL && p->data_size < GROUP_NAME_MAX) {
        memcpy(out, p->data, p->data_size);
        out[p->data_size] = '\0';
    }
}

static int take_group(const OSSL_PARAM params[], void *arg)
{
    struct groups *all = arg;
    struct group *g = &all->at[all->n];
    const struct {
        const char *key;
        int *value;
    } number[] = {{OSSL_CAPABILITY_TLS_GROUP_MIN_TLS, &g->min_tls},
                  {OSSL_CAPABILITY_TLS_GROUP_MAX_TLS, &g->max_tls},
                  {OSSL_CAPABILITY_TLS_GROUP_MIN_DTLS, &g->min_dtls},
                  {OSSL_CAPABILITY_TLS_GROUP_MAX_DTLS, &g->max_dtls}};
    const OSSL_PARAM *kem =
        OSSL_PARAM_locate_const(params, OSSL_CAPABILITY_TLS_GROUP_IS_KEM);

    if (all->n == GROUPS_MAX) {
        return 0;
    }
    all->n++;
    copy_text(params, OSSL_CAPABILITY_TLS_GROUP_NAME, g->name);
    copy_text(params, OSSL_CAPABILITY_TLS_GROUP_NAME_INTERNAL, g->internal);
    copy_text(params, OSSL_CAPABILITY_TLS_GROUP_ALG, g->alg);
    CHECK(OSSL_PARAM_get_uint(
        OSSL_PARAM_locate_const(params, OSSL_CAPABILITY_TLS_GROUP_ID), &g->id));
    CHECK(OSSL_PARAM_get_uint(
        OSSL_PARAM_locate_const(params,
                                OSSL_CAPABILITY_TLS_GROUP_SECURITY_BITS),
        &g->security_bits));
    g->is_kem = 0;
    CHECK(kem == NULL || OSSL_PARAM_get_uint(kem, &g->is_kem));
    for (size_t i = 0; i < sizeof(number) / sizeof(number[0]); i++) {
        CHECK(OSSL_PARAM_get_int(OSSL_PARAM_locate_const(params, number[i].key),
                                 number[i].value));
    }
    return 1;
}

void groups_of(OSSL_LIB_CTX *libctx, const char *provider, struct groups *out)
{
    OSSL_PROVIDER *p = OSSL_PROVIDER_try_load(libctx, provider, 1);

    out->n = 0;
    CHECK(p != NULL &&
          OSSL_PROVIDER_get_capabilities(p, "TLS-GROUP", take_group, out));
    OSSL_PROVIDER_unload(p);
}

const struct group *group_find(const struct groups *g, const char *name)
{
    for (size_t i = 0; i < g->n; i++) {
        if (strcmp(g->at[i].name, name) == 0) {
            return &g->at[i];
        }
    }
    return NULL;
}

EVP_PKEY *group_pair(const struct group *g)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, g->alg, NULL);
    EVP_PKEY *key = NULL;

    CHECK(EVP_PKEY_keygen_init(ctx) > 0);
    CHECK(EVP_PKEY_CTX_set_group_name(ctx, g->internal) > 0);
    CHECK(EVP_PKEY_keygen(ctx, &key) > 0);
    EVP_PKEY_CTX_free(ctx);
    return key;
}

EVP_PKEY *group_blank(const struct group *g)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, g->alg, NULL);
    EVP_PKEY *key = NULL;

    CHECK(EVP_PKEY_paramgen_init(ctx) > 0);
    CHECK(EVP_PKEY_CTX_set_group_name(ctx, g->internal) > 0);
    CHECK(EVP_PKEY_paramgen(ctx, &key) > 0);
    EVP_PKEY_CTX_free(ctx);
    return key;
}

EVP_PKEY *group_peer(EVP_PKEY *of, const unsigned char *public, size_t len)
{
    EVP_PKEY *key = EVP_PKEY_new();

    CHECK(EVP_PKEY_copy_parameters(key, of));
    if (EVP_PKEY_set1_encoded_public_key(key, public, len) <= 0) {
        EVP_PKEY_free(key);
        key = NULL;
    }
    return key;
}

size_t group_derive(EVP_PKEY *own, EVP_PKEY *peer,
                    unsigned char secret[GROUP_SECRET_ROOM])
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, own, NULL);
    size_t told = 0, len = GROUP_SECRET_ROOM;
    bool ok = EVP_PKEY_derive_init(ctx) > 0 &&
              EVP_PKEY_derive_set_peer(ctx, peer) > 0 &&
              EVP_PKEY_derive(ctx, NULL, &told) > 0 && told <= len;

    len = told;
    ok = ok && EVP_PKEY_derive(ctx, secret, &len) > 0 && CHECK(len == told);
    EVP_PKEY_CTX_free(ctx);
    return ok ? len : 0;
}
