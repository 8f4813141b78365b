#ifndef MPK_BENCH_TLSLIMIT_H
#define MPK_BENCH_TLSLIMIT_H

#include <openssl/ssl.h>
#include <stdbool.h>

/*
 * tls_limit leaves |ctx|, which may be NULL, one version of TLS and, if they
 * are not NULL, one suite of it and a list of groups. Client and server each
 * have a copy, compiled against their own OpenSSL.
 */
bool tls_limit(SSL_CTX *ctx, int version, const char *cipher,
               const char *groups);

#endif
