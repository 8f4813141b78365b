#include <openssl/err.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "doctor.h"
#include "keylog.h"
#include "loopback.h"

/* The secrets by their names in a key log, and how a reader knows them. */
static const struct secret_name {
    const char *label;
    const char *name;
    bool early; /* of a connection that resumes */
} secret_names[] = {
    {"CLIENT_HANDSHAKE_TRAFFIC_SECRET", "client handshake traffic", false},
    {"SERVER_HANDSHAKE_TRAFFIC_SECRET", "server handshake traffic", false},
    {"CLIENT_TRAFFIC_SECRET_0", "client application traffic", false},
    {"SERVER_TRAFFIC_SECRET_0", "server application traffic", false},
    {"EXPORTER_SECRET", "exporter", false},
    {"CLIENT_RANDOM", "master secret", false},
    {"CLIENT_EARLY_TRAFFIC_SECRET", "client early traffic", true},
    {"EARLY_EXPORTER_SECRET", "early exporter", true},
};

static const char *version_name(int version)
{
    return version == TLS1_3_VERSION ? "TLS 1.3" : "TLS 1.2";
}

static void title_of(char title[DOCTOR_VALUE], int version, const char *what)
{
    snprintf(title, DOCTOR_VALUE, "%s %s", version_name(version), what);
}

/*
 * What libssl holds is a secret itself, or a handle. In the keys profile the
 * first is what was asked for, in the full profile it is a hole.
 */
static void say_secret(struct doctor *d, int version, const char *name,
                       bool opaque)
{
    char title[DOCTOR_VALUE];

    title_of(title, version, name);
    if (opaque) {
        doctor_say(d, VERDICT_OK, title, "opaque: libssl holds a handle");
    } else if (d->conf.tls && strcasecmp(d->conf.tls_secrets, "off") == 0) {
        doctor_say(d, VERDICT_TODO, title,
                   "in the clear, as \"tls-secrets = off\" has it: remove it");
    } else if (d->conf.tls) {
        doctor_say(d, VERDICT_TODO, title,
                   "in the clear: the provider with role = tls has to come "
                   "first, and default_properties have to be ?mpk.use=yes; "
                   "compare with mpk.cnf");
    } else {
        doctor_say(d, VERDICT_NOTE, title, "in the clear%s",
                   d->conf.ours ? " (the keys profile protects private keys "
                                  "only)"
                                : "");
    }
}

static void look_at_exchange(struct doctor *d, int version,
                             const struct loopback *l)
{
    bool ours = l->exchange != NULL && doctor_ours(l->exchange);
    char title[DOCTOR_VALUE];

    if (l->exchange == NULL) {
        return; /* a suite without one */
    }
    if (!ours && d->conf.tls && strcasecmp(d->conf.x448, "protect") != 0 &&
        SSL_get_negotiated_group(l->server) == NID_X448) {
        title_of(title, version, "key exchange");
        doctor_say(d, VERDICT_NOTE, title,
                   "in the clear, as \"x448 = leave\" has it");
        return;
    }
    say_secret(d, version, "key exchange", ours);
}

static const struct keylog_entry *find(const struct keylog *log,
                                       const char *label)
{
    for (size_t i = 0; i < log->len; i++) {
        if (strcmp(log->at[i].label, label) == 0) {
            return &log->at[i];
        }
    }
    return NULL;
}

static void compare_logs(struct doctor *d, int version, bool early,
                         const struct keylog *server,
                         const struct keylog *client)
{
    const struct keylog_entry *true_one;
    const struct keylog_entry *held;

    for (size_t i = 0; i < sizeof(secret_names) / sizeof(secret_names[0]);
         i++) {
        true_one = find(client, secret_names[i].label);
        held = find(server, secret_names[i].label);
        if (secret_names[i].early != early || true_one == NULL ||
            held == NULL) {
            continue;
        }
        say_secret(
            d, version, secret_names[i].name,
            held->secret_len != true_one->secret_len ||
                memcmp(held->secret, true_one->secret, held->secret_len) != 0);
    }
}

