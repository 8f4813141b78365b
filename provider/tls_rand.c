/*
 * tls_rand.c - the domain's random numbers, for those who ask for them.
 *
 * What makes ephemeral keys, nonces and explicit IVs is inside anyway. An
 * application may have its own random numbers from there too, with "random =
 * MPK-RAND". ("random_provider = MPK" of OpenSSL 3.5 works as well, until
 * somebody who has loaded that provider once more unloads it: libcrypto then
 * forgets it, and says nothing.) The inner library's generators seed themselves
 * from the kernel, so a parent is accepted and not used.
 */
#include "inside.h"
#include "param_answer.h"
#include "tls.h"

#include <openssl/rand.h>

#include <stdlib.h>

/* The inner generators' own limit for one request. */
#define REQUEST_MAX ((size_t)1 << 16)
#define STRENGTH 256

/* ---- inside -------------------------------------------------------------- */

/* Uses: out, what = 1 for the generator of private numbers. */
int64_t rand_make_stub(void *frame)
{
    struct mpkprov_frame *f = frame;
    unsigned char block[1024];
    size_t done = 0, n;
    int ok = mpk_is_outside(f->out, f->out_len);

    if (!ok) {
        fail(f, MPKPROV_R_POINTER, NULL);
    }
    while (ok && done < f->out_len) {
        n = f->out_len - done < sizeof(block) ? f->out_len - done
                                              : sizeof(block);
        ok = (f->what ? RAND_priv_bytes(block, (int)n)
                      : RAND_bytes(block, (int)n)) > 0;
        ok = ok ? mpk_copy_out((char *)f->out + done, block, n) == 0
                : fail_inner(f, "random numbers");
        done += n;
    }
    explicit_bzero(block, sizeof(block));
    return ok;
}

/* ---- outside ------------------------------------------------------------- */

static int make(void *out, size_t len, int private)
{
    struct mpkprov_frame f = {.out = out, .out_len = len, .what = private};

    return PROV_CALL(rand_make, &f) == 1;
}

int tls_random_bytes(void *provctx, int which, void *buf, size_t n,
                     unsigned int strength)
{
    (void)provctx;
    return strength <= STRENGTH && make(buf, n, which != 0);
}

struct rand_ctx {
    int state; /* EVP_RAND_STATE_* */
};

static void *rand_new(void *provctx, void *parent,
                      const OSSL_DISPATCH *parent_calls)
{
    struct rand_ctx *c = calloc(1, sizeof(*c));

    (void)provctx;
    (void)parent;
    (void)parent_calls;
    if (c == NULL) {
        RAISE(OPERATION, "out of memory");
    }
    return c;
}

static void rand_free(void *ctx)
{
    free(ctx);
}

static int rand_instantiate(void *ctx, unsigned int strength, int resistance,
                            const unsigned char *pers, size_t pers_len,
                            const OSSL_PARAM params[])
{
    struct rand_ctx *c = ctx;

    (void)resistance;
    (void)pers;
    (void)pers_len;
    (void)params;
    if (strength > STRENGTH) {
        return RAISE(PARAMETER, "random numbers of more than 256 bits");
    }
    c->state = EVP_RAND_STATE_READY;
    return 1;
}

static int rand_uninstantiate(void *ctx)
{
    struct rand_ctx *c = ctx;

    c->state = EVP_RAND_STATE_UNINITIALISED;
    return 1;
}

static int rand_generate(void *ctx, unsigned char *out, size_t outlen,
                         unsigned int strength, int resistance,
                         const unsigned char *add, size_t add_len)
{
    const struct rand_ctx *c = ctx;

    (void)resistance;
    (void)add;
    (void)add_len;
    if (c->state != EVP_RAND_STATE_READY || strength > STRENGTH) {
        return RAISE(PARAMETER, "a generator that is not ready, or random "
                                "numbers of more than 256 bits");
    }
    return make(out, outlen, 1);
}

/* The inner generators see to it themselves. */
static int rand_reseed(void *ctx, int resistance, const unsigned char *entropy,
                       size_t entropy_len, const unsigned char *add,
                       size_t add_len)
{
    (void)ctx;
    (void)resistance;
    (void)entropy;
    (void)entropy_len;
    (void)add;
    (void)add_len;
    return 1;
}

/* Nothing outside changes in use, so there is nothing to lock. */
static int rand_enable_locking(void *ctx)
{
    (void)ctx;
    return 1;
}

static int rand_lock(void *ctx)
{
    (void)ctx;
    return 1;
}

static void rand_unlock(void *ctx)
{
    (void)ctx;
}

static const OSSL_PARAM *rand_gettable(void *ctx, void *provctx)
{
    static const OSSL_PARAM params[] = {
        OSSL_PARAM_int(OSSL_RAND_PARAM_STATE, NULL),
        OSSL_PARAM_uint(OSSL_RAND_PARAM_STRENGTH, NULL),
        OSSL_PARAM_size_t(OSSL_RAND_PARAM_MAX_REQUEST, NULL), OSSL_PARAM_END};

    (void)ctx;
    (void)provctx;
    return params;
}

static int rand_get(void *ctx, OSSL_PARAM params[])
{
    const struct rand_ctx *c = ctx;

    return answer_int(params, OSSL_RAND_PARAM_STATE, c->state) &&
           answer_int(params, OSSL_RAND_PARAM_STRENGTH, STRENGTH) &&
           answer_size(params, OSSL_RAND_PARAM_MAX_REQUEST, REQUEST_MAX);
}

#define FN(id, f)                                                              \
    {                                                                          \
        OSSL_FUNC_RAND_##id, (void (*)(void))(f)                               \
    }

static const OSSL_DISPATCH functions[] = {
    FN(NEWCTX, rand_new),
    FN(FREECTX, rand_free),
    FN(INSTANTIATE, rand_instantiate),
    FN(UNINSTANTIATE, rand_uninstantiate),
    FN(GENERATE, rand_generate),
    FN(RESEED, rand_reseed),
    FN(ENABLE_LOCKING, rand_enable_locking),
    FN(LOCK, rand_lock),
    FN(UNLOCK, rand_unlock),
    FN(GETTABLE_CTX_PARAMS, rand_gettable),
    FN(GET_CTX_PARAMS, rand_get),
    {0, NULL}};

const OSSL_ALGORITHM tls_rands[] = {
    {"MPK-RAND", TLS_PROPERTIES, functions, "random numbers of the domain"},
    {NULL, NULL, NULL, NULL}};
