/*
 * A TLS session from a file, as "openssl s_client -sess_out" writes it.
 */
#ifndef MPK_TOOLS_SESSION_H
#define MPK_TOOLS_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SESSION_SECRET_MAX 256

struct session {
    const char *path;
    bool tls13; /* then the secret is a resumption PSK, else a master secret */
    uint8_t secret[SESSION_SECRET_MAX];
    size_t secret_len;
};

/*
 * session_load reads the PEM file |path|, which |out| keeps. Returns 0, or -1
 * after an error message.
 */
int session_load(struct session *out, const char *path);

/* session_free wipes |s|. */
void session_free(struct session *s);

#endif
