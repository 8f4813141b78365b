/*
 * After a fork parent and child make different random numbers: two ECDSA
 * signatures of one message with one nonce give the key away.
 *
 * Seen to fail: FORK_CHILD of fork.c that does not count the fork.
 */
#include "interop.h"
#include "ops.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char message[] = "the same message";

/* The first half of a signature, r, comes of the nonce alone. */
static void sign_r(EVP_PKEY *key, unsigned char r[20])
{
    unsigned char sig[80];
    size_t len = sizeof(sig);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    CHECK(EVP_DigestSignInit_ex(ctx, NULL, "SHA256", NULL, NULL, key, NULL) ==
              1 &&
          EVP_DigestSign(ctx, sig, &len, (const unsigned char *)message,
                         sizeof(message)) == 1);
    /* SEQUENCE, its length, INTEGER, its length, perhaps a zero. */
    memcpy(r, sig + 5, 20);
    EVP_MD_CTX_free(ctx);
}

static void test_parent_and_child_have_other_nonces(EVP_PKEY *key)
{
    unsigned char here[20], there[20] = {0};
    int way[2], status = -1;
    pid_t pid;

    sign_r(key, here);
    CHECK(pipe(way) == 0);
    pid = fork();
    if (pid == 0) {
        sign_r(key, there);
        _exit(write(way[1], there, sizeof(there)) != (ssize_t)sizeof(there));
    }
    sign_r(key, here);
    CHECK(read(way[0], there, sizeof(there)) == (ssize_t)sizeof(there));
    waitpid(pid, &status, 0);
    CHECK_INT(status, 0);
    CHECK(memcmp(here, there, sizeof(here)) != 0);
    close(way[0]);
    close(way[1]);
}

int main(void)
{
    EVP_PKEY *key;

    interop_start();
    key = key_load(key_type_find("P-256"));
    CHECK_HELD(key);
    for (int i = 0; i < 10; i++) {
        test_parent_and_child_have_other_nonces(key);
    }
    EVP_PKEY_free(key);
    keys_free();
    return interop_finish();
}
