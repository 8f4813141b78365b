/*
 * tls.c - attacks on the secrets of a TLS connection, with the full profile.
 * The victim is the server; a stock client in a process of its own, which
 * knows the secrets, hands them over, masked.
 */
#include "attack.h"
#include "client.h"
#include "needles.h"

#include "../../mpkcore/x86_64/cpu.h"
#include "../interop/kdf_ask.h"
#include "../unit/gate_abi.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct {
    SSL *ssl;
    int log[2]; /* what the server's key log callback was given */
    int from_client;
} server;

/* The log goes to a pipe: a copy of it in memory would be found. */
static void log_line(const SSL *ssl, const char *line)
{
    size_t len = strlen(line);

    (void)ssl;
    if (write(server.log[1], line, len) != (ssize_t)len ||
        write(server.log[1], "\n", 1) != 1) {
        trouble("the key log");
    }
}

static SSL_CTX *server_context(bool logs)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

    if (SSL_CTX_use_certificate_file(ctx, victim_path("cert.pem"),
                                     SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_use_PrivateKey_file(ctx, victim_path("key.pem"),
                                    SSL_FILETYPE_PEM) != 1) {
        trouble("the server's key and certificate");
    }
    if (logs) {
        SSL_CTX_set_keylog_callback(ctx, log_line);
    }
    return ctx;
}

/* A connection over which some bytes have gone both ways; the needles are its
 * secrets. Afterwards the client does nothing but read. */
static void connect_client(int version, enum client_secrets what, bool logs)
{
    static char byte;
    int sockets[2], secrets[2];

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) != 0 ||
        pipe(secrets) != 0 || pipe(server.log) != 0) {
        trouble("sockets");
    }
    /* Before this process has done anything with OpenSSL. */
    if (fork() == 0) {
        close(sockets[0]);
        close(secrets[0]);
        client_main(sockets[1], secrets[1], version, what);
    }
    close(sockets[1]);
    close(secrets[1]);
    server.ssl = SSL_new(server_context(logs));
    SSL_set_fd(server.ssl, sockets[0]);
    if (SSL_accept(server.ssl) != 1 || SSL_read(server.ssl, &byte, 1) != 1 ||
        SSL_write(server.ssl, "y", 1) != 1) {
        trouble("the connection");
    }
    if (needles_receive(secrets[0], true) < 1) {
        trouble("the client's secrets");
    }
}

static _Noreturn void search(int version, enum client_secrets what)
{
    connect_client(version, what, false);
    cell(search_all(NULL) != NULL ? "**secret found**" : "nothing found");
}

static void secrets_of_13(void)
{
    search(TLS1_3_VERSION, CLIENT_SECRETS);
}

static void records_of_13(void)
{
    search(TLS1_3_VERSION, CLIENT_RECORD_KEYS);
}

static void secrets_of_12(void)
{
    search(TLS1_2_VERSION, CLIENT_SECRETS);
}

static void records_of_12(void)
{
    search(TLS1_2_VERSION, CLIENT_RECORD_KEYS);
}

static void key_log(void)
{
    static char text[8192];
    static unsigned char bytes[64];
    const unsigned char *found = NULL;
    char *hex, *end;
    ssize_t len;
    int lines = 0;

    connect_client(TLS1_3_VERSION, CLIENT_SECRETS, true);
    len = read(server.log[0], text, sizeof(text) - 1);
    text[len > 0 ? len : 0] = '\0';
    for (char *line = strtok(text, "\n"); line != NULL;
         line = strtok(NULL, "\n"), lines++) {
        size_t n = 0;

        hex = strrchr(line, ' ');
        end = line + strlen(line);
        while (hex != NULL && ++hex + 1 < end && n < sizeof(bytes)) {
            char two[3] = {hex[0], hex[1], '\0'};

            bytes[n++] = (unsigned char)strtoul(two, NULL, 16);
            hex++;
        }
        found = found != NULL ? found : needles_find(bytes, n);
    }
    if (lines < 4) {
        trouble("no key log");
    }
    cell(found != NULL ? "**secret read**" : "no secret in it");
}

/* ---- the caller's stack -------------------------------------------------- */

static void write_now(void)
{
    static char data[1024];

    if (SSL_write(server.ssl, data, sizeof(data)) != sizeof(data)) {
        trouble("SSL_write");
    }
}

/* ChaCha20 keeps its key on the stack while it works; with AVX-512, which this
 * row switches off, it has registers enough. */
