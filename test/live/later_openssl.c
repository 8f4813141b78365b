/*
 * later_openssl.c - preloaded, the libcrypto outside seems to have had an
 * update since the module was built.
 */
unsigned int OPENSSL_version_patch(void);

unsigned int OPENSSL_version_patch(void)
{
    return 1000;
}
