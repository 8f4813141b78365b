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
_Static_assert(MPKPROV_TOKENS <= 1 << 16, "two bytes say where a token is");

/* Where the token with this id is kept: its first two bytes say it. */
static struct pending_token *place_of(const unsigned char *id)
{
    return &prov.token[(id[0] | (unsigned)id[1] << 8) % MPKPROV_TOKENS];
}

size_t token_issue(struct prov_key *key, unsigned char der[TOKEN_MAX])
{
    unsigned char *id = der + sizeof(head);
    struct pending_token *t;
    struct prov_key *lost;
    uint32_t place;

    memcpy(der, head, sizeof(head));
    if (getrandom(id, ID_LEN, 0) != (ssize_t)ID_LEN) {
        prov_key_free(key);
        return 0;
    }
    pthread_mutex_lock(&prov.lock);
    place = prov.next_token++ % MPKPROV_TOKENS;
    id[0] = (unsigned char)place;
    id[1] = (unsigned char)(place >> 8);
    t = place_of(id);
    lost = t->key; /* one that nobody came for */
    t->key = key;
    memcpy(t->id, id, ID_LEN);
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
    struct pending_token *t;

    if (!token_is(der, len)) {
        return NULL;
    }
    pthread_mutex_lock(&prov.lock);
    t = place_of(der + sizeof(head));
    if (t->key != NULL && t->key->type == type &&
        memcmp(t->id, der + sizeof(head), ID_LEN) == 0) {
        key = t->key;
        t->key = NULL;
    }
    pthread_mutex_unlock(&prov.lock);
    return key;
}
