/* keymgmt_params.c - the lists of parameters that keys have. */
#include "keymgmt.h"
#include "types.h"

#include <openssl/core_names.h>
#include <openssl/params.h>

#define INT(name) OSSL_PARAM_int(name, NULL)
#define BN(name) OSSL_PARAM_BN(name, NULL, 0)
#define UTF8(name) OSSL_PARAM_utf8_string(name, NULL, 0)
#define OCTETS(name) OSSL_PARAM_octet_string(name, NULL, 0)
/* What later OpenSSLs have besides. */
#if OPENSSL_VERSION_PREREQ(3, 6)
#define LATER_GETTABLE INT("security-category"),
#define LATER_KEM_GETTABLE INT("ri-type"), OCTETS("kemri-kdf-alg"),
#else
#define LATER_GETTABLE
#define LATER_KEM_GETTABLE
#endif
#if OPENSSL_VERSION_PREREQ(4, 0)
#define LATER_EC_GETTABLE INT("field-degree"),
#else
#define LATER_EC_GETTABLE
#endif
#define COMMON_GETTABLE                                                        \
    LATER_GETTABLE INT(OSSL_PKEY_PARAM_BITS),                                  \
        INT(OSSL_PKEY_PARAM_SECURITY_BITS), INT(OSSL_PKEY_PARAM_MAX_SIZE),     \
        UTF8(OSSL_PKEY_PARAM_DEFAULT_DIGEST)

static const OSSL_PARAM rsa_gettable[] = {
    COMMON_GETTABLE, BN(OSSL_PKEY_PARAM_RSA_N), BN(OSSL_PKEY_PARAM_RSA_E),
    OSSL_PARAM_END};

#define EC_PUBLIC                                                              \
    UTF8(OSSL_PKEY_PARAM_GROUP_NAME), UTF8(OSSL_PKEY_PARAM_EC_ENCODING),       \
        UTF8(OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT),                      \
        UTF8(OSSL_PKEY_PARAM_EC_FIELD_TYPE), BN(OSSL_PKEY_PARAM_EC_P),         \
        BN(OSSL_PKEY_PARAM_EC_A), BN(OSSL_PKEY_PARAM_EC_B),                    \
        OCTETS(OSSL_PKEY_PARAM_EC_GENERATOR), BN(OSSL_PKEY_PARAM_EC_ORDER),    \
        BN(OSSL_PKEY_PARAM_EC_COFACTOR), OCTETS(OSSL_PKEY_PARAM_EC_SEED),      \
        INT(OSSL_PKEY_PARAM_EC_DECODED_FROM_EXPLICIT_PARAMS),                  \
        OCTETS(OSSL_PKEY_PARAM_PUB_KEY)

static const OSSL_PARAM ec_gettable[] = {
    COMMON_GETTABLE,
    LATER_EC_GETTABLE EC_PUBLIC,
    OCTETS(OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY),
    BN(OSSL_PKEY_PARAM_EC_PUB_X),
    BN(OSSL_PKEY_PARAM_EC_PUB_Y),
    INT(OSSL_PKEY_PARAM_USE_COFACTOR_ECDH),
    INT(OSSL_PKEY_PARAM_EC_INCLUDE_PUBLIC),
    INT(OSSL_PKEY_PARAM_EC_CHAR2_M),
    UTF8(OSSL_PKEY_PARAM_EC_CHAR2_TYPE),
    INT(OSSL_PKEY_PARAM_EC_CHAR2_TP_BASIS),
    INT(OSSL_PKEY_PARAM_EC_CHAR2_PP_K1),
    INT(OSSL_PKEY_PARAM_EC_CHAR2_PP_K2),
    INT(OSSL_PKEY_PARAM_EC_CHAR2_PP_K3),
    OSSL_PARAM_END};

#define ECX_GETTABLE                                                           \
    COMMON_GETTABLE, UTF8(OSSL_PKEY_PARAM_MANDATORY_DIGEST),                   \
        OCTETS(OSSL_PKEY_PARAM_PUB_KEY),                                       \
        OCTETS(OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY)

static const OSSL_PARAM ecx_gettable[] = {ECX_GETTABLE, OSSL_PARAM_END};
static const OSSL_PARAM kem_gettable[] = {LATER_KEM_GETTABLE ECX_GETTABLE,
                                          OSSL_PARAM_END};

#define FFC_PUBLIC                                                             \
    UTF8(OSSL_PKEY_PARAM_GROUP_NAME), BN(OSSL_PKEY_PARAM_FFC_P),               \
        BN(OSSL_PKEY_PARAM_FFC_Q), BN(OSSL_PKEY_PARAM_FFC_G),                  \
        BN(OSSL_PKEY_PARAM_FFC_COFACTOR), INT(OSSL_PKEY_PARAM_FFC_GINDEX),     \
        INT(OSSL_PKEY_PARAM_FFC_PCOUNTER), INT(OSSL_PKEY_PARAM_FFC_H),         \
        OCTETS(OSSL_PKEY_PARAM_FFC_SEED), BN(OSSL_PKEY_PARAM_PUB_KEY)

