/*
 * Handshakes with every group, in either role, against a peer of the reference
 * side: the sealed secret of one side is the secret of the other.
 */

#include "../interop/ends.h"
#include "../interop/keys.h"
#include "groups.h"

#include <openssl/core_names.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

#define KIB 1024

static struct groups ours, defaults;

struct handshake {
    const char *label;
    const char *key;
    int version;
    const char *ciphers, *groups;
};

/* ---- two sides ----------------------------------------------------------- */

static SSL_CTX *context(OSSL_LIB_CTX *libctx, bool server,
                        const struct handshake *h)
{
    bool dtls = h->version == DTLS1_2_VERSION;
    const SSL_METHOD *method =
        dtls ? (server ? DTLS_server_method() : DTLS_client_method())
             : (server ? TLS_server_method() : TLS_client_method());
    SSL_CTX *ctx = SSL_CTX_new_ex(libctx, NULL, method);

    CHECK(SSL_CTX_set_min_proto_version(ctx, h->version));
    CHECK(SSL_CTX_set_max_proto_version(ctx, h->version));
    SSL_CTX_set_options(ctx, SSL_OP_NO_QUERY_MTU);
    if (h->ciphers != NULL) {
        CHECK(SSL_CTX_set_cipher_list(ctx, h->ciphers));
    }
    if (h->groups != NULL) {
        CHECK(SSL_CTX_set1_groups_list(ctx, h->groups));
    }
    return ctx;
}

struct pair {
    SSL_CTX *client_ctx, *server_ctx;
    SSL *client, *server;
};

/* One side is under test; the other one is the reference, or under test too. */
static void open_pair(struct pair *p, const struct handshake *h,
                      OSSL_LIB_CTX *client, OSSL_LIB_CTX *server)
{
    const struct key_type *type = key_type_find(h->key);
    EVP_PKEY *key = server == NULL ? key_load(type) : NULL;
    bool dtls = h->version == DTLS1_2_VERSION;
    BIO *a = NULL, *b = NULL;

    p->client_ctx = context(client, false, h);
    p->server_ctx = context(server, true, h);
    ends_certify(p->server_ctx, server, type,
                 key != NULL ? key : key_reference(type));
    EVP_PKEY_free(key);
    p->client = SSL_new(p->client_ctx);
    p->server = SSL_new(p->server_ctx);
    if (dtls) {
        a = BIO_new(BIO_s_mem());
        b = BIO_new(BIO_s_mem());
        BIO_set_mem_eof_return(a, -1);
        BIO_set_mem_eof_return(b, -1);
        BIO_up_ref(a);
        BIO_up_ref(b);
        SSL_set_bio(p->client, a, b);
        SSL_set_bio(p->server, b, a);
        SSL_set_mtu(p->client, 16 * KIB);
        SSL_set_mtu(p->server, 16 * KIB);
    } else {
        CHECK(BIO_new_bio_pair(&a, 64 * KIB, &b, 64 * KIB));
        SSL_set_bio(p->client, a, a);
        SSL_set_bio(p->server, b, b);
    }
    SSL_set_connect_state(p->client);
    SSL_set_accept_state(p->server);
}

static void close_pair(struct pair *p)
{
    SSL_free(p->client);
    SSL_free(p->server);
    SSL_CTX_free(p->client_ctx);
    SSL_CTX_free(p->server_ctx);
}

static void check_line(SSL *from, SSL *to)
{
    unsigned char got[16] = {0};

    CHECK_INT(SSL_write(from, "a line of text", 14), 14);
    CHECK_INT(SSL_read(to, got, sizeof(got)), 14);
    CHECK(memcmp(got, "a line of text", 14) == 0);
}

static void run(const struct handshake *h, OSSL_LIB_CTX *client,
                OSSL_LIB_CTX *server, const char *who)
{
    struct pair p;

    interop_subject("%s, %x, %s %s, %s under test", h->label,
                    (unsigned)h->version, h->key,
                    h->ciphers != NULL ? h->ciphers : "", who);
    open_pair(&p, h, client, server);
    if (CHECK(ends_shake_hands(p.client, p.server))) {
        CHECK_INT(SSL_version(p.client), h->version);
        check_line(p.client, p.server);
        check_line(p.server, p.client);
        CHECK_QUEUE_EMPTY();
    }
    ERR_clear_error();
    close_pair(&p);
}

/* ---- the groups ---------------------------------------------------------- */

static void test_tls13(const struct group *g)
{
    struct handshake h = {g->name, "P-256", TLS1_3_VERSION, NULL, g->name};

    run(&h, interop_ref(), NULL, "server");
    run(&h, NULL, interop_ref(), "client");
    run(&h, NULL, NULL, "both sides");
}

/*
 * libssl's client of TLS 1.2 or DTLS offers groups only if its list has one
 * that has an EC algorithm's name: with x448 = leave that is X448's.
 */