static void look_at_logs(struct doctor *d, int version, bool early,
                         const struct loopback *l)
{
    struct keylog server;
    struct keylog client;
    unsigned long line;
    const char *why = "";
    int err = keylog_parse(&server, l->server_log.text, l->server_log.len,
                           &line, &why);

    if (keylog_parse(&client, l->client_log.text, l->client_log.len, &line,
                     &why) != 0 ||
        err != 0) {
        doctor_say(d, VERDICT_TODO, version_name(version),
                   "libssl gave no key log to compare: %s", why);
    } else {
        compare_logs(d, version, early, &server, &client);
    }
    keylog_free(&server);
    keylog_free(&client);
}

/* In TLS 1.2 it is the master secret, which the key log has shown. */
static void look_at_resumption(struct doctor *d, int version,
                               const struct loopback *l)
{
    const SSL_SESSION *server = SSL_get_session(l->server);
    const SSL_SESSION *client = SSL_get_session(l->client);
    unsigned char a[SSL_MAX_MASTER_KEY_LENGTH * 4];
    unsigned char b[sizeof(a)];
    size_t a_len;

    if (version != TLS1_3_VERSION || server == NULL || client == NULL) {
        return;
    }
    a_len = SSL_SESSION_get_master_key(server, a, sizeof(a));
    say_secret(d, version, "resumption",
               SSL_SESSION_get_master_key(client, b, sizeof(b)) != a_len ||
                   memcmp(a, b, a_len) != 0);
    OPENSSL_cleanse(a, sizeof(a));
    OPENSSL_cleanse(b, sizeof(b));
}

static bool exports_agree(const struct loopback *l)
{
    unsigned char a[32];
    unsigned char b[32];

    return SSL_export_keying_material(l->server, a, sizeof(a), "EXPERIMENTAL",
                                      12, NULL, 0, 0) == 1 &&
           SSL_export_keying_material(l->client, b, sizeof(b), "EXPERIMENTAL",
                                      12, NULL, 0, 0) == 1 &&
           memcmp(a, b, sizeof(a)) == 0;
}

static void say_failed(struct doctor *d, const char *title,
                       const struct loopback *l)
{
    char why[DOCTOR_VALUE];

    doctor_say(d, VERDICT_TODO, title, "%s failed: %s", l->failed,
               doctor_last_error(why, sizeof(why)));
}

static void look_at_connection(struct doctor *d, int version,
                               const struct loopback *l)
{
    char title[DOCTOR_VALUE];

    title_of(title, version, "handshake");
    if (exports_agree(l)) {
        doctor_say(d, VERDICT_OK, title, "works, with %s",
                   SSL_get_cipher_name(l->server));
    } else {
        doctor_say(d, VERDICT_TODO, title,
                   "works, but exported keying material differs between the "
                   "two sides: report this");
    }
    look_at_exchange(d, version, l);
    look_at_logs(d, version, false, l);
    look_at_resumption(d, version, l);
}

/* Does a ticket lead back to the secret? */
static void resume(struct doctor *d, int version, struct loopback *l)
{
    SSL_SESSION *session = SSL_get1_session(l->client);
    char title[DOCTOR_VALUE];

    title_of(title, version, "ticket");
    loopback_disconnect(l);
    if (loopback_connect(l, session) != 0) {
        say_failed(d, title, l);
    } else if (!SSL_session_reused(l->client)) {
        doctor_say(d, VERDICT_TODO, title,
                   "is not taken: resumption does not work here");
    } else {
        doctor_say(d, VERDICT_OK, title, "resumes%s",
                   SSL_get_early_data_status(l->client) ==
                           SSL_EARLY_DATA_ACCEPTED
                       ? ", with early data"
                       : "");
        look_at_logs(d, version, true, l);
    }
    SSL_SESSION_free(session);
}

static void try_version(struct doctor *d, int version)
{
    struct loopback l;
    char title[DOCTOR_VALUE];

    title_of(title, version, "handshake");
    if (loopback_init(&l, d->stock, version, d->keys, DOCTOR_KEYS) != 0 ||
        loopback_connect(&l, NULL) != 0) {
        say_failed(d, title, &l);
    } else {
        look_at_connection(d, version, &l);
        resume(d, version, &l);
    }
    loopback_free(&l);
    ERR_clear_error();
}

void doctor_tls(struct doctor *d)
{
    try_version(d, TLS1_3_VERSION);
    try_version(d, TLS1_2_VERSION);
    doctor_say(d, VERDICT_NOTE, "ticket keys",
               "libssl's own, readable by the process: %s",
               d->conf.tls ? "what they open are tickets with handles in them"
                           : "whoever has them can decrypt tickets");
}
