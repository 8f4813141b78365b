/*
 * Private keys from what cannot go back and from what gives its bytes late:
 * pipes, reads that a signal interrupts, reads that fail for now. What comes
 * behind a key is left to whoever reads on, nobody waits for more than the key,
 * and a key is under the provider or not there.
 */
#include "interop.h"
#include "load_ways.h"

#include "../plain_bio.h"

#include <openssl/decoder.h>
#include <openssl/pem.h>
#include <openssl/store.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- pipes --------------------------------------------------------------- */

/* A pipe with what |label| makes, whose other end stays open. */
static BIO *pipe_with(const char *label, const struct key_type *type,
                      int *other_end)
{
    BIO *bio = BIO_new(BIO_s_mem());
    int ends[2];
    char *data;
    long len;

    CHECK(form_find(label)->write(bio, type));
    len = BIO_get_mem_data(bio, &data);
    CHECK_INT(pipe(ends), 0);
    CHECK_INT(write(ends[1], data, (size_t)len), len);
    BIO_free(bio);
    *other_end = ends[1];
    return BIO_new_fd(ends[0], BIO_CLOSE);
}

static void test_key_then_certificate(const struct key_type *type)
{
    int other_end;
    BIO *bio = pipe_with("key, certificate", type, &other_end);
    EVP_PKEY *key;
    X509 *cert;

    interop_subject("%s, key then certificate from a pipe", type->label);
    key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    CHECK_HELD(key);
    cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    CHECK(cert != NULL);
    EVP_PKEY_free(key);
    X509_free(cert);
    BIO_free(bio);
    close(other_end);
}

static void test_certificate_then_key(const struct key_type *type)
{
    int other_end, keys = 0, certs = 0;
    BIO *bio = pipe_with("certificate, key", type, &other_end);
    OSSL_STORE_CTX *store;
    OSSL_STORE_INFO *info;

    interop_subject("%s, certificate then key from a pipe", type->label);
    close(other_end);
    store = OSSL_STORE_attach(bio, "file", NULL, NULL, NULL, NULL, NULL, NULL,
                              NULL);
    while (!OSSL_STORE_eof(store)) {
        info = OSSL_STORE_load(store);
        if (info != NULL &&
            OSSL_STORE_INFO_get_type(info) == OSSL_STORE_INFO_PKEY) {
            CHECK_HELD(OSSL_STORE_INFO_get0_PKEY(info));
            keys++;
        }
        certs += info != NULL &&
                 OSSL_STORE_INFO_get_type(info) == OSSL_STORE_INFO_CERT;
        OSSL_STORE_INFO_free(info);
    }
    CHECK_INT(keys, 1);
    CHECK_INT(certs, 1);
    OSSL_STORE_close(store);
    BIO_free(bio);
    ERR_clear_error();
}

/* ---- reads that fail, and then do not ------------------------------------ */

struct stream {
    const char *p;
    size_t len, at, cut;
    int failures, why; /* at |cut|, so often, with this errno */
};

static int stream_read(BIO *bio, char *to, int room)
{
    struct stream *s = BIO_get_data(bio);
    size_t n = s->at < s->cut ? s->cut - s->at : s->len - s->at;

    if (s->at == s->cut && s->failures > 0) {
        s->failures--;
        errno = s->why;
        BIO_set_retry_read(bio);
        return -1;
    }
    BIO_clear_retry_flags(bio);
    n = n < (size_t)room ? n : (size_t)room;
    memcpy(to, s->p + s->at, n);
    s->at += n;
    return (int)n;
}

static long stream_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
    const struct stream *s = BIO_get_data(bio);

    (void)num;
    (void)ptr;
    switch (cmd) {
    case BIO_CTRL_EOF:
        return s->at == s->len;
    case BIO_C_FILE_TELL:
        return -1;
    default:
        return 0;
    }
}

static EVP_PKEY *by_pem(BIO *bio)
{
    return PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
}

static EVP_PKEY *by_decoder(BIO *bio)
{
    EVP_PKEY *key = NULL;
    OSSL_DECODER_CTX *ctx = OSSL_DECODER_CTX_new_for_pkey(
        &key, "DER", NULL, NULL, EVP_PKEY_KEYPAIR, NULL, NULL);

    OSSL_DECODER_from_bio(ctx, bio);
    OSSL_DECODER_CTX_free(ctx);
    return key;
}

