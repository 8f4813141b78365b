/* methodcache.c - keeping libcrypto's cache of methods in the right order. */
#include "prov.h"

#include <openssl/evp.h>

void prov_keep_default_first(struct prov_ctx *ctx, enum key_type type)
{
    EVP_KEYMGMT *(*fetch)(OSSL_LIB_CTX *, const char *, const char *);
    void (*release)(EVP_KEYMGMT *);

    __atomic_fetch_and(&ctx->cache_emptied, ~(1U << type), __ATOMIC_SEQ_CST);
    *(void **)&fetch = prov.fetch_keymgmt;
    *(void **)&release = prov.free_keymgmt;
    if (fetch == NULL || release == NULL) {
        return;
    }
    prov.core.set_error_mark(ctx->handle);
    release(fetch((OSSL_LIB_CTX *)prov.core.get_libctx(ctx->handle),
                  mpkprov_types[type].name, NULL));
    prov.core.pop_error_to_mark(ctx->handle);
}

/* The caller knows no context: all that need it are done. */
void prov_keep_default_again(enum key_type type)
{
    for (struct prov_ctx *c = prov.contexts; c != NULL; c = c->next) {
        if (c->handle != NULL &&
            __atomic_load_n(&c->cache_emptied, __ATOMIC_RELAXED) &
                (1U << type)) {
            prov_keep_default_first(c, type);
        }
    }
}
