#include "libctx.h"

#include <openssl/crypto.h>
#include <openssl/provider.h>

#include "mpkctl.h"

int libctx_new(OSSL_LIB_CTX **libctx, OSSL_PROVIDER **provider)
{
    *libctx = NULL;
    *provider = NULL;
    if (OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL)) {
        *libctx = OSSL_LIB_CTX_new();
    }
    if (*libctx != NULL) {
        *provider = OSSL_PROVIDER_load(*libctx, "default");
    }
    if (*provider == NULL) {
        mpkctl_error("libcrypto does not start: is it installed completely?");
        return -1;
    }
    return 0;
}

void libctx_free(OSSL_LIB_CTX *libctx, OSSL_PROVIDER *provider)
{
    OSSL_PROVIDER_unload(provider);
    OSSL_LIB_CTX_free(libctx);
}
