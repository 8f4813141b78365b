/*
 * tls_hkdf.c - outside: HKDF, with quic = protect.
 *
 * nginx and HAProxy have libssl make the handshake of QUIC and encrypt its
 * packets themselves. What libssl gives them for that, by its key log or its
 * QUIC functions, are handles, and they derive the packets' keys from these
 * with HKDF-Expand-Label. Those derivations are TLS13-KDF's. What else is
 * derived with HKDF is the other provider's, and so are answers and errors of
 * everything that is set: a context has one of that provider, and a note of
 * what tells whose derivation it is.
 */
#include "outer.h"
#include "tls.h"
#include "tls_kdf.h"

#include <stdlib.h>

/* What precedes the label: the length of the output, of the label, and this. */
#define PREFIX "tls13 "
#define BEFORE_PREFIX 3

/*
 * RFC 9001 5.1 and 6.1, and RFC 9369 3.3.2. With the last two a program makes
 * records of TLS 1.3 for a libssl that has no QUIC. The first two are of a salt
 * and a number that all can see.
 */
static const char *const labels[] = {
    "client in",  "server in", "quic key",  "quic iv",   "quic hp", "quic ku",
    "quicv2 key", "quicv2 iv", "quicv2 hp", "quicv2 ku", "key",     "iv"};

/* ---- what was set -------------------------------------------------------- */

/* No info of those labels is as long. */
#define INFO_ROOM 32

/* What is longer than its room is of no interest, and is not kept. */
struct note {
    struct kdf_request mode_and_digest;
    size_t key_len, info_len;
    unsigned char key[PRF_SIZE_MAX], info[INFO_ROOM];
};

struct hkdf_ctx {
    const struct prov_ctx *ctx;
    EVP_KDF_CTX *other;
    struct note note;
};

static void forget(struct note *n)
{
    explicit_bzero(n, sizeof(*n));
    n->mode_and_digest.digest = -1;
}

/* Adds |p| to the |len| bytes that are at |at|. */
static void add(unsigned char *at, size_t *len, size_t room,
                const OSSL_PARAM *p)
{
    if (p->data == NULL || p->data_size == 0) {
        return;
    }
    if (*len <= room && p->data_size <= room - *len) {
        memcpy(at + *len, p->data, p->data_size);
        *len += p->data_size;
    } else {
        *len = room + 1;
    }
}

/* Parts of an info that come together are one. */
static void note_info(struct note *n, const OSSL_PARAM *p)
{
    n->info_len = 0;
    while ((p = prov_param(p, OSSL_KDF_PARAM_INFO)) != NULL) {
        add(n->info, &n->info_len, INFO_ROOM, p++);
    }
}

/* The other provider has taken all of |params|. */
static void note(struct note *n, const OSSL_PARAM params[])
{
    const OSSL_PARAM *p;

    if ((p = prov_param(params, OSSL_KDF_PARAM_MODE)) != NULL) {
        kdf_take_mode(&n->mode_and_digest, p);
    }
    if ((p = prov_param(params, OSSL_KDF_PARAM_DIGEST)) != NULL) {
        kdf_take_digest(&n->mode_and_digest, p);
    }
    if ((p = prov_param(params, OSSL_KDF_PARAM_KEY)) != NULL) {
        n->key_len = 0;
        add(n->key, &n->key_len, sizeof(n->key), p);
    }
    if (prov_param(params, OSSL_KDF_PARAM_INFO) != NULL) {
        note_info(n, params);
    }
}

/* ---- whose it is --------------------------------------------------------- */

/* Whether it is an info of HKDF-Expand-Label, and of no hash. */
static int is_label(const struct note *n, size_t out_len)
{
    const unsigned char *info = n->info;
    size_t len = n->info_len;

    return len > BEFORE_PREFIX + strlen(PREFIX) && len <= INFO_ROOM &&
           info[0] == out_len >> 8 && info[1] == (out_len & 0xff) &&
           info[2] == len - BEFORE_PREFIX - 1 && info[len - 1] == 0 &&
           memcmp(info + BEFORE_PREFIX, PREFIX, strlen(PREFIX)) == 0;
}

static int is_known(const struct kdf_piece *label)
{
    for (size_t i = 0; i < sizeof(labels) / sizeof(labels[0]); i++) {
        if (label->len == strlen(labels[i]) &&
            memcmp(label->p, labels[i], label->len) == 0) {
            return 1;
        }
    }
    return 0;
}

/*
 * Makes |r| a request of KDF_TLS13 when what is noted is a derivation that a
 * program with a QUIC of its own makes of what libssl gave it; otherwise 0.
 */
static int is_quic(struct kdf_request *r, const struct note *n, size_t out_len)
{
    int32_t digest = n->mode_and_digest.digest;
    struct kdf_piece label = {n->info + BEFORE_PREFIX + strlen(PREFIX), 0};

    if (n->mode_and_digest.mode != KDF_EXPAND ||
        (digest != PRF_SHA256 && digest != PRF_SHA384) ||
        n->key_len != prf_size((enum prf_digest)digest) ||
        !is_label(n, out_len)) {
        return 0;
    }
    label.len = n->info_len - BEFORE_PREFIX - strlen(PREFIX) - 1;
    *r = (struct kdf_request){
        .which = KDF_TLS13,
        .mode = KDF_EXPAND,
        .digest = digest,
        .key = {n->key, n->key_len},
        .prefix = {n->info + BEFORE_PREFIX, strlen(PREFIX)},
        .label = label};
    return is_known(&label);
}

