/* kem.c - key encapsulation (RSASVE, and what the inner OpenSSL has more). */
#include "inside.h"
#include "prov.h"

enum { KEM_ENCAPSULATE, KEM_DECAPSULATE };

/* Larger than any ciphertext or secret. */
#define KEM_MAX 8192

/* ---- inside -------------------------------------------------------------- */

/* Uses: handle or 0, handle2 = key, what = KEM_*, params. */
int64_t kem_init_stub(void *frame)
{
    struct mpkprov_frame *f = frame;

    return ctx_init(f, CTX_KEM,
                    f->what == KEM_ENCAPSULATE ? OSSL_FUNC_KEM_ENCAPSULATE_INIT
                                               : OSSL_FUNC_KEM_DECAPSULATE_INIT,
                    "encapsulation init");
}

static size_t at_most(size_t n)
{
    return n < KEM_MAX ? n : KEM_MAX;
}

/*
 * Older versions of the inner OpenSSL look at no room, and of RSASVE tell no
 * length: so they are asked before how much it will be, and what they have not
 * written is no rest of the stack. Without |out| the lengths are told.
 */
static int encapsulate(struct mpkprov_frame *f, struct object *o)
{
    OSSL_FUNC_kem_encapsulate_fn *fn =
        INNER(ctx_alg(o), kem_encapsulate, OSSL_FUNC_KEM_ENCAPSULATE);
    size_t len = at_most(f->out_len), secret_len = at_most(f->out2_len);
    size_t will = 0, secret_will = 0;
    unsigned char out[KEM_MAX] = {0}, secret[KEM_MAX] = {0};
    int tell = f->out == NULL, ret = 0;

    if (fn != NULL && keygroup_open(f, o)) {
        ret = fn(o->data, NULL, &will, NULL, &secret_will);
        if (tell) {
            len = will;
            secret_len = secret_will;
        } else if (ret > 0) {
            ret = will <= KEM_MAX && secret_will <= KEM_MAX
                      ? fn(o->data, out, &len, secret, &secret_len)
                      : 0;
        }
        keygroup_close(o);
    }
    if (ret <= 0) {
        fail_inner(f, "encapsulate");
    } else if (!tell && f->out2 != NULL && f->out2_len < secret_len) {
        ret = fail(f, MPKPROV_R_BUFFER, NULL);
    } else if (!tell && f->out2 != NULL &&
               mpk_copy_out(f->out2, secret, secret_len) != 0) {
        ret = fail(f, MPKPROV_R_POINTER, NULL);
    } else {
        f->out2_len = secret_len;
        ret = give(f, out, len);
    }
    explicit_bzero(secret, sizeof(secret));
    return ret;
}

static int decapsulate(struct mpkprov_frame *f, struct object *o)
{
    OSSL_FUNC_kem_decapsulate_fn *fn =
        INNER(ctx_alg(o), kem_decapsulate, OSSL_FUNC_KEM_DECAPSULATE);
    size_t len = at_most(f->out_len), will = 0;
    unsigned char *in = take(f, f->in, f->in_len);
    uint64_t refused = mpk_heap_refused();
    unsigned char out[KEM_MAX] = {0};
    int ret = 0;

    if (in != NULL && fn != NULL && keygroup_open(f, o)) {
        ret = fn(o->data, NULL, &will, in, f->in_len);
        if (f->out == NULL) {
            len = will;
        } else if (ret > 0) {
            ret = will <= KEM_MAX ? fn(o->data, out, &len, in, f->in_len) : 0;
            len = len < will ? len : will;
        }
        keygroup_close(o);
        ret = had_memory(refused) ? ret : 0;
    }
    if (ret > 0) {
        ret = give(f, out, len);
    } else {
        fail_inner(f, "decapsulate");
    }
    explicit_bzero(out, sizeof(out));
    mpk_heap_free(in);
    return ret;
}

