#ifndef MPK_BENCH_TLSPAIR_H
#define MPK_BENCH_TLSPAIR_H

/*
 * A TLS server and a client in one process, joined by memory. The server uses
 * the process's own library context, which is what is measured. The client
 * uses a stock one, the same in all columns, and is not.
 */

#include "bench.h"

#include <openssl/ssl.h>

struct tls_setup {
    int version;        /* TLS1_2_VERSION or TLS1_3_VERSION */
    const char *cipher; /* a suite of that version, NULL: the usual ones */
    const char *group;  /* NULL: the usual ones */
    bool tickets;       /* the server gives out tickets */
    SSL_CTX *client;    /* one to share; NULL: a new one */
};

struct tls_ends {
    SSL_CTX *server, *client;
};

struct tls_pair {
    SSL *server, *client;
};

/* tls_ends_new returns false with a line in |why|. */
bool tls_ends_new(struct tls_ends *e, const struct tls_setup *setup,
                  const struct column *column, const char *material, char *why);
void tls_ends_free(struct tls_ends *e);

/*
 * tls_connect makes a connection; |resume| may be NULL. All that the server
 * does is measured with |m|, if that is not NULL. |room| is what fits in
 * between the two.
 */
bool tls_connect(struct tls_pair *p, const struct tls_ends *e,
                 SSL_SESSION *resume, size_t room, struct meter *m);
void tls_disconnect(struct tls_pair *p, struct meter *m);

#endif
