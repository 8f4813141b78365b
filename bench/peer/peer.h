#ifndef MPK_BENCH_PEER_H
#define MPK_BENCH_PEER_H

/*
 * The other end of the benchmarks' connections, in a shared object with a
 * libssl and a libcrypto of its own. It shares neither code nor tables nor
 * library contexts with the end that is measured, whatever the column: nobody
 * in its process warms its caches for it.
 *
 * Nothing of OpenSSL's passes this interface, only bytes.
 */

#include <stdbool.h>
#include <stddef.h>

#define PEER_API __attribute__((visibility("default")))

struct peer_ctx;     /* an SSL_CTX */
struct peer;         /* a connection */
struct peer_session; /* what can be resumed */

struct peer_setup {
    int version;          /* TLS1_2_VERSION or TLS1_3_VERSION */
    const char *cipher;   /* one suite, NULL: the usual ones */
    const char *groups;   /* a list, NULL: the usual ones */
    bool server;          /* else a client */
    const char *identity; /* PEM of its key and certificate, or NULL */
    const char *trusted;  /* PEM: the one certificate that it takes from the
                             other end, which it asks for; NULL: any */
};

/* peer_ctx_new returns NULL on failure; peer_why says why. */
PEER_API struct peer_ctx *peer_ctx_new(const struct peer_setup *setup);
PEER_API void peer_ctx_free(struct peer_ctx *ctx);

/* peer_new begins a connection; |resume| may be NULL, and is for clients. */
PEER_API struct peer *peer_new(const struct peer_ctx *ctx,
                               const struct peer_session *resume);
PEER_API void peer_free(struct peer *p);

/* peer_feed takes bytes that the other end has sent. */
PEER_API bool peer_feed(struct peer *p, const void *data, size_t len);

/* peer_fetch gives out at most |room| bytes for the other end: how many. */
PEER_API size_t peer_fetch(struct peer *p, void *data, size_t room);

/* peer_step goes on shaking hands: 1 done, 0 the other's turn, -1 failed. */
PEER_API int peer_step(struct peer *p);

/* peer_send makes a record; peer_receive reads one: its length, 0 for none. */
PEER_API bool peer_send(struct peer *p, const void *data, size_t len);
PEER_API size_t peer_receive(struct peer *p, void *data, size_t room);

/* peer_session returns the newest; the caller frees it. */
PEER_API struct peer_session *peer_session(struct peer *p);
PEER_API void peer_session_free(struct peer_session *session);

/*
 * peer_why returns the reason of the newest failure, NULL without, and forgets
 * them all.
 */
PEER_API const char *peer_why(void);

#endif
