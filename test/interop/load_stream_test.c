/*
 * Private keys from what cannot go back and from what gives its bytes late:
 * pipes, reads that a signal interrupts, reads that fail for now. What comes
 * behind a key is left to whoever reads on, nobody waits for more than the key,
 * and a key is under the provider or not there.
 */
#include "interop.h"
#include "load_ways.h"

#include <openssl/decoder.h>
#include <openssl/pem.h>
#include <openssl/store.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* ---- pipes -----------------------------------------------------------------
 */

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

/* ---- reads that fail, and then do not --------------------------------------
 */

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
        return -1;
    }
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
        for (int times = 1; times <= 4; times++) {
            BIO *bio = BIO_new(method);
            EVP_PKEY *key;

            s->at = 0;
            s->failures = times;
            BIO_set_data(bio, s);
            BIO_set_init(bio, 1);
            key = load(bio);
            if (interop_protected() && (key != NULL || s->why == EINTR)) {
                CHECK_HELD(key);
            }
            if (interop_protected() && s->why == EINTR) {
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
    } rows[] = {{"by a signal", EINTR}, {"for want of more", EAGAIN}};
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
    return interop_finish();
}
