/*
 * The KDFs of TLS are no oracle: what is not a derivation of TLS is refused, a
 * handle of another type gives noise, and no cutting up of a label gives an
 * answer in the clear. And what an application derives otherwise is as ever.
 */

#include "interop.h"
#include "kdf_ask.h"

#include "../attack/module.h"
#include "../from_hex.h"

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define EXPAND EVP_KDF_HKDF_MODE_EXPAND_ONLY
#define EXTRACT EVP_KDF_HKDF_MODE_EXTRACT_ONLY
#define BOTH EVP_KDF_HKDF_MODE_EXTRACT_AND_EXPAND

static unsigned char bytes[300]; /* random */
#define SOME(n) BYTES(bytes, n)

/* ---- TLS 1.3: refused ---------------------------------------------------- */

static const struct {
    const char *why;
    struct ask13 ask;
    size_t len;
} refused13[] = {
    {"no prefix",
     {"SHA256", EXPAND, SOME(32), NONE, NONE, TEXT("key"), NONE},
     16},
    {"another prefix",
     {"SHA256", EXPAND, SOME(32), NONE, TEXT("dtls13"), TEXT("key"), NONE},
     16},
    {"another case",
     {"SHA256", EXPAND, SOME(32), NONE, TEXT("TLS13 "), TEXT("key"), NONE},
     16},
    {"a prefix cut short",
     {"SHA256", EXPAND, SOME(32), NONE, TEXT("tls13"), TEXT(" key"), NONE},
     16},
    {"a prefix with some of the label",
     {"SHA256", EXPAND, SOME(32), NONE, TEXT("tls13 k"), TEXT("ey"), NONE},
     16},
    {"a prefix that is more than that",
     {"SHA256", EXPAND, SOME(32), NONE, TEXT("tls13 k"), TEXT("iv"), NONE},
     12},
    {"all in the label",
     {"SHA256", EXPAND, SOME(32), NONE, TEXT(""), TEXT("tls13 key"), NONE},
     16},
    {"no label",
     {"SHA256", EXPAND, SOME(32), NONE, TEXT("tls13 "), NONE, NONE},
     32},
    {"a key of 17 bytes",
     {"SHA256", EXPAND, SOME(32), NONE, TEXT("tls13 "), TEXT("key"), NONE},
     17},
    {"a key of 48 bytes",
     {"SHA384", EXPAND, SOME(48), NONE, TEXT("tls13 "), TEXT("key"), NONE},
     48},
    {"a key with data",
     {"SHA256", EXPAND, SOME(32), NONE, TEXT("tls13 "), TEXT("key"), SOME(32)},
     16},
    {"an IV as long as a key",
     {"SHA256", EXPAND, SOME(32), NONE, TEXT("tls13 "), TEXT("iv"), NONE},
     16},
    {"a short finished key",
     {"SHA256", EXPAND, SOME(32), NONE, TEXT("tls13 "), TEXT("finished"), NONE},
     16},
    {"a traffic secret without data",
     {"SHA256", EXPAND, SOME(32), NONE, TEXT("tls13 "), TEXT("c hs traffic"),
      NONE},
     32},
    {"a long traffic secret",
     {"SHA256", EXPAND, SOME(32), NONE, TEXT("tls13 "), TEXT("c hs traffic"),
      SOME(32)},
     64},
    {"a long confirmation",
     {"SHA256", EXPAND, SOME(32), NONE, TEXT("tls13 "),
      TEXT("ech accept confirmation"), SOME(32)},
     32},
    {"a session's secret without a nonce",
     {"SHA256", EXPAND, SOME(32), NONE, TEXT("tls13 "), TEXT("resumption"),
      NONE},
     32},
    {"an unknown label without data",
     {"SHA256", EXPAND, SOME(32), NONE, TEXT("tls13 "), TEXT("Key"), NONE},
     32},
    {"an unknown label of another length",
     {"SHA256", EXPAND, SOME(32), NONE, TEXT("tls13 "), TEXT("key2"), SOME(32)},
     16},
    {"a label with a zero byte",
     {"SHA256", EXPAND, SOME(32), NONE, TEXT("tls13 "), TEXT("key\0"), NONE},
     16},
    {"a handle cut short",
     {"SHA256", EXPAND, SOME(31), NONE, TEXT("tls13 "), TEXT("iv"), NONE},
     12},
    {"a handle made longer",
     {"SHA256", EXPAND, SOME(33), NONE, TEXT("tls13 "), TEXT("iv"), NONE},
     12},
    {"no key",
     {"SHA256", EXPAND, NONE, NONE, TEXT("tls13 "), TEXT("iv"), NONE},
     12},
    {"a salt to expand",
     {"SHA256", EXPAND, SOME(32), SOME(32), TEXT("tls13 "), TEXT("iv"), NONE},
     12},
    {"extract and expand",
     {"SHA256", BOTH, SOME(32), NONE, TEXT("tls13 "), TEXT("iv"), NONE},
     12},
    {"an extract with another label",
     {"SHA256", EXTRACT, NONE, SOME(32), TEXT("tls13 "), TEXT("iv"), NONE},
     32},
    {"an extract with data",
     {"SHA256", EXTRACT, NONE, SOME(32), TEXT("tls13 "), TEXT("derived"),
      SOME(32)},
     32},
    {"an extract cut short",
     {"SHA256", EXTRACT, NONE, SOME(32), TEXT("tls13 "), TEXT("derived"), NONE},
     16},
    {"a salt cut short",
     {"SHA256", EXTRACT, NONE, SOME(31), TEXT("tls13 "), TEXT("derived"), NONE},
     32},
    {"an exchange of another provider",
     {"SHA256", EXTRACT, SOME(32), SOME(32), TEXT("tls13 "), TEXT("derived"),
      NONE},
     32},
    {"an exchange that looks like a handle",
     {"SHA256", EXTRACT, SOME(48), SOME(32), TEXT("tls13 "), TEXT("derived"),
      NONE},
     32},
    {"an external PSK",
     {"SHA256", EXTRACT, SOME(20), NONE, TEXT("tls13 "), TEXT("derived"), NONE},
     32},
    {"a digest that TLS does not have",
     {"SHA512", EXPAND, SOME(64), NONE, TEXT("tls13 "), TEXT("iv"), NONE},
     12},
    {"the digests of TLS 1.1",
     {"MD5-SHA1", EXPAND, SOME(36), NONE, TEXT("tls13 "), TEXT("iv"), NONE},
     12},
};

