#include "secrets.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "forms.h"

#define HASH_MAX 48

int secrets_init(struct secrets *s, OSSL_LIB_CTX *libctx,
                 struct pattern_set *set, unsigned int first)
{
    s->set = set;
    s->first = first;
    return derive_init(&s->derive, libctx);
}

void secrets_free(struct secrets *s)
{
    derive_free(&s->derive);
    free(s->at);
    memset(s, 0, sizeof(*s));
}

/* Returns the new subject's number or -ENOMEM. */
static int64_t add_subject(struct secrets *s, const char *file,
                           unsigned long line, const char *label)
{
    struct secret *grown;
    size_t cap = s->cap == 0 ? 64 : s->cap * 2;

    if (s->len == s->cap) {
        grown = reallocarray(s->at, cap, sizeof(*grown));
        if (grown == NULL) {
            return -ENOMEM;
        }
        s->at = grown;
        s->cap = cap;
    }
    s->at[s->len].file = file;
    s->at[s->len].line = line;
    snprintf(s->at[s->len].label, sizeof(s->at[s->len].label), "%s", label);
    return (int64_t)(s->first + s->len++);
}

/* ---- TLS 1.3 ---------------------------------------------------------- */

/*
 * The record keys that each length of secret can have (RFC 8446, B.4). The
 * state of ChaCha20 holds the key as it is.
 */
static const struct record_key {
    size_t secret_len;
    size_t key_len;
    bool aes;
    const char *component;
} record_keys[] = {
    {32, 16, true, "AES-128 key"},
    {32, 32, false, "ChaCha20 key"},
    {48, 32, true, "AES-256 key"},
};

/* RFC 8446 7.3 and 7.2, RFC 9001 5.1 and 6.1, RFC 9369 3.3.2. */
static const struct record_labels {
    const char *key, *update;
    const char *protocol; /* before what the key is called */
} of_tls = {"key", "traffic upd", ""},
  of_quic[] = {
      {"quic key", "quic ku", ""},
      {"quicv2 key", "quicv2 ku", "QUIC v2 "},
};

static void name_part(char out[PATTERN_COMPONENT],
                      const struct record_labels *labels, const char *part,
                      unsigned int update)
{
    if (update == 0) {
        snprintf(out, PATTERN_COMPONENT, "%s%s", labels->protocol, part);
    } else {
        snprintf(out, PATTERN_COMPONENT, "%s%s, update %u", labels->protocol,
                 part, update);
    }
}

static int add_record_key(struct secrets *s, unsigned int subject,
                          const struct record_labels *labels,
                          const struct record_key *k, const uint8_t *secret,
                          unsigned int update)
{
    char name[PATTERN_COMPONENT];
    uint8_t key[32];
    int err = derive_expand(&s->derive, key, k->key_len, secret, k->secret_len,
                            labels->key, NULL, 0);

    name_part(name, labels, k->component, update);
    if (err == 0) {
        err = k->aes ? forms_add_aes(s->set, subject, name, key, k->key_len)
                     : pattern_bytes_add(s->set, subject, FORM_RAW, name, key,
                                         k->key_len);
    }
    OPENSSL_cleanse(key, sizeof(key));
    return err;
}

static int add_record_keys(struct secrets *s, unsigned int subject,
                           const struct record_labels *labels,
                           const uint8_t *secret, size_t len,
                           unsigned int update)
{
    int err = 0;

    for (size_t i = 0;
         err == 0 && i < sizeof(record_keys) / sizeof(record_keys[0]); i++) {
        if (record_keys[i].secret_len == len) {
            err = add_record_key(s, subject, labels, &record_keys[i], secret,
                                 update);
        }
    }
    return err;
}

