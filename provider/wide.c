/* wide.c - HCTR2 with the inner OpenSSL's AES. */
#include "wide.h"

#include <openssl/core_names.h>

/* Both directions run the same function, each on a context of its own. */
struct aes {
    OSSL_FUNC_cipher_cipher_fn *run;
    void *ctx;
};

struct wide {
    struct hctr2 cipher; /* the first: what the caller has points to it */
    struct aes encrypt, decrypt;
};

/*
 * OpenSSL's ECB reads a context that has its key and writes nothing to it
 * (ossl_cipher_generic_cipher, ossl_cipher_hw_generic_ecb), so that all
 * threads use the same two.
 */
static void run_aes(void *ctx, unsigned char *out, const unsigned char *in,
                    size_t len)
{
    const struct aes *aes = ctx;
    size_t done = 0;

    if (!aes->run(aes->ctx, out, &done, len, in, len) || done != len) {
        mpk_fatal("AES does not work inside the domain");
    }
}

static int aes_keyed(struct aes *aes, const struct inner_alg *ecb, int id,
                     const unsigned char key[WIDE_KEY])
{
    OSSL_FUNC_cipher_newctx_fn *make =
        INNER(ecb, cipher_newctx, OSSL_FUNC_CIPHER_NEWCTX);
    OSSL_FUNC_cipher_encrypt_init_fn *init =
        INNER(ecb, cipher_encrypt_init, id);

    aes->run = INNER(ecb, cipher_cipher, OSSL_FUNC_CIPHER_CIPHER);
    aes->ctx = make(mpkprov_inner.provctx);
    return aes->run != NULL && aes->ctx != NULL &&
           init(aes->ctx, key, WIDE_KEY, NULL, 0, NULL);
}

static void aes_free(struct aes *aes, const struct inner_alg *ecb)
{
    if (aes->ctx != NULL) {
        INNER(ecb, cipher_freectx, OSSL_FUNC_CIPHER_FREECTX)(aes->ctx);
    }
}

struct hctr2 *wide_new(struct mpkprov_frame *f,
                       const unsigned char key[WIDE_KEY])
{
    struct inner_alg ecb = {{NULL}};
    struct wide *w;

    if (!inner_look_up(OSSL_OP_CIPHER, "AES-256-ECB", &ecb)) {
        fail(f, MPKPROV_R_OPERATION, "the inner OpenSSL has no AES-256-ECB");
        return NULL;
    }
    w = mpk_heap_alloc(sizeof(*w));
    if (w == NULL) {
        fail(f, MPKPROV_R_MEMORY, NULL);
        return NULL;
    }
    if (!aes_keyed(&w->encrypt, &ecb, OSSL_FUNC_CIPHER_ENCRYPT_INIT, key) ||
        !aes_keyed(&w->decrypt, &ecb, OSSL_FUNC_CIPHER_DECRYPT_INIT, key)) {
        fail_inner(f, "a key of the domain");
        aes_free(&w->encrypt, &ecb);
        aes_free(&w->decrypt, &ecb);
        mpk_heap_free(w);
        return NULL;
    }
    hctr2_init(&w->cipher, run_aes, &w->encrypt, &w->decrypt);
    return &w->cipher;
}
