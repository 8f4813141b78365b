/*
 * Both sides of the handles at once: what a KDF hands out as a handle is, when
 * opened, what the default provider derives from the opened inputs; keys can be
 * taken once; pre-master secrets of every kind arrive.
 */
#include "claims.h"
#include "fake_inside.h"
#include "secret.h"
#include "tls_kdf.h"

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/rand.h>
#include <string.h>
#include <time.h>

int kdf_boot(struct mpkprov_frame *f);

#define PIECE(p, n) ((struct kdf_piece){(const unsigned char *)(p), (n)})
#define WORD(s) PIECE(s, sizeof(s) - 1)

static const char *const digest_name[] = {"SHA256", "SHA384", "MD5-SHA1"};

/* ---- asking ours, asking default ----------------------------------------- */

static struct mpkprov_frame last; /* of the last derivation */

static int ours(const struct kdf_request *r, int strict, void *out, size_t len)
{
    static unsigned char shown[96];
    struct mpkprov_frame f = {.in = r,
                              .in_len = sizeof(*r),
                              .out = out,
                              .out_len = len,
                              .out2 = shown,
                              .out2_len = sizeof(shown),
                              .type = strict};
    int ret = (int)kdf_derive_stub(&f);

    last = f;
    return ret;
}

static void add(OSSL_PARAM **p, const char *name, struct kdf_piece piece)
{
    if (piece.p != NULL) {
        *(*p)++ =
            OSSL_PARAM_construct_octet_string(name, (void *)piece.p, piece.len);
    }
}

static void stock(const struct kdf_request *r, void *out, size_t len)
{
    EVP_KDF *kdf = EVP_KDF_fetch(
        NULL, r->which == KDF_TLS13 ? "TLS13-KDF" : "TLS1-PRF", NULL);
    EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
    OSSL_PARAM params[KDF_SEEDS + 8], *p = params;
    int mode = r->mode == KDF_EXTRACT ? EVP_KDF_HKDF_MODE_EXTRACT_ONLY
                                      : EVP_KDF_HKDF_MODE_EXPAND_ONLY;

    *p++ = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST,
                                            (char *)digest_name[r->digest], 0);
    if (r->which == KDF_TLS13) {
        *p++ = OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode);
        add(&p, OSSL_KDF_PARAM_KEY, r->key);
    } else {
        add(&p, OSSL_KDF_PARAM_SECRET, r->key);
    }
    add(&p, OSSL_KDF_PARAM_SALT, r->salt);
    add(&p, OSSL_KDF_PARAM_PREFIX, r->prefix);
    add(&p, OSSL_KDF_PARAM_LABEL, r->label);
    add(&p, OSSL_KDF_PARAM_DATA, r->data);
    for (int i = 0; i < r->n_seeds; i++) {
        add(&p, OSSL_KDF_PARAM_SEED, r->seed[i]);
    }
    *p = OSSL_PARAM_construct_end();
    CHECK(EVP_KDF_derive(ctx, out, len, params) == 1);
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
}

/* ---- TLS 1.3 ------------------------------------------------------------- */

static const struct {
    const char *label;
    int in, out; /* 0: in the clear */
    size_t data, len;
} expansions[] = {{"c e traffic", SECRET_STAGE, SECRET_TRAFFIC, 32, 32},
                  {"c hs traffic", SECRET_STAGE, SECRET_TRAFFIC, 32, 32},
                  {"s hs traffic", SECRET_STAGE, SECRET_TRAFFIC, 32, 32},
                  {"c ap traffic", SECRET_STAGE, SECRET_TRAFFIC, 32, 32},
                  {"s ap traffic", SECRET_STAGE, SECRET_TRAFFIC, 32, 32},
                  {"res binder", SECRET_STAGE, SECRET_TRAFFIC, 32, 32},
                  {"ext binder", SECRET_STAGE, SECRET_TRAFFIC, 32, 32},
                  {"exp master", SECRET_STAGE, SECRET_EXPORT, 32, 32},
                  {"e exp master", SECRET_STAGE, SECRET_EXPORT, 32, 32},
                  {"res master", SECRET_STAGE, SECRET_RESUME, 32, 32},
                  {"resumption", SECRET_RESUME, SECRET_PSK, 8, 32},
                  {"traffic upd", SECRET_TRAFFIC, SECRET_TRAFFIC, 0, 32},
                  {"quic ku", SECRET_TRAFFIC, SECRET_TRAFFIC, 0, 32},
                  {"key", SECRET_TRAFFIC, SECRET_KEY, 0, 16},
                  {"key", SECRET_TRAFFIC, SECRET_KEY, 0, 32},
                  {"quic key", SECRET_TRAFFIC, SECRET_KEY, 0, 16},
                  {"iv", SECRET_TRAFFIC, 0, 0, 12},
                  {"quic iv", SECRET_TRAFFIC, 0, 0, 12},
                  {"quic hp", SECRET_TRAFFIC, 0, 0, 32},
                  {"quicv2 ku", SECRET_TRAFFIC, SECRET_TRAFFIC, 0, 32},
                  {"quicv2 key", SECRET_TRAFFIC, SECRET_KEY, 0, 16},
                  {"quicv2 iv", SECRET_TRAFFIC, 0, 0, 12},
                  {"quicv2 hp", SECRET_TRAFFIC, 0, 0, 32},
                  {"finished", SECRET_TRAFFIC, 0, 0, 32},
                  {"client in", 0, SECRET_TRAFFIC, 0, 32},
                  {"server in", 0, SECRET_TRAFFIC, 0, 32},
                  {"ech accept confirmation", 0, 0, 32, 8},
                  {"hrr ech accept confirmation", 0, 0, 32, 8},
                  {"EXPORTER-x", SECRET_EXPORT, SECRET_EXPORT2, 32, 32},
                  {"exporter", SECRET_EXPORT2, 0, 32, 77}};

