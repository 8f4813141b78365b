/* secrets_of.c - see secrets_of.h. */
#include "secrets_of.h"

#include "hex.h"
#include "schedule.h"
#include "spy.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

struct record_key {
    size_t len;
    bool aes;
};

static struct record_key record_key(const SSL_CIPHER *cipher)
{
    const EVP_CIPHER *evp =
        EVP_get_cipherbynid(SSL_CIPHER_get_cipher_nid(cipher));

    return (struct record_key){
        .len = (size_t)EVP_CIPHER_get_key_length(evp),
        .aes = strstr(SSL_CIPHER_get_name(cipher), "AES") != NULL};
}

static bool add(struct pattern_set *set, unsigned subject,
                enum pattern_form form, const char *name, const void *bytes,
                size_t len)
{
    return pattern_bytes_add(set, subject, form, name, bytes, len) == 0;
}

static bool add_key(struct pattern_set *set, unsigned subject,
                    const struct record_key *k, const uint8_t *key)
{
    return add(set, subject, FORM_RAW, "record key", key, k->len) &&
           (!k->aes ||
            schedule_add(set, subject, "record key", key, k->len) == 0);
}

/* In every form that a server could keep it in; a pre-master secret may be a
 * number. */
static bool add_secret(struct pattern_set *set, unsigned subject,
                       const struct spied *s)
{
    char hex[2 * SPY_BYTES];
    uint8_t reversed[SPY_BYTES];

    hex_encode(hex, s->bytes, s->len);
    memcpy(reversed, s->bytes, s->len);
    pattern_reverse(reversed, s->len);
    return add(set, subject, FORM_RAW, s->name, s->bytes, s->len) &&
           add(set, subject, FORM_HEX, s->name, hex, 2 * s->len) &&
           add(set, subject, FORM_REVERSED, s->name, reversed, s->len);
}

static bool is_libssls(const char *name)
{
    return strcmp(name, "iv") == 0 || strstr(name, "finished") != NULL;
}

bool secrets_of(struct pattern_set *set, const SSL_CIPHER *cipher)
{
    struct record_key k = record_key(cipher);
    bool ok = true;

    for (size_t i = 0; i < spy_len() && ok; i++) {
        const struct spied *s = spy_at(i);
        unsigned subject = (unsigned)i;

        if (strcmp(s->name, "key") == 0) {
            ok = add_key(set, subject, &k, s->bytes);
        } else if (strcmp(s->name, "key expansion") == 0) {
            /* An AEAD's begins with both keys (RFC 5246, 6.3). */
            ok = add_key(set, subject, &k, s->bytes) &&
                 add_key(set, subject, &k, s->bytes + k.len);
        } else if (!is_libssls(s->name)) {
            ok = add_secret(set, subject, s);
        }
    }
    return ok;
}
