/*
 * The secrets of TLS connections to look for: those that were given, and all
 * that is derived from them and could be of use to whoever reads it. Record
 * IVs, Finished keys and exported keying material are not: they are public by
 * design or belong to the application.
 */
#ifndef MPK_TOOLS_SECRETS_H
#define MPK_TOOLS_SECRETS_H

#include "derive.h"
#include "keylog.h"
#include "patterns.h"
#include "session.h"

/* Where a secret comes from; subject number |first| + its index is its. */
struct secret {
    const char *file;   /* NULL: from the command line */
    unsigned long line; /* of a key log, or 0 */
    char label[KEYLOG_LABEL_MAX];
};

struct secrets {
    struct pattern_set *set;
    struct derive derive;
    unsigned int epochs; /* how many key updates to follow */
    bool quic;           /* QUIC's record keys instead of TLS's */
    unsigned int first;
    struct secret *at;
    size_t len;
    size_t cap;
    size_t tls12;         /* TLS 1.2 connections */
    size_t tls12_blocks;  /* those whose key blocks could be derived */
    size_t tls13_secrets; /* lines of TLS 1.3 */
};

/*
 * secrets_init prepares |s| to add to |set|, under subject numbers from |first|
 * on. secrets_free releases it, also after a failure. Returns 0 or -ENOMEM.
 */
int secrets_init(struct secrets *s, OSSL_LIB_CTX *libctx,
                 struct pattern_set *set, unsigned int first);
void secrets_free(struct secrets *s);

/* Each of the following returns 0, -ENOMEM, or -EIO if a KDF fails. */

/* secrets_add_keylog adds all lines of |log|, which must outlive |s|. */
int secrets_add_keylog(struct secrets *s, const struct keylog *log);

/* secrets_add_session adds the secret of |session|. */
int secrets_add_session(struct secrets *s, const struct session *session);

/* secrets_add_named adds any other bytes under the name |label|. */
int secrets_add_named(struct secrets *s, const char *label,
                      const uint8_t *bytes, size_t len);

/*
 * secrets_add_key_block adds the record keys of the TLS 1.2 connection whose
 * line in |log| is |e| and whose server random is |server_random|.
 */
int secrets_add_key_block(struct secrets *s, const struct keylog *log,
                          const struct keylog_entry *e,
                          const uint8_t server_random[32]);

/* secrets_is_tls12 tells whether |e| is a TLS 1.2 connection's. */
bool secrets_is_tls12(const struct keylog_entry *e);

#endif
