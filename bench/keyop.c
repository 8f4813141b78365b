/*
 * keyop.c - what one private-key operation costs.
 *
 * A signature is what libssl does for one: a new context, the init with a
 * digest, the message, the end of the context. With "kept" it is what a
 * program does that keeps a context for one key and signs digests. A load is
 * from PEM in memory, or from a file by OSSL_STORE, and the key's end.
 *
 * Two cases are no operation of a key's, but cost more when keys are protected:
 * a peer's certificate, read from DER with its public key, and a child of fork
 * that ends at once. Of that the parent's time counts.
 *
 * With --keys, each operation takes one of so many keys at random.
 */
#include "bench.h"
#include "material.h"

#include <openssl/rsa.h>
#include <openssl/store.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define BUFFER 1024
#define SIGNATURE 4096
#define MESSAGE 64

enum action {
    SIGN,
    SIGN_KEPT,
    DECRYPT,
    DERIVE,
    LOAD,
    LOAD_STORE,
    CERTIFICATE,
    FORK
};

struct key_case {
    struct bench_case base;
    enum action action;
    const char *md;
    int padding; /* RSA_*_PADDING, 0: no RSA key */
};

static const struct key_case cases[] = {
    {{"rsa2048-pkcs1-sign", "RSA-2048"}, SIGN, "SHA256", RSA_PKCS1_PADDING},
    {{"rsa2048-pss-sign", "RSA-2048"}, SIGN, "SHA256", RSA_PKCS1_PSS_PADDING},
    {{"rsa3072-pkcs1-sign", "RSA-3072"}, SIGN, "SHA256", RSA_PKCS1_PADDING},
    {{"rsa3072-pss-sign", "RSA-3072"}, SIGN, "SHA256", RSA_PKCS1_PSS_PADDING},
    {{"rsa4096-pkcs1-sign", "RSA-4096"}, SIGN, "SHA256", RSA_PKCS1_PADDING},
    {{"rsa4096-pss-sign", "RSA-4096"}, SIGN, "SHA256", RSA_PKCS1_PSS_PADDING},
    {{"p256-sign", "P-256"}, SIGN, "SHA256", 0},
    {{"p384-sign", "P-384"}, SIGN, "SHA384", 0},
    {{"p521-sign", "P-521"}, SIGN, "SHA512", 0},
    {{"ed25519-sign", "Ed25519"}, SIGN, NULL, 0},
    {{"ed448-sign", "Ed448"}, SIGN, NULL, 0},
    {{"sm2-sign", "SM2"}, SIGN, "SM3", 0},
#if OPENSSL_VERSION_PREREQ(3, 5)
    {{"mldsa65-sign", "ML-DSA-65"}, SIGN, NULL, 0},
#endif
    {{"p256-sign-kept", "P-256"}, SIGN_KEPT, NULL, 0},
    {{"rsa2048-sign-kept", "RSA-2048"}, SIGN_KEPT, NULL, RSA_PKCS1_PADDING},
    {{"x25519-derive", "X25519"}, DERIVE, NULL, 0},
    {{"x448-derive", "X448"}, DERIVE, NULL, 0},
    {{"p256-derive", "P-256"}, DERIVE, NULL, 0},
    {{"p384-derive", "P-384"}, DERIVE, NULL, 0},
    {{"p521-derive", "P-521"}, DERIVE, NULL, 0},
    {{"ffdhe2048-derive", "ffdhe2048"}, DERIVE, NULL, 0},
    {{"rsa2048-pkcs1-decrypt", "RSA-2048"}, DECRYPT, NULL, RSA_PKCS1_PADDING},
    {{"rsa2048-oaep-decrypt", "RSA-2048"},
     DECRYPT,
     NULL,
     RSA_PKCS1_OAEP_PADDING},
    {{"rsa3072-oaep-decrypt", "RSA-3072"},
     DECRYPT,
     NULL,
     RSA_PKCS1_OAEP_PADDING},
    {{"rsa4096-oaep-decrypt", "RSA-4096"},
     DECRYPT,
     NULL,
     RSA_PKCS1_OAEP_PADDING},
    {{"p256-load", "P-256"}, LOAD, NULL, 0},
    {{"rsa2048-load", "RSA-2048"}, LOAD, NULL, 0},
    {{"p256-load-store", "P-256"}, LOAD_STORE, NULL, 0},
    {{"p256-certificate", "P-256"}, CERTIFICATE, NULL, 0},
    {{"p256-fork", "P-256"}, FORK, NULL, 0},
};

