/*
 * attack_perkey_test.c - a stub at work for one key that goes wild does not
 * read another one: with the module of attack_perkey_entries.c, whose
 * comparison of two keys does.
 *
 * Seen to fail: with key-isolation = shared.
 */
#include "interop.h"
#include "keys.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static int status_of_reading(EVP_PKEY *a, EVP_PKEY *b)
{
    const struct rlimit none = {0, 0};
    int status = -1;
    pid_t pid = fork();

    if (pid == 0) {
        setrlimit(RLIMIT_CORE, &none);
        _exit(EVP_PKEY_eq(a, b) == 1 ? 55 : 1);
    }
    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
    return status;
}

static void test_reads_its_own_key(const struct key_type *type)
{
    EVP_PKEY *a = key_load(type);
    int status = status_of_reading(a, a);

    CHECK(WIFEXITED(status));
    EVP_PKEY_free(a);
}

static void test_does_not_read_another_key(const struct key_type *type,
                                           bool isolated)
{
    EVP_PKEY *a = key_load(type), *b = key_load(type);
    int status = status_of_reading(a, b);

    if (isolated) {
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    } else {
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 55);
    }
    EVP_PKEY_free(a);
    EVP_PKEY_free(b);
}

int main(void)
{
    const char *labels[] = {"P-256", "RSA-2048", "ED25519", "X448"};
    const char *backend = getenv("MPK_TEST_BACKEND");
    const char *isolation = getenv("MPK_TEST_ISOLATION");
    bool isolated = isolation != NULL && strcmp(isolation, "per-key") == 0 &&
                    backend != NULL && strcmp(backend, "none") != 0;

    interop_start();
    for (size_t i = 0; i < sizeof(labels) / sizeof(labels[0]); i++) {
        interop_subject("%s", labels[i]);
        test_reads_its_own_key(key_type_find(labels[i]));
        test_does_not_read_another_key(key_type_find(labels[i]), isolated);
    }
    return interop_finish();
}