static const OSSL_PARAM ffc_gettable[] = {
    COMMON_GETTABLE, FFC_PUBLIC, INT(OSSL_PKEY_PARAM_DH_PRIV_LEN),
    OCTETS(OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY), OSSL_PARAM_END};

/* Whether all that the type does is encapsulation. */
static int is_kem(enum key_type type)
{
    return mpkprov_types[type].inner[CTX_KEM] != NULL &&
           mpkprov_types[type].inner[CTX_KEX] == NULL &&
           mpkprov_types[type].inner[CTX_SIG] == NULL;
}

const OSSL_PARAM *key_gettable_of(enum key_type type)
{
    switch (type) {
    case KEY_RSA:
    case KEY_RSA_PSS:
        return rsa_gettable;
    case KEY_EC:
    case KEY_SM2:
        return ec_gettable;
    case KEY_DH:
    case KEY_DHX:
    case KEY_DSA:
        return ffc_gettable;
    default:
        return is_kem(type) ? kem_gettable : ecx_gettable;
    }
}

static const OSSL_PARAM ecx_settable[] = {
    OCTETS(OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY), OSSL_PARAM_END};
static const OSSL_PARAM ec_settable[] = {
    OCTETS(OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY),
    INT(OSSL_PKEY_PARAM_USE_COFACTOR_ECDH),
    UTF8(OSSL_PKEY_PARAM_EC_ENCODING),
    UTF8(OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT),
    INT(OSSL_PKEY_PARAM_EC_INCLUDE_PUBLIC),
    UTF8(OSSL_PKEY_PARAM_EC_GROUP_CHECK_TYPE),
    OSSL_PARAM_END};
static const OSSL_PARAM none[] = {OSSL_PARAM_END};

const OSSL_PARAM *key_settable_of(enum key_type type)
{
    switch (type) {
    case KEY_EC:
        return ec_settable;
    case KEY_SM2:
    case KEY_X25519:
    case KEY_X448:
    case KEY_DH:
    case KEY_DHX:
        return ecx_settable;
    default:
        return is_kem(type) ? ecx_settable : none;
    }
}

/* What an import may bring, or an export gives: public, and private too. */
static const OSSL_PARAM rsa_public_types[] = {
    BN(OSSL_PKEY_PARAM_RSA_N), BN(OSSL_PKEY_PARAM_RSA_E), OSSL_PARAM_END};
static const OSSL_PARAM rsa_types[] = {BN(OSSL_PKEY_PARAM_RSA_N),
                                       BN(OSSL_PKEY_PARAM_RSA_E),
                                       BN(OSSL_PKEY_PARAM_RSA_D),
                                       BN(OSSL_PKEY_PARAM_RSA_FACTOR1),
                                       BN(OSSL_PKEY_PARAM_RSA_FACTOR2),
                                       BN(OSSL_PKEY_PARAM_RSA_FACTOR3),
                                       BN(OSSL_PKEY_PARAM_RSA_EXPONENT1),
                                       BN(OSSL_PKEY_PARAM_RSA_EXPONENT2),
                                       BN(OSSL_PKEY_PARAM_RSA_EXPONENT3),
                                       BN(OSSL_PKEY_PARAM_RSA_COEFFICIENT1),
                                       BN(OSSL_PKEY_PARAM_RSA_COEFFICIENT2),
                                       OSSL_PARAM_END};
static const OSSL_PARAM ec_public_types[] = {
    EC_PUBLIC, INT(OSSL_PKEY_PARAM_USE_COFACTOR_ECDH), OSSL_PARAM_END};
static const OSSL_PARAM ec_types[] = {
    EC_PUBLIC, INT(OSSL_PKEY_PARAM_USE_COFACTOR_ECDH),
    BN(OSSL_PKEY_PARAM_PRIV_KEY), INT(OSSL_PKEY_PARAM_EC_INCLUDE_PUBLIC),
    OSSL_PARAM_END};
static const OSSL_PARAM ecx_public_types[] = {OCTETS(OSSL_PKEY_PARAM_PUB_KEY),
                                              OSSL_PARAM_END};
static const OSSL_PARAM ecx_types[] = {
    OCTETS(OSSL_PKEY_PARAM_PUB_KEY), OCTETS(OSSL_PKEY_PARAM_PRIV_KEY),
    OCTETS("seed") /* of ML-DSA and ML-KEM */, OSSL_PARAM_END};
static const OSSL_PARAM ffc_public_types[] = {FFC_PUBLIC, OSSL_PARAM_END};
static const OSSL_PARAM ffc_types[] = {
    FFC_PUBLIC, INT(OSSL_PKEY_PARAM_DH_PRIV_LEN), BN(OSSL_PKEY_PARAM_PRIV_KEY),
    OSSL_PARAM_END};

const OSSL_PARAM *key_types_of(enum key_type type, int private)
{
    switch (type) {
    case KEY_RSA:
    case KEY_RSA_PSS:
        return private ? rsa_types : rsa_public_types;
    case KEY_EC:
    case KEY_SM2:
        return private ? ec_types : ec_public_types;
    case KEY_DH:
    case KEY_DHX:
    case KEY_DSA:
        return private ? ffc_types : ffc_public_types;
    default:
        return private ? ecx_types : ecx_public_types;
    }
}