/* Uses: handle, in, out, out2 = secret of an encapsulation. Returns what the
 * inner function does, which is -2 for a context without an operation. */
int64_t kem_run_stub(void *frame)
{
    struct mpkprov_frame *f = frame;
    struct object *o = ctx_pin(f, CTX_KEM);
    int ret;

    if (o == NULL) {
        return 0;
    }
    ret = o->what == KEM_ENCAPSULATE ? encapsulate(f, o) : decapsulate(f, o);
    handle_unpin(o);
    if (ret > 0) {
        forget_errors();
    }
    return ret;
}

/* ---- outside ------------------------------------------------------------- */

static void *newctx(void *provctx)
{
    return opctx_new(provctx, CTX_KEM);
}

static int encapsulate_init_proxy(void *ctx, void *key,
                                  const OSSL_PARAM params[])
{
    return opctx_init(OP_kem_init, ctx, key, KEM_ENCAPSULATE, NULL, params);
}

static int decapsulate_init_proxy(void *ctx, void *key,
                                  const OSSL_PARAM params[])
{
    return opctx_init(OP_kem_init, ctx, key, KEM_DECAPSULATE, NULL, params);
}

/* The room that is said; a NULL length says nothing. */
static size_t room_of(const void *out, const size_t *len)
{
    return out != NULL && len != NULL ? *len : KEM_MAX;
}

static int encapsulate_proxy(void *ctx, unsigned char *out, size_t *outlen,
                             unsigned char *secret, size_t *secretlen)
{
    struct prov_opctx *c = ctx;
    struct mpkprov_frame f = {.handle = c->handle,
                              .out = out,
                              .out_len = room_of(out, outlen),
                              .out2 = secret,
                              .out2_len = room_of(secret, secretlen)};
    int ret = (int)PROV_CALL(kem_run, &f);

    /* Nothing was asked for. */
    if (out == NULL && outlen == NULL && secretlen == NULL && ret > 0) {
        return 0;
    }
    if (ret <= 0) {
        return ret;
    }
    if (outlen != NULL) {
        *outlen = f.out_len;
    }
    if (secretlen != NULL) {
        *secretlen = f.out2_len;
    }
    return 1;
}

static int decapsulate_proxy(void *ctx, unsigned char *out, size_t *outlen,
                             const unsigned char *in, size_t inlen)
{
    struct prov_opctx *c = ctx;
    struct mpkprov_frame f = {.handle = c->handle,
                              .in = in,
                              .in_len = inlen,
                              .out = out,
                              .out_len = room_of(out, outlen)};
    int ret = (int)PROV_CALL(kem_run, &f);

    if (ret > 0 && outlen != NULL) {
        *outlen = f.out_len;
    }
    return ret;
}

#define FN(id, f)                                                              \
    {                                                                          \
        OSSL_FUNC_KEM_##id, (void (*)(void))(f)                                \
    }

static const OSSL_DISPATCH functions[] = {
    FN(NEWCTX, newctx),
    FN(ENCAPSULATE_INIT, encapsulate_init_proxy),
    FN(ENCAPSULATE, encapsulate_proxy),
    FN(DECAPSULATE_INIT, decapsulate_init_proxy),
    FN(DECAPSULATE, decapsulate_proxy),
    FN(FREECTX, opctx_free),
    FN(DUPCTX, opctx_dup),
    FN(GET_CTX_PARAMS, opctx_get),
    FN(GETTABLE_CTX_PARAMS, opctx_gettable),
    FN(SET_CTX_PARAMS, opctx_set),
    FN(SETTABLE_CTX_PARAMS, opctx_settable),
    {0, NULL}};

const OSSL_ALGORITHM prov_kems[] = {
    {MPKPROV_NAME_KEM, "provider=mpk", functions,
     "encapsulation with protected RSA, EC, X25519, X448 and ML-KEM keys"},
    {NULL, NULL, NULL, NULL}};
