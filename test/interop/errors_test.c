/*
 * What an operator reads when something is refused: one entry that names the
 * provider or says what is wrong, printed here as a log would show it.
 */

#include "interop.h"
#include "ops.h"

#include <openssl/core_names.h>
#include <openssl/pem.h>
#include <openssl/provider.h>
#include <openssl/x509.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* One failure: its first entry, and whether any entry names the provider. */
struct report {
    char first[256];
    char first_lib[64];
    int entries;
    bool first_names_provider;
};

static bool names_provider(const char *text)
{
    return text != NULL && strcasestr(text, interop_provider()) != NULL;
}

/* Prints the queue and empties it. */
static struct report take_queue(void)
{
    struct report r = {.entries = 0};
    const char *file, *func, *data, *lib;
    unsigned long code;
    char text[256];
    int flags, line;

    while ((code = ERR_get_error_all(&file, &line, &func, &data, &flags)) !=
           0) {
        ERR_error_string_n(code, text, sizeof(text));
        printf("    %s:%s\n", text, flags & ERR_TXT_STRING ? data : "");
        if (r.entries++ == 0) {
            lib = ERR_lib_error_string(code);
            snprintf(r.first, sizeof(r.first), "%s", text);
            snprintf(r.first_lib, sizeof(r.first_lib), "%s",
                     lib != NULL ? lib : "");
            r.first_names_provider =
                names_provider(text) ||
                ((flags & ERR_TXT_STRING) && names_provider(data));
        }
    }
    return r;
}

/* Only a protected key has something of its own to say. */
static void check_report(bool ours)
{
    struct report r = take_queue();

    CHECK(r.entries > 0);
    if (!interop_protected()) {
        interop_skip("who speaks first: default has no name in its errors");
    } else if (ours && !CHECK(r.first_names_provider)) {
        fprintf(stderr, "first entry: %s (%s)\n", r.first, r.first_lib);
    }
}

static int drop_params(const OSSL_PARAM *params, void *count)
{
    int *n = count;

    for (; params != NULL && params->key != NULL; params++) {
        (*n)++;
    }
    return 1;
}

static void test_private_export(const struct key_type *type)
{
    EVP_PKEY *key = key_load(type);
    int count = 0;

    interop_subject("%s, private export", type->label);
    printf("%s, private export\n", type->label);
    if (interop_protected()) {
        CHECK_INT(EVP_PKEY_export(key, EVP_PKEY_KEYPAIR, drop_params, &count),
                  0);
        CHECK_INT(count, 0);
        check_report(true);
    } else {
        interop_skip("private export: default allows it");
    }
    EVP_PKEY_free(key);
}

static EVP_PKEY *read_pem(const void *pem, size_t len, const char *passphrase)
{
    BIO *bio = BIO_new_mem_buf(pem, (int)len);
    EVP_PKEY *key =
        PEM_read_bio_PrivateKey(bio, NULL, NULL, (void *)passphrase);

    BIO_free(bio);
    return key;
}

/* From 4.0 on, libcrypto's own decryption takes older errors out of the queue:
 * it goes back to a mark that is its caller's (PKCS5_v2_PBE_keyivgen_ex). */
static bool errors_get_lost(void)
{
    return OpenSSL_version_num() >= 0x40000000UL;
}

static void test_wrong_passphrase(const struct key_type *type)
{
    BIO *bio = BIO_new(BIO_s_mem());
    EVP_PKEY *key;
    const char *text;
    unsigned long first;
    char *pem;
    size_t len;

    interop_subject("%s, wrong passphrase", type->label);
    printf("%s, wrong passphrase\n", type->label);
    CHECK(PEM_write_bio_PKCS8PrivateKey(
        bio, key_reference(type), EVP_aes_256_cbc(), "right", 5, NULL, NULL));
    len = (size_t)BIO_get_mem_data(bio, &pem);
    key = read_pem(pem, len, "wrong");
    CHECK(key == NULL);
    /* By this number programs know that they may ask again. */
    first = ERR_peek_error();
    text = ERR_reason_error_string(first);
    CHECK(ERR_GET_REASON(first) == EVP_R_BAD_DECRYPT);
    CHECK(text != NULL && strstr(text, "bad decrypt") != NULL);
    check_report(!errors_get_lost());
    EVP_PKEY_free(key);
    BIO_free(bio);
}

