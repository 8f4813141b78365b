/*
 * A record that is refused before anything is done with it takes no nonce
 * along: the next one would be enciphered with the last one's, by
 * ChaCha20-Poly1305, and two of these give both away.
 */
#include "../attack/module.h"
#include "../unit/claims.h"
#include "pair.h"

#include <openssl/err.h>
#include <string.h>

#define TEXT 40

static const unsigned char text[TEXT] = "a record of TLS 1.3";
static const unsigned char header[5] = {23, 3, 3, 0, TEXT + 16};
static const unsigned char first[12] = {1}, second[12] = {2};

static int start(EVP_CIPHER_CTX *ctx, const unsigned char nonce[12])
{
    int len;

    return EVP_EncryptInit_ex2(ctx, NULL, NULL, nonce, NULL) == 1 &&
           EVP_EncryptUpdate(ctx, NULL, &len, header, sizeof(header)) == 1;
}

static int finish(EVP_CIPHER_CTX *ctx, unsigned char out[TEXT + 16])
{
    int len;

    return EVP_EncryptUpdate(ctx, out, &len, text, TEXT) == 1 && len == TEXT &&
           EVP_EncryptFinal_ex(ctx, out + TEXT, &len) == 1 &&
           EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, 16, out + TEXT) == 1;
}

static void a_refused_record_leaves_its_nonce(const char *name, size_t key_len)
{
    unsigned char key[SIDES][32], out[SIDES][TEXT + 16];
    unsigned char *domain, *end;
    EVP_CIPHER *cipher[SIDES];
    int len;

    pair_fetch(name, cipher);
    pair_key(true, key_len, key);
    CHECK(module_domain(&domain, &end));
    for (int side = 0; side < SIDES; side++) {
        EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();

        memset(out[side], side, sizeof(out[side]));
        CHECK(EVP_EncryptInit_ex2(ctx, cipher[side], key[side], NULL, NULL) ==
              1);
        CHECK(start(ctx, first) && finish(ctx, out[side]));
        CHECK(start(ctx, second));
        if (side == OURS) {
            CHECK(EVP_EncryptUpdate(ctx, domain, &len, text, TEXT) != 1);
            CHECK(EVP_EncryptUpdate(ctx, out[side], &len, domain, TEXT) != 1);
            ERR_clear_error();
        }
        CHECK(finish(ctx, out[side]));
        EVP_CIPHER_CTX_free(ctx);
        EVP_CIPHER_free(cipher[side]);
    }
    CHECK(memcmp(out[OURS], out[STOCK], sizeof(out[OURS])) == 0);
}

int main(int argc, char **argv)
{
    pair_seed(pair_seed_from(argc, argv));
    pair_start();
    a_refused_record_leaves_its_nonce("AES-128-GCM", 16);
    a_refused_record_leaves_its_nonce("AES-256-GCM", 32);
    a_refused_record_leaves_its_nonce("ChaCha20-Poly1305", 32);
    return claims_end();
}
