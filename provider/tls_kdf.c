/*
 * tls_kdf.c - outside: TLS13-KDF and TLS1-PRF, whose secrets are handles. A
 * derivation is one crossing (kdf.c). Contexts are outside, and hold what was
 * set and nothing else.
 */
#include "tls_kdf.h"
#include "param_answer.h"
#include "tls.h"

#include <openssl/kdf.h>

#include <stdlib.h>
#include <strings.h>

/* ---- outside: parameters ------------------------------------------------- */

#define DIGEST(name, digest)                                                   \
    {                                                                          \
        name, sizeof(name) - 1, digest                                         \
    }

static const struct {
    const char *name;
    size_t len;
    enum prf_digest digest;
} digests[] = {
    DIGEST("SHA2-256", PRF_SHA256),   DIGEST("SHA256", PRF_SHA256),
    DIGEST("SHA-256", PRF_SHA256),    DIGEST("SHA2-384", PRF_SHA384),
    DIGEST("SHA384", PRF_SHA384),     DIGEST("SHA-384", PRF_SHA384),
    DIGEST("MD5-SHA1", PRF_MD5_SHA1),
};

static int text_is(const OSSL_PARAM *p, const char *text, size_t len)
{
    return p->data_type == OSSL_PARAM_UTF8_STRING && p->data != NULL &&
           p->data_size == len && strncasecmp(p->data, text, len) == 0;
}

void kdf_take_digest(struct kdf_request *r, const OSSL_PARAM *p)
{
    r->digest = -1;
    for (size_t i = 0; i < sizeof(digests) / sizeof(digests[0]); i++) {
        if (text_is(p, digests[i].name, digests[i].len)) {
            r->digest = (int32_t)digests[i].digest;
            return;
        }
    }
}

void kdf_take_mode(struct kdf_request *r, const OSSL_PARAM *p)
{
    int mode = -1;

    if (p->data_type == OSSL_PARAM_INTEGER && p->data_size == sizeof(mode) &&
        p->data != NULL) {
        memcpy(&mode, p->data, sizeof(mode));
    }
    if (mode == EVP_KDF_HKDF_MODE_EXTRACT_ONLY ||
        text_is(p, "EXTRACT_ONLY", strlen("EXTRACT_ONLY"))) {
        r->mode = KDF_EXTRACT;
    } else if (mode == EVP_KDF_HKDF_MODE_EXPAND_ONLY ||
               text_is(p, "EXPAND_ONLY", strlen("EXPAND_ONLY"))) {
        r->mode = KDF_EXPAND;
    } else {
        r->mode = -1;
    }
}

static int take_seed(struct kdf_request *r, const OSSL_PARAM *p)
{
    if (p->data == NULL || p->data_size == 0 ||
        p->data_type != OSSL_PARAM_OCTET_STRING) {
        return 1;
    }
    if (r->n_seeds == KDF_SEEDS) {
        return RAISE(PARAMETER, "a seed in more than %d parts", KDF_SEEDS);
    }
    r->seed[r->n_seeds].p = p->data;
    r->seed[r->n_seeds++].len = p->data_size;
    return 1;
}

static void take_piece(struct kdf_piece *piece, const OSSL_PARAM *p)
{
    if (p->data_type == OSSL_PARAM_OCTET_STRING) {
        piece->p = p->data;
        piece->len = p->data != NULL ? p->data_size : 0;
    }
}

/* The piece of |r| that has this name, or NULL. A name is told by its first
 * letter, or has to be compared once: libssl gives six with each derivation. */
static struct kdf_piece *piece_of(struct kdf_request *r, const char *name)
{
    switch (name[0]) {
    case 'k':
        return r->which != KDF_TLS1 && strcmp(name, OSSL_KDF_PARAM_KEY) == 0
                   ? &r->key
                   : NULL;
    case 'p':
        return strcmp(name, OSSL_KDF_PARAM_PREFIX) == 0 ? &r->prefix : NULL;
    case 'l':
        return strcmp(name, OSSL_KDF_PARAM_LABEL) == 0 ? &r->label : NULL;
    case 'd':
        return strcmp(name, OSSL_KDF_PARAM_DATA) == 0 ? &r->data : NULL;
    case 's':
        return strcmp(name, OSSL_KDF_PARAM_SALT) == 0 ? &r->salt
               : r->which == KDF_TLS1 &&
                       strcmp(name, OSSL_KDF_PARAM_SECRET) == 0
                   ? &r->key
                   : NULL;
    default:
        return NULL;
    }
}

