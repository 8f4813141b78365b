/*
 * Private keys in files that are not as one expects: what a person has left in
 * the text, labels and numbers that only libcrypto's old code knows, sizes.
 * Whatever libcrypto reads there, no provider but the one under test holds it,
 * and a key that is all there works.
 */
#include "interop.h"
#include "load_ways.h"
#include "ops.h"

#include <openssl/decoder.h>
#include <openssl/pem.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROOM ((size_t)4 << 20)

enum outcome {
    WORKS,
    REFUSES, /* but is held */
    HELD     /* if there is a key at all; some ways do not know the type */
};

/* Reads the |len| bytes at |data|, which are a file, in every way. */
static void read_it(const char *label, const struct key_type *type,
                    const void *data, size_t len, unsigned is,
                    enum outcome outcome)
{
    const struct form form = {.label = label, .is = is};
    struct file file = {data, len, NULL};
    const struct way *way;

    file.path = interop_file("odd", data, len);
    for (size_t i = 0; (way = way_at(i)) != NULL; i++) {
        struct asker asker = {FORM_PASSPHRASE, 0, 0};
        EVP_PKEY *key;

        if (!way->takes(&form, type)) {
            continue;
        }
        interop_subject("%s, %s, %s", type->label, label, way->label);
        key = way->load(&file, type, &asker);
        ERR_clear_error();
        if (interop_protected() && (key != NULL || outcome != HELD)) {
            CHECK_HELD(key);
        }
        if (key != NULL && outcome == WORKS) {
            CHECK_INT(key_eq(key, key_reference(type)), 1);
            check_signs(key, type);
        }
        EVP_PKEY_free(key);
        ERR_clear_error();
    }
}

static void read_text(const char *label, const struct key_type *type,
                      const char *text)
{
    read_it(label, type, text, strlen(text), FORM_PEM, WORKS);
}

/* ---- text ---------------------------------------------------------------- */

static char *form_text(const char *label, const struct key_type *type)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = interop_new(ROOM), *data;
    size_t len;

    CHECK(form_find(label)->write(bio, type));
    len = (size_t)BIO_get_mem_data(bio, &data);
    memcpy(text, data, len);
    text[len] = '\0';
    BIO_free(bio);
    return text;
}

/* Puts |with| before each line of |text|. */
static char *each_line(const char *text, const char *with)
{
    char *out = interop_new(ROOM);
    size_t n = 0;

    while (*text != '\0') {
        size_t len = strcspn(text, "\n") + 1;

        n +=
            (size_t)snprintf(out + n, ROOM - n, "%s%.*s", with, (int)len, text);
        text += len;
    }
    return out;
}

/* Puts |to| for the first |from| in |text|, in place. */
static void replace(char *text, const char *from, const char *to)
{
    char *at = strstr(text, from);

    if (CHECK(at != NULL)) {
        memmove(at + strlen(to), at + strlen(from),
                strlen(at + strlen(from)) + 1);
        memcpy(at, to, strlen(to));
    }
}

static void read_behind(const char *label, const struct key_type *type,
                        const char *before, const char *key)
{
    char *text = interop_new(ROOM);

    snprintf(text, ROOM, "%s%s", before, key);
    read_text(label, type, text);
    free(text);
}

static void test_what_stands_before(const struct key_type *type)
{
    char *key = form_text("traditional PEM", type);
    char *old = each_line(key, "# ");
    char line[256] = "";

    read_behind("an old key, commented out", type, old, key);
    read_behind("a label in a sentence", type,
                "it begins with -----BEGIN PRIVATE KEY-----\n"
                "and ends with -----END PRIVATE KEY-----\n",
                key);
    read_behind("a sentence that begins with a label", type,
                "-----BEGIN PRIVATE KEY----- is how it begins, and\n"
                "-----END PRIVATE KEY----- is its end\n",
                key);
    read_behind("the label of a certificate in a sentence", type,
                "-----BEGIN CERTIFICATE----- comes behind it\n", key);
    read_behind("a byte order mark", type, "\xef\xbb\xbf", key);
    read_behind("a byte order mark where it is none", type,
                "the old key:\n\xef\xbb\xbf-----BEGIN PRIVATE KEY-----\n", key);
    memset(line, 'x', 254);
    read_behind("a line that libcrypto breaks", type, line, key);
    free(old);
    free(key);
}

