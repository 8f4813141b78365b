/*
 * kdf_tls13.c - inside: which derivations of TLS 1.3's key schedule there are,
 * and of what type each one's input and output is (RFC 8446 7.1 to 7.5, RFC
 * 9001 5.1). What is not listed is refused: an answer in the clear for a type
 * or a label that nobody needs would be a way around the types.
 */
#include "secret.h"
#include "tls_kdf.h"

#include <openssl/crypto.h>

#include <string.h>

#define PREFIX "tls13 "
#define LABEL_ROOM 256 /* no label is longer than a byte can count */

enum data { DATA_NONE, DATA_HASH, DATA_ANY };
enum size { SIZE_HASH, SIZE_KEY, SIZE_IV, SIZE_CONFIRMATION, SIZE_ANY };

/* Type 0 is bytes in the clear. */
struct rule {
    const char *label;
    uint8_t in, data, out, size;
    uint8_t logged; /* a key log has it */
};

#define STAGE SECRET_STAGE
#define TRAFFIC SECRET_TRAFFIC

static const struct rule rules[] = {
    {"c e traffic", STAGE, DATA_HASH, TRAFFIC, SIZE_HASH, 1},
    {"c hs traffic", STAGE, DATA_HASH, TRAFFIC, SIZE_HASH, 1},
    {"s hs traffic", STAGE, DATA_HASH, TRAFFIC, SIZE_HASH, 1},
    {"c ap traffic", STAGE, DATA_HASH, TRAFFIC, SIZE_HASH, 1},
    {"s ap traffic", STAGE, DATA_HASH, TRAFFIC, SIZE_HASH, 1},
    {"res binder", STAGE, DATA_HASH, TRAFFIC, SIZE_HASH, 0},
    {"ext binder", STAGE, DATA_HASH, TRAFFIC, SIZE_HASH, 0},
    {"exp master", STAGE, DATA_HASH, SECRET_EXPORT, SIZE_HASH, 1},
    {"e exp master", STAGE, DATA_HASH, SECRET_EXPORT, SIZE_HASH, 1},
    {"res master", STAGE, DATA_HASH, SECRET_RESUME, SIZE_HASH, 0},
    {"resumption", SECRET_RESUME, DATA_ANY, SECRET_PSK, SIZE_HASH, 0},
    {"traffic upd", TRAFFIC, DATA_NONE, TRAFFIC, SIZE_HASH, 0},
    {"key", TRAFFIC, DATA_NONE, SECRET_KEY, SIZE_KEY, 0},
    /* One-way leaves, with which libssl computes itself. */
    {"iv", TRAFFIC, DATA_NONE, 0, SIZE_IV, 0},
    {"finished", TRAFFIC, DATA_NONE, 0, SIZE_HASH, 0},
    {"exporter", SECRET_EXPORT2, DATA_HASH, 0, SIZE_ANY, 0},
    /* QUIC. Its first secrets are public, and sealed all the same, so that
     * what is derived of them is no exception. */
    {"client in", 0, DATA_NONE, TRAFFIC, SIZE_HASH, 0},
    {"server in", 0, DATA_NONE, TRAFFIC, SIZE_HASH, 0},
    {"quic ku", TRAFFIC, DATA_NONE, TRAFFIC, SIZE_HASH, 0},
    {"quic key", TRAFFIC, DATA_NONE, SECRET_KEY, SIZE_KEY, 0},
    {"quic iv", TRAFFIC, DATA_NONE, 0, SIZE_IV, 0},
    {"quic hp", TRAFFIC, DATA_NONE, 0, SIZE_KEY, 0},
    /* Its version 2 (RFC 9369 3.3.2). */
    {"quicv2 ku", TRAFFIC, DATA_NONE, TRAFFIC, SIZE_HASH, 0},
    {"quicv2 key", TRAFFIC, DATA_NONE, SECRET_KEY, SIZE_KEY, 0},
    {"quicv2 iv", TRAFFIC, DATA_NONE, 0, SIZE_IV, 0},
    {"quicv2 hp", TRAFFIC, DATA_NONE, 0, SIZE_KEY, 0},
    /* Encrypted Client Hello (RFC 9849 7.2): a part of a random number of the
     * server's, from the client's; neither is a secret. A handle given in its
     * place is not opened. */
    {"ech accept confirmation", 0, DATA_HASH, 0, SIZE_CONFIRMATION, 0},
    {"hrr ech accept confirmation", 0, DATA_HASH, 0, SIZE_CONFIRMATION, 0},
};

/* A label that the application gives to its exporter. */
static const struct rule any_exporter = {
    NULL, SECRET_EXPORT, DATA_HASH, SECRET_EXPORT2, SIZE_HASH, 0};