static void test_expansions_have_their_types(void)
{
    for (size_t i = 0; i < sizeof(expansions) / sizeof(expansions[0]); i++) {
        unsigned char secret[32], handle[32], got[80], want[80], data[32];
        struct kdf_request r = {.which = KDF_TLS13,
                                .mode = KDF_EXPAND,
                                .digest = PRF_SHA256,
                                .prefix = WORD("tls13 ")};
        size_t len = expansions[i].len;
        int out = expansions[i].out;

        RAND_bytes(secret, sizeof(secret));
        RAND_bytes(data, sizeof(data));
        memcpy(handle, secret, sizeof(handle));
        if (expansions[i].in != 0) {
            secret_seal((enum secret_type)expansions[i].in, handle, 32);
        }
        r.label = PIECE(expansions[i].label, strlen(expansions[i].label));
        r.data =
            PIECE(expansions[i].data != 0 ? data : NULL, expansions[i].data);
        r.key = PIECE(handle, 32);
        CHECK(ours(&r, 1, got, len) == 1);
        r.key = PIECE(secret, 32);
        stock(&r, want, len);
        CHECK(out == 0 || memcmp(got, want, len) != 0);
        if (out == SECRET_KEY) {
            CHECK(key_take(got, len) == (strcmp(expansions[i].label, "key") == 0
                                             ? KEY_OF_TLS13
                                             : KEY_OF_QUIC));
            CHECK(key_take(got, len) == KEY_RAW); /* as it is */
        } else if (out != 0) {
            secret_open((enum secret_type)out, got, len);
        }
        CHECK(memcmp(got, want, len) == 0);
    }
}

/* For a cipher key, from a secret of 32 bytes. */
static struct kdf_request key_request(const unsigned char *secret)
{
    return (struct kdf_request){.which = KDF_TLS13,
                                .mode = KDF_EXPAND,
                                .digest = PRF_SHA256,
                                .key = PIECE(secret, 32),
                                .prefix = WORD("tls13 "),
                                .label = WORD("key")};
}

/* As long as there is none: a cipher would take the handle for a key. */
static void test_without_memory_for_a_key_there_is_no_handle(void)
{
    static const unsigned char nothing[64];
    unsigned char secret[48] = {1}, out[40] = {0};
    struct kdf_request r = key_request(secret);

    fake_inside_full = 1;
    CHECK(ours(&r, 1, out, 16) == 0);
    CHECK(last.error.reason == MPKPROV_R_MEMORY);
    CHECK(memcmp(out, nothing, 16) == 0);
    r = (struct kdf_request){
        .which = KDF_TLS1,
        .digest = PRF_SHA256,
        .n_seeds = 2,
        .seed = {WORD("key expansion"), PIECE(nothing, 64)},
        .key = PIECE(secret, 48)};
    CHECK(ours(&r, 1, out, sizeof(out)) == 0);
    CHECK(last.error.reason == MPKPROV_R_MEMORY);
    CHECK(memcmp(out, nothing, sizeof(out)) == 0);
    fake_inside_full = 0;
    CHECK(ours(&r, 1, out, sizeof(out)) == 1);
}

/* The same key nine times in one call, and again and again in others. */
static void test_a_key_that_is_asked_for_again_is_no_more_keys(void)
{
    unsigned char secret[32] = {0}, key[32], again[KDF_NEXT_MAX][32], p[32];
    struct kdf_request r = key_request(secret);
    struct kdf_next next[KDF_NEXT_MAX];
    struct mpkprov_frame f = {.in = &r,
                              .in_len = sizeof(r),
                              .out = key,
                              .out_len = sizeof(key),
                              .in2 = next,
                              .in2_len = KDF_NEXT_MAX};

    RAND_bytes(secret, sizeof(secret));
    for (int i = 0; i < KDF_NEXT_MAX; i++) {
        next[i] = (struct kdf_next){.mode = KDF_EXPAND,
                                    .key = r.key,
                                    .label = r.label,
                                    .out = again[i],
                                    .out_len = sizeof(again[i])};
    }
    CHECK(kdf_derive_stub(&f) == 1 && f.handle2 == KDF_NEXT_MAX);
    CHECK(memcmp(again[KDF_NEXT_MAX - 1], key, sizeof(key)) == 0);
    memcpy(p, key, sizeof(p));
    CHECK(key_take(p, sizeof(p)) == KEY_OF_TLS13);
    memcpy(p, key, sizeof(p));
    CHECK(key_take(p, sizeof(p)) == KEY_GONE);
    for (int i = 0; i < 5; i++) {
        CHECK(ours(&r, 1, key, sizeof(key)) == 1);
    }
    for (int i = 0; i < 5; i++) {
        memcpy(p, key, sizeof(p));
        CHECK(key_take(p, sizeof(p)) == (i < 2 ? KEY_OF_TLS13 : KEY_GONE));
    }
}

