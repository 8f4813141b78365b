/*
 * hammer makes full TLS handshakes, one connection after the other, and
 * reports their rate on one line of name=value pairs:
 *
 *   hammer -p PORT [-n COUNT] [-t 1.2|1.3] [-C CAFILE] [-c CIPHER] [-gs]
 *
 * With -g each connection also asks for / over HTTP and wants a 200; with -s
 * there is a line for every 50 of them. It stops at once, with its report, on
 * SIGTERM or SIGINT.
 *
 * Exit status: 0 every connection succeeded, 1 some failed, 2 usage or set-up.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

/* A server that hangs must fail the test, not stop it; an emulated machine
 * (test/vm/run.sh) is twenty times slower. */
static int io_timeout_seconds(void)
{
    return getenv("MPK_VM") != NULL ? 200 : 10;
}

struct options {
    int port;
    long count;
    int version;
    const char *ca_file;
    const char *cipher;
    bool get;
    bool steps;
};

#define STEP 50

static volatile sig_atomic_t stop_asked;

static void on_signal(int signo)
{
    (void)signo;
    stop_asked = 1;
}

static double now_seconds(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static int usage(void)
{
    fputs("usage: hammer -p PORT [-n COUNT] [-t 1.2|1.3] [-C CAFILE] "
          "[-c TLS12-CIPHER] [-gs]\n",
          stderr);
    return 2;
}

static int parse_version(const char *text, int *version)
{
    if (strcmp(text, "1.2") == 0) {
        *version = TLS1_2_VERSION;
    } else if (strcmp(text, "1.3") == 0) {
        *version = TLS1_3_VERSION;
    } else {
        return -EINVAL;
    }
    return 0;
}

static int parse_options(struct options *o, int argc, char **argv)
{
    int c;

    *o = (struct options){.count = 1, .version = TLS1_3_VERSION};
    while ((c = getopt(argc, argv, "p:n:t:C:c:gs")) != -1) {
        switch (c) {
        case 'p':
            o->port = atoi(optarg);
            break;
        case 'n':
            o->count = atol(optarg);
            break;
        case 't':
            if (parse_version(optarg, &o->version) != 0) {
                return -EINVAL;
            }
            break;
        case 'C':
            o->ca_file = optarg;
            break;
        case 'c':
            o->cipher = optarg;
            break;
        case 'g':
            o->get = true;
            break;
        case 's':
            o->steps = true;
            break;
        default:
            return -EINVAL;
        }
    }
    if (optind != argc || o->port < 1 || o->port > 65535 || o->count < 1) {
        return -EINVAL;
    }
    return 0;
}

static SSL_CTX *make_context(const struct options *o)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

    if (ctx == NULL) {
        return NULL;
    }
    /* Resumption would leave the private key unused. */
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
    if (SSL_CTX_set_min_proto_version(ctx, o->version) != 1 ||
        SSL_CTX_set_max_proto_version(ctx, o->version) != 1) {
        goto err;
    }
    if (o->cipher != NULL && SSL_CTX_set_cipher_list(ctx, o->cipher) != 1) {
        goto err;
    }
    if (o->ca_file != NULL) {
        if (SSL_CTX_load_verify_locations(ctx, o->ca_file, NULL) != 1) {
            goto err;
        }
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    }
    return ctx;
err:
    SSL_CTX_free(ctx);
    return NULL;
}

static int connect_tcp(int port)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval limit = {.tv_sec = io_timeout_seconds()};
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        return -errno;
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0) {
        int err = errno;

        close(fd);
        return -err;
    }
    return fd;
}

/* http_get_ok asks for / and reads to the end: 0 when the status is 200. */
static int http_get_ok(SSL *ssl)
{
    static const char request[] =
        "GET / HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    char reply[4096];
    int got;
    int ret = -EPROTO;

    if (SSL_write(ssl, request, sizeof(request) - 1) <= 0) {
        return -EPROTO;
    }
    got = SSL_read(ssl, reply, sizeof(reply));
    if (got >= 12 && strncmp(reply + 8, " 200", 4) == 0) {
        ret = 0;
    }
    while (got > 0) {
        got = SSL_read(ssl, reply, sizeof(reply));
    }
    return ret;
}

/* one_connection leaves its reason in the error queue or in errno. */
static int one_connection(SSL_CTX *ctx, const struct options *o)
{
    SSL *ssl = NULL;
    int ret = -EPROTO;
    int fd = connect_tcp(o->port);

    if (fd < 0) {
        errno = -fd;
        return fd;
    }
    ssl = SSL_new(ctx);
    if (ssl == NULL || SSL_set_fd(ssl, fd) != 1 || SSL_connect(ssl) != 1) {
        goto out;
    }
    ret = o->get ? http_get_ok(ssl) : 0;
    SSL_shutdown(ssl);
out:
    SSL_free(ssl);
    close(fd);
    return ret;
}

static long run(SSL_CTX *ctx, const struct options *o, long *done)
{
    long failed = 0;

    for (*done = 0; *done < o->count && !stop_asked; (*done)++) {
        ERR_clear_error();
        errno = 0;
        if (o->steps && *done % STEP == 0) {
            printf("made=%ld\n", *done);
            fflush(stdout);
        }
        if (one_connection(ctx, o) == 0) {
            continue;
        }
        /* A signal that asks us to stop interrupts a call: no failure. */
        if (stop_asked) {
            break;
        }
        if (failed++ == 0) {
            fprintf(stderr, "hammer: connection %ld failed: %s\n", *done + 1,
                    strerror(errno));
            ERR_print_errors_fp(stderr);
        }
    }
    return failed;
}

int main(int argc, char **argv)
{
    struct sigaction act = {.sa_handler = on_signal};
    struct options o;
    SSL_CTX *ctx;
    double start;
    double seconds;
    long done;
    long failed;

    if (parse_options(&o, argc, argv) != 0) {
        return usage();
    }
    signal(SIGPIPE, SIG_IGN);
    sigaction(SIGTERM, &act, NULL);
    sigaction(SIGINT, &act, NULL);
    ctx = make_context(&o);
    if (ctx == NULL) {
        ERR_print_errors_fp(stderr);
        return 2;
    }
    start = now_seconds();
    failed = run(ctx, &o, &done);
    seconds = now_seconds() - start;
    printf("handshakes=%ld failed=%ld seconds=%.4f rate=%.1f\n", done, failed,
           seconds, (double)(done - failed) / seconds);
    SSL_CTX_free(ctx);
    return failed == 0 ? 0 : 1;
}
