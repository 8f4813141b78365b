/*
 * attack_perkey_test.c - a stub at work for one key that goes wild does not
 * read another one: with the module of attack_perkey_entries.c, whose
 * comparison of two keys does.
 *
 * Seen to fail: with key-isolation = shared; the copy of a key and the text of
 * one with EVP_PKEY_KEYPAIR for what is copied; the last without the look at
 * where dup has allocated.
 */
#include "interop.h"
#include "keys.h"
#include "ops.h"

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
        /* Not EVP_PKEY_eq, which knows that a key is equal to itself. */
        _exit(EVP_PKEY_parameters_eq(a, b) == 1 ? 55 : 1);
    }
    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
    return status;
}

static void test_reads_its_own_key(const struct key_type *type)
{
    EVP_PKEY *a = key_load(type);
    int status = status_of_reading(a, a);

    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 55);
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

/* ---- copies that everybody's heap has ------------------------------------ */

/* Of the key that the new one is to be like. */
static void test_a_template_has_no_private_part(const struct key_type *type)
{
    EVP_PKEY *key = key_load(type), *like = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);

    CHECK_INT(EVP_PKEY_keygen_init(ctx), 1);
    CHECK_INT(EVP_PKEY_keygen(ctx, &like), 1);
    CHECK_HELD(like);
    EVP_PKEY_free(like);
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(key);
}

static void
test_what_is_printed_has_no_private_part(const struct key_type *type)
{
    EVP_PKEY *key = key_load(type);
    BIO *out = BIO_new(BIO_s_mem());

    CHECK_INT(EVP_PKEY_print_private(out, key, 0, NULL), 1);
    BIO_free(out);
    EVP_PKEY_free(key);
}

/* A key whose pages stay empty would be in everybody's heap: after the first
 * key was made the inside does not know who allocates. */
static void test_a_key_without_pages_of_its_own_is_refused(bool per_key)
{
    const struct key_type *type = key_type_find("P-256");
    EVP_PKEY *key = key_load(type);
    struct bytes sig = {0};

    CHECK_HELD(key);
    CHECK_INT(digest_sign(key, type->md, NULL, "", 0, &sig), !per_key);
    CHECK(!per_key || interop_queue_says("pages of its own"));
    bytes_free(&sig);
    EVP_PKEY_free(key);
}

int main(void)
{
    const char *labels[] = {"P-256", "RSA-2048", "ED25519", "X448"};
    const char *backend = getenv("MPK_TEST_BACKEND");
    const char *isolation = getenv("MPK_TEST_ISOLATION");
    bool per_key = isolation != NULL && strcmp(isolation, "per-key") == 0;
    bool isolated = per_key && backend != NULL && strcmp(backend, "none") != 0;

    interop_start();
    for (size_t i = 0; i < sizeof(labels) / sizeof(labels[0]); i++) {
        interop_subject("%s", labels[i]);
        test_reads_its_own_key(key_type_find(labels[i]));
        test_does_not_read_another_key(key_type_find(labels[i]), isolated);
        test_what_is_printed_has_no_private_part(key_type_find(labels[i]));
    }
    interop_subject("P-256, a template");
    test_a_template_has_no_private_part(key_type_find("P-256"));
    test_a_key_without_pages_of_its_own_is_refused(per_key);
    return interop_finish();
}
