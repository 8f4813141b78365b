/* connection.c - see connection.h. */
#include "connection.h"

#include "end.h"
#include "spy.h"

#include <openssl/err.h>
#include <stdio.h>
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
    bool is_server;
    SSL_CTX *ctx;
    char *const *files;
} peer;

struct connection {
    struct subject_link *subject;
    const struct kind *kind;
    struct looks *looks; /* NULL: of no interest */
    bool again;          /* goes on with the session of the last one */
    bool early;          /* early data is sent */
    bool early_first;    /* and is to be read */
    bool early_read;     /* was */
    SSL *ssl;
    BIO *in, *out;
};

void connection_start(bool subject_is_server, char *const *files)
{
    peer.is_server = !subject_is_server;
    peer.files = files;
    peer.ctx = peer.is_server ? end_server(files) : end_client();
}

void connection_end(void)
{
    SSL_CTX_free(peer.ctx);
}

/* ---- the wire ----------------------------------------------------------- */

static void look(struct connection *c, const char *when)
{
    struct looks *l = c->looks;

    if (l != NULL && l->len < MAX_LOOKS) {
        snapshot_take(&l->at[l->len++], c->subject->pid, when);
    }
}

/* Asks the subject, looks at it, and hands what it sent to the peer. */
static bool ask(struct connection *c, enum request what, const void *data,
                size_t len, const char *when)
{
    bool ok = link_ask(c->subject, what, data, len);

    look(c, when);
    if (!ok) {
        fprintf(stderr, "it says: %s\n", (char *)c->subject->data);
    }
    return ok &&
           BIO_write(c->in, c->subject->data, (int)c->subject->answer.len) ==
               (int)c->subject->answer.len;
}

/* All that the peer has written goes to the subject. */
static bool deliver(struct connection *c, const char *when)
{
    static unsigned char wire[WIRE_MAX];
    int n = BIO_read(c->out, wire, sizeof(wire));

    return ask(c, ASK_FEED, wire, n > 0 ? (size_t)n : 0, when);
}

/* Tickets and the like are read on the way. */
static bool hear(struct connection *c, bool text)
{
    unsigned char bytes[256];
    int ret, n = 0;

    while ((ret = SSL_read(c->ssl, bytes, sizeof(bytes))) > 0) {
        n += ret;
    }
    return end_waits(c->ssl, ret) && (n > 0) == text;
}

static bool talk(struct connection *c, const char *when)
{
    static const char text[] = "a line of the peer";

    return SSL_write(c->ssl, text, sizeof(text)) == sizeof(text) &&
           deliver(c, when) && ask(c, ASK_SAY, NULL, 0, when) && hear(c, true);
}

/* ---- setting it up ------------------------------------------------------ */

static bool is_13(const struct kind *k)
{
    return k->version == TLS1_3_VERSION;
}

/* The groups of each end. TLS 1.2 wants the certificate's curve among them;
 * TLS 1.3's client guesses wrong when it is to be corrected. */
static void group_lists(const struct kind *k, char of_client[64],
                        char of_server[64])
{
    bool curve = !is_13(k) && strcmp(k->group, "P-256") != 0;
    const char *wrong = "";

    if (k->way == WAY_RETRIED) {
        wrong = strcmp(k->group, "X25519") == 0 ? "P-256:" : "X25519:";
    }
    snprintf(of_server, 32, "%s%s", k->group, curve ? ":P-256" : "");
    snprintf(of_client, 64, "%s%s", wrong, of_server);
}

static bool is_shown(const struct kind *k)
{
    return k->way == WAY_CERTIFICATE || k->way == WAY_PROVED_LATER;
}

static bool set_peer(struct connection *c, SSL_SESSION *session)
{
    const struct kind *k = c->kind;

    if (peer.is_server) {
        c->early_first = c->early;
        if (k->way == WAY_CERTIFICATE) {
            end_ask(c->ssl, true);
        }
        return true;
    }
    SSL_set_post_handshake_auth(c->ssl, k->way == WAY_PROVED_LATER);
    return (!c->again || SSL_set_session(c->ssl, session)) &&
           (!is_shown(k) || end_show(c->ssl, peer.files[0], peer.files[1]));
}

