/*
 * type_list.h - the types of private keys that can be inside.
 *
 * X(T, lower, name, aliases): KEY_T and INFO_T in C, a prefix for functions,
 * the name, and ":" before each other one, as OSSL_ALGORITHM has them. What
 * else is known of each type is in types.c.
 */
#ifndef MPKPROV_TYPE_LIST_H
#define MPKPROV_TYPE_LIST_H

#include <openssl/opensslv.h>

#define MPKPROV_TYPES_OF_3_0(X)                                                \
    X(RSA, rsa, "RSA", ":rsaEncryption:1.2.840.113549.1.1.1")                  \
    X(RSA_PSS, rsa_pss, "RSA-PSS", ":RSASSA-PSS:1.2.840.113549.1.1.10")        \
    X(EC, ec, "EC", ":id-ecPublicKey:1.2.840.10045.2.1")                       \
    X(SM2, sm2, "SM2", ":1.2.156.10197.1.301")                                 \
    X(ED25519, ed25519, "ED25519", ":1.3.101.112")                             \
    X(ED448, ed448, "ED448", ":1.3.101.113")                                   \
    X(X25519, x25519, "X25519", ":1.3.101.110")                                \
    X(X448, x448, "X448", ":1.3.101.111")                                      \
    X(DH, dh, "DH", ":dhKeyAgreement:1.2.840.113549.1.3.1")                    \
    X(DHX, dhx, "DHX", ":X9.42 DH:dhpublicnumber:1.2.840.10046.2.1")           \
    X(DSA, dsa, "DSA", ":dsaEncryption:1.2.840.10040.4.1")

/* FIPS 203 to 205; the numbers are NIST's (2.16.840.1.101.3.4). */
#define MPKPROV_ML_DSA_TYPES(X)                                                \
    X(ML_DSA_44, ml_dsa_44, "ML-DSA-44",                                       \
      ":MLDSA44:2.16.840.1.101.3.4.3.17:id-ml-dsa-44")                         \
    X(ML_DSA_65, ml_dsa_65, "ML-DSA-65",                                       \
      ":MLDSA65:2.16.840.1.101.3.4.3.18:id-ml-dsa-65")                         \
    X(ML_DSA_87, ml_dsa_87, "ML-DSA-87",                                       \
      ":MLDSA87:2.16.840.1.101.3.4.3.19:id-ml-dsa-87")

#define MPKPROV_SLH_DSA_TYPES(X)                                               \
    X(SLH_DSA_SHA2_128S, slh_dsa_sha2_128s, "SLH-DSA-SHA2-128s",               \
      ":id-slh-dsa-sha2-128s:2.16.840.1.101.3.4.3.20")                         \
    X(SLH_DSA_SHA2_128F, slh_dsa_sha2_128f, "SLH-DSA-SHA2-128f",               \
      ":id-slh-dsa-sha2-128f:2.16.840.1.101.3.4.3.21")                         \
    X(SLH_DSA_SHA2_192S, slh_dsa_sha2_192s, "SLH-DSA-SHA2-192s",               \
      ":id-slh-dsa-sha2-192s:2.16.840.1.101.3.4.3.22")                         \
    X(SLH_DSA_SHA2_192F, slh_dsa_sha2_192f, "SLH-DSA-SHA2-192f",               \
      ":id-slh-dsa-sha2-192f:2.16.840.1.101.3.4.3.23")                         \
    X(SLH_DSA_SHA2_256S, slh_dsa_sha2_256s, "SLH-DSA-SHA2-256s",               \
      ":id-slh-dsa-sha2-256s:2.16.840.1.101.3.4.3.24")                         \
    X(SLH_DSA_SHA2_256F, slh_dsa_sha2_256f, "SLH-DSA-SHA2-256f",               \
      ":id-slh-dsa-sha2-256f:2.16.840.1.101.3.4.3.25")                         \
    X(SLH_DSA_SHAKE_128S, slh_dsa_shake_128s, "SLH-DSA-SHAKE-128s",            \
      ":id-slh-dsa-shake-128s:2.16.840.1.101.3.4.3.26")                        \
    X(SLH_DSA_SHAKE_128F, slh_dsa_shake_128f, "SLH-DSA-SHAKE-128f",            \
      ":id-slh-dsa-shake-128f:2.16.840.1.101.3.4.3.27")                        \
    X(SLH_DSA_SHAKE_192S, slh_dsa_shake_192s, "SLH-DSA-SHAKE-192s",            \
      ":id-slh-dsa-shake-192s:2.16.840.1.101.3.4.3.28")                        \
    X(SLH_DSA_SHAKE_192F, slh_dsa_shake_192f, "SLH-DSA-SHAKE-192f",            \
      ":id-slh-dsa-shake-192f:2.16.840.1.101.3.4.3.29")                        \
    X(SLH_DSA_SHAKE_256S, slh_dsa_shake_256s, "SLH-DSA-SHAKE-256s",            \
      ":id-slh-dsa-shake-256s:2.16.840.1.101.3.4.3.30")                        \
    X(SLH_DSA_SHAKE_256F, slh_dsa_shake_256f, "SLH-DSA-SHAKE-256f",            \
      ":id-slh-dsa-shake-256f:2.16.840.1.101.3.4.3.31")

#define MPKPROV_ML_KEM_TYPES(X)                                                \
    X(ML_KEM_512, ml_kem_512, "ML-KEM-512",                                    \
      ":MLKEM512:id-alg-ml-kem-512:2.16.840.1.101.3.4.4.1")                    \
    X(ML_KEM_768, ml_kem_768, "ML-KEM-768",                                    \
      ":MLKEM768:id-alg-ml-kem-768:2.16.840.1.101.3.4.4.2")                    \
    X(ML_KEM_1024, ml_kem_1024, "ML-KEM-1024",                                 \
      ":MLKEM1024:id-alg-ml-kem-1024:2.16.840.1.101.3.4.4.3")

/* Of the inner OpenSSL, whose headers these are; who has others says it. */
#ifndef MPKPROV_HAS_3_5
#define MPKPROV_HAS_3_5 OPENSSL_VERSION_PREREQ(3, 5)
#endif

#if MPKPROV_HAS_3_5
#define MPKPROV_KEY_TYPES(X)                                                   \
    MPKPROV_TYPES_OF_3_0(X)                                                    \
    MPKPROV_ML_DSA_TYPES(X)                                                    \
    MPKPROV_SLH_DSA_TYPES(X)                                                   \
    MPKPROV_ML_KEM_TYPES(X)
#else
#define MPKPROV_KEY_TYPES(X) MPKPROV_TYPES_OF_3_0(X)
#endif

#endif