/* However often a read fails, and wherever. */
static void read_broken(BIO_METHOD *method, struct stream *s,
                        EVP_PKEY *(*load)(BIO *))
{
    for (s->cut = 1; s->cut < s->len; s->cut += 13) {
        if (!interop_in_turn(s->cut / 13)) {
            continue;
        }
        for (int times = 1; times <= 4; times++) {
            BIO *bio = BIO_new(method);
            EVP_PKEY *key;

            s->at = 0;
            s->failures = times;
            BIO_set_data(bio, s);
            BIO_set_init(bio, 1);
            key = load(bio);
            if (interop_protected() && (key != NULL || s->why != EAGAIN)) {
                CHECK_HELD(key);
            }
            if (interop_protected() && s->why != EAGAIN) {
                CHECK(key != NULL && EVP_PKEY_get_bits(key) > 0);
            }
            ERR_clear_error();
            EVP_PKEY_free(key);
            BIO_free(bio);
        }
    }
}

static void test_broken(const struct key_type *type, const char *label,
                        EVP_PKEY *(*load)(BIO *))
{
    static const struct {
        const char *label;
        int why;
    } rows[] = {{"by a signal", EINTR},
                {"for want of more", EAGAIN},
                {"to be read again", 0}};
    BIO_METHOD *method =
        BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "stream");
    BIO *bio = BIO_new(BIO_s_mem());
    struct stream s = {0};
    char *data;

    CHECK(BIO_meth_set_read(method, stream_read));
    CHECK(BIO_meth_set_ctrl(method, stream_ctrl));
    CHECK(form_find(label)->write(bio, type));
    s.len = (size_t)BIO_get_mem_data(bio, &data);
    s.p = data;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        interop_subject("%s, %s, broken off %s", type->label, label,
                        rows[i].label);
        s.why = rows[i].why;
        read_broken(method, &s, load);
    }
    BIO_free(bio);
    BIO_meth_free(method);
}

/* ---- several keys, one after the other ----------------------------------- */

enum { ROOM = 1 << 16 };

struct text {
    char *p;
    size_t len;
    const char *path;
};

static void add(struct text *t, const void *p, size_t len)
{
    if (CHECK(t->len + len <= ROOM)) {
        memcpy(t->p + t->len, p, len);
        t->len += len;
    }
}

static void add_form(struct text *t, const char *label,
                     const struct key_type *type)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *data;
    long len;

    CHECK(form_find(label)->write(bio, type));
    len = BIO_get_mem_data(bio, &data);
    add(t, data, (size_t)len);
    BIO_free(bio);
}

static void add_key(struct text *t, const struct key_type *type)
{
    add_form(t, "PKCS#8 PEM", type);
}

/* Nothing that libcrypto's old code takes either. */
static void add_damaged(struct text *t)
{
    static const char block[] = "-----BEGIN PRIVATE KEY-----\nMAMCAQA=\n"
                                "-----END PRIVATE KEY-----\n";

    add(t, block, sizeof(block) - 1);
}

/* So that what follows is not in the first buffer. */
static void add_lines(struct text *t)
{
    for (int i = 0; i < 1000; i++) {
        add(t, "text\n", 5);
    }
}

static BIO *in_buffer(BIO *bio)
{
    return BIO_push(BIO_new(BIO_f_buffer()), bio);
}

static BIO *written_memory(const struct text *t)
{
    BIO *bio = BIO_new(BIO_s_mem());

    CHECK_INT(BIO_write(bio, t->p, (int)t->len), (int)t->len);
    return bio;
}

static BIO *buffer_of_memory(const struct text *t)
{
    return in_buffer(written_memory(t));
}

static BIO *buffer_of_file(const struct text *t)
{
    return in_buffer(BIO_new_file(t->path, "r"));
}

static BIO *buffer_of_descriptor(const struct text *t)
{
    return in_buffer(BIO_new_fd(open(t->path, O_RDONLY), BIO_CLOSE));
}

static BIO *file(const struct text *t)
{
    return BIO_new_file(t->path, "r");
}

/* Of a program's own. */
static BIO *own(const struct text *t)
{
    return plain_bio_new(t->p, t->len, false);
}

static BIO *counting(const struct text *t)
{
    return plain_bio_new(t->p, t->len, true);
}