static void extract_with(enum prf_digest d, size_t key_len, int psk)
{
    size_t n = prf_size(d), sealed = key_len;
    unsigned char secret[1100], handle[1100], salt[48], salt_handle[48];
    unsigned char got[48], want[48];
    struct kdf_request r = {.which = KDF_TLS13,
                            .mode = KDF_EXTRACT,
                            .digest = d,
                            .prefix = WORD("tls13 "),
                            .label = WORD("derived")};

    RAND_bytes(secret, sizeof(secret));
    RAND_bytes(salt, sizeof(salt));
    memcpy(salt_handle, salt, sizeof(salt));
    secret_seal(SECRET_STAGE, salt_handle, n);
    if (psk) {
        memcpy(handle, secret, n);
        secret_seal(SECRET_PSK, handle, n);
    } else if (key_len != 0) {
        premaster_seal(handle, secret, key_len);
        sealed += PREMASTER_MORE;
    }
    r.key = PIECE(key_len != 0 ? handle : NULL, sealed);
    r.salt = PIECE(psk ? NULL : salt_handle, psk ? 0 : n);
    CHECK(ours(&r, 1, got, n) == 1);
    CHECK(last.what == 0);
    r.key = PIECE(key_len != 0 ? secret : NULL, key_len);
    r.salt = PIECE(psk ? NULL : salt, psk ? 0 : n);
    stock(&r, want, n);
    secret_open(SECRET_STAGE, got, n);
    CHECK(memcmp(got, want, n) == 0);
}

static void test_extracts_have_their_types(void)
{
    static const size_t lengths[] = {0, 32, 48, 56, 64, 66, 256, 1024};

    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        extract_with(PRF_SHA256, lengths[i], 0);
        extract_with(PRF_SHA384, lengths[i], 0);
    }
    extract_with(PRF_SHA256, 32, 1);
    extract_with(PRF_SHA384, 48, 1);
}

static void test_an_exchange_for_tls12_is_refused(void)
{
    unsigned char secret[32] = {1}, key[48], salt[32] = {2}, out[32];
    struct kdf_request r = {.which = KDF_TLS13,
                            .mode = KDF_EXTRACT,
                            .digest = PRF_SHA256,
                            .key = PIECE(key, 48),
                            .salt = PIECE(salt, 32),
                            .prefix = WORD("tls13 "),
                            .label = WORD("derived")};

    premaster_seal_tls12(key, secret, sizeof(secret));
    for (int strict = 0; strict < 2; strict++) {
        CHECK(ours(&r, strict, out, 32) == 0);
        CHECK(strstr(last.error.text, "compressed") != NULL);
    }
}

static void test_a_raw_exchange_is_refused_or_told(void)
{
    unsigned char raw[32] = {1}, salt[32] = {2}, out[32];
    struct kdf_request r = {.which = KDF_TLS13,
                            .mode = KDF_EXTRACT,
                            .digest = PRF_SHA256,
                            .key = PIECE(raw, 32),
                            .salt = PIECE(salt, 32),
                            .prefix = WORD("tls13 "),
                            .label = WORD("derived")};

    CHECK(ours(&r, 1, out, 32) == 0);
    CHECK(strstr(last.error.text, "role = tls first") != NULL);
    CHECK(ours(&r, 0, out, 32) == 1);
    CHECK(last.what == KDF_RAW);
}

/* ---- TLS 1.2 ------------------------------------------------------------- */

static unsigned char randoms[64];

static struct kdf_request request12(enum prf_digest d, struct kdf_piece label,
                                    struct kdf_piece rest, struct kdf_piece key)
{
    return (struct kdf_request){.which = KDF_TLS1,
                                .digest = d,
                                .n_seeds = 2,
                                .seed = {label, rest},
                                .key = key};
}

/* |given| is what libssl holds, |secret| what it stands for. */
static void premaster(struct kdf_piece given, struct kdf_piece secret,
                      int strict)
{
    struct kdf_request r;
    unsigned char got[48], want[48];

    r = request12(PRF_SHA256, WORD("master secret"), PIECE(randoms, 64), given);
    CHECK(ours(&r, strict, got, 48) == 1);
    r.key = secret;
    stock(&r, want, 48);
    CHECK(memcmp(got, want, 48) != 0);
    secret_open(SECRET_MASTER, got, 48);
    CHECK(memcmp(got, want, 48) == 0);
}

static size_t compose(unsigned char *out, const unsigned char *a, size_t a_len,
                      const unsigned char *b, size_t b_len)
{
    out[0] = (unsigned char)(a_len >> 8);
    out[1] = (unsigned char)a_len;
    memcpy(out + 2, a, a_len);
    out[2 + a_len] = (unsigned char)(b_len >> 8);
    out[3 + a_len] = (unsigned char)b_len;
    memcpy(out + 4 + a_len, b, b_len);
    return a_len + b_len + 4;
}

