/*
 * msblob.h - private keys as Microsoft's tools write them.
 *
 * MSBLOB is the PRIVATEKEYBLOB of CryptoAPI (Microsoft's "RSA/Schannel Key
 * BLOBs" and "DSS Key BLOBs"), PVK the same behind a header of its own, and
 * perhaps encrypted. All numbers are little-endian. Headers are taken as
 * libcrypto takes them, which looks at some fields only: what is passed by
 * here, it loads. For both sides.
 */
#ifndef MPKPROV_MSBLOB_H
#define MPKPROV_MSBLOB_H

#include "types.h"

#include <stddef.h>

/* So many bytes tell what it is; every key has more. */
#define MSBLOB_HEAD 24

/* msblob_form returns which form of a private key begins with |head|,
 * KEYLOAD_MSBLOB or KEYLOAD_PVK; or KEYLOAD_DER if it is neither. */
int msblob_form(const unsigned char head[MSBLOB_HEAD]);

/* msblob_len returns how many bytes a key that begins so has in all, or 0 if it
 * is larger than libcrypto takes. */
size_t msblob_len(const unsigned char head[MSBLOB_HEAD]);

/* msblob_body returns the blob in the |len| bytes of a key at |p|, which goes
 * up to their end; or NULL if it is encrypted, or there is none. */
const unsigned char *msblob_body(const unsigned char *p, size_t len);

/*
 * msblob_type returns the type that a key of |len| bytes at |p| says it has.
 * msblob_may_be tells whether it may be of |type|, by what libcrypto goes by:
 * of one that is encrypted it does not know before.
 */
enum key_type msblob_type(const unsigned char *p, size_t len);
int msblob_may_be(const unsigned char *p, size_t len, enum key_type type);

/* msblob_bits returns how many bits it says that its longest numbers have; 0 if
 * it is encrypted, or has no header. */
size_t msblob_bits(const unsigned char *p, size_t len);

#endif