static const struct {
    const char *label;
    BIO *(*open)(const struct text *);
} sources[] = {
    {"memory that was written", written_memory},
    {"a file", file},
    {"a buffer before memory", buffer_of_memory},
    {"a buffer before a file", buffer_of_file},
    {"a buffer before a descriptor", buffer_of_descriptor},
    {"a BIO of its own", own},
    {"a BIO of its own that counts", counting},
};

static BIO *open_behind(size_t source, const struct text *t, int lines)
{
    BIO *bio = sources[source].open(t);
    char line[8];

    for (int i = 0; i < lines; i++) {
        CHECK_INT(BIO_gets(bio, line, sizeof(line)), 5);
    }
    return bio;
}

static void test_one_by_one(const struct text *t, int lines,
                            const struct key_type *const types[], size_t n)
{
    for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
        BIO *bio = open_behind(i, t, lines);

        interop_subject("%zu keys from %s, %d lines before", n,
                        sources[i].label, lines);
        for (size_t k = 0; k < n; k++) {
            EVP_PKEY *key = by_pem(bio);

            CHECK_HELD(key);
            CHECK(key != NULL && EVP_PKEY_eq(key, key_reference(types[k])) > 0);
            EVP_PKEY_free(key);
        }
        CHECK(by_pem(bio) == NULL);
        ERR_clear_error();
        BIO_free_all(bio);
    }
}

static void test_several(void)
{
    const struct key_type *types[] = {
        key_type_find("RSA-2048"), key_type_find("P-256"),
        key_type_find("ED25519"), key_type_find("P-256")};
    struct text t = {interop_new(ROOM), 0, NULL};

    add_lines(&t);
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        add_key(&t, types[i]);
    }
    add_lines(&t);
    t.path = interop_file("several", t.p, t.len);
    test_one_by_one(&t, 0, types, sizeof(types) / sizeof(types[0]));
    test_one_by_one(&t, 1, types, sizeof(types) / sizeof(types[0]));
    free(t.p);
}

/* Whatever it is that comes, it is held. */
static void test_behind_damage(int lines)
{
    struct text t = {interop_new(ROOM), 0, NULL};

    add_lines(&t);
    add_damaged(&t);
    add_key(&t, key_type_find("RSA-2048"));
    add_lines(&t);
    add_key(&t, key_type_find("P-256"));
    t.path = interop_file("damaged", t.p, t.len);
    for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
        BIO *bio = open_behind(i, &t, lines);

        interop_subject("behind a damaged key from %s, %d lines before",
                        sources[i].label, lines);
        for (int k = 0; k < 4; k++) {
            EVP_PKEY *key = by_pem(bio);

            if (key != NULL && interop_protected()) {
                CHECK_HELD(key);
            }
            ERR_clear_error();
            EVP_PKEY_free(key);
        }
        BIO_free_all(bio);
    }
    free(t.p);
}

/* ---- whatever comes ------------------------------------------------------ */

static void add_certificate_der(struct text *t, const struct key_type *type)
{
    BIO *bio = BIO_new(BIO_s_mem());
    unsigned char *der = NULL;
    X509 *cert;
    int len;

    CHECK(form_find("certificate, key")->write(bio, type));
    cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    len = i2d_X509(cert, &der);
    add(t, der, (size_t)len);
    OPENSSL_free(der);
    X509_free(cert);
    BIO_free(bio);
}

/* A store gives each thing once, and ends. */
static void test_store(const struct text *t, size_t source, int expect)
{
    BIO *bio = sources[source].open(t);
    OSSL_STORE_CTX *store = OSSL_STORE_attach(bio, "file", NULL, NULL, NULL,
                                              NULL, NULL, NULL, NULL);
    int keys = 0, certs = 0, rounds = 0;

    interop_subject("a store from %s, expecting %d", sources[source].label,
                    expect);
    CHECK(expect == 0 || OSSL_STORE_expect(store, expect));
    while (!OSSL_STORE_eof(store) && CHECK(rounds++ < 20)) {
        OSSL_STORE_INFO *info = OSSL_STORE_load(store);
        int is = info != NULL ? OSSL_STORE_INFO_get_type(info) : 0;

        if (is == OSSL_STORE_INFO_PKEY) {
            CHECK_HELD(OSSL_STORE_INFO_get0_PKEY(info));
        }
        keys += is == OSSL_STORE_INFO_PKEY;
        certs += is == OSSL_STORE_INFO_CERT;
        OSSL_STORE_INFO_free(info);
    }
    CHECK_INT(keys, expect != OSSL_STORE_INFO_CERT);
    CHECK_INT(certs, 2 * (expect != OSSL_STORE_INFO_PKEY));
    OSSL_STORE_close(store);
    BIO_free_all(bio);
    ERR_clear_error();
}

