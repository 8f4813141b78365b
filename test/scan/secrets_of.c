/* secrets_of.c - see secrets_of.h. */
#define OPENSSL_SUPPRESS_DEPRECATED /* a hash's state is looked for */

#include "secrets_of.h"

#include "forms.h"
#include "spy.h"

#include <openssl/evp.h>
#include <openssl/sha.h>
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

/* What a connection calls HMAC with. */
struct hashing {
    bool sha384;
    bool is_13;
};

/* What HMAC keeps of a key, which is as good as the key: the hash's state after
 * the first block, that of the key with |pad|. */
static int add_hmac_state(struct pattern_set *set, unsigned subject,
                          const struct spied *key, bool sha384, uint8_t pad)
{
    uint8_t block[SHA512_CBLOCK];
    SHA512_CTX large;
    SHA256_CTX small;

    if (key->len > (sha384 ? SHA512_CBLOCK : SHA256_CBLOCK)) {
        return 0; /* it is hashed first */
    }
    memset(block, pad, sizeof(block));
    for (size_t i = 0; i < key->len; i++) {
        block[i] ^= key->bytes[i];
    }
    if (sha384) {
        SHA384_Init(&large);
        SHA512_Update(&large, block, SHA512_CBLOCK);
        return pattern_bytes_add(set, subject, FORM_RAW, "HMAC state",
                                 (uint8_t *)large.h, sizeof(large.h));
    }
    SHA256_Init(&small);
    SHA256_Update(&small, block, SHA256_CBLOCK);
    return pattern_bytes_add(set, subject, FORM_RAW, "HMAC state",
                             (uint8_t *)small.h, sizeof(small.h));
}

/* TLS 1.3 extracts from what it agreed on and from a PSK; and nobody here asks
 * for exported keys. */
static bool is_hmac_key(const struct spied *s, bool is_13)
{
    return strstr(s->name, "exp master") == NULL &&
           strcmp(s->name, "resumption") != 0 &&
           !(is_13 && strcmp(s->name, "pre-master") == 0);
}

static int add_secret(struct pattern_set *set, unsigned subject,
                      const struct spied *s, const struct hashing *h)
{
    int err = forms_add_number(set, subject, s->name, s->bytes, s->len);

    if (err == 0 && is_hmac_key(s, h->is_13)) {
        err = add_hmac_state(set, subject, s, h->sha384, 0x36);
        if (err == 0) {
            err = add_hmac_state(set, subject, s, h->sha384, 0x5c);
        }
    }
    return err;
}

bool secrets_of(struct pattern_set *set, const SSL_CIPHER *cipher)
{
    struct record_key k = record_key(cipher);
    struct hashing h = {
        .sha384 =
            EVP_MD_is_a(SSL_CIPHER_get_handshake_digest(cipher), "SHA384"),
        .is_13 = strncmp(SSL_CIPHER_get_name(cipher), "TLS_", 4) == 0};
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
            err = add_secret(set, subject, s, &h);
        }
    }
    return err == 0;
}
