/*
 * scenario_run.c - plays a scenario and writes down what comes of it.
 *
 * What an end sends lies in a BIO of its own until it is carried over, record
 * by record, so that one can be damaged, and piece by piece.
 */
#include "scenario.h"

#include "../interop/ends.h"
#include "../interop/interop.h"
#include "../interop/keys.h"

#include <stdlib.h>
#include <string.h>

#define HEADER 5

struct bytes {
    unsigned char *p;
    size_t len;
};

struct play {
    const struct scenario *s;
    struct scenario_counts *counts;
    FILE *to;
    SSL *end[ENDS];
    BIO *sent[ENDS], *arrived[ENDS]; /* owned by the ends */
    struct bytes under_way[ENDS], to_arrive[ENDS];
    int records[ENDS];
    bool cut[ENDS], failed[ENDS], suspended[ENDS];
};

static const char name[ENDS] = {'c', 's'};

/* ---- the wire ----------------------------------------------------------- */

static void put(struct bytes *b, const void *p, size_t len)
{
    b->p = realloc(b->p, b->len + len + 1);
    if (b->p == NULL) {
        abort();
    }
    memcpy(b->p + b->len, p, len);
    b->len += len;
}

static void take_off(struct bytes *b, size_t len)
{
    memmove(b->p, b->p + len, b->len - len);
    b->len -= len;
}

static bool is_struck(const struct play *p, int from, int record)
{
    const struct fault *f = &p->s->fault;

    return f->kind != FAULT_NONE && f->from == from && f->record == record;
}

/* One record, or what is left of it, goes to the other end. */
static void carry_record(struct play *p, int from, unsigned char *record,
                         size_t len)
{
    const struct fault *f = &p->s->fault;
    int copies = 1;

    if (is_struck(p, from, p->records[from]++)) {
        p->counts->faults++;
        copies = f->kind == FAULT_TWICE ? 2 : f->kind == FAULT_DROP ? 0 : 1;
        p->cut[from] = f->kind == FAULT_CUT;
        if (f->kind == FAULT_FLIP) {
            record[f->at < len ? f->at : len - 1] ^= f->mask;
        }
    }
    while (copies-- > 0 && !p->cut[from]) {
        put(&p->to_arrive[!from], record, len);
    }
}

static void carry(struct play *p, int from)
{
    struct bytes *b = &p->under_way[from];
    unsigned char buf[4096];
    size_t len, n;

    while (BIO_read_ex(p->sent[from], buf, sizeof(buf), &n)) {
        put(b, buf, n);
    }
    while (b->len >= HEADER &&
           b->len >= (len = HEADER + ((size_t)b->p[3] << 8 | b->p[4]))) {
        unsigned char *record = malloc(len);

        if (record == NULL) {
            abort();
        }
        memcpy(record, b->p, len);
        take_off(b, len);
        carry_record(p, from, record, len);
        free(record);
    }
}

/* Whether something was there for |end|. */
static bool arrive(struct play *p, int end)
{
    struct bytes *b = &p->to_arrive[end];
    size_t n = p->s->piece != 0 && p->s->piece < b->len ? p->s->piece : b->len,
           done;

    if (n > 0 && BIO_write_ex(p->arrived[end], b->p, n, &done)) {
        take_off(b, done);
    }
    return n > 0;
}

/* ---- the transcript ----------------------------------------------------- */

/* Of the other libraries' errors, ours say other things than stock's. */
static void write_errors(struct play *p, int end)
{
    unsigned long e;

    while ((e = ERR_get_error()) != 0) {
        if (ERR_GET_LIB(e) == ERR_LIB_SSL) {
            fprintf(p->to, "%c error %s\n", name[end],
                    ERR_reason_error_string(e));
        }
    }
}

static void on_info(const SSL *ssl, int where, int ret)
{
    struct play *p = SSL_get_app_data(ssl);

    if (where & SSL_CB_ALERT) {
        fprintf(p->to, "%c alert %s %s %s\n", name[SSL_is_server(ssl)],
                where & SSL_CB_READ ? "read" : "written",
                SSL_alert_type_string_long(ret),
                SSL_alert_desc_string_long(ret));
    } else if (where & (SSL_CB_HANDSHAKE_START | SSL_CB_HANDSHAKE_DONE)) {
        fprintf(p->to, "%c handshake %s\n", name[SSL_is_server(ssl)],
                where & SSL_CB_HANDSHAKE_START ? "begins" : "is done");
    }
}

static void write_state(struct play *p, int end)
{
    SSL *ssl = p->end[end];
    int peer_signature = 0;

    SSL_get_peer_signature_type_nid(ssl, &peer_signature);
    fprintf(p->to,
            "%c has %s %s, group %ld, %s, signature %d, verified %ld%s\n",
            name[end], SSL_get_version(ssl), SSL_get_cipher_name(ssl),
            (long)SSL_get_negotiated_group(ssl),
            SSL_session_reused(ssl) ? "resumed" : "new", peer_signature,
            SSL_get_verify_result(ssl),
            SSL_get0_peer_certificate(ssl) != NULL ? ", certificate" : "");
}

