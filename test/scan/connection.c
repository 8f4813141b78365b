/* connection.c - see connection.h. */
#include "connection.h"

#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const way_names[WAYS] = {
    "full",
    "client certificate",
    "resumed",
    "early data",
    "retried",
    "key update",
    "post-handshake authentication",
    "renegotiated",
};

static struct {
    SSL_CTX *ctx;
    const char *certificate, *key;
} client;

struct connection {
    struct server_link *server;
    const struct kind *kind;
    struct looks *looks; /* NULL: of no interest */
    bool early;          /* sends early data */
    SSL *ssl;
    BIO *in, *out;
};

void connection_start(const char *certificate, const char *key)
{
    client.ctx = SSL_CTX_new(TLS_client_method());
    if (client.ctx == NULL) {
        ERR_print_errors_fp(stderr);
        exit(1);
    }
    SSL_CTX_set_security_level(client.ctx, 0);
    client.certificate = certificate;
    client.key = key;
}

void connection_end(void)
{
    SSL_CTX_free(client.ctx);
}

/* ---- the wire ----------------------------------------------------------- */

static void look(struct connection *c, const char *when)
{
    struct looks *l = c->looks;

    if (l != NULL && l->len < MAX_LOOKS) {
        snapshot_take(&l->at[l->len++], c->server->pid, when);
    }
}

/* Asks the server, looks at it, and hands what it sent to the client. */
static bool ask(struct connection *c, enum request what, const void *data,
                size_t len, const char *when)
{
    bool ok = link_ask(c->server, what, data, len);

    look(c, when);
    if (!ok) {
        fprintf(stderr, "the server says: %s\n", (char *)c->server->data);
    }
    return ok &&
           BIO_write(c->in, c->server->data, (int)c->server->answer.len) ==
               (int)c->server->answer.len;
}

/* All that the client has written goes to the server. */
static bool deliver(struct connection *c, const char *when)
{
    static unsigned char wire[WIRE_MAX];
    int n = BIO_read(c->out, wire, sizeof(wire));

    return ask(c, ASK_FEED, wire, n > 0 ? (size_t)n : 0, when);
}

static bool waits(struct connection *c, int ret)
{
    return ret > 0 || SSL_get_error(c->ssl, ret) == SSL_ERROR_WANT_READ;
}

/* Tickets and the like are read on the way. */
static bool hear(struct connection *c, bool text)
{
    unsigned char bytes[256];
    int ret, n = 0;

    while ((ret = SSL_read(c->ssl, bytes, sizeof(bytes))) > 0) {
        n += ret;
    }
    return waits(c, ret) && (n > 0) == text;
}

static bool talk(struct connection *c, const char *when)
{
    static const char text[] = "a line of the client";

    return SSL_write(c->ssl, text, sizeof(text)) == sizeof(text) &&
           deliver(c, when) && ask(c, ASK_SAY, NULL, 0, when) && hear(c, true);
}

/* ---- the client --------------------------------------------------------- */

static BIO *new_wire(void)
{
    BIO *bio = BIO_new(BIO_s_mem());

    BIO_set_mem_eof_return(bio, -1);
    return bio;
}

static bool is_13(const struct kind *k)
{
    return k->version == TLS1_3_VERSION;
}

static bool set_version_and_suite(SSL *ssl, const struct kind *k)
{
    return SSL_set_min_proto_version(ssl, k->version) &&
           SSL_set_max_proto_version(ssl, k->version) &&
           (is_13(k) ? SSL_set_ciphersuites(ssl, k->suite)
                     : SSL_set_cipher_list(ssl, k->suite));
}

/* The groups of each end. TLS 1.2 wants the certificate's curve among them;
 * TLS 1.3's client guesses wrong when it is to be corrected. */
static void group_lists(const struct kind *k, char of_client[64],
                        char of_server[32])
{
    bool curve = !is_13(k) && strcmp(k->group, "P-256") != 0;
    const char *wrong = "";

    if (k->way == WAY_RETRIED) {
        wrong = strcmp(k->group, "X25519") == 0 ? "P-256:" : "X25519:";
    }
    snprintf(of_server, 32, "%s%s", k->group, curve ? ":P-256" : "");
    snprintf(of_client, 64, "%s%s", wrong, of_server);
}

static bool set_client(struct connection *c, const char *groups)
{
    const struct kind *k = c->kind;
    bool shows = k->way == WAY_CERTIFICATE || k->way == WAY_PROVED_LATER;

    SSL_set_connect_state(c->ssl);
    SSL_set_post_handshake_auth(c->ssl, k->way == WAY_PROVED_LATER);
    return set_version_and_suite(c->ssl, k) &&
           (*groups == '\0' || SSL_set1_groups_list(c->ssl, groups)) &&
           (!shows || (SSL_use_certificate_file(c->ssl, client.certificate,
                                                SSL_FILETYPE_PEM) == 1 &&
                       SSL_use_PrivateKey_file(c->ssl, client.key,
                                               SSL_FILETYPE_PEM) == 1));
}

