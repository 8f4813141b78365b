/* asymcipher.c - encryption and decryption: RSA with every padding, SM2. */
#include "inside.h"
#include "prov.h"
#include "secret.h"

#include <openssl/rsa.h>

enum { ENC_ENCRYPT, ENC_DECRYPT };

/* Larger than any modulus, whatever room the caller says there is. */
#define ENC_MAX 4096
/*
 * SM2 writes as much as the message is long, and less than that much more,
 * whatever room it is told (OpenSSL 3.0.19 for one).
 */
#define ENC_MORE 256

/* ---- inside -------------------------------------------------------------- */

/* Uses: handle or 0, handle2 = key, what = ENC_*, params. */
int64_t enc_init_stub(void *frame)
{
    struct mpkprov_frame *f = frame;

    return ctx_init(f, CTX_ENC,
                    f->what == ENC_ENCRYPT ? OSSL_FUNC_ASYM_CIPHER_ENCRYPT_INIT
                                           : OSSL_FUNC_ASYM_CIPHER_DECRYPT_INIT,
                    "encryption init");
}

/* What libssl has told a context that decrypts. */
struct told {
    int padding;
    unsigned version, rollback; /* the client's; another that is right too */
};

/* 1; or 0, with an error, if that cannot be known. */
static int ask_what_was_told(struct mpkprov_frame *f, const struct object *o,
                             struct told *t)
{
    OSSL_FUNC_asym_cipher_get_ctx_params_fn *get =
        INNER(ctx_alg(o), asym_cipher_get_ctx_params,
              OSSL_FUNC_ASYM_CIPHER_GET_CTX_PARAMS);
    OSSL_PARAM params[] = {
        OSSL_PARAM_int(OSSL_ASYM_CIPHER_PARAM_PAD_MODE, &t->padding),
        OSSL_PARAM_uint(OSSL_ASYM_CIPHER_PARAM_TLS_CLIENT_VERSION, &t->version),
        OSSL_PARAM_uint(OSSL_ASYM_CIPHER_PARAM_TLS_NEGOTIATED_VERSION,
                        &t->rollback),
        OSSL_PARAM_END};
    int known;

    if (get == NULL) { /* no RSA, and no paddings */
        return 1;
    }
    if (!keygroup_open(f, o)) {
        return 0;
    }
    known = get(o->data, params) > 0;
    keygroup_close(o);
    return known ? 1 : fail_inner(f, "the padding of a decryption");
}

static int set_padding(const struct object *o, int padding)
{
    const OSSL_PARAM params[] = {
        OSSL_PARAM_int(OSSL_ASYM_CIPHER_PARAM_PAD_MODE, &padding),
        OSSL_PARAM_END};

    return INNER(ctx_alg(o), asym_cipher_set_ctx_params,
                 OSSL_FUNC_ASYM_CIPHER_SET_CTX_PARAMS)(o->data, params) > 0;
}

/* 1; at most 0 with an error of the inner OpenSSL's, or none. */
static int run_inner(struct mpkprov_frame *f, struct object *o,
                     const unsigned char *in, unsigned char *out, size_t *len)
{
    OSSL_FUNC_asym_cipher_encrypt_fn *fn =
        INNER(ctx_alg(o), asym_cipher_encrypt,
              o->what == ENC_ENCRYPT ? OSSL_FUNC_ASYM_CIPHER_ENCRYPT
                                     : OSSL_FUNC_ASYM_CIPHER_DECRYPT);
    uint64_t refused = mpk_heap_refused();
    int ret = fn != NULL ? fn(o->data, out, len, *len, in, f->in_len) : 0;

    return had_memory(refused) ? ret : 0;
}

/*
 * A pre-master secret of TLS (RFC 5246 7.4.7.1) goes out as a handle where
 * session secrets are on. In place of one that does not decrypt the inner
 * OpenSSL would give random bytes, others each time: whoever sends the same
 * twice sees by the handles whether it was right. So it takes no padding off.
 */
static int run_premaster(struct mpkprov_frame *f, struct object *o,
                         const unsigned char *in, const struct told *t)
{
    unsigned char padded[ENC_MAX], out[RSA_PREMASTER];
    size_t len = sizeof(padded);
    int ok = 0;

    if (f->out_len < sizeof(out)) {
        return fail(f, MPKPROV_R_BUFFER, NULL);
    }
    if (t->version == 0) {
        return fail(f, MPKPROV_R_PARAMETER, "no version of a TLS client");
    }
    if (keygroup_open(f, o)) {
        ok = set_padding(o, RSA_NO_PADDING) &&
             run_inner(f, o, in, padded, &len) > 0;
        ok = set_padding(o, RSA_PKCS1_WITH_TLS_PADDING) && ok;
        keygroup_close(o);
    }
    if (!ok) {
        fail_inner(f, "decrypt");
    } else if (len < RSA_PREMASTER_LEAST) {
        ok = fail(f, MPKPROV_R_PARAMETER, "an RSA key too short for TLS");
    } else {
        forget_errors();
        rsa_premaster_unpad(out, padded, len, t->version, t->rollback);
        rsa_premaster_seal(out, t->rollback == 0 ? t->version : 0);
        ok = give(f, out, sizeof(out));
    }
    explicit_bzero(padded, sizeof(padded));
    return ok;
}

