/*
 * HKDF with quic = protect, in a program that has libcrypto inside it and shows
 * nobody its functions: there is no other provider's HKDF then. A context is
 * refused, with an error, and the lists of parameters are empty. Seen to crash
 * when the lists freed a method that could not be fetched.
 */
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>

#include <stdio.h>
#include <string.h>

static int failed;

#define CHECK(claim) check((claim), #claim)

static void check(int holds, const char *claim)
{
    if (!holds) {
        printf("FAIL %s\n", claim);
        failed = 1;
    }
}

static int last_error_says(const char *text)
{
    const char *data = "";
    int says = 0, flags = 0;

    while (ERR_get_error_all(NULL, NULL, NULL, &data, &flags) != 0) {
        says |= (flags & ERR_TXT_STRING) && strstr(data, text) != NULL;
    }
    return says;
}

static int is_empty(const OSSL_PARAM *list)
{
    return list != NULL && list->key == NULL;
}

int main(void)
{
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", "mpk.use=yes");

    CHECK(kdf != NULL);
    if (kdf == NULL) {
        ERR_print_errors_fp(stdout);
        return 1;
    }
    CHECK(EVP_KDF_CTX_new(kdf) == NULL);
    CHECK(last_error_says("this libcrypto lacks functions of EVP_KDF"));
    CHECK(is_empty(EVP_KDF_settable_ctx_params(kdf)));
    CHECK(is_empty(EVP_KDF_gettable_ctx_params(kdf)));
    EVP_KDF_free(kdf);
    return failed;
}