static bool open_ends(struct connection *c, SSL_SESSION *session)
{
    const struct kind *k = c->kind;
    struct opening o = {.version = k->version,
                        .certificate = k->way == WAY_CERTIFICATE,
                        .early = c->early};
    char groups[64] = "";

    if (k->group != NULL) {
        group_lists(k, groups, o.groups);
    }
    snprintf(o.suites, sizeof(o.suites), "%s", k->suite);
    c->ssl = SSL_new(client.ctx);
    c->in = new_wire();
    c->out = new_wire();
    SSL_set_bio(c->ssl, c->in, c->out);
    return set_client(c, groups) &&
           (session == NULL || SSL_set_session(c->ssl, session)) &&
           ask(c, ASK_OPEN, &o, sizeof(o), "before");
}

static bool shake_hands(struct connection *c)
{
    char when[32];

    for (int i = 1; i < 10; i++) {
        int ret = SSL_do_handshake(c->ssl);

        if (!waits(c, ret)) {
            return false;
        }
        if (ret == 1 && c->server->answer.finished &&
            BIO_pending(c->out) == 0) {
            return true;
        }
        snprintf(when, sizeof(when), "after flight %d", i);
        if (!deliver(c, when)) {
            return false;
        }
    }
    return false;
}

/* ---- the ways ----------------------------------------------------------- */

static bool send_early(struct connection *c)
{
    size_t n;

    return SSL_write_early_data(c->ssl, "early", 5, &n) == 1 &&
           deliver(c, "after early data");
}

static bool update(struct connection *c)
{
    for (int i = 0; i < 2; i++) {
        if (SSL_key_update(c->ssl, SSL_KEY_UPDATE_REQUESTED) != 1 ||
            !talk(c, "after a key update")) {
            return false;
        }
    }
    return true;
}

static bool prove_later(struct connection *c)
{
    return ask(c, ASK_PROVE, NULL, 0, "when it is asked") && hear(c, false) &&
           deliver(c, "when it is shown") && hear(c, false);
}

static bool renegotiate(struct connection *c)
{
    if (SSL_renegotiate(c->ssl) != 1) {
        return false;
    }
    for (int i = 0; i < 6 && (i == 0 || SSL_renegotiate_pending(c->ssl) ||
                              BIO_pending(c->out) > 0);
         i++) {
        if (!waits(c, SSL_do_handshake(c->ssl)) ||
            !deliver(c, "while it is renegotiated")) {
            return false;
        }
    }
    return !SSL_renegotiate_pending(c->ssl) && hear(c, false);
}

static bool go(struct connection *c)
{
    switch (c->kind->way) {
    case WAY_KEY_UPDATE:
        return update(c);
    case WAY_PROVED_LATER:
        return prove_later(c);
    case WAY_RENEGOTIATED:
        return renegotiate(c);
    default:
        return true;
    }
}

/* ---- all of it ---------------------------------------------------------- */

/* That it was what was asked for, or what was not. */
static const char *complaint(const struct connection *c)
{
    const struct kind *k = c->kind;
    const struct answer *a = &c->server->answer;
    bool resumes = k->way == WAY_RESUMED || k->way == WAY_EARLY_DATA;

    if (strcmp(SSL_get_cipher_name(c->ssl), k->suite) != 0) {
        return "another suite";
    }
    if (k->group != NULL && SSL_get_negotiated_group(c->ssl) != k->group_nid) {
        return "another group";
    }
    if (resumes != (SSL_session_reused(c->ssl) == 1)) {
        return resumes ? "not resumed" : "resumed";
    }
    if (k->way == WAY_EARLY_DATA && !a->early) {
        return "no early data";
    }
    if ((k->way == WAY_CERTIFICATE || k->way == WAY_PROVED_LATER) &&
        !a->certificate) {
        return "no certificate of the client";
    }
    return NULL;
}

static const char *use(struct connection *c)
{
    if (c->early && !send_early(c)) {
        return "early data";
    }
    if (!shake_hands(c)) {
        return "the handshake";
    }
    if (!talk(c, "while it is up")) {
        return "the conversation";
    }
    if (!go(c) || !talk(c, "at the end")) {
        return "what follows the handshake";
    }
    return NULL;
}

/* One connection; |*session| is resumed, or becomes the one it has made. */
static const char *connect_once(struct server_link *server,
                                const struct kind *kind, SSL_SESSION **session,
                                struct looks *looks)
{
    struct connection c = {.server = server,
                           .kind = kind,
                           .looks = looks,
                           .early =
                               kind->way == WAY_EARLY_DATA && *session != NULL};
    const char *why = open_ends(&c, *session) ? NULL : "it cannot be set up";

    if (why == NULL) {
        why = use(&c);
    }
    if (why == NULL && looks != NULL) {
        why = complaint(&c);
        looks->cipher = SSL_get_current_cipher(c.ssl);
    } else if (why == NULL) {
        *session = SSL_get1_session(c.ssl);
    }
    if (!ask(&c, ASK_CLOSE, NULL, 0, "after it is closed") && why == NULL) {
        why = "the close";
    }
    /* Without a goodbye the session could not be resumed. */
    SSL_set_shutdown(c.ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(c.ssl);
    return why;
}

const char *connection_run(struct server_link *server, const struct kind *kind,
                           struct looks *looks)
{
    SSL_SESSION *session = NULL;
    const char *why = NULL;

    looks->len = 0;
    if (kind->way == WAY_RESUMED || kind->way == WAY_EARLY_DATA) {
        why = connect_once(server, kind, &session, NULL);
    }
    if (why == NULL) {
        why = connect_once(server, kind, &session, looks);
    }
    SSL_SESSION_free(session);
    if (why != NULL) {
        ERR_print_errors_fp(stderr);
    }
    return why;
}
