#ifndef MPK_TEST_LIFE_H
#define MPK_TEST_LIFE_H

/*
 * What the tests of the life cycle share. Each case runs for a time, not for
 * a number of turns: one second, or $MPK_TEST_SECONDS. A case that has done
 * nothing in that time is no test, so each claims that it did.
 */

#include "../interop/interop.h"
#include "../interop/keys.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* ---- time ---- */

/* life_case begins a case: says what its claims are about, starts its time. */
void life_case(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Whether the case still has time; life_is_half_over: half of it is gone. */
bool life_goes_on(void);
bool life_is_half_over(void);

/* ---- one key, in one library context ---- */

/* The PEM of the reference's key, to be freed. */
char *life_pem(const char *label);

EVP_PKEY *life_read(OSSL_LIB_CTX *libctx, const char *pem);

/* Nothing else counts as a signature but one of a fair length. */
bool life_signs(OSSL_LIB_CTX *libctx, EVP_PKEY *key);

/* The provider under test has the key. */
bool life_held(const EVP_PKEY *key);

/* ---- configurations ---- */

/*
 * life_conf writes the configuration in OPENSSL_CONF to the file |name|, with
 * |line| for every line of our section that begins with |word|, or, when there
 * is none, with |line| added. The path stays valid until the next call.
 */
const char *life_conf(const char *name, const char *word, const char *line);

/* A library context configured by |path|, or NULL. */
OSSL_LIB_CTX *life_context(const char *path);

/* ---- memory that stays flat ---- */

struct life_usage {
    bool taken;
    unsigned turns; /* when it was */
    size_t heap;
    long resident; /* pages */
};

/*
 * To be called in each turn: takes the usage once half of the time is gone,
 * and at least ten turns, since libcrypto itself grows at first.
 */
void life_watch(struct life_usage *then, unsigned turns);

/* As life_goes_on, and until the usage was taken, and ten turns after that. */
bool life_goes_on_watched(const struct life_usage *then, unsigned turns);

/* The process has not grown by more than this since. Claims nothing where
 * memory says nothing: under sanitizers and valgrind. */
void life_check_flat(const struct life_usage *then, size_t heap_room,
                     long page_room);

/* ---- threads that sign ---- */

#define LIFE_SIGNERS 16

struct life_crowd {
    pthread_t thread[LIFE_SIGNERS];
    EVP_PKEY *key;
    atomic_int stop, failed, done;
};

/* life_crowd_start returns when LIFE_SIGNERS signatures have been made. */
void life_crowd_start(struct life_crowd *c, EVP_PKEY *key);
/* life_crowd_stop claims that all worked. */
void life_crowd_stop(struct life_crowd *c);

/* ---- processes ---- */

/* The wait status. */
int life_wait(pid_t pid);

struct life_scenario {
    const char *name;
    int (*run)(void); /* what main returns */
    int signal;       /* that ends it; 0: it ends with 0 */
};

/* A key and a TLS context that are alive when a scenario ends. */
extern EVP_PKEY *life_left_key;
extern SSL_CTX *life_left_ctx;

/* life_scenario runs the one called |name|, in the process of its own. */
int life_scenario(const struct life_scenario *all, size_t n, const char *name);

/* life_again runs this program again, for |scenario|; the wait status. */
int life_again(const char *scenario, const char *conf);

/* What life_scenario returns when the provider refuses the key. */
#define LIFE_REFUSED 4

#endif
