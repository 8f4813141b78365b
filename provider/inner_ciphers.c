/*
 * inner_ciphers.c - the inner OpenSSL starts with the two ciphers that it
 * needs.
 *
 * Who asks libcrypto for one cipher has it make methods of all that a provider
 * has: 124 with 3.0, half of what is in the domain when the first key is. The
 * generator of random numbers needs two. All others are for encrypted keys, and
 * stubs look up those of TLS in the provider's own list. So the inner default
 * provider is loaded as two providers: one that leaves out most ciphers, and,
 * when somebody asks for another, one that has nothing but ciphers.
 */
#include "inside.h"

#include <openssl/err.h>
#include <openssl/provider.h>

#include <pthread.h>
#include <stdatomic.h>

#define FEW "default but for most ciphers"
#define CIPHERS "the default provider's ciphers"

/* libcrypto's default provider, as its table of builtin providers has it. */
OSSL_provider_init_fn ossl_default_provider_init;

static OSSL_FUNC_provider_query_operation_fn *query_all;

static const OSSL_ALGORITHM *query_few(void *provctx, int op, int *no_cache)
{
    static OSSL_ALGORITHM few[3]; /* the last one ends the list */
    const OSSL_ALGORITHM *all = query_all(provctx, op, no_cache);
    size_t n = 0;

    if (op != OSSL_OP_CIPHER) {
        return all;
    }
    for (; all != NULL && all->algorithm_names != NULL && n < 2; all++) {
        if (mpkprov_name_is(all->algorithm_names, "AES-256-ECB") ||
            mpkprov_name_is(all->algorithm_names, "AES-256-CTR")) {
            few[n++] = *all;
        }
    }
    return few;
}

static const OSSL_ALGORITHM *query_ciphers(void *provctx, int op, int *no_cache)
{
    return op == OSSL_OP_CIPHER ? query_all(provctx, op, no_cache) : NULL;
}

/* The default provider's functions but for the one that tells what it has. */
struct functions {
    OSSL_DISPATCH fn[16];
};

static int start(struct functions *own,
                 OSSL_FUNC_provider_query_operation_fn *query,
                 const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in,
                 const OSSL_DISPATCH **out, void **provctx)
{
    const OSSL_DISPATCH *d = NULL;
    OSSL_DISPATCH *to = own->fn;

    if (!ossl_default_provider_init(handle, in, &d, provctx)) {
        return 0;
    }
    for (; d->function_id != 0; d++) {
        if (to == &own->fn[sizeof(own->fn) / sizeof(own->fn[0]) - 1]) {
            mpk_fatal(
                "the inner default provider has more functions than known");
        }
        to->function_id = d->function_id;
        if (d->function_id == OSSL_FUNC_PROVIDER_QUERY_OPERATION) {
            query_all = OSSL_FUNC_provider_query_operation(d);
            to->function = (void (*)(void))query;
        } else {
            to->function = d->function;
        }
        to++;
    }
    *out = own->fn;
    return query_all != NULL;
}

static int start_few(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in,
                     const OSSL_DISPATCH **out, void **provctx)
{
    static struct functions own;

    return start(&own, query_few, handle, in, out, provctx);
}

static int start_ciphers(const OSSL_CORE_HANDLE *handle,
                         const OSSL_DISPATCH *in, const OSSL_DISPATCH **out,
                         void **provctx)
{
    static struct functions own;

    return start(&own, query_ciphers, handle, in, out, provctx);
}

OSSL_PROVIDER *inner_default_provider(OSSL_LIB_CTX *ctx)
{
    return OSSL_PROVIDER_add_builtin(ctx, FEW, start_few) &&
                   OSSL_PROVIDER_add_builtin(ctx, CIPHERS, start_ciphers)
               ? OSSL_PROVIDER_load(ctx, FEW)
               : NULL;
}

const OSSL_ALGORITHM *inner_algorithms(int op)
{
    void *provctx = OSSL_PROVIDER_get0_provider_ctx(mpkprov_inner.provider);
    int no_cache;

    return query_all(provctx, op, &no_cache);
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic int loaded;

static int are_loaded(void)
{
    return atomic_load_explicit(&loaded, memory_order_acquire);
}

EVP_CIPHER *__real_EVP_CIPHER_fetch(OSSL_LIB_CTX *ctx, const char *name,
                                    const char *properties);
EVP_CIPHER *__wrap_EVP_CIPHER_fetch(OSSL_LIB_CTX *ctx, const char *name,
                                    const char *properties);

/*
 * The first cipher that is fetched has libcrypto make them all. It does so once
 * for each time that a provider is loaded: one for which there was no memory
 * would be missing for ever. So then the provider goes again.
 */
static int load_ciphers(void)
{
    uint64_t refused = mpk_heap_refused();
    OSSL_PROVIDER *prov = OSSL_PROVIDER_load(NULL, CIPHERS);

    if (prov == NULL) {
        return 0;
    }
    EVP_CIPHER_free(__real_EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL));
    if (!had_memory(refused)) {
        OSSL_PROVIDER_unload(prov);
        return 0;
    }
    return 1;
}

/* With the lock, so that nobody else makes a part of them meanwhile. */
static int load_once(void)
{
    if (!are_loaded()) {
        atomic_store_explicit(&loaded, load_ciphers(), memory_order_release);
    }
    return are_loaded();
}

int inner_all_ciphers(void)
{
    int ok = are_loaded();

    if (!ok) {
        pthread_mutex_lock(&lock);
        ok = load_once();
        pthread_mutex_unlock(&lock);
    }
    return ok;
}

static EVP_CIPHER *fetch_quietly(OSSL_LIB_CTX *ctx, const char *name,
                                 const char *properties)
{
    EVP_CIPHER *cipher;

    ERR_set_mark();
    cipher = __real_EVP_CIPHER_fetch(ctx, name, properties);
    ERR_pop_to_mark();
    return cipher;
}

/* libcrypto's own calls come here, but for those that go by one of the objects
 * that it had before there were providers (EVP_aes_128_cbc). */
EVP_CIPHER *__wrap_EVP_CIPHER_fetch(OSSL_LIB_CTX *ctx, const char *name,
                                    const char *properties)
{
    EVP_CIPHER *cipher = NULL;

    if (!are_loaded()) {
        pthread_mutex_lock(&lock);
        cipher = fetch_quietly(ctx, name, properties);
        if (cipher == NULL) {
            (void)load_once();
        }
        pthread_mutex_unlock(&lock);
    }
    return cipher != NULL ? cipher
                          : __real_EVP_CIPHER_fetch(ctx, name, properties);
}
