/* tls_group.c - the groups of TLS: ephemeral keys and their exchange. */
#include "secret.h"
#include "tls.h"

int group_boot(struct mpkprov_frame *f)
{
    (void)f;
    return 1;
}

const OSSL_ALGORITHM tls_keymgmts[] = {{NULL, NULL, NULL, NULL}};
const OSSL_ALGORITHM tls_exchanges[] = {{NULL, NULL, NULL, NULL}};
const OSSL_ALGORITHM tls_kems[] = {{NULL, NULL, NULL, NULL}};

int tls_get_capabilities(void *provctx, const char *capability,
                         OSSL_CALLBACK *cb, void *cbarg)
{
    (void)provctx;
    (void)capability;
    (void)cb;
    (void)cbarg;
    return 1;
}
