/* seal_file.c - the stream of a file that is read on, with its keys sealed. */
#include "freed.h"
#include "keyload.h"
#include "pem.h"
#include "prov.h"
#include "seal.h"

#include <openssl/bio.h>

#include <errno.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* What is larger stays as it is. */
#define LARGEST_FILE ((size_t)16 << 20)

/* The stream of a file that |bio| reads from and will close; NULL if there is
 * none, or if somebody else may go on to read from it, or it is written to. */
static FILE *own_stream(OSSL_CORE_BIO *bio)
{
    FILE *fp = bytes_stream(bio);
    struct stat st;

    return fp != NULL &&
                   prov.core.bio_ctrl(bio, BIO_CTRL_GET_CLOSE, 0, NULL) > 0 &&
                   !__fwritable(fp) && fileno(fp) >= 0 &&
                   fstat(fileno(fp), &st) == 0 && S_ISREG(st.st_mode) &&
                   st.st_size <= (off_t)LARGEST_FILE
               ? fp
               : NULL;
}

/* Whether there is a second block in |b|. */
static int has_more(const struct bytes *b)
{
    const unsigned char *p = memmem(b->p, b->len, PEM_BEGIN, strlen(PEM_BEGIN));

    return p != NULL && memmem(p + 1, b->len - (size_t)(p + 1 - b->p),
                               PEM_BEGIN, strlen(PEM_BEGIN)) != NULL;
}

/* ---- what libcrypto has freed -------------------------------------------- */

/*
 * A program that has read the same file for its certificate, with a BIO that
 * is gone, has had libcrypto decode the key. This is one of the blocks it was
 * in, EVP_ENCODE_CTX; others are a line, and one as long as its DER.
 */
#define ENCODE_CTX_SIZE 96

/* How many bytes the base64 in a block makes, which begins at |p|. */
static size_t decoded_len(const unsigned char *p, size_t len)
{
    const unsigned char *c = memchr(p, '\n', len);
    size_t digits = 0;

    for (; c != NULL && c < p + len && *c != '-'; c++) {
        digits += pem_digit((char)*c) >= 0;
    }
    return digits * 3 / 4;
}

static void wipe_decoded(const unsigned char *p, size_t len)
{
    freed_wipe(decoded_len(p, len));
    freed_wipe(ENCODE_CTX_SIZE);
    freed_wipe(FREED_LINE);
}

static int seal_block(unsigned char *p, size_t len)
{
    struct mpkprov_frame f = {.in = p, .in_len = len, .out = p, .out_len = len};

    if (len > KEYLOAD_MAX) {
        return 0;
    }
    wipe_decoded(p, len);
    return mpk_call(OP_key_seal, &f) == 1;
}

/* All private keys in |b|; 0 when one of them could not be. */
static int seal_all(struct bytes *b)
{
    struct pem_search s = {0};

    for (;;) {
        switch (pem_find(&s, (const char *)b->p, b->len, 0, 1)) {
        case PEM_ALL:
        case PEM_START:
            if (!seal_block(b->p + s.start, s.stop - s.start)) {
                return 0;
            }
            s = (struct pem_search){.at = s.at};
            break;
        case PEM_HIDDEN:
            break;
        default:
            return 1;
        }
    }
}

/* ---- a stream of sealed text --------------------------------------------- */

struct sealed {
    FILE *file; /* its own, which a program may use too, each at its place */
    int closes; /* that, too */
    size_t len, at;
    char text[];
};

static ssize_t sealed_read(void *cookie, char *p, size_t len)
{
    struct sealed *s = cookie;
    size_t left = s->at < s->len ? s->len - s->at : 0;

    len = len < left ? len : left;
    memcpy(p, s->text + s->at, len);
    s->at += len;
    return (ssize_t)len;
}

static int sealed_seek(void *cookie, off64_t *place, int whence)
{
    struct sealed *s = cookie;
    off64_t from = whence == SEEK_SET   ? 0
                   : whence == SEEK_CUR ? (off64_t)s->at
                                        : (off64_t)s->len;

    if (*place < -from || *place > INT64_MAX - from) {
        errno = EINVAL;
        return -1;
    }
    *place += from;
    s->at = (size_t)*place;
    return 0;
}

static int sealed_close(void *cookie)
{
    struct sealed *s = cookie;
    int ret = s->closes ? fclose(s->file) : 0;

    free(s);
    return ret;
}

/* A stream of the text in |b|, at |place|, instead of |file|'s; NULL without
 * memory. */
static FILE *stream_of(const struct bytes *b, long place, FILE *file,
                       struct sealed **s)
{
    static const cookie_io_functions_t functions = {
        .read = sealed_read, .seek = sealed_seek, .close = sealed_close};
    FILE *fp;

    *s = malloc(sizeof(**s) + b->len);
    if (*s == NULL) {
        return NULL;
    }
    **s = (struct sealed){.file = file, .len = b->len};
    memcpy((*s)->text, b->p, b->len);
    fp = fopencookie(*s, "r", functions);
    if (fp == NULL) {
        free(*s);
    } else if (fseek(fp, place, SEEK_SET) != 0) {
        fclose(fp);
        fp = NULL;
    }
    return fp;
}

/* A program may have the old stream too, and goes on with it until it frees
 * |bio|: so that is closed with the new one. */
static void give_stream(OSSL_CORE_BIO *bio, FILE *fp, struct sealed *s)
{
    prov.core.bio_ctrl(bio, BIO_CTRL_SET_CLOSE, BIO_NOCLOSE, NULL);
    if (prov.core.bio_ctrl(bio, BIO_C_SET_FILE_PTR, BIO_CLOSE, fp) > 0) {
        s->closes = 1;
    } else {
        prov.core.bio_ctrl(bio, BIO_CTRL_SET_CLOSE, BIO_CLOSE, NULL);
        fclose(fp);
    }
}

void seal_file(OSSL_CORE_BIO *bio)
{
    FILE *file = own_stream(bio), *fp = NULL;
    long place = bytes_place(bio);
    struct bytes b = {0};
    struct sealed *s;

    if (file == NULL) {
        return;
    }
    if (bytes_go_to(bio, 0) && bytes_read(&b, bio, LARGEST_FILE + 1) &&
        b.len <= LARGEST_FILE && !bytes_break_off(&b, bio) && has_more(&b) &&
        seal_all(&b)) {
        fp = stream_of(&b, place, file, &s);
    }
    bytes_free(&b);
    bytes_go_to(bio, place);
    if (fp != NULL) {
        give_stream(bio, fp, s);
    }
}
