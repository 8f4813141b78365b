/*
 * token_test.c - a token is good for as long as its issuer waits, whatever
 * others do meanwhile: a key whose token is lost is loaded in the clear, by
 * libcrypto's old code.
 */
#include "prov.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* Many more than threads wait at once, anywhere. */
#define MANY 5000
#define THREADS 64
#define ROUNDS 200

struct prov_outside prov = {.lock = PTHREAD_MUTEX_INITIALIZER};

static unsigned failures, freed;
static int getrandom_error; /* an errno, or 0 */
static unsigned interrupted;

#define CHECK(claim) check((claim), #claim, __LINE__)

static void check(int ok, const char *claim, int line)
{
    if (!ok) {
        fprintf(stderr, "token_test.c:%d: not true: %s\n", line, claim);
        failures++;
    }
}

/* ---- what token.c calls ------------------------------------------------- */

ssize_t getrandom(void *p, size_t len, unsigned flags)
{
    static _Atomic uint64_t n;
    uint64_t next = ++n;

    (void)flags;
    if (interrupted > 0) {
        interrupted--;
        errno = EINTR;
        return -1;
    }
    if (getrandom_error != 0) {
        errno = getrandom_error;
        return -1;
    }
    memset(p, 0xa5, len);
    memcpy(p, &next, sizeof(next));
    return (ssize_t)len;
}

void prov_key_free(struct prov_key *key)
{
    (void)key;
    freed++;
}

static struct prov_key refused[2];
static size_t n_refused;

struct prov_key *prov_key_refused(struct prov_ctx *ctx, enum key_type type,
                                  const char *why)
{
    struct prov_key *key = &refused[n_refused++ % 2];

    (void)ctx;
    (void)why;
    key->type = type;
    return key;
}

struct prov_key *prov_key_become(struct prov_key *key, enum key_type type)
{
    key->type = type;
    return key;
}

/* ---- tokens ------------------------------------------------------------- */

struct issue {
    struct pending_token token;
    struct prov_key key;
    unsigned char der[TOKEN_MAX];
    size_t len;
};

static void issue(struct issue *i, enum key_type type)
{
    i->key.type = type;
    i->len = token_issue(&i->token, &i->key, i->der);
}

static struct prov_key *redeem(const struct issue *i, enum key_type type)
{
    return token_redeem(i->der, i->len, type);
}

static void test_many_at_once(void)
{
    static struct issue all[MANY];

    for (size_t i = 0; i < MANY; i++) {
        issue(&all[i], KEY_EC);
    }
    for (size_t i = 0; i < MANY; i++) {
        size_t at = i * 7 % MANY; /* in some order */

        CHECK(redeem(&all[at], KEY_EC) == &all[at].key);
        CHECK(redeem(&all[at], KEY_EC) == NULL);
    }
    for (size_t i = 0; i < MANY; i++) {
        CHECK(token_withdraw(&all[i].token) == NULL);
    }
    CHECK(prov.tokens == NULL);
}

static void test_nobody_comes(void)
{
    struct issue i;

    issue(&i, KEY_EC);
    CHECK(redeem(&i, KEY_RSA) == NULL);
    CHECK(token_redeem(i.der, i.len - 1, KEY_EC) == NULL);
    i.der[i.len - 1] ^= 1;
    CHECK(redeem(&i, KEY_EC) == NULL);
    i.der[i.len - 1] ^= 1;
    CHECK(token_withdraw(&i.token) == &i.key);
    CHECK(redeem(&i, KEY_EC) == NULL);
}

static void test_any_type(void)
{
    struct issue i;

    issue(&i, KEY_ANY);
    CHECK(redeem(&i, KEY_ED448) == &i.key);
    CHECK(i.key.type == KEY_ED448);
    CHECK(token_withdraw(&i.token) == NULL);
}

static void test_a_child_has_no_list(void)
{
    struct issue i;

    issue(&i, KEY_EC);
    prov.tokens = NULL;
    CHECK(token_withdraw(&i.token) == &i.key);
}

static void test_no_random_numbers(void)
{
    struct issue a, b;

    interrupted = 3;
    issue(&a, KEY_EC);
    CHECK(redeem(&a, KEY_EC) == &a.key);
    CHECK(token_withdraw(&a.token) == NULL);
    getrandom_error = ENOSYS;
    freed = 0;
    issue(&a, KEY_EC);
    issue(&b, KEY_EC);
    CHECK(freed == 2);
    CHECK(redeem(&a, KEY_EC) == &refused[0]);
    CHECK(redeem(&b, KEY_EC) == &refused[1]);
    CHECK(token_withdraw(&b.token) == NULL);
    CHECK(token_withdraw(&a.token) == NULL);
    getrandom_error = 0;
}

static void *wait_in_turn(void *arg)
{
    size_t *lost = arg;

    for (int n = 0; n < ROUNDS; n++) {
        struct issue i;

        issue(&i, KEY_EC);
        sched_yield();
        *lost += redeem(&i, KEY_EC) != &i.key;
        *lost += token_withdraw(&i.token) != NULL;
    }
    return NULL;
}

static void test_threads(void)
{
    pthread_t thread[THREADS];
    size_t lost[THREADS] = {0};

    for (int i = 0; i < THREADS; i++) {
        CHECK(pthread_create(&thread[i], NULL, wait_in_turn, &lost[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(thread[i], NULL);
        CHECK(lost[i] == 0);
    }
    CHECK(prov.tokens == NULL);
}

int main(void)
{
    test_many_at_once();
    test_nobody_comes();
    test_any_type();
    test_a_child_has_no_list();
    test_no_random_numbers();
    test_threads();
    return failures != 0;
}
