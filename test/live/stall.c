/*
 * stall is a client that stops in the middle of a handshake:
 *
 *   stall -p PORT -t 1.2|1.3 -k KEYLOG
 *
 * It takes the server's first flight, answers nothing, says "stalled" and
 * waits for the end of its input. A server of TLS 1.3 then has all secrets of
 * the connection but the resumption's; KEYLOG is a true list of them. Exit
 * status: 0 it came so far, 1 it did not, 2 usage.
 */

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

static FILE *keylog;

static void log_line(const SSL *ssl, const char *line)
{
    (void)ssl;
    fprintf(keylog, "%s\n", line);
    fflush(keylog);
}

static int dial(int port)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* A client whose words go nowhere until somebody carries them. */
static SSL *client_new(int version)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl;

    if (ctx == NULL || !SSL_CTX_set_min_proto_version(ctx, version) ||
        !SSL_CTX_set_max_proto_version(ctx, version)) {
        return NULL;
    }
    SSL_CTX_set_keylog_callback(ctx, log_line);
    ssl = SSL_new(ctx);
    SSL_CTX_free(ctx);
    if (ssl != NULL) {
        SSL_set_bio(ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
        BIO_set_mem_eof_return(SSL_get_rbio(ssl), -1);
        SSL_set_connect_state(ssl);
    }
    return ssl;
}

static bool send_hello(SSL *ssl, int fd)
{
    char *hello;
    long len;

    SSL_do_handshake(ssl);
    len = BIO_get_mem_data(SSL_get_wbio(ssl), &hello);
    if (len <= 0 || write(fd, hello, (size_t)len) != len) {
        return false;
    }
    (void)BIO_reset(SSL_get_wbio(ssl));
    return true;
}

/* Until the client would answer. */
static bool hear_flight(SSL *ssl, int fd)
{
    char buf[4096];
    ssize_t n;

    while (BIO_pending(SSL_get_wbio(ssl)) == 0) {
        n = read(fd, buf, sizeof(buf));
        if (n <= 0 || BIO_write(SSL_get_rbio(ssl), buf, (int)n) != n) {
            return false;
        }
        SSL_do_handshake(ssl);
        if (ERR_peek_error() != 0) {
            return false;
        }
    }
    return true;
}

static int stall(int port, int version)
{
    char byte;
    int fd = dial(port);
    SSL *ssl = client_new(version);

    if (fd < 0 || ssl == NULL || !send_hello(ssl, fd) ||
        !hear_flight(ssl, fd)) {
        ERR_print_errors_fp(stderr);
        return 1;
    }
    puts("stalled");
    fflush(stdout);
    while (read(STDIN_FILENO, &byte, 1) > 0) {
    }
    SSL_free(ssl);
    close(fd);
    return 0;
}

int main(int argc, char **argv)
{
    int port = 0, version = 0, c;

    while ((c = getopt(argc, argv, "p:t:k:")) != -1) {
        switch (c) {
        case 'p':
            port = atoi(optarg);
            break;
        case 't':
            version =
                strcmp(optarg, "1.2") == 0 ? TLS1_2_VERSION : TLS1_3_VERSION;
            break;
        case 'k':
            keylog = fopen(optarg, "a");
            break;
        default:
            return 2;
        }
    }
    if (port == 0 || version == 0 || keylog == NULL) {
        fputs("usage: stall -p PORT -t 1.2|1.3 -k KEYLOG\n", stderr);
        return 2;
    }
    return stall(port, version);
}
