/*
 * Connections with every cipher suite that has a cipher of ours, and with some
 * of CBC that have not, in either role, against a stock peer: data of many
 * sizes both ways, key updates, renegotiation, and a record that is damaged.
 */
#include "../interop/ends.h"
#include "../interop/interop.h"
#include "../interop/keys.h"

#include <openssl/ssl.h>
#include <string.h>

#define LARGE 40000

struct suite {
    const char *name;
    int version;
};

static const struct suite suites[] = {
    {"TLS_AES_128_GCM_SHA256", TLS1_3_VERSION},
    {"TLS_AES_256_GCM_SHA384", TLS1_3_VERSION},
    {"TLS_CHACHA20_POLY1305_SHA256", TLS1_3_VERSION},
    {"TLS_AES_128_CCM_SHA256", TLS1_3_VERSION},
    {"TLS_AES_128_CCM_8_SHA256", TLS1_3_VERSION},
    {"ECDHE-ECDSA-AES128-GCM-SHA256", TLS1_2_VERSION},
    {"ECDHE-ECDSA-AES256-GCM-SHA384", TLS1_2_VERSION},
    {"ECDHE-ECDSA-CHACHA20-POLY1305", TLS1_2_VERSION},
    {"ECDHE-ECDSA-AES128-CCM", TLS1_2_VERSION},
    {"ECDHE-ECDSA-AES256-CCM", TLS1_2_VERSION},
    {"ECDHE-ECDSA-AES128-CCM8", TLS1_2_VERSION},
    {"ECDHE-ECDSA-AES256-CCM8", TLS1_2_VERSION},
    {"ECDHE-ECDSA-ARIA128-GCM-SHA256", TLS1_2_VERSION},
    {"ECDHE-ECDSA-ARIA256-GCM-SHA384", TLS1_2_VERSION},
    {"ECDHE-ECDSA-AES128-SHA", TLS1_2_VERSION},
    {"ECDHE-ECDSA-AES256-SHA", TLS1_2_VERSION},
    {"ECDHE-ECDSA-AES128-SHA256", TLS1_2_VERSION},
    {"ECDHE-ECDSA-AES256-SHA384", TLS1_2_VERSION},
};

/* ---- making one --------------------------------------------------------- */

static SSL_CTX *context(OSSL_LIB_CTX *libctx, bool server,
                        const struct suite *s)
{
    SSL_CTX *ctx = SSL_CTX_new_ex(
        libctx, NULL, server ? TLS_server_method() : TLS_client_method());

    CHECK(SSL_CTX_set_min_proto_version(ctx, s->version));
    CHECK(SSL_CTX_set_max_proto_version(ctx, s->version));
    CHECK(s->version == TLS1_3_VERSION ? SSL_CTX_set_ciphersuites(ctx, s->name)
                                       : SSL_CTX_set_cipher_list(ctx, s->name));
    SSL_CTX_set_security_level(ctx, 0); /* for CCM8 */
    SSL_CTX_set_options(ctx, SSL_OP_ALLOW_CLIENT_RENEGOTIATION);
    return ctx;
}

static void use_certificate(SSL_CTX *ctx, OSSL_LIB_CTX *libctx)
{
    const struct key_type *type = key_type_find("P-256");
    EVP_PKEY *key = libctx == NULL ? key_load(type) : NULL;

    ends_certify(ctx, libctx, type, key != NULL ? key : key_reference(type));
    EVP_PKEY_free(key);
}

static void connect_ends(struct ends *c, const struct suite *s,
                         OSSL_LIB_CTX *client, OSSL_LIB_CTX *server)
{
    c->ctx[0] = context(client, false, s);
    c->ctx[1] = context(server, true, s);
    use_certificate(c->ctx[1], server);
    ends_open(c);
}

static bool step(SSL *ssl)
{
    int ret = SSL_do_handshake(ssl), why = SSL_get_error(ssl, ret);

    return ret == 1 || why == SSL_ERROR_WANT_READ;
}

