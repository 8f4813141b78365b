/* token.c - keys on their way through libcrypto's decoder chain. */
#include "prov.h"

#include <errno.h>
#include <sys/random.h>

/* SEQUENCE { UTF8String "mpk key token", OCTET STRING (16 bytes) } */
static const unsigned char head[] = {0x30, 33,  0x0c, 13,   'm', 'p', 'k',
                                     ' ',  'k', 'e',  'y',  ' ', 't', 'o',
                                     'k',  'e', 'n',  0x04, 16};
#define ID_LEN sizeof(((struct pending_token *)0)->id)
#define TOKEN_LEN (sizeof(head) + ID_LEN)

_Static_assert(TOKEN_LEN <= TOKEN_MAX, "fits");
_Static_assert(TOKEN_LEN - 2 == 33, "length of the sequence");

static int random_id(struct pending_token *t)
{
    ssize_t n;

    do {
        n = getrandom(t->id, ID_LEN, 0);
    } while (n < 0 && errno == EINTR);
    return n == (ssize_t)ID_LEN;
}

/*
 * Without random numbers there is no token for a key that can be used: who
 * guessed it would have the key. For one that refuses any number will do.
 */
static struct prov_key *refuse_for_want_of_numbers(struct pending_token *t,
                                                   struct prov_key *key)
{
    struct prov_key *refused =
        prov_key_refused(key->ctx, key->type, "there are no random numbers");

    prov_key_free(key);
    memset(t->id, 0, ID_LEN);
    memcpy(t->id, &t, sizeof(t));
    return refused;
}

size_t token_issue(struct pending_token *t, struct prov_key *key,
                   unsigned char der[TOKEN_MAX])
{
    if (!random_id(t)) {
        key = refuse_for_want_of_numbers(t, key);
    }
    memcpy(der, head, sizeof(head));
    memcpy(der + sizeof(head), t->id, ID_LEN);
    t->key = key;
    pthread_mutex_lock(&prov.lock);
    t->next = prov.tokens;
    prov.tokens = t;
    pthread_mutex_unlock(&prov.lock);
    return TOKEN_LEN;
}

struct prov_key *token_withdraw(struct pending_token *t)
{
    struct pending_token **at = &prov.tokens;
    struct prov_key *left;

    pthread_mutex_lock(&prov.lock);
    /* It is not there in a child of the thread that issued it. */
    while (*at != NULL && *at != t) {
        at = &(*at)->next;
    }
    if (*at == t) {
        *at = t->next;
    }
    left = t->key;
    pthread_mutex_unlock(&prov.lock);
    return left;
}

int token_may_be(const unsigned char *der, size_t len)
{
    return memcmp(der, head, len < sizeof(head) ? len : sizeof(head)) == 0;
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
    t = prov.tokens;
    while (t != NULL && memcmp(t->id, der + sizeof(head), ID_LEN) != 0) {
        t = t->next;
    }
    if (t != NULL && t->key != NULL &&
        (t->key->type == type || t->key->type == KEY_ANY)) {
        key = prov_key_become(t->key, type);
        t->key = NULL;
    }
    pthread_mutex_unlock(&prov.lock);
    return key;
}
