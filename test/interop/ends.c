#include "ends.h"
#include "interop.h"
#include "ops.h"

#include <openssl/x509.h>
#include <stdlib.h>

void ends_certify(SSL_CTX *ctx, OSSL_LIB_CTX *libctx,
                  const struct key_type *type, EVP_PKEY *key)
{
    X509 *cert = key_certificate(type);
    X509 *copy = X509_new_ex(libctx, NULL);
    unsigned char *der = NULL;
    int len = i2d_X509(cert, &der);
    const unsigned char *p = der;

    CHECK(d2i_X509(&copy, &p, len) != NULL);
    CHECK_INT(SSL_CTX_use_certificate(ctx, copy), 1);
    CHECK_INT(SSL_CTX_use_PrivateKey(ctx, key), 1);
    CHECK_INT(SSL_CTX_check_private_key(ctx), 1);
    OPENSSL_free(der);
    X509_free(cert);
    X509_free(copy);
}

void ends_join(SSL *client, SSL *server, BIO *wire[2])
{
    SSL *end[2] = {client, server};

    for (int i = 0; i < 2; i++) {
        wire[i] = BIO_new(BIO_s_mem());
        BIO_set_mem_eof_return(wire[i], -1);
        BIO_up_ref(wire[i]);
        SSL_set0_wbio(end[i], wire[i]);
        BIO_up_ref(wire[i]);
        SSL_set0_rbio(end[!i], wire[i]);
    }
    SSL_set_connect_state(client);
    SSL_set_accept_state(server);
}

bool ends_step(SSL *ssl)
{
    int ret = SSL_do_handshake(ssl);
    int why = SSL_get_error(ssl, ret);

    return ret == 1 || why == SSL_ERROR_WANT_READ ||
           why == SSL_ERROR_WANT_WRITE;
}

bool ends_shake_hands(SSL *client, SSL *server)
{
    for (int i = 0; i < 20; i++) {
        if (!ends_step(client) || !ends_step(server)) {
            return false;
        }
        if (SSL_is_init_finished(client) && SSL_is_init_finished(server)) {
            return true;
        }
    }
    return false;
}

void ends_pass(SSL *from, SSL *to, size_t len, unsigned seed)
{
    unsigned char *sent = interop_new(len), *got = interop_new(len);
    size_t done = 0, n = 0;

    fill(sent, len, seed);
    CHECK_INT(SSL_write_ex(from, sent, len, &n), 1);
    while (done < len && SSL_read_ex(to, got + done, len - done, &n)) {
        done += n;
    }
    CHECK_MEM(got, done, sent, len);
    CHECK_QUEUE_EMPTY();
    free(sent);
    free(got);
}

void ends_open(struct ends *c)
{
    for (int i = 0; i < 2; i++) {
        c->end[i] = SSL_new(c->ctx[i]);
    }
    ends_join(c->end[0], c->end[1], c->wire);
}

void ends_close(struct ends *c)
{
    for (int i = 0; i < 2; i++) {
        SSL_free(c->end[i]);
        SSL_CTX_free(c->ctx[i]);
        BIO_free(c->wire[i]);
    }
}
