/*
 * connection.h - one connection with a subject, a server or a client, and what
 * its memory was meanwhile. The other end, the peer, is here.
 */
#ifndef MPK_TEST_SCAN_CONNECTION_H
#define MPK_TEST_SCAN_CONNECTION_H

#include "snapshot.h"
#include "subject_link.h"

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
    unsigned first;           /* spied secret that is of this connection */
    const SSL_CIPHER *cipher; /* of the connection */
};

/*
 * connection_start makes the peer of a server or of a client, with |files| of
 * certificates and keys in turn, a NULL after the last: a client shows the
 * first. It ends this program on failure.
 */
void connection_start(bool subject_is_server, char *const *files);
void connection_end(void);

/*
 * connection_run makes a connection with |subject|, goes |kind|'s way, and
 * closes. A look at its memory is added to |looks| each time it has answered;
 * the caller frees them. Returns NULL, or what went wrong.
 */
const char *connection_run(struct subject_link *subject,
                           const struct kind *kind, struct looks *looks);

#endif
