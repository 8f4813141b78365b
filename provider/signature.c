/*
 * signature.c - signing and verifying.
 *
 * Size queries and contexts without a key stay outside; init, each update and
 * the last call cross, for signature_stub.c.
 */
#include "signature.h"
#include "prov.h"

#include <openssl/core_names.h>
#include <openssl/prov_ssl.h>

#include <string.h>

static void *newctx(void *provctx, const char *propq)
{
    (void)propq;
    return opctx_new(provctx, CTX_SIG);
}

#define INIT_PROXY(name, what)                                                 \
    static int name(void *ctx, void *key, const OSSL_PARAM params[])           \
    {                                                                          \
        return opctx_init(OP_sig_init, ctx, key, what, NULL, params);          \
    }
INIT_PROXY(verify_init_proxy, INIT_VERIFY)
INIT_PROXY(recover_init_proxy, INIT_RECOVER)

static int sign_init_proxy(void *ctx, void *key, const OSSL_PARAM params[])
{
    return opctx_sign_init(ctx, key, INIT_SIGN, NULL, params);
}

/*
 * SM2 signs the name of the signer too, which hardly anybody says. Until 4.0
 * OpenSSL then had none; since, there is one, and another for TLS 1.3 (RFC 8998
 * 3.2.1). It is the application's OpenSSL, not the inner one, that decides:
 * whoever verifies asks that one, or its like.
 */
static const char *usual_name(const struct prov_key *key,
                              const OSSL_PARAM params[])
{
    const OSSL_PARAM *p = prov_param(params, "tls-version");
    int version = 0;

    if (!prov_core_is(key->ctx, 4, 0)) {
        return OPENSSL_VERSION_MAJOR < 4 ? NULL : "";
    }
    if (p != NULL && p->data != NULL && p->data_size == sizeof(version)) {
        memcpy(&version, p->data, sizeof(version));
    }
    if (version == TLS1_3_VERSION) {
        return "TLSv1.3+GM+Cipher+Suite";
    }
    return "1234567812345678";
}

/* After an init, which has worked: before, not every OpenSSL would take it. */
static int give_name(void *ctx, const struct prov_key *key,
                     const OSSL_PARAM params[])
{
    OSSL_PARAM given[] = {OSSL_PARAM_END, OSSL_PARAM_END};
    const char *name;

    if (key == NULL || key->type != KEY_SM2 ||
        prov_param(params, OSSL_PKEY_PARAM_DIST_ID) != NULL) {
        return 1;
    }
    name = usual_name(key, params);
    if (name == NULL) {
        return 1;
    }
    given[0] = OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_DIST_ID,
                                                 (char *)name, strlen(name));
    return opctx_set(ctx, given);
}

static int digest_sign_init_proxy(void *ctx, const char *mdname, void *key,
                                  const OSSL_PARAM params[])
{
    return opctx_sign_init(ctx, key, INIT_DIGEST_SIGN, mdname, params) &&
           give_name(ctx, key, params);
}

static int digest_verify_init_proxy(void *ctx, const char *mdname, void *key,
                                    const OSSL_PARAM params[])
{
    return opctx_init(OP_sig_init, ctx, key, INIT_DIGEST_VERIFY, mdname,
                      params) &&
           give_name(ctx, key, params);
}

/* What was signed in one call, if that used up the inner context: but not a
 * pointer that the inside did not take. */
static void remember(struct prov_opctx *c, const struct mpkprov_frame *f)
{
    if (c->spent == NULL) {
        c->recipe.valid = 0;
    } else if (f->error.reason == MPKPROV_R_POINTER) {
        c->spent_len = 0;
    } else if (f->in_len != 0) {
        memcpy(c->spent, f->in, f->in_len);
    }
}

