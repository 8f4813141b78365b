#include "types.h"

#include <string.h>
#include <strings.h>

/* Answered for every type. */
#define COMMON                                                                 \
    "bits", "security-bits", "security-category", "max-size",                  \
        "default-digest", "mandatory-digest"

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
                                        "field-degree",
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

#if MPKPROV_HAS_3_5
static const char *const pq_public[] = {
    COMMON, "pub", "ri-type", "encoded-pub-key", "kemri-kdf-alg", NULL};
#endif

/* What OSSL_HPKE_decap asks of a recipient's key. */
#if MPKPROV_HAS_3_5
#define DHKEM_INNER(name) [CTX_KEM] = (name)
#define DHKEM_OUTER [CTX_KEM] = MPKPROV_NAME_KEM
#else
#define DHKEM_INNER(name) [CTX_KEM] = NULL
#define DHKEM_OUTER [CTX_KEM] = NULL
#endif

#define INFO_RSA                                                               \
    .label = "RSA PRIVATE KEY",                                                \
    .inner = {[CTX_SIG] = "RSA", [CTX_ENC] = "RSA", [CTX_KEM] = "RSA"},        \
    .outer = {[CTX_SIG] = MPKPROV_NAME_RSA_SIG,                                \
              [CTX_ENC] = MPKPROV_NAME_ENC,                                    \
              [CTX_KEM] = MPKPROV_NAME_KEM},                                   \
    .public_params = rsa_public
#define INFO_RSA_PSS                                                           \
    .inner = {[CTX_SIG] = "RSA", [CTX_ENC] = "RSA"},                           \
    .outer = {[CTX_SIG] = MPKPROV_NAME_RSA_SIG}, .public_params = rsa_public
#define INFO_EC                                                                \
    .label = "EC PRIVATE KEY",                                                 \
    .inner = {[CTX_SIG] = "ECDSA", [CTX_KEX] = "ECDH", DHKEM_INNER("EC")},     \
    .outer = {[CTX_SIG] = MPKPROV_NAME_SIG,                                    \
              [CTX_KEX] = MPKPROV_NAME_KEX,                                    \
              DHKEM_OUTER},                                                    \
    .public_params = ec_public
#define INFO_SM2                                                               \
    .label = "SM2 PRIVATE KEY",                                                \
    .inner = {[CTX_SIG] = "SM2", [CTX_ENC] = "SM2"},                           \
    .outer = {[CTX_SIG] = MPKPROV_NAME_SIG, [CTX_ENC] = MPKPROV_NAME_ENC},     \
    .public_params = ec_public
#define INFO_EDDSA(name)                                                       \
    .inner = {[CTX_SIG] = name}, .outer = {[CTX_SIG] = MPKPROV_NAME_ONESHOT},  \
    .public_params = ecx_public
#define INFO_ED25519 INFO_EDDSA("ED25519")
#define INFO_ED448 INFO_EDDSA("ED448")
#define INFO_XDH(name)                                                         \
    .inner = {[CTX_KEX] = name, DHKEM_INNER(name)},                            \
    .outer = {[CTX_KEX] = MPKPROV_NAME_XDH, DHKEM_OUTER},                      \
    .public_params = ecx_public
#define INFO_X25519 INFO_XDH("X25519")
#define INFO_X448 INFO_XDH("X448")
#define INFO_DH                                                                \
    .inner = {[CTX_KEX] = "DH"}, .outer = {[CTX_KEX] = MPKPROV_NAME_KEX},      \
    .public_params = ffc_public, .borrowed = 1 /* for its q: keyexch.c */
#define INFO_DHX INFO_DH
#define INFO_DSA                                                               \
    .label = "DSA PRIVATE KEY", .inner = {[CTX_SIG] = "DSA"},                  \
    .outer = {[CTX_SIG] = MPKPROV_NAME_SIG}, .public_params = ffc_public

#define ROW(T, lower, n, aliases)                                              \
    [KEY_##T] = {.names = n aliases, .name = n, INFO_##T},
#define PQ_ROW(T, n, aliases, class, operation)                                \
    [KEY_##T] = {.names = n aliases,                                           \
                 .name = n,                                                    \
                 .inner = {[class] = n},                                       \
                 .outer = {[class] = operation},                               \
                 .public_params = pq_public,                                   \
                 .borrowed = 1},
#define PQ_SIGNATURE(T, lower, n, aliases)                                     \
    PQ_ROW(T, n, aliases, CTX_SIG, MPKPROV_NAME_ONESHOT)
#define PQ_KEM(T, lower, n, aliases)                                           \
    PQ_ROW(T, n, aliases, CTX_KEM, MPKPROV_NAME_KEM)

const struct key_type_info mpkprov_types[KEY_TYPES] = {
    MPKPROV_TYPES_OF_3_0(ROW)
#if MPKPROV_HAS_3_5
        MPKPROV_ML_DSA_TYPES(PQ_SIGNATURE) MPKPROV_SLH_DSA_TYPES(PQ_SIGNATURE)
            MPKPROV_ML_KEM_TYPES(PQ_KEM)
#endif
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

enum key_type mpkprov_type_by_label(const char *label, size_t len)
{
    for (int i = 0; i < KEY_TYPES; i++) {
        const char *own = mpkprov_types[i].label;

        if (own != NULL && strlen(own) == len &&
            strncasecmp(label, own, len) == 0) {
            return (enum key_type)i;
        }
    }
    return KEY_ANY;
}
