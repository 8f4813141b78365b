/*
 * tls_group_key.c - keys of TLS groups, outside.
 *
 * Of a pair only the private part is inside: the public one comes out with its
 * making, and what a peer sends is public. So a key that libssl only looks at,
 * copies or names costs no crossing.
 */
#include "tls_group_outer.h"

#include <openssl/core_names.h>

#include <stdlib.h>

/* ---- outside: the object ------------------------------------------------- */

/* Groups whose algorithm has no other. */
static const struct tls_group *only_group(enum group_alg alg)
{
    return alg == GROUP_X25519 ? tls_group_by_name(alg, "X25519")
           : alg == GROUP_X448 ? tls_group_by_name(alg, "X448")
                               : NULL;
}

static struct group_key *key_new(struct prov_ctx *ctx, enum group_alg alg,
                                 const struct tls_group *group)
{
    struct group_key *key;

    if (ctx->refused[0] != '\0') {
        RAISE(UNAVAILABLE, "%s", ctx->refused);
        return NULL;
    }
    key = calloc(1, sizeof(*key));
    if (key == NULL) {
        RAISE(OPERATION, "out of memory");
        return NULL;
    }
    key->references = 1;
    key->ctx = ctx;
    key->alg = alg;
    key->group = group;
    return key;
}

struct group_key *group_key_ref(struct group_key *key)
{
    if (key != NULL) {
        __atomic_add_fetch(&key->references, 1, __ATOMIC_RELAXED);
    }
    return key;
}

uint64_t group_key_take(struct group_key *key)
{
    return __atomic_exchange_n(&key->handle, 0, __ATOMIC_SEQ_CST);
}

/* What |key| has ready, with room for the peer's public key; or NULL. */
static unsigned char *new_ready(const struct group_key *key,
                                const struct group_key *peer)
{
    size_t len = group_handle_len(key->group);
    unsigned char *ready = calloc(1, len + key->group->public_len);

    if (ready != NULL) {
        memcpy(ready + len, peer->public, key->group->public_len);
    }
    return ready;
}

static void drop_ready(const struct group_key *key, unsigned char *ready)
{
    if (ready != NULL) {
        explicit_bzero(ready, group_handle_len(key->group));
        free(ready);
    }
}

void group_key_unref(struct group_key *key)
{
    struct mpkprov_frame f = {0};

    if (key == NULL ||
        __atomic_sub_fetch(&key->references, 1, __ATOMIC_ACQ_REL) != 0) {
        return;
    }
    f.handle = group_key_take(key);
    if (f.handle != 0) {
        PROV_CALL(group_free, &f);
    }
    drop_ready(key, key->ready);
    free(key->public);
    free(key);
}

int group_key_ready(struct group_key *key, const struct group_key *peer,
                    unsigned char *out)
{
    unsigned char *ready =
        __atomic_exchange_n(&key->ready, NULL, __ATOMIC_ACQ_REL);
    size_t len = group_handle_len(key->group);
    int found = ready != NULL &&
                memcmp(peer->public, ready + len, key->group->public_len) == 0;

    if (found) {
        memcpy(out, ready, len);
    }
    drop_ready(key, ready);
    return found;
}

int group_key_encapsulated(struct group_key *key, unsigned char *ciphertext,
                           unsigned char *handle)
{
    unsigned char *ready =
        __atomic_exchange_n(&key->ready, NULL, __ATOMIC_ACQ_REL);
    size_t len = group_handle_len(key->group);
    int found =
        ready != NULL && __atomic_load_n(&key->forks, __ATOMIC_RELAXED) ==
                             __atomic_load_n(&prov.forks, __ATOMIC_RELAXED);

    if (found) {
        memcpy(handle, ready, len);
        memcpy(ciphertext, ready + len, key->group->ciphertext_len);
    }
    drop_ready(key, ready);
    return found;
}

static void free_proxy(void *keydata)
{
    group_key_unref(keydata);
}

static int has_proxy(const void *keydata, int selection)
{
    const struct group_key *key = keydata;

    return key != NULL &&
           (!(selection & OSSL_KEYMGMT_SELECT_ALL_PARAMETERS) ||
            key->group != NULL) &&
           (!(selection & OSSL_KEYMGMT_SELECT_PUBLIC_KEY) ||
            key->public != NULL) &&
           (!(selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) || key->has_private);
}

