#include "cipher_message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

EVP_CIPHER_CTX *context(const EVP_CIPHER *cipher, const unsigned char *key,
                        int encrypt)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    bool ccm = EVP_CIPHER_get_mode(cipher) == EVP_CIPH_CCM_MODE;

    if (!EVP_CipherInit_ex(ctx, cipher, NULL, NULL, NULL, encrypt) ||
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_IVLEN, 12, NULL) <= 0 ||
        (ccm &&
         EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, 16, NULL) <= 0) ||
        !EVP_CipherInit_ex(ctx, NULL, NULL, key, NULL, -1)) {
        puts("no context");
        exit(1);
    }
    return ctx;
}

const unsigned char nonce[12] = "a nonce 123";

const unsigned char header[5] = {23, 3, 3, 0, 100 + 16};

/* A message whose header may be that of a record: text and tag, in place. */
bool pass(EVP_CIPHER_CTX *ctx, int encrypt, const unsigned char aad[5], int len,
          unsigned char *out)
{
    bool ccm = EVP_CIPHER_CTX_get_mode(ctx) == EVP_CIPH_CCM_MODE;
    unsigned char *tag = out + len;
    int n;

    return EVP_CipherInit_ex(ctx, NULL, NULL, NULL, nonce, encrypt) &&
           (encrypt ||
            EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, 16, tag) > 0) &&
           (!ccm || EVP_CipherUpdate(ctx, NULL, &n, NULL, len)) &&
           EVP_CipherUpdate(ctx, NULL, &n, aad, 5) &&
           EVP_CipherUpdate(ctx, out, &n, out, len) &&
           EVP_CipherFinal_ex(ctx, out + n, &n) &&
           (!encrypt ||
            EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, 16, tag) > 0);
}

bool seal(EVP_CIPHER_CTX *ctx, const unsigned char aad[5], int len,
          unsigned char *out)
{
    memset(out, 'x', (size_t)len);
    return pass(ctx, 1, aad, len, out);
}
