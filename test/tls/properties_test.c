/*
 * A program that changes its default properties when it has made connections:
 * the next SSL_CTX is refused if libssl would take its algorithms from
 * elsewhere, and the one after that is not, if they are as they were. Seen to
 * fail when tls_selfcheck looks once only.
 */
#include "../interop/interop.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>

static bool can_connect(void)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

    SSL_CTX_free(ctx);
    return ctx != NULL;
}

static void with(const char *properties, bool good)
{
    interop_subject("default_properties = %s", properties);
    CHECK(EVP_set_default_properties(NULL, properties));
    CHECK(can_connect() == good);
    CHECK(good || interop_queue_says("session secrets"));
    ERR_clear_error();
}

int main(void)
{
    interop_start();
    CHECK(can_connect());
    with("provider=default", false);
    with("?mpk.use=yes", true);
    with("?provider=default", false);
    with("?mpk.use=yes,?provider=default", true); /* ours are first */
    with("?mpk.use=yes", true);
    return interop_finish();
}