/* ---- contexts ------------------------------------------------------------ */

/* NULL, with an error, when there is none. */
static EVP_KDF *fetch_elsewhere(const struct prov_ctx *ctx)
{
    EVP_KDF *kdf;

    if (outer_for(OUTER_HKDF) == NULL) {
        RAISE(UNAVAILABLE, "this libcrypto lacks functions of EVP_KDF");
        return NULL;
    }
    kdf =
        prov.outer.kdf_fetch((OSSL_LIB_CTX *)prov.core.get_libctx(ctx->handle),
                             "HKDF", "mpk.use!=yes");
    if (kdf == NULL) {
        RAISE(UNAVAILABLE, "no other provider's HKDF is to be had; activate "
                           "'default' beside this one");
    }
    return kdf;
}

/* Takes |other|, and frees it if that fails. */
static struct hkdf_ctx *new_with(const struct prov_ctx *ctx, EVP_KDF_CTX *other)
{
    struct hkdf_ctx *c = other != NULL ? calloc(1, sizeof(*c)) : NULL;

    if (c == NULL) {
        prov.outer.kdf_ctx_free(other);
        return NULL;
    }
    c->ctx = ctx;
    c->other = other;
    forget(&c->note);
    return c;
}

static void *new_ctx(void *provctx)
{
    EVP_KDF *kdf = fetch_elsewhere(provctx);
    struct hkdf_ctx *c;

    if (kdf == NULL) {
        return NULL;
    }
    c = new_with(provctx, prov.outer.kdf_ctx_new(kdf));
    prov.outer.kdf_free(kdf);
    return c;
}

static void *dup_ctx(void *vctx)
{
    const struct hkdf_ctx *c = vctx;
    struct hkdf_ctx *copy = new_with(c->ctx, prov.outer.kdf_ctx_dup(c->other));

    if (copy != NULL) {
        copy->note = c->note;
    }
    return copy;
}

static void free_ctx(void *vctx)
{
    struct hkdf_ctx *c = vctx;

    if (c != NULL) {
        prov.outer.kdf_ctx_free(c->other);
        forget(&c->note);
        free(c);
    }
}

static void reset(void *vctx)
{
    struct hkdf_ctx *c = vctx;

    prov.outer.kdf_ctx_reset(c->other);
    forget(&c->note);
}

static int set_params(void *vctx, const OSSL_PARAM params[])
{
    struct hkdf_ctx *c = vctx;

    if (params == NULL) {
        return 1;
    }
    if (!prov.outer.kdf_ctx_set_params(c->other, params)) {
        return 0;
    }
    note(&c->note, params);
    return 1;
}

static int get_params(void *vctx, OSSL_PARAM params[])
{
    const struct hkdf_ctx *c = vctx;

    return prov.outer.kdf_ctx_get_params(c->other, params);
}

static int derive(void *vctx, unsigned char *out, size_t len,
                  const OSSL_PARAM params[])
{
    const struct hkdf_ctx *c = vctx;
    struct kdf_request r;

    if (!set_params(vctx, params)) {
        return 0;
    }
    return is_quic(&r, &c->note, len)
               ? kdf_request_derive(c->ctx, &r, out, len)
               : prov.outer.kdf_derive(c->other, out, len, NULL) > 0;
}

/* Constants of the other provider, so they outlive what they are asked of. */
static const OSSL_PARAM *list(const struct prov_ctx *ctx,
                              const OSSL_PARAM *(*of)(const EVP_KDF *))
{
    static const OSSL_PARAM none[] = {OSSL_PARAM_END};
    EVP_KDF *kdf = fetch_elsewhere(ctx);
    const OSSL_PARAM *params;

    if (kdf == NULL) {
        return none; /* there may be no kdf_free either */
    }
    params = of(kdf);
    prov.outer.kdf_free(kdf);
    return params != NULL ? params : none;
}

static const OSSL_PARAM *settable(void *vctx, void *provctx)
{
    (void)vctx;
    return list(provctx, prov.outer.kdf_settable);
}

static const OSSL_PARAM *gettable(void *vctx, void *provctx)
{
    (void)vctx;
    return list(provctx, prov.outer.kdf_gettable);
}

const OSSL_DISPATCH hkdf_functions[] = {
    {OSSL_FUNC_KDF_NEWCTX, (void (*)(void))new_ctx},
    {OSSL_FUNC_KDF_DUPCTX, (void (*)(void))dup_ctx},
    {OSSL_FUNC_KDF_FREECTX, (void (*)(void))free_ctx},
    {OSSL_FUNC_KDF_RESET, (void (*)(void))reset},
    {OSSL_FUNC_KDF_DERIVE, (void (*)(void))derive},
    {OSSL_FUNC_KDF_SETTABLE_CTX_PARAMS, (void (*)(void))settable},
    {OSSL_FUNC_KDF_SET_CTX_PARAMS, (void (*)(void))set_params},
    {OSSL_FUNC_KDF_GETTABLE_CTX_PARAMS, (void (*)(void))gettable},
    {OSSL_FUNC_KDF_GET_CTX_PARAMS, (void (*)(void))get_params},
    {0, NULL}};