/* The keys of a traffic secret, and of the |updates| that follow it. */
static int add_traffic_of(struct secrets *s, unsigned int subject,
                          const struct record_labels *labels,
                          const uint8_t *secret, size_t len,
                          unsigned int updates)
{
    char name[PATTERN_COMPONENT];
    uint8_t now[HASH_MAX];
    uint8_t next[HASH_MAX];
    int err;

    memcpy(now, secret, len);
    err = add_record_keys(s, subject, labels, now, len, 0);
    for (unsigned int i = 1; err == 0 && i <= updates; i++) {
        err = derive_expand(&s->derive, next, len, now, len, labels->update,
                            NULL, 0);
        memcpy(now, next, len);
        name_part(name, labels, "secret", i);
        if (err == 0) {
            err = pattern_bytes_add(s->set, subject, FORM_RAW, name, now, len);
        }
        if (err == 0) {
            err = add_record_keys(s, subject, labels, now, len, i);
        }
    }
    OPENSSL_cleanse(now, sizeof(now));
    OPENSSL_cleanse(next, sizeof(next));
    return err;
}

/* Nothing in a key log says which version of QUIC was spoken. */
static int add_traffic(struct secrets *s, unsigned int subject,
                       const uint8_t *secret, size_t len, unsigned int updates)
{
    size_t n = s->quic ? sizeof(of_quic) / sizeof(of_quic[0]) : 1;
    int err = 0;

    for (size_t i = 0; err == 0 && i < n; i++) {
        err = add_traffic_of(s, subject, s->quic ? &of_quic[i] : &of_tls,
                             secret, len, updates);
    }
    return err;
}

/* What a resumption PSK makes before anything of a handshake comes in. */
static int add_psk(struct secrets *s, unsigned int subject, const uint8_t *psk,
                   size_t len)
{
    uint8_t early[HASH_MAX];
    uint8_t binder[HASH_MAX];
    uint8_t empty[EVP_MAX_MD_SIZE];
    int err;

    if (derive_digest(len) == NULL ||
        !EVP_Q_digest(NULL, derive_digest(len), NULL, "", 0, empty, NULL)) {
        return derive_digest(len) == NULL ? 0 : -EIO;
    }
    err = derive_early(&s->derive, early, psk, len);
    if (err == 0) {
        err = derive_expand(&s->derive, binder, len, early, len, "res binder",
                            empty, len);
    }
    if (err == 0) {
        err = forms_add_secret(s->set, subject, "early secret", early, len);
    }
    if (err == 0) {
        err = forms_add_secret(s->set, subject, "binder key", binder, len);
    }
    OPENSSL_cleanse(early, sizeof(early));
    OPENSSL_cleanse(binder, sizeof(binder));
    return err;
}

/* ---- TLS 1.2 ---------------------------------------------------------- */

/*
 * Where the keys are in the key block: lengths of a MAC key and a cipher key,
 * twice each (RFC 5246, 6.3). The first two are the AEAD suites.
 */
static const struct {
    size_t mac_len;
    size_t key_len;
    const char *suites;
} key_blocks[] = {
    {0, 16, "AEAD-128"},        {0, 32, "AEAD-256"},
    {20, 16, "CBC-128-SHA"},    {20, 32, "CBC-256-SHA"},
    {32, 16, "CBC-128-SHA256"}, {32, 32, "CBC-256-SHA256"},
    {48, 32, "CBC-256-SHA384"},
};

/* The longest: two MAC keys of SHA-384 and two keys of AES-256. */
#define KEY_BLOCK_MAX (2 * 48 + 2 * 32)

bool secrets_is_tls12(const struct keylog_entry *e)
{
    return strcmp(e->label, "CLIENT_RANDOM") == 0;
}

static int add_part(struct secrets *s, unsigned int subject, size_t row,
                    const char *part, const uint8_t *bytes, size_t len)
{
    char name[PATTERN_COMPONENT];

    snprintf(name, sizeof(name), "%s %s", key_blocks[row].suites, part);
    if (strstr(part, "MAC") != NULL) {
        return pattern_bytes_add(s->set, subject, FORM_RAW, name, bytes, len);
    }
    return forms_add_aes(s->set, subject, name, bytes, len);
}

static int add_key_block(struct secrets *s, unsigned int subject,
                         const uint8_t *block, size_t row)
{
    size_t mac = key_blocks[row].mac_len;
    size_t key = key_blocks[row].key_len;
    int err = add_part(s, subject, row, "client MAC", block, mac);

    if (err == 0) {
        err = add_part(s, subject, row, "server MAC", block + mac, mac);
    }
    block += 2 * mac;
    if (err == 0) {
        err = add_part(s, subject, row, "client key", block, key);
    }
    if (err == 0) {
        err = add_part(s, subject, row, "server key", block + key, key);
    }
    return err;
}

