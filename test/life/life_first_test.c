/*
 * life_first_test KEY: the first that a process does with libcrypto is to load
 * a key, in several threads at once. All wait until the configuration is
 * loaded, and each key comes to the provider.
 *
 * And a process that is forked meanwhile can fork again.
 *
 * Seen to fail: with a look-up of an algorithm in the provider's start, by
 * which libcrypto takes the configuration for loaded (most runs); the second
 * where a child of fork keeps the provider's lock (some runs).
 */
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/provider.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROCESSES 20
#define THREADS 4

static const char *path;
static pthread_barrier_t start;
static atomic_int astray;

static void *load(void *unused)
{
    const char *expected = getenv("MPK_TEST_PROVIDER");
    const char *name = "none";
    FILE *f = fopen(path, "r");
    EVP_PKEY *key = NULL;
    EVP_MD *md;

    pthread_barrier_wait(&start);
    if (f != NULL) {
        key = PEM_read_PrivateKey(f, NULL, NULL, NULL);
        fclose(f);
    }
    if (key != NULL && EVP_PKEY_get0_provider(key) != NULL) {
        name = OSSL_PROVIDER_get0_name(EVP_PKEY_get0_provider(key));
    }
    md = EVP_MD_fetch(NULL, "SHA2-256", NULL);
    if (md == NULL || strcmp(name, expected) != 0) {
        fprintf(stderr, "the key is with '%s'%s\n", name,
                md == NULL ? ", and there is no SHA-256" : "");
        atomic_fetch_add(&astray, 1);
    }
    EVP_MD_free(md);
    EVP_PKEY_free(key);
    return unused;
}

/* libcrypto was not used here before. */
static void begin(void)
{
    pthread_t thread[THREADS];

    pthread_barrier_init(&start, NULL, THREADS);
    for (int i = 0; i < THREADS; i++) {
        pthread_create(&thread[i], NULL, load, NULL);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(thread[i], NULL);
    }
    /* As it ends itself. */
    exit(astray != 0);
}

/* ---- a fork while the first key is loaded -------------------------------- */

static int ends_well(pid_t pid)
{
    int status;

    return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

static atomic_int loaded;

/* Whoever hangs is ended by SIGALRM. */
static void fork_again_and_end(void)
{
    pid_t pid;

    alarm(20);
    pid = fork();
    if (pid == 0) {
        _exit(0);
    }
    _exit(!ends_well(pid));
}

static void *fork_meanwhile(void *failed)
{
    do {
        pid_t pid = fork();

        if (pid == 0) {
            fork_again_and_end();
        }
        atomic_fetch_add((atomic_int *)failed, !ends_well(pid));
    } while (!loaded);
    return NULL;
}

static void begin_and_fork(void)
{
    pthread_t thread[2];
    atomic_int failed = 0;
    FILE *f = fopen(path, "r");

    for (int i = 0; i < 2; i++) {
        pthread_create(&thread[i], NULL, fork_meanwhile, &failed);
    }
    usleep((useconds_t)getpid() * 37 % 3000);
    EVP_PKEY_free(PEM_read_PrivateKey(f, NULL, NULL, NULL));
    fclose(f);
    loaded = 1;
    for (int i = 0; i < 2; i++) {
        pthread_join(thread[i], NULL);
    }
    exit(failed != 0);
}

static int run(void (*body)(void), const char *what)
{
    int failed = 0;

    for (int i = 0; i < PROCESSES; i++) {
        pid_t pid = fork();

        if (pid == 0) {
            body();
        }
        failed += !ends_well(pid);
    }
    printf("%d of %d processes %s\n", failed, PROCESSES, what);
    return failed;
}

int main(int argc, char **argv)
{
    if (argc != 2 || getenv("MPK_TEST_PROVIDER") == NULL ||
        getenv("MPK_TEST_BACKEND") == NULL) {
        return 2;
    }
    if (strcmp(getenv("MPK_TEST_BACKEND"), "mpk") == 0) {
        int key = pkey_alloc(0, 0);

        if (key < 0) {
            puts("skipped: this CPU or kernel has no protection keys");
            return 77;
        }
        pkey_free(key);
    }
    path = argv[1];
    return run(begin, "had a key elsewhere") +
               run(begin_and_fork, "had a child that could not fork") !=
           0;
}
