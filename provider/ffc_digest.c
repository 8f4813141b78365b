/*
 * ffc_digest.c - inside: the digest of parameters of DSA and DH.
 *
 * The inner OpenSSL keeps the pointer that it is given for a name, though what
 * is there is the caller's (OSSL_PARAM) or freed with a generation. The name
 * can be asked for, so whatever came to lie there would be given out, up to a
 * zero byte: parts of private keys. So what it keeps is one of these, or none,
 * which is an error where it looks (the linker's --wrap; ffc_test).
 */
#include <stddef.h>
#include <strings.h>

struct ffc_params_st;
typedef int set_digest_fn(struct ffc_params_st *params, const char *name,
                          const char *properties);

extern set_digest_fn __real_ossl_ffc_set_digest
    __attribute__((visibility("hidden")));
set_digest_fn __wrap_ossl_ffc_set_digest;

/* Those of FIPS 186-4 and of SHA-3, by all their names. */
static const char *const names[] = {
    "SHA1",        "SHA-1",        "SSL3-SHA1",   "1.3.14.3.2.26", "SHA224",
    "SHA-224",     "SHA2-224",     "SHA256",      "SHA-256",       "SHA2-256",
    "SHA384",      "SHA-384",      "SHA2-384",    "SHA512",        "SHA-512",
    "SHA2-512",    "SHA512-224",   "SHA-512/224", "SHA2-512/224",  "SHA512-256",
    "SHA-512/256", "SHA2-512/256", "SHA3-224",    "SHA3-256",      "SHA3-384",
    "SHA3-512"};

static const char *known(const char *name)
{
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcasecmp(names[i], name) == 0) {
            return names[i];
        }
    }
    return NULL;
}

/* Inside there is one provider, so properties choose nothing. */
int __wrap_ossl_ffc_set_digest(struct ffc_params_st *params, const char *name,
                               const char *properties)
{
    const char *kept = name != NULL ? known(name) : NULL;

    (void)properties;
    return (name == NULL || kept != NULL) &&
           __real_ossl_ffc_set_digest(params, kept, NULL);
}
