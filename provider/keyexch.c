/* keyexch.c - key exchange with static keys: ECDH, X25519, X448, DH. */
#include "inside.h"
#include "prov.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/params.h>

/* Larger than any shared secret, also one that a KDF makes. */
#define SECRET_MAX ((size_t)1 << 20)
/* Larger than any that comes without one, whatever room the caller says. */
#define SECRET_MIN 2048
/* More than a group of DH has. */
#define GROUP_PARAMS 16

/* ---- inside -------------------------------------------------------------- */

/* Uses: handle or 0, handle2 = key, params. */
int64_t kex_init_stub(void *frame)
{
    struct mpkprov_frame *f = frame;

    return ctx_init(f, CTX_KEX, OSSL_FUNC_KEYEXCH_INIT, "key exchange init");
}

static BIGNUM *number_of(const OSSL_PARAM *numbers, const char *name)
{
    const OSSL_PARAM *p = OSSL_PARAM_locate_const(numbers, name);
    BIGNUM *n = NULL;

    return p != NULL && OSSL_PARAM_get_BN(p, &n) ? n : NULL;
}

/* p of |group| when it is one that has a name, of a safe prime: 2q + 1. */
static BIGNUM *safe_prime_of(const OSSL_PARAM *group)
{
    BIGNUM *p = NULL, *q = NULL, *safe = BN_new();

    if (OSSL_PARAM_locate_const(group, OSSL_PKEY_PARAM_GROUP_NAME) != NULL) {
        p = number_of(group, OSSL_PKEY_PARAM_FFC_P);
        q = number_of(group, OSSL_PKEY_PARAM_FFC_Q);
    }
    if (p == NULL || q == NULL || safe == NULL || !BN_lshift1(safe, q) ||
        !BN_add_word(safe, 1) || BN_cmp(safe, p) != 0) {
        BN_free(p);
        p = NULL;
    }
    BN_free(safe);
    BN_free(q);
    return p;
}

/* Modulo a safe prime the numbers of order q are the squares but 1, which
 * Legendre's symbol tells in a tenth of an exponentiation's time. */
static int is_square(const BIGNUM *p, const OSSL_PARAM *number)
{
    BN_CTX *ctx = BN_CTX_new();
    BIGNUM *y = NULL;
    int ok = ctx != NULL && OSSL_PARAM_get_BN(number, &y) &&
             BN_cmp(y, BN_value_one()) > 0 && BN_cmp(y, p) < 0 &&
             BN_kronecker(y, p, ctx) == 1;

    BN_free(y);
    BN_CTX_free(ctx);
    return ok;
}

/* As the inner OpenSSL looks at a public key. */
static int is_valid(enum key_type type, const OSSL_PARAM *group,
                    const OSSL_PARAM *number)
{
    OSSL_PARAM all[GROUP_PARAMS + 2];
    void *key = key_data_new(type);
    size_t n = 0;
    int ok = 0;

    while (group[n].key != NULL && n < GROUP_PARAMS) {
        all[n] = group[n];
        n++;
    }
    if (n > 0 && key != NULL) {
        all[n++] = *number;
        all[n] = OSSL_PARAM_construct_end();
        ok = KEY_FN(type, import, IMPORT)(key, EVP_PKEY_PUBLIC_KEY, all) > 0 &&
             KEY_FN(type, validate,
                    VALIDATE)(key, OSSL_KEYMGMT_SELECT_PUBLIC_KEY,
                              OSSL_KEYMGMT_VALIDATE_FULL_CHECK) > 0;
    }
    key_data_free(type, key);
    return ok;
}

/*
 * Of the parameters of DH the inner OpenSSL compares p and g, and what
 * libcrypto looks at outside goes by the q that the peer's key brings. A number
 * of small order tells the private one modulo that order, and p - 1 may have
 * many small factors (X9.42). So the peer's number is looked at here, by our
 * own key's q. Without one p has to be a safe prime: then all there is to tell
 * is whether the private number is odd.
 */
static int is_in_group(struct mpkprov_frame *f, const struct object *own,
                       const struct object *peer)
{
    OSSL_PARAM *group = keygroup_numbers(f, own, EVP_PKEY_KEY_PARAMETERS);
    OSSL_PARAM *theirs = keygroup_numbers(f, peer, EVP_PKEY_PUBLIC_KEY);
    const OSSL_PARAM *number =
        OSSL_PARAM_locate_const(theirs, OSSL_PKEY_PARAM_PUB_KEY);
    int ok = 0;

    if (group != NULL && number != NULL) {
        BIGNUM *p = safe_prime_of(group);

        ok = p != NULL ? is_square(p, number)
                       : is_valid(own->type, group, number);
        BN_free(p);
    }
    OSSL_PARAM_free(theirs);
    OSSL_PARAM_free(group);
    return ok;
}

static int is_number(enum key_type type)
{
    return type == KEY_DH || type == KEY_DHX;
}

