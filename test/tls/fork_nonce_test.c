/*
 * A connection of TLS 1.2 that both sides of a fork go on with: each process
 * has nonces of its own, and the peer reads what any of them sends. A second
 * record under a nonce would give the authentication key to who sees both.
 * Seen to fail without cipher_counts_for_another in cipher_record.c; with stock
 * OpenSSL the nonces are the same.
 */
#include "../interop/ends.h"
#include "../interop/interop.h"
#include "../interop/keys.h"

#include <openssl/ssl.h>

#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define HEADER 5
#define GENERATIONS 3 /* the process, its child, and that one's */
#define TEXT 100

static void connect_ends(struct ends *c, const char *suite)
{
    const struct key_type *type = key_type_find("P-256");
    EVP_PKEY *key = key_load(type);

    c->ctx[0] = SSL_CTX_new_ex(interop_ref(), NULL, TLS_client_method());
    c->ctx[1] = SSL_CTX_new(TLS_server_method());
    ends_certify(c->ctx[1], NULL, type, key);
    EVP_PKEY_free(key);
    for (int i = 0; i < 2; i++) {
        CHECK(SSL_CTX_set_max_proto_version(c->ctx[i], TLS1_2_VERSION));
        CHECK(SSL_CTX_set_cipher_list(c->ctx[i], suite));
    }
    ends_open(c);
}

/* Sends a record from |from|; the nonce that stands in it. */
static uint64_t send_one(struct ends *c, int from)
{
    static const unsigned char text[TEXT] = {1};
    unsigned char wire[HEADER + 8 + TEXT + 16], in[TEXT];
    uint64_t nonce = 0;

    CHECK(SSL_write(c->end[from], text, TEXT) == TEXT);
    CHECK(BIO_read(c->wire[from], wire, sizeof(wire)) == sizeof(wire));
    for (int i = 0; i < 8; i++) {
        nonce = nonce << 8 | wire[HEADER + i];
    }
    CHECK(BIO_write(c->wire[from], wire, sizeof(wire)) == sizeof(wire));
    CHECK(SSL_read(c->end[!from], in, sizeof(in)) == TEXT &&
          memcmp(in, text, TEXT) == 0);
    return nonce;
}

/* Those of this process first; what the others wrote comes by |to|. */
static void send_from_all(struct ends *c, int to, int generation)
{
    uint64_t nonce;
    pid_t child = 0;
    int status = -1;

    if (generation + 1 < GENERATIONS) {
        fflush(stdout);
        child = fork();
        if (child == 0) {
            send_from_all(c, to, generation + 1);
            fflush(stdout);
            _exit(interop_finish());
        }
        CHECK(waitpid(child, &status, 0) == child && status == 0);
    }
    nonce = send_one(c, 1);
    CHECK(send_one(c, 1) == nonce + 1);
    CHECK(write(to, &nonce, sizeof(nonce)) == sizeof(nonce));
}

static void run(const char *suite)
{
    uint64_t before, nonce[GENERATIONS];
    struct ends c;
    int ends[2] = {-1, -1};

    interop_subject("%s", suite);
    connect_ends(&c, suite);
    CHECK(pipe(ends) == 0);
    if (CHECK(ends_shake_hands(c.end[0], c.end[1]))) {
        send_one(&c, 0);
        before = send_one(&c, 1);
        send_from_all(&c, ends[1], 0);
        CHECK(read(ends[0], nonce, sizeof(nonce)) == sizeof(nonce));
        /* The first process has written last. */
        CHECK(nonce[2] == before + 1);
        for (int i = 0; i < 2; i++) {
            CHECK(nonce[i] - before > 100);
        }
        CHECK(nonce[0] != nonce[1]);
    }
    close(ends[0]);
    close(ends[1]);
    ends_close(&c);
}

int main(void)
{
    static const char *const suites[] = {"ECDHE-ECDSA-AES128-GCM-SHA256",
                                         "ECDHE-ECDSA-AES256-GCM-SHA384",
                                         "ECDHE-ECDSA-ARIA256-GCM-SHA384"};

    interop_start();
    for (size_t i = 0; i < sizeof(suites) / sizeof(suites[0]); i++) {
        run(suites[i]);
    }
    return interop_finish();
}
