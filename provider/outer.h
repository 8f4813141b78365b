/*
 * outer.h - functions of the application's libcrypto that the core does not
 * hand out. Their names are also those of the inner libcrypto, so they are
 * looked up. Outside.
 */
#ifndef MPKPROV_OUTER_H
#define MPKPROV_OUTER_H

#include <openssl/conf.h>
#include <openssl/core_dispatch.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/provider.h>

/* What they are for; the bits say of one what it is for. */
enum outer_use {
    OUTER_METHODS = 1,    /* methodcache.c */
    OUTER_CONF = 2,       /* lint.c, sections.c */
    OUTER_KEYS = 4,       /* selfcheck.c */
    OUTER_TLS = 8,        /* tls_selfcheck.c */
    OUTER_HKDF = 16,      /* tls_hkdf.c */
    OUTER_CLEANUP = 32,   /* cleanup.c */
    OUTER_NAMES = 64,     /* provider.c */
    OUTER_OLD_NAMES = 128 /* provider.c: the table of before 3.0 */
};

struct outer {
    OSSL_FUNC_core_get_params_fn *from; /* the libcrypto that was looked at */
    unsigned missing;                   /* uses that lack one */
    EVP_KEYMGMT *(*keymgmt_fetch)(OSSL_LIB_CTX *, const char *, const char *);
    void (*keymgmt_free)(EVP_KEYMGMT *);
    CONF *(*conf_new)(CONF_METHOD *);
    void (*conf_free)(CONF *);
    int (*conf_load)(CONF *, const char *, long *);
    char *(*conf_string)(const CONF *, const char *, const char *);
    STACK_OF(CONF_VALUE) * (*conf_section)(const CONF *, const char *);
    char *(*conf_file)(void);
    OSSL_LIB_CTX *(*default_libctx)(void);
    void (*free)(void *, const char *, int);
    int (*stack_num)(const OPENSSL_STACK *);
    void *(*stack_value)(const OPENSSL_STACK *, int);
    BIO *(*bio_of)(const void *, int);
    int (*bio_free)(BIO *);
    EVP_PKEY *(*pem_read)(BIO *, EVP_PKEY **, pem_password_cb *, void *,
                          OSSL_LIB_CTX *, const char *);
    void (*pkey_free)(EVP_PKEY *);
    const OSSL_PROVIDER *(*pkey_provider)(const EVP_PKEY *);
    const char *(*provider_name)(const OSSL_PROVIDER *);
    void *(*provider_ctx)(const OSSL_PROVIDER *);
    int (*all_providers)(OSSL_LIB_CTX *, int (*)(OSSL_PROVIDER *, void *),
                         void *);
    int (*capabilities)(const OSSL_PROVIDER *, const char *, OSSL_CALLBACK *,
                        void *);
    EVP_KDF *(*kdf_fetch)(OSSL_LIB_CTX *, const char *, const char *);
    void (*kdf_free)(EVP_KDF *);
    const OSSL_PROVIDER *(*kdf_provider)(const EVP_KDF *);
    const OSSL_PARAM *(*kdf_settable)(const EVP_KDF *);
    const OSSL_PARAM *(*kdf_gettable)(const EVP_KDF *);
    EVP_KDF_CTX *(*kdf_ctx_new)(EVP_KDF *);
    EVP_KDF_CTX *(*kdf_ctx_dup)(const EVP_KDF_CTX *);
    void (*kdf_ctx_free)(EVP_KDF_CTX *);
    void (*kdf_ctx_reset)(EVP_KDF_CTX *);
    int (*kdf_ctx_set_params)(EVP_KDF_CTX *, const OSSL_PARAM *);
    int (*kdf_ctx_get_params)(EVP_KDF_CTX *, OSSL_PARAM *);
    int (*kdf_derive)(EVP_KDF_CTX *, unsigned char *, size_t,
                      const OSSL_PARAM *);
    EVP_CIPHER *(*cipher_fetch)(OSSL_LIB_CTX *, const char *, const char *);
    void (*cipher_free)(EVP_CIPHER *);
    const OSSL_PROVIDER *(*cipher_provider)(const EVP_CIPHER *);
    int (*atexit)(void (*)(void));
    const EVP_MD *(*some_digest)(void);
    int (*digest_is_a)(const EVP_MD *md, const char *name);
    int (*init_crypto)(uint64_t options, const OPENSSL_INIT_SETTINGS *);
    const char *(*old_name)(const char *name, int type);
};

/* Looks for all of them, once prov.core is known; in the same libcrypto only
 * the first time. */
void outer_find(void);
/* All that |use| needs, or NULL when one is missing. */
const struct outer *outer_for(enum outer_use use);

#endif
