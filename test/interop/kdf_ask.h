/* kdf_ask.h - the KDFs of TLS, asked as libssl asks them. */
#ifndef MPK_TEST_KDF_ASK_H
#define MPK_TEST_KDF_ASK_H

#include <openssl/types.h>
#include <stddef.h>

/* A string of bytes; |p| is NULL for a parameter that is not given. */
struct ask_bytes {
    const void *p;
    size_t len;
};

#define BYTES(array, n) ((struct ask_bytes){(array), (n)})
#define TEXT(string) ((struct ask_bytes){(string), sizeof(string) - 1})
#define NONE ((struct ask_bytes){NULL, 0})

struct ask13 {
    const char *digest;
    int mode;
    struct ask_bytes key, salt, prefix, label, data;
};

/* Both return 1 or 0; a |libctx| of NULL is the side under test. */
int ask_tls13(OSSL_LIB_CTX *libctx, const struct ask13 *a, void *out,
              size_t len);
#define ASK_SEEDS 9
int ask_tls1(OSSL_LIB_CTX *libctx, const char *digest, struct ask_bytes secret,
             const struct ask_bytes seed[], size_t n, void *out, size_t len);

/* As libssl's tls13_hkdf_expand and the step from stage to stage. */
int ask_expand(OSSL_LIB_CTX *libctx, const char *digest, const void *secret,
               const char *label, struct ask_bytes data, void *out, size_t len);
int ask_extract(OSSL_LIB_CTX *libctx, const char *digest, const void *salt,
                struct ask_bytes key, void *out);

size_t ask_hash_size(const char *digest);

#endif
