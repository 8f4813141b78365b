/*
 * HKDF with quic = protect: what nginx and HAProxy derive of QUIC gives handles
 * where TLS13-KDF gives them, in each way that a program can ask, and packets
 * that a stock peer reads; all else is the default provider's. Seen to fail
 * with quic = leave, without each of is_label's looks at a length, when the
 * last part of an info was taken for all of it, "data" for an info, and when
 * what is set was kept here and not by the default provider.
 */
#include "../interop/interop.h"
#include "../interop/kdf_ask.h"

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <string.h>

#define HASH_MAX 48
#define INFO_MAX 64

struct suite {
    const char *digest, *cipher;
    size_t hash, key;
};
static const struct suite suites[] = {
    {"SHA2-256", "AES-128-GCM", 32, 16},
    {"SHA2-384", "AES-256-GCM", 48, 32},
    {"SHA2-256", "ChaCha20-Poly1305", 32, 32},
};

/* ---- ways to ask --------------------------------------------------------- */

struct question {
    const char *digest;
    int mode;
    struct ask_bytes key, salt, info;
};

static size_t put(OSSL_PARAM *p, const char *name, struct ask_bytes b)
{
    if (b.p == NULL) {
        return 0;
    }
    *p = OSSL_PARAM_construct_octet_string(name, (void *)b.p, b.len);
    return 1;
}

static EVP_KDF_CTX *hkdf(OSSL_LIB_CTX *libctx)
{
    EVP_KDF *kdf = EVP_KDF_fetch(libctx, "HKDF", NULL);
    EVP_KDF_CTX *c = EVP_KDF_CTX_new(kdf);

    EVP_KDF_free(kdf);
    return c;
}

static size_t put_all(OSSL_PARAM *p, const struct question *q, int *mode)
{
    size_t n = 0;

    *mode = q->mode;
    p[n++] = OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, mode);
    p[n++] = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST,
                                              (char *)q->digest, 0);
    n += put(p + n, OSSL_KDF_PARAM_KEY, q->key);
    n += put(p + n, OSSL_KDF_PARAM_SALT, q->salt);
    n += put(p + n, OSSL_KDF_PARAM_INFO, q->info);
    p[n] = OSSL_PARAM_construct_end();
    return n;
}

/* All with the derivation. */
static int at_once(OSSL_LIB_CTX *libctx, const struct question *q, void *out,
                   size_t len)
{
    EVP_KDF_CTX *c = hkdf(libctx);
    OSSL_PARAM p[8];
    int mode, ret;

    put_all(p, q, &mode);
    ret = EVP_KDF_derive(c, out, len, p) > 0;
    EVP_KDF_CTX_free(c);
    return ret;
}

/* Before it, over something else, in a copy. */
static int set_before(OSSL_LIB_CTX *libctx, const struct question *q, void *out,
                      size_t len)
{
    const struct question other = {"SHA2-512", EVP_KDF_HKDF_MODE_EXPAND_ONLY,
                                   TEXT("a key"), NONE, TEXT("an info")};
    EVP_KDF_CTX *c = hkdf(libctx), *copy;
    OSSL_PARAM p[8];
    int mode, ret;

    put_all(p, &other, &mode);
    CHECK(EVP_KDF_CTX_set_params(c, p));
    put_all(p, q, &mode);
    CHECK(EVP_KDF_CTX_set_params(c, p));
    copy = EVP_KDF_CTX_dup(c);
    if (copy == NULL) { /* OpenSSL 3.0 cannot */
        ERR_clear_error();
        copy = c;
        c = NULL;
    }
    EVP_KDF_CTX_free(c);
    ret = EVP_KDF_derive(copy, out, len, NULL) > 0;
    EVP_KDF_CTX_free(copy);
    return ret;
}