static void test_refusals_of_tls13(void)
{
    for (size_t i = 0; i < sizeof(refused13) / sizeof(refused13[0]); i++) {
        unsigned char out[64];

        interop_subject("TLS 1.3: %s", refused13[i].why);
        memset(out, 0xa5, sizeof(out));
        CHECK_INT(ask_tls13(NULL, &refused13[i].ask, out, refused13[i].len), 0);
        CHECK(out[0] == 0xa5 && out[11] == 0xa5);
        CHECK_QUEUE_FILLED();
    }
}

/* ---- TLS 1.3: the wrong type --------------------------------------------- */

/* A leaf that default derives from what the handle stands for. */
static void test_a_handle_of_another_type_gives_noise(void)
{
    static const char *const leaf[] = {"iv", "quic iv"};
    unsigned char stage[2][32], traffic[2][32], res[2][32], out[2][32];

    interop_subject("types");
    for (int i = 0; i < 2; i++) {
        OSSL_LIB_CTX *side = i ? interop_ref() : NULL;

        CHECK(ask_extract(side, "SHA2-256", NULL, NONE, stage[i]));
        CHECK(ask_expand(side, "SHA2-256", stage[i], "c e traffic", SOME(32),
                         traffic[i], 32));
        CHECK(ask_expand(side, "SHA2-256", stage[i], "res master", SOME(32),
                         res[i], 32));
    }
    for (int i = 0; i < 2; i++) {
        CHECK(ask_expand(NULL, "SHA2-256", traffic[0], leaf[i], NONE, out[0],
                         12));
        CHECK(ask_expand(interop_ref(), "SHA2-256", traffic[1], leaf[i], NONE,
                         out[1], 12));
        CHECK_MEM(out[0], 12, out[1], 12);
        CHECK(
            ask_expand(NULL, "SHA2-256", stage[0], leaf[i], NONE, out[0], 12));
        CHECK(ask_expand(interop_ref(), "SHA2-256", stage[1], leaf[i], NONE,
                         out[1], 12));
        CHECK(memcmp(out[0], out[1], 12) != 0);
        CHECK(ask_expand(NULL, "SHA2-256", res[0], leaf[i], NONE, out[0], 12));
        CHECK(ask_expand(interop_ref(), "SHA2-256", res[1], leaf[i], NONE,
                         out[1], 12));
        CHECK(memcmp(out[0], out[1], 12) != 0);
    }
    /* An exporter's secret in one step. */
    CHECK(ask_expand(NULL, "SHA2-256", stage[0], "exporter", SOME(32), out[0],
                     32));
    CHECK(ask_expand(interop_ref(), "SHA2-256", stage[1], "exporter", SOME(32),
                     out[1], 32));
    CHECK(memcmp(out[0], out[1], 32) != 0);
}

