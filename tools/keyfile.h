/*
 * A private key as it stands in a file.
 */
#ifndef MPK_TOOLS_KEYFILE_H
#define MPK_TOOLS_KEYFILE_H

#include <openssl/evp.h>
#include <stddef.h>
#include <stdint.h>

struct keyfile {
    const char *path;
    uint8_t *text; /* the whole file, 0-terminated */
    size_t text_len;
    EVP_PKEY *pkey;
};

/*
 * keyfile_load reads the first private key in the file |path|, PEM or DER, by
 * means of |libctx|. When it is encrypted the passphrase is the first line of
 * the file |passfile|, or asked for on the terminal when |passfile| is NULL.
 * |out| keeps |path| and is released with keyfile_free, also on failure.
 * Returns 0, or -1 after an error message.
 */
int keyfile_load(struct keyfile *out, OSSL_LIB_CTX *libctx, const char *path,
                 const char *passfile);

/* keyfile_free wipes and releases what |file| holds and empties it. */
void keyfile_free(struct keyfile *file);

#endif
