/* entries_params.c - parameters of entries: right, nearly so, or not at all. */
#include "entries.h"

#include <openssl/params.h>

#include <string.h>

#define LONGEST 70 /* more than an entry takes */

static const char *const names[] = {"digest",
                                    "properties",
                                    "mgf1-digest",
                                    "mgf1-properties",
                                    "pad-mode",
                                    "saltlen",
                                    "rsa-derive-from-pq",
                                    "implicit-rejection",
                                    "group",
                                    "encoding",
                                    "point-format",
                                    "include-public",
                                    "use-cofactor-flag",
                                    "operation",
                                    "ikme",
                                    "dhkem-ikm",
                                    "pad",
                                    "kdf-type",
                                    "kdf-digest",
                                    "kdf-digest-props",
                                    "kdf-outlen",
                                    "kdf-ukm",
                                    "cekalg",
                                    "encoded-pub-key",
                                    "pub",
                                    "priv",
                                    "qx",
                                    "qy",
                                    "bits",
                                    "primes",
                                    "max-size",
                                    "security-bits",
                                    "default-digest",
                                    "mandatory-digest",
                                    "algorithm-id",
                                    "tls-client-version",
                                    "tls-negotiated-version",
                                    "oaep-label",
                                    "ivlen",
                                    "keylen",
                                    "taglen",
                                    "tag",
                                    "tlsaad",
                                    "tlsaadpad",
                                    "tlsivfixed",
                                    "tlsivgen",
                                    "tlsivinv",
                                    "iv",
                                    "updated-iv",
                                    "mode",
                                    "aead",
                                    "distid",
                                    "context-string",
                                    "instance",
                                    "nonce-type",
                                    "size",
                                    "xoflen",
                                    "micalg",
                                    "n",
                                    "e",
                                    "d",
                                    "rsa-factor1",
                                    "rsa-factor2",
                                    "rsa-exponent1",
                                    "rsa-coefficient1",
                                    "p",
                                    "q",
                                    "g",
                                    "j",
                                    "gindex",
                                    "pcounter",
                                    "hindex",
                                    "seed",
                                    "pbits",
                                    "qbits",
                                    "type",
                                    "safeprime-generator",
                                    "priv_len",
                                    "validate-pq",
                                    "validate-g",
                                    "validate-legacy",
                                    "field-type",
                                    "a",
                                    "b",
                                    "generator",
                                    "order",
                                    "cofactor",
                                    "basis-type",
                                    "m",
                                    "tp",
                                    "decoded-from-explicit",
                                    "engine",
                                    "kat",
                                    "cts",
                                    "custom-iv",
                                    "mac-key",
                                    "test-entropy",
                                    "deterministic",
                                    "message-encoding",
                                    "mu",
                                    "add-random",
                                    "ml-dsa.retain_seed",
                                    "ml-kem.prefer_seed"};

static const char *const texts[] = {"SHA256",
                                    "SHA1",
                                    "SHA384",
                                    "SHA512",
                                    "MD5",
                                    "SHAKE256",
                                    "MD5-SHA1",
                                    "SHA3-256",
                                    "BLAKE2B-512",
                                    "SM3",
                                    "oaep",
                                    "none",
                                    "pkcs1",
                                    "x931",
                                    "pss",
                                    "digest",
                                    "max",
                                    "auto",
                                    "auto-digestmax",
                                    "RSASVE",
                                    "X963KDF",
                                    "X942KDF-ASN1",
                                    "AES-128-WRAP",
                                    "P-256",
                                    "P-384",
                                    "P-521",
                                    "secp256k1",
                                    "prime239v1",
                                    "secp112r2",
                                    "sect163k1",
                                    "SM2",
                                    "ffdhe2048",
                                    "modp_2048",
                                    "dh_2048_256",
                                    "named_curve",
                                    "explicit",
                                    "compressed",
                                    "hybrid",
                                    "uncompressed",
                                    "prime-field",
                                    "fips186_4",
                                    "fips186_2",
                                    "generator",
                                    "group",
                                    "default",
                                    "named",
                                    "named-nist",
                                    "AES-256-GCM",
                                    ""};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Keys of these many bits are made in a moment. */
static uint64_t a_number(void)
{
    switch (pick(6)) {
    case 0:
        return pick(16);
    case 1:
        return 64 * pick(17);
    case 2:
        return 0x301 + pick(5);
    case 3:
        return pick(256) | 1;
    case 4:
        return (uint64_t)0 - pick(6);
    default:
        return one_in(4) ? 1ULL << (pick(2) * 32 + pick(10)) : 512;
    }
}

static void a_text(OSSL_PARAM *p, int i)
{
    const char *text = texts[pick(COUNT(texts))];
    size_t len = strlen(text), nul = one_in(4) ? 0 : 1;
    char *at = room(ROOM_VALUES + i, len + nul);

    memcpy(at, text, len + nul);
    p->data = at;
    p->data_size = len;
}

static void an_integer(OSSL_PARAM *p, int i)
{
    static const uint8_t sizes[] = {4, 8, 4, 8, 1, 2, 16, 33};
    size_t len = sizes[pick(COUNT(sizes))];
    uint64_t number = a_number();
    unsigned char *at = room(ROOM_VALUES + i, len);

    memset(at, one_in(8) ? 0xff : 0, len);
    memcpy(at, &number, len < 8 ? len : 8);
    p->data = at;
    p->data_size = len;
}

