/*
 * scan_secrets_test MPKCTL VICTIM: what "mpkctl scan" must find of the secrets
 * of TLS connections, and what it must not.
 */
#include <limits.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hex.h"
#include "libctx.h"
#include "scan_forms.h"
#include "scan_run.h"
#include "schedule.h"
#include "secrets.h"

/* RFC 8448, section 3: a simple 1-RTT handshake, AES-128-GCM and SHA-256. */
#define RANDOM                                                                 \
    "cb34ecb1e78163ba1c38c6dacb196a6dffa21a8d9912ec18a2ef6283024dece7"
#define SERVER_HANDSHAKE                                                       \
    "b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38"
#define SERVER_HANDSHAKE_KEY "3fce516009c21727d0f2e4e86ee403bc"
#define SERVER_HANDSHAKE_IV "5d313eb2671276ee13000b30"
#define SERVER_HANDSHAKE_FINISHED                                              \
    "008d3b66f816ea559f96b537e885c31fc068bf492c652f01f288a1d8cdc19fc8"
#define SERVER_TRAFFIC                                                         \
    "a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643"
#define SERVER_TRAFFIC_KEY "9f02283b6c9c07efc26bb9f2ac92e356"

#define SECRET_48                                                              \
    "9ee5df12c48a7f30b1d46bca05e82f7341fad9036c5be718a2409dd7f0316c8e"         \
    "5b83e0f41d67c92aa97f0e3c684b15d2"

static const char tls13_log[] =
    "# a comment\n"
    "SERVER_HANDSHAKE_TRAFFIC_SECRET " RANDOM " " SERVER_HANDSHAKE "\n"
    "SERVER_TRAFFIC_SECRET_0 " RANDOM " " SERVER_TRAFFIC "\r\n"
    "EXPORTER_SECRET " RANDOM " " SECRET_48; /* and no end of line */

static const char tls12_log[] = "CLIENT_RANDOM " RANDOM " " SECRET_48 "\n";

static struct outcome got;
static char path[PATH_MAX];
static OSSL_LIB_CTX *libctx;

static size_t bytes_of(uint8_t *out, const char *hex)
{
    int n = hex_decode(out, 4096, hex, strlen(hex));

    CHECK(n > 0);
    return (size_t)n;
}

/* scan_with searches |pid| with up to four more arguments. */
static void scan_with(pid_t pid, const char *a, const char *b, const char *c,
                      const char *d)
{
    char text[32];
    const char *const argv[] = {mpkctl_path, "scan", "--json", "--pid", text,
                                a,           b,      c,        d,       NULL};

    snprintf(text, sizeof(text), "%d", (int)pid);
    run(&got, argv, 0);
}

/* The same of a victim that holds |bytes|. */
static void scan_holder(const void *bytes, size_t len, const char *a,
                        const char *b, const char *c, const char *d)
{
    pid_t pid = victim_start("heap", bytes, len);

    CHECK(pid > 0);
    if (pid > 0) {
        scan_with(pid, a, b, c, d);
        stop(pid);
    }
}

static void scan_hex(const char *hex, const char *a, const char *b,
                     const char *c, const char *d)
{
    uint8_t bytes[4096];

    scan_holder(bytes, bytes_of(bytes, hex), a, b, c, d);
}

static bool says(const char *text)
{
    return strstr(got.out, text) != NULL;
}

static bool found(long full)
{
    return got.status == 1 && got.full == full && got.partial == 0;
}

static bool found_nothing(void)
{
    return got.status == 0 && got.full == 0 && got.partial == 0;
}

static void test_secret_is_found_by_its_line(void)
{
    write_file(path, tls13_log);
    scan_hex(SERVER_HANDSHAKE, "--keylog", path, NULL, NULL);
    CHECK(found(1));
    CHECK(says("\"label\": \"SERVER_HANDSHAKE_TRAFFIC_SECRET\""));
    CHECK(says("\"line\": 2,"));
    CHECK(says("\"component\": \"secret\", \"form\": \"raw\""));
    scan_hex(SECRET_48, "--keylog", path, NULL, NULL);
    CHECK(found(1) && says("\"label\": \"EXPORTER_SECRET\""));
    scan_holder(SERVER_TRAFFIC, 64, "--keylog", path, NULL, NULL);
    CHECK(found(1) && says("\"form\": \"hex text\""));
}

