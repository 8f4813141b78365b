/*
 * quic_server is a QUIC server of OpenSSL 3.5 that sends back what it gets, one
 * connection after the other:
 *
 *   quic_server CERTIFICATE KEY KEYLOG
 *
 * It prints "ACCEPT 127.0.0.1:PORT" when it is ready. KEYLOG is what its libssl
 * takes for the secrets. quic_test.sh compiles it.
 */

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/quic.h>
#include <openssl/ssl.h>

static FILE *keylog;

static void log_line(const SSL *ssl, const char *line)
{
    (void)ssl;
    fprintf(keylog, "%s\n", line);
    fflush(keylog);
}

static void die(const char *what)
{
    fprintf(stderr, "%s\n", what);
    ERR_print_errors_fp(stderr);
    exit(1);
}

/* QUIC demands that something is agreed on. */
static int choose_protocol(SSL *ssl, const unsigned char **out,
                           unsigned char *out_len, const unsigned char *in,
                           unsigned int in_len, void *arg)
{
    (void)ssl;
    (void)arg;
    if (in_len < 1 || in[0] >= in_len) {
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    *out = in + 1;
    *out_len = in[0];
    return SSL_TLSEXT_ERR_OK;
}

static SSL_CTX *context(const char *certificate, const char *key)
{
    SSL_CTX *ctx = SSL_CTX_new(OSSL_QUIC_server_method());

    if (ctx == NULL ||
        SSL_CTX_use_certificate_chain_file(ctx, certificate) != 1 ||
        SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1) {
        die("no certificate");
    }
    SSL_CTX_set_alpn_select_cb(ctx, choose_protocol, NULL);
    SSL_CTX_set_keylog_callback(ctx, log_line);
    return ctx;
}

static SSL *listener_new(SSL_CTX *ctx)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t len = sizeof(at);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    SSL *listener = SSL_new_listener(ctx, 0);

    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || listener == NULL ||
        bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0 ||
        getsockname(fd, (struct sockaddr *)&at, &len) != 0 ||
        !SSL_set_fd(listener, fd) || !SSL_listen(listener) ||
        !SSL_set_blocking_mode(listener, 1)) {
        die("no listener");
    }
    printf("ACCEPT 127.0.0.1:%d\n", ntohs(at.sin_port));
    fflush(stdout);
    return listener;
}

static void echo(SSL *connection)
{
    char buf[4096];
    size_t n, written;

    while (SSL_read_ex(connection, buf, sizeof(buf), &n)) {
        if (!SSL_write_ex(connection, buf, n, &written)) {
            break;
        }
    }
    ERR_clear_error();
}

int main(int argc, char **argv)
{
    SSL *listener, *connection;

    if (argc != 4 || (keylog = fopen(argv[3], "a")) == NULL) {
        fputs("usage: quic_server CERTIFICATE KEY KEYLOG\n", stderr);
        return 2;
    }
    listener = listener_new(context(argv[1], argv[2]));
    while ((connection = SSL_accept_connection(listener, 0)) != NULL) {
        echo(connection);
        SSL_free(connection);
    }
    die("no connection");
}
