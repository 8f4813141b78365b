/* bytes.c - reading from the application's BIO, leaving nothing behind. */
#include "keyload.h"
#include "msblob.h"
#include "pem.h"
#include "prov.h"

#include <openssl/bio.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static void give_back(struct bytes *b)
{
    if (b->p != NULL) {
        explicit_bzero(b->p, b->len);
    }
    if (b->p != b->start) {
        free(b->p);
    }
}

/* Grows without leaving a copy behind, as realloc would. */
static int reserve(struct bytes *b, size_t want)
{
    size_t size = b->room <= BYTES_START ? 8192 : b->room;
    unsigned char *p = b->start;

    if (want <= b->room) {
        return 1;
    }
    if (want <= BYTES_START) {
        size = BYTES_START;
    } else {
        while (size < want) {
            size *= 2;
        }
        p = malloc(size);
    }
    if (p == NULL) {
        return 0;
    }
    if (b->p != NULL) {
        memcpy(p, b->p, b->len);
        give_back(b);
    }
    b->p = p;
    b->room = size;
    return 1;
}

/* What libc notes of a stream whose buffer is the file itself, read only, which
 * the letter m of fopen asks for: _IO_FLAGS2_MMAP, in no header. */
#define FLAGS2_MMAP 1

/*
 * What a program has read before may have come with the key's text behind it.
 * fflush goes back to where the program is (POSIX, fflush), so that nothing in
 * the buffer is needed; where it cannot, what is left there is.
 */
static void wipe_buffer(FILE *fp)
{
    fflush(fp);
    if (fp->_IO_buf_base != NULL && (fp->_flags2 & FLAGS2_MMAP) == 0 &&
        fp->_IO_read_ptr == fp->_IO_read_end) {
        explicit_bzero(fp->_IO_buf_base,
                       (size_t)(fp->_IO_buf_end - fp->_IO_buf_base));
    }
}

FILE *bytes_stream(OSSL_CORE_BIO *bio)
{
    FILE *fp = NULL;

    return prov.core.bio_ctrl(bio, BIO_C_GET_FILE_PTR, 0, &fp) > 0 ? fp : NULL;
}

/*
 * A file's stream is read without a buffer from here on: libc would keep the
 * key's text in it and free it as it is.
 */
static void unbuffer(OSSL_CORE_BIO *bio)
{
    FILE *fp = bytes_stream(bio);

    if (fp != NULL) {
        wipe_buffer(fp);
        setvbuf(fp, NULL, _IONBF, 0);
    }
}

/* What is not at its end. A BIO that does not know that says so too. */
static int goes_on(OSSL_CORE_BIO *bio)
{
    return prov.core.bio_ctrl(bio, BIO_CTRL_EOF, 0, NULL) == 0;
}

/*
 * Whether a read that gave nothing is to be made again, the first time with
 * |*tries| 0. A signal is not the end, nor is what only asks to be read again
 * (BIO_set_retry_read, which is not to be seen from here): libcrypto's own
 * readers, which come next, would find the rest of the key.
 */
static int interrupted(OSSL_CORE_BIO *bio, int *tries)
{
    if (errno == EINTR) {
        return ++*tries < 1000;
    }
    return errno == 0 && goes_on(bio) && ++*tries < 20;
}

