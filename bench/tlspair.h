#ifndef MPK_BENCH_TLSPAIR_H
#define MPK_BENCH_TLSPAIR_H

/*
 * A TLS server and a client in one process, joined by memory. The server uses
 * the process's own library context, which is what is measured. The client has
 * an OpenSSL of its own, the same in all columns (peer/peer.h), and is not.
 */

#include "bench.h"
#include "peer.h"

#include <openssl/ssl.h>

struct tls_setup {
    int version;        /* TLS1_2_VERSION or TLS1_3_VERSION */
    const char *cipher; /* a suite of that version, NULL: the usual ones */
    const char *group;  /* NULL: the usual ones */
    bool tickets;       /* the server gives out tickets */
};

struct tls_pair {
    SSL *server;
    BIO *wire; /* the other end of the server's */
    struct peer *client;
};

/* These return NULL with a line in |why|; SSL_CTX_free, peer_ctx_free. */
SSL_CTX *tls_server_new(const struct tls_setup *setup,
                        const struct column *column, const char *material,
                        char *why);
struct peer_ctx *tls_client_new(const struct tls_setup *setup, char *why);

/*
 * tls_connect makes a connection; |resume| may be NULL. All that the server
 * does is measured with |m|, if that is not NULL. |room| is what fits in
 * between the two.
 */
bool tls_connect(struct tls_pair *p, SSL_CTX *server, struct peer_ctx *client,
                 const struct peer_session *resume, size_t room,
                 struct meter *m);

/* tls_carry carries all that either has sent to the other. */
bool tls_carry(struct tls_pair *p);
void tls_disconnect(struct tls_pair *p, struct meter *m);

#endif