/* As nginx and HAProxy. */
static int by_pkey(OSSL_LIB_CTX *libctx, const struct question *q, void *out,
                   size_t len)
{
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_name(libctx, "HKDF", NULL);
    EVP_MD *md = EVP_MD_fetch(libctx, q->digest, NULL);
    size_t n = len;
    int ret =
        EVP_PKEY_derive_init(c) > 0 &&
        EVP_PKEY_CTX_set_hkdf_mode(c, q->mode) > 0 &&
        EVP_PKEY_CTX_set_hkdf_md(c, md) > 0 &&
        EVP_PKEY_CTX_set1_hkdf_key(c, q->key.p, (int)q->key.len) > 0 &&
        (q->salt.p == NULL ||
         EVP_PKEY_CTX_set1_hkdf_salt(c, q->salt.p, (int)q->salt.len) > 0) &&
        (q->info.p == NULL ||
         EVP_PKEY_CTX_add1_hkdf_info(c, q->info.p, (int)q->info.len) > 0) &&
        EVP_PKEY_derive(c, out, &n) > 0;

    EVP_MD_free(md);
    EVP_PKEY_CTX_free(c);
    return ret && n == len;
}

typedef int (*ask)(OSSL_LIB_CTX *, const struct question *, void *, size_t);
static const ask ways[] = {at_once, set_before, by_pkey};
static const char *const way_names[] = {"at once", "set before", "EVP_PKEY"};

static ask way;

/* ---- QUIC ---------------------------------------------------------------- */

static struct ask_bytes info_of(unsigned char *out, const char *label,
                                size_t len)
{
    size_t n = strlen("tls13 ") + strlen(label);

    out[0] = (unsigned char)(len >> 8);
    out[1] = (unsigned char)len;
    out[2] = (unsigned char)n;
    memcpy(out + 3, "tls13 ", 6);
    memcpy(out + 9, label, strlen(label));
    out[3 + n] = 0;
    return BYTES(out, n + 4);
}

static void expand(OSSL_LIB_CTX *libctx, const struct suite *s,
                   const void *secret, const char *label, void *out, size_t len)
{
    unsigned char info[INFO_MAX];
    const struct question q = {s->digest, EVP_KDF_HKDF_MODE_EXPAND_ONLY,
                               BYTES(secret, s->hash), NONE,
                               info_of(info, label, len)};

    CHECK(way(libctx, &q, out, len));
}

/* With the header of a record of TLS 1.3: its keys are for nothing else. */
static void seal(OSSL_LIB_CTX *libctx, const struct suite *s,
                 const unsigned char *key, const unsigned char *iv,
                 unsigned char out[32])
{
    static const unsigned char header[5] = {23, 3, 3, 0, 32};
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(libctx, s->cipher, NULL);
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    int n;

    CHECK(EVP_EncryptInit_ex(c, cipher, NULL, NULL, NULL));
    CHECK(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_IVLEN, 12, NULL));
    CHECK(EVP_EncryptInit_ex(c, NULL, NULL, key, NULL));
    CHECK(EVP_EncryptInit_ex(c, NULL, NULL, NULL, iv));
    CHECK(EVP_EncryptUpdate(c, NULL, &n, header, sizeof(header)));
    CHECK(EVP_EncryptUpdate(c, out, &n,
                            (const unsigned char *)"sixteen bytes...", 16));
    CHECK(EVP_EncryptFinal_ex(c, out + n, &n));
    CHECK(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, 16, out + 16));
    EVP_CIPHER_CTX_free(c);
    EVP_CIPHER_free(cipher);
}

/* Packets, or records, of both are the same, and their keys are not. */
static void packets_are_the_same(const struct suite *s, const void *secret,
                                 const void *handle, const char *key_label,
                                 const char *iv_label)
{
    unsigned char key[2][32], iv[2][12], packet[2][32];

    for (int i = 0; i < 2; i++) {
        OSSL_LIB_CTX *side = i == 0 ? interop_ref() : NULL;
        const void *from = i == 0 ? secret : handle;

        expand(side, s, from, iv_label, iv[i], 12);
        expand(side, s, from, key_label, key[i], s->key);
        seal(side, s, key[i], iv[i], packet[i]);
    }
    CHECK_MEM(iv[1], 12, iv[0], 12);
    CHECK(memcmp(key[0], key[1], s->key) != 0);
    CHECK_MEM(packet[1], 32, packet[0], 32);
}

/* The labels of a version of QUIC. */
struct version {
    const char *key, *iv, *hp, *ku;
};
static const struct version versions[] = {
    {"quic key", "quic iv", "quic hp", "quic ku"},
    {"quicv2 key", "quicv2 iv", "quicv2 hp", "quicv2 ku"},
};