/* |der| in PEM, loaded; the key that came, NULL if none. */
static EVP_PKEY *load_der(const unsigned char *der, int len)
{
    BIO *bio = BIO_new(BIO_s_mem());
    EVP_PKEY *key;
    char *pem;
    size_t size;

    CHECK(PEM_write_bio(bio, PEM_STRING_PKCS8INF, "", der, len) > 0);
    size = (size_t)BIO_get_mem_data(bio, &pem);
    key = read_pem(pem, size, NULL);
    BIO_free(bio);
    return key;
}

static bool can_sign(EVP_PKEY *key, const char *md)
{
    struct bytes sig;
    bool ok = digest_sign(key, md, NULL, "x", 1, &sig);

    bytes_free(&sig);
    return ok;
}

/*
 * A key that is recognised but broken inside. libcrypto falls back to its
 * legacy reader when a decoder fails, so the provider may hand out an object
 * that refuses to work; what must not be is a key that works elsewhere.
 */
static void check_broken(EVP_PKEY *key, const struct key_type *type)
{
    if (key != NULL && strncmp(type->name, "SLH-", 4) == 0) {
        return; /* any bytes are a key of these */
    }
    if (key == NULL) {
        check_report(true);
        return;
    }
    CHECK_HELD(key);
    CHECK(!can_sign(key, type->md));
    check_report(true);
}

static void test_damaged_inside(const struct key_type *type)
{
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key_reference(type));
    const unsigned char *inner;
    unsigned char *der = NULL;
    int len, inner_len;
    unsigned char *at;
    EVP_PKEY *key;

    interop_subject("%s, damaged inside", type->label);
    printf("%s, damaged inside\n", type->label);
    CHECK(PKCS8_pkey_get0(NULL, &inner, &inner_len, NULL, info));
    len = i2d_PKCS8_PRIV_KEY_INFO(info, &der);
    at = memmem(der, (size_t)len, inner, (size_t)inner_len);
    if (CHECK(at != NULL)) {
        at[0] ^= 0x15; /* no SEQUENCE or OCTET STRING any more */
        at[1] ^= 0x41;
        key = load_der(der, len);
        check_broken(key, type);
        EVP_PKEY_free(key);
    }
    OPENSSL_free(der);
    PKCS8_PRIV_KEY_INFO_free(info);
}

static void test_cut_short(const struct key_type *type)
{
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key_reference(type));
    unsigned char *der = NULL;
    int len = i2d_PKCS8_PRIV_KEY_INFO(info, &der);
    EVP_PKEY *key = load_der(der, len - 7);

    interop_subject("%s, cut short", type->label);
    printf("%s, cut short\n", type->label);
    CHECK(key == NULL);
    check_report(false);
    EVP_PKEY_free(key);
    OPENSSL_free(der);
    PKCS8_PRIV_KEY_INFO_free(info);
}

/* An algorithm that nobody knows belongs to nobody. */
static void test_unknown_algorithm(void)
{
    static const unsigned char octets[4] = {4, 2, 1, 2};
    PKCS8_PRIV_KEY_INFO *info = PKCS8_PRIV_KEY_INFO_new();
    unsigned char *penc = OPENSSL_memdup(octets, sizeof(octets));
    unsigned char *der = NULL;
    EVP_PKEY *key;
    int len;

    interop_subject("unknown algorithm");
    printf("unknown algorithm\n");
    CHECK(PKCS8_pkey_set0(info, OBJ_txt2obj("1.2.3.4.5.6.7", 1), 0,
                          V_ASN1_UNDEF, NULL, penc, sizeof(octets)));
    len = i2d_PKCS8_PRIV_KEY_INFO(info, &der);
    key = load_der(der, len);
    CHECK(key == NULL);
    check_report(false);
    EVP_PKEY_free(key);
    OPENSSL_free(der);
    PKCS8_PRIV_KEY_INFO_free(info);
}

static void is_bad_parameter(int ret)
{
    const char *text = ERR_reason_error_string(ERR_peek_error());

    CHECK(ret <= 0);
    CHECK_STR(text != NULL ? text : "", "bad parameter");
    check_report(true);
}

#define MANY 100

/*
 * More than go in. Seen to fail: each said that its operation had failed, and
 * gave no reason.
 */
