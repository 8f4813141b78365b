#ifndef MPK_TEST_TLS_GROUPS_H
#define MPK_TEST_TLS_GROUPS_H

/* The groups that a provider offers libssl, and keys of them. */

#include "../interop/interop.h"

#include <openssl/evp.h>

#define GROUPS_MAX 64
#define GROUP_NAME_MAX 32

struct group {
    char name[GROUP_NAME_MAX];     /* in lists of groups */
    char internal[GROUP_NAME_MAX]; /* when a key is made */
    char alg[GROUP_NAME_MAX];
    unsigned id, security_bits, is_kem;
    int min_tls, max_tls, min_dtls, max_dtls;
};

struct groups {
    struct group at[GROUPS_MAX];
    size_t n;
};

/* groups_of asks |provider| of the default library context, or of |libctx|. */
void groups_of(OSSL_LIB_CTX *libctx, const char *provider, struct groups *out);

/* The first of |g| with this name, or NULL. */
const struct group *group_find(const struct groups *g, const char *name);

/* group_pair makes a pair and group_blank a key that has the group only, as
 * libssl does it; the caller frees them. NULL when it fails. */
EVP_PKEY *group_pair(const struct group *g);
EVP_PKEY *group_blank(const struct group *g);

/* A key with the group of |of| and the public key |public|, as libssl makes
 * the peer's; NULL when it is refused. */
EVP_PKEY *group_peer(EVP_PKEY *of, const unsigned char *public, size_t len);

/* What EVP_PKEY_derive gives, as libssl calls it; its length, 0 when it
 * fails. */
#define GROUP_SECRET_ROOM 2048
size_t group_derive(EVP_PKEY *own, EVP_PKEY *peer,
                    unsigned char secret[GROUP_SECRET_ROOM]);

#endif
