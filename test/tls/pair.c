#include "pair.h"

#include "../interop/interop.h"
#include "../interop/kdf_ask.h"

#include <openssl/err.h>
#include <openssl/provider.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

const struct cipher_name cipher_names[] = {
    {"AES-128-GCM", "id-aes128-GCM", "2.16.840.1.101.3.4.1.6",
     EVP_CIPH_GCM_MODE},
    {"AES-256-GCM", "id-aes256-GCM", "2.16.840.1.101.3.4.1.46",
     EVP_CIPH_GCM_MODE},
    {"AES-128-CCM", "id-aes128-CCM", "2.16.840.1.101.3.4.1.7",
     EVP_CIPH_CCM_MODE},
    {"AES-256-CCM", "id-aes256-CCM", "2.16.840.1.101.3.4.1.47",
     EVP_CIPH_CCM_MODE},
    {"ChaCha20-Poly1305", NULL, NULL, 0},
    {"ARIA-128-GCM", NULL, "1.2.410.200046.1.1.34", EVP_CIPH_GCM_MODE},
    {"ARIA-256-GCM", NULL, "1.2.410.200046.1.1.36", EVP_CIPH_GCM_MODE}};
const size_t n_cipher_names = sizeof(cipher_names) / sizeof(cipher_names[0]);

static OSSL_LIB_CTX *stock;
static uint64_t state;

void pair_start(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    interop_need_backend();
    stock = OSSL_LIB_CTX_new();
    if (stock == NULL || OSSL_PROVIDER_load(stock, "default") == NULL) {
        puts("the default provider cannot be had");
        exit(1);
    }
}

bool pair_inner_is_newer(void)
{
    return interop_inner_is_newer();
}

OSSL_LIB_CTX *pair_stock(void)
{
    return stock;
}

static const char *holder(const EVP_CIPHER *cipher)
{
    return cipher == NULL
               ? "nobody"
               : OSSL_PROVIDER_get0_name(EVP_CIPHER_get0_provider(cipher));
}

void pair_fetch(const char *name, EVP_CIPHER *cipher[SIDES])
{
    cipher[OURS] = EVP_CIPHER_fetch(NULL, name, NULL);
    cipher[STOCK] = EVP_CIPHER_fetch(stock, name, NULL);
    if (strcmp(holder(cipher[OURS]), "MPK") != 0 ||
        strcmp(holder(cipher[STOCK]), "default") != 0) {
        printf("%s is held by %s and %s\n", name, holder(cipher[OURS]),
               holder(cipher[STOCK]));
        ERR_print_errors_fp(stdout);
        exit(1);
    }
}

void pair_key(bool sealed, size_t len, unsigned char key[SIDES][32])
{
    unsigned char secret[32], traffic[32];

    pair_bytes(secret, sizeof(secret));
    memcpy(key[OURS], secret, sizeof(secret));
    memcpy(key[STOCK], secret, sizeof(secret));
    for (int i = 0; sealed && i < SIDES; i++) {
        OSSL_LIB_CTX *side = i == OURS ? NULL : stock;

        /* The one label that makes a traffic secret of a known one. */
        if (!ask_expand(side, "SHA2-256", secret, "client in", NONE, traffic,
                        32) ||
            !ask_expand(side, "SHA2-256", traffic, "quic key", NONE, key[i],
                        len)) {
            puts("no key from the KDF");
            ERR_print_errors_fp(stdout);
            exit(1);
        }
    }
    if (sealed && memcmp(key[OURS], key[STOCK], len) == 0) {
        puts("the KDF gave a key and not a handle");
        exit(1);
    }
}

/* splitmix64: Steele, Lea and Flood, OOPSLA 2014. */
static uint64_t next(void)
{
    uint64_t z = state += 0x9e3779b97f4a7c15;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

void pair_seed(uint64_t seed)
{
    state = seed;
}

uint32_t pair_random(uint32_t below)
{
    return (uint32_t)(next() % below);
}

void pair_bytes(void *p, size_t len)
{
    unsigned char *to = p;

    while (len-- > 0) {
        *to++ = (unsigned char)next();
    }
}

uint64_t pair_seed_from(int argc, char **argv)
{
    struct timespec now;
    uint64_t seed;

    clock_gettime(CLOCK_REALTIME, &now);
    seed =
        (uint64_t)now.tv_nsec << 20 ^ (uint64_t)now.tv_sec ^ (uint64_t)getpid();
    if (argc > 1) {
        seed = strtoull(argv[1], NULL, 0);
    }
    printf("seed %llu\n", (unsigned long long)seed);
    return seed;
}
