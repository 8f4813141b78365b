/*
 * attack_entry_asked_test.c - frames whose pointers are good, and that ask for
 * what there is not: those of attack_entry_asked.c, of attack_entry_groups.c,
 * and some more.
 *
 * Seen to fail: ctx_init that takes any number for an operation; tls_boot that
 * takes a path without bytes; sealed text whose layout is not in the tweak.
 */
#include "attack_entry.h"

#include <openssl/core_names.h>
#include <openssl/params.h>

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* An init that goes by a number of the caller's: there is one for each of two.
 */
static void test_no_other_variant(uint32_t op, const char *name)
{
    static const int numbers[] = {-1, 2, INT_MAX, INT_MIN};

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        struct mpkprov_frame f = good_frame(&rows[op]);

        interop_subject("%s: operation %d", name, numbers[i]);
        f.what = numbers[i];
        CHECK(call(op, &f) <= 0);
        CHECK_STR(f.error.text, "no such operation");
        CHECK(f.handle == 0);
    }
}

/* In a process of its own: seen to end it, in the inner OpenSSL. */
static void test_a_key_without_a_curve(void)
{
    int flag = 1, status = -1;
    OSSL_PARAM cofactor[] = {
        OSSL_PARAM_int(OSSL_PKEY_PARAM_USE_COFACTOR_ECDH, &flag),
        OSSL_PARAM_END};
    pid_t pid;

    interop_subject("key_set: the cofactor of a key without a curve");
    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        struct mpkprov_frame f = {.handle = made(OP_key_new, KEY_EC, 0),
                                  .params = cofactor};

        _exit(call(OP_key_set, &f) == 0 && f.error.reason != 0 ? 0 : 1);
    }
    waitpid(pid, &status, 0);
    CHECK_INT(status, 0);
}

/* In a process of its own: session secrets are switched on once. */
static void test_a_path_without_bytes(void)
{
    struct mpkprov_frame f = {.in = message};
    int status = -1;
    pid_t pid;

    interop_subject("tls_boot: a path of no bytes");
    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        call(OP_tls_boot, &f);
        _exit(f.error.reason == MPKPROV_R_PARAMETER ||
                      f.error.reason == MPKPROV_R_OPERATION
                  ? 0
                  : 1);
    }
    waitpid(pid, &status, 0);
    CHECK_INT(status, 0);
}

/* Of a line libcrypto's reader takes what is before a zero byte. So whoever may
 * put one into sealed text chooses which digits of a key are parsed, and from
 * what an error says of them he has the key. */
static void test_digits_of_sealed_text_are_not_left_out(void)
{
    static const char begin[] = "-----BEGIN PRIVATE KEY-----\n";
    const char *body = strstr(p256, "KEY-----\n") + strlen("KEY-----\n");
    char text[4096];
    struct mpkprov_frame f = {.in = text, .out = text, .what = 1};

    interop_subject("four digits before a key, sealed");
    f.in_len = (size_t)snprintf(text, sizeof(text), "%sAAAA\n%s", begin, body);
    f.out_len = f.in_len;
    CHECK_INT(call(OP_key_seal, &f), 1);
    CHECK(memmem(text, f.in_len, "PRIVATE MPK-----\n", 17) != NULL);
    interop_subject("the four behind a zero byte");
    memmove(text + strlen(begin) + 1, text + strlen(begin),
            f.in_len - strlen(begin));
    text[strlen(begin)] = '\0';
    f.in_len++;
    CHECK(call(OP_key_decode, &f) != 1);
}

int main(void)
{
    if (!attack_start()) {
        return attack_finish();
    }
    test_no_other_variant(OP_enc_init, "enc_init");
    test_no_other_variant(OP_kex_init, "kex_init");
    test_no_other_variant(OP_kem_init, "kem_init");
    test_what_is_asked_for();
    test_what_is_asked_of_groups();
    test_a_path_without_bytes();
    test_a_key_without_a_curve();
    test_digits_of_sealed_text_are_not_left_out();
    return attack_finish();
}