static void test_premasters_of_every_kind_arrive(void)
{
    static const unsigned char zeros[20];
    unsigned char pms[300], handle[320], psk[20], a[400], b[400];
    size_t a_len, b_len;

    RAND_bytes(pms, sizeof(pms));
    pms[0] |= 1; /* for a zero in front see below */
    RAND_bytes(psk, sizeof(psk));
    for (size_t n = 32; n <= 256; n += 14) {
        premaster_seal(handle, pms, n);
        premaster(PIECE(handle, n + 16), PIECE(pms, n), 1);
        premaster_seal_tls12(handle, pms, n);
        premaster(PIECE(handle, n + 16), PIECE(pms, n), 1);
        a_len = compose(a, handle, n + 16, psk, sizeof(psk));
        b_len = compose(b, pms, n, psk, sizeof(psk));
        premaster(PIECE(a, a_len), PIECE(b, b_len), 1);
    }
    premaster(PIECE(pms, 256), PIECE(pms, 256), 1);
    premaster(PIECE(pms, 127), PIECE(pms, 127), 1);
    b_len = compose(b, zeros, sizeof(psk), psk, sizeof(psk));
    premaster(PIECE(b, b_len), PIECE(b, b_len), 1);
    b_len = compose(b, pms, 256, psk, sizeof(psk));
    premaster(PIECE(b, b_len), PIECE(b, b_len), 1);
    memcpy(pms, "\3\3", 2);
    premaster(PIECE(pms, 48), PIECE(pms, 48), 1);
    memcpy(handle, pms, 48);
    rsa_premaster_seal(handle, 0);
    premaster(PIECE(handle, 48), PIECE(pms, 48), 1);
    a_len = compose(a, handle, 48, psk, sizeof(psk));
    b_len = compose(b, pms, 48, psk, sizeof(psk));
    premaster(PIECE(a, a_len), PIECE(b, b_len), 1);
    premaster(PIECE(b, b_len), PIECE(b, b_len), 1);
}

/* A number's, not those of a curve's secret (RFC 5246 8.1.2, RFC 8422 5.10). */
static void test_zeros_in_front_are_cut(void)
{
    unsigned char pms[256] = {0, 0, 1}, handle[256 + PREMASTER_MORE];

    premaster_seal(handle, pms, 256);
    premaster(PIECE(handle, 256 + PREMASTER_MORE), PIECE(pms + 2, 254), 1);
    premaster_seal(handle, pms, 66);
    premaster(PIECE(handle, 66 + PREMASTER_MORE), PIECE(pms, 66), 1);
}

static void refused_or_told(struct kdf_piece secret)
{
    struct kdf_request r = request12(PRF_SHA256, WORD("extended master secret"),
                                     PIECE(randoms, 32), secret);
    unsigned char out[48];

    CHECK(ours(&r, 1, out, 48) == 0);
    CHECK(last.error.reason == MPKPROV_R_UNPROTECTED);
    CHECK(ours(&r, 0, out, 48) == 1);
    CHECK(last.what == KDF_RAW);
}

/* Also beside a pre-shared key, and one that begins as an RSA client's does,
 * but for the second byte. */
static void test_a_curves_raw_secret_is_refused_or_told(void)
{
    static const size_t lengths[] = {32, 48, 56, 64, 66};
    unsigned char raw[66], psk[16] = {1}, both[128];

    for (int fe = 0; fe < 2; fe++) {
        memset(raw, 0x77, sizeof(raw));
        raw[0] = fe ? 0xfe : 0x77;
        for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
            refused_or_told(PIECE(raw, lengths[i]));
            refused_or_told(
                PIECE(both, compose(both, raw, lengths[i], psk, sizeof(psk))));
        }
    }
    /* Nor is one that begins like zeros beside a key, of another length. */
    memset(raw, 0, sizeof(raw));
    raw[1] = 4;
    raw[31] = 1;
    refused_or_told(PIECE(raw, 32));
    memset(raw, 0xff, sizeof(raw));
    refused_or_told(PIECE(raw, 3));
}

/* Only of the PRF of TLS 1.0 is nothing opened for such a label. */
static void test_a_label_of_openvpn_is_an_exporters_in_tls12(void)
{
    unsigned char master[48] = {8}, handle[48] = {8}, got[48], want[48];
    struct kdf_request r = request12(PRF_SHA256, WORD("OpenVPN master secret"),
                                     PIECE(randoms, 64), PIECE(handle, 48));

    secret_seal(SECRET_MASTER, handle, 48);
    CHECK(ours(&r, 1, got, 48) == 1);
    r.key = PIECE(master, 48);
    stock(&r, want, 48);
    CHECK(memcmp(got, want, 48) == 0);
}

static void block_of(enum prf_digest d, size_t len, size_t key)
{
    unsigned char master[48], handle[48], got[192], want[192];
    struct kdf_request r;

    RAND_bytes(master, sizeof(master));
    memcpy(handle, master, sizeof(master));
    secret_seal(SECRET_MASTER, handle, 48);
    r = request12(d, WORD("key expansion"), PIECE(randoms, 64),
                  PIECE(handle, 48));
    CHECK(ours(&r, 1, got, len) == 1);
    r.key = PIECE(master, 48);
    stock(&r, want, len);
    if (key != 0) {
        CHECK(memcmp(got, want, 2 * key) != 0);
        CHECK(key_take(got, key) == KEY_OF_TLS12);
        CHECK(key_take(got + key, key) == KEY_OF_TLS12);
    }
    CHECK(memcmp(got, want, len) == 0);
}

