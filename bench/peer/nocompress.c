/*
 * nocompress.c - the peer's libssl does without compression libraries.
 *
 * What provider/nocompress.c is for libcrypto: from OpenSSL 3.2 on libssl names
 * functions to compress certificates, and their objects in libcrypto.a want
 * zlib, brotli and zstd. No benchmark compresses.
 */
#include <openssl/bio.h>
#include <openssl/comp.h>

/* Not declared by every OpenSSL. */
COMP_METHOD *COMP_zlib_oneshot(void);
COMP_METHOD *COMP_brotli(void);
COMP_METHOD *COMP_brotli_oneshot(void);
COMP_METHOD *COMP_zstd(void);
COMP_METHOD *COMP_zstd_oneshot(void);
const BIO_METHOD *BIO_f_brotli(void);
const BIO_METHOD *BIO_f_zstd(void);

COMP_METHOD *COMP_zlib_oneshot(void)
{
    return NULL;
}

COMP_METHOD *COMP_brotli(void)
{
    return NULL;
}

COMP_METHOD *COMP_brotli_oneshot(void)
{
    return NULL;
}

COMP_METHOD *COMP_zstd(void)
{
    return NULL;
}

COMP_METHOD *COMP_zstd_oneshot(void)
{
    return NULL;
}

const BIO_METHOD *BIO_f_brotli(void)
{
    return NULL;
}

const BIO_METHOD *BIO_f_zstd(void)
{
    return NULL;
}
