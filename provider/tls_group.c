/* tls_group.c - the groups of TLS, and how libssl finds them. */
#include "tls_group.h"
#include "prov.h"
#include "tls.h"

#include <openssl/core_names.h>
#include <openssl/prov_ssl.h>

#include <strings.h>

/* ---- the table ----------------------------------------------------------- */

#define ALL_VERSIONS TLS1_VERSION, 0, DTLS1_VERSION, 0
#define UNTIL_TLS12 TLS1_VERSION, TLS1_2_VERSION, DTLS1_VERSION, DTLS1_2_VERSION
#define TLS13_ONLY TLS1_3_VERSION, 0, -1, -1

/* SEC 1 2.3.3: a byte that says "uncompressed", and two coordinates. */
#define CURVE(name, tls1, tls2, id, bits, secbits, bytes, versions)            \
    {                                                                          \
        name, {tls1, tls2}, GROUP_EC, id, secbits, versions, "EC", name,       \
            "ECDH", bits, 2 * (bytes) + 1, bytes, 0                            \
    }
/* RFC 8734: with TLS 1.3 the same curve has another number. */
#define CURVE_TLS13(name, curve, id, bits, secbits, bytes)                     \
    {                                                                          \
        name, {name, NULL}, GROUP_EC, id, secbits, TLS13_ONLY, "EC", curve,    \
            "ECDH", bits, 2 * (bytes) + 1, bytes, 0                            \
    }
/* RFC 8998; the inner OpenSSL has a key management for it, from 4.0 on. */
#define CURVE_SM2(tls, id)                                                     \
    {                                                                          \
        "SM2", {tls, NULL}, GROUP_EC, id, 128, TLS13_ONLY, tls, "SM2", "ECDH", \
            256, 65, 32, 0                                                     \
    }
#define XDH(name, tls, alg, id, bits, secbits, bytes)                          \
    {                                                                          \
        name, {tls, NULL}, alg, id, secbits, ALL_VERSIONS, name, NULL, name,   \
            bits, bytes, bytes, 0                                              \
    }
#define FFDHE(name, id, bits, secbits)                                         \
    {                                                                          \
        name, {name, NULL}, GROUP_DH, id, secbits, TLS13_ONLY, "DH", name,     \
            "DH", bits, (bits) / 8, (bits) / 8, 0                              \
    }
#define KEM(name, id, secbits, public, cipher, secret)                         \
    {                                                                          \
        name, {name, NULL}, GROUP_KEM, id, secbits, TLS13_ONLY, name, NULL,    \
            name, 8 * (public), public, secret, cipher                         \
    }

/* As the default provider has them, whatever concerns libssl. */
const struct tls_group tls_groups[] = {
    CURVE("prime256v1", "secp256r1", "P-256", 0x0017, 256, 128, 32,
          ALL_VERSIONS),
    CURVE("secp384r1", "secp384r1", "P-384", 0x0018, 384, 192, 48,
          ALL_VERSIONS),
    CURVE("secp521r1", "secp521r1", "P-521", 0x0019, 521, 256, 66,
          ALL_VERSIONS),
    CURVE("brainpoolP256r1", "brainpoolP256r1", NULL, 0x001a, 256, 128, 32,
          UNTIL_TLS12),
    CURVE("brainpoolP384r1", "brainpoolP384r1", NULL, 0x001b, 384, 192, 48,
          UNTIL_TLS12),
    CURVE("brainpoolP512r1", "brainpoolP512r1", NULL, 0x001c, 512, 256, 64,
          UNTIL_TLS12),
    CURVE_TLS13("brainpoolP256r1tls13", "brainpoolP256r1", 0x001f, 256, 128,
                32),
    CURVE_TLS13("brainpoolP384r1tls13", "brainpoolP384r1", 0x0020, 384, 192,
                48),
    CURVE_TLS13("brainpoolP512r1tls13", "brainpoolP512r1", 0x0021, 512, 256,
                64),
    XDH("X25519", "x25519", GROUP_X25519, 0x001d, 253, 128, 32),
    XDH("X448", "x448", GROUP_X448, 0x001e, 448, 224, 56),
    FFDHE("ffdhe2048", 0x0100, 2048, 112),
    FFDHE("ffdhe3072", 0x0101, 3072, 128),
    FFDHE("ffdhe4096", 0x0102, 4096, 128),
    FFDHE("ffdhe6144", 0x0103, 6144, 128),
    FFDHE("ffdhe8192", 0x0104, 8192, 192),
    KEM("MLKEM512", 0x0200, 128, 800, 768, 32),
    KEM("MLKEM768", 0x0201, 192, 1184, 1088, 32),
    KEM("MLKEM1024", 0x0202, 256, 1568, 1568, 32),
    KEM("SecP256r1MLKEM768", 0x11eb, 192, 1249, 1153, 64),
    KEM("X25519MLKEM768", 0x11ec, 192, 1216, 1120, 64),
    KEM("SecP384r1MLKEM1024", 0x11ed, 256, 1665, 1665, 80),
    CURVE_SM2("curveSM2", 0x0029),
    KEM("curveSM2MLKEM768", 0x11ee, 192, 1249, 1153, 64),
};

