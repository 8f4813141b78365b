#include "life.h"

#include "../seconds.h"

#include <openssl/pem.h>
#include <openssl/ssl.h>

#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- time ---- */

static double began;

void life_case(const char *format, ...)
{
    char what[200];
    va_list args;

    va_start(args, format);
    vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    interop_subject("%s", what);
    printf("%s\n", what);
    began = seconds_now();
}

bool life_goes_on(void)
{
    return seconds_now() < began + seconds_of_case();
}

bool life_is_half_over(void)
{
    return seconds_now() >= began + seconds_of_case() / 2;
}

/* ---- one key, in one library context ---- */

char *life_pem(const char *label)
{
    EVP_PKEY *key = key_reference(key_type_find(label));
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL, *copy;
    long len;

    if (!PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL)) {
        exit(1);
    }
    len = BIO_get_mem_data(bio, &text);
    copy = interop_new((size_t)len + 1);
    memcpy(copy, text, (size_t)len);
    copy[len] = '\0';
    BIO_free(bio);
    return copy;
}

EVP_PKEY *life_read(OSSL_LIB_CTX *libctx, const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    EVP_PKEY *key =
        PEM_read_bio_PrivateKey_ex(bio, NULL, NULL, NULL, libctx, NULL);

    BIO_free(bio);
    return key;
}

bool life_signs(OSSL_LIB_CTX *libctx, EVP_PKEY *key)
{
    static const unsigned char message[] = "a message";
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    unsigned char sig[1024];
    size_t len = sizeof(sig);
    bool ok = key != NULL && ctx != NULL &&
              EVP_DigestSignInit_ex(ctx, NULL, "SHA256", libctx, NULL, key,
                                    NULL) > 0 &&
              EVP_DigestSign(ctx, sig, &len, message, sizeof(message)) > 0 &&
              len > 32;

    EVP_MD_CTX_free(ctx);
    return ok;
}

bool life_held(const EVP_PKEY *key)
{
    return strcmp(interop_provider_of(key), interop_provider()) == 0;
}

/* ---- configurations ---- */

const char *life_conf(const char *name, const char *word, const char *line)
{
    FILE *in = fopen(getenv("OPENSSL_CONF"), "r");
    char text[4096] = "", row[256];
    bool ours = false;

    while (in != NULL && fgets(row, sizeof(row), in) != NULL) {
        if (row[0] == '[') {
            ours = strstr(row, "mpk") != NULL;
        }
        if (ours && strncmp(row, word, strlen(word)) == 0) {
            continue;
        }
        strcat(text, row);
        if (ours && row[0] == '[') {
            strcat(strcat(text, line), "\n");
        }
    }
    if (in != NULL) {
        fclose(in);
    }
    return interop_file(name, text, strlen(text));
}

OSSL_LIB_CTX *life_context(const char *path)
{
    OSSL_LIB_CTX *libctx = OSSL_LIB_CTX_new();

    if (libctx != NULL && !OSSL_LIB_CTX_load_config(libctx, path)) {
        OSSL_LIB_CTX_free(libctx);
        return NULL;
    }
    return libctx;
}

/* ---- memory that stays flat ---- */

static struct life_usage usage_now(void)
{
    struct life_usage u = {.taken = true};
    FILE *f = fopen("/proc/self/statm", "r");

    u.heap = mallinfo2().uordblks;
    if (f == NULL || fscanf(f, "%*d %ld", &u.resident) != 1) {
        u.resident = -1;
    }
    if (f != NULL) {
        fclose(f);
    }
    return u;
}

void life_watch(struct life_usage *then, unsigned turns)
{
    if (!then->taken && turns >= 10 && life_is_half_over()) {
        *then = usage_now();
        then->turns = turns;
    }
}

bool life_goes_on_watched(const struct life_usage *then, unsigned turns)
{
    return life_goes_on() || !then->taken || turns < then->turns + 10;
}

void life_check_flat(const struct life_usage *then, size_t heap_room,
                     long page_room)
{
    struct life_usage u = usage_now();

    if (!interop_memory_counts() || !CHECK(then->taken)) {
        return;
    }
    if (!CHECK(u.heap <= then->heap + heap_room)) {
        fprintf(stderr, "heap: %zu, then %zu\n", then->heap, u.heap);
    }
    if (!CHECK(u.resident <= then->resident + page_room)) {
        fprintf(stderr, "pages: %ld, then %ld\n", then->resident, u.resident);
    }
}

/* ---- threads that sign ---- */

static void *run_signer(void *arg)
{
    struct life_crowd *c = arg;

    while (!atomic_load(&c->stop)) {
        atomic_fetch_add(&c->failed, !life_signs(NULL, c->key));
        atomic_fetch_add(&c->done, 1);
    }
    return NULL;
}

void life_crowd_start(struct life_crowd *c, EVP_PKEY *key)
{
    memset(c, 0, sizeof(*c));
    c->key = key;
    for (int i = 0; i < LIFE_SIGNERS; i++) {
        CHECK(pthread_create(&c->thread[i], NULL, run_signer, c) == 0);
    }
    while (atomic_load(&c->done) < LIFE_SIGNERS) {
        usleep(1000);
    }
}

void life_crowd_stop(struct life_crowd *c)
{
    int done;

    /* All but the first of each. */
    while ((done = atomic_load(&c->done)) <= LIFE_SIGNERS) {
        usleep(1000);
    }
    atomic_store(&c->stop, 1);
    for (int i = 0; i < LIFE_SIGNERS; i++) {
        pthread_join(c->thread[i], NULL);
    }
    CHECK_INT(atomic_load(&c->failed), 0);
    printf("  %d signatures by %d threads\n", done, LIFE_SIGNERS);
}

/* ---- processes ---- */

EVP_PKEY *life_left_key;
SSL_CTX *life_left_ctx;

int life_wait(pid_t pid)
{
    int status = -1;

    return waitpid(pid, &status, 0) == pid ? status : -1;
}

int life_scenario(const struct life_scenario *all, size_t n, const char *name)
{
    struct rlimit no_core = {0, 0};

    alarm(300);
    setrlimit(RLIMIT_CORE, &no_core);
    life_left_key = key_load(key_type_find("P-256"));
    life_left_ctx = SSL_CTX_new(TLS_server_method());
    if (!life_signs(NULL, life_left_key) ||
        SSL_CTX_use_PrivateKey(life_left_ctx, life_left_key) != 1) {
        return LIFE_REFUSED;
    }
    for (size_t i = 0; i < n; i++) {
        if (strcmp(all[i].name, name) == 0) {
            return all[i].run();
        }
    }
    return 5;
}

int life_again(const char *scenario, const char *conf)
{
    pid_t pid;

    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        setenv("OPENSSL_CONF", conf, 1);
        execl("/proc/self/exe", "again", scenario, (char *)NULL);
        _exit(6);
    }
    return life_wait(pid);
}