static int make_proxy(struct prov_opctx *c, int last, unsigned char *sig,
                      size_t *siglen, size_t sigsize, const unsigned char *in,
                      size_t in_len)
{
    struct mpkprov_frame f = {.what = last,
                              .in = in,
                              .in_len = in_len,
                              .out = sig,
                              .out_len = sigsize};
    int64_t ok;

    if (c->handle == 0 && !c->waiting && c->spent == NULL) {
        return RAISE(OPERATION, "the operation is not initialised");
    }
    if (sig == NULL) {
        *siglen = c->max_size;
        return 1;
    }
    if (c->spent != NULL && !opctx_settle(c)) {
        return 0;
    }
    f.handle = c->handle;
    f.type = c->recipe.what;
    if (c->waiting) {
        opctx_recipe(c, &f);
    }
    if (last == LAST_GOING_ON && opctx_spend(c, in_len)) {
        f.what = LAST_ONESHOT;
    }
    ok = PROV_CALL(sig_make, &f);
    c->handle = f.handle;
    remember(c, &f);
    if (ok != 1) {
        return 0;
    }
    *siglen = f.out_len;
    return 1;
}

static int sign_proxy(void *ctx, unsigned char *sig, size_t *siglen,
                      size_t sigsize, const unsigned char *tbs, size_t tbslen)
{
    return make_proxy(ctx, LAST_PLAIN, sig, siglen, sigsize, tbs, tbslen);
}

static int recover_proxy(void *ctx, unsigned char *out, size_t *outlen,
                         size_t outsize, const unsigned char *sig,
                         size_t siglen)
{
    return make_proxy(ctx, LAST_RECOVER, out, outlen, outsize, sig, siglen);
}

static int digest_sign_as(struct prov_opctx *c, int last, unsigned char *sig,
                          size_t *siglen, size_t sigsize,
                          const unsigned char *tbs, size_t tbslen)
{
    int ok = make_proxy(c, last, sig, siglen, sigsize, tbs, tbslen);

    if (ok && sig != NULL) {
        foresight_signed(tbs, tbslen);
    }
    return ok;
}

/* Of libcrypto's own signatures these have no such function: a second call goes
 * on with the message of the first. */
static int digest_sign_proxy(void *ctx, unsigned char *sig, size_t *siglen,
                             size_t sigsize, const unsigned char *tbs,
                             size_t tbslen)
{
    return digest_sign_as(ctx, LAST_GOING_ON, sig, siglen, sigsize, tbs,
                          tbslen);
}

static int oneshot_sign_proxy(void *ctx, unsigned char *sig, size_t *siglen,
                              size_t sigsize, const unsigned char *tbs,
                              size_t tbslen)
{
    return digest_sign_as(ctx, LAST_ONESHOT, sig, siglen, sigsize, tbs, tbslen);
}

static int digest_sign_final_proxy(void *ctx, unsigned char *sig,
                                   size_t *siglen, size_t sigsize)
{
    return make_proxy(ctx, LAST_FINAL, sig, siglen, sigsize, NULL, 0);
}

static int update_proxy(void *ctx, const unsigned char *data, size_t len)
{
    struct prov_opctx *c = ctx;
    struct mpkprov_frame f = {.in = data, .in_len = len};

    if (!opctx_settle(c)) {
        return 0;
    }
    c->recipe.valid = 0;
    f.handle = c->handle;
    return PROV_CALL(sig_update, &f) == 1;
}

static int check_proxy(struct prov_opctx *c, int last, const unsigned char *sig,
                       size_t siglen, const unsigned char *in, size_t in_len)
{
    struct mpkprov_frame f = {.what = last,
                              .in = in,
                              .in_len = in_len,
                              .in2 = sig,
                              .in2_len = siglen};

    if (!opctx_settle(c)) {
        return 0;
    }
    c->recipe.valid = 0;
    f.handle = c->handle;
    return (int)PROV_CALL(sig_check, &f);
}

static int verify_proxy(void *ctx, const unsigned char *sig, size_t siglen,
                        const unsigned char *tbs, size_t tbslen)
{
    return check_proxy(ctx, LAST_PLAIN, sig, siglen, tbs, tbslen);
}

static int digest_verify_proxy(void *ctx, const unsigned char *sig,
                               size_t siglen, const unsigned char *tbs,
                               size_t tbslen)
{
    return check_proxy(ctx, LAST_ONESHOT, sig, siglen, tbs, tbslen);
}

