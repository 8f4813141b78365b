#include "types.h"

#include <string.h>
#include <strings.h>

/* Answered for every type. */
#define COMMON                                                                 \
    "bits", "security-bits", "max-size", "default-digest", "mandatory-digest"

static const char *const rsa_public[] = {COMMON,
                                         "n",
                                         "e",
                                         "digest",
                                         "mgf",
                                         "mgf1-digest",
                                         "saltlen",
                                         "digest-props",
                                         "mgf1-properties",
                                         NULL};

static const char *const ec_public[] = {COMMON,
                                        "group",
                                        "curve-name",
                                        "encoding",
                                        "point-format",
                                        "field-type",
                                        "p",
                                        "a",
                                        "b",
                                        "generator",
                                        "order",
                                        "cofactor",
                                        "seed",
                                        "pub",
                                        "qx",
                                        "qy",
                                        "encoded-pub-key",
                                        "decoded-from-explicit",
                                        "use-cofactor-flag",
                                        "include-public",
                                        "char2-field",
                                        "basis-type",
                                        "tp",
                                        "m",
                                        "k1",
                                        "k2",
                                        "k3",
                                        NULL};

static const char *const ecx_public[] = {COMMON, "pub", "encoded-pub-key",
                                         "group", NULL};

static const char *const ffc_public[] = {
    COMMON,        "group",      "p",
    "q",           "g",          "j",
    "seed",        "gindex",     "pcounter",
    "hindex",      "pub",        "encoded-pub-key",
    "validate-pq", "validate-g", "validate-legacy",
    "type",        "digest",     "properties",
    "priv_len",    NULL};

/* The order is that of enum ctx_class: SIG, ENC, KEX, KEM. */
#define OUT_RSA                                                                \
    {                                                                          \
        MPKPROV_NAME_SIG, MPKPROV_NAME_ENC, NULL, MPKPROV_NAME_KEM             \
    }

const struct key_type_info mpkprov_types[KEY_TYPES] = {
    [KEY_RSA] = {"RSA:rsaEncryption:1.2.840.113549.1.1.1",
                 "RSA",
                 "RSA PRIVATE KEY",
                 "protected RSA key",
                 {"RSA", "RSA", NULL, "RSA"},
                 OUT_RSA,
                 rsa_public},
    [KEY_RSA_PSS] = {"RSA-PSS:RSASSA-PSS:1.2.840.113549.1.1.10",
                     "RSA-PSS",
                     NULL,
                     "protected RSA-PSS key",
                     {"RSA", "RSA", NULL, NULL},
                     {MPKPROV_NAME_SIG, NULL, NULL, NULL},
                     rsa_public},
    [KEY_EC] = {"EC:id-ecPublicKey:1.2.840.10045.2.1",
                "EC",
                "EC PRIVATE KEY",
                "protected EC key",
                {"ECDSA", NULL, "ECDH", NULL},
                {MPKPROV_NAME_SIG, NULL, MPKPROV_NAME_KEX, NULL},
                ec_public},
    [KEY_ED25519] = {"ED25519:1.3.101.112",
                     "ED25519",
                     NULL,
                     "protected Ed25519 key",
                     {"ED25519", NULL, NULL, NULL},
                     {MPKPROV_NAME_EDDSA, NULL, NULL, NULL},
                     ecx_public},
    [KEY_ED448] = {"ED448:1.3.101.113",
                   "ED448",
                   NULL,
                   "protected Ed448 key",
                   {"ED448", NULL, NULL, NULL},
                   {MPKPROV_NAME_EDDSA, NULL, NULL, NULL},
                   ecx_public},
    [KEY_X25519] = {"X25519:1.3.101.110",
                    "X25519",
                    NULL,
                    "protected X25519 key",
                    {NULL, NULL, "X25519", NULL},
                    {NULL, NULL, MPKPROV_NAME_XDH, NULL},
                    ecx_public},
    [KEY_X448] = {"X448:1.3.101.111",
                  "X448",
                  NULL,
                  "protected X448 key",
                  {NULL, NULL, "X448", NULL},
                  {NULL, NULL, MPKPROV_NAME_XDH, NULL},
                  ecx_public},
    [KEY_DH] = {"DH:dhKeyAgreement:1.2.840.113549.1.3.1",
                "DH",
                NULL,
                "protected DH key",
                {NULL, NULL, "DH", NULL},
                {NULL, NULL, MPKPROV_NAME_KEX, NULL},
                ffc_public},
    [KEY_DHX] = {"DHX:X9.42 DH:dhpublicnumber:1.2.840.10046.2.1",
                 "DHX",
                 NULL,
                 "protected X9.42 DH key",
                 {NULL, NULL, "DH", NULL},
                 {NULL, NULL, MPKPROV_NAME_KEX, NULL},
                 ffc_public},
    [KEY_DSA] = {"DSA:dsaEncryption:1.2.840.10040.4.1",
                 "DSA",
                 "DSA PRIVATE KEY",
                 "protected DSA key",
                 {"DSA", NULL, NULL, NULL},
                 {MPKPROV_NAME_SIG, NULL, NULL, NULL},
                 ffc_public},
};

int mpkprov_name_is(const char *names, const char *name)
{
    size_t len = strlen(name);

    while (names != NULL) {
        const char *end = strchr(names, ':');
        size_t n = end != NULL ? (size_t)(end - names) : strlen(names);

        if (n == len && strncasecmp(names, name, len) == 0) {
            return 1;
        }
        names = end != NULL ? end + 1 : NULL;
    }
    return 0;
}

enum key_type mpkprov_type_by_name(const char *name)
{
    for (int i = 0; i < KEY_TYPES; i++) {
        if (mpkprov_name_is(mpkprov_types[i].names, name)) {
            return (enum key_type)i;
        }
    }
    return KEY_ANY;
}