/* The secret of a direction, in the clear and as a handle. */
static void a_version(const struct version *v, const struct suite *s,
                      const unsigned char *secret, const unsigned char *handle)
{
    unsigned char hp[2][32], next[2][HASH_MAX];

    packets_are_the_same(s, secret, handle, v->key, v->iv);
    expand(interop_ref(), s, secret, v->hp, hp[0], s->key);
    expand(NULL, s, handle, v->hp, hp[1], s->key);
    CHECK_MEM(hp[1], s->key, hp[0], s->key);
    expand(interop_ref(), s, secret, v->ku, next[0], s->hash);
    expand(NULL, s, handle, v->ku, next[1], s->hash);
    CHECK(memcmp(next[0], next[1], s->hash) != 0);
    packets_are_the_same(s, next[0], next[1], v->key, v->iv);
}

static void a_direction(const struct suite *s, const unsigned char *secret,
                        const unsigned char *handle)
{
    CHECK(memcmp(secret, handle, s->hash) != 0);
    for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
        a_version(&versions[i], s, secret, handle);
    }
    packets_are_the_same(s, secret, handle, "key", "iv");
}

static void first_packets(const struct suite *s, const char *label)
{
    unsigned char initial[HASH_MAX], secret[2][HASH_MAX];

    RAND_bytes(initial, sizeof(initial));
    expand(interop_ref(), s, initial, label, secret[0], s->hash);
    expand(NULL, s, initial, label, secret[1], s->hash);
    a_direction(s, secret[0], secret[1]);
}

/* What libssl gives of a handshake, made by TLS13-KDF of either side. */
static void of_libssl(const struct suite *s)
{
    unsigned char hash[HASH_MAX] = {1};
    unsigned char early[2][HASH_MAX], secret[2][HASH_MAX];

    for (int i = 0; i < 2; i++) {
        OSSL_LIB_CTX *side = i == 0 ? interop_ref() : NULL;

        CHECK(ask_extract(side, s->digest, NULL, NONE, early[i]));
        CHECK(ask_expand(side, s->digest, early[i], "s hs traffic",
                         BYTES(hash, s->hash), secret[i], s->hash));
    }
    a_direction(s, secret[0], secret[1]);
}

/* ---- everything else ----------------------------------------------------- */

static void same(const struct question *q, size_t len)
{
    unsigned char out[2][300] = {{0}, {1}};

    CHECK_INT(way(NULL, q, out[1], len), way(interop_ref(), q, out[0], len));
    CHECK_MEM(out[1], len, out[0], len);
}

static void all_else_is_the_default_provider_s(void)
{
    unsigned char key[100], info[INFO_MAX];
    struct question q = {"SHA2-256", EVP_KDF_HKDF_MODE_EXPAND_ONLY,
                         BYTES(key, 32), NONE, NONE};

    RAND_bytes(key, sizeof(key));
    q.info = info_of(info, "sr_token_key", 32);
    same(&q, 32);
    q.info = info_of(info, "quic key", 32); /* of another length */
    same(&q, 16);
    q.info = info_of(info, "quic key", 16);
    same(&q, 256 + 16);
    info[3] = 'T'; /* another protocol's */
    same(&q, 16);
    q.info = info_of(info, "quic key", 32);
    info[q.info.len++] = 0; /* more than the label */
    same(&q, 32);
    q.info = info_of(info, "quic key", 16);
    info[q.info.len - 1] = 1; /* a hash that is not there */
    same(&q, 16);
    q.info = info_of(info, "quic key", 16);
    info[2]++; /* a label that is longer than the info */
    same(&q, 16);
    q.info = info_of(info, "quic key", 16);
    q.key.len = 31;
    same(&q, 16);
    q.key.len = 32;
    q.digest = "SHA2-512";
    same(&q, 16);
    q.key.len = 36;
    q.digest = "MD5-SHA1";
    same(&q, 16);
    q.key.len = 32;
    q.digest = "SHA2-256";
    q.mode = EVP_KDF_HKDF_MODE_EXTRACT_AND_EXPAND;
    same(&q, 16);
    q.salt = BYTES(key + 50, 50);
    same(&q, 16);
    q.mode = EVP_KDF_HKDF_MODE_EXTRACT_ONLY;
    same(&q, 32);
    q.digest = "SHA2-512";
    same(&q, 64);
    q = (struct question){"SHA2-512", EVP_KDF_HKDF_MODE_EXTRACT_AND_EXPAND,
                          BYTES(key, 100), NONE, TEXT("any")};
    same(&q, 200);
}