/* Handles of which a bit was changed: another secret, in no relation. */
static void test_a_changed_handle_gives_noise(void)
{
    unsigned char stage[32], traffic[32], want[12], got[12];

    interop_subject("a changed handle");
    CHECK(ask_extract(NULL, "SHA2-256", NULL, NONE, stage));
    CHECK(ask_expand(NULL, "SHA2-256", stage, "c e traffic", SOME(32), traffic,
                     32));
    CHECK(ask_expand(NULL, "SHA2-256", traffic, "iv", NONE, want, 12));
    for (int i = 0; i < 32; i++) {
        traffic[i] ^= 1;
        CHECK(ask_expand(NULL, "SHA2-256", traffic, "iv", NONE, got, 12));
        CHECK(memcmp(got, want, 12) != 0);
        traffic[i] ^= 1;
    }
}

/* ---- TLS 1.2 ------------------------------------------------------------- */

static const struct {
    const char *why, *label;
    size_t rest, secret, len;
    const char *digest;
} refused12[] = {
    {"a long master secret", "master secret", 64, 256, 49, "SHA256"},
    {"a short master secret", "master secret", 64, 256, 47, "SHA256"},
    {"one random", "master secret", 32, 256, 48, "SHA256"},
    {"more than randoms", "master secret", 65, 256, 48, "SHA256"},
    {"another hash's session hash", "extended master secret", 48, 256, 48,
     "SHA256"},
    {"a secret of a curve", "master secret", 64, 32, 48, "SHA256"},
    {"another", "master secret", 64, 66, 48, "SHA384"},
    {"a secret that ends as the handle of one", "extended master secret", 32,
     48, 48, "SHA256"},
    {"a key block from a long secret", "key expansion", 64, 49, 40, "SHA256"},
    {"a key block from a short one", "key expansion", 64, 47, 40, "SHA256"},
    {"a key block with one random", "key expansion", 32, 48, 40, "SHA256"},
    {"a key block with more", "key expansion", 65, 48, 40, "SHA256"},
    {"AES-128 with SHA384", "key expansion", 64, 48, 40, "SHA384"},
    {"AEADs before TLS 1.2", "key expansion", 64, 48, 72, "MD5-SHA1"},
    {"long verify data", "client finished", 32, 48, 13, "SHA256"},
    {"verify data as long as a key", "server finished", 32, 48, 40, "SHA256"},
    {"verify data of more than a hash", "client finished", 64, 48, 12,
     "SHA256"},
    {"an exporter with a label of TLS", "key expansion, really", 64, 48, 40,
     "SHA256"},
    {"another", "master secrets", 64, 48, 40, "SHA256"},
    {"an exporter without randoms", "EXPORTER", 40, 48, 40, "SHA256"},
    {"an exporter from a pre-master secret", "EXPORTER", 64, 256, 40, "SHA256"},
    {"a digest that TLS does not have", "master secret", 64, 256, 48, "SHA512"},
};

static void test_refusals_of_tls12(void)
{
    for (size_t i = 0; i < sizeof(refused12) / sizeof(refused12[0]); i++) {
        const struct ask_bytes seed[] = {
            BYTES(refused12[i].label, strlen(refused12[i].label)),
            SOME(refused12[i].rest)};
        unsigned char out[64];

        interop_subject("TLS 1.2: %s", refused12[i].why);
        memset(out, 0xa5, sizeof(out));
        CHECK_INT(ask_tls1(NULL, refused12[i].digest, SOME(refused12[i].secret),
                           seed, 2, out, refused12[i].len),
                  0);
        CHECK(out[0] == 0xa5 && out[11] == 0xa5);
        CHECK_QUEUE_FILLED();
    }
}