/* What is ready for one key. */
struct state {
    const struct key_case *c;
    EVP_PKEY *key;
    EVP_PKEY *peer;
    EVP_PKEY_CTX *kept;
    const struct column *column;
    char *pem;
    int file; /* 0: none */
    unsigned char in[BUFFER];
    size_t in_len;
};

struct all {
    struct state *of;
    size_t n;
    uint64_t random;
};

static const struct bench_case *case_at(size_t i)
{
    return i < sizeof(cases) / sizeof(cases[0]) ? &cases[i].base : NULL;
}

/* ---- one operation ------------------------------------------------------ */

static bool sign(const struct state *s)
{
    unsigned char sig[SIGNATURE];
    size_t len = sizeof(sig);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx;
    bool ok = ctx != NULL &&
              EVP_DigestSignInit_ex(ctx, &pctx, s->c->md, NULL, NULL, s->key,
                                    NULL) > 0 &&
              (s->c->padding != RSA_PKCS1_PSS_PADDING ||
               (EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) > 0 &&
                EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST) >
                    0)) &&
              EVP_DigestSign(ctx, sig, &len, s->in, s->in_len) > 0;

    EVP_MD_CTX_free(ctx);
    return ok;
}

static bool sign_kept(const struct state *s)
{
    unsigned char sig[BUFFER];
    size_t len = sizeof(sig);

    return EVP_PKEY_sign(s->kept, sig, &len, s->in, s->in_len) > 0;
}

static bool decrypt(const struct state *s)
{
    unsigned char out[BUFFER];
    size_t len = sizeof(out);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, s->key, NULL);
    bool ok = ctx != NULL && EVP_PKEY_decrypt_init(ctx) > 0 &&
              EVP_PKEY_CTX_set_rsa_padding(ctx, s->c->padding) > 0 &&
              EVP_PKEY_decrypt(ctx, out, &len, s->in, s->in_len) > 0;

    EVP_PKEY_CTX_free(ctx);
    return ok;
}

static bool derive(const struct state *s)
{
    unsigned char out[BUFFER];
    size_t len = sizeof(out);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, s->key, NULL);
    bool ok = ctx != NULL && EVP_PKEY_derive_init(ctx) > 0 &&
              EVP_PKEY_derive_set_peer(ctx, s->peer) > 0 &&
              EVP_PKEY_derive(ctx, out, &len) > 0;

    EVP_PKEY_CTX_free(ctx);
    return ok;
}

static bool load(const struct state *s)
{
    char why[WHY_ROOM];
    EVP_PKEY *key = material_key(s->pem, s->column, why);

    EVP_PKEY_free(key);
    return key != NULL;
}

/* Not asked where the key is: that the column's PEM is read by the module says
 * material_key. */
static bool load_store(const struct state *s)
{
    char path[32];
    OSSL_STORE_CTX *store;
    bool ok = false;

    snprintf(path, sizeof(path), "/proc/self/fd/%d", s->file);
    store = OSSL_STORE_open(path, NULL, NULL, NULL, NULL);

    while (store != NULL && !OSSL_STORE_eof(store)) {
        OSSL_STORE_INFO *info = OSSL_STORE_load(store);

        ok |= info != NULL &&
              OSSL_STORE_INFO_get_type(info) == OSSL_STORE_INFO_PKEY;
        OSSL_STORE_INFO_free(info);
    }
    OSSL_STORE_close(store);
    return ok;
}

static bool certificate(const struct state *s)
{
    const unsigned char *p = s->in;
    X509 *cert = d2i_X509(NULL, &p, (long)s->in_len);
    bool ok = cert != NULL && X509_get0_pubkey(cert) != NULL;

    X509_free(cert);
    return ok;
}

