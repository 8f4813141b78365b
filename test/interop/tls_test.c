/*
 * TLS in one process: a server or a client with a protected key against a peer
 * of the reference side.
 */

#include "ends.h"
#include "interop.h"
#include "ops.h"

#include <openssl/provider.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

#define KIB 1024

struct handshake {
    const char *key;     /* label of the protected key */
    int version;         /* TLS1_2_VERSION or TLS1_3_VERSION */
    const char *ciphers; /* of TLS 1.2, NULL for the usual */
    const char *sigalgs; /* NULL for the usual */
    const char *groups;  /* NULL for the usual */
};

static const struct handshake handshakes[] = {
    {"RSA-2048", TLS1_3_VERSION, NULL, NULL, NULL},
    {"RSA-3072", TLS1_3_VERSION, NULL, NULL, NULL},
    {"RSA-PSS", TLS1_3_VERSION, NULL, NULL, NULL},
    {"RSA-PSS-restricted", TLS1_3_VERSION, NULL, NULL, NULL},
    {"P-256", TLS1_3_VERSION, NULL, NULL, NULL},
    {"P-384", TLS1_3_VERSION, NULL, NULL, NULL},
    {"P-521", TLS1_3_VERSION, NULL, NULL, NULL},
    {"ED25519", TLS1_3_VERSION, NULL, NULL, NULL},
    {"ED448", TLS1_3_VERSION, NULL, NULL, NULL},
    {"RSA-2048", TLS1_3_VERSION, NULL, "rsa_pss_rsae_sha512", "P-256"},
    {"P-256", TLS1_3_VERSION, NULL, NULL, "P-521"},
    {"RSA-2048", TLS1_2_VERSION, NULL, NULL, NULL},
    {"RSA-3072", TLS1_2_VERSION, NULL, NULL, NULL},
    {"RSA-PSS", TLS1_2_VERSION, NULL, NULL, NULL},
    {"RSA-PSS-restricted", TLS1_2_VERSION, NULL, NULL, NULL},
    {"P-256", TLS1_2_VERSION, NULL, NULL, "X25519:P-256"},
    {"P-384", TLS1_2_VERSION, NULL, NULL, NULL},
    {"P-521", TLS1_2_VERSION, NULL, NULL, NULL},
    {"ED25519", TLS1_2_VERSION, NULL, NULL, NULL},
    {"ED448", TLS1_2_VERSION, NULL, NULL, NULL},
    {"RSA-2048", TLS1_2_VERSION, NULL, "RSA+SHA256", NULL},
    {"RSA-2048", TLS1_2_VERSION, "DEFAULT:@SECLEVEL=0", "RSA+SHA1", NULL},
    {"RSA-2048", TLS1_2_VERSION, "DHE-RSA-AES128-GCM-SHA256", NULL, NULL},
    {"RSA-2048", TLS1_2_VERSION, "AES128-GCM-SHA256", NULL, NULL},
    {"RSA-3072", TLS1_2_VERSION, "AES256-SHA", NULL, NULL},
    {"RSA-2048", TLS1_1_VERSION, "ECDHE-RSA-AES128-SHA:@SECLEVEL=0", NULL,
     NULL},
    {"P-256", TLS1_1_VERSION, "ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0", NULL, NULL},
    {"RSA-2048", TLS1_1_VERSION, "AES128-SHA:@SECLEVEL=0", NULL, NULL},
    {"DSA", TLS1_2_VERSION, "DHE-DSS-AES128-GCM-SHA256:@SECLEVEL=0",
     "DSA+SHA256", NULL},
};

static SSL_CTX *context(OSSL_LIB_CTX *libctx, bool server,
                        const struct handshake *h)
{
    SSL_CTX *ctx = SSL_CTX_new_ex(
        libctx, NULL, server ? TLS_server_method() : TLS_client_method());

    CHECK(SSL_CTX_set_min_proto_version(ctx, h->version));
    CHECK(SSL_CTX_set_max_proto_version(ctx, h->version));
    CHECK(SSL_CTX_set_dh_auto(ctx, 1));
    SSL_CTX_set_mode(ctx, SSL_MODE_NO_AUTO_CHAIN);
    if (h->ciphers != NULL) {
        CHECK(SSL_CTX_set_cipher_list(ctx, h->ciphers));
    }
    if (h->sigalgs != NULL) {
        CHECK(SSL_CTX_set1_sigalgs_list(ctx, h->sigalgs));
        CHECK(SSL_CTX_set1_client_sigalgs_list(ctx, h->sigalgs));
    }
    if (h->groups != NULL) {
        CHECK(SSL_CTX_set1_groups_list(ctx, h->groups));
    }
    return ctx;
}

