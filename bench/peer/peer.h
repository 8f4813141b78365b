#ifndef MPK_BENCH_PEER_H
#define MPK_BENCH_PEER_H

/*
 * The TLS client of the benchmarks, in a shared object with a libssl and a
 * libcrypto of its own. It shares neither code nor tables nor library contexts
 * with the server that is measured, whatever the column: a server has no client
 * in its process that warms its caches for it.
 *
 * Nothing of OpenSSL's passes this interface, only bytes.
 */

#include <stdbool.h>
#include <stddef.h>

#define PEER_API __attribute__((visibility("default")))

struct peer_ctx;     /* an SSL_CTX */
struct peer;         /* a connection */
struct peer_session; /* what can be resumed */

/*
 * peer_ctx_new returns a client for one version of TLS (TLS1_2_VERSION or
 * TLS1_3_VERSION) and, if they are not NULL, one suite and a list of groups.
 * NULL on failure; peer_why says why.
 */
PEER_API struct peer_ctx *peer_ctx_new(int version, const char *cipher,
                                       const char *groups);
PEER_API void peer_ctx_free(struct peer_ctx *ctx);

/* peer_new begins a connection; |resume| may be NULL. */
PEER_API struct peer *peer_new(const struct peer_ctx *ctx,
                               const struct peer_session *resume);
PEER_API void peer_free(struct peer *p);

/* peer_feed takes bytes that the server has sent. */
PEER_API bool peer_feed(struct peer *p, const void *data, size_t len);

/* peer_fetch gives out at most |room| bytes for the server: how many. */
PEER_API size_t peer_fetch(struct peer *p, void *data, size_t room);

/* peer_step goes on shaking hands: 1 done, 0 the server's turn, -1 failed. */
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
