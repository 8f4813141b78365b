/*
 * key_victim is a program with a private key, for a scanner to look at:
 *
 *   key_victim [-p PASSPHRASE] WAY WHERE          one key, stage by stage
 *   key_victim [-p PASSPHRASE] -l WAY WHERE       load and free in a loop
 *
 * WAY is how the application gets at the key: pem-bio (PEM_read_bio_PrivateKey
 * on a file), ctx-file (SSL_CTX_use_PrivateKey_file), ctx-der (the same with
 * SSL_FILETYPE_ASN1) or store (OSSL_STORE of WHERE, a path or a URI such as
 * mpk:/path).
 *
 * It prints the name of each stage it has reached (ready, loaded, signed,
 * freed), and goes on when it reads a line. In the loop it prints ready, starts
 * at the next line, and at end of file prints the rounds and the mean time of a
 * load.
 *
 * It keeps nothing of the key itself: whatever a scan finds was left by the
 * libraries.
 */

#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/store.h>
#include <openssl/ui.h>

struct victim {
    const char *way;
    const char *where;
    char *pass;
    EVP_PKEY *key;
    SSL_CTX *ctx;
};

static int give_passphrase(char *buf, int size, int rwflag, void *arg)
{
    const char *pass = arg;
    int len;

    (void)rwflag;
    if (pass == NULL) {
        return -1;
    }
    len = snprintf(buf, (size_t)size, "%s", pass);
    return len < size ? len : -1;
}

static EVP_PKEY *load_pem_bio(const struct victim *v)
{
    EVP_PKEY *key;
    BIO *bio = BIO_new_file(v->where, "r");

    if (bio == NULL) {
        return NULL;
    }
    key = PEM_read_bio_PrivateKey(bio, NULL, give_passphrase, v->pass);
    BIO_free(bio);
    return key;
}

static EVP_PKEY *load_ctx_file(struct victim *v, int type)
{
    EVP_PKEY *key;

    v->ctx = SSL_CTX_new(TLS_server_method());
    if (v->ctx == NULL) {
        return NULL;
    }
    SSL_CTX_set_default_passwd_cb(v->ctx, give_passphrase);
    SSL_CTX_set_default_passwd_cb_userdata(v->ctx, v->pass);
    if (SSL_CTX_use_PrivateKey_file(v->ctx, v->where, type) != 1) {
        return NULL;
    }
    key = SSL_CTX_get0_privatekey(v->ctx);
    if (key != NULL && EVP_PKEY_up_ref(key) != 1) {
        return NULL;
    }
    return key;
}

static EVP_PKEY *load_store(const struct victim *v)
{
    EVP_PKEY *key = NULL;
    UI_METHOD *ui = UI_UTIL_wrap_read_pem_callback(give_passphrase, 0);
    OSSL_STORE_CTX *store =
        ui == NULL ? NULL : OSSL_STORE_open(v->where, ui, v->pass, NULL, NULL);

    while (store != NULL && key == NULL && !OSSL_STORE_eof(store)) {
        OSSL_STORE_INFO *info = OSSL_STORE_load(store);

        if (info == NULL) {
            break;
        }
        key = OSSL_STORE_INFO_get1_PKEY(info);
        OSSL_STORE_INFO_free(info);
    }
    if (store != NULL) {
        OSSL_STORE_close(store);
    }
    UI_destroy_method(ui);
    return key;
}

static int victim_load(struct victim *v)
{
    if (strcmp(v->way, "pem-bio") == 0) {
        v->key = load_pem_bio(v);
    } else if (strcmp(v->way, "ctx-file") == 0) {
        v->key = load_ctx_file(v, SSL_FILETYPE_PEM);
    } else if (strcmp(v->way, "ctx-der") == 0) {
        v->key = load_ctx_file(v, SSL_FILETYPE_ASN1);
    } else if (strcmp(v->way, "store") == 0) {
        v->key = load_store(v);
    } else {
        fprintf(stderr, "key_victim: unknown way: %s\n", v->way);
    }
    return v->key == NULL ? -1 : 0;
}

static void victim_free(struct victim *v)
{
    EVP_PKEY_free(v->key);
    v->key = NULL;
    SSL_CTX_free(v->ctx);
    v->ctx = NULL;
}

/* Ed25519 and Ed448 take no digest; for the others the default is right. */
static int victim_sign(const struct victim *v)
{
    static const unsigned char message[] = "a message";
    unsigned char sig[1024];
    size_t sig_len = sizeof(sig);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int ret = -1;

    if (ctx != NULL &&
        EVP_DigestSignInit_ex(ctx, NULL, NULL, NULL, NULL, v->key, NULL) == 1 &&
        EVP_DigestSign(ctx, sig, &sig_len, message, sizeof(message)) == 1) {
        ret = 0;
    }
    EVP_MD_CTX_free(ctx);
    return ret;
}

/*
 * read(2) and not stdio: a look ahead would take the lines of later stages.
 * Returns false at end of file.
 */
static bool wait_for_line(void)
{
    char c = 0;

    while (c != '\n') {
        if (read(STDIN_FILENO, &c, 1) != 1) {
            return false;
        }
    }
    return true;
}

static bool stage(const char *name)
{
    printf("%s\n", name);
    fflush(stdout);
    return wait_for_line();
}

static bool asked_to_stop(void)
{
    struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};

    return poll(&in, 1, 0) > 0;
}

static double now_seconds(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static int fail(const char *what)
{
    fprintf(stderr, "key_victim: %s failed\n", what);
    ERR_print_errors_fp(stderr);
    return 1;
}

static int run_stages(struct victim *v)
{
    if (!stage("ready")) {
        return 0;
    }
    if (victim_load(v) != 0) {
        return fail("load");
    }
    if (!stage("loaded")) {
        return 0;
    }
    if (victim_sign(v) != 0) {
        return fail("sign");
    }
    if (!stage("signed")) {
        return 0;
    }
    victim_free(v);
    stage("freed");
    return 0;
}

/* On a slow machine too, where it is asked to stop before that. */
#define LEAST_ROUNDS 10

static int run_loop(struct victim *v)
{
    double spent = 0;
    long rounds;

    if (!stage("ready")) {
        return 0;
    }
    for (rounds = 0; rounds < LEAST_ROUNDS || !asked_to_stop(); rounds++) {
        double start = now_seconds();

        if (victim_load(v) != 0) {
            return fail("load");
        }
        spent += now_seconds() - start;
        victim_free(v);
    }
    printf("rounds=%ld load_us=%.1f\n", rounds, spent * 1e6 / (double)rounds);
    return 0;
}

int main(int argc, char **argv)
{
    struct victim v = {0};
    bool loop = false;
    int ret;
    int c;

    while ((c = getopt(argc, argv, "lp:")) != -1) {
        switch (c) {
        case 'l':
            loop = true;
            break;
        case 'p':
            v.pass = optarg;
            break;
        default:
            return 2;
        }
    }
    if (argc - optind != 2) {
        fputs("usage: key_victim [-l] [-p PASSPHRASE] "
              "pem-bio|ctx-file|store WHERE\n",
              stderr);
        return 2;
    }
    v.way = argv[optind];
    v.where = argv[optind + 1];
    ret = loop ? run_loop(&v) : run_stages(&v);
    victim_free(&v);
    return ret;
}
