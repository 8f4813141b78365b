#include "attack_cipher.h"

#include "../attack/module.h"
#include "../unit/claims.h"
#include "pair.h"

#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- the domain, as anybody can find it --------------------------------- */

unsigned char *domain_start, *heap_end;

/* Mappings do not say where the domain begins: others may touch it, which a
 * sanitizer's do. The heap grows into a reservation of gigabytes. */
void find_domain(void)
{
    FILE *f = fopen("/proc/self/maps", "r");
    unsigned char *domain_end = NULL;
    unsigned long start, end;
    char line[4096], perm[8];

    module_domain(&domain_start, &domain_end);
    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        if (sscanf(line, "%lx-%lx %7s", &start, &end, perm) == 3 &&
            end - start > 1UL << 30 && strcmp(perm, "---p") == 0 &&
            start >= (unsigned long)domain_start &&
            end <= (unsigned long)domain_end) {
            heap_end = (unsigned char *)start;
        }
    }
    if (f == NULL || heap_end == NULL) {
        puts("no domain is to be found");
        exit(1);
    }
    fclose(f);
}

/* ---- a context without EVP in between ----------------------------------- */

static const OSSL_DISPATCH *functions;
void *provctx;

void (*function(int id))(void)
{
    const OSSL_DISPATCH *d = functions;

    while (d->function_id != 0 && d->function_id != id) {
        d++;
    }
    return d->function;
}

void use(const char *name)
{
    OSSL_PROVIDER *prov = OSSL_PROVIDER_load(NULL, "MPK");
    const OSSL_ALGORITHM *a;
    int no_cache;

    a = prov != NULL
            ? OSSL_PROVIDER_query_operation(prov, OSSL_OP_CIPHER, &no_cache)
            : NULL;
    while (a != NULL && a->algorithm_names != NULL &&
           strncasecmp(a->algorithm_names, name, strlen(name)) != 0) {
        a++;
    }
    if (a == NULL || a->algorithm_names == NULL) {
        printf("no %s\n", name);
        exit(1);
    }
    functions = a->implementation;
    provctx = OSSL_PROVIDER_get0_provider_ctx(prov);
}

const unsigned char iv[12] = "nonce, twel";

void *context(int encrypt, size_t key_len)
{
    void *ctx = FN(newctx, OSSL_FUNC_CIPHER_NEWCTX)(provctx);
    unsigned char key[SIDES][32];

    pair_key(true, key_len, key);
    if (encrypt) {
        CHECK(FN(encrypt_init, OSSL_FUNC_CIPHER_ENCRYPT_INIT)(
            ctx, key[OURS], key_len, NULL, 0, NULL));
    } else {
        CHECK(FN(decrypt_init, OSSL_FUNC_CIPHER_DECRYPT_INIT)(
            ctx, key[OURS], key_len, NULL, 0, NULL));
    }
    return ctx;
}

void drop(void *ctx)
{
    FN(freectx, OSSL_FUNC_CIPHER_FREECTX)(ctx);
}

int nonce(void *ctx)
{
    return FN(encrypt_init, OSSL_FUNC_CIPHER_ENCRYPT_INIT)(ctx, NULL, 0, iv,
                                                           sizeof(iv), NULL);
}

int update(void *ctx, void *out, const void *in, size_t len)
{
    size_t n;

    return FN(update, OSSL_FUNC_CIPHER_UPDATE)(ctx, out, &n, len, in, len);
}

int set(void *ctx, const char *name, void *data, size_t len)
{
    OSSL_PARAM params[] = {OSSL_PARAM_construct_octet_string(name, data, len),
                           OSSL_PARAM_END};

    return FN(set_ctx_params, OSSL_FUNC_CIPHER_SET_CTX_PARAMS)(ctx, params);
}

int get(void *ctx, const char *name, void *data, size_t len)
{
    OSSL_PARAM params[] = {OSSL_PARAM_construct_octet_string(name, data, len),
                           OSSL_PARAM_END};

    return FN(get_ctx_params, OSSL_FUNC_CIPHER_GET_CTX_PARAMS)(ctx, params);
}

int set_iv_len(void *ctx, size_t len)
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_size_t(OSSL_CIPHER_PARAM_AEAD_IVLEN, &len),
        OSSL_PARAM_END};

    return FN(set_ctx_params, OSSL_FUNC_CIPHER_SET_CTX_PARAMS)(ctx, params);
}

/* The context still does its work. */
int works(void *ctx)
{
    unsigned char data[32] = {0};
    const unsigned char aad[5] = {23, 3, 3, 0, 32 + 16};

    return nonce(ctx) && update(ctx, NULL, aad, 5) &&
           update(ctx, data, data, sizeof(data));
}
