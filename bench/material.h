#ifndef MPK_BENCH_MATERIAL_H
#define MPK_BENCH_MATERIAL_H

/*
 * Keys, made by the default provider of a library context of its own and
 * passed to all columns as PEM: a private key, its certificate if it can sign
 * one, and a peer's public key if it can derive.
 */

#include "columns.h"

#include <openssl/x509.h>

/* material_make writes |n| keys called |label|, as "P-256", to a file. */
bool material_make(const char *label, size_t n, const char *path);

/*
 * material_read returns a file's text, NULL without. The caller frees it. It is
 * the first key's; material_next returns the next one's, NULL after the last.
 */
char *material_read(const char *path);
const char *material_next(const char *material);
size_t material_count(const char *material);

/*
 * These read from that text. material_key takes the column's way and sees to
 * it that the key is where the column wants it; NULL with a line in |why|.
 */
EVP_PKEY *material_key(const char *material, const struct column *c, char *why);
EVP_PKEY *material_peer(const char *material);
X509 *material_certificate(const char *material);

/* material_why puts |what| and the newest entry of the error queue in |why|. */
void material_why(char *why, const char *what);

#endif
