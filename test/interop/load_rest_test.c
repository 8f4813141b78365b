/*
 * What surrounds private keys in files: a reader takes its own PEM block and
 * no more, containers work, and whatever is public stays with default.
 */

#include "interop.h"
#include "load_ways.h"
#include "ops.h"

#include <openssl/decoder.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/store.h>
#include <stdio.h>
#include <string.h>

#define CHECK_PUBLIC(key) CHECK_STR(interop_provider_of(key), "default")

static BIO *form_bio(const char *label, const struct key_type *type)
{
    BIO *bio = BIO_new(BIO_s_mem());

    CHECK(form_find(label)->write(bio, type));
    return bio;
}

static void
test_reading_a_key_leaves_the_next_block(const struct key_type *type)
{
    BIO *bio = form_bio("key, certificate", type);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);

    interop_subject("%s, key then certificate from one BIO", type->label);
    CHECK_HELD(key);
    CHECK(cert != NULL);
    CHECK_INT(BIO_pending(bio), 0);
    CHECK_QUEUE_EMPTY();
    EVP_PKEY_free(key);
    X509_free(cert);
    BIO_free(bio);
}

static void
test_reading_from_stdio_leaves_the_next_block(const struct key_type *type)
{
    BIO *bio = form_bio("key, certificate", type);
    X509 *cert;
    EVP_PKEY *key;
    char *data;
    size_t len = (size_t)BIO_get_mem_data(bio, &data);
    FILE *f = fopen(interop_file("stdio", data, len), "rb");

    interop_subject("%s, key then certificate from one FILE", type->label);
    key = PEM_read_PrivateKey(f, NULL, NULL, NULL);
    cert = PEM_read_X509(f, NULL, NULL, NULL);
    CHECK_HELD(key);
    CHECK(cert != NULL);
    CHECK_QUEUE_EMPTY();
    EVP_PKEY_free(key);
    X509_free(cert);
    fclose(f);
    BIO_free(bio);
}

/* Applications loop until the error that says "nothing left". */
static void check_same_last_error_as_reference(const char *content)
{
    BIO *bio = BIO_new_mem_buf(content, -1);
    unsigned long ours = ERR_peek_last_error();

    ERR_clear_error();
    CHECK(PEM_read_bio_PrivateKey_ex(bio, NULL, NULL, NULL, interop_ref(),
                                     NULL) == NULL);
    CHECK_INT((long long)ours, (long long)ERR_peek_last_error());
    CHECK(ours != 0);
    ERR_clear_error();
    BIO_free(bio);
}

static void test_two_keys_from_one_bio(const struct key_type *first,
                                       const struct key_type *second)
{
    BIO *bio = form_bio("PKCS#8 PEM", first);
    EVP_PKEY *key;

    interop_subject("%s then %s from one BIO", first->label, second->label);
    CHECK(form_find("PBES2 PEM")->write(bio, second));
    key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    CHECK_HELD(key);
    CHECK_INT(key_eq(key, key_reference(first)), 1);
    EVP_PKEY_free(key);
    key = PEM_read_bio_PrivateKey(bio, NULL, NULL, (void *)FORM_PASSPHRASE);
    CHECK_HELD(key);
    CHECK_INT(key_eq(key, key_reference(second)), 1);
    EVP_PKEY_free(key);
    CHECK_QUEUE_EMPTY();
    key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    CHECK(key == NULL);
    check_same_last_error_as_reference("");
    BIO_free(bio);
}

static void test_end_of_input_is_the_same_error(const char *content)
{
    BIO *bio = BIO_new_mem_buf(content, -1);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);

    interop_subject("no key in a file of %zu bytes", strlen(content));
    CHECK(key == NULL);
    check_same_last_error_as_reference(content);
    BIO_free(bio);
}

static void test_pkcs12(const struct key_type *type)
{
    X509 *cert = key_certificate(type);
    PKCS12 *made = PKCS12_create(FORM_PASSPHRASE, "name", key_reference(type),
                                 cert, NULL, 0, 0, 0, 0, 0);
    unsigned char *der = NULL;
    const unsigned char *p;
    EVP_PKEY *key = NULL;
    X509 *own = NULL;
    PKCS12 *read;
    int len;

    interop_subject("%s in a PKCS#12 file", type->label);
    len = i2d_PKCS12(made, &der);
    p = der;
    read = d2i_PKCS12(NULL, &p, len);
    CHECK(PKCS12_parse(read, FORM_PASSPHRASE, &key, &own, NULL));
    CHECK_HELD(key);
    CHECK_INT(key_eq(key, key_reference(type)), 1);
    CHECK(own != NULL && X509_check_private_key(own, key));
    CHECK_QUEUE_EMPTY();
    EVP_PKEY_free(key);
    X509_free(own);
    X509_free(cert);
    PKCS12_free(read);
    PKCS12_free(made);
    OPENSSL_free(der);
}