static void test_tls12(const struct group *g)
{
    static const char *const suite[] = {"ECDHE-RSA-AES128-SHA",
                                        "ECDHE-RSA-AES128-GCM-SHA256"};
    bool clients = group_find(&ours, "x448") == NULL;
    char list[64];

    snprintf(list, sizeof(list), "%s:X448", g->name);
    for (size_t i = 0; i < 2; i++) {
        struct handshake h = {g->name, "RSA-2048", TLS1_2_VERSION, suite[i],
                              g->name};

        run(&h, interop_ref(), NULL, "server");
        if (clients) {
            h.groups = list;
            run(&h, NULL, interop_ref(), "client");
            h.version = DTLS1_2_VERSION;
            run(&h, interop_ref(), NULL, "server");
            run(&h, NULL, interop_ref(), "client");
        }
    }
}

static void test_every_group_in_both_roles(void)
{
    for (size_t i = 0; i < ours.n; i++) {
        const struct group *g = &ours.at[i];

        if (group_find(&defaults, g->name) == NULL) {
            interop_skip("%s: the reference has no such group", g->name);
            continue;
        }
        if (g->max_tls == 0) {
            test_tls13(g);
        }
        if (g->min_tls <= TLS1_2_VERSION) {
            test_tls12(g);
        }
    }
}

/* ---- RSA key transport --------------------------------------------------- */

/* Decrypts what holds |secret| with padding |pad|, by a protected key, for a
 * client that has named |version|. A second time nothing else comes out, be it
 * right or wrong. */
static size_t decrypt_with(int pad, unsigned version,
                           const unsigned char secret[48],
                           unsigned char out[512])
{
    const struct key_type *type = key_type_find("RSA-2048");
    EVP_PKEY *key = key_load(type), *pub = key_reference(type);
    EVP_PKEY_CTX *e = EVP_PKEY_CTX_new_from_pkey(interop_ref(), pub, NULL);
    EVP_PKEY_CTX *d = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    OSSL_PARAM params[] = {
        OSSL_PARAM_uint(OSSL_ASYM_CIPHER_PARAM_TLS_CLIENT_VERSION, &version),
        OSSL_PARAM_END};
    unsigned char text[512], again[512];
    size_t text_len = sizeof(text), len = 512, again_len = 512;

    CHECK(EVP_PKEY_encrypt_init(e) > 0 &&
          EVP_PKEY_encrypt(e, text, &text_len, secret, 48) > 0);
    CHECK(EVP_PKEY_decrypt_init(d) > 0 &&
          EVP_PKEY_CTX_set_rsa_padding(d, pad) > 0);
    CHECK(pad == RSA_PKCS1_PADDING || EVP_PKEY_CTX_set_params(d, params) > 0);
    CHECK(EVP_PKEY_decrypt(d, out, &len, text, text_len) > 0);
    CHECK(EVP_PKEY_decrypt(d, again, &again_len, text, text_len) > 0);
    CHECK_MEM(again, again_len, out, len);
    EVP_PKEY_CTX_free(e);
    EVP_PKEY_CTX_free(d);
    EVP_PKEY_free(key);
    return len;
}

/* Also one with the wrong version, of which libcrypto makes random bytes: from
 * the first two of the handle nobody learns whether it was right. */
static void test_an_rsa_premaster_secret_is_sealed(void)
{
    unsigned char secret[48], out[512];

    interop_subject("decrypted pre-master secret");
    memset(secret, 0x5a, sizeof(secret));
    for (unsigned v = TLS1_1_VERSION; v <= TLS1_3_VERSION; v++) {
        for (int right = 0; right < 2; right++) {
            secret[0] = right ? 3 : 2;
            secret[1] = (unsigned char)v;
            CHECK_INT(decrypt_with(RSA_PKCS1_WITH_TLS_PADDING, v, secret, out),
                      48);
            CHECK(memcmp(out + 2, secret + 2, 46) != 0);
            CHECK(out[0] == (3 ^ 0x80) && out[1] == (unsigned char)v);
        }
    }
    CHECK_MEM(out, decrypt_with(RSA_PKCS1_PADDING, 0, secret, out), secret, 48);
}

/* RSA of 368 bits, made for this file: less than a pre-master secret. */
static const char short_rsa[] =
    "-----BEGIN PRIVATE KEY-----\n"
    "MIIBAgIBADANBgkqhkiG9w0BAQEFAASB7TCB6gIBAAIvAN4y+Q3mfGR/MJt6IMhs\n"
    "WNjAartLAZcY6VLokNA0WzPsWjaVurP3czaqXQhaoacCAwEAAQIuSILj6dhcocMs\n"
    "DqD1T9Kjz+BDNGnO1AquVUvPBQyFdVwDEE/zF2atIUDAC7eKuQIYAPicVaYttowI\n"
    "aQ3XQ58R+A/tG16s2d/lAhgA5M2skHF+AbVRCy4yNx+ZtZG26NqaqpsCGACQ7qLH\n"
    "1BJ9pFGKLhpP26vfrPytvtrtOQIYAIhCKDN5MzZnOZVz9Hm5evuThJ9VmGhjAhd1\n"
    "1QN2Ly3JqmNlwQvtxc1mACtkSI9Jyg==\n"
    "-----END PRIVATE KEY-----\n";