static void test_key_blocks(void)
{
    block_of(PRF_SHA256, 40, 16);
    block_of(PRF_SHA256, 72, 32);
    block_of(PRF_SHA384, 72, 32);
    block_of(PRF_SHA256, 88, 32);
    block_of(PRF_SHA256, 104, 0);
    block_of(PRF_SHA384, 192, 0);
    block_of(PRF_MD5_SHA1, 136, 0);
    /* (EC)DHE-PSK and PSK suites with SHA-256 and SHA-384 go back to 1.0. */
    block_of(PRF_MD5_SHA1, 128, 0);
    block_of(PRF_MD5_SHA1, 192, 0);
}

/* Suites that encrypt nothing: the keys are for MACs, which libssl makes. */
static void test_key_blocks_of_null_suites(void)
{
    block_of(PRF_SHA256, 32, 0);
    block_of(PRF_SHA256, 64, 0);
    block_of(PRF_SHA384, 96, 0);
    block_of(PRF_MD5_SHA1, 32, 0);
    block_of(PRF_MD5_SHA1, 40, 0);
    block_of(PRF_MD5_SHA1, 64, 0);
    block_of(PRF_MD5_SHA1, 96, 0);
}

static void set_flags(int flags)
{
    struct mpkprov_frame f = {.what = flags};

    kdf_boot(&f);
}

static void test_x448_may_be_left_to_others(void)
{
    unsigned char raw[57], salt[32], out[48];
    struct kdf_request r;

    memset(raw, 0x77, sizeof(raw));
    memset(salt, 0x11, sizeof(salt));
    set_flags(KDF_LEAVE_X448);
    for (size_t n = 55; n <= 57; n++) {
        r = request12(PRF_SHA256, WORD("extended master secret"),
                      PIECE(randoms, 32), PIECE(raw, n));
        CHECK(ours(&r, 1, out, 48) == (n == X448_SECRET));
        CHECK(last.what == (n == X448_SECRET ? KDF_RAW_LEFT : KDF_RAW));
        r = (struct kdf_request){.which = KDF_TLS13,
                                 .mode = KDF_EXTRACT,
                                 .digest = PRF_SHA256,
                                 .prefix = WORD("tls13 "),
                                 .label = WORD("derived"),
                                 .salt = PIECE(salt, 32),
                                 .key = PIECE(raw, n)};
        CHECK(ours(&r, 1, out, 32) == (n == X448_SECRET));
        CHECK(last.what == (n == X448_SECRET ? KDF_RAW_LEFT : KDF_RAW));
    }
    set_flags(0);
}

static void test_cbc_can_be_refused(void)
{
    unsigned char master[48] = {0}, out[192];
    struct kdf_request r;

    r = request12(PRF_SHA256, WORD("key expansion"), PIECE(randoms, 64),
                  PIECE(master, 48));
    set_flags(KDF_NO_CBC);
    CHECK(ours(&r, 1, out, 104) == 0);
    CHECK(last.error.reason == MPKPROV_R_UNPROTECTED);
    CHECK(ours(&r, 1, out, 40) == 1);
    set_flags(0);
    CHECK(ours(&r, 1, out, 104) == 1);
}

/* What an RSA client makes, DHE's, and a pre-shared key alone; and what has a
 * handle, also beside such a key. */
static void test_a_raw_premaster_can_be_refused(void)
{
    unsigned char raw[256], zeros[16] = {0}, psk[16] = {1}, both[300], out[48];
    unsigned char handle[32 + PREMASTER_MORE];
    size_t alone = compose(both, zeros, sizeof(zeros), psk, sizeof(psk));
    struct kdf_piece refused[] = {PIECE(raw, 48), PIECE(raw, 256),
                                  PIECE(raw, X448_SECRET), PIECE(both, alone)};
    struct kdf_request r;

    memset(raw, 0x77, sizeof(raw));
    raw[0] = raw[1] = 3;
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        r = request12(PRF_SHA256, WORD("extended master secret"),
                      PIECE(randoms, 32), refused[i]);
        set_flags(KDF_NO_RAW | KDF_LEAVE_X448);
        CHECK(ours(&r, 0, out, 48) == 0);
        CHECK(last.error.reason == MPKPROV_R_UNPROTECTED);
        set_flags(KDF_LEAVE_X448);
        CHECK(ours(&r, 1, out, 48) == 1);
    }
    set_flags(KDF_NO_RAW);
    premaster_seal(handle, raw, 32);
    r = request12(PRF_SHA256, WORD("extended master secret"),
                  PIECE(randoms, 32), PIECE(handle, sizeof(handle)));
    CHECK(ours(&r, 1, out, 48) == 1);
    r.key =
        PIECE(both, compose(both, handle, sizeof(handle), psk, sizeof(psk)));
    CHECK(ours(&r, 1, out, 48) == 1);
    set_flags(0);
}

/* ---- under the call ------------------------------------------------------ */

/* A copy of |from| that may be overwritten. */
static struct kdf_piece fragile(unsigned char *room, const void *from,
                                size_t len)
{
    memcpy(room, from, len);
    return PIECE(room, len);
}