/* Puts a zero byte and more behind |before| in |text|, whose first it is. */
static void read_zero(const char *label, const struct key_type *type,
                      const char *text, const char *before)
{
    size_t len = strlen(text);
    size_t at = (size_t)(strstr(text, before) - text) + strlen(before);
    char *with = interop_new(len + sizeof("junk"));

    memcpy(with, text, at);
    memcpy(with + at, "\0junk", sizeof("junk"));
    memcpy(with + at + sizeof("junk"), text + at, len - at);
    read_it(label, type, with, len + sizeof("junk"), FORM_PEM, REFUSES);
    free(with);
}

/* A line ends there for libcrypto, in a file, and a label does, in memory. */
static void test_zero_bytes(const struct key_type *type)
{
    char *key = form_text("PKCS#8 PEM", type);

    read_zero("a zero byte behind the label", type, key,
              "BEGIN PRIVATE KEY-----");
    read_zero("a zero byte in the label", type, key, "BEGIN PRIVATE KEY");
    read_zero("a zero byte behind the end", type, key, "END PRIVATE KEY-----");
    free(key);
}

static void test_the_block_itself(const struct key_type *type)
{
    char *key = form_text("traditional PEM", type);
    const char *label = type->id == EVP_PKEY_RSA ? "RSA PRIV" : "EC PRIV";
    const char *lower = type->id == EVP_PKEY_RSA ? "rsa PRIV" : "Ec PRIV";
    char *encrypted = form_text("Proc-Type PEM", type);

    replace(encrypted, "\n\n", "\nComment: -----END of the header\n\n");
    read_text("dashes in the header", type, encrypted);
    replace(key, "KEY-----\n", "KEY----- \t\r\n");
    read_text("blanks behind the label", type, key);
    replace(key, label, lower);
    replace(key, label, lower);
    if (interop_protected()) { /* stores know such labels only here */
        read_text("a label in small letters", type, key);
    }
    free(encrypted);
    free(key);
}

/* libcrypto looks for private keys under these labels too. */
static void test_public_labels(const struct key_type *type)
{
    static const char *const labels[] = {
        "RSA PUBLIC KEY", "DSA PUBLIC KEY",      "DSA PARAMETERS",
        "DH PARAMETERS",  "X9.42 DH PARAMETERS", "EC PARAMETERS"};
    static const char *const forms[] = {"traditional PEM", "Proc-Type PEM"};
    const char *was =
        type->id == EVP_PKEY_RSA ? "RSA PRIVATE KEY" : "EC PRIVATE KEY";

    for (size_t i = 0; i < sizeof(labels) / sizeof(labels[0]); i++) {
        char *key = form_text(forms[i % 2], type);
        char *other = form_text("PKCS#8 PEM", type), *text = interop_new(ROOM);

        replace(key, was, labels[i]);
        replace(key, was, labels[i]);
        read_it(labels[i], type, key, strlen(key), FORM_PEM, HELD);
        snprintf(text, ROOM, "%s%s", key, other);
        read_it(labels[i], type, text, strlen(text), FORM_PEM, HELD);
        free(text);
        free(other);
        free(key);
    }
}

/* A decoder that was told nothing takes PKCS#8 there. */
static void test_hidden_from_decoder(const struct key_type *type,
                                     const char *label)
{
    char *text = form_text("PKCS#8 PEM", type);
    EVP_PKEY *key = NULL;
    OSSL_DECODER_CTX *ctx =
        OSSL_DECODER_CTX_new_for_pkey(&key, "PEM", NULL, NULL, 0, NULL, NULL);
    BIO *bio;

    interop_subject("%s as %s, by a decoder", type->label, label);
    replace(text, "PRIVATE KEY", label);
    replace(text, "PRIVATE KEY", label);
    bio = BIO_new_mem_buf(text, -1);
    OSSL_DECODER_from_bio(ctx, bio);
    if (interop_protected()) {
        CHECK_HELD(key);
    }
    ERR_clear_error();
    EVP_PKEY_free(key);
    OSSL_DECODER_CTX_free(ctx);
    BIO_free(bio);
    free(text);
}

