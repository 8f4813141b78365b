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
    UNUSUAL = -1,
    TAG_INTEGER = 0x02,
    TAG_OCTETS = 0x04,
    TAG_OCTETS_IN_PARTS = 0x24,
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
static int next_object(struct cursor *c, struct cursor *inner)
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
        if (more == 0 || c->len - 2 < more) {
            return UNUSUAL;
        }
        len = 0;
        for (size_t i = 0; i < more; i++) {
            if (len >> 24 != 0) {
                return UNUSUAL;
            }
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
    int tag = next_object(&c, &body);

    if (tag != TAG_SEQUENCE) {
        return tag == UNUSUAL;
    }
    tag = next_object(&body, &first);
    if (tag == TAG_INTEGER) {
        /* A version, and what follows it in PKCS#8, PKCS#1, DSA's, SEC 1. */
        tag = next_object(&body, &second);
        return tag == TAG_SEQUENCE || tag == TAG_INTEGER || tag == TAG_OCTETS ||
               tag == UNUSUAL;
    }
    /* Encrypted PKCS#8: an algorithm, and octets. */
    if (tag == TAG_SEQUENCE) {
        tag = next_object(&body, &second);
        return tag == TAG_OCTETS || tag == UNUSUAL;
    }
    return tag == UNUSUAL;
}

/* The same of an object without a length too, whose end is not there. */
static int begin(struct cursor *c, struct cursor *inner)
{
    int tag = c->len >= 2 && c->p[1] == 0x80 ? c->p[0] : UNUSUAL;

    if (tag == UNUSUAL) {
        return next_object(c, inner);
    }
    *inner = (struct cursor){c->p + 2, c->len - 2, 1};
    *c = (struct cursor){c->p + c->len, 0, 1};
    return tag;
}

static int is_octets(int tag)
{
    return tag == TAG_OCTETS || tag == TAG_OCTETS_IN_PARTS;
}

static int oid_begins(const struct cursor *oid, const void *with, size_t len)
{
    return oid->len >= len && memcmp(oid->p, with, len) == 0;
}

/*
 * Whether |alg| is an algorithm, with whose parameters the first bytes end.
 * What PKCS#12 and the parameters of a curve have in its place is none:
 * contents of PKCS#7 (1.2.840.113549.1.7), the type of a field
 * (1.2.840.10045.1).
 */
static int is_large_algorithm(struct cursor alg)
{
    struct cursor oid;

    return alg.cut && next_object(&alg, &oid) == TAG_OID &&
           !oid_begins(&oid, "\x2a\x86\x48\x86\xf7\x0d\x01\x07", 8) &&
           !oid_begins(&oid, "\x2a\x86\x48\xce\x3d\x01", 6);
}

int der_begins_key(const unsigned char *der, size_t len)
{
    struct cursor c = {der, len, 1}, body, first, second, third;
    int tag;

    if (begin(&c, &body) != TAG_SEQUENCE) {
        return 0;
    }
    tag = begin(&body, &first);
    if (tag == TAG_INTEGER) {
        tag = begin(&body, &second);
        return tag == TAG_INTEGER || is_octets(tag) ||
               (tag == TAG_SEQUENCE && (is_octets(begin(&body, &third)) ||
                                        is_large_algorithm(second)));
    }
    return tag == TAG_SEQUENCE &&
           (is_octets(begin(&body, &second)) || is_large_algorithm(first));
}

int der_is_pkcs8(const unsigned char *der, size_t len)
{
    struct cursor c = {der, len, 0}, body, version, alg, oid, key;

    return next_object(&c, &body) == TAG_SEQUENCE &&
           next_object(&body, &version) == TAG_INTEGER &&
           next_object(&body, &alg) == TAG_SEQUENCE &&
           next_object(&alg, &oid) == TAG_OID &&
           next_object(&body, &key) == TAG_OCTETS;
}

size_t der_algorithm(const unsigned char *der, size_t len,
                     const unsigned char **oid)
{
    struct cursor c = {der, len, 1}, body, version, alg, id;

    if (next_object(&c, &body) != TAG_SEQUENCE ||
        next_object(&body, &version) != TAG_INTEGER ||
        next_object(&body, &alg) != TAG_SEQUENCE ||
        next_object(&alg, &id) != TAG_OID || id.cut) {
        return 0;
    }
    *oid = id.p;
    return id.len;
}