static void test_key_blocks_of_unknown_suites_are_refused(void)
{
    static const size_t known[] = {32, 40, 64, 72, 88, 104, 128, 136, 160};
    const struct ask_bytes seed[] = {TEXT("key expansion"), SOME(64)};

    interop_subject("key blocks");
    for (size_t len = 1; len <= 300; len++) {
        unsigned char out[300];
        int want = 0;

        for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
            want |= known[i] == len;
        }
        CHECK_INT(ask_tls1(NULL, "SHA256", SOME(48), seed, 2, out, len), want);
        ERR_clear_error();
    }
}

/* The same bytes cut anywhere, into two parts and three, are the same. */
static void cut(const char *label, size_t secret, size_t rest, size_t len)
{
    size_t n = strlen(label);
    unsigned char whole[128], want[64], got[64];

    interop_subject("'%s' in parts", label);
    memcpy(whole, label, n);
    memcpy(whole + n, bytes, rest);
    CHECK(ask_tls1(NULL, "SHA256", SOME(secret),
                   (const struct ask_bytes[]){BYTES(whole, n + rest)}, 1, want,
                   len));
    for (size_t i = 0; i <= n; i++) {
        for (size_t j = i; j <= n; j++) {
            const struct ask_bytes seed[] = {BYTES(whole, i), NONE,
                                             BYTES(whole + i, j - i),
                                             BYTES(whole + j, n + rest - j)};

            CHECK(ask_tls1(NULL, "SHA256", SOME(secret), seed, 4, got, len));
            CHECK_MEM(got, len, want, len);
        }
    }
    CHECK(ask_tls1(interop_ref(), "SHA256", SOME(secret),
                   (const struct ask_bytes[]){BYTES(whole, n + rest)}, 1, got,
                   len));
    CHECK(memcmp(got, want, 16) != 0);
}

static void test_a_label_in_parts_is_the_label(void)
{
    unsigned char out[48];
    const struct ask_bytes many[] = {SOME(9), SOME(9), SOME(9),
                                     SOME(9), SOME(9), SOME(9),
                                     SOME(9), SOME(9), SOME(9)};

    cut("master secret", 256, 64, 48);
    cut("extended master secret", 256, 32, 48);
    cut("key expansion", 48, 64, 40);
    interop_subject("more parts than TLS has");
    CHECK_INT(ask_tls1(NULL, "SHA256", SOME(48), many, ASK_SEEDS, out, 20), 0);
    CHECK_QUEUE_FILLED();
}

/* ---- pointers ------------------------------------------------------------ */

/* A place that the domain has reserved to grow into. */
static unsigned char *inside(void)
{
    unsigned char *start, *end;

    return module_domain(&start, &end) ? start + (end - start) / 2 : NULL;
}

static void test_pointers_into_the_domain_are_refused(void)
{
    unsigned char *p = inside(), out[16];
    const struct ask_bytes seed[] = {TEXT("key expansion"), BYTES(p, 64)};

    interop_subject("pointers into the domain");
    CHECK(p != NULL);
    CHECK_INT(ask_expand(NULL, "SHA2-256", bytes, "iv", NONE, p, 12), 0);
    CHECK(interop_queue_says("pointer into the domain"));
    CHECK_INT(ask_expand(NULL, "SHA2-256", p, "iv", NONE, out, 12), 0);
    CHECK(interop_queue_says("pointer into the domain"));
    CHECK_INT(ask_tls1(NULL, "SHA256", SOME(48), seed, 2, out, 40), 0);
    CHECK(interop_queue_says("pointer into the domain"));
}

/* What such a pointer leads to is longer than the pointer, after which there is
 * nothing to be read. */
static void test_parameters_by_reference_are_refused(void)
{
    static const char *const names[] = {OSSL_KDF_PARAM_SECRET,
                                        OSSL_KDF_PARAM_SEED};
    unsigned char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    void **last = (void **)(page + 4096) - 1, *secret = bytes;
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, OSSL_KDF_NAME_TLS1_PRF, NULL);
    EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);

    interop_subject("parameters by reference");
    CHECK(page != MAP_FAILED && munmap(page + 4096, 4096) == 0);
    memcpy(last, &secret, sizeof(secret));
    for (size_t i = 0; i < 2; i++) {
        OSSL_PARAM params[] = {OSSL_PARAM_octet_ptr(names[i], last, 48),
                               OSSL_PARAM_END};

        CHECK_INT(EVP_KDF_CTX_set_params(ctx, params), 0);
        CHECK_QUEUE_FILLED();
    }
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
    munmap(page, 4096);
}