static int run_any(struct mpkprov_frame *f, struct object *o,
                   const unsigned char *in)
{
    size_t len = f->out_len < ENC_MAX ? f->out_len : ENC_MAX;
    unsigned char out[ENC_MAX];
    int ret = 0;

    if (keygroup_open(f, o)) {
        ret = run_inner(f, o, in, f->out != NULL ? out : NULL, &len);
        keygroup_close(o);
    }
    if (ret > 0) {
        forget_errors();
        ret = give(f, out, len);
    } else {
        fail_inner(f, o->what == ENC_ENCRYPT ? "encrypt" : "decrypt");
    }
    explicit_bzero(out, sizeof(out));
    return ret;
}

static int run(struct mpkprov_frame *f, struct object *o,
               const unsigned char *in)
{
    struct told t = {0};

    if (o->what == ENC_ENCRYPT && f->in_len > ENC_MAX - ENC_MORE) {
        return fail(f, MPKPROV_R_PARAMETER,
                    "a message of more than 3840 bytes; encrypt a symmetric "
                    "key instead");
    }
    if (o->what == ENC_DECRYPT && f->out != NULL && secrets_on() &&
        !ask_what_was_told(f, o, &t)) {
        return 0;
    }
    return t.padding == RSA_PKCS1_WITH_TLS_PADDING ? run_premaster(f, o, in, &t)
                                                   : run_any(f, o, in);
}

/* Uses: handle, in, out; without out only the length is told. */
int64_t enc_run_stub(void *frame)
{
    struct mpkprov_frame *f = frame;
    struct object *o = ctx_pin(f, CTX_ENC);
    unsigned char *in;
    int ret = 0;

    if (o == NULL) {
        return 0;
    }
    in = take(f, f->in, f->in_len);
    if (in != NULL) {
        ret = run(f, o, in);
    }
    mpk_heap_free(in);
    handle_unpin(o);
    return ret;
}

/* ---- outside ------------------------------------------------------------- */

static void *newctx(void *provctx)
{
    return opctx_new(provctx, CTX_ENC);
}

static int encrypt_init_proxy(void *ctx, void *key, const OSSL_PARAM params[])
{
    return opctx_init(OP_enc_init, ctx, key, ENC_ENCRYPT, NULL, params);
}

static int decrypt_init_proxy(void *ctx, void *key, const OSSL_PARAM params[])
{
    return opctx_init(OP_enc_init, ctx, key, ENC_DECRYPT, NULL, params);
}

static int run_proxy(void *ctx, unsigned char *out, size_t *outlen,
                     size_t outsize, const unsigned char *in, size_t inlen)
{
    struct prov_opctx *c = ctx;
    struct mpkprov_frame f = {.handle = c->handle,
                              .in = in,
                              .in_len = inlen,
                              .out = out,
                              .out_len = outsize};
    int ret = (int)PROV_CALL(enc_run, &f);

    if (ret > 0) {
        *outlen = f.out_len;
    }
    return ret;
}

#define FN(id, f)                                                              \
    {                                                                          \
        OSSL_FUNC_ASYM_CIPHER_##id, (void (*)(void))(f)                        \
    }

static const OSSL_DISPATCH functions[] = {
    FN(NEWCTX, newctx),
    FN(ENCRYPT_INIT, encrypt_init_proxy),
    FN(ENCRYPT, run_proxy),
    FN(DECRYPT_INIT, decrypt_init_proxy),
    FN(DECRYPT, run_proxy),
    FN(FREECTX, opctx_free),
    FN(DUPCTX, opctx_dup),
    FN(GET_CTX_PARAMS, opctx_get),
    FN(GETTABLE_CTX_PARAMS, opctx_gettable),
    FN(SET_CTX_PARAMS, opctx_set),
    FN(SETTABLE_CTX_PARAMS, opctx_settable),
    {0, NULL}};

const OSSL_ALGORITHM prov_asym_ciphers[] = {
    {MPKPROV_NAME_ENC, "provider=mpk", functions,
     "encryption with protected RSA and SM2 keys"},
    {NULL, NULL, NULL, NULL}};
