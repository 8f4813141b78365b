#include "keyfile.h"

#include <openssl/crypto.h>
#include <openssl/decoder.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "mpkctl.h"

/* More than any key file, little enough to read before looking. */
#define KEYFILE_MAX (1 << 20)

struct passphrase {
    const char *passfile;
    bool asked;
    bool unreadable; /* |passfile| is, and it was complained about */
    char text[1024];
    int len;
};

static int passphrase_from_file(struct passphrase *pass)
{
    size_t len;
    int err = file_read(pass->passfile, (uint8_t *)pass->text,
                        sizeof(pass->text), &len);

    if (err != 0) {
        mpkctl_error("cannot read the passphrase file %s: %s", pass->passfile,
                     strerror(-err));
        pass->unreadable = true;
        return -1;
    }
    pass->len = 0;
    while ((size_t)pass->len < len && pass->text[pass->len] != '\n') {
        pass->len++;
    }
    return 0;
}

/*
 * libcrypto asks again for every decoder it tries; the operator is asked once.
 */
static int passphrase_cb(char *buf, int size, int rwflag, void *arg)
{
    struct passphrase *pass = arg;

    if (!pass->asked) {
        pass->asked = true;
        if (pass->passfile != NULL) {
            if (passphrase_from_file(pass) != 0) {
                pass->len = -1;
            }
        } else {
            pass->len = PEM_def_callback(pass->text, (int)sizeof(pass->text),
                                         rwflag, NULL);
        }
    }
    if (pass->len < 0 || pass->len > size) {
        return -1;
    }
    memcpy(buf, pass->text, (size_t)pass->len);
    return pass->len;
}

static EVP_PKEY *decode_pem(const struct keyfile *file, OSSL_LIB_CTX *libctx,
                            struct passphrase *pass)
{
    BIO *bio = BIO_new_mem_buf(file->text, (int)file->text_len);
    EVP_PKEY *pkey = NULL;

    if (bio != NULL) {
        pkey = PEM_read_bio_PrivateKey_ex(bio, NULL, passphrase_cb, pass,
                                          libctx, NULL);
    }
    BIO_free(bio);
    return pkey;
}

static EVP_PKEY *decode_der(const struct keyfile *file, OSSL_LIB_CTX *libctx,
                            struct passphrase *pass)
{
    const unsigned char *data = file->text;
    size_t len = file->text_len;
    EVP_PKEY *pkey = NULL;
    OSSL_DECODER_CTX *ctx = OSSL_DECODER_CTX_new_for_pkey(
        &pkey, "DER", NULL, NULL, EVP_PKEY_KEYPAIR, libctx, NULL);

    if (ctx != NULL) {
        OSSL_DECODER_CTX_set_pem_password_cb(ctx, passphrase_cb, pass);
        (void)OSSL_DECODER_from_data(ctx, &data, &len);
    }
    OSSL_DECODER_CTX_free(ctx);
    return pkey;
}

static int load_text(struct keyfile *file)
{
    int err;

    file->text = malloc(KEYFILE_MAX + 1);
    if (file->text == NULL) {
        mpkctl_error("out of memory");
        return -1;
    }
    err = file_read(file->path, file->text, KEYFILE_MAX, &file->text_len);
    if (err != 0) {
        mpkctl_error("cannot read the key file %s: %s", file->path,
                     strerror(-err));
        return -1;
    }
    file->text[file->text_len] = '\0';
    return 0;
}

/* As PKCS#8 names it, if the file has a key in the clear. */
static bool type_of(const struct keyfile *file, char *oid, int room)
{
    BIO *bio = BIO_new_mem_buf(file->text, (int)file->text_len);
    PKCS8_PRIV_KEY_INFO *key = NULL;
    const ASN1_OBJECT *type;
    bool known = false;

    if (bio != NULL) {
        key = PEM_read_bio_PKCS8_PRIV_KEY_INFO(bio, NULL, NULL, NULL);
        if (key == NULL && BIO_reset(bio) > 0) {
            key = d2i_PKCS8_PRIV_KEY_INFO_bio(bio, NULL);
        }
    }
    if (key != NULL && PKCS8_pkey_get0(&type, NULL, NULL, NULL, key)) {
        known = OBJ_obj2txt(oid, room, type, 1) > 0;
    }
    PKCS8_PRIV_KEY_INFO_free(key);
    BIO_free(bio);
    return known;
}

/* That this libcrypto has keys of the type. */
static bool has_type(OSSL_LIB_CTX *libctx, const char *oid)
{
    EVP_KEYMGMT *keymgmt = EVP_KEYMGMT_fetch(libctx, oid, NULL);
    bool has = keymgmt != NULL;

    EVP_KEYMGMT_free(keymgmt);
    return has;
}

static void explain_failure(const struct keyfile *file, OSSL_LIB_CTX *libctx,
                            const struct passphrase *pass)
{
    const char *path = file->path;
    char oid[80];

    if (pass->unreadable) {
        return;
    }
    if (pass->asked && pass->len < 0) {
        mpkctl_error("%s is encrypted and no passphrase could be asked for; "
                     "give it with --passin file:PATH",
                     path);
    } else if (pass->asked) {
        mpkctl_error("wrong passphrase for the key file %s", path);
    } else if (type_of(file, oid, sizeof(oid)) && !has_type(libctx, oid)) {
        mpkctl_error("%s has a key of type %s, which %s does not know: run "
                     "mpkctl with a newer libcrypto",
                     path, oid, OpenSSL_version(OPENSSL_VERSION));
    } else {
        mpkctl_error("no private key in %s (expected PEM or DER of PKCS#8, "
                     "PKCS#1 or SEC1)",
                     path);
    }
}

/* In PEM; of several only the first would be looked for. */
static size_t count_keys(const struct keyfile *file)
{
    static const char kind[] = "PRIVATE KEY-----";
    const char *at = (const char *)file->text;
    const char *found;
    size_t len;
    size_t n = 0;

    while ((at = strstr(at, "-----BEGIN ")) != NULL) {
        len = strcspn(at, "\r\n");
        found = strstr(at, kind);
        n += found != NULL && found < at + len;
        at += len;
    }
    return n;
}

int keyfile_load(struct keyfile *out, OSSL_LIB_CTX *libctx, const char *path,
                 const char *passfile)
{
    struct passphrase pass = {.passfile = passfile};

    memset(out, 0, sizeof(*out));
    out->path = path;
    if (load_text(out) != 0) {
        return -1;
    }
    if (count_keys(out) > 1) {
        mpkctl_error("%s has more than one private key: give each in a file of "
                     "its own",
                     path);
        return -1;
    }
    if (memmem(out->text, out->text_len, "-----BEGIN ", 11) != NULL) {
        out->pkey = decode_pem(out, libctx, &pass);
    } else {
        out->pkey = decode_der(out, libctx, &pass);
    }
    if (out->pkey == NULL) {
        explain_failure(out, libctx, &pass);
    }
    OPENSSL_cleanse(&pass, sizeof(pass));
    ERR_clear_error();
    return out->pkey == NULL ? -1 : 0;
}

void keyfile_free(struct keyfile *file)
{
    if (file->text != NULL) {
        OPENSSL_cleanse(file->text, KEYFILE_MAX + 1);
        free(file->text);
    }
    EVP_PKEY_free(file->pkey);
    memset(file, 0, sizeof(*file));
}
