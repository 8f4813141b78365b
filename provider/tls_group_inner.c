/* tls_group_inner.c - the inner OpenSSL's part of a group. Inside only. */
#include "inside.h"
#include "secret.h"
#include "tls_group.h"

#include <openssl/core_names.h>

struct group_inner {
    int there;
    struct inner_alg keymgmt, operation;
    /*
     * A key that has parameters only, to make the peer's from. Making a
     * curve's parameters anew costs more than computing with them.
     */
    void *parameters;
    /* A key generation that nobody is using, or NULL. */
    void *generation;
};

static struct group_inner inner[TLS_GROUPS_MAX];

static struct group_inner *inner_of(const struct tls_group *g)
{
    return &inner[g - tls_groups];
}

const struct tls_group *group_there(int32_t i)
{
    return i >= 0 && i < tls_n_groups && inner[i].there ? &tls_groups[i] : NULL;
}

static const struct inner_alg *group_keymgmt(const struct tls_group *g)
{
    return &inner_of(g)->keymgmt;
}

const struct inner_alg *group_operation(const struct tls_group *g)
{
    return &inner_of(g)->operation;
}

/* ---- making keys --------------------------------------------------------- */

static void *generation_new(const struct tls_group *g, int selection)
{
    OSSL_FUNC_keymgmt_gen_init_fn *init =
        INNER(group_keymgmt(g), keymgmt_gen_init, OSSL_FUNC_KEYMGMT_GEN_INIT);
    OSSL_PARAM params[] = {OSSL_PARAM_END, OSSL_PARAM_END};

    if (g->group != NULL) {
        params[0] = OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME,
                                                     (char *)g->group, 0);
    }
    return init(mpkprov_inner.provctx, selection, params);
}

static void generation_free(const struct tls_group *g, void *generation)
{
    if (generation != NULL) {
        INNER(group_keymgmt(g), keymgmt_gen_cleanup,
              OSSL_FUNC_KEYMGMT_GEN_CLEANUP)
        (generation);
    }
}

static void *generate(const struct tls_group *g, void *generation)
{
    return INNER(group_keymgmt(g), keymgmt_gen,
                 OSSL_FUNC_KEYMGMT_GEN)(generation, gen_no_progress, NULL);
}

/* A pair from the generation that is kept, or from a new one, which is kept
 * then: it holds the curve's parameters. */
static void *make_pair(const struct tls_group *g)
{
    void **kept = &inner_of(g)->generation;
    void *generation = __atomic_exchange_n(kept, NULL, __ATOMIC_ACQUIRE);
    void *none = NULL, *key;

    if (generation == NULL) {
        generation = generation_new(g, OSSL_KEYMGMT_SELECT_ALL);
    }
    if (generation == NULL) {
        return NULL;
    }
    key = generate(g, generation);
    if (!__atomic_compare_exchange_n(kept, &none, generation, 0,
                                     __ATOMIC_RELEASE, __ATOMIC_RELAXED)) {
        generation_free(g, generation);
    }
    return key;
}

int group_key_encode(const struct tls_group *g, void *key,
                     unsigned char public[GROUP_PUBLIC_MAX])
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, public,
                                GROUP_PUBLIC_MAX),
        OSSL_PARAM_END};

    params[0].data_size = g->public_len;
    return INNER(group_keymgmt(g), keymgmt_get_params,
                 OSSL_FUNC_KEYMGMT_GET_PARAMS)(key, params) > 0 &&
           params[0].return_size == g->public_len;
}

int group_prime(const struct tls_group *g,
                unsigned char prime[GROUP_PUBLIC_MAX])
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_BN(OSSL_PKEY_PARAM_FFC_P, prime, GROUP_PUBLIC_MAX),
        OSSL_PARAM_END};

    params[0].data_size = g->public_len;
    return g->alg == GROUP_DH && INNER(group_keymgmt(g), keymgmt_get_params,
                                       OSSL_FUNC_KEYMGMT_GET_PARAMS)(
                                     inner_of(g)->parameters, params) > 0;
}

/* make_pair, with the public key. */
static void *make_encoded(const struct tls_group *g,
                          unsigned char public[GROUP_PUBLIC_MAX])
{
    void *key = make_pair(g);

    if (key != NULL && !group_key_encode(g, key, public)) {
        group_key_free((int)(g - tls_groups), key);
        key = NULL;
    }
    return key;
}

void *group_key_make(struct mpkprov_frame *f, const struct tls_group *g,
                     unsigned char public[GROUP_PUBLIC_MAX])
{
    void *key =
        g->alg == GROUP_X25519 ? x25519_make(public) : make_encoded(g, public);

    if (key == NULL) {
        fail_inner(f, "an ephemeral key");
    }
    return key;
}

