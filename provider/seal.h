/*
 * seal.h - private keys in a file that is read on for its certificates.
 *
 * A key's PEM block is sealed when its base64 digits are enciphered under a key
 * of the domain, and the last word of its labels is MPK in place of KEY.
 * Everything else stays where it is, to the byte. libcrypto passes by such a
 * block as by any other that it does not know; ours is opened inside. See
 * docs/design/loading.md.
 */
#ifndef MPKPROV_SEAL_H
#define MPKPROV_SEAL_H

#include "ops.h"

#include <stddef.h>

/*
 * Whether the |len| bytes at |label|, of a PEM block, say that it is sealed.
 * Then |plain|, which has SEAL_LABEL_MAX bytes, is the label without that.
 */
#define SEAL_LABEL_MAX 64
int seal_is_label(const char *label, size_t len, char *plain);

/*
 * Inside: opens the block at |p|, in place. Returns SEAL_NONE when it is not
 * sealed, and SEAL_FAILED, with an error in |f|, when it cannot be.
 */
enum seal_opened { SEAL_NONE, SEAL_OPENED, SEAL_FAILED };
enum seal_opened seal_open(struct mpkprov_frame *f, unsigned char *p,
                           size_t len);

/*
 * Outside: of the file that |bio| reads from, and closes, seals all private
 * keys, if there is anything else in it: from here on |bio| has another stream
 * with that text, at the same place. What cannot be sealed stays as it is.
 */
void seal_file(OSSL_CORE_BIO *bio);

#endif