/* ---- what a context keeps ------------------------------------------------ */

/* Sets |name| with |len| bytes. */
static int keeps(EVP_KDF_CTX *ctx, const char *name, size_t len)
{
    static unsigned char much[(1 << 16) + 1];
    OSSL_PARAM params[] = {OSSL_PARAM_octet_string(name, much, len),
                           OSSL_PARAM_END};
    int ok = EVP_KDF_CTX_set_params(ctx, params);

    CHECK(ok || interop_queue_says("too much to keep"));
    ERR_clear_error();
    return ok;
}

/* Parts of a seed add up, and there are places for 16; all else has one. */
static void test_a_context_keeps_no_more_than_it_has_room_for(void)
{
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, OSSL_KDF_NAME_TLS1_PRF, NULL);
    EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf), *copy;

    interop_subject("what a context keeps");
    for (int i = 0; i < 40; i++) {
        CHECK_INT(keeps(ctx, OSSL_KDF_PARAM_SEED, 9), i < 16);
    }
    copy = EVP_KDF_CTX_dup(ctx);
    CHECK_INT(keeps(copy, OSSL_KDF_PARAM_SEED, 9), 0);
    EVP_KDF_CTX_free(copy);
    EVP_KDF_CTX_reset(ctx);
    for (int i = 0; i < 40; i++) {
        CHECK_INT(keeps(ctx, OSSL_KDF_PARAM_SECRET, 48), 1);
    }
    CHECK_INT(keeps(ctx, OSSL_KDF_PARAM_SECRET, 1 << 14), 1);
    CHECK_INT(keeps(ctx, OSSL_KDF_PARAM_SECRET, (1 << 16) + 1), 0);
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
}

/* A secret or a seed is bytes; what is a text, or a number, is neither. */
static void test_bytes_of_another_type_are_none(void)
{
    static const unsigned types[] = {OSSL_PARAM_UTF8_STRING, OSSL_PARAM_INTEGER,
                                     OSSL_PARAM_UNSIGNED_INTEGER};
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, OSSL_KDF_NAME_TLS1_PRF, NULL);
    unsigned char out[48];

    interop_subject("bytes of another type");
    for (size_t i = 0; i < 3 * sizeof(types) / sizeof(types[0]) + 1; i++) {
        OSSL_PARAM params[] = {
            OSSL_PARAM_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)"SHA256", 6),
            OSSL_PARAM_octet_string(OSSL_KDF_PARAM_SECRET, bytes, 256),
            OSSL_PARAM_octet_string(OSSL_KDF_PARAM_SEED,
                                    (char *)"master secret", 13),
            OSSL_PARAM_octet_string(OSSL_KDF_PARAM_SEED, bytes, 64),
            OSSL_PARAM_END};
        EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);

        if (i > 0) {
            params[1 + (i - 1) % 3].data_type = types[(i - 1) / 3];
        }
        CHECK_INT(EVP_KDF_derive(ctx, out, sizeof(out), params) > 0, i == 0);
        ERR_clear_error();
        EVP_KDF_CTX_free(ctx);
    }
    EVP_KDF_free(kdf);
}

/* ---- what an application derives ----------------------------------------- */

static void known(const char *name, const OSSL_PARAM *params, const char *want)
{
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, name, NULL);
    EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
    size_t len = strlen(want) / 2;
    unsigned char got[64], expected[64];

    interop_subject("%s of an application", name);
    from_hex(expected, want);
    CHECK_INT(EVP_KDF_derive(ctx, got, len, params), 1);
    CHECK_MEM(got, len, expected, len);
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
}

