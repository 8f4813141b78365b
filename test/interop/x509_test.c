/*
 * Certificates, requests, revocation lists and messages made with a protected
 * key, read and verified by the reference.
 */

#include "interop.h"
#include "ops.h"

#include <openssl/cms.h>
#include <openssl/pem.h>
#include <openssl/pkcs7.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

static const char content[] =
    "Content-Type: text/plain\r\n\r\nwe meet at 8\r\n";

/* The digest by its old name: these functions take an EVP_MD. */
static const EVP_MD *digest_of(const struct key_type *type)
{
    return type->md != NULL ? EVP_get_digestbyname(type->md) : NULL;
}

static X509_NAME *name_of(const struct key_type *type)
{
    X509_NAME *name = X509_NAME_new();

    CHECK(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                     (const unsigned char *)type->label, -1, -1,
                                     0));
    return name;
}

/* The certificate of |type| once more, on the side under test. */
static X509 *load_certificate(const struct key_type *type)
{
    X509 *cert = key_certificate(type);
    BIO *bio = BIO_new(BIO_s_mem());
    X509 *loaded;

    CHECK(PEM_write_bio_X509(bio, cert));
    loaded = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    X509_free(cert);
    BIO_free(bio);
    return loaded;
}

/* A self-signed certificate by |key|; |md| NULL lets the key choose. */
static X509 *self_signed(EVP_PKEY *key, const struct key_type *type,
                         const EVP_MD *md)
{
    X509_NAME *name = name_of(type);
    X509 *cert = X509_new();

    CHECK(X509_set_version(cert, X509_VERSION_3));
    CHECK(ASN1_INTEGER_set(X509_get_serialNumber(cert), 7));
    CHECK(X509_gmtime_adj(X509_getm_notBefore(cert), -3600) != NULL);
    CHECK(X509_gmtime_adj(X509_getm_notAfter(cert), 3600) != NULL);
    CHECK(X509_set_subject_name(cert, name));
    CHECK(X509_set_issuer_name(cert, name));
    CHECK(X509_set_pubkey(cert, key));
    CHECK(X509_sign(cert, key, md) > 0);
    X509_NAME_free(name);
    return cert;
}

/* The same bytes on the reference side. */
static X509 *reference_copy(X509 *cert)
{
    unsigned char *der = NULL;
    int len = i2d_X509(cert, &der);
    const unsigned char *p = der;
    X509 *copy = X509_new_ex(interop_ref(), NULL);

    CHECK(d2i_X509(&copy, &p, len) != NULL);
    OPENSSL_free(der);
    return copy;
}

static void check_certificate(X509 *cert, const struct key_type *type)
{
    X509 *copy = reference_copy(cert);

    CHECK_INT(X509_verify(copy, key_reference(type)), 1);
    CHECK_INT(X509_verify(cert, X509_get0_pubkey(cert)), 1);
    CHECK_STR(interop_provider_of(X509_get0_pubkey(copy)), "default");
    CHECK_QUEUE_EMPTY();
    X509_free(copy);
}

static void test_certificate(EVP_PKEY *key, const struct key_type *type)
{
    X509 *cert;

    interop_subject("%s signs a certificate", type->label);
    cert = self_signed(key, type, digest_of(type));
    check_certificate(cert, type);
    X509_free(cert);
}

/* The key's own default digest: what md NULL means. */
static void test_certificate_by_default_digest(EVP_PKEY *key,
                                               const struct key_type *type)
{
    X509 *cert;
    X509 *want;

    interop_subject("%s signs a certificate without a digest", type->label);
    cert = self_signed(key, type, NULL);
    want = self_signed(key_reference(type), type, NULL);
    check_certificate(cert, type);
    CHECK_INT(X509_get_signature_nid(cert), X509_get_signature_nid(want));
    ERR_clear_error();
    X509_free(cert);
    X509_free(want);
}

/* The signature algorithm's parameters come from the provider. */
static void test_pss_certificate(EVP_PKEY *key, const struct key_type *type)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *settings = NULL;
    X509 *cert;

    interop_subject("%s signs a certificate with PSS", type->label);
    cert = self_signed(key, type, digest_of(type));
    CHECK_INT(EVP_DigestSignInit(ctx, &settings, EVP_sha256(), NULL, key), 1);
    CHECK_INT(EVP_PKEY_CTX_set_rsa_padding(settings, RSA_PKCS1_PSS_PADDING), 1);
    CHECK_INT(EVP_PKEY_CTX_set_rsa_pss_saltlen(settings, 32), 1);
    CHECK(X509_sign_ctx(cert, ctx) > 0);
    CHECK_INT(X509_get_signature_nid(cert), NID_rsassaPss);
    check_certificate(cert, type);
    X509_free(cert);
    EVP_MD_CTX_free(ctx);
}

