/* tls_group_kem.c - encapsulation of TLS: the secret comes out as a handle. */
#include "inside.h"
#include "tls_group_outer.h"

#include <openssl/core_names.h>

#include <stdlib.h>

/* ---- inside -------------------------------------------------------------- */

/* SecP384r1MLKEM1024's, the longest. */
#define CIPHERTEXT_MAX 1665

/* A context of the inner operation for |key|, by its init function |id|. */
static void *open_ctx(const struct tls_group *g, void *key, int id)
{
    const struct inner_alg *alg = group_operation(g);
    void *ctx =
        INNER(alg, kem_newctx, OSSL_FUNC_KEM_NEWCTX)(mpkprov_inner.provctx);
    OSSL_FUNC_kem_encapsulate_init_fn *init =
        INNER(alg, kem_encapsulate_init, id);

    if (ctx != NULL && init(ctx, key, NULL) <= 0) {
        INNER(alg, kem_freectx, OSSL_FUNC_KEM_FREECTX)(ctx);
        ctx = NULL;
    }
    return ctx;
}

static void close_ctx(const struct tls_group *g, void *ctx)
{
    if (ctx != NULL) {
        INNER(group_operation(g), kem_freectx, OSSL_FUNC_KEM_FREECTX)(ctx);
    }
}

int group_encapsulate(struct mpkprov_frame *f, const struct tls_group *g,
                      void *peer, void *ciphertext, void *handle)
{
    unsigned char out[CIPHERTEXT_MAX], secret[GROUP_SECRET_MAX];
    void *ctx = open_ctx(g, peer, OSSL_FUNC_KEM_ENCAPSULATE_INIT);
    size_t len = sizeof(out), secret_len = sizeof(secret);
    uint64_t refused = mpk_heap_refused();
    int ok = 0;

    if (ctx == NULL ||
        INNER(group_operation(g), kem_encapsulate, OSSL_FUNC_KEM_ENCAPSULATE)(
            ctx, out, &len, secret, &secret_len) <= 0 ||
        len != g->ciphertext_len || secret_len != g->secret_len ||
        !had_memory(refused)) {
        fail_inner(f, "encapsulate");
    } else {
        ok = group_secret_give(f, handle, secret, secret_len, 1) &&
             (mpk_copy_out(ciphertext, out, len) == 0 ||
              fail(f, MPKPROV_R_POINTER, NULL));
    }
    explicit_bzero(secret, sizeof(secret));
    close_ctx(g, ctx);
    return ok;
}

/* Uses: type = group, in = the peer's public key, out = room for the
 * ciphertext, out2 = for the secret's handle. */
int64_t group_encapsulate_stub(void *frame)
{
    struct mpkprov_frame *f = frame;
    const struct tls_group *g = group_there(f->type);
    void *peer;
    int ok = 0, plain;

    if (g == NULL || g->alg != GROUP_KEM) {
        return fail(f, MPKPROV_R_PARAMETER, "no such group");
    }
    if (f->out_len < g->ciphertext_len) {
        return fail(f, MPKPROV_R_BUFFER, NULL);
    }
    peer = group_key_peer(f, g, &plain);
    if (peer != NULL) {
        ok = group_encapsulate(f, g, peer, f->out, f->out2);
    }
    group_key_free(f->type, peer);
    return ok;
}

static int decapsulate(struct mpkprov_frame *f, const struct tls_group *g,
                       void *own)
{
    unsigned char in[CIPHERTEXT_MAX], secret[GROUP_SECRET_MAX];
    size_t secret_len = sizeof(secret);
    uint64_t refused = mpk_heap_refused();
    void *ctx;
    int ok = 0;

    if (f->in_len != g->ciphertext_len ||
        mpk_copy_in(in, f->in, f->in_len) != 0) {
        return fail(f, MPKPROV_R_PARAMETER, "a ciphertext of another length");
    }
    ctx = open_ctx(g, own, OSSL_FUNC_KEM_DECAPSULATE_INIT);
    if (ctx == NULL ||
        INNER(group_operation(g), kem_decapsulate, OSSL_FUNC_KEM_DECAPSULATE)(
            ctx, secret, &secret_len, in, f->in_len) <= 0 ||
        secret_len != g->secret_len || !had_memory(refused)) {
        fail_inner(f, "decapsulate");
    } else {
        ok = group_secret_give(f, f->out, secret, secret_len, 1);
    }
    explicit_bzero(secret, sizeof(secret));
    close_ctx(g, ctx);
    return ok;
}

/* Uses: handle, which ends, in = the ciphertext, out = room for the secret's
 * handle; in2, what, handle2 as group_gen. */
