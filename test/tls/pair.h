/*
 * pair.h - an algorithm of ours beside the default provider's.
 *
 * The side under test is the default library context, configured by
 * OPENSSL_CONF; the other is a context of its own that holds the default
 * provider only.
 */
#ifndef MPK_TEST_PAIR_H
#define MPK_TEST_PAIR_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { OURS, STOCK, SIDES };

struct cipher_name {
    const char *name, *alias, *oid; /* the last two may be NULL */
    int mode;                       /* EVP_CIPH_*_MODE, 0 for ChaCha */
};
extern const struct cipher_name cipher_names[];
extern const size_t n_cipher_names;

/* pair_start makes the other side, and ends the program with 77 if there is no
 * such backend here, with 1 if our provider does not answer. */
void pair_start(void);
OSSL_LIB_CTX *pair_stock(void);
/* As interop_inner_is_newer. */
bool pair_inner_is_newer(void);

/* The two implementations of |name|; ends the program if ours is not ours. */
void pair_fetch(const char *name, EVP_CIPHER *cipher[SIDES]);

/*
 * pair_key makes a key of |len| bytes. With |sealed| what is ours is a handle
 * that the KDF gave out, of QUIC, which is for any message and good for one
 * init, and what is stock's is what is behind it; without, both are the same.
 */
void pair_key(bool sealed, size_t len, unsigned char key[SIDES][32]);

/* Random numbers that a seed repeats. */
void pair_seed(uint64_t seed);
uint32_t pair_random(uint32_t below);
void pair_bytes(void *p, size_t len);

/* The seed of this run: the first argument, or a new one. It is printed. */
uint64_t pair_seed_from(int argc, char **argv);

#endif