static void test_request(EVP_PKEY *key, const struct key_type *type)
{
    X509_REQ *req = X509_REQ_new();
    X509_NAME *name = name_of(type);
    unsigned char *der = NULL;
    const unsigned char *p;
    X509_REQ *copy = X509_REQ_new_ex(interop_ref(), NULL);
    int len;

    interop_subject("%s signs a request", type->label);
    CHECK(X509_REQ_set_version(req, X509_REQ_VERSION_1));
    CHECK(X509_REQ_set_subject_name(req, name));
    CHECK(X509_REQ_set_pubkey(req, key));
    CHECK(X509_REQ_sign(req, key, digest_of(type)) > 0);
    CHECK_INT(X509_REQ_check_private_key(req, key), 1);
    len = i2d_X509_REQ(req, &der);
    p = der;
    CHECK(d2i_X509_REQ(&copy, &p, len) != NULL);
    CHECK_INT(
        X509_REQ_verify_ex(copy, key_reference(type), interop_ref(), NULL), 1);
    CHECK_QUEUE_EMPTY();
    OPENSSL_free(der);
    X509_NAME_free(name);
    X509_REQ_free(req);
    X509_REQ_free(copy);
}

static void test_revocation_list(EVP_PKEY *key, const struct key_type *type)
{
    X509_CRL *crl = X509_CRL_new_ex(NULL, NULL);
    X509_NAME *name = name_of(type);
    ASN1_TIME *now = X509_gmtime_adj(NULL, 0);

    interop_subject("%s signs a revocation list", type->label);
    CHECK(X509_CRL_set_version(crl, X509_CRL_VERSION_2));
    CHECK(X509_CRL_set_issuer_name(crl, name));
    CHECK(X509_CRL_set1_lastUpdate(crl, now));
    CHECK(X509_CRL_set1_nextUpdate(crl, now));
    CHECK(X509_CRL_sign(crl, key, digest_of(type)) > 0);
    CHECK_INT(X509_CRL_verify(crl, key_reference(type)), 1);
    CHECK_QUEUE_EMPTY();
    ASN1_TIME_free(now);
    X509_NAME_free(name);
    X509_CRL_free(crl);
}

static void test_spkac(EVP_PKEY *key, const struct key_type *type)
{
    NETSCAPE_SPKI *spki = NETSCAPE_SPKI_new();

    interop_subject("%s signs a SPKAC", type->label);
    CHECK(NETSCAPE_SPKI_set_pubkey(spki, key));
    CHECK(NETSCAPE_SPKI_sign(spki, key, digest_of(type)) > 0);
    CHECK_INT(NETSCAPE_SPKI_verify(spki, key_reference(type)), 1);
    CHECK_QUEUE_EMPTY();
    NETSCAPE_SPKI_free(spki);
}

static BIO *content_bio(void)
{
    return BIO_new_mem_buf(content, sizeof(content) - 1);
}

static void check_content(BIO *out)
{
    char *data;
    size_t len = (size_t)BIO_get_mem_data(out, &data);

    CHECK_MEM(data, len, content, sizeof(content) - 1);
}

static void check_cms(CMS_ContentInfo *cms)
{
    BIO *der = BIO_new(BIO_s_mem());
    BIO *out = BIO_new(BIO_s_mem());
    CMS_ContentInfo *copy = CMS_ContentInfo_new_ex(interop_ref(), NULL);

    CHECK(i2d_CMS_bio(der, cms));
    CHECK(d2i_CMS_bio(der, &copy) != NULL);
    CHECK_INT(CMS_verify(copy, NULL, NULL, NULL, out,
                         CMS_NO_SIGNER_CERT_VERIFY | CMS_BINARY),
              1);
    check_content(out);
    CHECK_QUEUE_EMPTY();
    CMS_ContentInfo_free(copy);
    BIO_free(der);
    BIO_free(out);
}

static void test_cms_signature(EVP_PKEY *key, const struct key_type *type,
                               unsigned flags)
{
    X509 *cert = load_certificate(type);
    BIO *in = content_bio();
    CMS_ContentInfo *cms;

    interop_subject("%s signs CMS, flags %x", type->label, flags);
    cms = CMS_sign(NULL, NULL, NULL, in, CMS_BINARY | CMS_PARTIAL | flags);
    CHECK(CMS_add1_signer(cms, cert, key, digest_of(type), flags) != NULL);
    if (CHECK(CMS_final(cms, in, NULL, CMS_BINARY))) {
        CHECK_QUEUE_EMPTY();
        check_cms(cms);
    }
    CMS_ContentInfo_free(cms);
    BIO_free(in);
    X509_free(cert);
}

static void test_pkcs7_signature(EVP_PKEY *key, const struct key_type *type)
{
    X509 *cert = load_certificate(type);
    BIO *in = content_bio(), *out = BIO_new(BIO_s_mem());
    PKCS7 *p7 = PKCS7_sign(cert, key, NULL, in, PKCS7_BINARY);

    interop_subject("%s signs PKCS#7", type->label);
    if (CHECK(p7 != NULL)) {
        CHECK_INT(PKCS7_verify(p7, NULL, NULL, NULL, out,
                               PKCS7_NOVERIFY | PKCS7_BINARY),
                  1);
        check_content(out);
        CHECK_QUEUE_EMPTY();
    }
    PKCS7_free(p7);
    BIO_free(in);
    BIO_free(out);
    X509_free(cert);
}

