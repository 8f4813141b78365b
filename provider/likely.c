/*
 * likely.c - of which type a private key probably is that nobody has read.
 *
 * A key that is refused is handed on as one of that type. With the right one
 * a server is told at its start: libssl compares a key with a certificate of
 * its type, and asks no more of one for which it has no certificate. Only what
 * is public is looked at, the label or the algorithm's identifier.
 */
#include "der.h"
#include "keyload.h"
#include "msblob.h"
#include "pem.h"
#include "prov.h"

#include <stdlib.h>
#include <string.h>

/* PKCS#8 as far as the identifier takes no more, nor 32 characters of base64.
 */
#define HEAD 24

/* The number that one arc of "1.2.840" takes in DER (X.690 8.19), compared with
 * what is at |*p|, which goes on behind it. */
static int arc_is(unsigned long arc, const unsigned char **p,
                  const unsigned char *end)
{
    unsigned long value = 0;

    while (*p < end) {
        unsigned char b = *(*p)++;

        value = value << 7 | (b & 0x7f);
        if (!(b & 0x80)) {
            return value == arc;
        }
    }
    return 0;
}

static int oid_is(const char *dotted, const unsigned char *oid, size_t len)
{
    const unsigned char *end = oid + len;
    char *at;
    unsigned long first = strtoul(dotted, &at, 10) * 40;
    int same =
        *at == '.' && arc_is(first + strtoul(at + 1, &at, 10), &oid, end);

    while (same && *at == '.') {
        same = arc_is(strtoul(at + 1, &at, 10), &oid, end);
    }
    return same && oid == end;
}

static int names_have(const char *names, const unsigned char *oid, size_t len)
{
    for (const char *at = names; at != NULL; at = strchr(at, ':')) {
        at += *at == ':';
        if (*at >= '0' && *at <= '9' && strchr(at, '.') != NULL &&
            oid_is(at, oid, len)) {
            return 1;
        }
    }
    return 0;
}

static enum key_type by_der(const unsigned char *der, size_t len)
{
    const unsigned char *oid;
    size_t oid_len = der_algorithm(der, len, &oid);

    for (int t = 0; oid_len != 0 && t < KEY_TYPES; t++) {
        if (names_have(mpkprov_types[t].names, oid, oid_len)) {
            return (enum key_type)t;
        }
    }
    return KEY_ANY;
}

static enum key_type by_pem(const char *text, size_t len)
{
    const char *nl = memchr(text, '\n', len), *label = text + strlen(PEM_BEGIN);
    const char *stop;
    unsigned char head[HEAD];
    enum key_type type;

    if (nl == NULL || label >= nl) {
        return KEY_ANY;
    }
    stop = memmem(label, (size_t)(nl - label), PEM_DASHES, strlen(PEM_DASHES));
    type = stop != NULL ? mpkprov_type_by_label(label, (size_t)(stop - label))
                        : KEY_ANY;
    if (type != KEY_ANY) {
        return type;
    }
    type = by_der(head, pem_decode(nl + 1, len - (size_t)(nl + 1 - text), head,
                                   sizeof(head)));
    explicit_bzero(head, sizeof(head)); /* of a short key the first bytes */
    return type;
}

enum key_type key_likely(const struct key_source *s)
{
    enum key_type type = KEY_ANY;

    if (s->data != NULL && s->len != 0) {
        switch (s->form) {
        case KEYLOAD_DER:
            type = by_der(s->data, s->len);
            break;
        case KEYLOAD_MSBLOB:
        case KEYLOAD_PVK:
            type = msblob_type(s->data, s->len);
            break;
        default:
            type = by_pem(s->data, s->len);
        }
    }
    return type != KEY_ANY ? type : KEY_RSA;
}
