/* end.c - see end.h. */
#include "end.h"

#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "scan: %s\n", what);
    ERR_print_errors_fp(stderr);
    exit(1);
}

/* What the client shows is looked at by the test. */
static int accept_any(int ok, X509_STORE_CTX *ctx)
{
    (void)ok;
    (void)ctx;
    return 1;
}

static SSL_CTX *new_context(const SSL_METHOD *method)
{
    SSL_CTX *ctx = SSL_CTX_new(method);

    if (ctx == NULL) {
        die("SSL_CTX_new");
    }
    SSL_CTX_set_security_level(ctx, 0); /* for CCM8 */
    return ctx;
}

SSL_CTX *end_server(char *const *files)
{
    static const unsigned char id[] = "scan";
    SSL_CTX *ctx = new_context(TLS_server_method());

    for (; *files != NULL; files += 2) {
        if (SSL_CTX_use_certificate_file(ctx, files[0], SSL_FILETYPE_PEM) !=
                1 ||
            SSL_CTX_use_PrivateKey_file(ctx, files[1], SSL_FILETYPE_PEM) != 1) {
            die(files[1]);
        }
    }
    SSL_CTX_set_options(ctx, SSL_OP_ALLOW_CLIENT_RENEGOTIATION |
                                 SSL_OP_NO_ANTI_REPLAY |
                                 SSL_OP_NO_SESSION_RESUMPTION_ON_RENEGOTIATION);
    SSL_CTX_set_max_early_data(ctx, 4096);
    SSL_CTX_set_session_id_context(ctx, id, sizeof(id));
    return ctx;
}

SSL_CTX *end_client(void)
{
    return new_context(TLS_client_method());
}

static BIO *new_wire(void)
{
    BIO *bio = BIO_new(BIO_s_mem());

    BIO_set_mem_eof_return(bio, -1);
    return bio;
}

/* A client offers TLS 1.3 too, as clients do: one of 1.2 at most has to have a
 * group that libssl knows by its name (docs/design/groups.md). */
SSL *end_open(SSL_CTX *ctx, int version, const char *suites, const char *groups)
{
    SSL *ssl = SSL_new(ctx);
    int most;

    if (ssl == NULL) {
        return NULL;
    }
    most = SSL_is_server(ssl) ? version : TLS1_3_VERSION;
    SSL_set_bio(ssl, new_wire(), new_wire());
    if (SSL_is_server(ssl)) {
        SSL_set_accept_state(ssl);
    } else {
        SSL_set_connect_state(ssl);
    }
    if (!SSL_set_min_proto_version(ssl, version) ||
        !SSL_set_max_proto_version(ssl, most) ||
        !(version == TLS1_3_VERSION ? SSL_set_ciphersuites(ssl, suites)
                                    : SSL_set_cipher_list(ssl, suites)) ||
        (*groups != '\0' && !SSL_set1_groups_list(ssl, groups))) {
        SSL_free(ssl);
        return NULL;
    }
    return ssl;
}

void end_ask(SSL *ssl, bool required)
{
    SSL_set_verify(
        ssl, SSL_VERIFY_PEER | (required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0),
        accept_any);
}

bool end_show(SSL *ssl, const char *certificate, const char *key)
{
    return SSL_use_certificate_file(ssl, certificate, SSL_FILETYPE_PEM) == 1 &&
           SSL_use_PrivateKey_file(ssl, key, SSL_FILETYPE_PEM) == 1;
}

bool end_waits(SSL *ssl, int ret)
{
    return ret > 0 || SSL_get_error(ssl, ret) == SSL_ERROR_WANT_READ;
}

bool end_read_early(SSL *ssl, bool *early, bool *more)
{
    unsigned char bytes[256];
    size_t n = 0;
    int ret;

    do {
        ret = SSL_read_early_data(ssl, bytes, sizeof(bytes), &n);
        *early |= n > 0;
    } while (ret == SSL_READ_EARLY_DATA_SUCCESS);
    *more = ret != SSL_READ_EARLY_DATA_FINISH;
    return ret != SSL_READ_EARLY_DATA_ERROR || end_waits(ssl, -1);
}
