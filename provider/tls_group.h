/*
 * tls_group.h - the groups of TLS and their ephemeral keys.
 *
 * libssl finds a group through the TLS-GROUP capability, and makes its keys
 * under the algorithm name that it finds there. These names are ours alone, so
 * no key of an application's comes here. See docs/design/groups.md.
 */
#ifndef MPKPROV_TLS_GROUP_H
#define MPKPROV_TLS_GROUP_H

#include "ops.h"

/* ---- both sides: the table (tls_group.c) -------------------------------- */

/* Key managements outside; a group belongs to one. */
enum group_alg {
    GROUP_X25519,
    GROUP_X448,
    GROUP_EC,
    GROUP_DH,
    GROUP_KEM,
    GROUP_ALGS
};

struct tls_group {
    const char *name;   /* libssl says it when it makes a key; unique */
    const char *tls[2]; /* what it is called in a list of groups */
    enum group_alg alg;
    uint32_t id; /* RFC 8446 4.2.7, IANA TLS Supported Groups */
    uint32_t security_bits;
    int32_t min_tls, max_tls, min_dtls, max_dtls; /* 0 open, -1 never */
    /* Names in the inner OpenSSL: key, group of it or NULL, operation. */
    const char *key, *group, *operation;
    uint32_t bits;
    uint32_t public_len, secret_len;
    uint32_t ciphertext_len; /* of a KEM, or 0 */
};

#define TLS_GROUPS_MAX 32
/* Of all groups; SecP384r1MLKEM1024 and ffdhe8192 have the longest ones. */
#define GROUP_PUBLIC_MAX 1665
#define GROUP_SECRET_MAX 1024

extern const struct tls_group tls_groups[];
extern const int tls_n_groups;

/* The group of |alg| called |name|, in any case of letters, or NULL. */
const struct tls_group *tls_group_by_name(enum group_alg alg, const char *name);

/*
 * Public keys have one form, but for points, which may also be compressed, or
 * hybrid (SEC 1 2.3.3, X9.62 4.3.6): whole, and with the byte of a compressed
 * one. tls_group_form_ok says whether |len| bytes at |public| can be a key of
 * |g| by their length and form; whether they are is for the inside to say.
 * tls_group_form_plain says whether the form is the one of TLS 1.3.
 */
#define POINT_UNCOMPRESSED 4
#define POINT_HYBRID 6 /* or 7, for an odd y */
int tls_group_form_ok(const struct tls_group *g, const unsigned char *public,
                      size_t len);
int tls_group_form_plain(const struct tls_group *g,
                         const unsigned char *public);

/* ---- inside (tls_group_inner.c) ------------------------------------------ */

/* The group of number |i| that a frame names, if the inner OpenSSL has it. */
const struct tls_group *group_there(int32_t i);
/* The key exchange or KEM of a group. */
struct inner_alg;
const struct inner_alg *group_operation(const struct tls_group *g);

/* A new key pair, and its encoded public key of g->public_len bytes;
 * NULL with an error in |f|. */
void *group_key_make(struct mpkprov_frame *f, const struct tls_group *g,
                     unsigned char public[GROUP_PUBLIC_MAX]);
/* The peer's key at f->in, checked; NULL with an error in |f|. |*plain| is
 * what tls_group_form_plain says of it. */
void *group_key_peer(struct mpkprov_frame *f, const struct tls_group *g,
                     int *plain);
/* The public key of |key|, of g->public_len bytes; 1 or 0. */
int group_key_encode(const struct tls_group *g, void *key,
                     unsigned char public[GROUP_PUBLIC_MAX]);
void group_key_free(int group, void *key);
/* The prime of a DH group, of g->public_len bytes, low byte first; 1 or 0. */
int group_prime(const struct tls_group *g,
                unsigned char prime[GROUP_PUBLIC_MAX]);

/*
 * X25519 (tls_group_x25519.c): a pair is its private number, and a peer's key
 * the bytes that it came in, so that group_key_peer and group_key_encode are
 * not for it. x25519_make returns NULL without memory or random numbers; the
 * heap frees it. x25519_compute returns 0 where the secret is 0 (RFC 7748 6.1).
 */
#define X25519_LEN 32
void *x25519_make(unsigned char public[X25519_LEN]);
int x25519_compute(const void *own, const unsigned char peer[X25519_LEN],
                   unsigned char secret[X25519_LEN]);

/* Pins the ephemeral key f->handle for its only use: the handle ends. */
struct object;
struct object *group_key_spend(struct mpkprov_frame *f,
                               const struct tls_group **g);
/* The secret of |own| and the peer's key at f->in, as a handle at |out|
 * outside; 1, or 0 with an error. (tls_group_exchange.c) */
int group_exchange(struct mpkprov_frame *f, const struct tls_group *g,
                   void *own, void *out);
/* Encapsulates for |peer|: the ciphertext and the secret's handle to outside;
 * 1, or 0 with an error. (tls_group_kem.c) */
int group_encapsulate(struct mpkprov_frame *f, const struct tls_group *g,
                      void *peer, void *ciphertext, void *handle);
/* Puts the sealed |secret| at |out| outside, for all of TLS or, if not
 * |plain|, for TLS 1.2 and before; 1, or 0 with an error. */
int group_secret_give(struct mpkprov_frame *f, void *out, unsigned char *secret,
                      size_t len, int plain);

#endif
