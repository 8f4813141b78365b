/* tls_group_exchange.c - key exchange of TLS: what comes out is a handle. */
#include "inside.h"
#include "tls_group_outer.h"

#include <openssl/core_names.h>

#include <stdlib.h>

/* ---- inside -------------------------------------------------------------- */

/* The shared secret of |own| and |peer|, of g->secret_len bytes. */
static int compute_inner(const struct tls_group *g, void *own, void *peer,
                         unsigned char secret[GROUP_SECRET_MAX])
{
    const struct inner_alg *alg = group_operation(g);
    unsigned int pad = 1; /* RFC 8446 7.4.1 */
    OSSL_PARAM params[] = {OSSL_PARAM_uint(OSSL_EXCHANGE_PARAM_PAD, &pad),
                           OSSL_PARAM_END};
    void *ctx = INNER(alg, keyexch_newctx,
                      OSSL_FUNC_KEYEXCH_NEWCTX)(mpkprov_inner.provctx);
    size_t len = 0;
    int ok;

    if (ctx == NULL) {
        return 0;
    }
    ok = INNER(alg, keyexch_init, OSSL_FUNC_KEYEXCH_INIT)(
             ctx, own, g->alg == GROUP_DH ? params : NULL) > 0 &&
         INNER(alg, keyexch_set_peer, OSSL_FUNC_KEYEXCH_SET_PEER)(ctx, peer) >
             0 &&
         INNER(alg, keyexch_derive,
               OSSL_FUNC_KEYEXCH_DERIVE)(ctx, secret, &len, g->secret_len) > 0;
    INNER(alg, keyexch_freectx, OSSL_FUNC_KEYEXCH_FREECTX)(ctx);
    return ok && len == g->secret_len;
}

static int exchange_inner(struct mpkprov_frame *f, const struct tls_group *g,
                          void *own, unsigned char secret[GROUP_SECRET_MAX],
                          int *plain)
{
    void *peer = group_key_peer(f, g, plain);
    int ok = peer != NULL;

    if (ok && !compute_inner(g, own, peer, secret)) {
        ok = fail_inner(f, "derive");
    }
    group_key_free((int)(g - tls_groups), peer);
    return ok;
}

static int exchange_x25519(struct mpkprov_frame *f, const void *own,
                           unsigned char secret[X25519_LEN])
{
    unsigned char peer[X25519_LEN];

    if (f->in_len != sizeof(peer)) {
        return fail(f, MPKPROV_R_PARAMETER,
                    "the peer's key has another length");
    }
    if (mpk_copy_in(peer, f->in, sizeof(peer)) != 0) {
        return fail(f, MPKPROV_R_POINTER, NULL);
    }
    return x25519_compute(own, peer, secret)
               ? 1
               : fail(f, MPKPROV_R_OPERATION, "the peer's key gives no secret");
}

int group_exchange(struct mpkprov_frame *f, const struct tls_group *g,
                   void *own, void *out)
{
    unsigned char secret[GROUP_SECRET_MAX];
    int ok = 0, plain = 1;

    if (g->alg == GROUP_X25519) {
        ok = exchange_x25519(f, own, secret);
    } else if (g->alg != GROUP_KEM) {
        ok = exchange_inner(f, g, own, secret, &plain);
    }
    ok = ok && group_secret_give(f, out, secret, g->secret_len, plain);
    explicit_bzero(secret, g->secret_len);
    return ok;
}

/* Uses: handle, which ends, type = its group, in = the peer's public key, out
 * = room for the secret's handle; in2, what, handle2 as group_gen. */
int64_t group_derive_stub(void *frame)
{
    struct mpkprov_frame *f = frame;
    const struct tls_group *g;
    struct object *own = group_key_spend(f, &g);
    int ok;

    f->handle2 = 0;
    if (own == NULL) {
        return 0;
    }
    ok = group_exchange(f, g, own->data, f->out);
    handle_unpin(own);
    if (ok) {
        kdf_follow(f, f->what);
    }
    return ok;
}

/* ---- outside ------------------------------------------------------------- */

