/*
 * secret.c - handles of the secrets of a connection: a wide-block cipher under
 * the domain's key. What an attacker learns from handles, and why that is
 * nothing, is in docs/design/secrets.md.
 */
#include "secret.h"
#include "prf.h"
#include "wide.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>

#include <string.h>

struct domain_key {
    struct hctr2 *cipher;
    /* Tweaks for whole blocks, up to SECRET_READY. */
    unsigned char ready[SECRET_RSA + 1][SECRET_READY / HCTR2_BLOCK]
                       [HCTR2_BLOCK];
    uint64_t key_mark;
};

/* In the heap: the module's own data is closed with backend mpk only. */
static struct domain_key *domain_key;

/* ---- start-up ------------------------------------------------------------ */

/* What makes a tweak of this product's: its last byte is a version. */
#define TWEAK_LABEL "mpk handle\0\1"
#define TWEAK_LEN 16

static void tweak_of(enum secret_type type, size_t len,
                     unsigned char state[HCTR2_BLOCK])
{
    unsigned char tweak[TWEAK_LEN] = TWEAK_LABEL;

    _Static_assert(sizeof(TWEAK_LABEL) - 1 == 12, "four bytes are left");
    tweak[12] = (unsigned char)type;
    tweak[13] = (unsigned char)len;
    tweak[14] = (unsigned char)(len >> 8);
    hctr2_tweak(domain_key->cipher, state, tweak, sizeof(tweak), len);
}

static void prepare_tweaks(void)
{
    for (int t = SECRET_STAGE; t <= SECRET_RSA; t++) {
        for (size_t b = 0; b < SECRET_READY / HCTR2_BLOCK; b++) {
            tweak_of((enum secret_type)t, (b + 1) * HCTR2_BLOCK,
                     domain_key->ready[t][b]);
        }
    }
}

static void prepare_key_mark(void)
{
    unsigned char p[HCTR2_BLOCK] = {0};

    secret_seal(SECRET_KEY, p, sizeof(p));
    memcpy(&domain_key->key_mark, p, sizeof(domain_key->key_mark));
}

static int use_key(struct mpkprov_frame *f, const unsigned char key[WIDE_KEY])
{
    if (domain_key == NULL) {
        domain_key = mpk_heap_alloc(sizeof(*domain_key));
    }
    if (domain_key == NULL) {
        return fail(f, MPKPROV_R_MEMORY, NULL);
    }
    domain_key->cipher = wide_new(f, key);
    if (domain_key->cipher == NULL) {
        return 0;
    }
    prepare_tweaks();
    prepare_key_mark();
    return 1;
}

/* ---- a key from a file --------------------------------------------------- */

#define FILE_BEGIN "-----BEGIN MPK HANDLE KEY-----\n"
#define FILE_END "\n-----END MPK HANDLE KEY-----\n"
#define FILE_BASE64 44 /* of 32 bytes */
#define FILE_LEN (sizeof(FILE_BEGIN) - 1 + FILE_BASE64 + sizeof(FILE_END) - 1)

/* 1 and the key of |text|, which has FILE_LEN bytes; 0 if it is damaged. */
static int decode_file(const unsigned char *text, unsigned char key[WIDE_KEY])
{
    const unsigned char *base64 = text + sizeof(FILE_BEGIN) - 1;
    unsigned char raw[FILE_BASE64 / 4 * 3];
    int ok = memcmp(text, FILE_BEGIN, sizeof(FILE_BEGIN) - 1) == 0 &&
             memcmp(base64 + FILE_BASE64, FILE_END, sizeof(FILE_END) - 1) == 0;

    /* 32 bytes end in one '=', which counts as a zero byte here. */
    ok = ok && base64[FILE_BASE64 - 2] != '=' &&
         base64[FILE_BASE64 - 1] == '=' &&
         EVP_DecodeBlock(raw, base64, FILE_BASE64) == (int)sizeof(raw) &&
         raw[WIDE_KEY] == 0;
    if (ok) {
        memcpy(key, raw, WIDE_KEY);
    }
    OPENSSL_cleanse(raw, sizeof(raw));
    return ok;
}

/*
 * The file's bytes are not used as they are, so that another version of the
 * handles, or another use of the file, has another key.
 */
