/*
 * What TLS derives from a secret, by libcrypto's own KDFs.
 */
#ifndef MPK_TOOLS_DERIVE_H
#define MPK_TOOLS_DERIVE_H

#include <openssl/evp.h>
#include <stddef.h>
#include <stdint.h>

struct derive {
    EVP_KDF_CTX *tls13;
    EVP_KDF_CTX *prf;
};

/* derive_init prepares |d|. Returns 0 or -ENOMEM. */
int derive_init(struct derive *d, OSSL_LIB_CTX *libctx);

/* derive_free releases what |d| holds. */
void derive_free(struct derive *d);

/*
 * derive_digest names the digest of the TLS 1.3 suites whose secrets have |len|
 * bytes; NULL when there is none.
 */
const char *derive_digest(size_t len);

/*
 * derive_expand is HKDF-Expand-Label of RFC 8446 with the digest that |len|
 * stands for. |data| may be NULL. Returns 0 or -EIO.
 */
int derive_expand(struct derive *d, uint8_t *out, size_t out_len,
                  const uint8_t *secret, size_t len, const char *label,
                  const uint8_t *data, size_t data_len);

/* derive_early is the early secret that the PSK |psk| makes. As above. */
int derive_early(struct derive *d, uint8_t *out, const uint8_t *psk,
                 size_t len);

/*
 * derive_key_block writes the first |out_len| bytes of TLS 1.2's key block.
 * Returns 0 or -EIO.
 */
int derive_key_block(struct derive *d, uint8_t *out, size_t out_len,
                     const char *digest, const uint8_t *master, size_t len,
                     const uint8_t server_random[32],
                     const uint8_t client_random[32]);

#endif