static void test_too_many_parameters(void)
{
    EVP_PKEY *key = key_load(key_type_find("P-256"));
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    EVP_PKEY_CTX *gen = EVP_PKEY_CTX_new_from_name(NULL, "EC", "provider=mpk");
    OSSL_PARAM many[MANY];
    int number;

    interop_subject("too many parameters");
    printf("too many parameters\n");
    for (size_t i = 0; i < MANY - 1; i++) {
        many[i] = OSSL_PARAM_construct_int("unknown", &number);
    }
    many[MANY - 1] = OSSL_PARAM_construct_end();
    is_bad_parameter(EVP_PKEY_sign_init_ex(ctx, many));
    CHECK_INT(EVP_PKEY_sign_init(ctx), 1);
    is_bad_parameter(EVP_PKEY_CTX_set_params(ctx, many));
    is_bad_parameter(EVP_PKEY_CTX_get_params(ctx, many));
    CHECK_INT(EVP_PKEY_keygen_init(gen), 1);
    is_bad_parameter(EVP_PKEY_CTX_set_params(gen, many));
    EVP_PKEY_CTX_free(gen);
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(key);
}

/* Success says nothing at all. */
static void test_silence(const struct key_type *type)
{
    EVP_PKEY *key = key_load(type);

    interop_subject("%s, silence", type->label);
    CHECK_HELD(key);
    CHECK_QUEUE_EMPTY();
    if (type->can & KEY_SIGNS) {
        check_signs(key, type);
        CHECK_QUEUE_EMPTY();
    }
    EVP_PKEY_free(key);
    CHECK_QUEUE_EMPTY();
}

/* An error that was there before stays the caller's. */
static void test_older_errors_stay(const struct key_type *type)
{
    EVP_PKEY *key;

    interop_subject("%s, an older error", type->label);
    ERR_raise(ERR_LIB_USER, 42);
    key = key_load(type);
    CHECK_HELD(key);
    if (type->can & KEY_SIGNS) {
        check_signs(key, type);
    }
    EVP_PKEY_free(key);
    CHECK_INT(ERR_GET_LIB(ERR_peek_error()), ERR_LIB_USER);
    CHECK_INT(ERR_GET_REASON(ERR_peek_last_error()), 42);
    ERR_clear_error();
}

static int ask_status(const char *provider, unsigned type, void *data,
                      size_t room, size_t *len)
{
    OSSL_PROVIDER *p = OSSL_PROVIDER_load(NULL, provider);
    OSSL_PARAM params[] = {
        {OSSL_PROV_PARAM_STATUS, type, data, room, OSSL_PARAM_UNMODIFIED},
        OSSL_PARAM_END};
    int ret = OSSL_PROVIDER_get_params(p, params);

    *len = params[0].return_size;
    OSSL_PROVIDER_unload(p);
    return ret;
}

/*
 * The provider's own parameters, asked for in any form.
 *
 * Seen to fail: with a status that is written to where no data is.
 */
static void test_status_in_any_form(void)
{
    static const unsigned types[] = {OSSL_PARAM_INTEGER,
                                     OSSL_PARAM_UNSIGNED_INTEGER,
                                     OSSL_PARAM_UTF8_STRING};
    static const size_t rooms[] = {1, 4, 8};

    interop_subject("the provider's status");
    for (size_t i = 0; i < 18; i++) {
        uint64_t a = 0, b = 0;
        unsigned type = types[i / 6];
        size_t room = rooms[i / 2 % 3], a_len, b_len;
        bool has_data = i % 2 != 0;

        CHECK_INT(
            ask_status(interop_provider(), type, has_data ? &a : NULL, room,
                       &a_len),
            ask_status("default", type, has_data ? &b : NULL, room, &b_len));
        CHECK_INT((long long)a_len, (long long)b_len);
        CHECK_INT((long long)a, (long long)b);
        ERR_clear_error();
    }
}

int main(void)
{
    const struct key_type *type;

    interop_start();
    for (size_t i = 0; (type = key_type_at(i)) != NULL; i++) {
        test_silence(type);
        test_older_errors_stay(type);
        test_private_export(type);
        test_wrong_passphrase(type);
        test_cut_short(type);
        if (type->can & KEY_SIGNS) {
            test_damaged_inside(type);
        }
    }
    test_unknown_algorithm();
    if (interop_protected()) {
        test_too_many_parameters();
    }
    test_status_in_any_form();
    return interop_finish();
}