static void stack_of_records(void)
{
    connect_client(TLS1_3_VERSION, CLIENT_CHACHA_KEYS, false);
    abi_cpu = cpu_vectors();
    abi_call(write_now, 0, NULL, 0);
    cell(needles_find(abi_stack, sizeof(abi_stack)) != NULL ? "**secret found**"
                                                            : "nothing found");
}

/* ---- the frames of signals during records -------------------------------- */

static void frames_of_records(void)
{
    /* Longer ones are not on the caller's stack. */
    static char data[4096];

    connect_client(TLS1_3_VERSION, CLIENT_RECORD_KEYS, false);
    frames_watch();
    while (frames_go_on()) {
        if (SSL_write(server.ssl, data, sizeof(data)) != sizeof(data)) {
            trouble("SSL_write");
        }
    }
    cell(frames_words() != 0 ? "**secret found**" : "nothing found");
}

/* ---- handles of record keys ---------------------------------------------- */

#define KEY 16
#define FLOOD 20000 /* more than wait at a time */

/* What libssl gets for a record key: the |n|th. */
static void derive_key(unsigned n, unsigned char handle[KEY])
{
    unsigned char secret[32] = {0}, traffic[32];

    memcpy(secret, &n, sizeof(n));
    if (!ask_expand(NULL, "SHA2-256", secret, "client in", NONE, traffic,
                    sizeof(traffic)) ||
        !ask_expand(NULL, "SHA2-256", traffic, "key", NONE, handle, KEY)) {
        trouble("a record key");
    }
}

static bool init_with(const unsigned char handle[KEY])
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();

    return EVP_EncryptInit_ex(ctx, EVP_aes_128_gcm(), NULL, handle, NULL) == 1;
}

/* If it is taken, its bytes are the key, and everybody can read them. */
static _Noreturn void init_with_spent(const unsigned char handle[KEY])
{
    if (init_with(handle)) {
        cell("**the handle is the key**");
    }
    refused();
}

static void key_twice(void)
{
    unsigned char handle[KEY];

    derive_key(0, handle);
    if (!init_with(handle)) {
        trouble("a cipher context");
    }
    init_with_spent(handle);
}

static void key_pushed_out(void)
{
    unsigned char handle[KEY], other[KEY];

    derive_key(0, handle);
    for (unsigned n = 1; n < FLOOD; n++) {
        derive_key(n, other);
    }
    init_with_spent(handle);
}

#define INVALID "refused: invalid handle"
#define SEARCHED(found)                                                        \
    {                                                                          \
        found, "nothing found", "nothing found"                                \
    }

const struct attack tls_attacks[] = {
    {"tls13", "TLS 1.3: secrets",
     "searches a server's memory for the handshake, traffic, exporter and "
     "resumption secrets of a connection that is up",
     FULL, secrets_of_13, .want = SEARCHED("**secret found**")},
    {"tls13_records", "TLS 1.3: record keys", "the same for the record keys",
     FULL, records_of_13, .want = SEARCHED("**secret found**")},
    {"tls12", "TLS 1.2: master secret", "the same", FULL, secrets_of_12,
     .want = SEARCHED("**secret found**")},
    {"tls12_records", "TLS 1.2: record keys", "the same", FULL, records_of_12,
     .want = SEARCHED("**secret found**")},
    {"keylog", "the key log",
     "reads what the server's key log callback is given", FULL, key_log,
     .want = {"**secret read**", "no secret in it", "no secret in it"}},
    {"record_stack", "the caller's stack",
     "looks at what a ChaCha20 record has left below it", FULL,
     stack_of_records, .want = SEARCHED("**secret found**"),
     .stock_35 = "**secret found**|nothing found", .ia32cap = ":~0xc0030000"},
    {"record_frames", "signal frames of records, `record-stack = domain`",
     "interrupts a server that sends, and looks for words of record keys in "
     "the frame",
     DOMAIN_STACK, frames_of_records, .want = SEARCHED("**secret found**")},
    /* With VAES, which this row switches off, OpenSSL 3.1 and later is not run
     * on the caller's stack (cipher_registers.c). */
    {"record_frames_caller", "the same, `record-stack = caller` (the default)",
     "the same", FULL, frames_of_records,
     .want = {"**secret found**", "nothing found", "**secret found**"},
     .ia32cap = ":~0x60000000000"},
    {"record_key_twice", "a handle of a record key, twice",
     "makes a second cipher context with it", FULL, key_twice,
     .want = {NULL, INVALID, INVALID}},
    {"record_key_flood", "a handle of a record key that was pushed out",
     "has 20,000 others derived, until one that waits for libssl gives way, "
     "and "
     "makes a cipher context with it",
     FULL, key_pushed_out, .want = {NULL, INVALID, INVALID}},
    {0},
};
