/*
 * A TLS connection of this process with itself. The server uses the default
 * library context, with the configuration in force; the client one of its own
 * that no configuration reaches, so that what it knows is the truth.
 */
#ifndef MPK_TOOLS_LOOPBACK_H
#define MPK_TOOLS_LOOPBACK_H

#include <openssl/ssl.h>
#include <stdbool.h>

#define LOOPBACK_LOG 8192

/* The lines of one side's key log. */
struct loopback_log {
    char text[LOOPBACK_LOG];
    size_t len;
};

struct loopback {
    SSL_CTX *server_ctx;
    SSL_CTX *client_ctx;
    SSL *server;
    SSL *client;
    struct loopback_log server_log;
    struct loopback_log client_log;
    /* Who has the key of the key exchange, or NULL if there was none; valid
     * while that provider is loaded. */
    const OSSL_PROVIDER *exchange;
    const char *failed; /* which step did, after a failure */
};

/*
 * loopback_init makes both ends for |version| (TLS1_3_VERSION and the like).
 * The server has a certificate of each of the |n| |keys|, or of those that the
 * configuration admits; they are loaded from PEM, as applications load them.
 * Returns 0 or -1, with |l|->failed and libcrypto's error queue. loopback_free
 * releases |l| in both cases.
 */
int loopback_init(struct loopback *l, OSSL_LIB_CTX *stock, int version,
                  EVP_PKEY *const keys[], size_t n);
void loopback_free(struct loopback *l);

/*
 * loopback_connect makes a connection, of |session| unless it is NULL, and
 * sends a byte each way, after which tickets have arrived; one of TLS 1.3 that
 * resumes sends early data, too. Returns 0 or -1, as above.
 */
int loopback_connect(struct loopback *l, SSL_SESSION *session);

/* loopback_disconnect ends it. */
void loopback_disconnect(struct loopback *l);

#endif