/* Adds |params| to what is to be derived; others are ignored, as everywhere. */
static int collect(struct kdf_request *r, const OSSL_PARAM *p)
{
    for (; p != NULL && p->key != NULL; p++) {
        struct kdf_piece *piece = piece_of(r, p->key);

        if (piece != NULL) {
            take_piece(piece, p);
        } else if (strcmp(p->key, OSSL_KDF_PARAM_MODE) == 0) {
            kdf_take_mode(r, p);
        } else if (strcmp(p->key, OSSL_KDF_PARAM_DIGEST) == 0) {
            kdf_take_digest(r, p);
        } else if (strcmp(p->key, OSSL_KDF_PARAM_SEED) == 0 &&
                   !take_seed(r, p)) {
            return 0;
        }
    }
    return 1;
}

static const OSSL_PARAM *settable(void *vctx, void *provctx)
{
    static const OSSL_PARAM params[] = {
        OSSL_PARAM_utf8_string(OSSL_KDF_PARAM_MODE, NULL, 0),
        OSSL_PARAM_int(OSSL_KDF_PARAM_MODE, NULL),
        OSSL_PARAM_utf8_string(OSSL_KDF_PARAM_PROPERTIES, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_KDF_PARAM_DIGEST, NULL, 0),
        OSSL_PARAM_octet_string(OSSL_KDF_PARAM_KEY, NULL, 0),
        OSSL_PARAM_octet_string(OSSL_KDF_PARAM_SECRET, NULL, 0),
        OSSL_PARAM_octet_string(OSSL_KDF_PARAM_SALT, NULL, 0),
        OSSL_PARAM_octet_string(OSSL_KDF_PARAM_PREFIX, NULL, 0),
        OSSL_PARAM_octet_string(OSSL_KDF_PARAM_LABEL, NULL, 0),
        OSSL_PARAM_octet_string(OSSL_KDF_PARAM_DATA, NULL, 0),
        OSSL_PARAM_octet_string(OSSL_KDF_PARAM_SEED, NULL, 0),
        OSSL_PARAM_END};

    (void)vctx;
    (void)provctx;
    return params;
}

/* ---- outside: contexts --------------------------------------------------- */

/* Parameters that were set before; libssl gives all with the derivation. */
#define KEPT_MAX 16
#define KEPT_NAME 16
#define KEPT_SIZE_MAX (1 << 16)
struct kept {
    size_t len; /* of all of it, to wipe it */
    char name[KEPT_NAME];
    unsigned char data[];
};

struct kdf_ctx {
    struct prov_ctx *ctx;
    enum kdf_which which;
    size_t n;
    OSSL_PARAM p[KEPT_MAX + 1]; /* n, and the one that ends them */
    struct kept *kept[KEPT_MAX];
};

static void kept_free(struct kept *k)
{
    if (k != NULL) {
        explicit_bzero(k, k->len);
        free(k);
    }
}

/* Its place: the one it had, but for parts of a seed, which add up. */
static size_t place_of(const struct kdf_ctx *c, const char *key)
{
    size_t i = 0;

    while (i < c->n && (strcmp(c->p[i].key, key) != 0 ||
                        strcmp(key, OSSL_KDF_PARAM_SEED) == 0)) {
        i++;
    }
    return i;
}

static int keep(struct kdf_ctx *c, const OSSL_PARAM *p)
{
    size_t i = place_of(c, p->key), size = p->data != NULL ? p->data_size : 0;
    struct kept *k;

    if (i == KEPT_MAX || size > KEPT_SIZE_MAX || strlen(p->key) >= KEPT_NAME) {
        return RAISE(PARAMETER, "too much to keep for a KDF");
    }
    k = calloc(1, sizeof(*k) + size + 1);
    if (k == NULL) {
        return RAISE(OPERATION, "out of memory");
    }
    k->len = sizeof(*k) + size;
    strcpy(k->name, p->key);
    if (size != 0) {
        memcpy(k->data, p->data, size);
    }
    if (i < c->n) {
        kept_free(c->kept[i]);
    } else {
        c->n++;
        c->p[c->n] = (OSSL_PARAM)OSSL_PARAM_END;
    }
    c->kept[i] = k;
    /* What has no data is not there, and takes away what was. */
    c->p[i] = (OSSL_PARAM){k->name, p->data_type,
                           p->data != NULL ? k->data : NULL, size, 0};
    return 1;
}

