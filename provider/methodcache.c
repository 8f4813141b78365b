/* methodcache.c - keeping libcrypto's cache of methods in the right order. */
#include "prov.h"

#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

_Static_assert(KEY_TYPES <= 32, "a bit of cache_emptied for each type");

void prov_keep_default_first(struct prov_ctx *ctx, enum key_type type)
{
    const struct outer *o = outer_for(OUTER_METHODS);

    __atomic_fetch_and(&ctx->cache_emptied, ~(1U << type), __ATOMIC_SEQ_CST);
    if (o == NULL) {
        return;
    }
    prov.core.set_error_mark(ctx->handle);
    o->keymgmt_free(
        o->keymgmt_fetch((OSSL_LIB_CTX *)prov.core.get_libctx(ctx->handle),
                         mpkprov_types[type].name, NULL));
    prov.core.pop_error_to_mark(ctx->handle);
}

/* A key may be freed after its library context, which takes all providers with
 * it. Where no other is active there is nothing to keep first either. */
static int may_be_visited(const struct prov_ctx *c)
{
    return __atomic_load_n(&c->keys, __ATOMIC_SEQ_CST) != 0 &&
           __atomic_load_n(&c->handle, __ATOMIC_SEQ_CST) != NULL &&
           !__atomic_load_n(&c->inactive, __ATOMIC_SEQ_CST) &&
           __atomic_load_n(&c->order.others_active, __ATOMIC_SEQ_CST) != 0;
}

/*
 * The caller, libcrypto by way of query_operation_name, tells no context: all
 * that need it are done. Another thread may be about to free one of them with
 * its library context, before any word of that comes here. It has to free the
 * keys in it first. So only contexts with keys are visited, and the last key
 * does not go while there are visitors.
 */
void prov_keep_default_again(enum key_type type)
{
    for (struct prov_ctx *c = prov_contexts(); c != NULL; c = c->next) {
        if (!(__atomic_load_n(&c->cache_emptied, __ATOMIC_RELAXED) &
              (1U << type))) {
            continue;
        }
        __atomic_fetch_add(&c->visitors, 1, __ATOMIC_SEQ_CST);
        if (may_be_visited(c)) {
            prov_keep_default_first(c, type);
        }
        __atomic_fetch_sub(&c->visitors, 1, __ATOMIC_SEQ_CST);
    }
}

/* Also for a visitor of lower priority. libc's is a cancellation point. */
static void pause_a_little(void)
{
    static const struct timespec pause = {0, 50000};

    syscall(SYS_nanosleep, &pause, NULL);
}

void prov_ctx_key_new(struct prov_ctx *ctx)
{
    __atomic_fetch_add(&ctx->keys, 1, __ATOMIC_SEQ_CST);
}

void prov_ctx_key_gone(struct prov_ctx *ctx)
{
    if (__atomic_sub_fetch(&ctx->keys, 1, __ATOMIC_SEQ_CST) != 0) {
        return;
    }
    while (__atomic_load_n(&ctx->visitors, __ATOMIC_SEQ_CST) != 0) {
        pause_a_little();
    }
}

void prov_visitors_forget(void)
{
    for (struct prov_ctx *c = prov_contexts(); c != NULL; c = c->next) {
        __atomic_store_n(&c->visitors, 0, __ATOMIC_SEQ_CST);
    }
}