/* More parameters than a question has, with its own before them. */
#define PARAMS 40
static int with_more(OSSL_LIB_CTX *libctx, const OSSL_PARAM *more,
                     unsigned char out[32])
{
    EVP_KDF_CTX *c = hkdf(libctx);
    const struct question q = {"SHA2-256", EVP_KDF_HKDF_MODE_EXPAND_ONLY,
                               TEXT("a key of thirty-two bytes, here."), NONE,
                               NONE};
    OSSL_PARAM p[PARAMS];
    int mode, ret;
    size_t n = put_all(p, &q, &mode);

    while (more->key != NULL) {
        p[n++] = *more++;
    }
    p[n] = OSSL_PARAM_construct_end();
    ret = EVP_KDF_derive(c, out, 32, p) > 0;
    EVP_KDF_CTX_free(c);
    return ret;
}

static void same_with(const OSSL_PARAM *more)
{
    unsigned char out[2][32] = {{0}, {1}};

    int ret = with_more(interop_ref(), more, out[0]);

    CHECK_INT(with_more(NULL, more, out[1]), ret);
    if (ret) { /* OpenSSL 3.6 takes five parts of an info */
        CHECK_MEM(out[1], 32, out[0], 32);
    }
    ERR_clear_error();
}

/* Parts of an info are one, if they come together. */
static void info_in_parts(void)
{
    unsigned char info[INFO_MAX] = {0}, out[2][32];
    struct ask_bytes label = info_of(info, "quic hp", 32);
    OSSL_PARAM p[PARAMS / 2] = {{0}};

    put(p, OSSL_KDF_PARAM_INFO, TEXT("a first"));
    put(p + 1, OSSL_KDF_PARAM_INFO, TEXT(" and a second"));
    same_with(p);
    put(p + 1, OSSL_KDF_PARAM_INFO, label);
    same_with(p);
    put(p, OSSL_KDF_PARAM_INFO, label);
    put(p + 1, OSSL_KDF_PARAM_INFO, TEXT("a second"));
    same_with(p);
    put(p + 1, OSSL_KDF_PARAM_INFO, BYTES(info, INFO_MAX));
    same_with(p);
    for (size_t i = 0; i < PARAMS / 2 - 1; i++) {
        put(p + i, OSSL_KDF_PARAM_INFO, TEXT("one of many"));
    }
    same_with(p);

    memset(p, 0, sizeof(p));
    put(p, OSSL_KDF_PARAM_INFO, label);
    CHECK(with_more(NULL, p, out[0]));
    put(p, OSSL_KDF_PARAM_INFO, BYTES(info, 5));
    put(p + 1, OSSL_KDF_PARAM_INFO, BYTES(info + 5, label.len - 5));
    CHECK(with_more(NULL, p, out[1]));
    CHECK_MEM(out[1], 32, out[0], 32);
}

static void what_hkdf_does_not_know(void)
{
    unsigned char info[INFO_MAX];
    struct ask_bytes label = info_of(info, "quic hp", 32);
    OSSL_PARAM p[PARAMS / 2] = {{0}};

    put(p, OSSL_KDF_PARAM_DATA, label);
    same_with(p);
    put(p, OSSL_KDF_PARAM_INFO, TEXT("an info"));
    put(p + 1, OSSL_KDF_PARAM_DATA, label);
    same_with(p);
    for (size_t i = 1; i < PARAMS / 2 - 1; i++) {
        put(p + i, OSSL_KDF_PARAM_SEED, TEXT("a seed"));
    }
    same_with(p);
}

static void a_long_key(void)
{
    static unsigned char key[100000];
    const struct question q = {"SHA2-256", EVP_KDF_HKDF_MODE_EXTRACT_AND_EXPAND,
                               BYTES(key, sizeof(key)), NONE, TEXT("any")};

    same(&q, 32);
}