/* What a key has was looked at when it came, and again where it is used. */
static int validate_proxy(const void *keydata, int selection, int checktype)
{
    (void)checktype;
    return has_proxy(keydata, selection);
}

/* Of points the first byte is their form. */
static int same_public(const struct group_key *x, const struct group_key *y)
{
    size_t form = x->alg == GROUP_EC;

    return memcmp(x->public + form, y->public + form,
                  x->group->public_len - form) == 0;
}

static int match_proxy(const void *a, const void *b, int selection)
{
    const struct group_key *x = a, *y = b;

    if (x->group != y->group || x->group == NULL) {
        return 0;
    }
    if (!(selection & OSSL_KEYMGMT_SELECT_KEYPAIR)) {
        return 1;
    }
    return x->public != NULL && y->public != NULL && same_public(x, y);
}

static int keep_public(struct group_key *key, const void *public)
{
    unsigned char *copy = malloc(key->group->public_len);

    if (copy == NULL) {
        return RAISE(OPERATION, "out of memory");
    }
    memcpy(copy, public, key->group->public_len);
    free(key->public);
    key->public = copy;
    return 1;
}

static void *dup_proxy(const void *keydata, int selection)
{
    const struct group_key *key = keydata;
    struct group_key *copy;

    if (key->has_private && (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY)) {
        RAISE(PROTECTED, "an ephemeral key is not copied");
        return NULL;
    }
    copy = key_new(key->ctx, key->alg, key->group);
    if (copy != NULL) {
        copy->in_numbers = __atomic_load_n(&key->in_numbers, __ATOMIC_RELAXED);
    }
    if (copy != NULL && (selection & OSSL_KEYMGMT_SELECT_PUBLIC_KEY) &&
        key->public != NULL && !keep_public(copy, key->public)) {
        group_key_unref(copy);
        return NULL;
    }
    return copy;
}

/* ---- outside: the peer's public key -------------------------------------- */

/* X25519 and X448 take any bytes for a point (RFC 7748 5). */
static int any_bytes(const struct group_key *key)
{
    return key->alg == GROUP_X25519 || key->alg == GROUP_X448;
}

/* As stock takes it in TLS 1.2, a number of DH may come without its leading
 * zeros, or with more of them: |*public| is then one of the group's length, in
 * |whole| if need be. */
static void fit(const struct group_key *key, const unsigned char **public,
                size_t *len, unsigned char whole[GROUP_PUBLIC_MAX])
{
    const struct tls_group *g = key->group;

    if (g->alg != GROUP_DH || !key->in_numbers) {
        return;
    }
    while (*len > g->public_len && **public == 0) {
        ++*public;
        --*len;
    }
    if (*len == 0 || *len >= g->public_len) {
        return;
    }
    memset(whole, 0, g->public_len - *len);
    memcpy(whole + g->public_len - *len, *public, *len);
    *public = whole;
    *len = g->public_len;
}

/*
 * A server encapsulates next for the key that a client sent: so that is done
 * with the look at it. Only with the key itself is it kept.
 */
static int look_inside(struct group_key *key, struct mpkprov_frame *f)
{
    size_t len = group_handle_len(key->group) + key->group->ciphertext_len;
    unsigned char *ready = key->alg == GROUP_KEM ? malloc(len) : NULL;
    uint32_t forks = __atomic_load_n(&prov.forks, __ATOMIC_RELAXED);

    f->out2 = ready;
    f->out2_len = ready != NULL ? len : 0;
    if (PROV_CALL(group_check, f) != 1 || !keep_public(key, f->out)) {
        drop_ready(key, ready);
        return 0;
    }
    if (f->handle2 == 0) {
        drop_ready(key, ready);
        ready = NULL;
    }
    __atomic_store_n(&key->forks, forks, __ATOMIC_RELAXED);
    drop_ready(key, __atomic_exchange_n(&key->ready, ready, __ATOMIC_ACQ_REL));
    return 1;
}

static int set_public(struct group_key *key, const unsigned char *public,
                      size_t len)
{
    unsigned char kept[GROUP_PUBLIC_MAX], whole[GROUP_PUBLIC_MAX];
    struct mpkprov_frame f = {.out = kept, .out_len = sizeof(kept)};

    if (key->group == NULL || key->has_private) {
        return RAISE(PARAMETER, "not a key that a public key can be set in");
    }
    fit(key, &public, &len, whole);
    f.in = public;
    f.in_len = len;
    if (!tls_group_form_ok(key->group, public, len)) {
        return RAISE(PARAMETER, "%s: the peer's key has another length or form",
                     key->group->name);
    }
    if (any_bytes(key)) {
        return keep_public(key, public);
    }
    f.type = group_number(key);
    return look_inside(key, &f);
}