static void test_other_kdfs_are_as_ever(void)
{
    unsigned char ikm[22], salt[13], info[10];
    unsigned iterations = 4096;
    /* RFC 5869, A.1. */
    const OSSL_PARAM hkdf[] = {
        OSSL_PARAM_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)"SHA256", 6),
        OSSL_PARAM_octet_string(OSSL_KDF_PARAM_KEY, ikm, sizeof(ikm)),
        OSSL_PARAM_octet_string(OSSL_KDF_PARAM_SALT, salt, sizeof(salt)),
        OSSL_PARAM_octet_string(OSSL_KDF_PARAM_INFO, info, sizeof(info)),
        OSSL_PARAM_END};
    /* RFC 6070, the third. */
    const OSSL_PARAM pbkdf2[] = {
        OSSL_PARAM_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)"SHA1", 4),
        OSSL_PARAM_octet_string(OSSL_KDF_PARAM_PASSWORD, (char *)"password", 8),
        OSSL_PARAM_octet_string(OSSL_KDF_PARAM_SALT, (char *)"salt", 4),
        OSSL_PARAM_uint(OSSL_KDF_PARAM_ITER, &iterations), OSSL_PARAM_END};

    memset(ikm, 0x0b, sizeof(ikm));
    for (size_t i = 0; i < sizeof(salt); i++) {
        salt[i] = (unsigned char)i;
    }
    for (size_t i = 0; i < sizeof(info); i++) {
        info[i] = (unsigned char)(0xf0 + i);
    }
    known("HKDF", hkdf,
          "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"
          "34007208d5b887185865");
    known("PBKDF2", pbkdf2, "4b007901b765489abead49d926f721d065a429c1");
}

/* RFC 4231, test case 2. */
static void test_hmac_is_as_ever(void)
{
    unsigned char got[32], want[32];
    size_t len = 0;

    interop_subject("HMAC of an application");
    from_hex(want, "5bdcc146bf60754e6a042426089575c7"
                   "5a003f089d2739839dec58b964ec3843");
    CHECK(EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, "Jefe", 4,
                    (const unsigned char *)"what do ya want for nothing?", 28,
                    got, sizeof(got), &len) != NULL);
    CHECK_MEM(got, len, want, 32);
}

/* An application that means TLS1-PRF itself asks for default's. */
static void test_defaults_own_can_be_fetched(void)
{
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "TLS1-PRF", "provider=default");
    EVP_KDF *protected = EVP_KDF_fetch(NULL, "TLS1-PRF", NULL);

    interop_subject("which provider answers");
    CHECK_STR(OSSL_PROVIDER_get0_name(EVP_KDF_get0_provider(kdf)), "default");
    CHECK_STR(OSSL_PROVIDER_get0_name(EVP_KDF_get0_provider(protected)), "MPK");
    EVP_KDF_free(kdf);
    EVP_KDF_free(protected);
}

/* Its labels, of a secret of its own: as the default provider has it. */
static void openvpn(const char *label, size_t label_len, int same)
{
    const struct ask_bytes seed[] = {BYTES(label, label_len),
                                     BYTES(bytes + 64, 64)};
    unsigned char ours[128], reference[128];

    interop_subject("%s", label);
    CHECK(ask_tls1(NULL, "MD5-SHA1", BYTES(bytes, 48), seed, 2, ours,
                   sizeof(ours)));
    CHECK(ask_tls1(interop_ref(), "MD5-SHA1", BYTES(bytes, 48), seed, 2,
                   reference, sizeof(reference)));
    CHECK((memcmp(ours, reference, sizeof(ours)) == 0) == same);
}

static void test_openvpns_keys_are_its_own(void)
{
    openvpn("OpenVPN master secret", 21, 1);
    openvpn("OpenVPN key expansion", 21, 1);
    openvpn("an exporter's label", 19, 0);
}

int main(void)
{
    interop_start();
    RAND_bytes(bytes, sizeof(bytes));
    /* Nothing that looks like a version, a composite or a label. */
    bytes[0] = 0x77;
    bytes[1] = 0x77;
    test_refusals_of_tls13();
    test_a_handle_of_another_type_gives_noise();
    test_a_changed_handle_gives_noise();
    test_refusals_of_tls12();
    test_key_blocks_of_unknown_suites_are_refused();
    test_a_label_in_parts_is_the_label();
    test_pointers_into_the_domain_are_refused();
    test_parameters_by_reference_are_refused();
    test_a_context_keeps_no_more_than_it_has_room_for();
    test_bytes_of_another_type_are_none();
    test_other_kdfs_are_as_ever();
    test_hmac_is_as_ever();
    test_defaults_own_can_be_fetched();
    test_openvpns_keys_are_its_own();
    return interop_finish();
}