/* The key log does not say which suite it was: one for each PRF. */
int secrets_add_key_block(struct secrets *s, const struct keylog *log,
                          const struct keylog_entry *e,
                          const uint8_t server_random[32])
{
    static const char *const digests[] = {"SHA256", "SHA384"};
    char label[KEYLOG_LABEL_MAX];
    uint8_t block[KEY_BLOCK_MAX];
    int64_t subject = 0;
    int err = 0;

    for (size_t i = 0; err == 0 && i < 2; i++) {
        snprintf(label, sizeof(label), "CLIENT_RANDOM, key block by %s",
                 digests[i]);
        subject = add_subject(s, log->path, e->line, label);
        err = subject < 0
                  ? (int)subject
                  : derive_key_block(&s->derive, block, sizeof(block),
                                     digests[i], e->secret, e->secret_len,
                                     server_random, e->random);
        for (size_t row = 0;
             err == 0 && row < sizeof(key_blocks) / sizeof(key_blocks[0]);
             row++) {
            err = add_key_block(s, (unsigned int)subject, block, row);
        }
    }
    OPENSSL_cleanse(block, sizeof(block));
    return err;
}

/* ---- where they come from ---------------------------------------------- */

/* How the line's secret goes on: as traffic secrets do, updated or not. */
static const struct traffic_label {
    const char *label;
    bool updates;
} traffic_labels[] = {
    {"CLIENT_EARLY_TRAFFIC_SECRET", false},
    {"CLIENT_HANDSHAKE_TRAFFIC_SECRET", false},
    {"SERVER_HANDSHAKE_TRAFFIC_SECRET", false},
    {"CLIENT_TRAFFIC_SECRET_0", true},
    {"SERVER_TRAFFIC_SECRET_0", true},
};

static const struct traffic_label *traffic_label(const char *label)
{
    for (size_t i = 0; i < sizeof(traffic_labels) / sizeof(traffic_labels[0]);
         i++) {
        if (strcmp(label, traffic_labels[i].label) == 0) {
            return &traffic_labels[i];
        }
    }
    return NULL;
}

static int add_line(struct secrets *s, const struct keylog *log,
                    const struct keylog_entry *e)
{
    const struct traffic_label *traffic = traffic_label(e->label);
    int64_t subject;
    int err;

    s->tls12 += secrets_is_tls12(e);
    s->tls13_secrets += traffic != NULL;
    if (e->repeat) {
        return 0;
    }
    subject = add_subject(s, log->path, e->line, e->label);
    if (subject < 0) {
        return (int)subject;
    }
    err = forms_add_secret(s->set, (unsigned int)subject, "secret", e->secret,
                           e->secret_len);
    if (err == 0 && traffic != NULL) {
        err = add_traffic(s, (unsigned int)subject, e->secret, e->secret_len,
                          traffic->updates ? s->epochs : 0);
    }
    return err;
}

int secrets_add_keylog(struct secrets *s, const struct keylog *log)
{
    int err = 0;

    for (size_t i = 0; err == 0 && i < log->len; i++) {
        err = add_line(s, log, &log->at[i]);
    }
    return err;
}

int secrets_add_session(struct secrets *s, const struct session *session)
{
    int64_t subject =
        add_subject(s, session->path, 0,
                    session->tls13 ? "resumption PSK" : "master secret");
    int err;

    if (subject < 0) {
        return (int)subject;
    }
    err = forms_add_secret(s->set, (unsigned int)subject, "secret",
                           session->secret, session->secret_len);
    if (err == 0 && session->tls13) {
        err = add_psk(s, (unsigned int)subject, session->secret,
                      session->secret_len);
    }
    return err;
}

int secrets_add_named(struct secrets *s, const char *label,
                      const uint8_t *bytes, size_t len)
{
    int64_t subject = add_subject(s, NULL, 0, label);

    return subject < 0 ? (int)subject
                       : forms_add_number(s->set, (unsigned int)subject,
                                          "secret", bytes, len);
}