static int set_params_proxy(void *keydata, const OSSL_PARAM params[])
{
    const OSSL_PARAM *p =
        prov_param(params, OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY);

    if (p == NULL) {
        return 1;
    }
    if (p->data_type != OSSL_PARAM_OCTET_STRING || p->data == NULL) {
        return RAISE(PARAMETER, "a public key is a string of bytes");
    }
    return set_public(keydata, p->data, p->data_size);
}

static const OSSL_PARAM *settable(void *provctx)
{
    static const OSSL_PARAM params[] = {
        OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, NULL, 0),
        OSSL_PARAM_END};

    (void)provctx;
    return params;
}

/* ---- outside: making keys ------------------------------------------------ */

struct generation {
    struct prov_ctx *ctx;
    enum group_alg alg;
    const struct tls_group *group;
    struct group_key *peer; /* who has given it, when that is known */
    int selection;
};

static int gen_set_proxy(void *genctx, const OSSL_PARAM params[])
{
    const OSSL_PARAM *p = prov_param(params, OSSL_PKEY_PARAM_GROUP_NAME);
    struct generation *gen = genctx;
    char name[32] = "";

    if (p == NULL) {
        return 1;
    }
    if (p->data_type == OSSL_PARAM_UTF8_STRING && p->data != NULL &&
        p->data_size < sizeof(name)) {
        memcpy(name, p->data, p->data_size);
    }
    gen->group = tls_group_by_name(gen->alg, name);
    return gen->group != NULL || RAISE(PARAMETER, "no such group: %s", name);
}

static void *gen_new(void *provctx, enum group_alg alg, int selection,
                     const OSSL_PARAM params[])
{
    struct generation *gen = calloc(1, sizeof(*gen));

    if (gen == NULL) {
        RAISE(OPERATION, "out of memory");
        return NULL;
    }
    gen->ctx = provctx;
    gen->alg = alg;
    gen->group = only_group(alg);
    gen->selection = selection;
    if (!gen_set_proxy(gen, params)) {
        free(gen);
        return NULL;
    }
    return gen;
}

/* A server's template is the client's public key: the exchange with that is
 * what comes next. */
static int gen_template_proxy(void *genctx, void *templ)
{
    struct generation *gen = genctx;
    const struct group_key *key = templ;

    if (key->group == NULL || key->alg != gen->alg) {
        return RAISE(PARAMETER, "a template without a group");
    }
    gen->group = key->group;
    if (key->public != NULL && key->alg != GROUP_KEM) {
        group_key_unref(gen->peer);
        gen->peer = group_key_ref(templ);
    }
    return 1;
}

/* Makes the pair |key|, and the exchange with |peer|, if there is one. */
static int make_inside(struct group_key *key, const struct group_key *peer)
{
    unsigned char public[GROUP_PUBLIC_MAX];
    struct mpkprov_frame f = {.out = public, .out_len = sizeof(public)};
    size_t len = group_handle_len(key->group);
    struct foresight_plan plan = {.n = 0};

    f.type = group_number(key);
    if (peer != NULL) {
        key->ready = new_ready(key, peer);
    }
    if (key->ready != NULL) {
        f.in = key->ready + len;
        f.in_len = key->group->public_len;
        f.out2 = key->ready;
        f.out2_len = len;
        foresight_plan_stages(&plan, &f, key->ready, len);
    }
    if (PROV_CALL(group_gen, &f) != 1) {
        return 0;
    }
    key->handle = f.handle;
    key->has_private = 1;
    if (f.handle != 0) {
        drop_ready(key, key->ready);
        key->ready = NULL;
    }
    foresight_keep(&plan, f.handle2);
    return keep_public(key, public);
}

/* Of a template, if no other group was named since. */
static const struct group_key *peer_of(const struct generation *gen)
{
    const struct group_key *peer = gen->peer;

    return peer != NULL && peer->group == gen->group ? peer : NULL;
}

