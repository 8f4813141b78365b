/* secrets_of.c - see secrets_of.h. */
#include "secrets_of.h"

#include "forms.h"
#include "spy.h"

#include <openssl/evp.h>
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

static int add_key(struct pattern_set *set, unsigned subject,
                   const struct record_key *k, const uint8_t *key)
{
    return k->aes ? forms_add_aes(set, subject, "record key", key, k->len)
                  : pattern_bytes_add(set, subject, FORM_RAW, "record key", key,
                                      k->len);
}

static bool is_libssls(const char *name)
{
    return strcmp(name, "iv") == 0 || strstr(name, "finished") != NULL;
}

bool secrets_of(struct pattern_set *set, const SSL_CIPHER *cipher)
{
    struct record_key k = record_key(cipher);
    int err = 0;

    for (size_t i = 0; i < spy_len() && err == 0; i++) {
        const struct spied *s = spy_at(i);
        unsigned subject = (unsigned)i;

        if (strcmp(s->name, "key") == 0) {
            err = add_key(set, subject, &k, s->bytes);
        } else if (strcmp(s->name, "key expansion") == 0) {
            /* An AEAD's begins with both keys (RFC 5246, 6.3). */
            err = add_key(set, subject, &k, s->bytes);
            if (err == 0) {
                err = add_key(set, subject, &k, s->bytes + k.len);
            }
        } else if (!is_libssls(s->name)) {
            err = forms_add_number(set, subject, s->name, s->bytes, s->len);
        }
    }
    return err == 0;
}