static bool shake_hands(struct ends *c)
{
    for (int i = 0; i < 10; i++) {
        if (!step(c->end[0]) || !step(c->end[1])) {
            return false;
        }
        if (SSL_is_init_finished(c->end[0]) &&
            SSL_is_init_finished(c->end[1])) {
            return true;
        }
    }
    return false;
}

/* ---- using it ----------------------------------------------------------- */

static bool carries(SSL *from, SSL *to, int len)
{
    static unsigned char out[LARGE], in[LARGE];
    int got = 0, n;

    for (int i = 0; i < len; i++) {
        out[i] = (unsigned char)(i * 31 + len);
    }
    if (SSL_write(from, out, len) != len) {
        return false;
    }
    while (got < len && (n = SSL_read(to, in + got, len - got)) > 0) {
        got += n;
    }
    return got == len && memcmp(in, out, (size_t)len) == 0;
}

static void data_goes_both_ways(struct ends *c)
{
    static const int len[] = {1, 2, 15, 16, 17, 255, 1400, 16384, LARGE};

    for (size_t i = 0; i < sizeof(len) / sizeof(len[0]); i++) {
        CHECK(carries(c->end[0], c->end[1], len[i]));
        CHECK(carries(c->end[1], c->end[0], len[i]));
    }
}

static void keys_are_changed(struct ends *c, const struct suite *s)
{
    unsigned char none;

    if (s->version == TLS1_3_VERSION) {
        for (int i = 0; i < 2; i++) {
            CHECK(SSL_key_update(c->end[i], SSL_KEY_UPDATE_REQUESTED) == 1);
            CHECK(SSL_do_handshake(c->end[i]) == 1);
            CHECK(SSL_read(c->end[!i], &none, 1) <= 0);
            CHECK(SSL_read(c->end[i], &none, 1) <= 0);
            data_goes_both_ways(c);
        }
        return;
    }
    CHECK(SSL_renegotiate(c->end[0]) == 1);
    for (int i = 0; i < 6; i++) {
        CHECK(step(c->end[0]));
        CHECK(SSL_read(c->end[1], &none, 1) <= 0);
    }
    CHECK(!SSL_renegotiate_pending(c->end[0]));
    data_goes_both_ways(c);
}

/* The last byte that |from| sends is another one on the wire. */
static void a_damaged_record_is_noticed(struct ends *c, int from)
{
    unsigned char wire[256], in[64];
    int n;

    CHECK(SSL_write(c->end[from], "a line of text", 14) == 14);
    n = BIO_read(c->wire[from], wire, sizeof(wire));
    CHECK(n > 14);
    wire[n - 1] ^= 1;
    CHECK(BIO_write(c->wire[from], wire, n) == n);
    CHECK(SSL_read(c->end[!from], in, sizeof(in)) <= 0);
    CHECK(interop_queue_says("bad record mac"));
    ERR_clear_error();
}

static void run(const struct suite *s, OSSL_LIB_CTX *client,
                OSSL_LIB_CTX *server, const char *who)
{
    struct ends c;

    interop_subject("%s, %s under test", s->name, who);
    connect_ends(&c, s, client, server);
    if (CHECK(shake_hands(&c))) {
        CHECK_STR(SSL_get_cipher_name(c.end[0]), s->name);
        data_goes_both_ways(&c);
        keys_are_changed(&c, s);
        CHECK_QUEUE_EMPTY();
        a_damaged_record_is_noticed(&c, client == NULL ? 1 : 0);
    }
    ERR_clear_error();
    ends_close(&c);
}

int main(void)
{
    interop_start();
    for (size_t i = 0; i < sizeof(suites) / sizeof(suites[0]); i++) {
        run(&suites[i], interop_ref(), NULL, "server");
        run(&suites[i], NULL, interop_ref(), "client");
        run(&suites[i], NULL, NULL, "both sides");
    }
    return interop_finish();
}