static int derive_from_file(struct mpkprov_frame *f,
                            const unsigned char raw[WIDE_KEY],
                            unsigned char key[WIDE_KEY])
{
    static const char info[] = "openssl-mpk session secret handles, version 1";
    struct inner_alg hkdf = {{NULL}};
    OSSL_PARAM params[] = {
        OSSL_PARAM_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)"SHA256", 6),
        OSSL_PARAM_octet_string(OSSL_KDF_PARAM_KEY, (void *)raw, WIDE_KEY),
        OSSL_PARAM_octet_string(OSSL_KDF_PARAM_INFO, (void *)info,
                                sizeof(info) - 1),
        OSSL_PARAM_END};
    void *ctx;
    int ok;

    if (!inner_look_up(OSSL_OP_KDF, "HKDF", &hkdf)) {
        return fail(f, MPKPROV_R_OPERATION, "the inner OpenSSL has no HKDF");
    }
    ctx = INNER(&hkdf, kdf_newctx, OSSL_FUNC_KDF_NEWCTX)(mpkprov_inner.provctx);
    ok = ctx != NULL && INNER(&hkdf, kdf_derive, OSSL_FUNC_KDF_DERIVE)(
                            ctx, key, WIDE_KEY, params) > 0;
    if (ctx != NULL) {
        INNER(&hkdf, kdf_freectx, OSSL_FUNC_KDF_FREECTX)(ctx);
    }
    return ok ? 1 : fail_inner(f, "a key for session secrets from a file");
}

static int key_from_file(struct mpkprov_frame *f, const char *path,
                         unsigned char key[WIDE_KEY])
{
    unsigned char raw[WIDE_KEY];
    size_t len;
    unsigned char *text = file_take(f, path, FILE_LEN, 1, &len);
    int ok;

    if (text == NULL) {
        return 0;
    }
    ok = len == FILE_LEN && decode_file(text, raw);
    mpk_heap_free(text);
    if (!ok) {
        const char *const part[] = {
            "handle-key-file ", path,
            ": not a handle key; make one with mpkctl handle-key", NULL};

        return fail_with(f, MPKPROV_R_FILE, part);
    }
    ok = derive_from_file(f, raw, key);
    OPENSSL_cleanse(raw, sizeof(raw));
    return ok;
}

int secret_boot(struct mpkprov_frame *f, const char *path)
{
    unsigned char key[WIDE_KEY];
    int ok;

    if (path != NULL) {
        ok = key_from_file(f, path, key);
    } else {
        ok = RAND_priv_bytes(key, sizeof(key)) == 1 ||
             fail_inner(f, "a random key for session secrets");
    }
    ok = ok && use_key(f, key);
    OPENSSL_cleanse(key, sizeof(key));
    return ok;
}

/* ---- secrets ------------------------------------------------------------- */

static const unsigned char *tweak_for(enum secret_type type, size_t len,
                                      unsigned char room[HCTR2_BLOCK])
{
    if (len % HCTR2_BLOCK == 0 && len <= SECRET_READY) {
        return domain_key->ready[type][len / HCTR2_BLOCK - 1];
    }
    tweak_of(type, len, room);
    return room;
}

void secret_seal(enum secret_type type, unsigned char *p, size_t len)
{
    unsigned char room[HCTR2_BLOCK];

    if (len < SECRET_MIN) {
        mpk_fatal("a secret is too short to be sealed");
    }
    hctr2_encrypt(domain_key->cipher, tweak_for(type, len, room), p, len);
}

void secret_open(enum secret_type type, unsigned char *p, size_t len)
{
    unsigned char room[HCTR2_BLOCK];

    if (len < SECRET_MIN) {
        mpk_fatal("a handle is too short to be opened");
    }
    hctr2_decrypt(domain_key->cipher, tweak_for(type, len, room), p, len);
}

uint64_t key_mark(void)
{
    return domain_key->key_mark;
}

/* ---- pre-master secrets -------------------------------------------------- */

/* What follows the secret: these zeros, and a byte that says what it is for. */
static const unsigned char zeros[PREMASTER_MORE - 1];
enum { FOR_ALL, FOR_TLS12 };

static void seal_for(unsigned char what, unsigned char *out,
                     const unsigned char *pms, size_t len)
{
    memmove(out, pms, len);
    memset(out + len, 0, sizeof(zeros));
    out[len + sizeof(zeros)] = what;
    secret_seal(SECRET_PREMASTER, out, len + PREMASTER_MORE);
}

void premaster_seal(unsigned char *out, const unsigned char *pms, size_t len)
{
    seal_for(FOR_ALL, out, pms, len);
}

void premaster_seal_tls12(unsigned char *out, const unsigned char *pms,
                          size_t len)
{
    seal_for(FOR_TLS12, out, pms, len);
}

