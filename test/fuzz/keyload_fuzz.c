/*
 * libFuzzer target: what an application reads as a private key, with the
 * module active: as PEM, as DER of any type or of one, as PKCS#8, as a store's
 * file, one after the other from BIOs that cannot go back, and from a file that
 * is read on. The module is loaded with backend none, from the path in the
 * environment variable MPK_FUZZ_MODULE. No key may end with another provider:
 * the types that default has and we do not are the exception.
 *
 * The corpus has keys; they were made for it and are used nowhere.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "../plain_bio.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/provider.h>
#include <openssl/store.h>
#include <openssl/ui.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Writes a configuration and lets libcrypto read it before anything else. */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    char path[] = "/tmp/mpk-keyload-fuzz-XXXXXX";
    const char *module = getenv("MPK_FUZZ_MODULE");
    int fd = mkstemp(path);

    (void)argc;
    (void)argv;
    if (fd < 0 || module == NULL ||
        dprintf(fd,
                "openssl_conf = init\n[init]\nproviders = list\n[list]\n"
                "default = dflt\nmpk = mpk\n[dflt]\nactivate = 1\n"
                "[mpk]\nmodule = %s\nactivate = 1\nbackend = none\n",
                module) < 0 ||
        setenv("OPENSSL_CONF", path, 1) != 0 ||
        !OSSL_PROVIDER_available(NULL, "mpk")) {
        fputs("the module in MPK_FUZZ_MODULE cannot be loaded\n", stderr);
        exit(1);
    }
    close(fd);
    unlink(path);
    return 0;
}

static int passphrase(char *buf, int size, int rwflag, void *arg)
{
    static const char pass[] = "fuzz";

    (void)rwflag;
    (void)arg;
    if (size < (int)sizeof(pass)) {
        return -1;
    }
    memcpy(buf, pass, sizeof(pass));
    return (int)sizeof(pass) - 1;
}

static void require_held(const EVP_PKEY *key, const char *way)
{
    const OSSL_PROVIDER *p = key != NULL ? EVP_PKEY_get0_provider(key) : NULL;

    if (key == NULL) {
        return;
    }
    if (p == NULL || strcmp(OSSL_PROVIDER_get0_name(p), "mpk") != 0) {
        fprintf(stderr, "%s: a key of type %s went to %s\n", way,
                EVP_PKEY_get0_type_name(key),
                p != NULL ? OSSL_PROVIDER_get0_name(p) : "nobody");
        __builtin_trap();
    }
}

/* What applications ask of a key at once. */
static void use(EVP_PKEY *key)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    unsigned char sig[8192];
    size_t len = sizeof(sig);

    if (EVP_PKEY_get_size(key) > 0 && EVP_PKEY_get_bits(key) < 2049 &&
        EVP_DigestSignInit_ex(ctx, NULL, NULL, NULL, NULL, key, NULL) > 0) {
        (void)EVP_DigestSign(ctx, sig, &len, (const unsigned char *)"x", 1);
    }
    EVP_MD_CTX_free(ctx);
}

static void take(EVP_PKEY *key, const char *way)
{
    if (key != NULL) {
        require_held(key, way);
        use(key);
        EVP_PKEY_free(key);
    }
    ERR_clear_error();
}

static void as_pem(const uint8_t *data, size_t len)
{
    BIO *bio = BIO_new_mem_buf(data, (int)len);

    take(PEM_read_bio_PrivateKey(bio, NULL, passphrase, NULL), "PEM");
    BIO_free(bio);
}

static void as_der(const uint8_t *data, size_t len)
{
    const unsigned char *p = data;

    take(d2i_AutoPrivateKey(NULL, &p, (long)len), "DER");
}

/* By its old names; there a key of EC is taken for one of SM2 without asking,
 * and the other way round. */
static void as_type(const uint8_t *data, size_t len)
{
    static const int types[] = {
        EVP_PKEY_RSA, EVP_PKEY_RSA_PSS, EVP_PKEY_EC, EVP_PKEY_DSA,
        EVP_PKEY_DH,  EVP_PKEY_ED25519, EVP_PKEY_SM2};

    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        const unsigned char *p = data;

        take(d2i_PrivateKey(types[i], NULL, &p, (long)len), "DER of a type");
    }
}