/* What is behind such a one is left to who reads on. */
static void test_behind_hidden(const struct key_type *type)
{
    char *key = form_text("PKCS#8 PEM", type), *text = interop_new(ROOM);
    char *hidden = form_text("PKCS#8 PEM", type);
    EVP_PKEY *first, *second;
    BIO *bio;

    interop_subject("%s behind a private key under a public label",
                    type->label);
    replace(hidden, "BEGIN PRIVATE KEY", "BEGIN EC PARAMETERS");
    replace(hidden, "END PRIVATE KEY", "END EC PARAMETERS");
    snprintf(text, ROOM, "%s%s", hidden, key);
    bio = BIO_new_mem_buf(text, -1);
    first = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    second = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    ERR_clear_error();
    if (interop_protected()) {
        CHECK_HELD(first);
        CHECK_HELD(second);
        CHECK_INT(key_eq(second, key_reference(type)), 1);
    }
    EVP_PKEY_free(first);
    EVP_PKEY_free(second);
    BIO_free(bio);
    free(hidden);
    free(text);
    free(key);
}

/* What is public there is passed by. */
static void test_behind_public(const struct key_type *type)
{
    /* A TLS session begins as keys do: INTEGER, INTEGER, OCTET STRING. */
    static const unsigned char session[] = {0x30, 11, 0x02, 1, 1, 0x02, 2,
                                            3,    3,  0x04, 2, 0, 0x2f};
    char *key = form_text("traditional PEM", type), *text;
    EVP_PKEY *rsa = key_reference(key_type_find("RSA-2048"));
    EVP_PKEY *ec = key_reference(key_type_find("P-256"));
    BIO *bio = BIO_new(BIO_s_mem());
    unsigned char *der = NULL;
    int len = i2d_PublicKey(rsa, &der);

    CHECK(PEM_write_bio(bio, "RSA PUBLIC KEY", "", der, len));
    OPENSSL_free(der);
    CHECK(PEM_write_bio_PUBKEY(bio, ec));
    CHECK(PEM_write_bio_Parameters(bio, ec));
    CHECK(PEM_write_bio(bio, PEM_STRING_SSL_SESSION, "", session,
                        sizeof(session)));
    CHECK(BIO_puts(bio, key) > 0);
    CHECK(BIO_write(bio, "", 1));
    CHECK(BIO_get_mem_data(bio, &text) > 0);
    read_text("behind what is public", type, text);
    BIO_free(bio);
    free(key);
}

/* libcrypto's old code passes by labels that it does not know, and goes on. */
static void test_behind_damage(const struct key_type *type)
{
    static const char *const labels[] = {
        "SM2 PRIVATE KEY", "sm2 PRIVATE KEY", "private key",
        "ANY PRIVATE KEY", "EC private key",  "encrypted private key"};
    char *key = form_text("PKCS#8 PEM", type), *text = interop_new(ROOM);

    for (size_t i = 0; i < sizeof(labels) / sizeof(labels[0]); i++) {
        snprintf(text, ROOM,
                 "-----BEGIN %s-----\nMAMCAQA=\n-----END %s-----\n%s",
                 labels[i], labels[i], key);
        read_it(labels[i], type, text, strlen(text), FORM_PEM, HELD);
    }
    free(text);
    free(key);
}

/* ---- numbers and sizes --------------------------------------------------- */

/* As what |is| says, PEM or DER. */
static void read_key(const char *label, const struct key_type *type,
                     PKCS8_PRIV_KEY_INFO *info, unsigned is,
                     enum outcome outcome)
{
    BIO *bio = BIO_new(BIO_s_mem());
    unsigned char *der = NULL;
    int len = i2d_PKCS8_PRIV_KEY_INFO(info, &der);
    char *text;
    size_t text_len;

    CHECK(PEM_write_bio_PKCS8_PRIV_KEY_INFO(bio, info));
    text_len = (size_t)BIO_get_mem_data(bio, &text);
    if (is & FORM_PEM) {
        read_it(label, type, text, text_len, FORM_PEM, outcome);
    }
    if (is & FORM_DER) {
        read_it(label, type, der, (size_t)len, FORM_DER | FORM_PKCS8, outcome);
    }
    OPENSSL_free(der);
    BIO_free(bio);
}

/* The same key, as one of type |oid|. */
static PKCS8_PRIV_KEY_INFO *renamed(const struct key_type *type,
                                    const char *oid)
{
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key_reference(type));
    const X509_ALGOR *alg;
    const void *value;
    int value_type;
    X509_ALGOR *copy;

    PKCS8_pkey_get0(NULL, NULL, NULL, &alg, info);
    copy = X509_ALGOR_dup(alg);
    X509_ALGOR_get0(NULL, &value_type, &value, copy);
    if (value_type == V_ASN1_SEQUENCE) {
        value = ASN1_STRING_dup(value);
    }
    CHECK(X509_ALGOR_set0((X509_ALGOR *)alg, OBJ_txt2obj(oid, 1), value_type,
                          (void *)value));
    X509_ALGOR_free(copy);
    return info;
}