/* Copies of the parameters. */
struct names {
    unsigned char prefix[sizeof(PREFIX)], label[LABEL_ROOM];
    unsigned char data[LABEL_ROOM];
};

static int label_is(const struct kdf_request *r, const struct names *n,
                    const char *label)
{
    return r->label.len == strlen(label) &&
           memcmp(n->label, label, r->label.len) == 0;
}

static const struct rule *rule_for(const struct kdf_request *r,
                                   const struct names *n)
{
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        if (label_is(r, n, rules[i].label)) {
            return &rules[i];
        }
    }
    return &any_exporter;
}

static int size_fits(const struct kdf_work *w, enum size size)
{
    switch (size) {
    case SIZE_HASH:
        return w->out_len == prf_size(w->digest);
    case SIZE_KEY:
        return w->out_len == 16 || w->out_len == 32;
    case SIZE_IV:
        return w->out_len == 12;
    case SIZE_CONFIRMATION:
        return w->out_len == 8;
    case SIZE_ANY:
        return 1;
    }
    return 0;
}

static int data_fits(const struct kdf_work *w, const struct kdf_request *r,
                     enum data data)
{
    switch (data) {
    case DATA_NONE:
        return r->data.len == 0;
    case DATA_HASH:
        return r->data.len == prf_size(w->digest);
    case DATA_ANY:
        return r->data.p != NULL;
    }
    return 0;
}

static int refuse(struct mpkprov_frame *f)
{
    return fail(f, MPKPROV_R_PARAMETER,
                "TLS13-KDF: not a derivation of TLS 1.3; for others fetch it "
                "with provider=default");
}

static void open_key(struct kdf_work *w, unsigned type)
{
    if (type != 0) {
        secret_open((enum secret_type)type, w->key, w->key_len);
    }
}

/* Makes w->last the secret that is at w->key, as a handle of |type| and of the
 * hash's size. The same handle of another type is another secret. */
static void use_secret(struct kdf_work *w, uint8_t type)
{
    struct kdf_expanding *last = &w->last;

    if (type != 0 && type == last->type && w->digest == last->digest &&
        memcmp(w->key, last->handle, w->key_len) == 0) {
        return;
    }
    last->type = type;
    last->digest = w->digest;
    memcpy(last->handle, w->key, w->key_len);
    open_key(w, type);
    hkdf_key(&last->hmac, w->digest, w->key);
}

static void reveal(struct kdf_work *w, const unsigned char *secret)
{
    memcpy(w->revealed, w->out, w->out_len);
    memcpy(w->revealed + w->out_len, secret, w->out_len);
    w->revealed_len = 2 * w->out_len;
}

static int seal_out(struct mpkprov_frame *f, struct kdf_work *w,
                    const struct rule *rule)
{
    unsigned char secret[PRF_SIZE_MAX];

    if (rule->out == SECRET_KEY) {
        return key_give(&w->given, w->out, w->out_len,
                        strcmp(rule->label, "key") == 0 ? KEY_OF_TLS13
                                                        : KEY_OF_QUIC) ||
               fail(f, MPKPROV_R_MEMORY, OUT_OF_MEMORY);
    }
    if (rule->out != 0) {
        memcpy(secret, w->out, w->out_len);
        secret_seal((enum secret_type)rule->out, w->out, w->out_len);
        if (w->reveal && rule->logged) {
            reveal(w, secret);
        }
        OPENSSL_cleanse(secret, sizeof(secret));
    }
    return 1;
}

static int expand(struct mpkprov_frame *f, struct kdf_work *w,
                  const struct kdf_request *r, const struct names *n)
{
    const struct rule *rule = rule_for(r, n);
    const struct hkdf_label label = {n->prefix,     n->label,     n->data,
                                     r->prefix.len, r->label.len, r->data.len};

    if (w->key_len != prf_size(w->digest) || r->salt.p != NULL ||
        !data_fits(w, r, (enum data)rule->data) ||
        !size_fits(w, (enum size)rule->size)) {
        return refuse(f);
    }
    use_secret(w, rule->in);
    if (!hkdf_expand_label(&w->last.hmac, w->out, w->out_len, &label)) {
        return refuse(f);
    }
    return seal_out(f, w, rule);
}

/* The secret of a key exchange, which is a handle of ours, or in the clear
 * when another provider made it. */
static int open_exchanged(struct mpkprov_frame *f, struct kdf_work *w)
{
    unsigned char secret[PREMASTER_MAX + PREMASTER_MORE];
    size_t len;
    int opened = premaster_open(secret, &len, w->key, w->key_len);

    if (opened == 0) {
        return kdf_take_raw(f, w, w->key_len);
    }
    if (opened != PREMASTER_TLS12) {
        memcpy(w->key, secret, len);
        w->key_len = len;
    }
    OPENSSL_cleanse(secret, len);
    return opened != PREMASTER_TLS12 ||
           fail(f, MPKPROV_R_PARAMETER,
                "TLS 1.3: the peer's point is compressed");
}

