/* cipher_message.h - a context with a key, and messages with it. */
#ifndef MPK_TEST_CIPHER_MESSAGE_H
#define MPK_TEST_CIPHER_MESSAGE_H

#include "pair.h"

/* context makes one that has a key and no nonce, or ends the program. */
EVP_CIPHER_CTX *context(const EVP_CIPHER *cipher, const unsigned char *key,
                        int encrypt);

/* The nonce that pass sets, and the header of a record with 100 bytes. */
extern const unsigned char nonce[12], header[5];

/* pass takes a message whose header may be that of a record: text and tag, in
 * place. seal enciphers one of |len| bytes. */
bool pass(EVP_CIPHER_CTX *ctx, int encrypt, const unsigned char aad[5], int len,
          unsigned char *out);
bool seal(EVP_CIPHER_CTX *ctx, const unsigned char aad[5], int len,
          unsigned char *out);

#endif
