/*
 * syscalls_victim KEY: goes through the stages of a program that uses a
 * protected key and does little else. Each stage begins with access() of a
 * path that names it, so that a trace of system calls can be cut there. The
 * stages are those of docs/syscalls.md.
 */
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIGNATURES 5

static void stage(const char *name)
{
    char path[64];

    snprintf(path, sizeof(path), "/mpk-stage/%s", name);
    (void)!access(path, F_OK);
}

static EVP_PKEY *load(const char *path)
{
    BIO *bio = BIO_new_file(path, "r");
    EVP_PKEY *key = NULL;

    if (bio != NULL) {
        key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    }
    BIO_free(bio);
    return key;
}

static int sign(EVP_PKEY *key)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    unsigned char sig[1024];
    size_t len = sizeof(sig);
    int ok =
        ctx != NULL &&
        EVP_DigestSignInit_ex(ctx, NULL, "SHA256", NULL, NULL, key, NULL) > 0 &&
        EVP_DigestSign(ctx, sig, &len, (const unsigned char *)"x", 1) > 0;

    EVP_MD_CTX_free(ctx);
    return ok;
}

static void *sign_in_thread(void *key)
{
    return sign(key) ? key : NULL;
}

static int use_in_thread(EVP_PKEY *key)
{
    pthread_t thread;
    void *result = NULL;

    return pthread_create(&thread, NULL, sign_in_thread, key) == 0 &&
           pthread_join(thread, &result) == 0 && result == key;
}

static int use_in_child(EVP_PKEY *key)
{
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        stage("child");
        _exit(sign(key) ? 0 : 1);
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

/* What an application does once, so that it is not taken for the module's. */
static int warm_up(void)
{
    unsigned char hash[EVP_MAX_MD_SIZE];

    return EVP_Q_digest(NULL, "SHA256", NULL, "x", 1, hash, NULL);
}

int main(int argc, char **argv)
{
    EVP_PKEY *key;
    int ok;

    if (argc != 2) {
        return 2;
    }
    stage("start");
    ok = OPENSSL_init_crypto(OPENSSL_INIT_LOAD_CONFIG, NULL) && warm_up();
    stage("load");
    key = load(argv[1]);
    ok = ok && key != NULL && sign(key); /* the first one warms up */
    stage("use");
    for (int i = 0; ok && i < SIGNATURES; i++) {
        ok = sign(key);
    }
    stage("thread");
    ok = ok && use_in_thread(key);
    stage("fork");
    ok = ok && use_in_child(key);
    stage("end");
    EVP_PKEY_free(key);
    return ok ? 0 : 1;
}
