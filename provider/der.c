/*
 * der.c - what a DER object is, by its first bytes (X.690 8.1).
 *
 * libcrypto offers the readers everything that it decodes, certificates and
 * public keys above all. What cannot be a private key does not get as far as
 * the gate. Whether it is one is for the inside to say.
 */
#include "der.h"

enum {
    UNUSUAL = -1,
    TAG_INTEGER = 0x02,
    TAG_OCTETS = 0x04,
    TAG_OID = 0x06,
    TAG_SEQUENCE = 0x30
};

struct cursor {
    const unsigned char *p;
    size_t len;
    int cut; /* what follows is not there */
};

/*
 * Takes the header of the next object; |*inner| is its content, and |c| goes
 * on behind it. Returns its tag, or UNUSUAL when that takes a real BER reader
 * to say.
 */
static int take(struct cursor *c, struct cursor *inner)
{
    size_t more = 0, len, at = 2;
    int tag;

    if (c->len < 2) {
        return UNUSUAL;
    }
    tag = c->p[0];
    len = c->p[1];
    if (len >= 0x80) {
        more = len & 0x7f;
        if (more == 0 || more > 4 || c->len - 2 < more) {
            return UNUSUAL;
        }
        len = 0;
        for (size_t i = 0; i < more; i++) {
            len = len << 8 | c->p[at++];
        }
    }
    inner->cut = len > c->len - at;
    if (inner->cut && !c->cut) {
        return UNUSUAL;
    }
    if (inner->cut) {
        len = c->len - at;
    }
    inner->p = c->p + at;
    inner->len = len;
    c->p += at + len;
    c->len -= at + len;
    return tag;
}

int der_may_be_key(const unsigned char *der, size_t len)
{
    struct cursor c = {der, len, 0}, body, first, second;
    int tag = take(&c, &body);

    if (tag != TAG_SEQUENCE) {
        return tag == UNUSUAL;
    }
    tag = take(&body, &first);
    if (tag == TAG_INTEGER) {
        /* A version, and what follows it in PKCS#8, PKCS#1, DSA's, SEC 1. */
        tag = take(&body, &second);
        return tag == TAG_SEQUENCE || tag == TAG_INTEGER || tag == TAG_OCTETS ||
               tag == UNUSUAL;
    }
    /* Encrypted PKCS#8: an algorithm, and octets. */
    if (tag == TAG_SEQUENCE) {
        tag = take(&body, &second);
        return tag == TAG_OCTETS || tag == UNUSUAL;
    }
    return tag == UNUSUAL;
}

int der_begins_key(const unsigned char *der, size_t len)
{
    /* Of an object without a length, what is in it. */
    size_t skip = len >= 2 && der[1] == 0x80 ? 2 : 0;
    struct cursor c = {der + skip, len - skip, 1}, body = c, first, second,
                  third;
    int tag;

    if (skip == 0 && take(&c, &body) != TAG_SEQUENCE) {
        return 0;
    }
    tag = take(&body, &first);
    if (tag == TAG_INTEGER) {
        tag = take(&body, &second);
        return tag == TAG_INTEGER || tag == TAG_OCTETS ||
               (tag == TAG_SEQUENCE && take(&body, &third) == TAG_OCTETS);
    }
    return tag == TAG_SEQUENCE && take(&body, &second) == TAG_OCTETS;
}

int der_is_pkcs8(const unsigned char *der, size_t len)
{
    struct cursor c = {der, len, 0}, body, version, alg, oid, key;

    return take(&c, &body) == TAG_SEQUENCE &&
           take(&body, &version) == TAG_INTEGER &&
           take(&body, &alg) == TAG_SEQUENCE && take(&alg, &oid) == TAG_OID &&
           take(&body, &key) == TAG_OCTETS;
}

size_t der_algorithm(const unsigned char *der, size_t len,
                     const unsigned char **oid)
{
    struct cursor c = {der, len, 1}, body, version, alg, id;

    if (take(&c, &body) != TAG_SEQUENCE ||
        take(&body, &version) != TAG_INTEGER ||
        take(&body, &alg) != TAG_SEQUENCE || take(&alg, &id) != TAG_OID ||
        id.cut) {
        return 0;
    }
    *oid = id.p;
    return id.len;
}