/* Behind 0, 1 and 2 bytes of something else, as in the DER of a session; then
 * with a line's end in it. */
static void test_secret_is_found_in_base64(void)
{
    uint8_t der[64] = "xx", text[128];

    write_file(path, tls13_log);
    for (size_t before = 0; before < 3; before++) {
        size_t len = before + bytes_of(der + before, SECRET_48) + 4;
        int n = EVP_EncodeBlock(text, der, (int)len);

        scan_holder(text, (size_t)n, "--keylog", path, NULL, NULL);
        CHECK(found(1) && says("\"form\": \"base64 text\""));
        memmove(text + 41, text + 40, (size_t)n - 40);
        text[40] = '\n';
        scan_holder(text, (size_t)n + 1, "--keylog", path, NULL, NULL);
        CHECK(got.status == 1 && got.partial > 0);
    }
}

static void test_keys_of_rfc_8448_are_found(void)
{
    write_file(path, tls13_log);
    scan_hex(SERVER_HANDSHAKE_KEY, "--keylog", path, NULL, NULL);
    CHECK(found(1) && says("\"component\": \"AES-128 key\", \"form\": \"raw"));
    scan_hex(SERVER_TRAFFIC_KEY, "--keylog", path, NULL, NULL);
    CHECK(found(1) && says("\"label\": \"SERVER_TRAFFIC_SECRET_0\""));
}

/* Parts that are public by design, or that libssl computes with. */
static void test_public_leaves_are_not_found(void)
{
    write_file(path, tls13_log);
    scan_hex(SERVER_HANDSHAKE_IV "00000000000000000000", "--keylog", path, NULL,
             NULL);
    CHECK(found_nothing());
    scan_hex(SERVER_HANDSHAKE_FINISHED, "--keylog", path, NULL, NULL);
    CHECK(found_nothing());
    scan_hex(RANDOM, "--keylog", path, NULL, NULL);
    CHECK(found_nothing());
}

/* Everything that goes into the pattern set comes out of a victim's memory. */
static void test_every_pattern_is_found(void)
{
    struct keylog log;
    struct pattern_set set = {0};
    struct secrets s = {.epochs = 1};
    const struct pattern_piece *piece;
    char row[128];

    write_file(path, tls13_log);
    CHECK(keylog_load(&log, path) == 0);
    CHECK(secrets_init(&s, libctx, &set, 0) == 0);
    CHECK(secrets_add_keylog(&s, &log) == 0);
    CHECK(set.pieces_len > 30);
    for (size_t i = 0; i < set.pieces_len; i++) {
        piece = &set.pieces[i];
        scan_holder(piece->bytes, piece->len, "--keylog", path, "--epochs",
                    "1");
        snprintf(row, sizeof(row), "\"component\": \"%s\", \"form\": \"%s\"",
                 piece->component, pattern_form_name(piece->form));
        if (!found(1) || !says(row)) {
            fprintf(stderr, "expected %s, full: %ld\n", row, got.full);
        }
        CHECK(found(1) && says(row));
    }
    secrets_free(&s);
    patterns_free(&set);
    keylog_free(&log);
}

static bool set_has(const struct pattern_set *set, enum pattern_form form,
                    size_t off, const char *hex)
{
    uint8_t bytes[4096];
    size_t len = bytes_of(bytes, hex);

    for (size_t i = 0; i < set->pieces_len; i++) {
        if (set->pieces[i].form == form && off + len <= set->pieces[i].len &&
            memcmp(set->pieces[i].bytes + off, bytes, len) == 0) {
            return true;
        }
    }
    return false;
}

static void add_schedule(struct pattern_set *set, const char *hex)
{
    uint8_t key[4096];
    size_t len = bytes_of(key, hex);

    CHECK(schedule_add(set, 0, "key", key, len) == 0);
}