/*
 * Of a connection without a PSK the early secret is a constant, and so is the
 * salt of the handshake secret.
 */
static struct {
    unsigned char handle[PRF_SIZE_MAX];
    struct prf_hmac salt;
} usual[2];

static const unsigned char zeros[PRF_SIZE_MAX];

static void derived(struct prf_hmac *k, enum prf_digest d,
                    const unsigned char *secret)
{
    const struct hkdf_label label = {(const unsigned char *)PREFIX,
                                     (const unsigned char *)"derived",
                                     prf_empty[d],
                                     strlen(PREFIX),
                                     strlen("derived"),
                                     prf_size(d)};
    unsigned char salt[PRF_SIZE_MAX];

    hkdf_key(k, d, secret);
    hkdf_expand_label(k, salt, prf_size(d), &label);
    hkdf_key(k, d, salt);
    OPENSSL_cleanse(salt, sizeof(salt));
}

void kdf_tls13_boot(void)
{
    for (enum prf_digest d = PRF_SHA256; d <= PRF_SHA384; d++) {
        struct prf_hmac k;

        hkdf_key(&k, d, zeros);
        hkdf_extract(&k, usual[d].handle, zeros, prf_size(d));
        derived(&usual[d].salt, d, usual[d].handle);
        secret_seal(SECRET_STAGE, usual[d].handle, prf_size(d));
    }
}

/* The step from one stage to the next: "derived", then HKDF-Extract. */
static int next_stage(struct mpkprov_frame *f, struct kdf_work *w,
                      const struct kdf_request *r)
{
    size_t size = prf_size(w->digest);
    unsigned char secret[PRF_SIZE_MAX];
    struct prf_hmac k;
    int ok;

    if (!kdf_enter(f, secret, size, &r->salt)) {
        return 0;
    }
    if (memcmp(secret, usual[w->digest].handle, size) == 0) {
        k = usual[w->digest].salt;
    } else {
        secret_open(SECRET_STAGE, secret, size);
        derived(&k, w->digest, secret);
    }
    ok = !w->has_key || open_exchanged(f, w);
    if (ok) {
        hkdf_extract(&k, w->out, w->key, w->key_len);
    }
    OPENSSL_cleanse(secret, sizeof(secret));
    OPENSSL_cleanse(&k, sizeof(k));
    return ok;
}

/* HKDF-Extract with a salt of zeros. */
static void first_stage(struct kdf_work *w)
{
    struct prf_hmac k;

    open_key(w, w->has_key ? SECRET_PSK : 0);
    hkdf_key(&k, w->digest, zeros);
    hkdf_extract(&k, w->out, w->key, w->key_len);
    OPENSSL_cleanse(&k, sizeof(k));
}

static int extract(struct mpkprov_frame *f, struct kdf_work *w,
                   const struct kdf_request *r, const struct names *n)
{
    size_t size = prf_size(w->digest);

    if (w->out_len != size || !label_is(r, n, "derived") || r->data.p != NULL) {
        return refuse(f);
    }
    if (!w->has_key) {
        memcpy(w->key, zeros, size);
        w->key_len = size;
    }
    if (r->salt.p != NULL) {
        if (r->salt.len != size || !next_stage(f, w, r)) {
            return f->error.reason != 0 ? 0 : refuse(f);
        }
    } else {
        if (w->has_key && w->key_len != size) {
            return fail(f, MPKPROV_R_PARAMETER,
                        "an external PSK: TLS 1.3 works here with those of "
                        "sessions only");
        }
        first_stage(w);
    }
    secret_seal(SECRET_STAGE, w->out, size);
    return 1;
}

int kdf_tls13_derive(struct mpkprov_frame *f, struct kdf_work *w,
                     const struct kdf_request *r)
{
    struct names n;

    if (w->digest == PRF_MD5_SHA1 ||
        !kdf_enter(f, n.prefix, sizeof(n.prefix), &r->prefix) ||
        !kdf_enter(f, n.label, sizeof(n.label), &r->label) ||
        !kdf_enter(f, n.data, sizeof(n.data), &r->data) ||
        r->prefix.len != strlen(PREFIX) ||
        memcmp(n.prefix, PREFIX, strlen(PREFIX)) != 0) {
        return f->error.reason != 0 ? 0 : refuse(f);
    }
    switch (r->mode) {
    case KDF_EXTRACT:
        return extract(f, w, r, &n);
    case KDF_EXPAND:
        return expand(f, w, r, &n);
    default:
        return refuse(f);
    }
}
