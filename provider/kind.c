/* kind.c - keys that behave alike. */
#include "kind.h"

#include "prov.h"

#include <stdlib.h>

/* More than any server has; a key of yet another kind stays alone. */
#define KINDS_MAX 64

/* Kept for as long as the process lives: keys come and go. */
struct kind {
    struct kind *next;
    enum key_type type;
    int bits, security_bits, size;
    char group[64];
    struct known *known;
};

static struct kind *find(const struct kind *like)
{
    struct kind *k = prov.kinds;

    while (k != NULL &&
           (k->type != like->type || k->bits != like->bits ||
            k->security_bits != like->security_bits || k->size != like->size ||
            strcmp(k->group, like->group) != 0)) {
        k = k->next;
    }
    return k;
}

/* The one that is there already, or a new one; NULL if there are too many. */
static struct kind *find_or_add(const struct kind *like)
{
    struct kind *k = find(like);

    if (k != NULL || prov.n_kinds >= KINDS_MAX) {
        return k;
    }
    k = malloc(sizeof(*k));
    if (k == NULL) {
        return NULL;
    }
    *k = *like;
    k->known = known_new();
    k->next = prov.kinds;
    prov.kinds = k;
    prov.n_kinds++;
    return k;
}

/* Whether size and group say all that an operation's set-up depends on. */
static int may_share(enum key_type type)
{
    return type != KEY_RSA_PSS && type != KEY_SM2 && type != KEY_DH &&
           type != KEY_DHX && type != KEY_DSA;
}

static int ask(const struct prov_key *key, struct kind *k)
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, &k->bits),
        OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, &k->security_bits),
        OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, &k->size),
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, k->group,
                               sizeof(k->group) - 1),
        OSSL_PARAM_END};
    struct mpkprov_frame f = {
        .handle = key->handle, .type = key->type, .params = params};

    k->type = key->type;
    /* No error is raised: whoever uses the key will see it. */
    return mpk_call(OP_key_get, &f) == 1 && k->size > 0 &&
           (key->type != KEY_EC || k->group[0] != '\0');
}

void kind_join(struct prov_key *key)
{
    struct kind like = {0}, *k;

    if (key->handle == 0 || !may_share(key->type) || !ask(key, &like)) {
        return;
    }
    atomic_store(&key->max_size, (size_t)like.size);
    pthread_mutex_lock(&prov.lock);
    k = find_or_add(&like);
    if (k != NULL && k->known != NULL) {
        known_release(key->known);
        key->known = known_ref(k->known);
    }
    pthread_mutex_unlock(&prov.lock);
}
