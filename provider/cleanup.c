/*
 * cleanup.c - keys that outlive libcrypto's own clean-up.
 *
 * A static object of C++ frees its key behind OPENSSL_cleanup. The key has the
 * last reference to its provider then, and libcrypto takes the provider's
 * reason strings from a table whose lock is gone (3.0 and later; its own
 * providers have none). So each provider gets a reference that nobody gives
 * back, just before the clean-up, and stays.
 */
#include "prov.h"

static void keep_providers(void)
{
    for (struct prov_ctx *c = prov_contexts(); c != NULL; c = c->next) {
        const OSSL_CORE_HANDLE *handle =
            __atomic_load_n(&c->handle, __ATOMIC_SEQ_CST);

        if (handle != NULL) {
            prov.core.provider_up_ref(handle, 0);
        }
    }
}

void prov_cleanup_expect(void)
{
    const struct outer *o = outer_for(OUTER_CLEANUP);

    pthread_mutex_lock(&prov.lock);
    if (!prov.cleanup_expected && o != NULL &&
        prov.core.provider_up_ref != NULL) {
        prov.cleanup_expected = o->atexit(keep_providers);
    }
    pthread_mutex_unlock(&prov.lock);
}
