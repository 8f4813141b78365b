/*
 * A signal handler that uses a key in the middle of a record, while another
 * thread forks, is refused or let in, and does not wait: fork waits for the
 * record, which goes on when the handler returns. Threads make records, with
 * handlers that make one too, and the process forks all the time.
 *
 * It takes chance: a handler has to come while the gate is shut, to a thread
 * that has another slot than it mostly has. Seen to fail, which is to hang, in
 * 11 of 12 runs with attempt_again waiting at MPK_GATE_FORKING before all slots
 * have been tried.
 */
#include "../interop/interop.h"
#include "../seconds.h"
#include "pair.h"

#include <openssl/evp.h>

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS 16
#define LONGEST 8192
#define SHORT 600
#define HANGS 60 /* seconds */

static EVP_CIPHER *cipher[SIDES];
static atomic_bool over;
static atomic_long records, wrong, handlers, let_in;

struct message {
    EVP_CIPHER_CTX *ctx;
    unsigned char iv[12], out[LONGEST];
};

static const unsigned char text[LONGEST] = "the same in each message";
static unsigned char right[SHORT]; /* what a handler's message has to be */
static __thread struct message *of_handler;

static EVP_CIPHER_CTX *context(int side, unsigned char first)
{
    unsigned char key[16] = {first};
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();

    return EVP_EncryptInit_ex(ctx, cipher[side], NULL, key, NULL) ? ctx : NULL;
}

static int encipher(EVP_CIPHER_CTX *ctx, const unsigned char *iv, size_t len,
                    unsigned char *out)
{
    int n;

    return EVP_EncryptInit_ex(ctx, NULL, NULL, NULL, iv) &&
           EVP_EncryptUpdate(ctx, out, &n, text, (int)len);
}

static void handler(int sig)
{
    struct message *m = of_handler;

    (void)sig;
    handlers++;
    if (m != NULL && encipher(m->ctx, m->iv, SHORT, m->out)) {
        let_in++;
        wrong += memcmp(m->out, right, SHORT) != 0;
    }
}

static void *make_records(void *unused)
{
    struct message own = {.ctx = context(OURS, 9)},
                   stock = {.ctx = context(STOCK, 9)},
                   handlers_own = {.ctx = context(OURS, 1)};

    (void)unused;
    of_handler = &handlers_own;
    for (unsigned i = 0; !over; i++) {
        size_t len = 1 + i * 37 % LONGEST;

        memcpy(own.iv, &i, sizeof(i));
        wrong += !encipher(own.ctx, own.iv, len, own.out) ||
                 !encipher(stock.ctx, own.iv, len, stock.out) ||
                 memcmp(own.out, stock.out, len) != 0;
        records++;
    }
    of_handler = NULL;
    EVP_CIPHER_CTX_free(own.ctx);
    EVP_CIPHER_CTX_free(stock.ctx);
    EVP_CIPHER_CTX_free(handlers_own.ctx);
    return NULL;
}

static int fork_once(void)
{
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        _exit(0);
    }
    return waitpid(pid, &status, 0) == pid && status == 0;
}

int main(void)
{
    const unsigned char iv[12] = {0};
    struct sigaction sa = {.sa_handler = handler, .sa_flags = SA_RESTART};
    double until = seconds_now() + 3 * seconds_of_case();
    pthread_t thread[THREADS];
    EVP_CIPHER_CTX *ctx;
    int forks = 0;

    pair_start();
    pair_fetch("AES-128-GCM", cipher);
    ctx = context(STOCK, 1);
    CHECK(ctx != NULL && encipher(ctx, iv, SHORT, right));
    EVP_CIPHER_CTX_free(ctx);
    sigaction(SIGUSR1, &sa, NULL);
    alarm(HANGS);
    for (int i = 0; i < THREADS; i++) {
        CHECK(pthread_create(&thread[i], NULL, make_records, NULL) == 0);
    }
    for (; seconds_now() < until; forks++) {
        for (int i = 0; i < THREADS; i++) {
            pthread_kill(thread[i], SIGUSR1);
        }
        CHECK(fork_once());
    }
    over = 1;
    for (int i = 0; i < THREADS; i++) {
        pthread_join(thread[i], NULL);
    }
    printf("%ld records, %d forks, %ld handlers, of which %ld were let in\n",
           (long)records, forks, (long)handlers, (long)let_in);
    CHECK(wrong == 0 && records > 0 && forks > 0 && let_in > 0);
    return interop_finish();
}