static void trust(SSL_CTX *ctx, const struct key_type *type, int mode)
{
    X509_VERIFY_PARAM *param = SSL_CTX_get0_param(ctx);
    X509 *cert = key_certificate(type);

    X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN);
    CHECK_INT(X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), cert), 1);
    SSL_CTX_set_verify(ctx, mode, NULL);
    X509_free(cert);
}

static void connect_pair(SSL *client, SSL *server)
{
    BIO *a = NULL, *b = NULL;

    CHECK(BIO_new_bio_pair(&a, 64 * KIB, &b, 64 * KIB));
    SSL_set_bio(client, a, a);
    SSL_set_bio(server, b, b);
    SSL_set_connect_state(client);
    SSL_set_accept_state(server);
}

static void check_session(SSL *client, SSL *server, const struct handshake *h)
{
    CHECK_INT(SSL_version(client), h->version);
    CHECK_INT(SSL_get_verify_result(client), X509_V_OK);
    CHECK_INT(SSL_get_verify_result(server), X509_V_OK);
    CHECK_QUEUE_EMPTY();
    ends_pass(client, server, 1, 1);
    ends_pass(server, client, 1, 2);
    ends_pass(client, server, 40 * KIB, 3);
    ends_pass(server, client, 40 * KIB, 4);
}

static void run(SSL_CTX *client_ctx, SSL_CTX *server_ctx,
                const struct handshake *h)
{
    SSL *client = SSL_new(client_ctx);
    SSL *server = SSL_new(server_ctx);

    connect_pair(client, server);
    if (CHECK(ends_shake_hands(client, server))) {
        check_session(client, server, h);
        SSL_shutdown(client);
        SSL_shutdown(server);
        CHECK_QUEUE_EMPTY();
    }
    SSL_free(client);
    SSL_free(server);
}

static const char *usual(const char *list)
{
    return list != NULL ? list : "usual";
}

static void test_server(const struct handshake *h)
{
    const struct key_type *type = key_type_find(h->key);
    EVP_PKEY *key = key_load(type);
    SSL_CTX *server = context(NULL, true, h);
    SSL_CTX *client = context(interop_ref(), false, h);

    interop_subject("server with %s, version %x, %s, %s", h->key,
                    (unsigned)h->version, usual(h->ciphers), usual(h->sigalgs));
    CHECK_HELD(key);
    ends_certify(server, NULL, type, key);
    CHECK_HELD(SSL_CTX_get0_privatekey(server));
    trust(client, type, SSL_VERIFY_PEER);
    CHECK_QUEUE_EMPTY();
    run(client, server, h);
    run(client, server, h); /* the key is as good the second time */
    SSL_CTX_free(server);
    SSL_CTX_free(client);
    EVP_PKEY_free(key);
}

/* The server's own key is the reference's P-256 or RSA key. */
static void test_client(const struct handshake *h)
{
    const struct key_type *type = key_type_find(h->key);
    const struct key_type *own =
        key_type_find(type->id == EVP_PKEY_EC ? "P-256" : "RSA-2048");
    EVP_PKEY *key = key_load(type);
    SSL_CTX *server = context(interop_ref(), true, h);
    SSL_CTX *client = context(NULL, false, h);

    interop_subject("client with %s, version %x, %s, %s", h->key,
                    (unsigned)h->version, usual(h->ciphers), usual(h->sigalgs));
    CHECK_HELD(key);
    ends_certify(server, interop_ref(), own, key_reference(own));
    ends_certify(client, NULL, type, key);
    trust(client, own, SSL_VERIFY_PEER);
    trust(server, type, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT);
    CHECK_QUEUE_EMPTY();
    run(client, server, h);
    SSL_CTX_free(server);
    SSL_CTX_free(client);
    EVP_PKEY_free(key);
}

