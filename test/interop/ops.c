#include "ops.h"

#include "interop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void bytes_free(struct bytes *b)
{
    free(b->data);
    b->data = NULL;
    b->len = 0;
}

/*
 * There is no public way to ask a key for its library context. The reference
 * side's keys are those whose provider object lives in the reference context.
 */
OSSL_LIB_CTX *side_of(const EVP_PKEY *key)
{
    const OSSL_PROVIDER *mine = EVP_PKEY_get0_provider(key);
    const OSSL_PROVIDER *theirs =
        EVP_PKEY_get0_provider(key_reference(key_type_find("P-256")));

    return mine == theirs ? interop_ref() : NULL;
}

bool digest_sign(EVP_PKEY *key, const char *md, const OSSL_PARAM *params,
                 const void *msg, size_t len, struct bytes *sig)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *settings = NULL;
    bool ok;

    sig->data = NULL;
    sig->len = 0;
    ok = EVP_DigestSignInit_ex(ctx, &settings, md, side_of(key), NULL, key,
                               NULL) > 0 &&
         (params == NULL || EVP_PKEY_CTX_set_params(settings, params) > 0) &&
         EVP_DigestSign(ctx, NULL, &sig->len, msg, len) > 0;
    if (ok) {
        sig->data = interop_new(sig->len);
        ok = EVP_DigestSign(ctx, sig->data, &sig->len, msg, len) > 0;
    }
    if (!ok) {
        bytes_free(sig);
    }
    EVP_MD_CTX_free(ctx);
    return ok;
}

int digest_verify(EVP_PKEY *key, const char *md, const OSSL_PARAM *params,
                  const void *msg, size_t len, const struct bytes *sig)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *settings = NULL;
    int ret = -2;

    if (EVP_DigestVerifyInit_ex(ctx, &settings, md, side_of(key), NULL, key,
                                NULL) > 0 &&
        (params == NULL || EVP_PKEY_CTX_set_params(settings, params) > 0)) {
        ret = EVP_DigestVerify(ctx, sig->data, sig->len, msg, len);
    }
    EVP_MD_CTX_free(ctx);
    return ret;
}

bool prehash_sign(EVP_PKEY *key, const OSSL_PARAM *params, const void *tbs,
                  size_t len, struct bytes *sig)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(side_of(key), key, NULL);
    bool ok;

    sig->data = NULL;
    sig->len = 0;
    ok = EVP_PKEY_sign_init_ex(ctx, params) > 0 &&
         EVP_PKEY_sign(ctx, NULL, &sig->len, tbs, len) > 0;
    if (ok) {
        sig->data = interop_new(sig->len);
        ok = EVP_PKEY_sign(ctx, sig->data, &sig->len, tbs, len) > 0;
    }
    if (!ok) {
        bytes_free(sig);
    }
    EVP_PKEY_CTX_free(ctx);
    return ok;
}

int prehash_verify(EVP_PKEY *key, const OSSL_PARAM *params, const void *tbs,
                   size_t len, const struct bytes *sig)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(side_of(key), key, NULL);
    int ret = -2;

    if (EVP_PKEY_verify_init_ex(ctx, params) > 0) {
        ret = EVP_PKEY_verify(ctx, sig->data, sig->len, tbs, len);
    }
    EVP_PKEY_CTX_free(ctx);
    return ret;
}

bool verify_recover(EVP_PKEY *key, const OSSL_PARAM *params,
                    const struct bytes *sig, struct bytes *out)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(side_of(key), key, NULL);
    bool ok;

    out->data = NULL;
    out->len = 0;
    ok = EVP_PKEY_verify_recover_init_ex(ctx, params) > 0 &&
         EVP_PKEY_verify_recover(ctx, NULL, &out->len, sig->data, sig->len) > 0;
    if (ok) {
        out->data = interop_new(out->len);
        ok = EVP_PKEY_verify_recover(ctx, out->data, &out->len, sig->data,
                                     sig->len) > 0;
    }
    if (!ok) {
        bytes_free(out);
    }
    EVP_PKEY_CTX_free(ctx);
    return ok;
}

static void check_lists_all(const OSSL_PARAM *list, const OSSL_PARAM *of)
{
    for (; of != NULL && of->key != NULL; of++) {
        if (!CHECK_AS_REF(OSSL_PARAM_locate_const(list, of->key) != NULL)) {
            fprintf(stderr, "missing parameter: %s\n", of->key);
        }
    }
}

