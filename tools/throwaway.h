/*
 * Keys and a certificate that are made for one look and used nowhere else.
 */
#ifndef MPK_TOOLS_THROWAWAY_H
#define MPK_TOOLS_THROWAWAY_H

#include <openssl/evp.h>
#include <openssl/x509.h>

/* throwaway_key makes a key, "P-256" or "RSA-2048", in |libctx|; or NULL. */
EVP_PKEY *throwaway_key(OSSL_LIB_CTX *libctx, const char *kind);

/* throwaway_pem is |key| as PKCS#8 PEM, in a BIO to read from; or NULL. */
BIO *throwaway_pem(EVP_PKEY *key);

/* throwaway_cert is a certificate of |key| by itself; or NULL. */
X509 *throwaway_cert(OSSL_LIB_CTX *libctx, EVP_PKEY *key);

#endif
