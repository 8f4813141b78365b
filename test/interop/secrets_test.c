/*
 * The full profile: TLS in one process, one side with opaque session secrets
 * and a peer of the reference side, in either role, or both sides opaque.
 *
 * That a connection carries data both ways, and that both sides export the
 * same, shows that the secrets are right; that the two sides' key logs differ
 * in every secret shows that libssl has never had one.
 */

#include "ends.h"
#include "interop.h"
#include "ops.h"

#include <openssl/provider.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define KIB 1024

enum side { OPAQUE_SERVER, OPAQUE_CLIENT, OPAQUE_BOTH, SIDES };
static const char *const side_name[SIDES] = {"server", "client", "both sides"};

/* ---- key logs ----------------------------------------------------------- */

#define LINES 256
struct keylog {
    char *line[LINES];
    size_t n;
};

static struct keylog server_log, client_log;

static void add_line(struct keylog *log, const char *line)
{
    if (CHECK(log->n < LINES)) {
        log->line[log->n++] = strdup(line);
    }
}

static void log_server(const SSL *ssl, const char *line)
{
    (void)ssl;
    add_line(&server_log, line);
}

static void log_client(const SSL *ssl, const char *line)
{
    (void)ssl;
    add_line(&client_log, line);
}

static void forget_lines(struct keylog *log)
{
    while (log->n > 0) {
        free(log->line[--log->n]);
    }
}

/* Length of "LABEL RANDOM ", the name of a secret. */
static size_t name_length(const char *line)
{
    const char *end = strrchr(line, ' ');

    return end != NULL ? (size_t)(end - line) + 1 : 0;
}

/* Whether two of the reference's, or two of one process, must be the same. */
static bool same_kind(enum side side)
{
    return side == OPAQUE_BOTH || !interop_protected();
}

/*
 * Every secret that both have logged is another to each. A name can come
 * again, with key updates: the first is compared with the first, and so on.
 */
static void check_opaque(enum side side, size_t at_least)
{
    bool seen[LINES] = {false};
    size_t both = 0;

    for (size_t i = 0; i < server_log.n; i++) {
        const char *a = server_log.line[i];

        for (size_t j = 0; j < client_log.n; j++) {
            const char *b = client_log.line[j];

            if (!seen[j] && name_length(a) == name_length(b) &&
                strncmp(a, b, name_length(a)) == 0) {
                seen[j] = true;
                both++;
                CHECK((strcmp(a, b) == 0) == same_kind(side));
                break;
            }
        }
    }
    CHECK(both >= at_least);
    forget_lines(&server_log);
    forget_lines(&client_log);
}

/* ---- contexts ----------------------------------------------------------- */

struct pair {
    enum side side;
    int version;
    bool dtls;
    SSL_CTX *server_ctx, *client_ctx;
    SSL *server, *client;
    SSL_SESSION *session; /* to resume */
    int fd[2];
};

static OSSL_LIB_CTX *libctx_of(enum side side, bool server)
{
    return side == OPAQUE_BOTH || (side == OPAQUE_SERVER) == server
               ? NULL
               : interop_ref();
}

static SSL_CTX *context(OSSL_LIB_CTX *libctx, int version, bool dtls,
                        const char *suite, const char *groups)
{
    SSL_CTX *ctx =
        SSL_CTX_new_ex(libctx, NULL, dtls ? DTLS_method() : TLS_method());

    if (!CHECK(ctx != NULL)) {
        exit(1);
    }
    CHECK(SSL_CTX_set_min_proto_version(ctx, version));
    CHECK(SSL_CTX_set_max_proto_version(ctx, version));
    SSL_CTX_set_security_level(ctx, 0);
    SSL_CTX_set_options(ctx, SSL_OP_ALLOW_CLIENT_RENEGOTIATION);
    CHECK(SSL_CTX_set_dh_auto(ctx, 1));
    SSL_CTX_set_mode(ctx, SSL_MODE_NO_AUTO_CHAIN);
    if (suite != NULL && version == TLS1_3_VERSION) {
        CHECK(SSL_CTX_set_ciphersuites(ctx, suite));
    } else if (suite != NULL) {
        char list[128];

        snprintf(list, sizeof(list), "%s:@SECLEVEL=0", suite);
        CHECK(SSL_CTX_set_cipher_list(ctx, list));
    }
    if (groups != NULL) {
        CHECK(SSL_CTX_set1_groups_list(ctx, groups));
    }
    return ctx;
}