/* Enveloped by the reference, opened with the protected key. */
static void test_cms_decryption(EVP_PKEY *key, const struct key_type *type,
                                bool oaep)
{
    X509 *cert = key_certificate(type);
    BIO *in = content_bio(), *der = BIO_new(BIO_s_mem());
    BIO *out = BIO_new(BIO_s_mem());
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(interop_ref(), "AES-256-CBC", NULL);
    CMS_ContentInfo *sealed, *cms;
    CMS_RecipientInfo *to;

    interop_subject("%s opens CMS%s", type->label, oaep ? " with OAEP" : "");
    sealed = CMS_encrypt_ex(NULL, in, cipher, CMS_BINARY | CMS_PARTIAL,
                            interop_ref(), NULL);
    to = CMS_add1_recipient_cert(sealed, cert, oaep ? CMS_KEY_PARAM : 0);
    CHECK(to != NULL);
    if (oaep && to != NULL) {
        CHECK(EVP_PKEY_CTX_set_rsa_padding(CMS_RecipientInfo_get0_pkey_ctx(to),
                                           RSA_PKCS1_OAEP_PADDING) > 0);
    }
    CHECK(CMS_final(sealed, in, NULL, CMS_BINARY));
    CHECK(i2d_CMS_bio(der, sealed));
    cms = d2i_CMS_bio(der, NULL);
    CHECK_INT(CMS_decrypt(cms, key, NULL, NULL, out, CMS_BINARY), 1);
    check_content(out);
    CHECK_QUEUE_EMPTY();
    CMS_ContentInfo_free(sealed);
    CMS_ContentInfo_free(cms);
    EVP_CIPHER_free(cipher);
    BIO_free(in);
    BIO_free(der);
    BIO_free(out);
    X509_free(cert);
}

static void test_pkcs7_decryption(EVP_PKEY *key, const struct key_type *type)
{
    STACK_OF(X509) *to = sk_X509_new_null();
    X509 *cert = load_certificate(type);
    BIO *in = content_bio(), *out = BIO_new(BIO_s_mem());
    PKCS7 *p7;

    interop_subject("%s opens PKCS#7", type->label);
    sk_X509_push(to, cert);
    p7 = PKCS7_encrypt(to, in, EVP_aes_128_cbc(), PKCS7_BINARY);
    CHECK(p7 != NULL);
    CHECK_INT(PKCS7_decrypt(p7, key, cert, out, PKCS7_BINARY), 1);
    check_content(out);
    CHECK_QUEUE_EMPTY();
    PKCS7_free(p7);
    BIO_free(in);
    BIO_free(out);
    sk_X509_free(to);
    X509_free(cert);
}

static void test_signer(EVP_PKEY *key, const struct key_type *type)
{
    test_certificate(key, type);
    test_certificate_by_default_digest(key, type);
    test_request(key, type);
    test_revocation_list(key, type);
    test_spkac(key, type);
    if (type->md == NULL || type->id == EVP_PKEY_SM2) {
        interop_skip("%s in CMS and PKCS#7: OpenSSL cannot", type->label);
        return;
    }
    if (type->id == EVP_PKEY_RSA_PSS) {
        /* Without a signer's context default names the wrong algorithm. */
        test_cms_signature(key, type, CMS_KEY_PARAM);
        interop_skip("%s in PKCS#7: OpenSSL cannot", type->label);
        return;
    }
    if (type->id == EVP_PKEY_RSA) {
        test_pss_certificate(key, type);
        test_cms_signature(key, type, CMS_KEY_PARAM);
    }
    test_cms_signature(key, type, 0);
    test_cms_signature(key, type, CMS_NOATTR);
    test_pkcs7_signature(key, type);
}

static void test_recipient(EVP_PKEY *key, const struct key_type *type)
{
    if (type->id == EVP_PKEY_RSA) {
        test_cms_decryption(key, type, true);
        test_pkcs7_decryption(key, type);
    }
    if (type->id == EVP_PKEY_RSA || type->id == EVP_PKEY_EC ||
        type->id == EVP_PKEY_DHX) {
        test_cms_decryption(key, type, false);
    }
}

int main(void)
{
    const struct key_type *type;

    interop_start();
    for (size_t i = 0; (type = key_type_at(i)) != NULL; i++) {
        EVP_PKEY *key = key_load(type);

        interop_subject("%s", type->label);
        CHECK_HELD(key);
        if (type->can & KEY_SIGNS) {
            test_signer(key, type);
        }
        test_recipient(key, type);
        EVP_PKEY_free(key);
    }
    return interop_finish();
}