/* Whether both have the same secrets, which nobody else is to know. */
static void write_exporter(struct play *p)
{
    unsigned char key[ENDS][32];
    int ok = 1;

    for (int i = 0; i < ENDS; i++) {
        ok &= SSL_export_keying_material(p->end[i], key[i], sizeof(key[i]),
                                         "EXPORTER-scenario", 17, NULL, 0, 0);
    }
    fprintf(p->to, "exporters %s\n",
            ok != 1                                       ? "fail"
            : memcmp(key[0], key[1], sizeof(key[0])) == 0 ? "agree"
                                                          : "differ");
}

/* ---- the ends ----------------------------------------------------------- */

static int on_certificate(SSL *ssl, void *arg)
{
    struct play *p = SSL_get_app_data(ssl);
    int end = SSL_is_server(ssl);

    (void)arg;
    if (p->s->end[end].suspends && !p->suspended[end]) {
        p->suspended[end] = true;
        return -1;
    }
    return 1;
}

static int accept_any(int ok, X509_STORE_CTX *ctx)
{
    (void)ok;
    (void)ctx;
    return 1;
}

#define KEYS 4
static struct {
    const struct key_type *type;
    EVP_PKEY *key;
} loaded[KEYS];

static EVP_PKEY *key_of(OSSL_LIB_CTX *libctx, const struct key_type *type)
{
    int i = 0;

    if (libctx != NULL) {
        return key_reference(type);
    }
    while (loaded[i].type != NULL && loaded[i].type != type) {
        i++;
    }
    if (loaded[i].type == NULL) {
        loaded[i].type = type;
        loaded[i].key = key_load(type);
        CHECK_HELD(loaded[i].key);
    }
    return loaded[i].key;
}

void scenario_forget(void)
{
    for (int i = 0; i < KEYS; i++) {
        EVP_PKEY_free(loaded[i].key);
        loaded[i].key = NULL;
        loaded[i].type = NULL;
    }
}

static SSL_CTX *context(const struct scenario *s, int end, OSSL_LIB_CTX *libctx)
{
    const struct scenario_end *e = &s->end[end];
    SSL_CTX *ctx = SSL_CTX_new_ex(libctx, NULL,
                                  end == SERVER ? TLS_server_method()
                                                : TLS_client_method());

    SSL_CTX_set_security_level(ctx, 0); /* for CCM8 */
    CHECK(SSL_CTX_set_min_proto_version(ctx, e->min));
    CHECK(SSL_CTX_set_max_proto_version(ctx, e->max));
    CHECK(SSL_CTX_set_cipher_list(ctx, e->list));
    CHECK(SSL_CTX_set_ciphersuites(ctx, e->suites));
    CHECK(SSL_CTX_set1_groups_list(ctx, e->groups));
    CHECK(e->sigalgs == NULL || SSL_CTX_set1_sigalgs_list(ctx, e->sigalgs));
    SSL_CTX_set_options(ctx, e->options);
    for (int i = 0; i < 2 && e->types[i] != NULL; i++) {
        const struct key_type *t = key_type_find(e->types[i]);

        ends_certify(ctx, libctx, t, key_of(libctx, t));
    }
    SSL_CTX_set_cert_cb(ctx, on_certificate, NULL);
    SSL_CTX_set_dh_auto(ctx, 1);
    SSL_CTX_set_info_callback(ctx, on_info);
    SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"s", 1);
    SSL_CTX_set_verify(ctx, end == SERVER ? s->verify : SSL_VERIFY_PEER,
                       accept_any);
    return ctx;
}

static void open_end(struct play *p, int end, SSL_CTX *ctx)
{
    p->end[end] = SSL_new(ctx);
    p->sent[end] = BIO_new(BIO_s_mem());
    p->arrived[end] = BIO_new(BIO_s_mem());
    BIO_set_mem_eof_return(p->arrived[end], -1);
    SSL_set_bio(p->end[end], p->arrived[end], p->sent[end]);
    SSL_set_app_data(p->end[end], p);
    if (end == SERVER) {
        SSL_set_accept_state(p->end[end]);
    } else {
        SSL_set_connect_state(p->end[end]);
        SSL_set_post_handshake_auth(p->end[end], 1);
    }
}

static void close_end(struct play *p, int end)
{
    SSL_free(p->end[end]);
    free(p->under_way[end].p);
    free(p->to_arrive[end].p);
}

/* ---- playing ------------------------------------------------------------ */

/* What |ret| means for this end: false when it has failed for good. */
static bool goes_on(struct play *p, int end, int ret)
{
    int why = SSL_get_error(p->end[end], ret);
    bool ok = ret > 0 || why == SSL_ERROR_WANT_READ ||
              why == SSL_ERROR_WANT_X509_LOOKUP;

    if (!ok && !p->failed[end]) {
        p->failed[end] = true;
        fprintf(p->to, "%c fails %d\n", name[end], why);
        write_errors(p, end);
    }
    ERR_clear_error();
    return ok;
}