static void use_key(SSL_CTX *ctx, OSSL_LIB_CTX *libctx, const char *label)
{
    const struct key_type *type = key_type_find(label);
    EVP_PKEY *key = libctx == NULL ? key_load(type) : key_reference(type);

    ends_certify(ctx, libctx, type, key);
    if (libctx == NULL) {
        CHECK_HELD(key);
        EVP_PKEY_free(key);
    }
}

static void trust(SSL_CTX *ctx, const char *label)
{
    X509 *cert = key_certificate(key_type_find(label));

    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ctx),
                                X509_V_FLAG_PARTIAL_CHAIN);
    CHECK_INT(X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), cert), 1);
    X509_free(cert);
}

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    struct pair *p = SSL_get_app_data(ssl);

    SSL_SESSION_free(p->session);
    p->session = session;
    return 1;
}

static const char *server_groups, *client_groups; /* NULL: the usual */

static void pair_open(struct pair *p, enum side side, int version,
                      const char *suite, const char *key)
{
    memset(p, 0, sizeof(*p));
    p->side = side;
    p->version = version;
    p->dtls = version == DTLS1_2_VERSION;
    p->fd[0] = p->fd[1] = -1;
    p->server_ctx =
        context(libctx_of(side, true), version, p->dtls, suite, server_groups);
    p->client_ctx =
        context(libctx_of(side, false), version, p->dtls, suite, client_groups);
    use_key(p->server_ctx, libctx_of(side, true), key);
    trust(p->client_ctx, key);
    SSL_CTX_set_keylog_callback(p->server_ctx, log_server);
    SSL_CTX_set_keylog_callback(p->client_ctx, log_client);
    SSL_CTX_set_session_id_context(p->server_ctx, (unsigned char *)"t", 1);
    SSL_CTX_set_session_cache_mode(
        p->client_ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(p->client_ctx, keep_session);
}

static void pair_disconnect(struct pair *p)
{
    SSL_free(p->client);
    SSL_free(p->server);
    p->client = p->server = NULL;
    for (int i = 0; i < 2; i++) {
        if (p->fd[i] >= 0) {
            close(p->fd[i]);
        }
        p->fd[i] = -1;
    }
}

static void pair_close(struct pair *p)
{
    pair_disconnect(p);
    SSL_SESSION_free(p->session);
    SSL_CTX_free(p->server_ctx);
    SSL_CTX_free(p->client_ctx);
}

static void set_datagrams(struct pair *p)
{
    CHECK_INT(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, p->fd), 0);
    for (int i = 0; i < 2; i++) {
        SSL *ssl = i == 0 ? p->client : p->server;
        BIO *bio = BIO_new_socket(p->fd[i], BIO_NOCLOSE);

        SSL_set_options(ssl, SSL_OP_NO_QUERY_MTU);
        SSL_set_bio(ssl, bio, bio);
        CHECK(DTLS_set_link_mtu(ssl, 16 * KIB));
    }
}

static void pair_connect(struct pair *p)
{
    BIO *a = NULL, *b = NULL;

    p->client = SSL_new(p->client_ctx);
    p->server = SSL_new(p->server_ctx);
    SSL_set_app_data(p->client, (char *)p);
    if (p->dtls) {
        set_datagrams(p);
    } else {
        CHECK(BIO_new_bio_pair(&a, 64 * KIB, &b, 64 * KIB));
        SSL_set_bio(p->client, a, a);
        SSL_set_bio(p->server, b, b);
    }
    SSL_set_connect_state(p->client);
    SSL_set_accept_state(p->server);
    if (p->session != NULL) {
        CHECK(SSL_set_session(p->client, p->session));
    }
}

/* ---- connections -------------------------------------------------------- */

static void check_exporter(struct pair *p)
{
    static const char label[] = "EXPERIMENTAL something";
    unsigned char a[40], b[40];

    for (int context = 0; context < 2; context++) {
        CHECK_INT(SSL_export_keying_material(
                      p->server, a, sizeof(a), label, strlen(label),
                      (const unsigned char *)"ctx", 3, context),
                  1);
        CHECK_INT(SSL_export_keying_material(
                      p->client, b, sizeof(b), label, strlen(label),
                      (const unsigned char *)"ctx", 3, context),
                  1);
        CHECK_MEM(a, sizeof(a), b, sizeof(b));
    }
}

