#ifndef MPK_TEST_ENDS_H
#define MPK_TEST_ENDS_H

/* The two ends of a TLS connection in one process; claims as in interop.h. */

#include "keys.h"

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>

/* Gives |ctx|, of |libctx|, the certificate of |type| and |key|, which stays
 * the caller's. */
void ends_certify(SSL_CTX *ctx, OSSL_LIB_CTX *libctx,
                  const struct key_type *type, EVP_PKEY *key);

/* Joins the two by memory, one wire for what each writes, and says which is
 * which. The caller keeps a reference to both wires. */
void ends_join(SSL *client, SSL *server, BIO *wire[2]);

/* Client and server, in this order. */
struct ends {
    SSL_CTX *ctx[2];
    SSL *end[2];
    BIO *wire[2];
};

/* ends_open makes and joins the ends of |c->ctx|; ends_close frees all that
 * there is, the two SSL_CTX as well. */
void ends_open(struct ends *c);
void ends_close(struct ends *c);

/* One step of a handshake; true also when it is the other end's turn. */
bool ends_step(SSL *ssl);

/* The whole of it, in at most 20 steps of each. */
bool ends_shake_hands(SSL *client, SSL *server);

/* |len| bytes made of |seed| go from one end to the other. */
void ends_pass(SSL *from, SSL *to, size_t len, unsigned seed);

#endif