/*
 * Programs that have no name for what is in a DER file try it without a
 * passphrase first, and with one when that has failed.
 */
static void test_encrypted_der(const struct key_type *type)
{
    BIO *bio = form_bio("PBES2 DER", type);
    unsigned char *der;
    long len = BIO_get_mem_data(bio, &der);
    const unsigned char *p = der;
    BIO *first = BIO_new_mem_buf(der, (int)len);
    EVP_PKEY *key = d2i_PrivateKey_bio(first, NULL);

    interop_subject("%s, encrypted DER", type->label);
    CHECK(key == NULL);
    CHECK_QUEUE_FILLED();
    EVP_PKEY_free(key);
    key = d2i_PrivateKey(type->id, NULL, &p, len);
    CHECK(key == NULL);
    CHECK_QUEUE_FILLED();
    EVP_PKEY_free(key);
    key = d2i_PKCS8PrivateKey_bio(bio, NULL, NULL, (void *)FORM_PASSPHRASE);
    CHECK_HELD(key);
    CHECK_INT(key_eq(key, key_reference(type)), 1);
    CHECK_QUEUE_EMPTY();
    EVP_PKEY_free(key);
    BIO_free(first);
    BIO_free(bio);
}

static void test_public_pem(const struct key_type *type)
{
    EVP_PKEY *key = key_load_public(type);

    interop_subject("%s PUBLIC KEY", type->label);
    CHECK_PUBLIC(key);
    CHECK_INT(key_eq(key, key_reference(type)), 1);
    CHECK_QUEUE_EMPTY();
    EVP_PKEY_free(key);
}

static void test_public_der(const struct key_type *type)
{
    unsigned char *der = NULL;
    int len = i2d_PUBKEY(key_reference(type), &der);
    const unsigned char *p = der;
    EVP_PKEY *key = d2i_PUBKEY(NULL, &p, len);

    interop_subject("%s SubjectPublicKeyInfo", type->label);
    CHECK_PUBLIC(key);
    CHECK_QUEUE_EMPTY();
    EVP_PKEY_free(key);
    OPENSSL_free(der);
}

static void test_certificate(const struct key_type *type)
{
    BIO *bio = form_bio("certificate, key", type);
    X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);

    interop_subject("%s certificate", type->label);
    CHECK_PUBLIC(X509_get0_pubkey(cert));
    CHECK_QUEUE_EMPTY();
    X509_free(cert);
    BIO_free(bio);
}

static void test_parameters(const struct key_type *type)
{
    BIO *bio = BIO_new(BIO_s_mem());
    EVP_PKEY *key;

    interop_subject("%s PARAMETERS", type->label);
    CHECK(PEM_write_bio_Parameters(bio, key_reference(type)));
    key = PEM_read_bio_Parameters(bio, NULL);
    CHECK_PUBLIC(key);
    CHECK_QUEUE_EMPTY();
    EVP_PKEY_free(key);
    BIO_free(bio);
}

static void check_store_entry(const OSSL_STORE_INFO *info, int seen[])
{
    int type = OSSL_STORE_INFO_get_type(info);

    seen[type]++;
    switch (type) {
    case OSSL_STORE_INFO_PKEY:
        CHECK_HELD(OSSL_STORE_INFO_get0_PKEY(info));
        break;
    case OSSL_STORE_INFO_PUBKEY:
        CHECK_PUBLIC(OSSL_STORE_INFO_get0_PUBKEY(info));
        break;
    case OSSL_STORE_INFO_PARAMS:
        CHECK_PUBLIC(OSSL_STORE_INFO_get0_PARAMS(info));
        break;
    case OSSL_STORE_INFO_CERT:
        CHECK_PUBLIC(X509_get0_pubkey(OSSL_STORE_INFO_get0_CERT(info)));
        break;
    default:
        CHECK(type == OSSL_STORE_INFO_CERT);
    }
}

static void test_store_keeps_kinds_apart(const struct key_type *type)
{
    BIO *bio = form_bio("certificate, key", type);
    int seen[OSSL_STORE_INFO_CRL + 1] = {0};
    OSSL_STORE_INFO *info;
    OSSL_STORE_CTX *ctx;
    char *data;
    size_t len;

    interop_subject("%s, everything in one store", type->label);
    CHECK(PEM_write_bio_PUBKEY(bio, key_reference(type)));
    len = (size_t)BIO_get_mem_data(bio, &data);
    ctx = OSSL_STORE_open(interop_file("all.pem", data, len), NULL, NULL, NULL,
                          NULL);
    while (!OSSL_STORE_eof(ctx)) {
        info = OSSL_STORE_load(ctx);
        if (info != NULL) {
            check_store_entry(info, seen);
        }
        OSSL_STORE_INFO_free(info);
    }
    CHECK_INT(seen[OSSL_STORE_INFO_PKEY], 1);
    CHECK_INT(seen[OSSL_STORE_INFO_PUBKEY], 1);
    CHECK_INT(seen[OSSL_STORE_INFO_CERT], 1);
    CHECK_QUEUE_EMPTY();
    OSSL_STORE_close(ctx);
    BIO_free(bio);
}

