/* subject_link.h - scan_matrix's side of protocol.h. */
#ifndef MPK_TEST_SCAN_SUBJECT_LINK_H
#define MPK_TEST_SCAN_SUBJECT_LINK_H

#include "protocol.h"

#include <stddef.h>
#include <sys/types.h>

struct subject_link {
    const char *name; /* for messages */
    pid_t pid;
    int fd;
    struct answer answer;         /* the last one */
    unsigned char data[WIRE_MAX]; /* its bytes, and a zero after a reason */
};

/*
 * link_start runs |program| in |role|, with |conf| as OPENSSL_CONF and |files|
 * as its further arguments, a NULL after the last. It ends this program on
 * failure.
 */
void link_start(struct subject_link *s, const char *program, char *role,
                const char *conf, char **files);

/* link_ask: true when it was done. One that is gone ends this program. */
bool link_ask(struct subject_link *s, enum request what, const void *data,
              size_t len);

void link_stop(struct subject_link *s);

#endif
