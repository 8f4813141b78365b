/*
 * protocol.h - what scan_matrix asks of scan_subject, and what that answers:
 * each is one message on a socket that keeps their borders, a head with the
 * bytes that follow it. Only what is on the wire of a TLS connection is in
 * them, and how the connection is to be made.
 */
#ifndef MPK_TEST_SCAN_PROTOCOL_H
#define MPK_TEST_SCAN_PROTOCOL_H

#include <stdbool.h>
#include <stdint.h>

#define WIRE_MAX 40000

enum request {
    ASK_OPEN,  /* a connection; the bytes are a struct opening */
    ASK_FEED,  /* takes what came on the wire, and goes on as far as it can */
    ASK_SAY,   /* sends a line of text */
    ASK_PROVE, /* a server: asks for the client's certificate now */
    ASK_CLOSE,
};

struct opening {
    int version;
    char suites[64], groups[64];
    bool early;       /* reads early data first, or sends some */
    bool certificate; /* asks for the client's, or shows it */
    bool resumed;     /* a client: the session of its last connection */
};

struct ask {
    enum request what;
    uint32_t len;
};

struct answer {
    bool ok; /* else the bytes are a reason */
    bool finished, early, certificate;
    uint32_t len;
};

#endif