struct exchange {
    struct group_key *key, *peer;
};

static OSSL_FUNC_keyexch_newctx_fn newctx;
static OSSL_FUNC_keyexch_init_fn init_proxy;
static OSSL_FUNC_keyexch_set_peer_fn set_peer_proxy;
static OSSL_FUNC_keyexch_derive_fn derive_proxy;
static OSSL_FUNC_keyexch_freectx_fn freectx;
static OSSL_FUNC_keyexch_dupctx_fn dupctx;

static void *newctx(void *provctx)
{
    struct exchange *x = calloc(1, sizeof(*x));

    (void)provctx;
    if (x == NULL) {
        RAISE(OPERATION, "out of memory");
    }
    return x;
}

static int init_proxy(void *ctx, void *vkey, const OSSL_PARAM params[])
{
    struct exchange *x = ctx;
    struct group_key *key = vkey;

    (void)params;
    if (!key->has_private) {
        return RAISE(PARAMETER, "key exchange needs a private key");
    }
    group_key_unref(x->key);
    x->key = group_key_ref(key);
    return 1;
}

static int set_peer_proxy(void *ctx, void *vpeer)
{
    struct exchange *x = ctx;
    struct group_key *peer = vpeer;

    if (x->key == NULL || peer->public == NULL ||
        peer->group != x->key->group) {
        return RAISE(PARAMETER, "the peer's key is of another group");
    }
    group_key_unref(x->peer);
    x->peer = group_key_ref(peer);
    return 1;
}

/* The exchange, and what TLS 1.3 derives of it. */
static int derive_inside(struct exchange *x, unsigned char *secret, size_t len)
{
    struct mpkprov_frame f = {.out = secret};
    struct foresight_plan plan;

    f.handle = group_key_take(x->key);
    f.in = x->peer->public;
    f.in_len = x->peer->group->public_len;
    foresight_plan_stages(&plan, &f, secret, len);
    if (PROV_CALL(group_derive, &f) != 1) {
        return 0;
    }
    foresight_keep(&plan, f.handle2);
    return 1;
}

static int derive_proxy(void *ctx, unsigned char *secret, size_t *secretlen,
                        size_t outlen)
{
    struct exchange *x = ctx;
    size_t len;

    if (x->key == NULL || x->peer == NULL) {
        return RAISE(OPERATION, "key exchange without a peer's key");
    }
    len = group_handle_len(x->key->group);
    if (secret != NULL) {
        if (outlen < len) {
            return RAISE(BUFFER, "%s", "");
        }
        if (!group_key_ready(x->key, x->peer, secret)) {
            if (!derive_inside(x, secret, len)) {
                return 0;
            }
            foresight_exchanged(x->key->public, x->key->group->public_len,
                                secret, len);
        }
    }
    *secretlen = len;
    return 1;
}

static void freectx(void *ctx)
{
    struct exchange *x = ctx;

    if (x != NULL) {
        group_key_unref(x->key);
        group_key_unref(x->peer);
        free(x);
    }
}

static void *dupctx(void *ctx)
{
    struct exchange *x = ctx, *copy = newctx(NULL);

    if (copy != NULL) {
        copy->key = group_key_ref(x->key);
        copy->peer = group_key_ref(x->peer);
    }
    return copy;
}

#define FN(id, f)                                                              \
    {                                                                          \
        OSSL_FUNC_KEYEXCH_##id, (void (*)(void))(f)                            \
    }

static const OSSL_DISPATCH functions[] = {FN(NEWCTX, newctx),
                                          FN(INIT, init_proxy),
                                          FN(SET_PEER, set_peer_proxy),
                                          FN(DERIVE, derive_proxy),
                                          FN(FREECTX, freectx),
                                          FN(DUPCTX, dupctx),
                                          {0, NULL}};

const OSSL_ALGORITHM tls_exchanges[] = {
    {GROUP_EXCHANGE_NAME, TLS_PROPERTIES, functions,
     "key exchange of TLS, with protected keys and secret"},
    {NULL, NULL, NULL, NULL}};