static int digest_verify_final_proxy(void *ctx, const unsigned char *sig,
                                     size_t siglen)
{
    return check_proxy(ctx, LAST_FINAL, sig, siglen, NULL, 0);
}

/* ---- tables -------------------------------------------------------------- */

#define FN(id, f)                                                              \
    {                                                                          \
        OSSL_FUNC_SIGNATURE_##id, (void (*)(void))(f)                          \
    }

#define COMMON_FUNCTIONS                                                       \
    FN(NEWCTX, newctx), FN(SIGN_INIT, sign_init_proxy), FN(SIGN, sign_proxy),  \
        FN(VERIFY_INIT, verify_init_proxy), FN(VERIFY, verify_proxy),          \
        FN(DIGEST_SIGN_INIT, digest_sign_init_proxy),                          \
        FN(DIGEST_SIGN_UPDATE, update_proxy),                                  \
        FN(DIGEST_SIGN_FINAL, digest_sign_final_proxy),                        \
        FN(DIGEST_SIGN, digest_sign_proxy),                                    \
        FN(DIGEST_VERIFY_INIT, digest_verify_init_proxy),                      \
        FN(DIGEST_VERIFY_UPDATE, update_proxy),                                \
        FN(DIGEST_VERIFY_FINAL, digest_verify_final_proxy),                    \
        FN(FREECTX, opctx_free), FN(DUPCTX, opctx_dup),                        \
        FN(GET_CTX_PARAMS, opctx_get),                                         \
        FN(GETTABLE_CTX_PARAMS, opctx_gettable),                               \
        FN(SET_CTX_PARAMS, opctx_set),                                         \
        FN(SETTABLE_CTX_PARAMS, opctx_settable),                               \
        FN(GET_CTX_MD_PARAMS, opctx_get_md),                                   \
        FN(GETTABLE_CTX_MD_PARAMS, opctx_gettable_md),                         \
        FN(SET_CTX_MD_PARAMS, opctx_set_md),                                   \
        FN(SETTABLE_CTX_MD_PARAMS, opctx_settable_md)

static const OSSL_DISPATCH sig_functions[] = {COMMON_FUNCTIONS, {0, NULL}};

/* What was signed can be recovered; of the others libcrypto says that there is
 * no such function. */
static const OSSL_DISPATCH rsa_functions[] = {
    COMMON_FUNCTIONS,
    FN(VERIFY_RECOVER_INIT, recover_init_proxy),
    FN(VERIFY_RECOVER, recover_proxy),
    {0, NULL}};

/* One-shot only: the absence of the others is what says so. */
static const OSSL_DISPATCH oneshot_functions[] = {
    FN(NEWCTX, newctx),
    FN(DIGEST_SIGN_INIT, digest_sign_init_proxy),
    FN(DIGEST_SIGN, oneshot_sign_proxy),
    FN(DIGEST_VERIFY_INIT, digest_verify_init_proxy),
    FN(DIGEST_VERIFY, digest_verify_proxy),
    FN(FREECTX, opctx_free),
    FN(DUPCTX, opctx_dup),
    FN(GET_CTX_PARAMS, opctx_get),
    FN(GETTABLE_CTX_PARAMS, opctx_gettable),
#if OPENSSL_VERSION_PREREQ(3, 2) /* of the inner one: Ed25519ctx, Ed25519ph */
    FN(SET_CTX_PARAMS, opctx_set),
    FN(SETTABLE_CTX_PARAMS, opctx_settable),
#endif
    {0, NULL}};

const OSSL_ALGORITHM prov_signatures[] = {
    {MPKPROV_NAME_RSA_SIG, "provider=mpk", rsa_functions,
     "signatures with protected RSA keys"},
    {MPKPROV_NAME_SIG, "provider=mpk", sig_functions,
     "signatures with protected EC, SM2 and DSA keys"},
    {MPKPROV_NAME_ONESHOT, "provider=mpk", oneshot_functions,
     "signatures with protected Edwards-curve, ML-DSA and SLH-DSA keys"},
    {NULL, NULL, NULL, NULL}};
