/*
 * scan_subject server|client SOCKET CERT KEY ...: a server that has these, or a
 * client that shows the first, makes one TLS connection after the other and
 * does nothing between two requests, so that its memory can be looked at. See
 * protocol.h. It uses libssl as any program does.
 */
#include "end.h"
#include "protocol.h"
#include "wiped.h"

#include <openssl/err.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>

static struct {
    bool is_server;
    char **files;
    SSL_CTX *ctx;
    SSL *ssl;
    SSL_SESSION *session; /* of the last connection */
    bool early_first;     /* before the handshake goes on */
    struct answer answer;
} subject;

static unsigned char wire[WIRE_MAX];

static bool set_up(const struct opening *o)
{
    SSL *ssl = subject.ssl;

    if (subject.is_server) {
        if (o->certificate) {
            end_ask(ssl, true);
        }
        return true;
    }
    SSL_set_post_handshake_auth(ssl, o->certificate);
    return (!o->certificate ||
            end_show(ssl, subject.files[0], subject.files[1])) &&
           (!o->resumed || SSL_set_session(ssl, subject.session));
}

static bool open_connection(const struct opening *o)
{
    subject.ssl = end_open(subject.ctx, o->version, o->suites, o->groups);
    subject.early_first = o->early;
    memset(&subject.answer, 0, sizeof(subject.answer));
    return subject.ssl != NULL && set_up(o);
}

/* Early data, as far as it goes; |*more| whether the handshake has to wait. */
static bool do_early(bool *more)
{
    size_t n;

    if (subject.is_server) {
        return end_read_early(subject.ssl, &subject.answer.early, more);
    }
    *more = false;
    return SSL_write_early_data(subject.ssl, "early", 5, &n) == 1;
}

/* The handshake, or what comes after it. */
static bool go_on(void)
{
    SSL *ssl = subject.ssl;
    int ret;

    if (subject.early_first && !do_early(&subject.early_first)) {
        return false;
    }
    if (subject.early_first) {
        return true;
    }
    ret = SSL_do_handshake(ssl);
    if (ret != 1) {
        return end_waits(ssl, ret);
    }
    subject.answer.finished = true;
    do {
        ret = SSL_read(ssl, wire, sizeof(wire));
    } while (ret > 0);
    if (subject.is_server) {
        subject.answer.certificate |= SSL_get0_peer_certificate(ssl) != NULL;
    } else {
        subject.answer.early =
            SSL_get_early_data_status(ssl) == SSL_EARLY_DATA_ACCEPTED;
    }
    return end_waits(ssl, ret);
}

static bool feed(uint32_t len)
{
    return BIO_write(SSL_get_rbio(subject.ssl), wire, (int)len) == (int)len &&
           go_on();
}

static bool say(void)
{
    static const char text[] = "a line of the subject";

    return SSL_write(subject.ssl, text, sizeof(text)) == sizeof(text);
}

static bool prove(void)
{
    end_ask(subject.ssl, false);
    return SSL_verify_client_post_handshake(subject.ssl) == 1 && go_on();
}

static bool end_connection(void)
{
    if (!subject.is_server) {
        SSL_SESSION_free(subject.session);
        subject.session = SSL_get1_session(subject.ssl);
        /* Without a goodbye it could not be resumed. */
        SSL_set_shutdown(subject.ssl, SSL_RECEIVED_SHUTDOWN);
    }
    SSL_shutdown(subject.ssl);
    SSL_free(subject.ssl);
    subject.ssl = NULL;
    return true;
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
        return end_connection();
    }
    return false;
}

/* What it has sent, or why it failed. */
static void fill_answer(bool ok)
{
    int n = 0;

    subject.answer.ok = ok;
    if (ok && subject.ssl != NULL) {
        n = BIO_read(SSL_get_wbio(subject.ssl), wire, sizeof(wire));
    } else if (!ok) {
        ERR_error_string_n(ERR_peek_last_error(), (char *)wire, 256);
        n = (int)strlen((char *)wire);
    }
    ERR_clear_error();
    subject.answer.len = n > 0 ? (uint32_t)n : 0;
}

static void serve(int fd)
{
    struct ask ask;
    struct iovec parts[2] = {{&ask, sizeof(ask)}, {wire, sizeof(wire)}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};

    while (recvmsg(fd, &message, 0) >= (ssize_t)sizeof(ask)) {
        struct iovec reply[2] = {{&subject.answer, sizeof(subject.answer)},
                                 {wire, 0}};
        struct msghdr out = {.msg_iov = reply, .msg_iovlen = 2};

        wiped_forget();
        fill_answer(do_ask(&ask));
        reply[1].iov_len = subject.answer.len;
        if (sendmsg(fd, &out, 0) < 0) {
            perror("scan_subject");
            exit(1);
        }
    }
}

int main(int argc, char **argv)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (argc < 5) {
        fprintf(stderr, "usage: scan_subject server|client SOCKET CERT KEY "
                        "[CERT KEY]...\n");
        return 2;
    }
    subject.is_server = strcmp(argv[1], "server") == 0;
    subject.files = argv + 3;
    subject.ctx = subject.is_server ? end_server(subject.files) : end_client();
    wiped_start();
    serve(atoi(argv[2]));
    return 0;
}
