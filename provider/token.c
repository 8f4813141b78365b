/* token.c - keys on their way through libcrypto's decoder chain. */
#include "prov.h"

#include <sys/random.h>

/* SEQUENCE { UTF8String "mpk key token", OCTET STRING (16 bytes) } */
static const unsigned char head[] = {0x30, 33,  0x0c, 13,   'm', 'p', 'k',
                                     ' ',  'k', 'e',  'y',  ' ', 't', 'o',
                                     'k',  'e', 'n',  0x04, 16};
#define ID_LEN sizeof(((struct pending_token *)0)->id)
#define TOKEN_LEN (sizeof(head) + ID_LEN)

_Static_assert(TOKEN_LEN <= TOKEN_MAX, "fits");
_Static_assert(TOKEN_LEN - 2 == 33, "length of the sequence");

size_t token_issue(struct prov_key *key, unsigned char der[TOKEN_MAX])
{
    struct pending_token *t;
    struct prov_key *lost;

    memcpy(der, head, sizeof(head));
    if (getrandom(der + sizeof(head), ID_LEN, 0) != (ssize_t)ID_LEN) {
        prov_key_free(key);
        return 0;
    }
    pthread_mutex_lock(&prov.lock);
    t = &prov.token[prov.next_token++ % MPKPROV_TOKENS];
    lost = t->key; /* one that nobody came for */
    t->key = key;
    memcpy(t->id, der + sizeof(head), ID_LEN);
    pthread_mutex_unlock(&prov.lock);
    prov_key_free(lost);
    return TOKEN_LEN;
}

int token_is(const unsigned char *der, size_t len)
{
    return len == TOKEN_LEN && memcmp(der, head, sizeof(head)) == 0;
}

struct prov_key *token_redeem(const unsigned char *der, size_t len,
                              enum key_type type)
{
    struct prov_key *key = NULL;

    if (!token_is(der, len)) {
        return NULL;
    }
    pthread_mutex_lock(&prov.lock);
    for (size_t i = 0; i < MPKPROV_TOKENS && key == NULL; i++) {
        struct pending_token *t = &prov.token[i];

        if (t->key != NULL && t->key->type == type &&
            memcmp(t->id, der + sizeof(head), ID_LEN) == 0) {
            key = t->key;
            t->key = NULL;
        }
    }
    pthread_mutex_unlock(&prov.lock);
    return key;
}