/* Seen to fail: libcrypto, which had no decoder to ask, said something general,
 * or with some versions (3.0.2) nothing. */
static void
test_asked_for_another_type_there_is_an_error(const struct key_type *type)
{
    const char *other = strcmp(type->name, "RSA") == 0 ? "EC" : "RSA";
    BIO *bio = form_bio("PKCS#8 PEM", type);
    EVP_PKEY *key = NULL;
    OSSL_DECODER_CTX *ctx = OSSL_DECODER_CTX_new_for_pkey(
        &key, NULL, NULL, other, EVP_PKEY_KEYPAIR, NULL, NULL);

    interop_subject("%s, asked for as %s", type->label, other);
    CHECK(OSSL_DECODER_from_bio(ctx, bio) == 0);
    CHECK(key == NULL);
    if (interop_protected()) {
        CHECK_STR(ERR_reason_error_string(ERR_peek_error()),
                  "unsupported private key");
    }
    CHECK_QUEUE_FILLED();
    OSSL_DECODER_CTX_free(ctx);
    BIO_free(bio);
}

static void load_once(const char *label, const struct key_type *type)
{
    BIO *bio = form_bio(label, type);
    EVP_PKEY *key =
        PEM_read_bio_PrivateKey(bio, NULL, NULL, (void *)FORM_PASSPHRASE);

    CHECK_HELD(key);
    EVP_PKEY_free(key);
    BIO_free(bio);
}

/* The domain has the other ciphers once a key is encrypted: a hundred methods,
 * of some blocks each. */
static void test_ciphers_come_with_an_encrypted_key(void)
{
    const struct key_type *type = key_type_find("P-256");
    long long before;

    load_once("PKCS#8 PEM", type);
    before = interop_blocks("mpk");
    load_once("PKCS#8 PEM", type);
    CHECK_INT(interop_blocks("mpk") - before, 0);
    load_once("Proc-Type PEM", type);
    CHECK(interop_blocks("mpk") - before > 500);
}

static int decoders_of_public_keys(OSSL_LIB_CTX *libctx)
{
    EVP_PKEY *key = NULL;
    OSSL_DECODER_CTX *ctx =
        OSSL_DECODER_CTX_new_for_pkey(&key, "DER", "SubjectPublicKeyInfo", "EC",
                                      EVP_PKEY_PUBLIC_KEY, libctx, NULL);
    int n = OSSL_DECODER_CTX_get_num_decoders(ctx);

    OSSL_DECODER_CTX_free(ctx);
    return n;
}

/* Each decoder in it makes a certificate dearer. OpenSSL 3.1 and later do not
 * leave the readers out. */
static void test_public_keys_have_libcryptos_decoders_only(void)
{
    int stock = decoders_of_public_keys(interop_ref());
    int is_3_0 = OPENSSL_version_major() == 3 && OPENSSL_version_minor() == 0;

    CHECK(stock > 0);
    CHECK_INT(decoders_of_public_keys(NULL) - stock, is_3_0 ? 0 : 2);
}

static void test_type(const struct key_type *type)
{
    test_asked_for_another_type_there_is_an_error(type);
    test_reading_a_key_leaves_the_next_block(type);
    test_reading_from_stdio_leaves_the_next_block(type);
    test_pkcs12(type);
    test_encrypted_der(type);
    test_public_pem(type);
    test_public_der(type);
    test_certificate(type);
    test_store_keeps_kinds_apart(type);
    if (type->group != NULL || type->id == EVP_PKEY_DSA) {
        test_parameters(type);
    }
}

int main(void)
{
    const struct key_type *type;

    interop_start();
    if (interop_protected()) {
        test_ciphers_come_with_an_encrypted_key();
        test_public_keys_have_libcryptos_decoders_only();
    }
    for (size_t i = 0; (type = key_type_at(i)) != NULL; i++) {
        test_type(type);
        test_two_keys_from_one_bio(type, key_type_find("P-256"));
    }
    test_end_of_input_is_the_same_error("");
    test_end_of_input_is_the_same_error("no PEM here\n");
    return interop_finish();
}