int64_t group_decapsulate_stub(void *frame)
{
    struct mpkprov_frame *f = frame;
    const struct tls_group *g;
    struct object *own = group_key_spend(f, &g);
    int ok;

    f->handle2 = 0;
    if (own == NULL) {
        return 0;
    }
    ok = g->alg == GROUP_KEM
             ? decapsulate(f, g, own->data)
             : fail(f, MPKPROV_R_HANDLE, "not a key for encapsulation");
    handle_unpin(own);
    if (ok) {
        kdf_follow(f, f->what);
    }
    return ok;
}

/* ---- outside ------------------------------------------------------------- */

struct kem {
    struct group_key *key;
};

static OSSL_FUNC_kem_newctx_fn newctx;
static OSSL_FUNC_kem_encapsulate_init_fn encapsulate_init_proxy;
static OSSL_FUNC_kem_encapsulate_fn encapsulate_proxy;
static OSSL_FUNC_kem_decapsulate_init_fn decapsulate_init_proxy;
static OSSL_FUNC_kem_decapsulate_fn decapsulate_proxy;
static OSSL_FUNC_kem_freectx_fn freectx;

static void *newctx(void *provctx)
{
    struct kem *k = calloc(1, sizeof(*k));

    (void)provctx;
    if (k == NULL) {
        RAISE(OPERATION, "out of memory");
    }
    return k;
}

static void freectx(void *ctx)
{
    struct kem *k = ctx;

    if (k != NULL) {
        group_key_unref(k->key);
        free(k);
    }
}

static int init_with(struct kem *k, struct group_key *key, int usable)
{
    if (!usable) {
        return RAISE(PARAMETER, "encapsulation with a key that is not for it");
    }
    group_key_unref(k->key);
    k->key = group_key_ref(key);
    return 1;
}

static int encapsulate_init_proxy(void *ctx, void *vkey,
                                  const OSSL_PARAM params[])
{
    struct group_key *key = vkey;

    (void)params;
    return init_with(ctx, key, key->alg == GROUP_KEM && key->public != NULL);
}

static int decapsulate_init_proxy(void *ctx, void *vkey,
                                  const OSSL_PARAM params[])
{
    struct group_key *key = vkey;

    (void)params;
    return init_with(ctx, key, key->alg == GROUP_KEM && key->has_private);
}

static int encapsulate_proxy(void *ctx, unsigned char *out, size_t *outlen,
                             unsigned char *secret, size_t *secretlen)
{
    struct kem *k = ctx;
    const struct tls_group *g = k->key->group;
    struct mpkprov_frame f = {.type = group_number(k->key),
                              .in = k->key->public,
                              .in_len = g->public_len,
                              .out = out,
                              .out_len = g->ciphertext_len,
                              .out2 = secret};
    int told = out == NULL;

    /* Nothing is asked for. */
    if (told && outlen == NULL && secretlen == NULL) {
        return 0;
    }
    /* Rooms that are said are looked at; a NULL length is none. */
    if (!told && ((outlen != NULL && *outlen < g->ciphertext_len) ||
                  (secretlen != NULL && *secretlen < group_handle_len(g)))) {
        return RAISE(BUFFER, "%s", "");
    }
    if (!told && !group_key_encapsulated(k->key, out, secret) &&
        PROV_CALL(group_encapsulate, &f) != 1) {
        return 0;
    }
    if (outlen != NULL) {
        *outlen = g->ciphertext_len;
    }
    if (secretlen != NULL) {
        *secretlen = group_handle_len(g);
    }
    return 1;
}

static int decapsulate_proxy(void *ctx, unsigned char *out, size_t *outlen,
                             const unsigned char *in, size_t inlen)
{
    struct kem *k = ctx;
    const struct tls_group *g = k->key->group;
    struct mpkprov_frame f = {.in = in, .in_len = inlen, .out = out};
    struct foresight_plan plan;

    if (out != NULL) {
        if (outlen != NULL && *outlen < group_handle_len(g)) {
            return RAISE(BUFFER, "%s", "");
        }
        if (inlen != g->ciphertext_len) {
            return RAISE(PARAMETER, "a ciphertext of another length");
        }
        f.handle = group_key_take(k->key);
        foresight_plan_stages(&plan, &f, out, group_handle_len(g));
        if (PROV_CALL(group_decapsulate, &f) != 1) {
            return 0;
        }
        foresight_keep(&plan, f.handle2);
    }
    if (outlen != NULL) {
        *outlen = group_handle_len(g);
    }
    return 1;
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
    FN(FREECTX, freectx),
    {0, NULL}};

const OSSL_ALGORITHM tls_kems[] = {
    {GROUP_KEM_NAME, TLS_PROPERTIES, functions,
     "encapsulation of TLS, with protected keys and secret"},
    {NULL, NULL, NULL, NULL}};
