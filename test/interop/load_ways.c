#include "load_ways.h"

#include "interop.h"

#include <openssl/decoder.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/store.h>
#include <openssl/ui.h>
#include <stdio.h>
#include <string.h>

int ask(char *buf, int size, int writing, void *asker)
{
    struct asker *a = asker;
    int len;

    (void)writing;
    a->calls++;
    if (a->answer < 0) {
        return a->answer;
    }
    len = (int)strlen(a->passphrase);
    if (len > size) {
        return -1;
    }
    memcpy(buf, a->passphrase, (size_t)len);
    return len;
}

static bool takes_pem(const struct form *form, const struct key_type *type)
{
    (void)type;
    return form->is & FORM_PEM;
}

static bool takes_plain_der(const struct form *form,
                            const struct key_type *type)
{
    (void)type;
    return (form->is & FORM_DER) && !(form->is & FORM_ENCRYPTED);
}

static bool takes_pkcs8(const struct form *form, const struct key_type *type)
{
    (void)type;
    return form->is & FORM_PKCS8;
}

static bool takes_encrypted_p8(const struct form *form,
                               const struct key_type *type)
{
    (void)type;
    return form->is & FORM_ENCRYPTED_P8;
}

static bool takes_tls_pem(const struct form *form, const struct key_type *type)
{
    return (form->is & FORM_PEM) && (type->can & KEY_TLS);
}

static bool takes_tls_der(const struct form *form, const struct key_type *type)
{
    return takes_plain_der(form, type) && (type->can & KEY_TLS);
}

static bool takes_msblob(const struct form *form, const struct key_type *type)
{
    (void)type;
    return form->is & FORM_MSBLOB;
}

static bool takes_all(const struct form *form, const struct key_type *type)
{
    (void)form;
    (void)type;
    return true;
}

static EVP_PKEY *pem_mem(const struct file *file, const struct key_type *type,
                         struct asker *asker)
{
    BIO *bio = BIO_new_mem_buf(file->data, (int)file->len);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, ask, asker);

    (void)type;
    BIO_free(bio);
    return key;
}

/* A buffering filter cannot seek, as a socket or pipe cannot. */
static EVP_PKEY *pem_filter(const struct file *file,
                            const struct key_type *type, struct asker *asker)
{
    BIO *bio = BIO_push(BIO_new(BIO_f_buffer()),
                        BIO_new_mem_buf(file->data, (int)file->len));
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, ask, asker);

    (void)type;
    BIO_free_all(bio);
    return key;
}

static EVP_PKEY *pem_bio_file(const struct file *file,
                              const struct key_type *type, struct asker *asker)
{
    BIO *bio = BIO_new_file(file->path, "rb");
    EVP_PKEY *key = PEM_read_bio_PrivateKey_ex(bio, NULL, ask, asker, NULL, "");

    (void)type;
    BIO_free(bio);
    return key;
}

static EVP_PKEY *pem_stdio(const struct file *file, const struct key_type *type,
                           struct asker *asker)
{
    FILE *f = fopen(file->path, "rb");
    EVP_PKEY *key = PEM_read_PrivateKey(f, NULL, ask, asker);

    (void)type;
    fclose(f);
    return key;
}

static EVP_PKEY *ssl_file(const struct file *file, struct asker *asker,
                          int filetype)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_method());
    EVP_PKEY *key = NULL;

    SSL_CTX_set_default_passwd_cb(ctx, ask);
    SSL_CTX_set_default_passwd_cb_userdata(ctx, asker);
    if (SSL_CTX_use_PrivateKey_file(ctx, file->path, filetype) == 1) {
        key = SSL_CTX_get0_privatekey(ctx);
        EVP_PKEY_up_ref(key);
    }
    SSL_CTX_free(ctx);
    return key;
}

static EVP_PKEY *ssl_pem(const struct file *file, const struct key_type *type,
                         struct asker *asker)
{
    (void)type;
    return ssl_file(file, asker, SSL_FILETYPE_PEM);
}

static EVP_PKEY *ssl_asn1(const struct file *file, const struct key_type *type,
                          struct asker *asker)
{
    (void)type;
    return ssl_file(file, asker, SSL_FILETYPE_ASN1);
}

static EVP_PKEY *d2i_auto(const struct file *file, const struct key_type *type,
                          struct asker *asker)
{
    const unsigned char *p = file->data;
    EVP_PKEY *key = d2i_AutoPrivateKey(NULL, &p, (long)file->len);

    (void)type;
    (void)asker;
    if (key != NULL) {
        CHECK(p == file->data + file->len);
    }
    return key;
}

static EVP_PKEY *d2i_typed(const struct file *file, const struct key_type *type,
                           struct asker *asker)
{
    const unsigned char *p = file->data;
    EVP_PKEY *key = d2i_PrivateKey(type->id, NULL, &p, (long)file->len);

    (void)asker;
    if (key != NULL) {
        CHECK(p == file->data + file->len);
    }
    return key;
}

static EVP_PKEY *d2i_bio(const struct file *file, const struct key_type *type,
                         struct asker *asker)
{
    BIO *bio = BIO_new_mem_buf(file->data, (int)file->len);
    EVP_PKEY *key = d2i_PrivateKey_bio(bio, NULL);