static int is_known(const char *key)
{
    for (const OSSL_PARAM *p = settable(NULL, NULL); p->key != NULL; p++) {
        if (strcmp(p->key, key) == 0) {
            return 1;
        }
    }
    return 0;
}

static int set_params(void *vctx, const OSSL_PARAM params[])
{
    for (; params != NULL && params->key != NULL; params++) {
        if (!is_known(params->key)) {
            continue;
        }
        if (param_is_reference(params)) {
            return RAISE(PARAMETER, "a KDF's parameter by reference");
        }
        if (!keep(vctx, params)) {
            return 0;
        }
    }
    return 1;
}

static void reset(void *vctx)
{
    struct kdf_ctx *c = vctx;

    for (size_t i = 0; i < c->n; i++) {
        kept_free(c->kept[i]);
    }
    c->n = 0;
    c->p[0] = (OSSL_PARAM)OSSL_PARAM_END;
}

static void *new_ctx(void *provctx, enum kdf_which which)
{
    struct prov_ctx *ctx = provctx;
    struct kdf_ctx *c;

    if (ctx->refused[0] != '\0') {
        RAISE(UNAVAILABLE, "%s", ctx->refused);
        return NULL;
    }
    c = malloc(sizeof(*c));
    if (c == NULL) {
        RAISE(OPERATION, "out of memory");
        return NULL;
    }
    c->ctx = ctx;
    c->which = which;
    c->n = 0;
    c->p[0] = (OSSL_PARAM)OSSL_PARAM_END;
    return c;
}

static void *tls13_new(void *provctx)
{
    return new_ctx(provctx, KDF_TLS13);
}

static void *tls1_new(void *provctx)
{
    return new_ctx(provctx, KDF_TLS1);
}

static void free_ctx(void *vctx)
{
    if (vctx != NULL) {
        reset(vctx);
        free(vctx);
    }
}

static void *dup_ctx(void *vctx)
{
    const struct kdf_ctx *c = vctx;
    struct kdf_ctx *copy = new_ctx(c->ctx, c->which);

    for (size_t i = 0; copy != NULL && i < c->n; i++) {
        if (!keep(copy, &c->p[i])) {
            free_ctx(copy);
            return NULL;
        }
    }
    return copy;
}

static const OSSL_PARAM *gettable(void *vctx, void *provctx)
{
    static const OSSL_PARAM params[] = {
        OSSL_PARAM_size_t(OSSL_KDF_PARAM_SIZE, NULL), OSSL_PARAM_END};

    (void)vctx;
    (void)provctx;
    return params;
}

/* Any, but for HKDF-Extract, whose output is a hash. */
static size_t size_of(const struct kdf_ctx *c)
{
    struct kdf_request r = {.which = (int32_t)c->which, .digest = -1};

    if (!collect(&r, c->p) || r.which == KDF_TLS1 || r.mode != KDF_EXTRACT) {
        return SIZE_MAX;
    }
    return r.digest == PRF_SHA256 ? 32 : r.digest == PRF_SHA384 ? 48 : 0;
}

static int get_params(void *vctx, OSSL_PARAM params[])
{
    size_t size;

    if (prov_param(params, OSSL_KDF_PARAM_SIZE) == NULL) {
        return 1;
    }
    size = size_of(vctx);
    return size != 0 && answer_size(params, OSSL_KDF_PARAM_SIZE, size);
}

/* ---- outside: derivation ------------------------------------------------- */

/* Once for an operator to see, each time for who looks. */
static void say_raw(const struct prov_ctx *ctx)
{
    int news =
        ctx->tls.secrets != SELF_CHECK_OFF &&
        !__atomic_exchange_n(&prov.raw_premaster_said, 1, __ATOMIC_RELAXED);

    prov_log(news ? 0 : 1,
             "provider '%s': a key exchange ran in another provider, so a "
             "secret of a connection is not protected; list '%s' first in "
             "openssl.cnf",
             ctx->name, ctx->name);
}

