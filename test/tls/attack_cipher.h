/*
 * attack_cipher.h - what attacks on ciphers share: where the domain is, and a
 * context without EVP in between.
 */
#ifndef MPK_TEST_ATTACK_CIPHER_H
#define MPK_TEST_ATTACK_CIPHER_H

#include <openssl/core_dispatch.h>
#include <stddef.h>

/* find_domain finds what anybody can find, or ends the program. */
extern unsigned char *domain_start, *heap_end;
void find_domain(void);

/* use has the functions of this cipher called from now on. */
void use(const char *name);
extern void *provctx;
void (*function(int id))(void);
#define FN(type, id) ((OSSL_FUNC_cipher_##type##_fn *)function(id))

/* context makes one with a key that is a handle. */
void *context(int encrypt, size_t key_len);
void drop(void *ctx);

/* The nonce that is set. */
extern const unsigned char iv[12];
int nonce(void *ctx);
int update(void *ctx, void *out, const void *in, size_t len);
int set(void *ctx, const char *name, void *data, size_t len);
int get(void *ctx, const char *name, void *data, size_t len);
int set_iv_len(void *ctx, size_t len);
/* The context still does its work. */
int works(void *ctx);

#endif