static void check_traffic(struct pair *p)
{
    size_t large = p->dtls ? 8 * KIB : 40 * KIB;

    ends_pass(p->client, p->server, 1, 1);
    ends_pass(p->server, p->client, 1, 2);
    ends_pass(p->client, p->server, large, 3);
    ends_pass(p->server, p->client, large, 4);
}

/* One connection, with all that is checked of every one. */
static bool connection(struct pair *p)
{
    pair_connect(p);
    if (!CHECK(ends_shake_hands(p->client, p->server))) {
        ERR_print_errors_fp(stdout);
        forget_lines(&server_log);
        forget_lines(&client_log);
        return false;
    }
    CHECK_INT(SSL_version(p->client), p->version);
    CHECK_QUEUE_EMPTY();
    check_traffic(p);
    check_exporter(p);
    return true;
}

static void shut_down(struct pair *p)
{
    SSL_shutdown(p->client);
    SSL_shutdown(p->server);
    SSL_shutdown(p->client);
    pair_disconnect(p);
}

/* How many of the secrets both log: 4 traffic and the exporter, or one. */
static size_t secrets_of(int version)
{
    return version == TLS1_3_VERSION ? 5 : 1;
}

/* ---- every suite and group ---------------------------------------------- */

struct suite {
    int version;
    const char *name;
    const char *key;
};