/* What was given, a point or a number of that many bytes. */
static void bytes(OSSL_PARAM *p, int i)
{
    size_t len = a_length(), have;
    const unsigned char *from = given(&have);
    unsigned char *at;

    if (one_in(3)) {
        len = have;
    }
    at = room(ROOM_VALUES + i, len);
    if (len != 0) {
        memset(at, (int)pick(256), len < ROOM ? len : ROOM);
        memcpy(at, from, have < len ? have : len);
        at[0] = one_in(3) ? (unsigned char)pick(256) : at[0];
    }
    p->data = at;
    p->data_size = len;
}

/* Numbers that are 0, mostly: what is made of these where they do not fit? */
static const char *const zeros[] = {"use-cofactor-flag",
                                    "decoded-from-explicit",
                                    "tlsaadpad",
                                    "include-public",
                                    "cts",
                                    "pad",
                                    "tls-negotiated-version",
                                    "bits"};

static OSSL_PARAM a_zero(int i)
{
    size_t len = pick(6);

    return (OSSL_PARAM){zeros[pick(COUNT(zeros))], OSSL_PARAM_INTEGER + pick(2),
                        room(ROOM_VALUES + i, len), len, 0};
}

static OSSL_PARAM a_param(int i)
{
    OSSL_PARAM p = {names[pick(COUNT(names))], 0, NULL, 0, pick(2)};
    void **reference;

    if (one_in(16)) {
        return a_zero(i);
    }

    p.data_type = one_in(40) ? pick(256) : 1 + pick(7);
    switch (p.data_type) {
    case OSSL_PARAM_INTEGER:
    case OSSL_PARAM_UNSIGNED_INTEGER:
    case OSSL_PARAM_REAL:
        an_integer(&p, i);
        break;
    case OSSL_PARAM_UTF8_STRING:
        a_text(&p, i);
        break;
    case OSSL_PARAM_UTF8_PTR:
    case OSSL_PARAM_OCTET_PTR:
        reference = room(ROOM_VALUES + i, sizeof(*reference));
        *reference = one_in(4) ? bad_pointer(8) : room(ROOM_IN, 64);
        p.data = reference;
        p.data_size = a_length();
        break;
    default:
        bytes(&p, i);
    }
    return p;
}

static const char *a_bad_name(void)
{
    char *name;

    switch (pick(4)) {
    case 0: /* without an end, as far as it is looked at */
        name = room(ROOM_NAMES, 64);
        memset(name, 'n', 64);
        return name;
    case 1:
        return bad_pointer(1);
    case 2:
        return "";
    default:
        name = room(ROOM_NAMES, 64);
        memset(name, 'n', 63);
        name[63] = '\0';
        return name;
    }
}

static void spoil_param(OSSL_PARAM *p)
{
    switch (pick(6)) {
    case 0:
        p->data = NULL;
        break;
    case 1:
        p->data_size = 0;
        break;
    case 3:
        p->data = bad_pointer(p->data_size);
        break;
    case 4:
        p->data_size = bad_length();
        break;
    case 5:
        p->key = a_bad_name();
        p->key = p->key != NULL ? p->key : "";
        break;
    default: /* a value that is nowhere aligned, one byte short */
        if (is_in_room(p->data) && p->data_size > 1 && p->data_size <= ROOM) {
            p->data = (char *)p->data + 1;
            p->data_size--;
        }
    }
}

/* Numbers of a key, one of them spoiled perhaps. */
const OSSL_PARAM *a_key_list(void)
{
    const OSSL_PARAM *numbers = a_key_data();
    OSSL_PARAM *list;
    size_t n = 0;

    while (numbers[n].key != NULL) {
        n++;
    }
    list = room(ROOM_PARAMS, (n + 1) * sizeof(*list));
    memcpy(list, numbers, (n + 1) * sizeof(*list));
    if (one_in(2)) {
        size_t i = pick((uint32_t)n);
        const char *name = list[i].key;

        if (one_in(2)) {
            list[i] = a_param(0);
            list[i].key = name;
        } else if (one_in(3) &&
                   list[i].data_type == OSSL_PARAM_UNSIGNED_INTEGER) {
            /* From OpenSSL 3.5 on it may be negative. */
            list[i].data_type = OSSL_PARAM_INTEGER;
        } else {
            spoil_param(&list[i]);
        }
    }
    return list;
}

const OSSL_PARAM *a_list(void)
{
    size_t n = one_in(60) ? LONGEST - pick(8) : pick(one_in(3) ? VALUES : 3);
    OSSL_PARAM *list;

    if (one_in(8)) {
        return one_in(2) ? bad_pointer(sizeof(*list)) : NULL;
    }
    if (one_in(8)) {
        list = room(ROOM_PARAMS, 2 * sizeof(*list));
        list[0] = a_zero(0);
        list[1] = (OSSL_PARAM)OSSL_PARAM_END;
        return list;
    }
    list = room(ROOM_PARAMS, (n + 1) * sizeof(*list));
    for (size_t i = 0; i < n; i++) {
        if (i < VALUES) {
            list[i] = a_param((int)i);
        } else {
            list[i] = list[i % VALUES];
        }
        if (one_in(16)) {
            spoil_param(&list[i]);
        }
        if (i > 0 && one_in(16)) {
            list[i].key = list[0].key;
        }
    }
    list[n] = (OSSL_PARAM)OSSL_PARAM_END;
    return list;
}