/* Every parameter is overwritten as soon as it was looked at once. */
static void test_parameters_are_read_once(void)
{
    static const unsigned char master[48] = {6}, traffic[32] = {7};
    unsigned char key[48], prefix[6], label[16], data[64], calm[40], got[40];

    for (int hostile = 0; hostile < 2; hostile++) {
        unsigned char *out = hostile ? got : calm;
        struct kdf_request r = {.which = KDF_TLS13, .mode = KDF_EXPAND};

        fake_inside_hostile = hostile;
        r.key = fragile(key, traffic, 32);
        r.prefix = fragile(prefix, "tls13 ", 6);
        r.label = fragile(label, "finished", 8);
        CHECK(ours(&r, 1, out, 32) == 1);
        fake_inside_hostile = 0;
    }
    CHECK(memcmp(calm, got, 32) == 0);
    for (int hostile = 0; hostile < 2; hostile++) {
        struct kdf_request r;

        r = request12(PRF_SHA256, fragile(label, "key expansion", 13),
                      fragile(data, randoms, 64), fragile(key, master, 48));
        fake_inside_hostile = hostile;
        CHECK(ours(&r, 1, hostile ? got : calm, 40) == 1);
        fake_inside_hostile = 0;
    }
    CHECK(memcmp(calm, got, 40) == 0);
}

/* ---- the key log --------------------------------------------------------- */

static void test_secrets_are_shown_only_if_asked_for_at_start(void)
{
    static const unsigned char nothing[64];
    unsigned char master[48] = {5}, handle[48] = {5}, out[40], stage[32] = {9};
    unsigned char room[64] = {0};
    struct mpkprov_frame f;
    struct kdf_request r12, r13 = {.which = KDF_TLS13,
                                   .mode = KDF_EXPAND,
                                   .key = PIECE(stage, 32),
                                   .prefix = WORD("tls13 "),
                                   .label = WORD("c ap traffic"),
                                   .data = PIECE(randoms, 32)};

    secret_seal(SECRET_MASTER, handle, 48);
    r12 = request12(PRF_SHA256, WORD("key expansion"), PIECE(randoms, 64),
                    PIECE(handle, 48));
    CHECK(ours(&r12, 1, out, 40) == 1 && last.out2_len == 0);
    CHECK(ours(&r13, 1, out, 32) == 1 && last.out2_len == 0);
    set_flags(KDF_REVEAL);
    CHECK(ours(&r12, 1, out, 40) == 1 && last.out2_len == 80);
    CHECK(memcmp(last.out2, randoms + 32, 32) == 0);
    CHECK(memcmp((unsigned char *)last.out2 + 32, master, 48) == 0);
    CHECK(ours(&r13, 1, out, 32) == 1 && last.out2_len == 64);
    CHECK(memcmp(last.out2, out, 32) == 0);
    secret_open(SECRET_TRAFFIC, out, 32);
    CHECK(memcmp((unsigned char *)last.out2 + 32, out, 32) == 0);
    /* Not where the caller has no room for it. */
    f = (struct mpkprov_frame){.in = &r13,
                               .in_len = sizeof(r13),
                               .out = out,
                               .out_len = 32,
                               .out2 = room,
                               .out2_len = 63};
    CHECK(kdf_derive_stub(&f) == 1 && f.out2_len == 64);
    CHECK(memcmp(room, nothing, sizeof(room)) == 0);
    r13.label = WORD("res master");
    CHECK(ours(&r13, 1, out, 32) == 1 && last.out2_len == 0);
    set_flags(0);
}

/* ---- what no proxy asks for ---------------------------------------------- */

static int is_too_long(const struct kdf_request *r)
{
    unsigned char out[32];

    return ours(r, 0, out, sizeof(out)) == 0 &&
           strstr(last.error.text, "too long") != NULL;
}

/* Each part is copied to a place of fixed size, inside. */
static void test_parts_have_to_fit(void)
{
    static const unsigned char many[(1 << 17) + 1];
    const struct kdf_request good = {.which = KDF_TLS13,
                                     .mode = KDF_EXPAND,
                                     .key = PIECE(many, 32),
                                     .prefix = WORD("tls13 "),
                                     .label = WORD("iv")};
    unsigned char out[32];
    struct kdf_request r = good;

    CHECK(ours(&r, 0, out, 12) == 1);
    r.key.len = KDF_KEY_MAX + 1;
    CHECK(is_too_long(&r));
    r = good;
    r.prefix = PIECE(many, 8);
    CHECK(is_too_long(&r));
    r = good;
    r.label = PIECE(many, 257);
    CHECK(is_too_long(&r));
    r = good;
    r.data = PIECE(many, 257);
    CHECK(is_too_long(&r));
    r = request12(PRF_SHA256, WORD("EXPORTER-x"), PIECE(many, 1 << 17),
                  PIECE(many, 48));
    CHECK(ours(&r, 0, out, sizeof(out)) == 1);
    r.seed[1].len = (1 << 17) + 1;
    CHECK(ours(&r, 0, out, sizeof(out)) == 0);
}

