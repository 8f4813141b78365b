/* msblob.c - the headers of private keys in Microsoft's forms. */
#include "msblob.h"
#include "keyload.h"

#include <stdint.h>
#include <string.h>

#define BLOB_HEAD 16 /* of a blob: its header, a magic number and the bits */
#define LARGEST_BLOB ((size_t)100 << 10)
#define LARGEST_SALT ((size_t)10 << 10)

#define ALG_DSS_SIGN 0x2200

static uint32_t word(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
           (uint32_t)p[3] << 24;
}

static int is_dss(const unsigned char *blob)
{
    return memcmp(blob + 8, "DSS2", 4) == 0;
}

static int is_pvk(const unsigned char *head)
{
    return word(head) == 0xb0b5f11e;
}

/* Of an encrypted key this is where the key for it is made from. */
static size_t salt_len(const unsigned char *head)
{
    return word(head + 16);
}

static int is_encrypted(const unsigned char *head)
{
    return word(head + 12) != 0 || salt_len(head) != 0;
}

int msblob_form(const unsigned char head[MSBLOB_HEAD])
{
    if (is_pvk(head)) {
        return KEYLOAD_PVK;
    }
    /* PRIVATEKEYBLOB, version 2. */
    return head[0] == 7 && head[1] == 2 &&
                   (is_dss(head) || memcmp(head + 8, "RSA2", 4) == 0)
               ? KEYLOAD_MSBLOB
               : KEYLOAD_DER;
}

/* RSA: e of four bytes, n and d, and five numbers of half their length. DSS: p
 * and g, q and x of 20 bytes, and a seed and its counter of 24. */
static size_t numbers_len(const unsigned char *blob)
{
    size_t bits = word(blob + 12), len = (bits + 7) / 8;

    return is_dss(blob) ? 2 * len + 64 : 4 + 2 * len + 5 * ((bits + 15) / 16);
}

size_t msblob_len(const unsigned char head[MSBLOB_HEAD])
{
    size_t body;

    if (!is_pvk(head)) {
        body = numbers_len(head);
        return body <= LARGEST_BLOB ? BLOB_HEAD + body : 0;
    }
    body = word(head + 20);
    return body <= LARGEST_BLOB && salt_len(head) <= LARGEST_SALT
               ? MSBLOB_HEAD + salt_len(head) + body
               : 0;
}

const unsigned char *msblob_body(const unsigned char *p, size_t len)
{
    if (len < MSBLOB_HEAD) {
        return NULL;
    }
    if (!is_pvk(p)) {
        return p;
    }
    return is_encrypted(p) ? NULL : p + MSBLOB_HEAD;
}

int msblob_may_be(const unsigned char *p, size_t len, enum key_type type)
{
    const unsigned char *blob = msblob_body(p, len);

    if (blob != NULL && len - (size_t)(blob - p) >= BLOB_HEAD) {
        return type == (is_dss(blob) ? KEY_DSA : KEY_RSA);
    }
    return blob == NULL;
}

size_t msblob_bits(const unsigned char *p, size_t len)
{
    const unsigned char *blob = msblob_body(p, len);

    return blob != NULL && len - (size_t)(blob - p) >= BLOB_HEAD
               ? word(blob + 12)
               : 0;
}

/* The header of the blob, the algorithm in it, is never encrypted. */
enum key_type msblob_type(const unsigned char *p, size_t len)
{
    size_t at = 0;

    if (len >= MSBLOB_HEAD && is_pvk(p)) {
        at = MSBLOB_HEAD + salt_len(p);
    }
    return at + 8 <= len && word(p + at + 4) == ALG_DSS_SIGN ? KEY_DSA
                                                             : KEY_RSA;
}
