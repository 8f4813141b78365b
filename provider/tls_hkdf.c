/*
 * tls_hkdf.c - outside: HKDF, with quic = protect.
 *
 * nginx and HAProxy have libssl make the handshake of QUIC and encrypt its
 * packets themselves. What libssl gives them for that, by its key log or its
 * QUIC functions, are handles, and they derive the packets' keys from these
 * with HKDF-Expand-Label. Those derivations are TLS13-KDF's. What else is
 * derived with HKDF is the other provider's.
 */
#include "outer.h"
#include "prov.h"
#include "tls_kdf.h"

/* What precedes the label: the length of the output, of the label, and this. */
#define PREFIX "tls13 "
#define BEFORE_PREFIX 3

/*
 * RFC 9001 5.1 and 6.1. With the last two a program makes records of TLS 1.3
 * for a libssl that has no QUIC. The first two are of a salt and a number that
 * all can see.
 */
static const char *const labels[] = {"client in", "server in", "quic key",
                                     "quic iv",   "quic hp",   "quic ku",
                                     "key",       "iv"};

/* Whether |info| is that of HKDF-Expand-Label, and of no hash. */
static int is_label(const struct kdf_piece *info, size_t out_len)
{
    size_t len = info->len;

    return len > BEFORE_PREFIX + strlen(PREFIX) &&
           mpk_is_outside(info->p, len) && info->p[0] == out_len >> 8 &&
           info->p[1] == (out_len & 0xff) &&
           info->p[2] == len - BEFORE_PREFIX - 1 && info->p[len - 1] == 0 &&
           memcmp(info->p + BEFORE_PREFIX, PREFIX, strlen(PREFIX)) == 0;
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

int hkdf_is_quic(struct kdf_request *r, size_t out_len)
{
    struct kdf_piece prefix, label;

    if (r->mode != KDF_EXPAND ||
        (r->digest != PRF_SHA256 && r->digest != PRF_SHA384) ||
        r->key.len != prf_size((enum prf_digest)r->digest) ||
        !is_label(&r->data, out_len)) {
        return 0;
    }
    prefix.p = r->data.p + BEFORE_PREFIX;
    prefix.len = strlen(PREFIX);
    label.p = prefix.p + prefix.len;
    label.len = r->data.len - BEFORE_PREFIX - prefix.len - 1;
    if (!is_known(&label)) {
        return 0;
    }
    *r = (struct kdf_request){.which = KDF_TLS13,
                              .mode = KDF_EXPAND,
                              .digest = r->digest,
                              .key = r->key,
                              .prefix = prefix,
                              .label = label};
    return 1;
}

static EVP_KDF_CTX *new_elsewhere(const struct outer *o,
                                  const struct prov_ctx *ctx)
{
    EVP_KDF *kdf =
        o->kdf_fetch((OSSL_LIB_CTX *)prov.core.get_libctx(ctx->handle), "HKDF",
                     "mpk.use!=yes");
    EVP_KDF_CTX *c = kdf != NULL ? o->kdf_ctx_new(kdf) : NULL;

    o->kdf_free(kdf);
    return c;
}

int hkdf_elsewhere(const struct prov_ctx *ctx, const OSSL_PARAM *p,
                   unsigned char *out, size_t out_len, OSSL_PARAM *get)
{
    const struct outer *o = outer_for(OUTER_HKDF);
    EVP_KDF_CTX *c;
    int ok;

    if (o == NULL) {
        return RAISE(UNAVAILABLE, "this libcrypto lacks functions of EVP_KDF");
    }
    c = new_elsewhere(o, ctx);
    ok = c != NULL && o->kdf_ctx_set_params(c, p) &&
         (out != NULL ? o->kdf_derive(c, out, out_len, NULL)
                      : o->kdf_ctx_get_params(c, get)) > 0;
    o->kdf_ctx_free(c);
    return ok;
}