/* One after the other, keys that are not told from the rest. */
static void test_decoder(const struct text *t, size_t source, const char *input,
                         int selection)
{
    BIO *bio = sources[source].open(t);

    interop_subject("a decoder of %s from %s, selection %d", input,
                    sources[source].label, selection);
    for (int i = 0; i < 5; i++) {
        EVP_PKEY *key = NULL;
        OSSL_DECODER_CTX *ctx = OSSL_DECODER_CTX_new_for_pkey(
            &key, input, NULL, NULL, selection, NULL, NULL);

        OSSL_DECODER_from_bio(ctx, bio);
        OSSL_DECODER_CTX_free(ctx);
        if (key != NULL && interop_protected()) {
            CHECK_HELD(key);
        }
        EVP_PKEY_free(key);
    }
    BIO_free_all(bio);
    ERR_clear_error();
}

static void test_whatever_comes(const struct key_type *type)
{
    struct text t = {interop_new(ROOM), 0, NULL};

    add_form(&t, "two certificates, key", type);
    t.path = interop_file("whatever", t.p, t.len);
    for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
        test_store(&t, i, 0);
        test_store(&t, i, OSSL_STORE_INFO_PKEY);
        test_store(&t, i, OSSL_STORE_INFO_CERT);
        test_decoder(&t, i, "PEM", 0);
        test_decoder(&t, i, NULL, 0);
    }
    t.len = 0;
    add_certificate_der(&t, type);
    add_form(&t, "PKCS#8 DER", type);
    t.path = interop_file("whatever", t.p, t.len);
    for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
        test_decoder(&t, i, "DER", 0);
        test_decoder(&t, i, "DER", EVP_PKEY_KEYPAIR);
        test_decoder(&t, i, NULL, EVP_PKEY_KEYPAIR);
    }
    free(t.p);
}

/* Of a short object, which is no key, no more is read than that. */
static void test_behind_parameters(void)
{
    static const unsigned char p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48,
                                         0xce, 0x3d, 0x03, 0x01, 0x07};
    const struct key_type *type = key_type_find("P-256");
    struct text t = {interop_new(ROOM), 0, NULL};
    EVP_PKEY *key = NULL;
    int ends[2];
    BIO *bio;

    interop_subject("a key behind parameters in DER, from a pipe");
    add(&t, p256, sizeof(p256));
    add_form(&t, "PKCS#8 DER", type);
    CHECK_INT(pipe(ends), 0);
    CHECK_INT(write(ends[1], t.p, t.len), (long)t.len);
    close(ends[1]);
    bio = BIO_new_fd(ends[0], BIO_CLOSE);
    for (int i = 0; i < 2; i++) {
        OSSL_DECODER_CTX *ctx = OSSL_DECODER_CTX_new_for_pkey(
            &key, "DER", NULL, NULL, EVP_PKEY_KEYPAIR, NULL, NULL);

        OSSL_DECODER_from_bio(ctx, bio);
        OSSL_DECODER_CTX_free(ctx);
        CHECK((key != NULL) == (i == 1));
    }
    ERR_clear_error();
    CHECK_HELD(key);
    EVP_PKEY_free(key);
    BIO_free_all(bio);
    free(t.p);
}

int main(void)
{
    static const char *const labels[] = {"RSA-2048", "P-256"};

    interop_start();
    alarm(300); /* who waits for more than there is does so for ever */
    for (size_t i = 0; i < sizeof(labels) / sizeof(labels[0]); i++) {
        const struct key_type *type = key_type_find(labels[i]);

        test_key_then_certificate(type);
        test_certificate_then_key(type);
        test_broken(type, "PKCS#8 PEM", by_pem);
        test_broken(type, "traditional PEM", by_pem);
        test_broken(type, "PKCS#8 DER", by_decoder);
    }
    test_several();
    test_whatever_comes(key_type_find("RSA-2048"));
    test_whatever_comes(key_type_find("P-256"));
    test_behind_damage(0);
    test_behind_damage(1);
    test_behind_parameters();
    return interop_finish();
}
