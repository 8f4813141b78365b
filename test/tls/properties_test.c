/*
 * A program that changes its default properties when it has made connections:
 * the next SSL_CTX is refused if libssl would take its algorithms from
 * elsewhere, and the one after that is not, if they are as they were. Seen to
 * fail when tls_selfcheck looks once only.
 *
 * And one whose SSL_CTX is there already: with a key exchange that is not ours
 * all would be in the clear, so its connections are refused. Seen to fail
 * without tls_still_ours.
 */
#include "../interop/ends.h"
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

/* Finite-field DHE, whose keys have a public name. A peer with a known key. */
static bool connects(SSL_CTX *client)
{
    const struct key_type *type = key_type_find("RSA-2048");
    struct ends c;
    bool ok;

    SSL_CTX_up_ref(client);
    c.ctx[0] = client;
    c.ctx[1] = SSL_CTX_new_ex(interop_ref(), NULL, TLS_server_method());
    ends_certify(c.ctx[1], interop_ref(), type, key_reference(type));
    CHECK(SSL_CTX_set_dh_auto(c.ctx[1], 1));
    ends_open(&c);
    ok = ends_shake_hands(c.end[0], c.end[1]);
    if (ok) {
        ends_pass(c.end[0], c.end[1], 100, 1);
    }
    ends_close(&c);
    ERR_clear_error();
    return ok;
}

static void an_older_context_is_refused_too(void)
{
    static const char *const elsewhere[] = {"provider=default",
                                            "?provider=default"};
    SSL_CTX *client = SSL_CTX_new(TLS_client_method());

    SSL_CTX_set_max_proto_version(client, TLS1_2_VERSION);
    CHECK(SSL_CTX_set_cipher_list(client, "DHE-RSA-AES128-GCM-SHA256"));
    for (int i = 0; i < 2; i++) {
        interop_subject("DHE after default_properties = %s", elsewhere[i]);
        CHECK(connects(client));
        CHECK(EVP_set_default_properties(NULL, elsewhere[i]));
        CHECK(!connects(client));
        CHECK(!connects(client));
        CHECK(EVP_set_default_properties(NULL, "?mpk.use=yes"));
        CHECK(connects(client));
    }
    SSL_CTX_free(client);
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
    an_older_context_is_refused_too();
    return interop_finish();
}