static bool open_ends(struct connection *c, SSL_SESSION *session)
{
    const struct kind *k = c->kind;
    struct opening o = {.version = k->version,
                        .early = c->early,
                        .resumed = c->again,
                        .certificate = peer.is_server
                                           ? is_shown(k)
                                           : k->way == WAY_CERTIFICATE};
    char groups[2][64] = {"", ""}; /* of client and server */

    if (k->group != NULL) {
        group_lists(k, groups[0], groups[1]);
    }
    snprintf(o.suites, sizeof(o.suites), "%s", k->suite);
    memcpy(o.groups, groups[!peer.is_server], sizeof(o.groups));
    c->ssl = end_open(peer.ctx, k->version, k->suite, groups[peer.is_server]);
    if (c->ssl == NULL) {
        return false;
    }
    c->in = SSL_get_rbio(c->ssl);
    c->out = SSL_get_wbio(c->ssl);
    return set_peer(c, session) && ask(c, ASK_OPEN, &o, sizeof(o), "before");
}

/* Goes on as far as it can; |*done| when it has shaken hands. */
static bool shake(struct connection *c, bool *done)
{
    int ret;

    *done = false;
    if (c->early_first &&
        !end_read_early(c->ssl, &c->early_read, &c->early_first)) {
        return false;
    }
    if (c->early_first) {
        return true;
    }
    ret = SSL_do_handshake(c->ssl);
    *done = ret == 1;
    return end_waits(c->ssl, ret);
}

static bool shake_hands(struct connection *c)
{
    char when[32];
    bool done;

    for (int i = 1; i < 10; i++) {
        if (!shake(c, &done)) {
            return false;
        }
        if (done && c->subject->answer.finished && BIO_pending(c->out) == 0) {
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

/* A client under test is asked by the peer. */
static bool prove_to_peer(struct connection *c)
{
    end_ask(c->ssl, true);
    return SSL_verify_client_post_handshake(c->ssl) == 1 &&
           SSL_do_handshake(c->ssl) == 1 && deliver(c, "when it is shown") &&
           hear(c, false);
}

static bool prove_later(struct connection *c)
{
    if (peer.is_server) {
        return prove_to_peer(c);
    }
    return ask(c, ASK_PROVE, NULL, 0, "when it is asked") && hear(c, false) &&
           deliver(c, "when it is shown") && hear(c, false);
}

/* A server asks for it first, and the client begins. */
static bool renegotiate(struct connection *c)
{
    if (SSL_renegotiate(c->ssl) != 1 ||
        !end_waits(c->ssl, SSL_do_handshake(c->ssl))) {
        return false;
    }
    for (int i = 0; i < 6 && BIO_pending(c->out) > 0; i++) {
        if (!deliver(c, "while it is renegotiated") || !hear(c, false)) {
            return false;
        }
    }
    return !SSL_renegotiate_pending(c->ssl) &&
           SSL_num_renegotiations(c->ssl) == 1;
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
    const struct answer *a = &c->subject->answer;
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
    if (k->way == WAY_EARLY_DATA &&
        (!a->early || c->early_read != peer.is_server)) {
        return "no early data";
    }
    if (is_shown(k) &&
        !(peer.is_server ? SSL_get0_peer_certificate(c->ssl) != NULL
                         : a->certificate)) {
        return "no certificate of the client";
    }
    return NULL;
}

static const char *use(struct connection *c)
{
    if (c->early && !peer.is_server && !send_early(c)) {
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
static const char *connect_once(struct subject_link *subject,
                                const struct kind *kind, SSL_SESSION **session,
                                struct looks *looks)
{
    struct connection c = {.subject = subject,
                           .kind = kind,
                           .looks = looks,
                           .again = *session != NULL,
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

const char *connection_run(struct subject_link *subject,
                           const struct kind *kind, struct looks *looks)
{
    SSL_SESSION *session = NULL;
    const char *why = NULL;

    looks->len = 0;
    if (kind->way == WAY_RESUMED || kind->way == WAY_EARLY_DATA) {
        why = connect_once(subject, kind, &session, NULL);
    }
    looks->first = (unsigned)spy_len();
    if (why == NULL) {
        why = connect_once(subject, kind, &session, looks);
    }
    SSL_SESSION_free(session);
    if (why != NULL) {
        ERR_print_errors_fp(stderr);
    }
    return why;
}
