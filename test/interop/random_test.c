/*
 * The application's random numbers come from inside where the configuration
 * says "random = MPK-RAND".
 *
 * Seen to fail: without that line in the configuration, and with an answer of
 * rand_make_stub that is always the same.
 */
#include "interop.h"

#include <openssl/bn.h>
#include <openssl/provider.h>
#include <openssl/rand.h>

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROLE_TLS_SECTION "MPK"
#define LARGE ((size_t)100000) /* more than one request of the inner ones */
#define LEN 32

typedef int draw_fn(unsigned char *out, int len);

static int draw_number(unsigned char *out, int len)
{
    BIGNUM *n = BN_new();
    int ok = n != NULL &&
             BN_priv_rand(n, 8 * len, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) &&
             BN_bn2binpad(n, out, len) == len;

    BN_clear_free(n);
    return ok;
}

static void test_each_draw_goes_in(const char *what, draw_fn *draw)
{
    unsigned char a[LEN] = {0}, b[LEN] = {0};
    long long before;

    interop_subject("%s", what);
    CHECK(draw(a, LEN) == 1); /* makes what is made once */
    before = interop_crossings(ROLE_TLS_SECTION);
    CHECK(draw(a, LEN) == 1);
    CHECK(interop_crossings(ROLE_TLS_SECTION) > before);
    CHECK(draw(b, LEN) == 1);
    CHECK(memcmp(a, b, LEN) != 0);
}

/* All of it is filled: in no 32 bytes is there a zero only. */
static void test_a_large_request_is_filled(void)
{
    static const unsigned char zeros[LEN];
    unsigned char *p = interop_new(LARGE);
    bool filled = true;

    interop_subject("a large request");
    memset(p, 0, LARGE);
    CHECK(RAND_bytes(p, (int)LARGE) == 1);
    for (size_t at = 0; at + LEN <= LARGE; at += LEN) {
        filled = filled && memcmp(p + at, zeros, LEN) != 0;
    }
    CHECK(filled);
    free(p);
}

static void test_parent_and_child_draw_others(void)
{
    unsigned char here[LEN], there[LEN] = {0};
    int way[2], status = -1;
    pid_t pid;

    interop_subject("a fork");
    CHECK(pipe(way) == 0);
    pid = fork();
    if (pid == 0) {
        _exit(RAND_bytes(there, LEN) != 1 || write(way[1], there, LEN) != LEN);
    }
    CHECK(RAND_bytes(here, LEN) == 1);
    CHECK(read(way[0], there, LEN) == LEN);
    waitpid(pid, &status, 0);
    CHECK_INT(status, 0);
    CHECK(memcmp(here, there, LEN) != 0);
    close(way[0]);
    close(way[1]);
}

static void test_it_is_ours(const char *what, EVP_RAND_CTX *ctx)
{
    EVP_RAND *rand = ctx != NULL ? EVP_RAND_CTX_get0_rand(ctx) : NULL;

    interop_subject("%s", what);
    CHECK_STR(rand != NULL ? EVP_RAND_get0_name(rand) : "none", "MPK-RAND");
    CHECK_STR(rand != NULL
                  ? OSSL_PROVIDER_get0_name(EVP_RAND_get0_provider(rand))
                  : "none",
              ROLE_TLS_SECTION);
}

int main(void)
{
    interop_start();
    test_it_is_ours("public generator", RAND_get0_public(NULL));
    test_it_is_ours("private generator", RAND_get0_private(NULL));
    test_each_draw_goes_in("RAND_bytes", RAND_bytes);
    test_each_draw_goes_in("RAND_priv_bytes", RAND_priv_bytes);
    test_each_draw_goes_in("BN_priv_rand", draw_number);
    test_a_large_request_is_filled();
    test_parent_and_child_draw_others();
    return interop_finish();
}