static const struct suite suites[] = {
    {TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256", "P-256"},
    {TLS1_3_VERSION, "TLS_AES_256_GCM_SHA384", "P-256"},
    {TLS1_3_VERSION, "TLS_CHACHA20_POLY1305_SHA256", "RSA-2048"},
    {TLS1_3_VERSION, "TLS_AES_128_CCM_SHA256", "P-256"},
    {TLS1_3_VERSION, "TLS_AES_128_CCM_8_SHA256", "P-256"},
    {TLS1_2_VERSION, "ECDHE-ECDSA-AES128-GCM-SHA256", "P-256"},
    {TLS1_2_VERSION, "ECDHE-ECDSA-AES256-GCM-SHA384", "P-256"},
    {TLS1_2_VERSION, "ECDHE-ECDSA-CHACHA20-POLY1305", "P-256"},
    {TLS1_2_VERSION, "ECDHE-ECDSA-AES128-CCM", "P-256"},
    {TLS1_2_VERSION, "ECDHE-ECDSA-AES256-CCM", "P-256"},
    {TLS1_2_VERSION, "ECDHE-ECDSA-AES128-CCM8", "P-256"},
    {TLS1_2_VERSION, "ECDHE-ECDSA-AES256-CCM8", "P-256"},
    {TLS1_2_VERSION, "ECDHE-ECDSA-ARIA128-GCM-SHA256", "P-256"},
    {TLS1_2_VERSION, "ECDHE-ECDSA-ARIA256-GCM-SHA384", "P-256"},
    {TLS1_2_VERSION, "ECDHE-RSA-AES128-GCM-SHA256", "RSA-2048"},
    {TLS1_2_VERSION, "DHE-RSA-AES128-GCM-SHA256", "RSA-2048"},
    {TLS1_2_VERSION, "DHE-RSA-CHACHA20-POLY1305", "RSA-2048"},
    {TLS1_2_VERSION, "AES128-GCM-SHA256", "RSA-2048"},
    {TLS1_2_VERSION, "AES256-GCM-SHA384", "RSA-2048"},
    {TLS1_2_VERSION, "ARIA128-GCM-SHA256", "RSA-2048"},
    {TLS1_2_VERSION, "AES256-CCM8", "RSA-2048"},
    {TLS1_2_VERSION, "ECDHE-ECDSA-AES128-SHA", "P-256"},
    {TLS1_2_VERSION, "ECDHE-ECDSA-AES256-SHA", "P-256"},
    {TLS1_2_VERSION, "ECDHE-ECDSA-AES128-SHA256", "P-256"},
    {TLS1_2_VERSION, "ECDHE-ECDSA-AES256-SHA384", "P-256"},
    {TLS1_2_VERSION, "ECDHE-ECDSA-CAMELLIA128-SHA256", "P-256"},
    {TLS1_2_VERSION, "AES256-SHA256", "RSA-2048"},
    {TLS1_1_VERSION, "ECDHE-ECDSA-AES128-SHA", "P-256"},
    {TLS1_VERSION, "AES128-SHA", "RSA-2048"},
    {DTLS1_2_VERSION, "ECDHE-ECDSA-AES128-GCM-SHA256", "P-256"},
    {DTLS1_2_VERSION, "ECDHE-ECDSA-CHACHA20-POLY1305", "P-256"},
    {DTLS1_2_VERSION, "ECDHE-ECDSA-AES256-CCM8", "P-256"},
    {DTLS1_2_VERSION, "ECDHE-ECDSA-AES128-SHA256", "P-256"},
};

static void test_suite(enum side side, const struct suite *s)
{
    struct pair p;

    interop_subject("%s opaque, %x, %s", side_name[side], (unsigned)s->version,
                    s->name);
    pair_open(&p, side, s->version, s->name, s->key);
    if (connection(&p)) {
        check_opaque(side, secrets_of(s->version));
        shut_down(&p);
    }
    pair_disconnect(&p);
    if (connection(&p)) { /* resumed, if there is a session by now */
        CHECK(SSL_session_reused(p.client) || p.dtls ||
              s->version < TLS1_2_VERSION);
        check_opaque(side, secrets_of(s->version));
        shut_down(&p);
    }
    pair_close(&p);
}

static void test_group(enum side side, int version, const char *group,
                       const char *suite, const char *key)
{
    struct pair p;
    char list[64];

    interop_subject("%s opaque, %x, group %s", side_name[side],
                    (unsigned)version, group);
    server_groups = client_groups = group;
    if (version < TLS1_3_VERSION && strcmp(group, "X448") != 0) {
        /* Such a client sends no groups if it knows none by name. */
        snprintf(list, sizeof(list), "%s:X448", group);
        client_groups = list;
    }
    pair_open(&p, side, version, suite, key);
    if (connection(&p)) {
        check_opaque(side, secrets_of(version));
        shut_down(&p);
    }
    pair_close(&p);
    server_groups = client_groups = NULL;
}

/* ---- ways through the protocol ------------------------------------------ */

static void test_resumption(enum side side, int version, bool ticket, bool ems)
{
    struct pair p;

    interop_subject("%s opaque, %x, resumed by %s%s", side_name[side],
                    (unsigned)version, ticket ? "ticket" : "cache",
                    ems ? "" : ", no extended master secret");
    pair_open(&p, side, version, NULL, "P-256");
    if (!ticket) {
        SSL_CTX_set_options(p.server_ctx, SSL_OP_NO_TICKET);
    }
    if (!ems) {
        SSL_CTX_set_options(p.client_ctx, SSL_OP_NO_EXTENDED_MASTER_SECRET);
    }
    for (int i = 0; i < 3; i++) {
        if (!connection(&p)) {
            break;
        }
        CHECK_INT(SSL_session_reused(p.client), i > 0);
        check_opaque(side, secrets_of(version));
        shut_down(&p);
        CHECK(p.session != NULL);
    }
    pair_close(&p);
}

static void test_retry_request(enum side side)
{
    struct pair p;

    interop_subject("%s opaque, HelloRetryRequest", side_name[side]);
    client_groups = "X25519:P-384";
    server_groups = "P-384";
    pair_open(&p, side, TLS1_3_VERSION, NULL, "P-256");
    if (connection(&p)) {
        check_opaque(side, 5);
        shut_down(&p);
    }
    pair_close(&p);
    client_groups = server_groups = NULL;
}

static void test_key_update(enum side side)
{
    struct pair p;

    interop_subject("%s opaque, key updates", side_name[side]);
    pair_open(&p, side, TLS1_3_VERSION, NULL, "P-256");
    if (connection(&p)) {
        for (int i = 0; i < 6; i++) {
            SSL *one = i % 2 ? p.server : p.client;
            SSL *other = i % 2 ? p.client : p.server;

            CHECK_INT(SSL_key_update(one, i < 3 ? SSL_KEY_UPDATE_REQUESTED
                                                : SSL_KEY_UPDATE_NOT_REQUESTED),
                      1);
            ends_pass(one, other, 100, 5);
            ends_pass(other, one, 100, 6);
            check_traffic(&p);
        }
        check_opaque(side, 5);
        shut_down(&p);
    }
    pair_close(&p);
}

static void test_renegotiation(enum side side)
{
    struct pair p;
    char byte;

    interop_subject("%s opaque, renegotiation", side_name[side]);
    pair_open(&p, side, TLS1_2_VERSION, "ECDHE-ECDSA-AES128-GCM-SHA256",
              "P-256");
    if (connection(&p)) {
        CHECK_INT(SSL_renegotiate(p.client), 1);
        CHECK(SSL_do_handshake(p.client) != 1);
        for (int i = 0; i < 10; i++) {
            /* Reading drives the server's side. */
            CHECK(SSL_read(p.server, &byte, 1) < 0);
            if (SSL_do_handshake(p.client) == 1) {
                break;
            }
        }
        CHECK(SSL_is_init_finished(p.client));
        ERR_clear_error();
        check_traffic(&p);
        check_exporter(&p);
        check_opaque(side, 1);
        shut_down(&p);
    }
    pair_close(&p);
}

static void test_client_certificate(enum side side, int version)
{
    struct pair p;

    interop_subject("%s opaque, %x, client certificate", side_name[side],
                    (unsigned)version);
    pair_open(&p, side, version, NULL, "P-256");
    use_key(p.client_ctx, libctx_of(side, false), "RSA-2048");
    trust(p.server_ctx, "RSA-2048");
    SSL_CTX_set_verify(p.server_ctx,
                       SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    if (connection(&p)) {
        CHECK_INT(SSL_get_verify_result(p.server), X509_V_OK);
        check_opaque(side, secrets_of(version));
        shut_down(&p);
    }
    pair_close(&p);
}

static void test_post_handshake_authentication(enum side side)
{
    struct pair p;
    char byte;

    interop_subject("%s opaque, post-handshake authentication",
                    side_name[side]);
    pair_open(&p, side, TLS1_3_VERSION, NULL, "P-256");
    use_key(p.client_ctx, libctx_of(side, false), "P-384");
    trust(p.server_ctx, "P-384");
    SSL_CTX_set_post_handshake_auth(p.client_ctx, 1);
    if (connection(&p)) {
        SSL_set_verify(p.server,
                       SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
        CHECK_INT(SSL_verify_client_post_handshake(p.server), 1);
        CHECK_INT(SSL_do_handshake(p.server), 1);
        CHECK(SSL_read(p.client, &byte, 1) < 0);
        CHECK(SSL_read(p.server, &byte, 1) < 0);
        CHECK(SSL_get0_peer_certificate(p.server) != NULL);
        ERR_clear_error();
        check_traffic(&p);
        check_opaque(side, 5);
        shut_down(&p);
    }
    pair_close(&p);
}

#define EARLY "early bird"

static void test_early_data(enum side side)
{
    struct pair p;
    char got[64];
    size_t n = 0;

    interop_subject("%s opaque, early data", side_name[side]);
    pair_open(&p, side, TLS1_3_VERSION, NULL, "P-256");
    SSL_CTX_set_max_early_data(p.server_ctx, 4 * KIB);
    SSL_CTX_set_recv_max_early_data(p.server_ctx, 4 * KIB);
    if (connection(&p)) {
        check_opaque(side, 5);
        shut_down(&p);
    }
    pair_connect(&p);
    CHECK_INT(SSL_write_early_data(p.client, EARLY, strlen(EARLY), &n), 1);
    CHECK_INT(SSL_read_early_data(p.server, got, sizeof(got), &n),
              SSL_READ_EARLY_DATA_SUCCESS);
    CHECK_MEM(got, n, EARLY, strlen(EARLY));
    CHECK(ends_step(p.client));
    /* Until the end of early data. */
    while (SSL_read_early_data(p.server, got, sizeof(got), &n) ==
           SSL_READ_EARLY_DATA_SUCCESS) {
    }
    if (CHECK(ends_shake_hands(p.client, p.server))) {
        CHECK_INT(SSL_get_early_data_status(p.client), SSL_EARLY_DATA_ACCEPTED);
        CHECK(SSL_session_reused(p.client));
        ERR_clear_error();
        check_traffic(&p);
        check_exporter(&p);
        check_opaque(side, 7);
        shut_down(&p);
    }
    pair_close(&p);
}

static unsigned psk_of_server(SSL *ssl, const char *id, unsigned char *psk,
                              unsigned max)
{
    (void)ssl;
    (void)id;
    memset(psk, 0x5a, 32);
    return max >= 32 ? 32 : 0;
}

static unsigned psk_of_client(SSL *ssl, const char *hint, char *id,
                              unsigned id_max, unsigned char *psk, unsigned max)
{
    (void)hint;
    snprintf(id, id_max, "somebody");
    return psk_of_server(ssl, id, psk, max);
}

/* libssl puts these pre-master secrets together itself. */
static void test_preshared_key(enum side side, const char *suite)
{
    struct pair p;

    interop_subject("%s opaque, TLS 1.2, %s", side_name[side], suite);
    pair_open(&p, side, TLS1_2_VERSION, suite, "RSA-2048");
    SSL_CTX_set_psk_server_callback(p.server_ctx, psk_of_server);
    SSL_CTX_set_psk_client_callback(p.client_ctx, psk_of_client);
    if (connection(&p)) {
        check_opaque(side, 1);
        shut_down(&p);
    }
    pair_close(&p);
}

/* Groups with ML-KEM are there when the inner OpenSSL is 3.5 or later, and in
 * the stock peer when the outer one is. */
static bool is_there(const char *group)
{
    SSL_CTX *ctx[2] = {SSL_CTX_new(TLS_method()),
                       SSL_CTX_new_ex(interop_ref(), NULL, TLS_method())};
    bool there = true;

    for (int i = 0; i < 2; i++) {
        there = there && SSL_CTX_set1_groups_list(ctx[i], group);
        SSL_CTX_free(ctx[i]);
    }
    ERR_clear_error();
    return there;
}

int main(void)
{
    static const char *const groups[] = {"X25519",    "X448",     "P-256",
                                         "P-384",     "P-521",    "ffdhe2048",
                                         "ffdhe3072", "ffdhe4096"};
    static const char *const kems[] = {"MLKEM512", "MLKEM768", "MLKEM1024",
                                       "SecP256r1MLKEM768", "X25519MLKEM768",
                                       "SecP384r1MLKEM1024"};

    interop_start();
    if (interop_protected() && !OSSL_PROVIDER_available(NULL, "MPK")) {
        printf("no provider MPK: this is not the full profile\n");
        return 1;
    }
    for (int side = 0; side < SIDES; side++) {
        for (size_t i = 0; i < sizeof(suites) / sizeof(suites[0]); i++) {
            test_suite(side, &suites[i]);
        }
        for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
            test_group(side, TLS1_3_VERSION, groups[i],
                       "TLS_AES_256_GCM_SHA384", "P-256");
            if (i < 5) {
                test_group(side, TLS1_2_VERSION, groups[i],
                           "ECDHE-RSA-AES256-GCM-SHA384", "RSA-2048");
            }
        }
        for (size_t i = 0; i < sizeof(kems) / sizeof(kems[0]); i++) {
            if (is_there(kems[i])) {
                test_group(side, TLS1_3_VERSION, kems[i],
                           "TLS_AES_128_GCM_SHA256", "P-256");
            }
        }
        for (int ticket = 0; ticket < 2; ticket++) {
            test_resumption(side, TLS1_3_VERSION, ticket, true);
            test_resumption(side, TLS1_2_VERSION, ticket, true);
            test_resumption(side, TLS1_2_VERSION, ticket, false);
        }
        test_retry_request(side);
        test_key_update(side);
        test_renegotiation(side);
        test_client_certificate(side, TLS1_3_VERSION);
        test_client_certificate(side, TLS1_2_VERSION);
        test_post_handshake_authentication(side);
        test_early_data(side);
        test_preshared_key(side, "PSK-AES128-GCM-SHA256");
        test_preshared_key(side, "DHE-PSK-AES256-GCM-SHA384");
        test_preshared_key(side, "ECDHE-PSK-CHACHA20-POLY1305");
        test_preshared_key(side, "RSA-PSK-AES128-GCM-SHA256");
    }
    return interop_finish();
}