/* What would be taken for one begins before what was decrypted. */
static void test_a_short_rsa_key_gives_no_premaster_secret(void)
{
    BIO *bio = BIO_new_mem_buf(short_rsa, -1);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    EVP_PKEY_CTX *d = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    unsigned char text[46] = {0, 2}, out[512];
    unsigned version = TLS1_2_VERSION;
    OSSL_PARAM params[] = {
        OSSL_PARAM_uint(OSSL_ASYM_CIPHER_PARAM_TLS_CLIENT_VERSION, &version),
        OSSL_PARAM_END};
    size_t len = sizeof(out);

    interop_subject("a short RSA key");
    CHECK_HELD(key);
    CHECK(EVP_PKEY_decrypt_init(d) > 0 &&
          EVP_PKEY_CTX_set_rsa_padding(d, RSA_PKCS1_WITH_TLS_PADDING) > 0 &&
          EVP_PKEY_CTX_set_params(d, params) > 0);
    CHECK(EVP_PKEY_decrypt(d, out, &len, text, sizeof(text)) <= 0);
    CHECK(interop_queue_says("too short for TLS"));
    EVP_PKEY_CTX_free(d);
    EVP_PKEY_free(key);
    BIO_free(bio);
}

static void test_rsa_key_transport(void)
{
    static const char *const suite[] = {"AES128-SHA", "AES128-GCM-SHA256"};

    for (size_t i = 0; i < 2; i++) {
        struct handshake h = {"RSA key transport", "RSA-2048", TLS1_2_VERSION,
                              suite[i], NULL};

        run(&h, interop_ref(), NULL, "server");
    }
}

/* ---- bad shares on the wire ---------------------------------------------- */

static int alert_seen;

static void watch(int write, int version, int type, const void *buf, size_t len,
                  SSL *ssl, void *arg)
{
    const unsigned char *p = buf;

    (void)write;
    (void)version;
    (void)ssl;
    (void)arg;
    if (type == SSL3_RT_ALERT && len == 2 && p[0] == SSL3_AL_FATAL) {
        alert_seen = p[1];
    }
}

/* Turns the uncompressed point at |p| into a bad one, or one in hybrid form. */
static void spoil_form(unsigned char *p)
{
    p[0] ^= 1;
}

static void spoil_x(unsigned char *p)
{
    p[32] ^= 1;
}

static void spoil_y(unsigned char *p)
{
    p[64] ^= 1;
}

static void turn_hybrid(unsigned char *p)
{
    p[0] = 6 | (p[64] & 1);
}

/* Moves the client's hello to the server with its P-256 key changed. */
static bool pass_changed(BIO *from_client, BIO *to_server,
                         void (*change)(unsigned char *p))
{
    static const unsigned char share[] = {0x00, 0x17, 0x00, 0x41, 0x04};
    unsigned char hello[2048];
    int n = BIO_read(from_client, hello, sizeof(hello));

    for (int i = 0; i + 69 <= n; i++) {
        if (memcmp(hello + i, share, sizeof(share)) == 0) {
            change(hello + i + 4);
            return BIO_write(to_server, hello, n) == n;
        }
    }
    return false;
}

/* What only TLS 1.3 does not take, as a hybrid point, the KDF refuses: nobody
 * knows the version before. */
static void test_bad_shares_get_their_alerts(void)
{
    static const struct {
        const char *label;
        void (*change)(unsigned char *p);
        int alert;
    } share[] = {{"form", spoil_form, SSL_AD_ILLEGAL_PARAMETER},
                 {"x", spoil_x, SSL_AD_ILLEGAL_PARAMETER},
                 {"y", spoil_y, SSL_AD_ILLEGAL_PARAMETER},
                 {"hybrid", turn_hybrid, SSL_AD_INTERNAL_ERROR}};
    const struct handshake h = {"P-256", "P-256", TLS1_3_VERSION, NULL,
                                "P-256"};

    for (size_t i = 0; i < sizeof(share) / sizeof(share[0]); i++) {
        BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
        struct pair p;

        interop_subject("the client's share is changed: %s", share[i].label);
        open_pair(&p, &h, interop_ref(), NULL);
        SSL_set0_wbio(p.client, out);
        SSL_set0_rbio(p.server, in);
        BIO_set_mem_eof_return(in, -1);
        SSL_set_msg_callback(p.server, watch);
        alert_seen = 0;
        CHECK(ends_step(p.client));
        CHECK(pass_changed(out, in, share[i].change));
        CHECK(!ends_step(p.server));
        CHECK_INT(alert_seen, share[i].alert);
        ERR_clear_error();
        close_pair(&p);
    }
}

int main(void)
{
    interop_start();
    groups_of(NULL, "MPK", &ours);
    groups_of(interop_ref(), "default", &defaults);
    CHECK(ours.n != 0);
    test_bad_shares_get_their_alerts();
    test_an_rsa_premaster_secret_is_sealed();
    test_a_short_rsa_key_gives_no_premaster_secret();
    test_rsa_key_transport();
    test_every_group_in_both_roles();
    return interop_finish();
}
