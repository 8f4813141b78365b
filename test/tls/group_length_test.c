/*
 * Public numbers of DH that have another length than their group's, on the
 * wire. TLS 1.3 has one length (RFC 8446, 4.2.8.1), TLS 1.2 leaves zeros out.
 * Each end has to answer with the alert that stock answers with:
 * illegal_parameter if it does not take the number, and if it does, that
 * nothing can be deciphered.
 */
#include "../interop/ends.h"
#include "../interop/interop.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <string.h>

#define GROUP "ffdhe2048"
#define NUMBER_LEN 256
#define KEY_SHARE 51
#define ROOM 4096

static int alert_sent;

static void watch(int write, int version, int type, const void *buf, size_t len,
                  SSL *ssl, void *arg)
{
    const unsigned char *p = buf;

    (void)version;
    (void)ssl;
    (void)arg;
    if (write && type == SSL3_RT_ALERT && len == 2 && p[0] == SSL3_AL_FATAL) {
        alert_sent = p[1];
    }
}

static SSL_CTX *context(OSSL_LIB_CTX *libctx, bool server, int version)
{
    const struct key_type *type = key_type_find("RSA-2048");
    EVP_PKEY *key = NULL;
    SSL_CTX *ctx = SSL_CTX_new_ex(
        libctx, NULL, server ? TLS_server_method() : TLS_client_method());

    CHECK(SSL_CTX_set_min_proto_version(ctx, version));
    CHECK(SSL_CTX_set_max_proto_version(ctx, version));
    CHECK(SSL_CTX_set_cipher_list(ctx, "DHE-RSA-AES128-GCM-SHA256"));
    CHECK(SSL_CTX_set1_groups_list(ctx, GROUP));
    if (server) {
        CHECK(SSL_CTX_set_dh_auto(ctx, 1));
        key = libctx == NULL ? key_load(type) : NULL;
        ends_certify(ctx, libctx, type,
                     key != NULL ? key : key_reference(type));
        EVP_PKEY_free(key);
    }
    return ctx;
}

/* ---- a flight with one number -------------------------------------------- */

struct flight {
    unsigned char at[ROOM];
    size_t len;
    size_t field[6],
        fields; /* where the lengths are that go with the number's */
    size_t number;
};

static size_t length_at(const struct flight *f, size_t at)
{
    return at + 2 <= f->len ? (size_t)f->at[at] << 8 | f->at[at + 1] : 0;
}

static void add_field(struct flight *f, size_t at)
{
    f->field[f->fields++] = at;
}

/* Of the extension, whose first byte is at |at|. */
static void find_in_share(struct flight *f, size_t at, bool server)
{
    add_field(f, at + 2);
    if (!server) {
        add_field(f, at + 4);
        at += 2;
    }
    add_field(f, at + 6);
    f->number = at + 8;
}

/* In a hello, the first message of its flight. */
static void find_in_hello(struct flight *f, bool server)
{
    size_t at = 43;

    at += 1 + f->at[at];
    if (server) {
        at += 3;
    } else {
        at += 2 + length_at(f, at);
        at += 1 + f->at[at];
    }
    add_field(f, at);
    for (at += 2; at + 4 < f->len; at += 4 + length_at(f, at + 2)) {
        if (length_at(f, at) == KEY_SHARE) {
            find_in_share(f, at, server);
            return;
        }
    }
}

/* The record's length, the message's, and what is in that. */
static bool find_number(struct flight *f, bool server, int version)
{
    f->fields = 0;
    f->number = 0;
    add_field(f, 3);
    add_field(f, 7);
    if (version == TLS1_3_VERSION) {
        find_in_hello(f, server);
    } else {
        add_field(f, 9);
        f->number = 11;
    }
    return f->number + NUMBER_LEN <= f->len &&
           length_at(f, f->field[f->fields - 1]) == NUMBER_LEN;
}

/* A zero in front makes it longer. The shorter one is 4, a square: stock takes
 * no other in TLS 1.2. */
static void change_length(struct flight *f, bool longer)
{
    size_t from = f->number + (longer ? 0 : NUMBER_LEN);
    size_t to = longer ? from + 1 : from - 1;

    memmove(f->at + to, f->at + from, f->len - from);
    if (longer) {
        f->at[from] = 0;
    } else {
        memset(f->at + f->number, 0, NUMBER_LEN - 1);
        f->at[to - 1] = 4;
    }
    f->len += to - from;
    for (size_t i = 0; i < f->fields; i++) {
        size_t n = length_at(f, f->field[i]);

        f->at[f->field[i]] = (unsigned char)((n + to - from) >> 8);
        f->at[f->field[i] + 1] = (unsigned char)(n + to - from);
    }
}

static bool pass_changed(BIO *wire, bool server, int version, bool longer)
{
    struct flight f;
    int n = BIO_read(wire, f.at, ROOM - 1);

    f.len = n > 0 ? (size_t)n : 0;
    if (!find_number(&f, server, version)) {
        return false;
    }
    change_length(&f, longer);
    return BIO_write(wire, f.at, (int)f.len) == (int)f.len;
}

/* ---- connections --------------------------------------------------------- */

/* A server of TLS 1.2 takes the module's group only from libssl 4.0 on. */
static void check_whose(SSL *server)
{
    EVP_PKEY *key = NULL;

    if (OPENSSL_version_major() >= 4 &&
        CHECK(SSL_get_tmp_key(server, &key) == 1)) {
        CHECK(EVP_PKEY_is_a(key, "MPK-DH"));
        EVP_PKEY_free(key);
    }
}

/* The alert with which the end |reader| of |libctx| ends the connection. */
static int alert_of(OSSL_LIB_CTX *libctx, int reader, int version, bool longer)
{
    struct ends c;

    for (int i = 0; i < 2; i++) {
        c.ctx[i] =
            context(i == reader ? libctx : interop_ref(), i == 1, version);
    }
    ends_open(&c);
    SSL_set_msg_callback(c.end[reader], watch);
    alert_sent = 0;
    CHECK(ends_step(c.end[0]));
    if (version == TLS1_2_VERSION) {
        CHECK(ends_step(c.end[1]));
        if (libctx == NULL) {
            check_whose(c.end[1]);
        }
        CHECK(ends_step(c.end[0]));
    } else if (reader == 0) {
        CHECK(ends_step(c.end[1]));
    }
    if (CHECK(pass_changed(c.wire[!reader], reader == 0, version, longer))) {
        CHECK(!ends_step(c.end[reader]));
    }
    ends_close(&c);
    ERR_clear_error();
    return alert_sent;
}

static void test_length(int reader, int version, bool longer, int alert)
{
    interop_subject("%x, a number that is %s for the %s", (unsigned)version,
                    longer ? "longer" : "shorter",
                    reader == 0 ? "client" : "server");
    CHECK_INT(alert_of(interop_ref(), reader, version, longer), alert);
    CHECK_INT(alert_of(NULL, reader, version, longer), alert);
}

int main(void)
{
    interop_start();
    for (int longer = 0; longer < 2; longer++) {
        test_length(1, TLS1_3_VERSION, longer, SSL_AD_ILLEGAL_PARAMETER);
        test_length(0, TLS1_3_VERSION, longer, SSL_AD_ILLEGAL_PARAMETER);
        test_length(1, TLS1_2_VERSION, longer, SSL_AD_BAD_RECORD_MAC);
    }
    return interop_finish();
}