static void test_numbers_have_to_be_ones_that_there_are(void)
{
    static const unsigned char none[64];
    static unsigned char out[KDF_OUT_MAX + 1];
    struct kdf_request r = request12(PRF_SHA256, WORD("EXPORTER-x"),
                                     PIECE(none, 64), PIECE(none, 48));
    struct mpkprov_frame f = {
        .in = &r, .in_len = sizeof(r), .out = out, .out_len = 32};

    CHECK(kdf_derive_stub(&f) == 1);
    f.in_len = sizeof(r) - 1;
    CHECK(kdf_derive_stub(&f) == 0);
    CHECK(ours(&r, 0, out, 0) == 0);
    CHECK(ours(&r, 0, out, KDF_OUT_MAX) == 1);
    CHECK(ours(&r, 0, out, KDF_OUT_MAX + 1) == 0);
    r.mode = KDF_EXPAND;
    CHECK(ours(&r, 0, out, 32) == 0);
    r.mode = KDF_NO_MODE;
    for (int d = -1; d <= PRF_DIGESTS; d += PRF_DIGESTS + 1) {
        r.digest = d;
        CHECK(ours(&r, 0, out, 32) == 0);
        CHECK(strstr(last.error.text, "digest or length") != NULL);
    }
    r = request12(PRF_SHA256, WORD("master secret"), PIECE(none, 64),
                  (struct kdf_piece){NULL, 0});
    CHECK(ours(&r, 0, out, 48) == 0);
}

/* Behind the last seed of a request there is something else. */
static void test_there_are_no_more_seeds_than_have_room(void)
{
    static const unsigned char none[64];
    unsigned char out[32];
    struct kdf_work w = {.digest = PRF_SHA256,
                         .key_len = 48,
                         .has_key = 1,
                         .out = out,
                         .out_len = sizeof(out)};
    struct mpkprov_frame f = {0};
    struct {
        struct kdf_request r;
        struct kdf_piece behind;
    } x = {.r = request12(PRF_SHA256, WORD("EXPORTER-x"), PIECE(none, 64),
                          PIECE(none, 48)),
           .behind = PIECE(none, 1)};

    for (int n = 2; n < KDF_SEEDS; n++) {
        x.r.seed[n] = PIECE(none, 1);
    }
    x.r.n_seeds = KDF_SEEDS;
    CHECK(kdf_tls1_derive(&f, &w, &x.r) == 1);
    x.r.n_seeds = KDF_SEEDS + 1;
    CHECK(kdf_tls1_derive(&f, &w, &x.r) == 0);
}

/* ---- derivations that go along ------------------------------------------- */

static struct mpkprov_frame along(const struct kdf_request *r, void *out,
                                  const struct kdf_next *next, size_t n)
{
    return (struct mpkprov_frame){.in = r,
                                  .in_len = sizeof(*r),
                                  .out = out,
                                  .out_len = 12,
                                  .in2 = next,
                                  .in2_len = n};
}

/* One handle is another secret as another type, and so is another handle. */
static void test_each_is_what_it_is_in_a_call_of_its_own(void)
{
    static const unsigned char one[32] = {1}, two[32] = {2}, hash[32] = {3};
    const struct {
        const unsigned char *key;
        struct kdf_piece label, data;
        size_t len;
    } list[] = {{one, WORD("finished"), {NULL, 0}, 32},
                {one, WORD("exporter"), PIECE(hash, 32), 32},
                {one, WORD("res binder"), PIECE(hash, 32), 32},
                {one, WORD("iv"), {NULL, 0}, 12},
                {two, WORD("iv"), {NULL, 0}, 12}};
    enum { N = sizeof(list) / sizeof(list[0]) };
    unsigned char iv[12], got[N][32], alone[32];
    struct kdf_request r = {.which = KDF_TLS13,
                            .mode = KDF_EXPAND,
                            .key = PIECE(one, 32),
                            .prefix = WORD("tls13 "),
                            .label = WORD("iv")};
    struct kdf_next next[N];
    struct mpkprov_frame f = along(&r, iv, next, N);

    for (int i = 0; i < N; i++) {
        next[i] = (struct kdf_next){.mode = KDF_EXPAND,
                                    .key = PIECE(list[i].key, 32),
                                    .label = list[i].label,
                                    .data = list[i].data,
                                    .out = got[i],
                                    .out_len = list[i].len};
    }
    CHECK(kdf_derive_stub(&f) == 1 && f.handle2 == N);
    for (int i = 0; i < N; i++) {
        r.key = PIECE(list[i].key, 32);
        r.label = list[i].label;
        r.data = list[i].data;
        CHECK(ours(&r, 1, alone, list[i].len) == 1);
        CHECK(memcmp(got[i], alone, list[i].len) == 0);
    }
}

