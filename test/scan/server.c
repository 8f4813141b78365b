/*
 * scan_server SOCKET CERT KEY ...: a TLS server that makes one connection after
 * the other and does nothing between two requests, so that its memory can be
 * looked at. See protocol.h. It uses libssl as any server does.
 */
#include "protocol.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>

static struct {
    SSL_CTX *ctx;
    SSL *ssl;
    bool reads_early;
    struct answer answer;
} server;

static unsigned char wire[WIRE_MAX];

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "scan_server: %s\n", what);
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

static void make_context(char **files)
{
    static const unsigned char id[] = "scan";

    server.ctx = SSL_CTX_new(TLS_server_method());
    if (server.ctx == NULL) {
        die("SSL_CTX_new");
    }
    for (; *files != NULL; files += 2) {
        if (SSL_CTX_use_certificate_file(server.ctx, files[0],
                                         SSL_FILETYPE_PEM) != 1 ||
            SSL_CTX_use_PrivateKey_file(server.ctx, files[1],
                                        SSL_FILETYPE_PEM) != 1) {
            die(files[1]);
        }
    }
    SSL_CTX_set_security_level(server.ctx, 0); /* for CCM8 */
    SSL_CTX_set_options(server.ctx, SSL_OP_ALLOW_CLIENT_RENEGOTIATION |
                                        SSL_OP_NO_ANTI_REPLAY);
    SSL_CTX_set_max_early_data(server.ctx, 4096);
    SSL_CTX_set_session_id_context(server.ctx, id, sizeof(id));
}

static BIO *new_wire(void)
{
    BIO *bio = BIO_new(BIO_s_mem());

    BIO_set_mem_eof_return(bio, -1);
    return bio;
}

static bool open_connection(const struct opening *o)
{
    SSL *ssl = server.ssl = SSL_new(server.ctx);

    SSL_set_bio(ssl, new_wire(), new_wire());
    SSL_set_accept_state(ssl);
    server.reads_early = o->early;
    memset(&server.answer, 0, sizeof(server.answer));
    if (o->certificate) {
        SSL_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                       accept_any);
    }
    return SSL_set_min_proto_version(ssl, o->version) &&
           SSL_set_max_proto_version(ssl, o->version) &&
           (o->version == TLS1_3_VERSION
                ? SSL_set_ciphersuites(ssl, o->suites)
                : SSL_set_cipher_list(ssl, o->suites)) &&
           (*o->groups == '\0' || SSL_set1_groups_list(ssl, o->groups));
}

/* True unless it failed: to wait for the client is no failure. */
static bool waits(int ret)
{
    int why = SSL_get_error(server.ssl, ret);

    return ret > 0 || why == SSL_ERROR_WANT_READ;
}

static bool read_early(void)
{
    size_t n = 0;
    int ret;

    do {
        ret = SSL_read_early_data(server.ssl, wire, sizeof(wire), &n);
        server.answer.early |= n > 0;
    } while (ret == SSL_READ_EARLY_DATA_SUCCESS);
    server.reads_early = ret != SSL_READ_EARLY_DATA_FINISH;
    return ret != SSL_READ_EARLY_DATA_ERROR || waits(-1);
}

/* The handshake, or what comes after it. */
static bool go_on(void)
{
    int ret;

    if (server.reads_early && !read_early()) {
        return false;
    }
    if (server.reads_early) {
        return true; /* there is more to come */
    }
    ret = SSL_do_handshake(server.ssl);
    if (ret != 1) {
        return waits(ret);
    }
    server.answer.finished = true;
    do {
        ret = SSL_read(server.ssl, wire, sizeof(wire));
    } while (ret > 0);
    server.answer.certificate |= SSL_get0_peer_certificate(server.ssl) != NULL;
    return waits(ret);
}

static bool feed(uint32_t len)
{
    if (BIO_write(SSL_get_rbio(server.ssl), wire, (int)len) != (int)len) {
        return false;
    }
    return go_on();
}

static bool say(void)
{
    static const char text[] = "a line of the server";

    return SSL_write(server.ssl, text, sizeof(text)) == sizeof(text);
}

static bool prove(void)
{
    SSL_set_verify(server.ssl, SSL_VERIFY_PEER, accept_any);
    return SSL_verify_client_post_handshake(server.ssl) == 1 && go_on();
}

static bool do_ask(const struct ask *ask)
{
    struct opening opening;

    switch (ask->what) {
    case ASK_OPEN:
        memcpy(&opening, wire, sizeof(opening));
        return ask->len == sizeof(opening) && open_connection(&opening);
    case ASK_FEED:
        return feed(ask->len);
    case ASK_SAY:
        return say();
    case ASK_PROVE:
        return prove();
    case ASK_CLOSE:
        SSL_shutdown(server.ssl);
        SSL_free(server.ssl);
        server.ssl = NULL;
        return true;
    }
    return false;
}

/* What the server has sent, or why it failed. */
static void fill_answer(bool ok)
{
    int n = 0;

    server.answer.ok = ok;
    if (ok && server.ssl != NULL) {
        n = BIO_read(SSL_get_wbio(server.ssl), wire, sizeof(wire));
    } else if (!ok) {
        ERR_error_string_n(ERR_peek_last_error(), (char *)wire, 256);
        n = (int)strlen((char *)wire);
    }
    ERR_clear_error();
    server.answer.len = n > 0 ? (uint32_t)n : 0;
}

int main(int argc, char **argv)
{
    struct ask ask;
    struct iovec parts[2] = {{&ask, sizeof(ask)}, {wire, sizeof(wire)}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    int fd = argc > 3 ? atoi(argv[1]) : -1;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (fd < 0) {
        die("usage: scan_server SOCKET CERT KEY [CERT KEY]...");
    }
    make_context(argv + 2);
    while (recvmsg(fd, &message, 0) >= (ssize_t)sizeof(ask)) {
        struct iovec reply[2] = {{&server.answer, sizeof(server.answer)},
                                 {wire, 0}};
        struct msghdr out = {.msg_iov = reply, .msg_iovlen = 2};

        fill_answer(do_ask(&ask));
        reply[1].iov_len = server.answer.len;
        if (sendmsg(fd, &out, 0) < 0) {
            die("sendmsg");
        }
    }
    return 0;
}
