/*
 * der.c - what a DER object is, by its first bytes (X.690 8.1).
 *
 * libcrypto offers the readers everything that it decodes, certificates and
 * public keys above all. What cannot be a private key does not get as far as
 * the gate. Whether it is one is for the inside to say.
 */
#include "der.h"

#include <string.h>

enum {
    TAG_INTEGER = 0x02,
    TAG_OCTETS = 0x04,
    TAG_OID = 0x06,
    TAG_SEQUENCE = 0x30
};

struct cursor {
    const unsigned char *p;
    size_t len;
};

/*
 * Takes the header of the next object; |*inner| is its content, and |c| goes
 * on behind it. Returns its tag, or -1.
 */
static int take(struct cursor *c, struct cursor *inner)
{
    size_t more = 0, len, at = 2;
    int tag;

    if (c->len < 2) {
        return -1;
    }
    tag = c->p[0];
    len = c->p[1];
    if (len >= 0x80) {
        more = len & 0x7f;
        if (more == 0 || more > 4 || c->len - 2 < more) {
            return -1;
        }
        len = 0;
        for (size_t i = 0; i < more; i++) {
            len = len << 8 | c->p[at++];
        }
    }
    if (len > c->len - at) {
        return -1;
    }
    inner->p = c->p + at;
    inner->len = len;
    c->p += at + len;
    c->len -= at + len;
    return tag;
}

/* Versions of PKCS#8, PKCS#1, SEC 1 and of DSA's own format. */
static int is_version(const struct cursor *number)
{
    return number->len == 1 && number->p[0] <= 1;
}

int der_may_be_key(const unsigned char *der, size_t len)
{
    struct cursor c = {der, len}, body, first, second;
    int tag;

    if (take(&c, &body) != TAG_SEQUENCE) {
        return 0;
    }
    tag = take(&body, &first);
    if (tag == TAG_INTEGER && is_version(&first)) {
        tag = take(&body, &second);
        return tag == TAG_SEQUENCE || tag == TAG_INTEGER || tag == TAG_OCTETS;
    }
    /* Encrypted PKCS#8: an algorithm, and octets. */
    return tag == TAG_SEQUENCE && take(&first, &second) == TAG_OID &&
           take(&body, &second) == TAG_OCTETS && body.len == 0;
}
