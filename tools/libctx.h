/*
 * A library context with libcrypto's default provider and nothing else,
 * whatever OPENSSL_CONF sets up: mpkctl has to see keys as they are.
 */
#ifndef MPK_TOOLS_LIBCTX_H
#define MPK_TOOLS_LIBCTX_H

#include <openssl/types.h>

/* libctx_new makes one. Returns 0, or -1 after an error message. */
int libctx_new(OSSL_LIB_CTX **libctx, OSSL_PROVIDER **provider);

/* libctx_free releases what libctx_new made; both may be NULL. */
void libctx_free(OSSL_LIB_CTX *libctx, OSSL_PROVIDER *provider);

#endif