static void *gen_proxy(void *genctx, OSSL_CALLBACK *cb, void *cbarg)
{
    struct generation *gen = genctx;
    struct group_key *key;

    (void)cb;
    (void)cbarg;
    if (gen->group == NULL) {
        RAISE(PARAMETER, "no group was named");
        return NULL;
    }
    key = key_new(gen->ctx, gen->alg, gen->group);
    if (key == NULL) {
        return NULL;
    }
    if (!(gen->selection & OSSL_KEYMGMT_SELECT_KEYPAIR)) {
        return key;
    }
    if (make_inside(key, peer_of(gen))) {
        return key;
    }
    group_key_unref(key);
    return NULL;
}

static void gen_free_proxy(void *genctx)
{
    struct generation *gen = genctx;

    if (gen != NULL) {
        group_key_unref(gen->peer);
        free(gen);
    }
}

static const OSSL_PARAM *gen_settable_list(void *genctx, void *provctx)
{
    static const OSSL_PARAM params[] = {
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
        OSSL_PARAM_END};

    (void)genctx;
    (void)provctx;
    return params;
}

/* ---- tables -------------------------------------------------------------- */

static const char *exchange_name(int operation)
{
    return operation == OSSL_OP_KEYEXCH ? GROUP_EXCHANGE_NAME : NULL;
}

static const char *kem_name(int operation)
{
    return operation == OSSL_OP_KEM ? GROUP_KEM_NAME : NULL;
}

#define FN(id, f)                                                              \
    {                                                                          \
        OSSL_FUNC_KEYMGMT_##id, (void (*)(void))(f)                            \
    }
#define GROUP_KEYMGMT(A, lower, operation, list)                               \
    static OSSL_FUNC_keymgmt_new_fn lower##_new;                               \
    static void *lower##_new(void *provctx)                                    \
    {                                                                          \
        return key_new(provctx, A, only_group(A));                             \
    }                                                                          \
    static OSSL_FUNC_keymgmt_gen_init_fn lower##_gen_init;                     \
    static void *lower##_gen_init(void *provctx, int selection,                \
                                  const OSSL_PARAM params[])                   \
    {                                                                          \
        return gen_new(provctx, A, selection, params);                         \
    }                                                                          \
    static const OSSL_DISPATCH lower##_functions[] = {                         \
        FN(NEW, lower##_new),                                                  \
        FN(GEN_INIT, lower##_gen_init),                                        \
        FN(GEN_SET_TEMPLATE, gen_template_proxy),                              \
        FN(GEN_SET_PARAMS, gen_set_proxy),                                     \
        FN(GEN_SETTABLE_PARAMS, gen_settable_list),                            \
        FN(GEN, gen_proxy),                                                    \
        FN(GEN_CLEANUP, gen_free_proxy),                                       \
        FN(FREE, free_proxy),                                                  \
        FN(HAS, has_proxy),                                                    \
        FN(MATCH, match_proxy),                                                \
        FN(VALIDATE, validate_proxy),                                          \
        FN(DUP, dup_proxy),                                                    \
        FN(GET_PARAMS, group_key_get_proxy),                                   \
        FN(GETTABLE_PARAMS, list),                                             \
        FN(SET_PARAMS, set_params_proxy),                                      \
        FN(SETTABLE_PARAMS, settable),                                         \
        FN(QUERY_OPERATION_NAME, operation),                                   \
        {0, NULL}};

GROUP_KEYMGMT(GROUP_X25519, x25519, exchange_name, group_key_list)
GROUP_KEYMGMT(GROUP_X448, x448, exchange_name, group_key_list)
GROUP_KEYMGMT(GROUP_EC, ec, exchange_name, group_key_list)
GROUP_KEYMGMT(GROUP_DH, dh, exchange_name, group_key_list_numbers)
GROUP_KEYMGMT(GROUP_KEM, kem, kem_name, group_key_list)

const OSSL_ALGORITHM tls_keymgmts[] = {
    {"MPK-X25519", TLS_PROPERTIES, x25519_functions,
     "protected X25519 keys of TLS"},
    {"MPK-X448", TLS_PROPERTIES, x448_functions, "protected X448 keys of TLS"},
    {"MPK-EC", TLS_PROPERTIES, ec_functions, "protected EC keys of TLS"},
    {"MPK-DH", TLS_PROPERTIES, dh_functions, "protected DH keys of TLS"},
    {"MPK-KEM", TLS_PROPERTIES, kem_functions,
     "protected encapsulation keys of TLS"},
    {NULL, NULL, NULL, NULL}};