/* Both sides in the context under test, both keys protected. */
static void test_both_sides(const struct handshake *h)
{
    const struct key_type *type = key_type_find(h->key);
    EVP_PKEY *key = key_load(type);
    SSL_CTX *server = context(NULL, true, h);
    SSL_CTX *client = context(NULL, false, h);

    interop_subject("both sides with %s, version %x", h->key,
                    (unsigned)h->version);
    ends_certify(server, NULL, type, key);
    ends_certify(client, NULL, type, key);
    EVP_PKEY_free(key);
    trust(client, type, SSL_VERIFY_PEER);
    trust(server, type, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT);
    run(client, server, h);
    SSL_CTX_free(server);
    SSL_CTX_free(client);
}

static bool is_usual(const struct handshake *h)
{
    return h->ciphers == NULL && h->sigalgs == NULL && h->groups == NULL;
}

/* ---- libcrypto's cache of methods ---------------------------------------- */

static bool new_ec_keys_are_ours(void)
{
    EVP_KEYMGMT *keymgmt = EVP_KEYMGMT_fetch(NULL, "EC", NULL);
    const OSSL_PROVIDER *p = EVP_KEYMGMT_get0_provider(keymgmt);
    bool ours = strcmp(OSSL_PROVIDER_get0_name(p), "default") != 0;

    EVP_KEYMGMT_free(keymgmt);
    return ours;
}

/* Has libcrypto fetch what a signature with |key| takes. */
static bool begin_signature(EVP_PKEY *key)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int ok = EVP_DigestSignInit_ex(ctx, NULL, "SHA256", NULL, NULL, key, NULL);

    EVP_MD_CTX_free(ctx);
    return ok > 0;
}

/*
 * At 500 queries libcrypto forgets about half of them, which it draws. Where
 * that is the one with the default provider's keys of EC, and not the one with
 * ours, it has taken us for everybody's from then on. Seen within 3000 queries;
 * OpenSSL 3.0.2 does it at the second SSL_CTX.
 */
static bool make_new_ec_keys_ours(void)
{
    EVP_PKEY *key = key_load(key_type_find("P-256"));
    char query[32];

    for (int i = 0; i < 20000 && !new_ec_keys_are_ours(); i++) {
        snprintf(query, sizeof(query), "?interop.n%d=yes", i % 1000);
        EVP_MD_free(EVP_MD_fetch(NULL, "SHA256", query));
        if (i % 100 == 0) {
            CHECK(begin_signature(key));
        }
    }
    EVP_PKEY_free(key);
    return new_ec_keys_are_ours();
}

/* libssl has left out the curves then, in each SSL_CTX that was new. */
static void test_with_new_ec_keys_ours(void)
{
    static const struct handshake on_curves[] = {
        {"P-256", TLS1_3_VERSION, NULL, NULL, "P-256"},
        {"P-256", TLS1_2_VERSION, NULL, NULL, "P-256"},
        {"P-384", TLS1_2_VERSION, NULL, NULL, NULL},
    };

    if (!interop_protected()) {
        return;
    }
    if (!make_new_ec_keys_ours()) {
        interop_skip("new keys of EC are not made by the module");
        return;
    }
    for (size_t i = 0; i < sizeof(on_curves) / sizeof(on_curves[0]); i++) {
        test_server(&on_curves[i]);
        if (is_usual(&on_curves[i])) {
            test_client(&on_curves[i]);
        }
    }
}

int main(void)
{
    /* There each takes seconds: not both sides and each by itself. */
    bool emulated = getenv("MPK_VM") != NULL;

    interop_start();
    for (size_t i = 0; i < sizeof(handshakes) / sizeof(handshakes[0]); i++) {
        const struct handshake *h = &handshakes[i];

        if (!emulated || !is_usual(h)) {
            test_server(h);
        }
        if (!emulated && is_usual(h)) {
            test_client(h);
        }
        if (is_usual(h)) {
            test_both_sides(h);
        }
    }
    test_with_new_ec_keys_ours();
    return interop_finish();
}