static void test_schedules_are_those_of_fips_197(void)
{
    struct pattern_set set = {0};

    add_schedule(&set, "2b7e151628aed2a6abf7158809cf4f3c"); /* A.1 */
    CHECK(set_has(&set, FORM_AES_ENCRYPT, 0,
                  "2b7e151628aed2a6abf7158809cf4f3c"
                  "a0fafe1788542cb123a339392a6c7605"));
    CHECK(set_has(&set, FORM_AES_ENCRYPT, 160,
                  "d014f9a8c9ee2589e13f0cc8b6630ca6"));
    CHECK(set_has(&set, FORM_AES_ENCRYPT_SWAPPED, 160,
                  "a8f914d08925eec9c80c3fe1a60c63b6"));
    CHECK(
        set_has(&set, FORM_AES_DECRYPT, 0, "d014f9a8c9ee2589e13f0cc8b6630ca6"));
    CHECK(set_has(&set, FORM_AES_DECRYPT, 160,
                  "2b7e151628aed2a6abf7158809cf4f3c"));
    patterns_free(&set);
    add_schedule(&set, "000102030405060708090a0b0c0d0e0f"); /* C.1 */
    CHECK(set_has(&set, FORM_AES_DECRYPT, 16,
                  "13aa29be9c8faff6f770f58000f7bf03"));
    CHECK(set_has(&set, FORM_AES_DECRYPT_SWAPPED, 16,
                  "be29aa13f6af8f9c80f570f703bff700"));
    patterns_free(&set);
    add_schedule(&set, "603deb1015ca71be2b73aef0857d7781" /* A.3 */
                       "1f352c073b6108d72d9810a30914dff4");
    CHECK(set_has(&set, FORM_AES_ENCRYPT, 224,
                  "fe4890d1e6188d0b046df344706c631e"));
    patterns_free(&set);
}

/* Test case 4 of the GCM specification has this H. */
static void test_ghash_key_is_that_of_the_gcm_specification(void)
{
    struct pattern_set set = {0};

    add_schedule(&set, "feffe9928665731c6d6a8f9467308308");
    CHECK(set_has(&set, FORM_GHASH, 0, "b83b533708bf535d0aa6e52980d53b78"));
    CHECK(set_has(&set, FORM_GHASH_SWAPPED, 0,
                  "5d53bf0837533bb8783bd58029e5a60a"));
    CHECK(set_has(&set, FORM_GHASH_REVERSED, 0,
                  "783bd58029e5a60a5d53bf0837533bb8"));
    /* As libcrypto's PCLMULQDQ code keeps it in the first entry of its table */
    CHECK(set_has(&set, FORM_GHASH_DOUBLED, 0,
                  "f176aa0153ca4d15baa67e116ea676b2"));
    patterns_free(&set);
}

static void test_updates_are_followed_as_far_as_asked_for(void)
{
    uint8_t secret[3][64];
    struct derive d = {0};

    write_file(path, tls13_log);
    CHECK(derive_init(&d, libctx) == 0);
    bytes_of(secret[0], SERVER_TRAFFIC);
    for (int i = 0; i < 3; i++) {
        CHECK(derive_expand(&d, secret[i == 2 ? 0 : i + 1], 32, secret[i], 32,
                            "traffic upd", NULL, 0) == 0);
    } /* 1, 2, and the third in place 0 */
    scan_holder(secret[2], 32, "--keylog", path, NULL, NULL);
    CHECK(found(1) && says("\"component\": \"secret, update 2\""));
    scan_holder(secret[2], 32, "--keylog", path, "--epochs", "1");
    CHECK(found_nothing());
    scan_holder(secret[0], 32, "--keylog", path, NULL, NULL);
    CHECK(found_nothing());
    scan_holder(secret[0], 32, "--keylog", path, "--epochs", "3");
    CHECK(found(1));
    /* Handshake secrets are not updated. */
    bytes_of(secret[0], SERVER_HANDSHAKE);
    CHECK(derive_expand(&d, secret[1], 32, secret[0], 32, "traffic upd", NULL,
                        0) == 0);
    scan_holder(secret[1], 32, "--keylog", path, NULL, NULL);
    CHECK(found_nothing());
    derive_free(&d);
}