#define N_GROUPS ((int)(sizeof(tls_groups) / sizeof(tls_groups[0])))
const int tls_n_groups = N_GROUPS;
_Static_assert(N_GROUPS <= TLS_GROUPS_MAX, "the inside has room for each");

static int is_called(const struct tls_group *g, const char *name)
{
    return strcasecmp(g->name, name) == 0 || strcasecmp(g->tls[0], name) == 0 ||
           (g->tls[1] != NULL && strcasecmp(g->tls[1], name) == 0);
}

const struct tls_group *tls_group_by_name(enum group_alg alg, const char *name)
{
    for (int i = 0; i < N_GROUPS; i++) {
        if (tls_groups[i].alg == alg && is_called(&tls_groups[i], name)) {
            return &tls_groups[i];
        }
    }
    return NULL;
}

int tls_group_form_ok(const struct tls_group *g, const unsigned char *public,
                      size_t len)
{
    /* Infinity is one byte, 0, and has no form here. */
    if (g->alg == GROUP_EC && len == g->public_len / 2 + 1) {
        return (public[0] | 1) == 3;
    }
    return len == g->public_len &&
           (g->alg != GROUP_EC || public[0] == POINT_UNCOMPRESSED ||
            (public[0] | 1) == (POINT_HYBRID | 1));
}

int tls_group_form_plain(const struct tls_group *g, const unsigned char *public)
{
    return g->alg != GROUP_EC || public[0] == POINT_UNCOMPRESSED;
}

/* ---- the capability, outside --------------------------------------------- */

static const char *const alg_names[GROUP_ALGS] = {
    [GROUP_X25519] = "MPK-X25519", [GROUP_X448] = "MPK-X448",
    [GROUP_EC] = "MPK-EC",         [GROUP_DH] = "MPK-DH",
    [GROUP_KEM] = "MPK-KEM",
};

static OSSL_PARAM text(const char *key, const char *value)
{
    return OSSL_PARAM_construct_utf8_string(key, (char *)value, 0);
}

static OSSL_PARAM number(const char *key, const int32_t *value)
{
    return OSSL_PARAM_construct_int32(key, (int32_t *)value);
}

static OSSL_PARAM natural(const char *key, const uint32_t *value)
{
    return OSSL_PARAM_construct_uint32(key, (uint32_t *)value);
}

