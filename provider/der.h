/* der.h - telling by its first bytes what a DER object can be. */
#ifndef MPKPROV_DER_H
#define MPKPROV_DER_H

#include <stddef.h>

/* Whether the |len| bytes at |der| may be a private key: PKCS#8, encrypted or
 * not, PKCS#1, SEC 1, or DSA's own format. 0 for certificates, public keys and
 * parameters. */
int der_may_be_key(const unsigned char *der, size_t len);

/* Whether it is PKCS#8 as far as all its versions have it in common: a version,
 * an algorithm, octets. */
int der_is_pkcs8(const unsigned char *der, size_t len);

/* The algorithm's identifier in PKCS#8, of which there may be no more than the
 * first |len| bytes: its length, and |*oid| is set to it. 0 if it is not that.
 */
size_t der_algorithm(const unsigned char *der, size_t len,
                     const unsigned char **oid);

/* The same as der_may_be_key of the first |len| bytes of a larger one. It has
 * to look more like one: PKCS#12 begins almost as PKCS#8 does, and may be
 * large. */
int der_begins_key(const unsigned char *der, size_t len);

#endif