static void test_what_does_not_go_along(void)
{
    static const unsigned char secret[32] = {1}, raw[X448_SECRET] = {1};
    static unsigned char out[KDF_SMALL_OUT + 1];
    struct kdf_request r = {.which = KDF_TLS13,
                            .mode = KDF_EXPAND,
                            .key = PIECE(secret, 32),
                            .prefix = WORD("tls13 "),
                            .label = WORD("iv")};
    struct kdf_next next[KDF_NEXT_MAX + 1];
    struct mpkprov_frame f;

    for (int i = 0; i <= KDF_NEXT_MAX; i++) {
        next[i] = (struct kdf_next){.mode = KDF_EXPAND,
                                    .key = r.key,
                                    .label = r.label,
                                    .out = out,
                                    .out_len = 12};
    }
    f = along(&r, out, next, KDF_NEXT_MAX + 1);
    CHECK(kdf_derive_stub(&f) == 1 && f.handle2 == 0);
    for (int d = -1; d <= PRF_DIGESTS; d += PRF_DIGESTS + 1) {
        f = along(&r, out, next, 1);
        kdf_follow(&f, d);
        CHECK(f.handle2 == 0);
    }
    /* A key log has each from a call of its own. */
    set_flags(KDF_REVEAL);
    f = along(&r, out, next, 1);
    CHECK(kdf_derive_stub(&f) == 1 && f.handle2 == 0);
    set_flags(0);
    f = along(&r, out, next, 1);
    CHECK(kdf_derive_stub(&f) == 1 && f.handle2 == 1);
    /* More than there is room for; and nothing. */
    next[0].label = WORD("exporter");
    next[0].data = PIECE(randoms, 32);
    next[0].out_len = sizeof(out);
    f = along(&r, out, next, 1);
    CHECK(kdf_derive_stub(&f) == 1 && f.handle2 == 0);
    next[0].out_len = KDF_SMALL_OUT;
    f = along(&r, out, next, 1);
    CHECK(kdf_derive_stub(&f) == 1 && f.handle2 == 1);
    next[0].out_len = 0;
    f = along(&r, out, next, 1);
    CHECK(kdf_derive_stub(&f) == 1 && f.handle2 == 0);
    /* A secret in the clear, whatever its own call would be told. */
    next[0] = (struct kdf_next){.mode = KDF_NO_MODE,
                                .key = PIECE(raw, 32),
                                .label = WORD("master secret"),
                                .data = PIECE(randoms, 64),
                                .out = out,
                                .out_len = 48};
    f = along(&r, out, next, 1);
    CHECK(kdf_derive_stub(&f) == 1 && f.handle2 == 0);
    set_flags(KDF_LEAVE_X448);
    next[0].key.len = X448_SECRET;
    f = along(&r, out, next, 1);
    CHECK(kdf_derive_stub(&f) == 1 && f.handle2 == 0);
    set_flags(0);
}

/* ---- the arithmetic ------------------------------------------------------ */

static void test_the_prf_on_random_input(void)
{
    for (int i = 0; i < 300; i++) {
        unsigned char secret[150], seed[200], got[512], want[512], n[4];
        struct kdf_request r = {.which = KDF_TLS1, .digest = i % 3};

        RAND_bytes(secret, sizeof(secret));
        RAND_bytes(seed, sizeof(seed));
        RAND_bytes(n, sizeof(n));
        r.key = PIECE(secret, 1 + n[0] % 150);
        r.n_seeds = 1;
        r.seed[0] = PIECE(seed, 1 + n[1] % 200);
        tls1_prf((enum prf_digest)r.digest, got, 1 + n[2] * 2, secret,
                 r.key.len, seed, r.seed[0].len);
        stock(&r, want, 1 + n[2] * 2);
        CHECK(memcmp(got, want, 1 + n[2] * 2) == 0);
    }
}

/* ---- for a reader -------------------------------------------------------- */

static void print_cost(void)
{
    unsigned char stage[32] = {9}, out[32];
    struct kdf_request r = {.which = KDF_TLS13,
                            .mode = KDF_EXPAND,
                            .key = PIECE(stage, 32),
                            .prefix = WORD("tls13 "),
                            .label = WORD("c ap traffic"),
                            .data = PIECE(randoms, 32)};
    struct timespec a, b;
    double best = 1e9;

    for (int round = 0; round < 50; round++) {
        double ns;

        clock_gettime(CLOCK_MONOTONIC, &a);
        for (int i = 0; i < 200; i++) {
            ours(&r, 1, out, 32);
        }
        clock_gettime(CLOCK_MONOTONIC, &b);
        ns = ((double)(b.tv_sec - a.tv_sec) * 1e9 +
              (double)(b.tv_nsec - a.tv_nsec)) /
             200;
        best = ns < best ? ns : best;
    }
    printf("HKDF-Expand-Label with its handles, inside: %.0f ns\n", best);
}

int main(void)
{
    struct mpkprov_frame f = {0};

    fake_inside_start();
    CHECK(secret_boot(&f, NULL) == 1);
    RAND_bytes(randoms, sizeof(randoms));
    test_without_memory_for_a_key_there_is_no_handle();
    test_expansions_have_their_types();
    test_a_key_that_is_asked_for_again_is_no_more_keys();
    test_extracts_have_their_types();
    test_an_exchange_for_tls12_is_refused();
    test_a_raw_exchange_is_refused_or_told();
    test_premasters_of_every_kind_arrive();
    test_zeros_in_front_are_cut();
    test_a_curves_raw_secret_is_refused_or_told();
    test_x448_may_be_left_to_others();
    test_a_label_of_openvpn_is_an_exporters_in_tls12();
    test_key_blocks();
    test_key_blocks_of_null_suites();
    test_cbc_can_be_refused();
    test_a_raw_premaster_can_be_refused();
    test_parameters_are_read_once();
    test_secrets_are_shown_only_if_asked_for_at_start();
    test_parts_have_to_fit();
    test_numbers_have_to_be_ones_that_there_are();
    test_there_are_no_more_seeds_than_have_room();
    test_each_is_what_it_is_in_a_call_of_its_own();
    test_what_does_not_go_along();
    test_the_prf_on_random_input();
    print_cost();
    return claims_end();
}