static int ctx_param(EVP_PKEY_CTX *ctx, const OSSL_PARAM *like,
                     unsigned char *value, size_t room, size_t *len)
{
    OSSL_PARAM params[2] = {*like, OSSL_PARAM_END};
    const void *inside = NULL;
    int ret;

    memset(value, 0, room);
    *len = 0;
    if (like->data_type == OSSL_PARAM_OCTET_PTR) {
        params[0].data = &inside;
        params[0].data_size = 0;
        ret = EVP_PKEY_CTX_get_params(ctx, params);
        if (ret > 0 && inside != NULL && params[0].return_size <= room) {
            *len = params[0].return_size;
            memcpy(value, inside, *len);
        }
        return ret;
    }
    params[0].data = value;
    params[0].data_size = room;
    if (like->data_type == OSSL_PARAM_INTEGER ||
        like->data_type == OSSL_PARAM_UNSIGNED_INTEGER) {
        params[0].data_size = sizeof(long long);
    }
    params[0].return_size = OSSL_PARAM_UNMODIFIED;
    ret = EVP_PKEY_CTX_get_params(ctx, params);
    *len = OSSL_PARAM_modified(&params[0]) ? params[0].return_size : 0;
    return ret;
}

/* With room for one byte: how much it takes is told all the same. Seen to fail
 * when a failed get answers nothing. */
static bool check_same_room(EVP_PKEY_CTX *got, EVP_PKEY_CTX *want,
                            const OSSL_PARAM *p)
{
    unsigned char a[1], b[1];
    size_t a_len, b_len;

    return CHECK_INT_AS_REF(ctx_param(got, p, a, 1, &a_len),
                            ctx_param(want, p, b, 1, &b_len)) &&
           CHECK_INT_AS_REF((long long)a_len, (long long)b_len);
}

void check_same_ctx_params(EVP_PKEY_CTX *got, EVP_PKEY_CTX *want)
{
    const OSSL_PARAM *p = EVP_PKEY_CTX_gettable_params(want);
    unsigned char a[512], b[512];
    size_t a_len, b_len;

    check_lists_all(EVP_PKEY_CTX_gettable_params(got), p);
    check_lists_all(EVP_PKEY_CTX_settable_params(got),
                    EVP_PKEY_CTX_settable_params(want));
    for (; p != NULL && p->key != NULL; p++) {
        bool same;

        same = CHECK_INT_AS_REF(ctx_param(got, p, a, sizeof(a), &a_len),
                                ctx_param(want, p, b, sizeof(b), &b_len)) &&
               CHECK_MEM_AS_REF(a, a_len, b, b_len);
        if (p->data_type == OSSL_PARAM_UTF8_STRING ||
            p->data_type == OSSL_PARAM_OCTET_STRING) {
            same = check_same_room(got, want, p) && same;
        }
        if (!same) {
            fprintf(stderr, "parameter: %s\n", p->key);
        }
    }
    ERR_clear_error();
}

void fill(unsigned char *p, size_t len, unsigned seed)
{
    for (size_t i = 0; i < len; i++) {
        p[i] = (unsigned char)(seed + i * 7 + (i >> 8));
    }
}

void check_signs(EVP_PKEY *key, const struct key_type *type)
{
    static const char msg[] = "signed by one side, verified by the other";
    struct bytes sig;

    if (CHECK(digest_sign(key, type->md, NULL, msg, sizeof(msg), &sig))) {
        CHECK_INT(digest_verify(key_reference(type), type->md, NULL, msg,
                                sizeof(msg), &sig),
                  1);
        bytes_free(&sig);
    }
}

static bool encapsulate(EVP_PKEY *key, struct bytes *box, struct bytes *secret)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(side_of(key), key, NULL);
    bool ok =
        EVP_PKEY_encapsulate_init(ctx, NULL) > 0 &&
        EVP_PKEY_encapsulate(ctx, NULL, &box->len, NULL, &secret->len) > 0;

    if (ok) {
        box->data = interop_new(box->len);
        secret->data = interop_new(secret->len);
        ok = EVP_PKEY_encapsulate(ctx, box->data, &box->len, secret->data,
                                  &secret->len) > 0;
    }
    EVP_PKEY_CTX_free(ctx);
    return ok;
}

bool decapsulates(EVP_PKEY *key, EVP_PKEY *sender)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(side_of(key), key, NULL);
    struct bytes box = {0}, sent = {0};
    unsigned char found[256];
    size_t len = sizeof(found);
    bool ok;

    ok = CHECK(encapsulate(sender, &box, &sent)) &&
         EVP_PKEY_decapsulate_init(ctx, NULL) > 0 &&
         EVP_PKEY_decapsulate(ctx, found, &len, box.data, box.len) > 0 &&
         len == sent.len && memcmp(found, sent.data, len) == 0;
    bytes_free(&box);
    bytes_free(&sent);
    EVP_PKEY_CTX_free(ctx);
    return ok;
}