int premaster_open(unsigned char *out, size_t *out_len, const unsigned char *in,
                   size_t len)
{
    if (len <= PREMASTER_MORE || len > PREMASTER_MAX + PREMASTER_MORE) {
        return 0;
    }
    memmove(out, in, len);
    secret_open(SECRET_PREMASTER, out, len);
    *out_len = len - PREMASTER_MORE;
    if (CRYPTO_memcmp(out + *out_len, zeros, sizeof(zeros)) != 0 ||
        out[len - 1] > FOR_TLS12) {
        OPENSSL_cleanse(out, len);
        return 0;
    }
    return out[len - 1] == FOR_TLS12 ? PREMASTER_TLS12 : 1;
}

/*
 * The client's version, which stands in front, is public. With its top bit
 * turned it is no version that any protocol has, and says that the rest is a
 * handle.
 */
#define RSA_MARK 0x80

/* 1 or 0, without a branch. */
static unsigned equal(unsigned char a, unsigned char b)
{
    return ((unsigned)(a ^ b) - 1U) >> 31;
}

/*
 * The version is the highest that the client knows, not the one in use: it may
 * be one that is to come. Each one taken in makes handles harder to tell from
 * raw secrets, so it is not all.
 */
static unsigned is_version(unsigned char major, unsigned char minor)
{
    unsigned tls = equal(minor & 0xf0, 0) & ~equal(minor, 0);
    unsigned dtls = equal(minor, 0xff) | equal(minor, 0xfd);

    return (equal(major, 3) & tls) | (equal(major, 0xfe) & dtls);
}

static unsigned begins_with(const unsigned char *p, unsigned version)
{
    return equal(p[0], (unsigned char)(version >> 8)) &
           equal(p[1], (unsigned char)version);
}

/* In place of a secret: a hash, as a handle that is longer than any of these,
 * which nobody opens. */
static void make_up(unsigned char p[RSA_PREMASTER], const unsigned char *padded,
                    size_t len, unsigned version, unsigned other)
{
    const unsigned char versions[PRF_SIZE_MAX] = {
        (unsigned char)(version >> 8), (unsigned char)version,
        (unsigned char)(other >> 8), (unsigned char)other};
    struct prf_hmac k;

    _Static_assert(RSA_PREMASTER == PRF_SIZE_MAX, "SHA-384's length");
    hkdf_key(&k, PRF_SHA384, versions);
    hkdf_extract(&k, p, padded, len);
    OPENSSL_cleanse(&k, sizeof(k));
    secret_seal(SECRET_RSA, p, RSA_PREMASTER);
}

void rsa_premaster_unpad(unsigned char p[RSA_PREMASTER],
                         const unsigned char *padded, size_t len,
                         unsigned version, unsigned other)
{
    const unsigned char *secret = padded + len - RSA_PREMASTER;
    unsigned right =
        equal(padded[0], 0) & equal(padded[1], 2) & equal(secret[-1], 0);
    unsigned char keep;

    for (const unsigned char *at = padded + 2; at < secret - 1; at++) {
        right &= ~equal(*at, 0);
    }
    right &= begins_with(secret, version) |
             (begins_with(secret, other) & (other != 0));
    keep = (unsigned char)(0 - right);
    make_up(p, padded, len, version, other);
    for (size_t i = 0; i < RSA_PREMASTER; i++) {
        p[i] = (unsigned char)((secret[i] & keep) | (p[i] & ~keep));
    }
}

/*
 * What does not decrypt is replaced by other bytes, and that must not be seen
 * here (Bleichenbacher): whatever stands in front, it is the client's version
 * from here on, as in what does. Where another may be right nothing but the
 * secret says which, and only what is no version becomes one.
 */
void rsa_premaster_seal(unsigned char p[RSA_PREMASTER], unsigned version)
{
    unsigned char keep;

    if (version != 0) {
        p[0] = (unsigned char)(version >> 8);
        p[1] = (unsigned char)version;
    }
    keep = (unsigned char)(0 - is_version(p[0], p[1]));
    p[0] = (unsigned char)(((p[0] & keep) | (3 & ~keep)) ^ RSA_MARK);
    p[1] = (unsigned char)((p[1] & keep) | (3 & ~keep));
    secret_seal(SECRET_RSA, p + 2, RSA_PREMASTER - 2);
}

int rsa_premaster_open(unsigned char p[RSA_PREMASTER])
{
    if (!is_version(p[0] ^ RSA_MARK, p[1])) {
        return 0;
    }
    p[0] ^= RSA_MARK;
    secret_open(SECRET_RSA, p + 2, RSA_PREMASTER - 2);
    return 1;
}

int rsa_premaster_is_raw(const unsigned char p[RSA_PREMASTER])
{
    return (int)is_version(p[0], p[1]);
}
