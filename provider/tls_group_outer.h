/* tls_group_outer.h - keys of TLS groups as libssl holds them. Outside. */
#ifndef MPKPROV_TLS_GROUP_OUTER_H
#define MPKPROV_TLS_GROUP_OUTER_H

#include "prov.h"
#include "secret.h"
#include "tls.h"
#include "tls_group.h"

/*
 * Keydata of the groups' keymgmts: a group alone, a peer's public key, or a
 * pair, whose private part is inside. A pair is good for one exchange, after
 * which nothing of it is left inside.
 */
struct group_key {
    int references;
    struct prov_ctx *ctx;
    enum group_alg alg;
    const struct tls_group *group; /* NULL while it is not known */
    int has_private;               /* it is, or was, a pair */
    /* The prime was asked of this key, or of the one whose parameters it has:
     * libssl says that in TLS 1.2, where it goes by a name in TLS 1.3. */
    int in_numbers;
    uint64_t handle; /* of the private part, 0 when it is spent */
    /* group->public_len bytes, or NULL. A peer's point that did not come
     * uncompressed is in hybrid form, so that the exchange knows of it. */
    unsigned char *public;
    /* The exchange with a peer who was known when the pair was made: the
     * secret's handle, and behind it that peer's public key, until it is asked
     * for. The pair is spent then. Of a peer's key for encapsulation, the
     * handle and the ciphertext, which are this process's: its children of fork
     * encapsulate for themselves. |forks| is how many lay before it then. */
    unsigned char *ready;
    uint32_t forks;
};

struct group_key *group_key_ref(struct group_key *key);
void group_key_unref(struct group_key *key);

/* Ends the private part: returns its handle for the one exchange. */
uint64_t group_key_take(struct group_key *key);
/* If the exchange with |peer| is ready: its handle at |out|, once, and 1. */
int group_key_ready(struct group_key *key, const struct group_key *peer,
                    unsigned char *out);
/* If encapsulation for |key| is ready: both results, once, and 1. */
int group_key_encapsulated(struct group_key *key, unsigned char *ciphertext,
                           unsigned char *handle);
/* What a key answers, and the lists of that (tls_group_answer.c); a key of DH
 * tells its numbers, too. */
int group_key_get_proxy(void *keydata, OSSL_PARAM params[]);
const OSSL_PARAM *group_key_list(void *provctx);
const OSSL_PARAM *group_key_list_numbers(void *provctx);
/* The number of the key's group, for frames. */
static inline int32_t group_number(const struct group_key *key)
{
    return (int32_t)(key->group - tls_groups);
}

/* The length of a secret's handle. */
static inline size_t group_handle_len(const struct tls_group *g)
{
    return g->secret_len + PREMASTER_MORE;
}

#define GROUP_EXCHANGE_NAME "MPK-TLS-EXCHANGE"
#define GROUP_KEM_NAME "MPK-TLS-KEM"

#endif