    (void)type;
    (void)asker;
    BIO_free(bio);
    return key;
}

static EVP_PKEY *d2i_encrypted(const struct file *file,
                               const struct key_type *type, struct asker *asker)
{
    BIO *bio = BIO_new_mem_buf(file->data, (int)file->len);
    EVP_PKEY *key = d2i_PKCS8PrivateKey_bio(bio, NULL, ask, asker);

    (void)type;
    BIO_free(bio);
    return key;
}

static EVP_PKEY *pkcs8_info(const struct file *file,
                            const struct key_type *type, struct asker *asker)
{
    const unsigned char *p = file->data;
    PKCS8_PRIV_KEY_INFO *info =
        d2i_PKCS8_PRIV_KEY_INFO(NULL, &p, (long)file->len);
    EVP_PKEY *key = info != NULL ? EVP_PKCS82PKEY(info) : NULL;

    (void)type;
    (void)asker;
    PKCS8_PRIV_KEY_INFO_free(info);
    return key;
}

static EVP_PKEY *store(const struct file *file, struct asker *asker,
                       bool expect)
{
    UI_METHOD *ui = UI_UTIL_wrap_read_pem_callback(ask, 0);
    OSSL_STORE_CTX *ctx = OSSL_STORE_open(file->path, ui, asker, NULL, NULL);
    OSSL_STORE_INFO *info;
    EVP_PKEY *key = NULL;

    if (expect) {
        OSSL_STORE_expect(ctx, OSSL_STORE_INFO_PKEY);
    }
    while (key == NULL && ctx != NULL && !OSSL_STORE_eof(ctx)) {
        info = OSSL_STORE_load(ctx);
        if (info != NULL &&
            OSSL_STORE_INFO_get_type(info) == OSSL_STORE_INFO_PKEY) {
            key = OSSL_STORE_INFO_get1_PKEY(info);
        }
        OSSL_STORE_INFO_free(info);
    }
    OSSL_STORE_close(ctx);
    UI_destroy_method(ui);
    return key;
}

static EVP_PKEY *store_key(const struct file *file, const struct key_type *type,
                           struct asker *asker)
{
    (void)type;
    return store(file, asker, true);
}

static EVP_PKEY *store_any(const struct file *file, const struct key_type *type,
                           struct asker *asker)
{
    (void)type;
    return store(file, asker, false);
}

static EVP_PKEY *decoder(const struct file *file, const char *input)
{
    const unsigned char *p = file->data;
    size_t len = file->len;
    EVP_PKEY *key = NULL;
    OSSL_DECODER_CTX *ctx = OSSL_DECODER_CTX_new_for_pkey(
        &key, input, NULL, NULL, EVP_PKEY_KEYPAIR, NULL, NULL);

    /* One that is refused for want of memory was not read. */
    if (OSSL_DECODER_from_data(ctx, &p, &len) && EVP_PKEY_get_bits(key) > 0) {
        CHECK_INT((long long)len, 0);
    }
    OSSL_DECODER_CTX_free(ctx);
    return key;
}

static EVP_PKEY *decoder_any(const struct file *file,
                             const struct key_type *type, struct asker *asker)
{
    (void)type;
    (void)asker;
    return decoder(file, NULL);
}

static EVP_PKEY *decoder_msblob(const struct file *file,
                                const struct key_type *type,
                                struct asker *asker)
{
    (void)type;
    (void)asker;
    return decoder(file, file->data[0] == 7 ? "MSBLOB" : "PVK");
}

static const struct way ways[] = {
    {"PEM_read_bio_PrivateKey(mem)", takes_pem, pem_mem, 2},
    {"PEM_read_bio_PrivateKey(filter)", takes_pem, pem_filter, 2},
    {"PEM_read_bio_PrivateKey_ex(file)", takes_pem, pem_bio_file, 2},
    {"PEM_read_PrivateKey", takes_pem, pem_stdio, 2},
    {"SSL_CTX_use_PrivateKey_file(PEM)", takes_tls_pem, ssl_pem, 2},
    {"SSL_CTX_use_PrivateKey_file(ASN1)", takes_tls_der, ssl_asn1, 0},
    {"d2i_AutoPrivateKey", takes_plain_der, d2i_auto, 0},
    {"d2i_PrivateKey", takes_plain_der, d2i_typed, 0},
    {"d2i_PrivateKey_bio", takes_plain_der, d2i_bio, 0},
    {"d2i_PKCS8PrivateKey_bio", takes_encrypted_p8, d2i_encrypted, 1},
    {"EVP_PKCS82PKEY", takes_pkcs8, pkcs8_info, 0},
    {"OSSL_DECODER", takes_msblob, decoder_any, 0},
    {"OSSL_DECODER of the form", takes_msblob, decoder_msblob, 0},
    {"OSSL_STORE expecting a key", takes_all, store_key, 3},
    {"OSSL_STORE", takes_all, store_any, 3},
};

const struct way *way_at(size_t i)
{
    return i < sizeof(ways) / sizeof(ways[0]) ? &ways[i] : NULL;
}

const struct way *way_find(const char *label)
{
    const struct way *way;

    for (size_t i = 0; (way = way_at(i)) != NULL; i++) {
        if (strcmp(way->label, label) == 0) {
            return way;
        }
    }
    return NULL;
}
