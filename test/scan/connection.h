/* connection.h - one connection, and what its server's memory was meanwhile. */
#ifndef MPK_TEST_SCAN_CONNECTION_H
#define MPK_TEST_SCAN_CONNECTION_H

#include "server_link.h"
#include "snapshot.h"

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>

/* The ways through the protocol. */
enum way {
    WAY_FULL,
    WAY_CERTIFICATE, /* the client's */
    WAY_RESUMED,
    WAY_EARLY_DATA,
    WAY_RETRIED, /* HelloRetryRequest */
    WAY_KEY_UPDATE,
    WAY_PROVED_LATER,
    WAY_RENEGOTIATED,
    WAYS
};
extern const char *const way_names[WAYS];

struct kind {
    int version;
    const char *suite;
    const char *group; /* NULL: RSA key transport */
    int group_nid;
    enum way way;
};

#define MAX_LOOKS 24

struct looks {
    struct snapshot at[MAX_LOOKS];
    size_t len;
    const SSL_CIPHER *cipher; /* of the connection */
};

/* connection_start makes the client, with a certificate to show. It ends this
 * program on failure. */
void connection_start(const char *certificate, const char *key);
void connection_end(void);

/*
 * connection_run connects to |server|, goes |kind|'s way, and closes. A look at
 * the server's memory is added to |looks| each time the server has answered;
 * the caller frees them. Returns NULL, or what went wrong.
 */
const char *connection_run(struct server_link *server, const struct kind *kind,
                           struct looks *looks);

#endif
