/* second_libcrypto.c - a library with a libcrypto of its own inside, as plugins
 * and modules of languages have. */
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/provider.h>

#include <stdio.h>

/* The name of the provider that has the key in the file |path|, or NULL. */
const char *second_holder(const char *path);

const char *second_holder(const char *path)
{
    FILE *f = fopen(path, "r");
    const char *name = NULL;
    EVP_PKEY *key = NULL;

    if (f != NULL) {
        key = PEM_read_PrivateKey(f, NULL, NULL, NULL);
        fclose(f);
    }
    if (key != NULL && EVP_PKEY_get0_provider(key) != NULL) {
        name = OSSL_PROVIDER_get0_name(EVP_PKEY_get0_provider(key));
    }
    EVP_PKEY_free(key); /* the provider stays */
    return name;
}