/* What is not taken is said at once, and what was set before is left. */
static void errors(void)
{
    int mode = 7;
    const OSSL_PARAM wrong[] = {
        OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_MODE, "NONE", 0),
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, "NONE", 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, NULL, 32)};

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        const OSSL_PARAM p[] = {wrong[i], OSSL_PARAM_END};
        EVP_KDF_CTX *c[] = {hkdf(NULL), hkdf(interop_ref())};

        for (int side = 0; side < 2; side++) {
            CHECK(EVP_KDF_CTX_set_params(c[side], p) <= 0);
            EVP_KDF_CTX_free(c[side]);
        }
    }
    ERR_clear_error();
}

static void nothing_is_left_after_a_reset(void)
{
    unsigned char info[INFO_MAX], out[16];
    const struct question q = {"SHA2-256", EVP_KDF_HKDF_MODE_EXPAND_ONLY,
                               TEXT("a key of thirty-two bytes, here."), NONE,
                               info_of(info, "quic hp", sizeof(out))};
    EVP_KDF_CTX *c = hkdf(NULL);
    OSSL_PARAM p[8];
    int mode;

    put_all(p, &q, &mode);
    CHECK(EVP_KDF_derive(c, out, sizeof(out), p) > 0);
    EVP_KDF_CTX_reset(c);
    CHECK(EVP_KDF_derive(c, out, sizeof(out), NULL) <= 0);
    p[1].key = "none"; /* in place of a digest */
    CHECK(EVP_KDF_derive(c, out, sizeof(out), p) <= 0);
    EVP_KDF_CTX_free(c);
    ERR_clear_error();
}

static void same_list(const OSSL_PARAM *ours, const OSSL_PARAM *theirs)
{
    while (ours->key != NULL && theirs->key != NULL) {
        CHECK_STR((ours++)->key, (theirs++)->key);
    }
    CHECK(ours->key == NULL && theirs->key == NULL);
}

static void lists(void)
{
    EVP_KDF *ours = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF *theirs = EVP_KDF_fetch(interop_ref(), "HKDF", NULL);

    same_list(EVP_KDF_settable_ctx_params(ours),
              EVP_KDF_settable_ctx_params(theirs));
    same_list(EVP_KDF_gettable_ctx_params(ours),
              EVP_KDF_gettable_ctx_params(theirs));
    EVP_KDF_free(ours);
    EVP_KDF_free(theirs);
}

static void sizes(void)
{
    const struct question q[] = {
        {"SHA2-512", EVP_KDF_HKDF_MODE_EXTRACT_ONLY, TEXT("k"), NONE, NONE},
        {"SHA2-256", EVP_KDF_HKDF_MODE_EXPAND_ONLY, TEXT("k"), NONE, NONE}};

    for (size_t i = 0; i < 2; i++) {
        EVP_KDF_CTX *c[] = {hkdf(NULL), hkdf(interop_ref())};
        OSSL_PARAM p[8];
        int mode;

        put_all(p, &q[i], &mode);
        for (int side = 0; side < 2; side++) {
            CHECK(EVP_KDF_CTX_set_params(c[side], p));
        }
        CHECK(EVP_KDF_CTX_get_kdf_size(c[0]) == EVP_KDF_CTX_get_kdf_size(c[1]));
        EVP_KDF_CTX_reset(c[0]);
        CHECK(EVP_KDF_derive(c[0], (unsigned char[32]){0}, 32, NULL) <= 0);
        EVP_KDF_CTX_free(c[0]);
        EVP_KDF_CTX_free(c[1]);
    }
    ERR_clear_error();
}

int main(void)
{
    interop_start();
    for (size_t w = 0; w < sizeof(ways) / sizeof(ways[0]); w++) {
        way = ways[w];
        for (size_t i = 0; i < sizeof(suites) / sizeof(suites[0]); i++) {
            interop_subject("%s, %s", way_names[w], suites[i].cipher);
            if (suites[i].hash == 32) {
                first_packets(&suites[i], "client in");
                first_packets(&suites[i], "server in");
            }
            of_libssl(&suites[i]);
        }
        interop_subject("%s, what is not QUIC's", way_names[w]);
        all_else_is_the_default_provider_s();
    }
    interop_subject("info in parts");
    info_in_parts();
    interop_subject("other parameters, errors");
    what_hkdf_does_not_know();
    way = at_once;
    a_long_key();
    errors();
    nothing_is_left_after_a_reset();
    lists();
    sizes();
    return interop_finish();
}
