/*
 * inner_digests.c - inside: a digest is fetched once.
 *
 * libcrypto fetches SHA-512 for each nonce of an ECDSA signature and for each
 * one of Ed25519, and RSA-PSS its digest, two or three times. That is some 2 us
 * when it comes to it in a handshake and its code is not in the CPU's caches:
 * three locks, a name that is hashed, a cache that is asked. What a name means
 * does not change here: there is one provider with digests, and it stays.
 */
#include "inside.h"

#include <openssl/evp.h>

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <strings.h>

/* More than what TLS and certificates name; further ones are fetched. */
#define KEPT 12

static struct {
    _Atomic(EVP_MD *) md; /* set last, and never changed */
    char name[16];
} kept[KEPT];

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

EVP_MD *__real_EVP_MD_fetch(OSSL_LIB_CTX *ctx, const char *name,
                            const char *properties);
EVP_MD *__wrap_EVP_MD_fetch(OSSL_LIB_CTX *ctx, const char *name,
                            const char *properties);

static EVP_MD *find(const char *name)
{
    for (size_t i = 0; i < KEPT; i++) {
        EVP_MD *md = atomic_load_explicit(&kept[i].md, memory_order_acquire);

        if (md == NULL || strcmp(kept[i].name, name) == 0) {
            return md;
        }
    }
    return NULL;
}

static void keep(EVP_MD *md, const char *name)
{
    size_t i = 0;

    pthread_mutex_lock(&lock);
    while (i < KEPT && kept[i].md != NULL) {
        i++;
    }
    if (i < KEPT && find(name) == NULL && EVP_MD_up_ref(md)) {
        strcpy(kept[i].name, name);
        atomic_store_explicit(&kept[i].md, md, memory_order_release);
    }
    pthread_mutex_unlock(&lock);
}

/* libcrypto's own calls come here. */
EVP_MD *__wrap_EVP_MD_fetch(OSSL_LIB_CTX *ctx, const char *name,
                            const char *properties)
{
    int may_be_kept = name != NULL && strlen(name) < sizeof(kept[0].name) &&
                      (properties == NULL || properties[0] == '\0');
    EVP_MD *md = may_be_kept ? find(name) : NULL;

    if (md != NULL && EVP_MD_up_ref(md)) {
        return md;
    }
    /* Its result has no length, and a mask made of it (MGF1) no end. */
    if (name != NULL && strcasecmp(name, "NULL") == 0) {
        return NULL;
    }
    md = __real_EVP_MD_fetch(ctx, name, properties);
    if (md != NULL && may_be_kept) {
        keep(md, name);
    }
    return md;
}