static void as_pkcs8(const uint8_t *data, size_t len)
{
    const unsigned char *p = data;
    PKCS8_PRIV_KEY_INFO *p8 = d2i_PKCS8_PRIV_KEY_INFO(NULL, &p, (long)len);

    if (p8 != NULL) {
        take(EVP_PKCS82PKEY(p8), "PKCS#8");
    }
    PKCS8_PRIV_KEY_INFO_free(p8);
    ERR_clear_error();
}

/* A store gives public keys and parameters too; those are default's. */
static void as_store(const uint8_t *data, size_t len, UI_METHOD *ui)
{
    BIO *bio = BIO_new_mem_buf(data, (int)len);
    OSSL_STORE_CTX *store =
        OSSL_STORE_attach(bio, "file", NULL, NULL, ui, NULL, NULL, NULL, NULL);

    for (int i = 0; store != NULL && i < 8 && !OSSL_STORE_eof(store); i++) {
        OSSL_STORE_INFO *info = OSSL_STORE_load(store);

        if (info != NULL &&
            OSSL_STORE_INFO_get_type(info) == OSSL_STORE_INFO_PKEY) {
            take(OSSL_STORE_INFO_get1_PKEY(info), "store");
        }
        OSSL_STORE_INFO_free(info);
    }
    OSSL_STORE_close(store);
    BIO_free(bio);
    ERR_clear_error();
}

static void take_all(BIO *bio, const char *way)
{
    for (int i = 0; i < 4; i++) {
        take(PEM_read_bio_PrivateKey(bio, NULL, passphrase, NULL), way);
    }
    BIO_free_all(bio);
}

static void as_stream(const uint8_t *data, size_t len)
{
    BIO *written = BIO_new(BIO_s_mem());

    take_all(BIO_push(BIO_new(BIO_f_buffer()), BIO_new_mem_buf(data, (int)len)),
             "PEM behind a buffer");
    take_all(plain_bio_new(data, len, false), "PEM from a BIO of its own");
    if (BIO_write(written, data, (int)len) == (int)len) {
        take_all(written, "PEM from memory that was written");
    } else {
        BIO_free(written);
    }
}

/* To be read only: what is written to is not sealed. */
static BIO *file_of(const uint8_t *data, size_t len)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    char path[64];
    BIO *bio;

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (fd < 0 || write(fd, data, len) != (ssize_t)len ||
        (bio = BIO_new_file(path, "r")) == NULL) {
        abort();
    }
    close(fd);
    return bio;
}

/* How many blocks there are, and how much is in them. */
static size_t blocks_in(BIO *bio)
{
    unsigned char *der;
    char *label, *header;
    size_t sum = 0;
    long len;

    while (PEM_read_bio(bio, &label, &header, &der, &len)) {
        sum += ((size_t)1 << 32) + (size_t)len;
        OPENSSL_free(label);
        OPENSSL_free(header);
        OPENSSL_free(der);
    }
    ERR_clear_error();
    return sum;
}

/* What its private keys are sealed in has the same blocks, and the same key. */
static void as_file(const uint8_t *data, size_t len)
{
    BIO *plain = file_of(data, len), *bio = file_of(data, len);
    EVP_PKEY *first = PEM_read_bio_PrivateKey(bio, NULL, passphrase, NULL);
    EVP_PKEY *again;

    (void)BIO_reset(bio);
    if (blocks_in(plain) != blocks_in(bio)) {
        fputs("a sealed file has other blocks\n", stderr);
        __builtin_trap();
    }
    (void)BIO_reset(bio);
    again = PEM_read_bio_PrivateKey(bio, NULL, passphrase, NULL);
    if ((first != NULL) != (again != NULL)) {
        fputs("a sealed file has another key\n", stderr);
        __builtin_trap();
    }
    take(first, "PEM from a file");
    take(again, "PEM from a sealed file");
    BIO_free(plain);
    BIO_free(bio);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static UI_METHOD *ui;

    if (ui == NULL) {
        ui = UI_UTIL_wrap_read_pem_callback(passphrase, 0);
    }
    if (len <= INT32_MAX) {
        as_pem(data, len);
        as_der(data, len);
        as_type(data, len);
        as_pkcs8(data, len);
        as_store(data, len, ui);
        as_stream(data, len);
        as_file(data, len);
    }
    return 0;
}
