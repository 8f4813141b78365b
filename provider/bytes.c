/* bytes.c - reading from the application's BIO, leaving nothing behind. */
#include "keyload.h"
#include "prov.h"

#include <openssl/bio.h>

#include <stdio.h>
#include <stdlib.h>

/* Grows without leaving a copy behind, as realloc would. */
static int reserve(struct bytes *b, size_t *room, size_t want)
{
    size_t size = *room == 0 ? 8192 : *room;
    unsigned char *p;

    while (size < want) {
        size *= 2;
    }
    if (size == *room) {
        return 1;
    }
    p = malloc(size);
    if (p == NULL) {
        return 0;
    }
    if (b->p != NULL) {
        memcpy(p, b->p, b->len);
        explicit_bzero(b->p, b->len);
        free(b->p);
    }
    b->p = p;
    *room = size;
    return 1;
}

/*
 * A file's stream is read without a buffer from here on: libc would keep the
 * key's text in it and free it as it is.
 */
static void unbuffer(OSSL_CORE_BIO *bio)
{
    FILE *fp = NULL;

    if (prov.core.bio_ctrl(bio, BIO_C_GET_FILE_PTR, 0, &fp) > 0 && fp != NULL) {
        setvbuf(fp, NULL, _IONBF, 0);
    }
}

int bytes_read(struct bytes *b, OSSL_CORE_BIO *bio, size_t max)
{
    size_t room = b->len, n = 0;

    unbuffer(bio);
    while (b->len < max) {
        if (!reserve(b, &room, b->len + 4096)) {
            return 0;
        }
        n = room - b->len < max - b->len ? room - b->len : max - b->len;
        if (!prov.core.bio_read_ex(bio, b->p + b->len, n, &n) || n == 0) {
            break;
        }
        b->len += n;
    }
    return 1;
}

static int read_exact(struct bytes *b, OSSL_CORE_BIO *bio, size_t len)
{
    size_t want = b->len + len, n;

    while (b->len < want) {
        if (!prov.core.bio_read_ex(bio, b->p + b->len, want - b->len, &n) ||
            n == 0) {
            return 0;
        }
        b->len += n;
    }
    return 1;
}

/*
 * Whether the length at |h|, which has 2 bytes of an object's header, is a
 * plain definite one with |*more| bytes to come (X.690 8.1.3). An indefinite
 * or padded one is allowed too, in BER.
 */
static int plain_length(const unsigned char *h, size_t *more)
{
    *more = h[1] < 0x80 ? 0 : h[1] & 0x7fU;
    return h[1] != 0x80 && *more <= 4;
}

/* What tells whether it may be a key, of an object that is not read whole. */
#define BEGINNING 4096

enum bytes_der bytes_read_der(struct bytes *b, OSSL_CORE_BIO *bio)
{
    size_t room = 0, more, len = 0;
    enum bytes_der is;

    unbuffer(bio);
    if (!reserve(b, &room, 8)) {
        return DER_NO_MEMORY;
    }
    if (!read_exact(b, bio, 2) || b->p[0] != 0x30) {
        return DER_NONE;
    }
    if (!plain_length(b->p, &more)) {
        if (!bytes_read(b, bio, KEYLOAD_MAX + 1)) {
            return DER_NO_MEMORY;
        }
        return b->len <= KEYLOAD_MAX ? DER_ALL : DER_TOO_LARGE;
    }
    if (!read_exact(b, bio, more)) {
        return DER_NONE;
    }
    len = more == 0 ? b->p[1] : 0;
    for (size_t i = 0; i < more; i++) {
        len = len << 8 | b->p[2 + i];
    }
    is = len <= KEYLOAD_MAX ? DER_ALL : DER_TOO_LARGE;
    if (is == DER_TOO_LARGE) {
        b->more = len - BEGINNING;
        len = BEGINNING;
    }
    if (!reserve(b, &room, b->len + len)) {
        return DER_NO_MEMORY;
    }
    return read_exact(b, bio, len) ? is : DER_NONE;
}

void bytes_skip(OSSL_CORE_BIO *bio, size_t len)
{
    unsigned char unused[4096];
    size_t n = 1;

    while (len > 0 && n > 0 &&
           prov.core.bio_read_ex(
               bio, unused, len < sizeof(unused) ? len : sizeof(unused), &n)) {
        len -= n;
    }
    explicit_bzero(unused, sizeof(unused));
}

void bytes_free(struct bytes *b)
{
    if (b->p != NULL) {
        explicit_bzero(b->p, b->len);
        free(b->p);
    }
    b->p = NULL;
    b->len = 0;
}
