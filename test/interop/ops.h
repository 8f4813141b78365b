#ifndef MPK_TEST_OPS_H
#define MPK_TEST_OPS_H

/* One operation on either side, so that two sides can be compared. */

#include "keys.h"

#include <openssl/params.h>
#include <stdbool.h>

/* Bytes that somebody owns; freed by bytes_free. */
struct bytes {
    unsigned char *data;
    size_t len;
};

void bytes_free(struct bytes *b);

/* side_of is the library context that |key| was made in. */
OSSL_LIB_CTX *side_of(const EVP_PKEY *key);

/*
 * digest_sign signs in one call; |md| NULL for EdDSA. |params| are set after
 * init, as applications do; at init default takes them before the digest and
 * refuses some combinations. False on failure.
 */
bool digest_sign(EVP_PKEY *key, const char *md, const OSSL_PARAM *params,
                 const void *msg, size_t len, struct bytes *sig);

/* digest_verify returns what EVP_DigestVerify does, -2 when init fails. */
int digest_verify(EVP_PKEY *key, const char *md, const OSSL_PARAM *params,
                  const void *msg, size_t len, const struct bytes *sig);

/*
 * prehash_sign signs |tbs| as it is (EVP_PKEY_sign), prehash_verify returns
 * what EVP_PKEY_verify does, -2 when init fails. The digest is in |params|.
 */
bool prehash_sign(EVP_PKEY *key, const OSSL_PARAM *params, const void *tbs,
                  size_t len, struct bytes *sig);
int prehash_verify(EVP_PKEY *key, const OSSL_PARAM *params, const void *tbs,
                   size_t len, const struct bytes *sig);

/* verify_recover gives back what was signed. */
bool verify_recover(EVP_PKEY *key, const OSSL_PARAM *params,
                    const struct bytes *sig, struct bytes *out);

/*
 * check_same_ctx_params: both contexts list the same parameters and answer
 * with the same values.
 */
void check_same_ctx_params(EVP_PKEY_CTX *got, EVP_PKEY_CTX *want);

/* fill writes a pattern that depends on |seed|. */
void fill(unsigned char *p, size_t len, unsigned seed);

/* decapsulates: |key| finds the secret that was made for |sender|, the same key
 * on any side. */
bool decapsulates(EVP_PKEY *key, EVP_PKEY *sender);

/* check_signs: a signature by |key| is good for the reference's key. */
void check_signs(EVP_PKEY *key, const struct key_type *type);

#endif