static void test_quic_keys_are_found_when_asked_for(const char *label)
{
    uint8_t secret[64];
    uint8_t key[16];
    struct derive d = {0};

    write_file(path, tls13_log);
    CHECK(derive_init(&d, libctx) == 0);
    bytes_of(secret, SERVER_TRAFFIC);
    CHECK(derive_expand(&d, key, sizeof(key), secret, 32, label, NULL, 0) == 0);
    scan_holder(key, sizeof(key), "--keylog", path, NULL, NULL);
    CHECK(found_nothing());
    scan_holder(key, sizeof(key), "--keylog", path, "--quic", NULL);
    CHECK(found(1));
    derive_free(&d);
}

/* Both randoms as libssl keeps them, and the server's key somewhere else. */
static size_t lay_out(uint8_t *out, bool server_random)
{
    uint8_t master[64];
    uint8_t block[64];
    struct derive d = {0};

    memset(out, 0, 256);
    for (uint8_t i = 0; i < 32; i++) {
        out[i] = (uint8_t)(i * 7 + 3);
    }
    bytes_of(out + 32, RANDOM);
    bytes_of(master, SECRET_48);
    CHECK(derive_init(&d, libctx) == 0);
    CHECK(derive_key_block(&d, block, sizeof(block), "SHA384", master, 48, out,
                           out + 32) == 0);
    memcpy(out + 128, block + 32, 32);
    if (!server_random) {
        memset(out, 0, 32);
    }
    derive_free(&d);
    return 256;
}

static void test_tls12_keys_are_found_with_the_server_random(void)
{
    uint8_t bytes[256];

    write_file(path, tls12_log);
    scan_holder(bytes, lay_out(bytes, true), "--keylog", path, NULL, NULL);
    CHECK(found(1));
    CHECK(says("\"label\": \"CLIENT_RANDOM, key block by SHA384\""));
    CHECK(says("\"component\": \"AEAD-256 server key\""));
    CHECK(!says("record keys of 1 of 1"));
}

static void test_tls12_keys_without_it_are_said_to_be_missing(void)
{
    uint8_t bytes[256];

    write_file(path, tls12_log);
    scan_holder(bytes, lay_out(bytes, false), "--keylog", path, NULL, NULL);
    CHECK(found_nothing());
    CHECK(says("record keys of 1 of 1 TLS 1.2 connections"));
    CHECK(says("pre-master"));
}

static void write_session(int version, unsigned int suite, const char *hex)
{
    uint8_t secret[4096];
    size_t len = bytes_of(secret, hex);
    const unsigned char id[2] = {(unsigned char)(suite >> 8),
                                 (unsigned char)suite};
    SSL_CTX *ctx = SSL_CTX_new(TLS_method());
    SSL *ssl = SSL_new(ctx);
    SSL_SESSION *session = SSL_SESSION_new();
    FILE *f = fopen(path, "w");

    CHECK(SSL_SESSION_set_protocol_version(session, version) == 1);
    CHECK(SSL_SESSION_set_cipher(session, SSL_CIPHER_find(ssl, id)) == 1);
    CHECK(SSL_SESSION_set1_master_key(session, secret, len) == 1);
    CHECK(f != NULL && PEM_write_SSL_SESSION(f, session) == 1);
    fclose(f);
    SSL_SESSION_free(session);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
}

static void test_session_secrets_are_found(void)
{
    uint8_t early[64];
    uint8_t psk[64];
    struct derive d = {0};

    write_session(TLS1_2_VERSION, 0xc02b, SECRET_48);
    scan_hex(SECRET_48, "--session", path, NULL, NULL);
    CHECK(found(1) && says("\"label\": \"master secret\""));
    write_session(TLS1_3_VERSION, 0x1301, SERVER_TRAFFIC);
    scan_hex(SERVER_TRAFFIC, "--session", path, NULL, NULL);
    CHECK(found(1) && says("\"label\": \"resumption PSK\""));
    CHECK(derive_init(&d, libctx) == 0);
    bytes_of(psk, SERVER_TRAFFIC);
    CHECK(derive_early(&d, early, psk, 32) == 0);
    scan_holder(early, 32, "--session", path, NULL, NULL);
    CHECK(found(1) && says("\"component\": \"early secret\""));
    derive_free(&d);
}

