#include "kdf_call.h"

#include "claims.h"
#include "secret.h"

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/rand.h>

void kdf_boot(const struct mpkprov_frame *f);

struct mpkprov_frame last;
unsigned char randoms[64];

void kdf_start(void)
{
    struct mpkprov_frame f = {0};

    fake_inside_start();
    CHECK(secret_boot(&f, NULL) == 1);
    RAND_bytes(randoms, sizeof(randoms));
}

static const char *const digest_name[] = {"SHA256", "SHA384", "MD5-SHA1"};

int ours(const struct kdf_request *r, int strict, void *out, size_t len)
{
    static unsigned char shown[96];
    struct mpkprov_frame f = {.in = r,
                              .in_len = sizeof(*r),
                              .out = out,
                              .out_len = len,
                              .out2 = shown,
                              .out2_len = sizeof(shown),
                              .type = strict};
    int ret = (int)kdf_derive_stub(&f);

    last = f;
    return ret;
}

static void add(OSSL_PARAM **p, const char *name, struct kdf_piece piece)
{
    if (piece.p != NULL) {
        *(*p)++ =
            OSSL_PARAM_construct_octet_string(name, (void *)piece.p, piece.len);
    }
}

void stock(const struct kdf_request *r, void *out, size_t len)
{
    EVP_KDF *kdf = EVP_KDF_fetch(
        NULL, r->which == KDF_TLS13 ? "TLS13-KDF" : "TLS1-PRF", NULL);
    EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
    OSSL_PARAM params[KDF_SEEDS + 8], *p = params;
    int mode = r->mode == KDF_EXTRACT ? EVP_KDF_HKDF_MODE_EXTRACT_ONLY
                                      : EVP_KDF_HKDF_MODE_EXPAND_ONLY;

    *p++ = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST,
                                            (char *)digest_name[r->digest], 0);
    if (r->which == KDF_TLS13) {
        *p++ = OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode);
        add(&p, OSSL_KDF_PARAM_KEY, r->key);
    } else {
        add(&p, OSSL_KDF_PARAM_SECRET, r->key);
    }
    add(&p, OSSL_KDF_PARAM_SALT, r->salt);
    add(&p, OSSL_KDF_PARAM_PREFIX, r->prefix);
    add(&p, OSSL_KDF_PARAM_LABEL, r->label);
    add(&p, OSSL_KDF_PARAM_DATA, r->data);
    for (int i = 0; i < r->n_seeds; i++) {
        add(&p, OSSL_KDF_PARAM_SEED, r->seed[i]);
    }
    *p = OSSL_PARAM_construct_end();
    CHECK(EVP_KDF_derive(ctx, out, len, params) == 1);
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
}

struct kdf_request request12(enum prf_digest d, struct kdf_piece label,
                             struct kdf_piece rest, struct kdf_piece key)
{
    return (struct kdf_request){.which = KDF_TLS1,
                                .digest = d,
                                .n_seeds = 2,
                                .seed = {label, rest},
                                .key = key};
}

void set_flags(int flags)
{
    struct mpkprov_frame f = {.what = flags};

    kdf_boot(&f);
}
