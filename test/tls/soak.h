#ifndef MPK_TEST_SOAK_H
#define MPK_TEST_SOAK_H

/* One connection as soak.c has drawn it. */

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>

#define SOAK_FLIGHTS 5
#define SOAK_SUITES 9

struct suite {
    int version;
    const char *name;
    bool transport; /* RSA key transport: needs an RSA certificate */
};

struct plan {
    const struct suite *suite;
    uint32_t suite_number;
    const char *group;
    bool rsa;   /* the server's certificate, where the suite leaves it open */
    bool retry; /* the client's first share is of a group the server has not */
    bool client_certificate, resume, ticket, early, update, renegotiate;
    bool abrupt;     /* freed without a goodbye */
    int cut_flight;  /* -1: the connection is whole */
    int cut_percent; /* of that flight that still arrives */
};

struct soak_counts {
    unsigned long whole, resumed, client_certificate, early, retried,
        renegotiated, updated;
    unsigned long cut[SOAK_FLIGHTS];
};

/* Where the two ends are at home, and what they resume: [suite][stateful] */
struct side {
    const char *name;
    SSL_CTX *client, *server;
    SSL_SESSION *session[SOAK_SUITES][2];
};

void side_open(struct side *side, const char *name, OSSL_LIB_CTX *client,
               OSSL_LIB_CTX *server);
/* Sessions of both ends are gone after this. */
void side_forget(struct side *side);
void side_close(struct side *side);

/* Makes the connection |p| and ends it; what does not go as it should is a
 * claim of interop.h that fails. */
void soak_connect(struct side *side, const struct plan *p,
                  struct soak_counts *counts);

#endif
