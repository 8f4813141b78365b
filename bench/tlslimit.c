/* tlslimit.c - one version, one suite, some groups. */
#include "tlslimit.h"

bool tls_limit(SSL_CTX *ctx, int version, const char *cipher,
               const char *groups)
{
    if (ctx == NULL || !SSL_CTX_set_min_proto_version(ctx, version) ||
        !SSL_CTX_set_max_proto_version(ctx, version)) {
        return false;
    }
    if (cipher != NULL &&
        !(version == TLS1_3_VERSION ? SSL_CTX_set_ciphersuites(ctx, cipher)
                                    : SSL_CTX_set_cipher_list(ctx, cipher))) {
        return false;
    }
    return groups == NULL || SSL_CTX_set1_groups_list(ctx, groups);
}
