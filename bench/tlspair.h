#ifndef MPK_BENCH_TLSPAIR_H
#define MPK_BENCH_TLSPAIR_H

/*
 * A TLS server and a client in one process, joined by memory. One of them is
 * measured; it uses the process's own library context. The other, its peer,
 * has an OpenSSL of its own, the same in all columns (peer/peer.h).
 */

#include "bench.h"
#include "peer.h"

#include <openssl/ssl.h>

struct tls_setup {
    int version;        /* TLS1_2_VERSION or TLS1_3_VERSION */
    const char *cipher; /* a suite of that version, NULL: the usual ones */
    const char *group;  /* NULL: the usual ones */
    bool tickets;       /* the server gives out tickets */
    bool client;        /* the client is measured, and not the server */
    bool mutual;        /* the client has a certificate, too */
};

struct tls_pair {
    SSL *ssl;  /* what is measured */
    BIO *wire; /* the other end of its own */
    struct peer *peer;
};

/* What a client can resume: one of the two. */
struct tls_session {
    SSL_SESSION *own;
    struct peer_session *of_peer;
};

/* These return NULL with a line in |why|; SSL_CTX_free, peer_ctx_free. */
SSL_CTX *tls_end_new(const struct tls_setup *setup, const struct column *column,
                     const char *material, char *why);
struct peer_ctx *tls_peer_new(const struct tls_setup *setup,
                              const char *material, char *why);

/*
 * tls_connect makes a connection, which resumes |session| if that is not empty.
 * All that the measured end does is measured with |m|. |room| is what fits in
 * between the two. tls_disconnect ends |p|, also when tls_connect has failed.
 */
bool tls_connect(struct tls_pair *p, SSL_CTX *end, struct peer_ctx *peer,
                 const struct tls_session *session, size_t room,
                 struct meter *m);

/* tls_carry carries all that either has sent to the other. */
bool tls_carry(struct tls_pair *p);
void tls_disconnect(struct tls_pair *p, struct meter *m);

/* tls_session_keep takes the newest of the client, for tls_connect. */
void tls_session_keep(struct tls_session *s, const struct tls_pair *p);
void tls_session_free(struct tls_session *s);

#endif