/* RFC 8448, section 4: a resumed handshake's PSK, early secret and binder. */
static void test_psk_makes_the_early_secret_of_rfc_8448(void)
{
    write_session(TLS1_3_VERSION, 0x1301,
                  "4ecd0eb6ec3b4d87f5d6028f922ca4c5851a277fd41311c9e62d2c9492e1"
                  "c4f3");
    scan_hex("9b2188e9b2fc6d64d71dc329900e20bb41915000f678aa839cbb797cb7d8332c",
             "--session", path, NULL, NULL);
    CHECK(found(1) && says("\"component\": \"early secret\""));
    scan_hex("69fe131a3bbad5d63c64eebcc30e395b9d8107726a13d074e389dbc8a4e47256",
             "--session", path, NULL, NULL);
    CHECK(found(1) && says("\"component\": \"binder key\""));
}

static void test_named_bytes_are_found_both_ways(void)
{
    uint8_t bytes[64];
    size_t len = bytes_of(bytes, SERVER_TRAFFIC);

    scan_holder(bytes, len, "--secret", "pre-master=" SERVER_TRAFFIC, NULL,
                NULL);
    CHECK(found(1) && says("\"label\": \"pre-master\""));
    pattern_reverse(bytes, len);
    scan_holder(bytes, len, "--secret", "pre-master=" SERVER_TRAFFIC, NULL,
                NULL);
    CHECK(found(1) && says("\"form\": \"reversed\""));
}

static void test_searches_are_added_up(void)
{
    scan_hex(SERVER_TRAFFIC, "--repeat=3", "--interval=10", "--secret",
             "x=" SERVER_TRAFFIC);
    CHECK(found(3));
    CHECK(says("\"searches\": {\"done\": 3, \"with_findings\": 3}"));
}

/* The same master secret on many lines is one secret. */
static void test_resumed_connections_count_once(void)
{
    char text[8192];
    size_t at = 0;

    for (int i = 0; i < 40; i++) {
        at += (size_t)snprintf(text + at, sizeof(text) - at,
                               "CLIENT_RANDOM %064d " SECRET_48 "\n", i);
    }
    write_file(path, text);
    scan_hex(SECRET_48, "--keylog", path, NULL, NULL);
    CHECK(found(1) && says("\"line\": 1,"));
}

static void check_bad_log(const char *text, const char *expected)
{
    char where[PATH_MAX + 64];
    char *newline;

    write_file(path, text);
    scan_with(getpid(), "--keylog", path, NULL, NULL);
    snprintf(where, sizeof(where), "%s%s", path, expected);
    newline = strchr(got.err, '\n');
    if (got.status != 2 || strstr(got.err, where) == NULL) {
        fprintf(stderr, "expected \"%s\", got %d \"%s\"\n", where, got.status,
                got.err);
    }
    CHECK(got.status == 2 && strstr(got.err, where) != NULL);
    CHECK(newline != NULL && newline[1] == '\0');
}

