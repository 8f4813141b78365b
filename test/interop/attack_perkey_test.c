/*
 * attack_perkey_test.c - a stub at work for one key that goes wild does not
 * read another one: with the module of attack_perkey_entries.c, whose
 * comparison of two keys does. No handler runs inside, so that the parent looks
 * at the fault, and at what the pages of the child are then.
 *
 * Seen to fail: with key-isolation = shared; with a bug that reads an address
 * of no key; with keys whose pages have lost their protection key; the copy of
 * a key and the text of one with EVP_PKEY_KEYPAIR for what is copied; the last
 * without the look at where dup has allocated.
 */
#include "interop.h"
#include "keys.h"
#include "ops.h"

#include "../attack/module.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* A child's end, and the fault before it, if there was one. */
struct end {
    int status;
    siginfo_t fault;
    char rights[8]; /* of the page, as the kernel has them in the child */
    int key;        /* its protection key, or -1 */
};

static void look_at_page(pid_t pid, struct end *e)
{
    unsigned long from, to, at = (unsigned long)(uintptr_t)e->fault.si_addr;
    char name[64], line[512], rights[8];
    bool here = false;
    FILE *f;

    snprintf(name, sizeof(name), "/proc/%d/smaps", (int)pid);
    f = fopen(name, "r");
    CHECK(f != NULL);
    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        if (sscanf(line, "%lx-%lx %7s", &from, &to, rights) == 3) {
            here = at >= from && at < to;
            if (here) {
                memcpy(e->rights, rights, sizeof(rights));
            }
        } else if (here) {
            sscanf(line, "ProtectionKey: %d", &e->key);
        }
    }
    if (f != NULL) {
        fclose(f);
    }
}

static int compare(EVP_PKEY *a, EVP_PKEY *b)
{
    /* Not EVP_PKEY_eq, which knows that a key is equal to itself. */
    return EVP_PKEY_parameters_eq(a, b);
}

/* What becomes of a child that reads |b|, at work for |a|. */
static struct end end_of_reading(EVP_PKEY *a, EVP_PKEY *b)
{
    const struct rlimit none = {0, 0};
    struct end e = {.status = -1, .key = -1};
    pid_t pid = fork();

    if (pid == 0) {
        setrlimit(RLIMIT_CORE, &none);
        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        /* A fork shuts all pages. So that |b|'s have a key again, if any: */
        compare(b, b);
        _exit(compare(a, b) == 1 ? 55 : 1);
    }
    CHECK(pid > 0 && waitpid(pid, &e.status, 0) == pid);
    if (WIFSTOPPED(e.status)) {
        CHECK(ptrace(PTRACE_GETSIGINFO, pid, NULL, &e.fault) == 0);
        look_at_page(pid, &e);
        ptrace(PTRACE_CONT, pid, NULL, (void *)(long)WSTOPSIG(e.status));
        CHECK(waitpid(pid, &e.status, 0) == pid);
    }
    return e;
}

static void test_reads_its_own_key(const struct key_type *type)
{
    EVP_PKEY *a = key_load(type);
    struct end e = end_of_reading(a, a);

    CHECK(WIFEXITED(e.status) && WEXITSTATUS(e.status) == 55);
    EVP_PKEY_free(a);
}

static uintptr_t page_of(const struct end *e)
{
    return (uintptr_t)e->fault.si_addr / 4096;
}

/* It is the page that is shut, or its protection key, and not that of all that
 * the inside has. */
static void check_fault(const struct end *e, bool by_keys)
{
    unsigned char *start = NULL, *end = NULL, *at = e->fault.si_addr;

    CHECK(WIFSIGNALED(e->status) && WTERMSIG(e->status) == SIGSEGV);
    CHECK_INT(e->fault.si_signo, SIGSEGV);
    CHECK(module_domain(&start, &end) && at >= start && at < end);
    if (by_keys) {
        CHECK_INT(e->fault.si_code, SEGV_PKUERR);
        CHECK_INT(e->fault.si_pkey, e->key);
        CHECK(e->key > 0 && e->key != module_pkey());
        CHECK(strncmp(e->rights, "rw-", 3) == 0);
    } else {
        CHECK_INT(e->fault.si_code, SEGV_ACCERR);
        CHECK(strncmp(e->rights, "---", 3) == 0);
    }
}

static void test_does_not_read_another_key(const struct key_type *type,
                                           bool isolated, bool by_keys)
{
    EVP_PKEY *a = key_load(type), *b = key_load(type), *c = key_load(type);
    struct end ab = end_of_reading(a, b), ba = end_of_reading(b, a),
               cb = end_of_reading(c, b);

    if (isolated) {
        check_fault(&ab, by_keys);
        check_fault(&ba, by_keys);
        check_fault(&cb, by_keys);
        /* Where it is depends on whose key is read, and on nothing else. */
        CHECK(page_of(&ab) == page_of(&cb));
        CHECK(page_of(&ab) != page_of(&ba));
    } else {
        CHECK(WIFEXITED(ab.status) && WEXITSTATUS(ab.status) == 55);
    }
    EVP_PKEY_free(a);
    EVP_PKEY_free(b);
    EVP_PKEY_free(c);
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
    bool by_keys = isolated && strcmp(backend, "mpk") == 0;

    interop_start();
    for (size_t i = 0; i < sizeof(labels) / sizeof(labels[0]); i++) {
        interop_subject("%s", labels[i]);
        test_reads_its_own_key(key_type_find(labels[i]));
        test_does_not_read_another_key(key_type_find(labels[i]), isolated,
                                       by_keys);
        test_what_is_printed_has_no_private_part(key_type_find(labels[i]));
    }
    interop_subject("P-256, a template");
    test_a_template_has_no_private_part(key_type_find("P-256"));
    test_a_key_without_pages_of_its_own_is_refused(per_key);
    return interop_finish();
}
