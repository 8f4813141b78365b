/*
 * keydecode.c - inside: from DER to a key, by the decoder of its type.
 *
 * EVP_PKCS82PKEY and d2i_PrivateKey make a chain of all decoders that there
 * are, and ask each of them about each other, to find the one that this is
 * for. The key's number or its label says which, and a provider's decoder is a
 * function like any other.
 */
#include "inside.h"
#include "keyparse.h"

#include <openssl/core_names.h>
#include <openssl/core_object.h>
#include <openssl/provider.h>
#include <openssl/x509.h>

#include <string.h>

/* Of libcrypto.a, since 3.0; no installed header has them. */
OSSL_CORE_BIO *ossl_core_bio_new_mem_buf(const void *p, int len);
int ossl_core_bio_free(OSSL_CORE_BIO *bio);

static const char *const property[] = {
    [KEY_IN_PKCS8] = "input=der,structure=PrivateKeyInfo",
    [KEY_BY_ITSELF] = "input=der,structure=type-specific"};

static int find_decoder(enum key_type type, enum key_structure structure,
                        struct inner_alg *alg)
{
    const OSSL_ALGORITHM *a = inner_algorithms(OSSL_OP_DECODER);

    for (; a != NULL && a->algorithm_names != NULL; a++) {
        if (strstr(a->property_definition, property[structure]) != NULL &&
            mpkprov_name_is(a->algorithm_names, mpkprov_types[type].name)) {
            inner_fill(alg, a->implementation);
            return 1;
        }
    }
    return 0;
}

/* What a decoder has made: of which type, and the key, which is ours then. */
struct decoded {
    enum key_type type;
    void *data;
};

static int take_key(const OSSL_PARAM params[], void *arg)
{
    const OSSL_PARAM *name =
        OSSL_PARAM_locate_const(params, OSSL_OBJECT_PARAM_DATA_TYPE);
    const OSSL_PARAM *reference =
        OSSL_PARAM_locate_const(params, OSSL_OBJECT_PARAM_REFERENCE);
    struct decoded *d = arg;

    if (name == NULL || reference == NULL) {
        return 0;
    }
    d->type = mpkprov_type_by_name(name->data);
    d->data =
        d->type != KEY_ANY
            ? KEY_FN(d->type, load, LOAD)(reference->data, reference->data_size)
            : NULL;
    return d->data != NULL;
}

static int no_passphrase(char *pass, size_t room, size_t *len,
                         const OSSL_PARAM params[], void *arg)
{
    (void)pass;
    (void)room;
    (void)len;
    (void)params;
    (void)arg;
    return 0;
}

static void decode(const struct inner_alg *alg, const unsigned char *der,
                   long len, struct decoded *d)
{
    OSSL_CORE_BIO *bio = ossl_core_bio_new_mem_buf(der, (int)len);
    void *ctx = INNER(alg, decoder_newctx,
                      OSSL_FUNC_DECODER_NEWCTX)(mpkprov_inner.provctx);

    if (bio != NULL && ctx != NULL) {
        INNER(alg, decoder_decode, OSSL_FUNC_DECODER_DECODE)
        (ctx, bio, EVP_PKEY_KEYPAIR | EVP_PKEY_KEY_PARAMETERS, take_key, d,
         no_passphrase, NULL);
    }
    if (ctx != NULL) {
        INNER(alg, decoder_freectx, OSSL_FUNC_DECODER_FREECTX)(ctx);
    }
    ossl_core_bio_free(bio);
}

int key_decode(struct mpkprov_frame *f, const unsigned char *der, long len,
               enum key_type type, enum key_structure structure)
{
    struct decoded d = {KEY_ANY, NULL};
    struct inner_alg alg = {0};
    int ok = 0;

    if (type != KEY_ANY && find_decoder(type, structure, &alg)) {
        decode(&alg, der, len, &d);
    }
    if (d.data != NULL) {
        /* What looks like a key can be parameters only. */
        ok = key_data_has_private(d.type, d.data) &&
             key_adopt_data(f, d.type, d.data);
        key_data_free(d.type, d.data);
    }
    if (!ok) {
        forget_errors();
    }
    return ok;
}