static void say_left(const struct prov_ctx *ctx)
{
    prov_log(1,
             "provider '%s': X448 ran in another provider, as x448 = leave "
             "has it, so a secret of a connection is not protected",
             ctx->name);
}

int kdf_request_derive(const struct prov_ctx *ctx, const struct kdf_request *r,
                       unsigned char *out, size_t len)
{
    unsigned char shown[KEYLOG_ROOM];
    struct foresight_plan plan;
    struct mpkprov_frame f = {.in = r,
                              .in_len = sizeof(*r),
                              .out = out,
                              .out_len = len,
                              .type = ctx->tls.secrets == SELF_CHECK_REQUIRE};

    if (keylog_is_on()) {
        f.out2 = shown;
        f.out2_len = sizeof(shown);
    }
    if (foresight_answer(r, out, len)) {
        return 1;
    }
    foresight_plan(&plan, r, out, len);
    f.in2 = plan.next;
    f.in2_len = plan.n;
    ended_take(&prov.ended_ciphers, &f);
    if (PROV_CALL(kdf_derive, &f) != 1) {
        return 0;
    }
    foresight_notice(r, out, len);
    foresight_keep(&plan, f.handle2);
    if (f.what == KDF_RAW_LEFT) {
        say_left(ctx);
    } else if (f.what == KDF_RAW) {
        say_raw(ctx);
    }
    if (f.out2 != NULL) {
        keylog_write(r->which == KDF_TLS13, shown, f.out2_len);
        explicit_bzero(shown, sizeof(shown));
    }
    return 1;
}

static int derive_proxy(void *vctx, unsigned char *out, size_t len,
                        const OSSL_PARAM params[])
{
    const struct kdf_ctx *c = vctx;
    struct kdf_request r = {.which = (int32_t)c->which, .digest = -1};

    if (!collect(&r, c->p) || !collect(&r, params)) {
        return 0;
    }
    if (r.digest < 0) {
        return RAISE(PARAMETER, "TLS has no KDF with this digest");
    }
    return kdf_request_derive(c->ctx, &r, out, len);
}

#define FUNCTIONS(newctx)                                                      \
    {                                                                          \
        {OSSL_FUNC_KDF_NEWCTX, (void (*)(void))newctx},                        \
            {OSSL_FUNC_KDF_DUPCTX, (void (*)(void))dup_ctx},                   \
            {OSSL_FUNC_KDF_FREECTX, (void (*)(void))free_ctx},                 \
            {OSSL_FUNC_KDF_RESET, (void (*)(void))reset},                      \
            {OSSL_FUNC_KDF_DERIVE, (void (*)(void))derive_proxy},              \
            {OSSL_FUNC_KDF_SETTABLE_CTX_PARAMS, (void (*)(void))settable},     \
            {OSSL_FUNC_KDF_SET_CTX_PARAMS, (void (*)(void))set_params},        \
            {OSSL_FUNC_KDF_GETTABLE_CTX_PARAMS, (void (*)(void))gettable},     \
            {OSSL_FUNC_KDF_GET_CTX_PARAMS, (void (*)(void))get_params},        \
        {                                                                      \
            0, NULL                                                            \
        }                                                                      \
    }

static const OSSL_DISPATCH tls13_functions[] = FUNCTIONS(tls13_new);
static const OSSL_DISPATCH tls1_functions[] = FUNCTIONS(tls1_new);

static const OSSL_ALGORITHM kdfs[] = {
    {"HKDF", TLS_PROPERTIES, hkdf_functions, "key schedule of QUIC"},
    {"TLS13-KDF", TLS_PROPERTIES, tls13_functions, "TLS 1.3 key schedule"},
    {"TLS1-PRF", TLS_PROPERTIES, tls1_functions, "TLS 1.2 key schedule"},
    {NULL, NULL, NULL, NULL}};

const OSSL_ALGORITHM *tls_kdfs(enum quic quic)
{
    return quic == QUIC_PROTECT ? kdfs : kdfs + 1;
}