/* Not every version reads every one of these. */
static bool reference_reads(const PKCS8_PRIV_KEY_INFO *info)
{
    EVP_PKEY *key = EVP_PKCS82PKEY_ex(info, interop_ref(), NULL);

    ERR_clear_error();
    EVP_PKEY_free(key);
    return key != NULL;
}

/* libcrypto's old code takes all of these, in 3.0. */
static void test_old_numbers(void)
{
    static const struct {
        const char *label, *type, *oid;
    } rows[] = {
        {"RSA of X.500", "RSA-2048", "2.5.8.1.1"},
        {"dsaWithSHA1", "DSA", "1.2.840.10040.4.3"},
        {"DSA of OIW", "DSA", "1.3.14.3.2.12"},
        {"dsaWithSHA of OIW", "DSA", "1.3.14.3.2.13"},
        {"dsaWithSHA1 of OIW", "DSA", "1.3.14.3.2.27"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct key_type *type = key_type_find(rows[i].type);
        PKCS8_PRIV_KEY_INFO *info = renamed(type, rows[i].oid);

        read_key(rows[i].label, type, info, FORM_PEM | FORM_DER,
                 reference_reads(info) ? WORKS : HELD);
        PKCS8_PRIV_KEY_INFO_free(info);
    }
}

static void test_other_number(const struct key_type *type, const char *label,
                              const char *oid, unsigned is)
{
    PKCS8_PRIV_KEY_INFO *info = renamed(type, oid);

    read_key(label, type, info, is, HELD);
    PKCS8_PRIV_KEY_INFO_free(info);
}

/* Asked for by a type that is not the key's, but one that libcrypto's old code
 * reads as if it were. */
static void test_by_another_type(const char *of, int asked)
{
    const struct key_type *type = key_type_find(of);
    const char *const forms[] = {"PKCS#8 DER", "traditional DER"};

    for (size_t i = 0; i < 2; i++) {
        BIO *bio = BIO_new(BIO_s_mem());
        const unsigned char *p;
        unsigned char *data;
        EVP_PKEY *key;
        long len;

        interop_subject("%s, %s, by d2i_PrivateKey as %s", of, forms[i],
                        OBJ_nid2sn(asked));
        CHECK(form_find(forms[i])->write(bio, type));
        len = BIO_get_mem_data(bio, &data);
        p = data;
        key = d2i_PrivateKey(asked, NULL, &p, len);
        if (key != NULL) {
            CHECK_HELD(key);
        }
        ERR_clear_error();
        EVP_PKEY_free(key);
        BIO_free(bio);
    }
}

/* No code finds a key of that type, and a program goes on to the next. */
static void test_by_no_type(const char *of, int asked)
{
    const char *const forms[] = {"PKCS#8 DER", "traditional DER"};

    for (size_t i = 0; i < 2; i++) {
        BIO *bio = BIO_new(BIO_s_mem());
        const unsigned char *p;
        unsigned char *data;
        long len;

        interop_subject("%s, %s, by d2i_PrivateKey as %s", of, forms[i],
                        OBJ_nid2sn(asked));
        CHECK(form_find(forms[i])->write(bio, key_type_find(of)));
        len = BIO_get_mem_data(bio, &data);
        p = data;
        CHECK(d2i_PrivateKey(asked, NULL, &p, len) == NULL);
        ERR_clear_error();
        BIO_free(bio);
    }
}

/* An attribute of any size may come behind a key. */
static void test_large(const struct key_type *type)
{
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key_reference(type));
    size_t len = (size_t)11 << 17;
    unsigned char *p = interop_new(len);

    memset(p, 'x', len);
    CHECK(PKCS8_pkey_add1_attr_by_NID(info, NID_friendlyName,
                                      V_ASN1_OCTET_STRING, p, (int)len));
    read_key("an attribute of 1.4 MiB", type, info, FORM_PEM | FORM_DER, HELD);
    PKCS8_PRIV_KEY_INFO_free(info);
    free(p);
}

/* So may an algorithm's parameters, which for RSA libcrypto does not look at.
 */