static bool fork_child(const struct state *s)
{
    pid_t pid = fork();
    int status = 0;

    (void)s;
    if (pid == 0) {
        _exit(0);
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

static bool run(void *state, size_t n, struct meter *m)
{
    static bool (*const actions[])(const struct state *) = {
        [SIGN] = sign,
        [SIGN_KEPT] = sign_kept,
        [DECRYPT] = decrypt,
        [DERIVE] = derive,
        [LOAD] = load,
        [LOAD_STORE] = load_store,
        [CERTIFICATE] = certificate,
        [FORK] = fork_child};
    struct all *a = state;
    bool ok = true;

    meter_start(m);
    for (size_t i = 0; i < n && ok; i++) {
        const struct state *s = &a->of[stats_random(&a->random) % a->n];

        ok = actions[s->c->action](s);
        meter_lap(m, 1);
    }
    meter_stop(m);
    return ok;
}

/* ---- what is not measured ----------------------------------------------- */

/* What is decrypted is encrypted with the certificate's public key. */
static bool encrypt(struct state *s, const char *material)
{
    static const unsigned char text[48] = {3, 3};
    X509 *cert = material_certificate(material);
    EVP_PKEY *key = cert != NULL ? X509_get0_pubkey(cert) : NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    bool ok;

    s->in_len = sizeof(s->in);
    ok = key != NULL && ctx != NULL && EVP_PKEY_encrypt_init(ctx) > 0 &&
         EVP_PKEY_CTX_set_rsa_padding(ctx, s->c->padding) > 0 &&
         EVP_PKEY_encrypt(ctx, s->in, &s->in_len, text, sizeof(text)) > 0;
    EVP_PKEY_CTX_free(ctx);
    X509_free(cert);
    return ok;
}

static bool keep_context(struct state *s)
{
    s->in_len = 32;
    s->kept = EVP_PKEY_CTX_new_from_pkey(NULL, s->key, NULL);
    return s->kept != NULL && EVP_PKEY_sign_init(s->kept) > 0 &&
           EVP_PKEY_CTX_set_signature_md(s->kept, EVP_sha256()) > 0;
}

/* The key in a file of its own, without what else is in |material|. */
static bool write_key(struct state *s, const char *material)
{
    static const char end[] = "-----END PRIVATE KEY-----\n";
    const char *stop = strstr(material, end);
    size_t len;

    if (stop == NULL) {
        return false;
    }
    len = (size_t)(stop - material) + sizeof(end) - 1;
    s->file = memfd_create("key", MFD_CLOEXEC);
    return s->file > 0 && write(s->file, material, len) == (ssize_t)len;
}

static bool keep_certificate(struct state *s, const char *material)
{
    X509 *cert = material_certificate(material);
    unsigned char *p = s->in;
    int len = cert != NULL ? i2d_X509(cert, NULL) : 0;
    bool ok = len > 0 && (size_t)len <= sizeof(s->in);

    if (ok) {
        s->in_len = (size_t)i2d_X509(cert, &p);
    }
    X509_free(cert);
    return ok;
}

static bool prepare(struct state *s, const char *material)
{
    switch (s->c->action) {
    case SIGN_KEPT:
        return keep_context(s);
    case DECRYPT:
        return encrypt(s, material);
    case DERIVE:
        s->peer = material_peer(material);
        return s->peer != NULL;
    case LOAD:
        s->pem = strdup(material);
        return s->pem != NULL;
    case LOAD_STORE:
        return write_key(s, material);
    case CERTIFICATE:
        return keep_certificate(s, material);
    default:
        s->in_len = MESSAGE;
        return true;
    }
}

static void close_all(void *state)
{
    struct all *a = state;

    for (size_t i = 0; i < a->n; i++) {
        EVP_PKEY_CTX_free(a->of[i].kept);
        EVP_PKEY_free(a->of[i].peer);
        EVP_PKEY_free(a->of[i].key);
        free(a->of[i].pem);
        if (a->of[i].file > 0) {
            close(a->of[i].file);
        }
    }
    free(a->of);
    free(a);
}

static bool open_one(struct state *s, const struct bench_case *c,
                     const struct column *column, const char *material,
                     char *why)
{
    s->c = (const struct key_case *)c;
    s->column = column;
    if ((s->c->action == LOAD || s->c->action == LOAD_STORE) &&
        column->profile == PROFILE_LOADED) {
        snprintf(why, WHY_ROOM, "every key that is read is the module's");
        return false;
    }
    s->key = material_key(material, column, why);
    if (s->key != NULL && !prepare(s, material)) {
        material_why(why, "preparing the operation");
        return false;
    }
    return s->key != NULL;
}

static void *open_all(const struct bench_case *c, const struct column *column,
                      const char *material, char *why)
{
    size_t n = material_count(material);
    struct all *a = calloc(1, sizeof(*a));

    if (a == NULL || (a->of = calloc(n, sizeof(*a->of))) == NULL) {
        free(a);
        return NULL;
    }
    a->random = 1;
    for (; material != NULL; material = material_next(material)) {
        if (!open_one(&a->of[a->n++], c, column, material, why)) {
            close_all(a);
            return NULL;
        }
    }
    return a;
}

static const char *const columns[] = {"stock",         "loaded",    "keys",
                                      "keys-mprotect", "keys-none", NULL};

int main(int argc, char **argv)
{
    static const struct benchmark keyop = {.name = "keyop",
                                           .operation = "operation",
                                           .columns = columns,
                                           .case_at = case_at,
                                           .open = open_all,
                                           .run = run,
                                           .close = close_all};

    return bench_main(&keyop, argc, argv);
}