/* Uses: handle, handle2 = the peer's key. */
int64_t kex_peer_stub(void *frame)
{
    struct mpkprov_frame *f = frame;
    struct object *o = ctx_pin(f, CTX_KEX), *peer;
    OSSL_FUNC_keyexch_set_peer_fn *set;
    void *from = NULL;
    int ok = 0;

    if (o == NULL) {
        return 0;
    }
    peer = handle_pin(f->handle2, OBJECT_KEY, 0);
    set = INNER(ctx_alg(o), keyexch_set_peer, OSSL_FUNC_KEYEXCH_SET_PEER);
    /*
     * The context keeps it and its handle's owner may change it: of a point
     * that changes while it is multiplied there is half of one and half of
     * another, which is on no curve and tells the private number.
     */
    if (peer != NULL && peer->whole && peer->type == o->type && set != NULL &&
        (!is_number(o->type) || is_in_group(f, o->holds, peer))) {
        from = keygroup_copy(f, peer, EVP_PKEY_PUBLIC_KEY);
    }
    if (from != NULL && keygroup_open(f, o)) {
        ok = set(o->data, from) > 0;
        keygroup_close(o);
    }
    if (from != NULL) {
        key_data_free(peer->type, from);
    }
    handle_unpin(peer);
    handle_unpin(o);
    return ok ? 1 : fail_inner(f, "the peer's key");
}

static int derive(struct mpkprov_frame *f, struct object *o)
{
    OSSL_FUNC_keyexch_derive_fn *fn =
        INNER(ctx_alg(o), keyexch_derive, OSSL_FUNC_KEYEXCH_DERIVE);
    size_t room = f->out_len < SECRET_MAX ? f->out_len : SECRET_MAX, len = room;
    unsigned char *out = NULL;
    int ok = 0;

    if (f->out != NULL) {
        out = mpk_heap_alloc(room < SECRET_MIN ? SECRET_MIN : room);
        if (out == NULL) {
            return fail(f, MPKPROV_R_MEMORY, NULL);
        }
    }
    if (fn != NULL && keygroup_open(f, o)) {
        ok = fn(o->data, out, &len, room) > 0;
        keygroup_close(o);
    }
    if (!ok) {
        fail_inner(f, "derive");
    } else {
        forget_errors();
        ok = give(f, out, len);
    }
    mpk_heap_free(out);
    return ok;
}

/* Uses: handle, out; without out only the length is told. */
int64_t kex_derive_stub(void *frame)
{
    struct mpkprov_frame *f = frame;
    struct object *o = ctx_pin(f, CTX_KEX);
    int ok = o != NULL && derive(f, o);

    handle_unpin(o);
    return ok;
}

/* ---- outside ------------------------------------------------------------- */

static void *newctx(void *provctx)
{
    return opctx_new(provctx, CTX_KEX);
}

static int init_proxy(void *ctx, void *key, const OSSL_PARAM params[])
{
    return opctx_init(OP_kex_init, ctx, key, 0, NULL, params);
}

static int set_peer_proxy(void *ctx, void *provkey)
{
    struct prov_opctx *c = ctx;
    struct prov_key *peer = provkey;
    struct mpkprov_frame f = {.handle = c->handle};

    if (!prov_key_usable(peer)) {
        return 0;
    }
    f.handle2 = peer->handle;
    return PROV_CALL(kex_peer, &f) == 1;
}

static int derive_proxy(void *ctx, unsigned char *secret, size_t *secretlen,
                        size_t outlen)
{
    struct prov_opctx *c = ctx;
    struct mpkprov_frame f = {
        .handle = c->handle, .out = secret, .out_len = outlen};

    if (PROV_CALL(kex_derive, &f) != 1) {
        return 0;
    }
    *secretlen = f.out_len;
    return 1;
}

#define FN(id, f)                                                              \
    {                                                                          \
        OSSL_FUNC_KEYEXCH_##id, (void (*)(void))(f)                            \
    }

static const OSSL_DISPATCH functions[] = {
    FN(NEWCTX, newctx),
    FN(INIT, init_proxy),
    FN(DERIVE, derive_proxy),
    FN(SET_PEER, set_peer_proxy),
    FN(FREECTX, opctx_free),
    FN(DUPCTX, opctx_dup),
    FN(GET_CTX_PARAMS, opctx_get),
    FN(GETTABLE_CTX_PARAMS, opctx_gettable),
    FN(SET_CTX_PARAMS, opctx_set),
    FN(SETTABLE_CTX_PARAMS, opctx_settable),
    {0, NULL}};

/* X25519 and X448 have no parameters, and it shows by what is absent. */
static const OSSL_DISPATCH xdh_functions[] = {FN(NEWCTX, newctx),
                                              FN(INIT, init_proxy),
                                              FN(DERIVE, derive_proxy),
                                              FN(SET_PEER, set_peer_proxy),
                                              FN(FREECTX, opctx_free),
                                              FN(DUPCTX, opctx_dup),
                                              {0, NULL}};

const OSSL_ALGORITHM prov_exchanges[] = {
    {MPKPROV_NAME_KEX, "provider=mpk", functions,
     "key exchange with protected EC and DH keys"},
    {MPKPROV_NAME_XDH, "provider=mpk", xdh_functions,
     "key exchange with protected X25519 and X448 keys"},
    {NULL, NULL, NULL, NULL}};