static void test_large_parameters(const struct key_type *type)
{
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key_reference(type));
    size_t len = (size_t)11 << 17;
    ASN1_OCTET_STRING *text = ASN1_OCTET_STRING_new();
    unsigned char *p = interop_new(len), *key;
    const unsigned char *was;
    int key_len;

    memset(p, 'x', len);
    CHECK(ASN1_OCTET_STRING_set(text, p, (int)len));
    CHECK(PKCS8_pkey_get0(NULL, &was, &key_len, NULL, info));
    key = OPENSSL_memdup(was, (size_t)key_len);
    CHECK(PKCS8_pkey_set0(info, OBJ_nid2obj(EVP_PKEY_RSA), 0,
                          V_ASN1_OCTET_STRING, text, key, key_len));
    read_key("parameters of 1.4 MiB", type, info, FORM_PEM | FORM_DER, HELD);
    PKCS8_PRIV_KEY_INFO_free(info);
    free(p);
}

/* Whose openssl to write it anew with: that of the same version cannot. */
static void check_refusal_says_which(EVP_PKEY *key)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    const char *text = "";

    ERR_clear_error();
    if (EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) <= 0) {
        ERR_peek_error_all(NULL, NULL, NULL, &text, NULL);
        CHECK(strstr(text, "openssl pkey of OpenSSL 3.5") != NULL);
    }
    EVP_MD_CTX_free(ctx);
}

/* RFC 5958: version 2, and the public key behind the private one. OpenSSL 3.0
 * does not read it, 3.5 does, and they may be inside and outside. */
static void test_version_2(const struct key_type *type)
{
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key_reference(type));
    unsigned char der[128], *p = der;
    size_t len = (size_t)i2d_PKCS8_PRIV_KEY_INFO(info, &p), pub_len = 32;
    BIO *bio = BIO_new(BIO_s_mem());
    EVP_PKEY *key;
    char *text;

    /* 30 len, 02 01 version, ...; [1] is a bit string without unused bits. */
    memcpy(der + len, "\x81\x21\x00", 3);
    CHECK(EVP_PKEY_get_raw_public_key(key_reference(type), der + len + 3,
                                      &pub_len));
    len += 3 + pub_len;
    der[1] = (unsigned char)(len - 2);
    der[4] = 1;
    CHECK(PEM_write_bio(bio, PEM_STRING_PKCS8INF, "", der, (long)len));
    read_it("version 2", type, der, len, FORM_DER, HELD);
    len = (size_t)BIO_get_mem_data(bio, &text);
    read_it("version 2", type, text, len, FORM_PEM, HELD);
    key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    if (interop_protected()) {
        CHECK_HELD(key);
        check_refusal_says_which(key);
    }
    ERR_clear_error();
    EVP_PKEY_free(key);
    BIO_free(bio);
    PKCS8_PRIV_KEY_INFO_free(info);
}

static void test_unknown_encryption(const struct key_type *type)
{
    char *text = form_text("Proc-Type PEM", type);

    replace(text, "DEK-Info: ", "DEK-Info: X");
    read_it("a cipher that nobody knows", type, text, strlen(text), FORM_PEM,
            REFUSES);
    free(text);
}

int main(void)
{
    static const char *const labels[] = {"RSA-2048", "P-256"};

    interop_start();
    for (size_t i = 0; i < sizeof(labels) / sizeof(labels[0]); i++) {
        const struct key_type *type = key_type_find(labels[i]);

        test_what_stands_before(type);
        test_zero_bytes(type);
        test_the_block_itself(type);
        test_public_labels(type);
        test_hidden_from_decoder(type, "RSA PUBLIC KEY");
        test_hidden_from_decoder(type, "EC PARAMETERS");
        test_behind_hidden(type);
        test_behind_public(type);
        test_behind_damage(type);
        test_other_number(type, "a type that nobody knows", "1.2.3.4.5",
                          FORM_PEM | FORM_DER);
        test_other_number(type, "as a key of SM2", "1.2.156.10197.1.301",
                          FORM_PEM | FORM_DER);
        test_unknown_encryption(type);
    }
    test_large(key_type_find("P-256"));
    test_large_parameters(key_type_find("RSA-2048"));
    test_version_2(key_type_find("ED25519"));
    test_old_numbers();
    test_by_another_type("P-256", EVP_PKEY_SM2);
    test_by_another_type("SM2", EVP_PKEY_EC);
    test_by_another_type("SM2", EVP_PKEY_SM2);
    test_by_no_type("P-256", EVP_PKEY_RSA);
    test_by_no_type("P-256", EVP_PKEY_ED25519);
    test_by_no_type("RSA-2048", EVP_PKEY_EC);
    return interop_finish();
}