/* |there|: if not, it is told for no version of TLS. */
static int tell(const struct tls_group *g, const char *name, const char *alg,
                int there, OSSL_CALLBACK *cb, void *cbarg)
{
    static const int32_t never = -1;
    uint32_t is_kem = g->alg == GROUP_KEM;
    const OSSL_PARAM params[] = {
        text(OSSL_CAPABILITY_TLS_GROUP_NAME, name),
        text(OSSL_CAPABILITY_TLS_GROUP_NAME_INTERNAL, g->name),
        text(OSSL_CAPABILITY_TLS_GROUP_ALG, alg),
        natural(OSSL_CAPABILITY_TLS_GROUP_ID, &g->id),
        natural(OSSL_CAPABILITY_TLS_GROUP_SECURITY_BITS, &g->security_bits),
        natural(OSSL_CAPABILITY_TLS_GROUP_IS_KEM, &is_kem),
        number(OSSL_CAPABILITY_TLS_GROUP_MIN_TLS, there ? &g->min_tls : &never),
        number(OSSL_CAPABILITY_TLS_GROUP_MAX_TLS, there ? &g->max_tls : &never),
        number(OSSL_CAPABILITY_TLS_GROUP_MIN_DTLS,
               there ? &g->min_dtls : &never),
        number(OSSL_CAPABILITY_TLS_GROUP_MAX_DTLS,
               there ? &g->max_dtls : &never),
        OSSL_PARAM_construct_end()};

    return cb(params, cbarg);
}

/* Under each of the names that libssl may know. */
static int tell_names(const struct tls_group *g, const char *alg, int there,
                      OSSL_CALLBACK *cb, void *cbarg)
{
    for (int n = 0; n < 2 && g->tls[n] != NULL; n++) {
        if (!tell(g, g->tls[n], alg, there, cb, cbarg)) {
            return 0;
        }
    }
    return 1;
}

/*
 * The groups that can be had, as bits. A provider that refuses to work says
 * all of them: those that it leaves out, libssl would take from the default
 * provider.
 */
static uint64_t groups_there(const struct prov_ctx *ctx)
{
    struct mpkprov_frame f = {0};

    if (ctx->refused[0] != '\0' || PROV_CALL(group_there, &f) != 1) {
        return ~(uint64_t)0;
    }
    return f.handle;
}

static int is_of_sm2(const struct tls_group *g)
{
    return g->id == 0x0029 || g->id == 0x11ee;
}

/*
 * What the inner OpenSSL lacks and the application's has, ML-KEM from 3.5 on
 * and SM2 from 4.0 on, libssl would take from the default provider wherever a
 * program names it, and the KDF would refuse what comes of that. The first to
 * tell of a group is believed: so these are told of, and never used. With
 * "warn" they are left to the default provider, in the clear.
 */
static int tells_of(const struct prov_ctx *ctx, const struct tls_group *g)
{
    return ctx->tls.secrets == SELF_CHECK_REQUIRE &&
           (is_of_sm2(g) ? prov_core_is(ctx, 4, 0) : prov_core_is(ctx, 3, 5));
}

int tls_get_capabilities(void *provctx, const char *capability,
                         OSSL_CALLBACK *cb, void *cbarg)
{
    const struct prov_ctx *ctx = provctx;
    uint64_t there;

    if (strcasecmp(capability, "TLS-GROUP") != 0) {
        return 1;
    }
    there = groups_there(ctx);
    for (int i = 0; i < N_GROUPS; i++) {
        const struct tls_group *g = &tls_groups[i];

        if ((!(there >> i & 1) && !tells_of(ctx, g)) ||
            (g->alg == GROUP_X448 && ctx->tls.x448 == X448_LEAVE)) {
            continue;
        }
        if (!tell_names(g, alg_names[g->alg], there >> i & 1, cb, cbarg)) {
            return 0;
        }
    }
    return 1;
}

/*
 * libssl leaves out a group whose keys would not come from the provider that
 * tells of it. Keys of a type without a property query are the default
 * provider's, but libcrypto may come to take ours (methodcache.c), and then
 * these groups are there all the same, with keys made inside.
 */
int keys_get_capabilities(void *provctx, const char *capability,
                          OSSL_CALLBACK *cb, void *cbarg)
{
    const struct prov_ctx *ctx = provctx;

    if (strcasecmp(capability, "TLS-GROUP") != 0 || ctx->refused[0] != '\0') {
        return 1;
    }
    for (int i = 0; i < N_GROUPS; i++) {
        const struct tls_group *g = &tls_groups[i];

        if (g->alg != GROUP_KEM && !is_of_sm2(g) &&
            !tell_names(g, g->key, 1, cb, cbarg)) {
            return 0;
        }
    }
    return 1;
}
