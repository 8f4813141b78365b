/*
 * Both sides of the handles at once, in TLS 1.2: what the PRF hands out as a
 * handle is, when opened, what the default provider derives from the opened
 * inputs; pre-master secrets of every kind arrive.
 */
#include "claims.h"
#include "fake_inside.h"
#include "kdf_call.h"
#include "secret.h"
#include "tls_kdf.h"

#include <openssl/rand.h>
#include <string.h>

/* ---- pre-master secrets and key blocks ----------------------------------- */

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

int main(void)
{
    kdf_start();
    test_premasters_of_every_kind_arrive();
    test_zeros_in_front_are_cut();
    test_a_curves_raw_secret_is_refused_or_told();
    test_x448_may_be_left_to_others();
    test_a_label_of_openvpn_is_an_exporters_in_tls12();
    test_key_blocks();
    test_key_blocks_of_null_suites();
    test_cbc_can_be_refused();
    test_a_raw_premaster_can_be_refused();
    test_the_prf_on_random_input();
    return claims_end();
}
