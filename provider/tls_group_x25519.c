/*
 * tls_group_x25519.c - X25519, by one function of the inner OpenSSL's. Inside
 * only.
 *
 * What it has around them (a generation, keys, the context of an exchange,
 * parameters by name) costs next to nothing in a loop. In a handshake it is
 * code that is not in the CPU's caches, and nearly every handshake has this
 * group. See docs/design/groups.md.
 */
#include "inside.h"
#include "tls_group.h"

#include <openssl/opensslconf.h>
#include <openssl/rand.h>

#if defined(OPENSSL_NO_EC) || defined(OPENSSL_NO_ECX)

/* Then the group is not there at all. */
void *x25519_make(unsigned char public[X25519_LEN])
{
    (void)public;
    return NULL;
}

int x25519_compute(const void *own, const unsigned char peer[X25519_LEN],
                   unsigned char secret[X25519_LEN])
{
    (void)own;
    (void)peer;
    (void)secret;
    return 0;
}

#else

/* Of libcrypto.a, since 3.0; no installed header has it. */
int ossl_x25519(unsigned char secret[X25519_LEN],
                const unsigned char own[X25519_LEN],
                const unsigned char peer[X25519_LEN]);

/* u = 9 (RFC 7748 4.1). */
static const unsigned char base_point[X25519_LEN] = {9};

/*
 * The public key by the exchange's function (RFC 7748 6.1): its ladder is
 * assembly where libcrypto's own multiplication of the base point is C, and the
 * exchange that comes next finds it in the CPU's caches.
 */
void *x25519_make(unsigned char public[X25519_LEN])
{
    unsigned char *own = mpk_heap_alloc(X25519_LEN);

    if (own != NULL && (RAND_priv_bytes_ex(NULL, own, X25519_LEN, 0) != 1 ||
                        !ossl_x25519(public, own, base_point))) {
        mpk_heap_free(own);
        own = NULL;
    }
    return own;
}

int x25519_compute(const void *own, const unsigned char peer[X25519_LEN],
                   unsigned char secret[X25519_LEN])
{
    return ossl_x25519(secret, own, peer);
}

#endif
