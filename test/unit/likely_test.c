/*
 * likely_test.c - the type of a key that nobody has read: of every type and in
 * every form, whole and cut short.
 */
#include "prov.h"

#include "claims.h"
#include "keyload.h"
#include "msblob.h"
#include "seal.h"

#include <openssl/encoder.h>
#include <openssl/evp.h>

#include <stdlib.h>

/* What pem.c finds blocks by; here its base64 is used only. */
int seal_is_label(const char *label, size_t len, char *plain)
{
    (void)label;
    (void)len;
    (void)plain;
    return 0;
}

static void check_likely(const void *data, size_t len, int form,
                         enum key_type want)
{
    struct key_source s = {.data = data, .len = len, .form = form};

    CHECK(key_likely(&s) == want);
}

/* What a form says of a key: PKCS#8 its type, the types' own formats that in
 * PEM only, an encrypted one nothing. */
static void test_form(EVP_PKEY *key, enum key_type type, const char *structure,
                      int says_in_der)
{
    static const char *const outputs[] = {"DER", "PEM"};

    for (int pem = 0; pem < 2; pem++) {
        OSSL_ENCODER_CTX *ctx = OSSL_ENCODER_CTX_new_for_pkey(
            key, EVP_PKEY_KEYPAIR, outputs[pem], structure, NULL);
        unsigned char *data = NULL;
        size_t len = 0;

        if (OSSL_ENCODER_to_data(ctx, &data, &len)) {
            int form = pem ? KEYLOAD_PEM : KEYLOAD_DER;
            enum key_type want = pem || says_in_der ? type : KEY_RSA;

            check_likely(data, len, form, want);
            check_likely(data, len / 2, form, want);
            /* Nothing behind is read. */
            for (size_t i = 0; i < 80 && i <= len; i++) {
                void *cut = malloc(i + 1);
                struct key_source s = {
                    .data = memcpy(cut, data, i), .len = i, .form = form};

                (void)key_likely(&s);
                free(cut);
            }
        }
        OPENSSL_free(data);
        OSSL_ENCODER_CTX_free(ctx);
    }
}

static EVP_PKEY *new_key(enum key_type type)
{
    EVP_PKEY_CTX *ctx =
        EVP_PKEY_CTX_new_from_name(NULL, mpkprov_types[type].name, NULL);
    EVP_PKEY *key = NULL;

    if (ctx != NULL && EVP_PKEY_keygen_init(ctx) > 0 &&
        (type != KEY_EC || EVP_PKEY_CTX_set_group_name(ctx, "P-256") > 0)) {
        EVP_PKEY_generate(ctx, &key);
    }
    EVP_PKEY_CTX_free(ctx);
    return key;
}

static void test_type(enum key_type type)
{
    EVP_PKEY *key;

    if (type == KEY_DH || type == KEY_DHX || type == KEY_DSA) {
        return; /* they need parameters, and are told as the others are */
    }
    key = new_key(type);
    printf("%s\n", mpkprov_types[type].name);
    CHECK(key != NULL);
    /* In PKCS#8 an SM2 key is one of EC, on a curve of its own. */
    test_form(key, type == KEY_SM2 ? KEY_EC : type, "PrivateKeyInfo", 1);
    test_form(key, type, "type-specific", 0);
    EVP_PKEY_free(key);
}

static void test_what_says_nothing(void)
{
    static const char encrypted[] =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
        "MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAjRn4ElUA8dkQICCAAw\n";
    static const char unknown[] = /* 1.2.3.4 */
        "-----BEGIN PRIVATE KEY-----\nMA4CAQAwBwYDKgMEBQAEAA==\n";
    static const char no_line[] = "-----BEGIN EC PRIVATE KEY-----";

    check_likely(encrypted, strlen(encrypted), KEYLOAD_PEM, KEY_RSA);
    check_likely(unknown, strlen(unknown), KEYLOAD_PEM, KEY_RSA);
    check_likely(no_line, strlen(no_line), KEYLOAD_PEM, KEY_RSA);
    check_likely("", 0, KEYLOAD_PEM, KEY_RSA);
    check_likely(NULL, 0, KEYLOAD_DER, KEY_RSA);
}

/* Header of a blob: type, version, 0, 0, algorithm. Before it in PVK: magic
 * number, 0, use, encrypted, length of the salt, length of the blob. */
static void test_msblob(void)
{
    unsigned char dss[] = {7, 2, 0, 0, 0, 0x22, 0, 0, 'D', 'S', 'S', '2'};
    unsigned char rsa[] = {7, 2, 0, 0, 0, 0xa4, 0, 0, 'R', 'S', 'A', '2'};
    unsigned char pvk[24 + 2 + sizeof(dss)] = {
        [0] = 0x1e, [1] = 0xf1, [2] = 0xb5, [3] = 0xb0, [12] = 1, [16] = 2};

    check_likely(dss, sizeof(dss), KEYLOAD_MSBLOB, KEY_DSA);
    check_likely(rsa, sizeof(rsa), KEYLOAD_MSBLOB, KEY_RSA);
    memcpy(pvk + 24 + 2, dss, sizeof(dss));
    check_likely(pvk, sizeof(pvk), KEYLOAD_PVK, KEY_DSA);
    for (size_t len = 0; len < sizeof(pvk); len++) {
        void *cut = malloc(len + 1);

        check_likely(memcpy(cut, pvk, len), len, KEYLOAD_PVK,
                     len < 24 + 2 + 8 ? KEY_RSA : KEY_DSA);
        free(cut);
    }
    memset(pvk + 16, 0xff, 8); /* lengths that wrap */
    check_likely(pvk, sizeof(pvk), KEYLOAD_PVK, KEY_RSA);
}

/* How long the numbers are, where a whole header says so: what is behind the
 * key's last byte is somebody else's. */
static void test_bits_of_msblob(void)
{
    unsigned char pvk[24 + 16] = {0x1e, 0xf1, 0xb5, 0xb0};
    unsigned char blob[24] = {7, 2, 0, 0, 0, 0xa4};

    blob[12] = pvk[24 + 12] = 77;
    CHECK(msblob_bits(blob, sizeof(blob)) == 77);
    for (size_t len = 0; len <= sizeof(pvk); len++) {
        CHECK(msblob_bits(pvk, len) == (len < sizeof(pvk) ? 0 : 77));
    }
    pvk[12] = 1; /* encrypted */
    CHECK(msblob_bits(pvk, sizeof(pvk)) == 0);
}

int main(void)
{
    for (int t = 0; t < KEY_TYPES; t++) {
        test_type((enum key_type)t);
    }
    test_what_says_nothing();
    test_msblob();
    test_bits_of_msblob();
    return claims_end();
}
