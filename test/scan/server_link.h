/* server_link.h - scan_matrix's side of protocol.h. */
#ifndef MPK_TEST_SCAN_SERVER_LINK_H
#define MPK_TEST_SCAN_SERVER_LINK_H

#include "protocol.h"

#include <stddef.h>
#include <sys/types.h>

struct server_link {
    const char *name; /* for messages */
    pid_t pid;
    int fd;
    struct answer answer;         /* the last one */
    unsigned char data[WIRE_MAX]; /* its bytes, and a zero after a reason */
};

/*
 * link_start runs |program| with |conf| as OPENSSL_CONF and |files| as its
 * further arguments, a NULL after the last. It ends this program on failure.
 */
void link_start(struct server_link *s, const char *program, const char *conf,
                char **files);

/* link_ask: true when the server did it. A server that is gone ends this
 * program. */
bool link_ask(struct server_link *s, enum request what, const void *data,
              size_t len);

void link_stop(struct server_link *s);

#endif