static bool shake_hands(struct play *p)
{
    int idle = 0;

    while (idle < 4) {
        idle++;
        for (int i = 0; i < ENDS; i++) {
            idle = arrive(p, i) ? 0 : idle;
            if (!p->failed[i] && !SSL_is_init_finished(p->end[i])) {
                goes_on(p, i, SSL_do_handshake(p->end[i]));
            }
            carry(p, i);
        }
    }
    return SSL_is_init_finished(p->end[CLIENT]) &&
           SSL_is_init_finished(p->end[SERVER]) && !p->failed[CLIENT] &&
           !p->failed[SERVER];
}

/* All that is under way is read, and how much there was. */
static void read_all(struct play *p)
{
    static unsigned char buf[65536];
    size_t got[ENDS] = {0}, n;
    int idle = 0, ret;

    while (idle < 4) {
        idle++;
        for (int i = 0; i < ENDS; i++) {
            idle = arrive(p, i) ? 0 : idle;
            do {
                n = 0;
                ret = p->failed[i]
                          ? 0
                          : SSL_read_ex(p->end[i], buf, sizeof(buf), &n);
                got[i] += n;
            } while (ret == 1);
            if (!p->failed[i]) {
                goes_on(p, i, ret);
            }
            carry(p, i);
        }
    }
    fprintf(p->to, "read %zu %zu\n", got[CLIENT], got[SERVER]);
}

static void send_some(struct play *p, int from)
{
    unsigned char *data = calloc(1, p->s->size);
    size_t n;

    if (data == NULL) {
        abort();
    }
    goes_on(p, from, SSL_write_ex(p->end[from], data, p->s->size, &n));
    free(data);
}

/* What the version or the settings do not allow is an error, the same one. */
static void operate(struct play *p, enum operation op)
{
    int end = op == OP_TO_CLIENT || op == OP_CERTIFICATE ? SERVER : CLIENT;
    SSL *ssl = p->end[end];
    int ret = 1;

    switch (op) {
    case OP_UPDATE:
        ret = SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED);
        p->counts->updates += ret == 1;
        break;
    case OP_RENEGOTIATE:
        ret = SSL_renegotiate(ssl);
        p->counts->renegotiations += ret == 1;
        break;
    case OP_CERTIFICATE:
        ret = SSL_verify_client_post_handshake(ssl);
        break;
    default:
        break;
    }
    fprintf(p->to, "operation %d: %d\n", op, ret);
    write_errors(p, end);
    if (op == OP_RENEGOTIATE || op == OP_CERTIFICATE) {
        goes_on(p, end, SSL_do_handshake(ssl));
    } else {
        send_some(p, end);
    }
    carry(p, end);
    read_all(p);
}

static void use(struct play *p)
{
    for (int i = 0; i < ENDS; i++) {
        write_state(p, i);
    }
    write_exporter(p);
    read_all(p); /* the tickets of TLS 1.3 */
    for (int i = 0; i < SCENARIO_OPS; i++) {
        if (!p->failed[CLIENT] && !p->failed[SERVER]) {
            operate(p, p->s->ops[i]);
        }
    }
    p->counts->handshakes++;
    p->counts->resumptions += (unsigned)SSL_session_reused(p->end[CLIENT]);
    p->counts->certificates +=
        SSL_get0_peer_certificate(p->end[SERVER]) != NULL;
}

/* Returns the session to resume, if there is one. */
static SSL_SESSION *connect_once(struct play *p, SSL_CTX *const ctx[ENDS],
                                 SSL_SESSION *resume)
{
    SSL_SESSION *session = NULL;

    open_end(p, CLIENT, ctx[CLIENT]);
    open_end(p, SERVER, ctx[SERVER]);
    if (resume != NULL) {
        SSL_set_session(p->end[CLIENT], resume);
    }
    if (shake_hands(p)) {
        use(p);
        session = SSL_get1_session(p->end[CLIENT]);
    } else {
        p->counts->failures++;
        read_all(p); /* the alert */
    }
    for (int i = 0; i < ENDS; i++) {
        SSL_shutdown(p->end[i]);
        ERR_clear_error();
    }
    close_end(p, CLIENT);
    close_end(p, SERVER);
    return session;
}

void scenario_run(const struct scenario *s, OSSL_LIB_CTX *libctx, FILE *to,
                  struct scenario_counts *counts)
{
    SSL_CTX *ctx[ENDS];
    SSL_SESSION *session = NULL, *next;

    for (int i = 0; i < ENDS; i++) {
        ctx[i] = context(s, i, libctx);
    }
    for (int i = 0; i < s->connections; i++) {
        struct play p = {.s = s, .counts = counts, .to = to};

        fprintf(to, "connection %d\n", i);
        next = connect_once(&p, ctx, session);
        SSL_SESSION_free(session);
        session = next;
    }
    SSL_SESSION_free(session);
    SSL_CTX_free(ctx[CLIENT]);
    SSL_CTX_free(ctx[SERVER]);
}