void group_key_free(int group, void *key)
{
    if (tls_groups[group].alg == GROUP_X25519) {
        mpk_heap_free(key);
    } else if (key != NULL) {
        INNER(&inner[group].keymgmt, keymgmt_free, OSSL_FUNC_KEYMGMT_FREE)(key);
    }
}

/* ---- the peer's key ------------------------------------------------------ */

static void *blank(const struct tls_group *g)
{
    const struct inner_alg *alg = group_keymgmt(g);
    void *parameters = inner_of(g)->parameters;

    if (parameters == NULL) {
        return INNER(alg, keymgmt_new,
                     OSSL_FUNC_KEYMGMT_NEW)(mpkprov_inner.provctx);
    }
    return INNER(alg, keymgmt_dup, OSSL_FUNC_KEYMGMT_DUP)(
        parameters, OSSL_KEYMGMT_SELECT_ALL_PARAMETERS);
}

/*
 * The inner OpenSSL looks whether a point is on the curve, which is all that
 * there is to know where the cofactor is 1, and at the range of a public key
 * of DH. Range is enough in a group of a safe prime for keys that are used
 * once (NIST SP 800-56A rev. 3, 5.6.2.3.2; RFC 7919 5.1): the other coset
 * tells at most whether the private number is odd.
 */
static int set_public(const struct tls_group *g, void *key,
                      unsigned char *public, size_t len)
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, public, 0),
        OSSL_PARAM_END};

    params[0].data_size = len;
    return INNER(group_keymgmt(g), keymgmt_set_params,
                 OSSL_FUNC_KEYMGMT_SET_PARAMS)(key, params) > 0;
}

void *group_key_peer(struct mpkprov_frame *f, const struct tls_group *g,
                     int *plain)
{
    unsigned char public[GROUP_PUBLIC_MAX];
    void *key;

    if (f->in_len == 0 || f->in_len > g->public_len) {
        fail(f, MPKPROV_R_PARAMETER, "the peer's key has another length");
        return NULL;
    }
    if (mpk_copy_in(public, f->in, f->in_len) != 0) {
        fail(f, MPKPROV_R_POINTER, NULL);
        return NULL;
    }
    if (!tls_group_form_ok(g, public, f->in_len)) {
        fail(f, MPKPROV_R_PARAMETER, "the peer's key has another form");
        return NULL;
    }
    *plain = tls_group_form_plain(g, public);
    key = blank(g);
    if (key == NULL || !set_public(g, key, public, f->in_len)) {
        group_key_free((int)(g - tls_groups), key);
        fail_inner(f, "the peer's key");
        return NULL;
    }
    return key;
}

/* ---- the secret ---------------------------------------------------------- */

struct object *group_key_spend(struct mpkprov_frame *f,
                               const struct tls_group **g)
{
    struct object *o = handle_pin(f->handle, OBJECT_EPHEMERAL, 1);

    if (o == NULL) {
        fail(f, MPKPROV_R_HANDLE, "not an ephemeral key, or a spent one");
        return NULL;
    }
    handle_free(f->handle, OBJECT_EPHEMERAL);
    *g = &tls_groups[o->what];
    return o;
}

int group_secret_give(struct mpkprov_frame *f, void *out, unsigned char *secret,
                      size_t len, int plain)
{
    unsigned char handle[GROUP_SECRET_MAX + PREMASTER_MORE];

    if (plain) {
        premaster_seal(handle, secret, len);
    } else {
        premaster_seal_tls12(handle, secret, len);
    }
    if (mpk_copy_out(out, handle, len + PREMASTER_MORE) != 0) {
        return fail(f, MPKPROV_R_POINTER, NULL);
    }
    forget_errors();
    return 1;
}

/* ---- start-up ------------------------------------------------------------ */

/* Without it the group is not offered. */
static void boot_one(const struct tls_group *g)
{
    struct group_inner *in = inner_of(g);
    void *generation;

    if (!inner_look_up(OSSL_OP_KEYMGMT, g->key, &in->keymgmt) ||
        !inner_look_up(g->alg == GROUP_KEM ? OSSL_OP_KEM : OSSL_OP_KEYEXCH,
                       g->operation, &in->operation)) {
        return;
    }
    if (g->group != NULL) {
        generation = generation_new(g, OSSL_KEYMGMT_SELECT_ALL_PARAMETERS);
        if (generation == NULL) {
            return;
        }
        in->parameters = generate(g, generation);
        generation_free(g, generation);
        if (in->parameters == NULL) {
            return;
        }
    }
    in->there = 1;
}

void group_boot(void)
{
    for (int i = 0; i < tls_n_groups; i++) {
        boot_one(&tls_groups[i]);
    }
    forget_errors();
}

/* Sets handle: bit i for group i that can be had. */
int64_t group_there_stub(void *frame)
{
    struct mpkprov_frame *f = frame;

    f->handle = 0;
    for (int i = 0; i < tls_n_groups; i++) {
        f->handle |= (uint64_t)inner[i].there << i;
    }
    return 1;
}
