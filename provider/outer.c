/* outer.c - functions of the application's libcrypto, by their names. */
#include "outer.h"

#include "prov.h"

#include <dlfcn.h>

#define ROW(use, member, name)                                                 \
    {                                                                          \
        name, offsetof(struct outer, member), use                              \
    }

static const struct {
    const char *name;
    size_t at;
    unsigned use;
} functions[] = {
    ROW(OUTER_METHODS, keymgmt_fetch, "EVP_KEYMGMT_fetch"),
    ROW(OUTER_METHODS, keymgmt_free, "EVP_KEYMGMT_free"),
    ROW(OUTER_CONF, conf_new, "NCONF_new"),
    ROW(OUTER_CONF, conf_free, "NCONF_free"),
    ROW(OUTER_CONF, conf_load, "NCONF_load"),
    ROW(OUTER_CONF, conf_string, "NCONF_get_string"),
    ROW(OUTER_CONF, conf_section, "NCONF_get_section"),
    ROW(OUTER_CONF, conf_file, "CONF_get1_default_config_file"),
    ROW(OUTER_CONF, default_libctx, "OSSL_LIB_CTX_get0_global_default"),
    ROW(OUTER_CONF, free, "CRYPTO_free"),
    ROW(OUTER_CONF, stack_num, "OPENSSL_sk_num"),
    ROW(OUTER_CONF, stack_value, "OPENSSL_sk_value"),
    ROW(OUTER_KEYS, bio_of, "BIO_new_mem_buf"),
    ROW(OUTER_KEYS, bio_free, "BIO_free"),
    ROW(OUTER_KEYS, pem_read, "PEM_read_bio_PrivateKey_ex"),
    ROW(OUTER_KEYS, pkey_free, "EVP_PKEY_free"),
    ROW(OUTER_KEYS, pkey_provider, "EVP_PKEY_get0_provider"),
    ROW(OUTER_KEYS | OUTER_TLS, provider_name, "OSSL_PROVIDER_get0_name"),
    ROW(OUTER_KEYS | OUTER_TLS, provider_ctx,
        "OSSL_PROVIDER_get0_provider_ctx"),
    ROW(OUTER_TLS, all_providers, "OSSL_PROVIDER_do_all"),
    ROW(OUTER_TLS, capabilities, "OSSL_PROVIDER_get_capabilities"),
    ROW(OUTER_TLS | OUTER_HKDF, kdf_fetch, "EVP_KDF_fetch"),
    ROW(OUTER_TLS | OUTER_HKDF, kdf_free, "EVP_KDF_free"),
    ROW(OUTER_HKDF, kdf_settable, "EVP_KDF_settable_ctx_params"),
    ROW(OUTER_HKDF, kdf_gettable, "EVP_KDF_gettable_ctx_params"),
    ROW(OUTER_HKDF, kdf_ctx_new, "EVP_KDF_CTX_new"),
    ROW(OUTER_HKDF, kdf_ctx_dup, "EVP_KDF_CTX_dup"),
    ROW(OUTER_HKDF, kdf_ctx_free, "EVP_KDF_CTX_free"),
    ROW(OUTER_HKDF, kdf_ctx_reset, "EVP_KDF_CTX_reset"),
    ROW(OUTER_HKDF, kdf_ctx_set_params, "EVP_KDF_CTX_set_params"),
    ROW(OUTER_HKDF, kdf_ctx_get_params, "EVP_KDF_CTX_get_params"),
    ROW(OUTER_HKDF, kdf_derive, "EVP_KDF_derive"),
    ROW(OUTER_TLS, kdf_provider, "EVP_KDF_get0_provider"),
    ROW(OUTER_TLS, cipher_fetch, "EVP_CIPHER_fetch"),
    ROW(OUTER_TLS, cipher_free, "EVP_CIPHER_free"),
    ROW(OUTER_TLS, cipher_provider, "EVP_CIPHER_get0_provider"),
    ROW(OUTER_CLEANUP, atexit, "OPENSSL_atexit"),
    ROW(OUTER_NAMES, some_digest, "EVP_sha256"),
    ROW(OUTER_NAMES, digest_is_a, "EVP_MD_is_a"),
    ROW(OUTER_OLD_NAMES, init_crypto, "OPENSSL_init_crypto"),
    ROW(OUTER_OLD_NAMES, old_name, "OBJ_NAME_get")};

#define FUNCTIONS (sizeof(functions) / sizeof(functions[0]))

/*
 * Where to look: found through the address of a function that it gave us. It
 * stays loaded while it calls us. A program that has libcrypto inside it is
 * RTLD_DEFAULT, which is NULL. 1, or 0 when nobody can say.
 */
static int find_library(void **lib)
{
    Dl_info info;

    if (dladdr((void *)(uintptr_t)prov.core.get_params, &info) == 0) {
        return 0;
    }
    *lib = dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
    if (*lib != NULL) {
        dlclose(*lib);
    } else {
        *lib = RTLD_DEFAULT;
    }
    return 1;
}

/* Under the lock: other contexts may be about to use what is there. */
static void find_functions(void)
{
    struct outer found = {.from = prov.core.get_params};
    void *lib, *f;
    int known = find_library(&lib);

    for (size_t i = 0; i < FUNCTIONS; i++) {
        f = known ? dlsym(lib, functions[i].name) : NULL;
        if (f == NULL) {
            found.missing |= functions[i].use;
        }
        memcpy((char *)&found + functions[i].at, &f, sizeof(f));
    }
    prov.outer = found;
}

void outer_find(void)
{
    pthread_mutex_lock(&prov.lock);
    if (prov.outer.from != prov.core.get_params) {
        find_functions();
    }
    pthread_mutex_unlock(&prov.lock);
}

const struct outer *outer_for(enum outer_use use)
{
    return prov.outer.missing & (unsigned)use ? NULL : &prov.outer;
}
