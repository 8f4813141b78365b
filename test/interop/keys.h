#ifndef MPK_TEST_KEYS_H
#define MPK_TEST_KEYS_H

/* The kinds of keys that are compared, and how each side gets one. */

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stddef.h>

#define KEY_SIGNS 1u         /* EVP_DigestSign */
#define KEY_ENCRYPTS 2u      /* EVP_PKEY_encrypt */
#define KEY_DERIVES 4u       /* EVP_PKEY_derive */
#define KEY_TLS 8u           /* libssl takes it as a certificate's key */
#define KEY_ENCAPSULATES 16u /* EVP_PKEY_encapsulate, and nothing else */
#define KEY_HEDGED 32u       /* one-shot signatures with random numbers */
/* Larger than any signature. */
#define KEY_SIG_MAX 65536

struct key_type {
    const char *label; /* for people and for key_type_find */
    const char *name;  /* as EVP_PKEY_is_a and key generation know it */
    int id;            /* EVP_PKEY_RSA and so on */
    unsigned can;      /* KEY_* */
    const char *group; /* curve or group, NULL if it has none */
    size_t bits;       /* RSA only */
    const char *md;    /* digest of a plain signature, NULL: one-shot */
    int restricted;    /* RSA-PSS: SHA-256, MGF1 SHA-256, salt 32 */
};

/* key_type_at returns the |i|th kind, NULL past the last one. */
const struct key_type *key_type_at(size_t i);

/* key_type_find returns the kind called |label|, NULL if there is none. */
const struct key_type *key_type_find(const char *label);

/*
 * key_generate makes a new key in |libctx| under the property query |props|.
 * The caller owns it; NULL on failure.
 */
EVP_PKEY *key_generate(OSSL_LIB_CTX *libctx, const char *props,
                       const struct key_type *type);

/*
 * key_reference returns the reference side's key pair of this kind, made at
 * the first call and kept by this file. It ends the program on failure.
 */
EVP_PKEY *key_reference(const struct key_type *type);

/* key_pem returns the same key pair as PKCS#8 PEM, to be freed with free(3). It
 * ends the program on failure. */
char *key_pem(const struct key_type *type);

/*
 * key_load loads the same key pair on the side under test, from PKCS#8 PEM in
 * memory. key_load_public does so with the public key. The caller owns it.
 */
EVP_PKEY *key_load(const struct key_type *type);
EVP_PKEY *key_load_public(const struct key_type *type);

/* key_reference_public is the public half alone. The caller owns it. */
EVP_PKEY *key_reference_public(const struct key_type *type);

/*
 * key_certificate returns the certificate of the reference side for this key,
 * issued by the reference's P-256 key: the same at each call. The caller owns
 * a reference.
 */
X509 *key_certificate(const struct key_type *type);

/*
 * key_eq is EVP_PKEY_eq. OpenSSL before 3.0.8 first asks |a| for all that it
 * has, and goes on when that is refused; of a protected key the refusal stays
 * in the error queue. Here it does not.
 */
int key_eq(EVP_PKEY *a, EVP_PKEY *b);

/* keys_free frees what key_reference and key_certificate keep. */
void keys_free(void);

#endif