static int comes_later(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

/* 0 when there is no more, or none now. */
static size_t read_some(struct bytes *b, OSSL_CORE_BIO *bio, unsigned char *p,
                        size_t len)
{
    int tries = 0;
    size_t n;

    do {
        n = 0;
        errno = 0;
        if (prov.core.bio_read_ex(bio, p, len, &n) && n > 0) {
            return n;
        }
    } while (interrupted(bio, &tries));
    b->more_later = comes_later();
    return 0;
}

int bytes_break_off(const struct bytes *b, OSSL_CORE_BIO *bio)
{
    return b->more_later || goes_on(bio);
}

int bytes_read(struct bytes *b, OSSL_CORE_BIO *bio, size_t max)
{
    size_t n = 1;

    unbuffer(bio);
    while (b->len < max && n > 0) {
        if (!reserve(b, max - b->len < 4096 ? max : b->len + 4096)) {
            return 0;
        }
        n = b->room - b->len < max - b->len ? b->room - b->len : max - b->len;
        n = read_some(b, bio, b->p + b->len, n);
        b->len += n;
    }
    return 1;
}

/* Whether |bio| ends in a file or in memory. BIO_C_GET_BUF_MEM_PTR would move
 * the text of one that can be written to, and with it the BIO's place. */
static int is_file_or_memory(OSSL_CORE_BIO *bio)
{
    void *file = NULL, *text = NULL;

    return prov.core.bio_ctrl(bio, BIO_C_GET_FILE_PTR, 0, &file) > 0 ||
           (prov.core.bio_ctrl(bio, BIO_CTRL_INFO, 0, &text) >= 0 &&
            text != NULL);
}

long bytes_place(OSSL_CORE_BIO *bio)
{
    return prov.core.bio_ctrl(bio, BIO_C_FILE_TELL, 0, NULL);
}

int bytes_go_to(OSSL_CORE_BIO *bio, long at)
{
    return prov.core.bio_ctrl(bio, BIO_C_FILE_SEEK, at, NULL) >= 0 &&
           bytes_place(bio) == at;
}

/*
 * A filter tells the place of what is below it, which it reads ahead of what is
 * asked for; and many a BIO says 0 to whatever it does not know, to going back
 * too. So a byte is read, the place looked at again, and gone back to.
 */
int bytes_read_first(struct bytes *b, OSSL_CORE_BIO *bio, long at)
{
    if (!bytes_read(b, bio, 1)) {
        return 0;
    }
    if (b->len == 0) {
        b->can_seek = 1;
    } else if (bytes_place(bio) == at + 1 && bytes_go_to(bio, at)) {
        b->can_seek = 1;
        b->len = 0;
    }
    b->by_line = !b->can_seek || !is_file_or_memory(bio);
    return 1;
}

int bytes_read_line(struct bytes *b, OSSL_CORE_BIO *bio)
{
    int tries = 0, n;

    if (!reserve(b, b->len + PEM_LINE_MAX + 1)) {
        return 0;
    }
    do {
        errno = 0;
        n = prov.core.bio_gets(bio, (char *)b->p + b->len, PEM_LINE_MAX + 1);
    } while (n <= 0 && interrupted(bio, &tries));
    b->more_later = n <= 0 && comes_later();
    b->len += n > 0 ? (size_t)n : 0;
    return 1;
}

static int read_exact(struct bytes *b, OSSL_CORE_BIO *bio, size_t len)
{
    size_t want = b->len + len, n = 1;

    while (b->len < want && n > 0) {
        n = read_some(b, bio, b->p + b->len, want - b->len);
        b->len += n;
    }
    return b->len == want;
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
    size_t more, len = 0;
    enum bytes_der is;

    unbuffer(bio);
    if (!reserve(b, 8)) {
        return DER_NO_MEMORY;
    }
    if (!read_exact(b, bio, 2) || b->p[0] != 0x30) {
        return b->more_later ? DER_CUT : DER_NONE;
    }
    if (!plain_length(b->p, &more)) {
        if (!bytes_read(b, bio, KEYLOAD_MAX + 1)) {
            return DER_NO_MEMORY;
        }
        return b->len <= KEYLOAD_MAX ? DER_ALL : DER_TOO_LARGE;
    }
    if (!read_exact(b, bio, more)) {
        return b->more_later ? DER_CUT : DER_NONE;
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
    if (!reserve(b, b->len + len)) {
        return DER_NO_MEMORY;
    }
    if (read_exact(b, bio, len)) {
        return is;
    }
    return bytes_break_off(b, bio) ? DER_CUT : DER_NONE;
}

enum bytes_der bytes_read_msblob(struct bytes *b, OSSL_CORE_BIO *bio, int form)
{
    size_t len;

    unbuffer(bio);
    if (!reserve(b, MSBLOB_HEAD)) {
        return DER_NO_MEMORY;
    }
    if (!read_exact(b, bio, MSBLOB_HEAD)) {
        return b->more_later ? DER_CUT : DER_NONE;
    }
    len = msblob_form(b->p) == form ? msblob_len(b->p) : 0;
    if (len < MSBLOB_HEAD) {
        return DER_NONE;
    }
    if (!reserve(b, len)) {
        return DER_NO_MEMORY;
    }
    if (read_exact(b, bio, len - MSBLOB_HEAD)) {
        return DER_ALL;
    }
    return bytes_break_off(b, bio) ? DER_CUT : DER_NONE;
}

void bytes_skip(OSSL_CORE_BIO *bio, size_t len)
{
    unsigned char unused[4096];
    struct bytes b = {0};
    size_t n = 1;

    while (len > 0 && n > 0) {
        n = len < sizeof(unused) ? len : sizeof(unused);
        n = read_some(&b, bio, unused, n);
        len -= n;
    }
    explicit_bzero(unused, sizeof(unused));
}

void bytes_free(struct bytes *b)
{
    give_back(b);
    b->p = NULL;
    b->len = b->room = 0;
}