static void test_bad_key_logs_are_named_by_line(void)
{
    char *huge = malloc(100000);

    check_bad_log("", ": no secret in it");
    check_bad_log("# only a comment\n", ": no secret in it");
    check_bad_log("-----BEGIN PRIVATE KEY-----\n", ":1: not a line");
    check_bad_log("hello, world and more\n", ":1: not a line");
    check_bad_log("\n\nEXPORTER_SECRET\n", ":3: not a line");
    check_bad_log("EXPORTER_SECRET " RANDOM "\n", ":1: cut off");
    check_bad_log("EXPORTER_SECRET " RANDOM " " SECRET_48 "\n"
                  "CLIENT_RANDOM " RANDOM " " SERVER_TRAFFIC "\n",
                  ":2: cut off or damaged");
    check_bad_log("EXPORTER_SECRET " RANDOM " 00\n", ":1: cut off or damaged");
    check_bad_log("OTHER " RANDOM " 00\n", ":1: a secret of less than 16");
    check_bad_log("OTHER " RANDOM " 0\n", ":1: the secret is not an even");
    check_bad_log("OTHER " RANDOM " 0g\n", ":1: the secret is not an even");
    check_bad_log("OTHER 0011 " SECRET_48 "\n", ":1: the second word");
    CHECK(huge != NULL);
    if (huge != NULL) {
        memset(huge, 'a', 99999);
        huge[99998] = '\0';
        memcpy(huge, "OTHER " RANDOM " ", 6 + 64 + 1);
        huge[99997] = '\n';
        check_bad_log(huge, ":1: the secret has more than 128 bytes");
        memset(huge, 'A', 99998);
        check_bad_log(huge, ":1: not a line");
    }
    free(huge);
}

static void check_refused(const char *a, const char *b, const char *expected)
{
    char *newline;

    scan_with(getpid(), a, b, NULL, NULL);
    newline = strchr(got.err, '\n');
    CHECK(got.status == 2 && strstr(got.err, expected) != NULL);
    CHECK(newline != NULL && newline[1] == '\0');
}

static void test_other_bad_input_is_refused(void)
{
    check_refused("--keylog", "/nonexistent", "cannot read the key log");
    check_refused("--session", "/nonexistent", "cannot read the session");
    write_file(path, tls13_log);
    check_refused("--session", path, "no TLS session in");
    check_refused("--secret", "x=00", "NAME=HEX");
    check_refused("--secret", SERVER_TRAFFIC, "NAME=HEX");
    check_refused("--secret", "=" SERVER_TRAFFIC, "NAME=HEX");
    /* It would be looked for nowhere. */
    check_refused("--secret", "x=00000000000000000000000000000001",
                  "x: too few different bytes");
    check_refused("--repeat", "0", "--repeat wants a number");
    check_refused("--epochs", "many", "--epochs wants a number");
    check_refused("--quic", NULL, "something to look for");
}

static void run_all(void)
{
    test_secret_is_found_by_its_line();
    test_secret_is_found_in_base64();
    test_keys_of_rfc_8448_are_found();
    test_public_leaves_are_not_found();
    test_every_pattern_is_found();
    test_schedules_are_those_of_fips_197();
    test_ghash_key_is_that_of_the_gcm_specification();
    test_updates_are_followed_as_far_as_asked_for();
    test_quic_keys_are_found_when_asked_for("quic key");
    test_quic_keys_are_found_when_asked_for("quicv2 key");
    test_tls12_keys_are_found_with_the_server_random();
    test_tls12_keys_without_it_are_said_to_be_missing();
    test_session_secrets_are_found();
    test_psk_makes_the_early_secret_of_rfc_8448();
    test_named_bytes_are_found_both_ways();
    test_searches_are_added_up();
    test_resumed_connections_count_once();
    test_bad_key_logs_are_named_by_line();
    test_other_bad_input_is_refused();
}

int main(int argc, char **argv)
{
    char dir[] = "/tmp/mpk-scan-secrets-XXXXXX";
    const char *const rm[] = {"rm", "-rf", dir, NULL};
    OSSL_PROVIDER *provider;

    if (argc != 3 || mkdtemp(dir) == NULL) {
        fputs("usage: scan_secrets_test MPKCTL VICTIM\n", stderr);
        return 1;
    }
    mpkctl_path = argv[1];
    victim_path = argv[2];
    signal(SIGPIPE, SIG_IGN);
    setvbuf(stdout, NULL, _IOLBF, 0);
    snprintf(path, sizeof(path), "%s/input", dir);
    if (libctx_new(&libctx, &provider) != 0) {
        return 1;
    }
    run_all();
    libctx_free(libctx, provider);
    run(&got, rm, 0);
    return failed_checks == 0 ? 0 : 1;
}
