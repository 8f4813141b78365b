/*
 * store.c - mpk: URIs. The inside reads the key file itself, so that no byte
 * of it is ever outside the domain.
 */
#include "keyload.h"
#include "prov.h"

#include <openssl/store.h>

#include <stdlib.h>

struct store {
    struct prov_ctx *ctx;
    char path[KEYLOAD_PATH_MAX];
    int expect; /* an OSSL_STORE_INFO type, or 0 */
    int done;
};

/* The path of "mpk:path" or "mpk:///path"; RFC 8089's form of the latter. */
static const char *uri_path(const char *uri)
{
    const char *p = uri + strlen("mpk:");

    if (strncmp(p, "//", 2) == 0) {
        p += 2;
        if (*p != '/') {
            RAISE(URI, "it names a host; write mpk:/path/to/key");
            return NULL;
        }
    }
    if (*p == '\0') {
        RAISE(URI, "it has no path; write mpk:/path/to/key");
        return NULL;
    }
    if (strpbrk(p, "?#") != NULL) {
        RAISE(URI, "it has a query or fragment; a passphrase is asked for, it "
                   "is never in the URI");
        return NULL;
    }
    if (strlen(p) >= KEYLOAD_PATH_MAX) {
        RAISE(URI, "the path is too long");
        return NULL;
    }
    return p;
}

static void *open_proxy(void *provctx, const char *uri)
{
    const char *path;
    struct store *s;

    if (strncasecmp(uri, "mpk:", strlen("mpk:")) != 0) {
        return NULL;
    }
    path = uri_path(uri);
    s = path != NULL ? calloc(1, sizeof(*s)) : NULL;
    if (s != NULL) {
        s->ctx = provctx;
        strcpy(s->path, path); /* uri_path has measured it */
    }
    return s;
}

/*
 * Before 3.0.5 libcrypto looks for a key that is referred to in the first
 * provider with keys of that type, which is not this one. It has a decoder take
 * what it is given, as from a file.
 */
static int takes_no_reference(const struct prov_ctx *ctx)
{
    return ctx->core_major == 3 && ctx->core_minor == 0 && ctx->core_patch < 5;
}

static int load_proxy(void *ctx, OSSL_CALLBACK *cb, void *cbarg,
                      OSSL_PASSPHRASE_CALLBACK *pw_cb, void *pw_cbarg)
{
    struct store *s = ctx;
    struct key_source source = {.path = s->path};
    struct prov_key *key;

    s->done = 1;
    if (s->expect != 0 && s->expect != OSSL_STORE_INFO_PKEY) {
        return RAISE(URI, "an mpk: URI holds a private key and nothing else");
    }
    if (prov_load(s->ctx, &source, pw_cb, pw_cbarg, &key) != LOADED_KEY) {
        return 0;
    }
    return takes_no_reference(s->ctx) ? token_pass(key, &source, cb, cbarg)
                                      : prov_key_give(key, cb, cbarg);
}

static int eof_proxy(void *ctx)
{
    return ((struct store *)ctx)->done;
}

static int close_proxy(void *ctx)
{
    free(ctx);
    return 1;
}

static const OSSL_PARAM *settable(void *provctx)
{
    static const OSSL_PARAM params[] = {
        OSSL_PARAM_int(OSSL_STORE_PARAM_EXPECT, NULL), OSSL_PARAM_END};

    (void)provctx;
    return params;
}

static int set_params_proxy(void *ctx, const OSSL_PARAM params[])
{
    struct store *s = ctx;

    for (; params != NULL && params->key != NULL; params++) {
        if (strcmp(params->key, OSSL_STORE_PARAM_EXPECT) == 0 &&
            params->data_type == OSSL_PARAM_INTEGER &&
            params->data_size == sizeof(int) && params->data != NULL) {
            memcpy(&s->expect, params->data, sizeof(int));
        }
    }
    return 1;
}

#define FN(id, f)                                                              \
    {                                                                          \
        OSSL_FUNC_STORE_##id, (void (*)(void))(f)                              \
    }

static const OSSL_DISPATCH functions[] = {FN(OPEN, open_proxy),
                                          FN(LOAD, load_proxy),
                                          FN(EOF, eof_proxy),
                                          FN(CLOSE, close_proxy),
                                          FN(SETTABLE_CTX_PARAMS, settable),
                                          FN(SET_CTX_PARAMS, set_params_proxy),
                                          {0, NULL}};

const OSSL_ALGORITHM prov_stores[] = {
    {"mpk", "provider=mpk", functions, "key files, read into the domain"},
    {NULL, NULL, NULL, NULL}};
