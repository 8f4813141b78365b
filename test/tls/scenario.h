#ifndef MPK_TEST_SCENARIO_H
#define MPK_TEST_SCENARIO_H

/*
 * A scenario is a server, a client and a few connections of theirs, drawn at
 * random: settings that may not fit together, callbacks that put things off,
 * a wire that damages what it carries. What comes of it is a transcript:
 * what libssl tells and reports at each end, without what is random in it.
 */

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { CLIENT, SERVER, ENDS };

enum fault_kind {
    FAULT_NONE,
    FAULT_FLIP,  /* a bit of the record */
    FAULT_CUT,   /* nothing arrives from there on */
    FAULT_DROP,  /* the record does not arrive */
    FAULT_TWICE, /* it arrives twice */
    FAULT_KINDS
};

struct fault {
    enum fault_kind kind;
    int from;   /* the end that has sent it */
    int record; /* of that connection, from 0 */
    size_t at;  /* in the record; its header has five bytes */
    unsigned char mask;
};

enum operation {
    OP_TO_SERVER,
    OP_TO_CLIENT,
    OP_UPDATE, /* of TLS 1.3's keys */
    OP_RENEGOTIATE,
    OP_CERTIFICATE, /* of the client, after the handshake */
    OPERATIONS
};

#define SCENARIO_OPS 5

struct scenario {
    uint64_t seed;
    struct scenario_end {
        int min, max;       /* versions */
        const char *list;   /* suites of TLS 1.2 */
        const char *suites; /* of TLS 1.3 */
        const char *groups;
        const char *sigalgs;  /* NULL: all */
        const char *types[2]; /* of keys; NULL: none */
        uint64_t options;
        bool suspends; /* its certificate comes later */
    } end[ENDS];
    int verify; /* of the server */
    int connections;
    size_t piece; /* at most so many bytes arrive at once; 0: all */
    struct fault fault;
    enum operation ops[SCENARIO_OPS];
    size_t size; /* of what an operation sends */
};

/* What the transcripts of some scenarios are about. */
struct scenario_counts {
    unsigned long handshakes, failures, resumptions, faults, renegotiations,
        certificates, updates;
};

void scenario_draw(struct scenario *s, uint64_t seed);
void scenario_print(const struct scenario *s, FILE *to);

/*
 * Runs it with both ends in |libctx|, and writes the transcript to |to|. Keys
 * and certificates are made at the first run in each library context and kept;
 * scenario_forget frees them.
 */
void scenario_run(const struct scenario *s, OSSL_LIB_CTX *libctx, FILE *to,
                  struct scenario_counts *counts);
void scenario_forget(void);

#endif
