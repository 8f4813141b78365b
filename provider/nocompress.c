/*
 * nocompress.c - the inner OpenSSL does without compression libraries.
 *
 * From Debian 13 on libcrypto can compress with zlib, brotli and zstd. Nothing
 * inside asks for that, but start and clean-up, CMS and the list of methods
 * name functions whose objects in libcrypto.a want those libraries. The module
 * would then load them, with code and data outside the domain. With these
 * functions the linker leaves the objects where they are; the answers are
 * those of an OpenSSL that was built without compression.
 */
#include <openssl/bio.h>
#include <openssl/comp.h>

const BIO_METHOD *BIO_f_zlib(void); /* not declared by every OpenSSL */
void ossl_comp_zlib_cleanup(void);
void ossl_comp_brotli_cleanup(void);
void ossl_comp_zstd_cleanup(void);

COMP_METHOD *COMP_zlib(void)
{
    return NULL;
}

const BIO_METHOD *BIO_f_zlib(void)
{
    return NULL;
}

void ossl_comp_zlib_cleanup(void)
{
}

void ossl_comp_brotli_cleanup(void)
{
}

void ossl_comp_zstd_cleanup(void)
{
}
