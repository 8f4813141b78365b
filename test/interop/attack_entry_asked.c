/*
 * attack_entry_asked.c - frames whose pointers are good, and that ask for what
 * there is not: lengths, types and variants out of range, contexts and keys of
 * another kind, what is used up.
 *
 * Each check was taken out of the module, and a test here seen to fail.
 */
#include "attack_entry.h"

#include <openssl/core_names.h>
#include <openssl/params.h>

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static int64_t try_op(uint32_t op, const char *what, struct mpkprov_frame *f)
{
    snprintf(progress->at, sizeof(progress->at), "%s", what);
    interop_subject("%s", what);
    return call(op, f);
}

#define TRY(op, what, ...)                                                     \
    try_op(op, what, &(struct mpkprov_frame){__VA_ARGS__})

/* The functions of another operation, with numbers of their own, and data of
 * another type are what the inner OpenSSL would take it for. */
static void contexts_are_for_their_operation(void)
{
    static const uint32_t runs[] = {OP_enc_run, OP_kex_derive, OP_kem_run,
                                    OP_kex_peer};
    uint64_t c = signer();

    for (size_t i = 0; i < sizeof(runs) / sizeof(runs[0]); i++) {
        CHECK(TRY(runs[i], "another operation's context", .handle = c,
                  .handle2 = p256_handle, .in = message, .in_len = 32,
                  .out = room, .out_len = sizeof(room), .out2 = room2,
                  .out2_len = sizeof(room2)) <= 0);
    }
    CHECK(TRY(OP_kex_init, "another operation's context to init", .handle = c,
              .handle2 = p256_handle) <= 0);
    CHECK(TRY(OP_sig_init, "a key of another type", .handle = c,
              .handle2 = rsa_handle) <= 0);
    c = context(OP_enc_init, rsa_handle, 0, NULL);
    CHECK(TRY(OP_sig_make, "a context that encrypts, to sign", .handle = c,
              .in = message, .in_len = 32, .out = room,
              .out_len = sizeof(room)) <= 0);
    CHECK(TRY(OP_kex_init, "no key", .what = 0) <= 0);
    c = context(OP_kex_init, p256_handle, 0, NULL);
    CHECK(TRY(OP_kex_init, "no key for a context", .handle = c) <= 0);
}

/* Whose init has failed: the inner one was never made for it. */
static void contexts_have_to_be_ready(void)
{
    struct mpkprov_frame f = {.handle = signer()}, init = f, copy = f;

    init.handle2 = p256_handle;
    init.what = SIG_DIGEST_SIGN;
    init.name = "no such digest";
    CHECK(try_op(OP_sig_init, "an init that fails", &init) <= 0);
    f.in = message;
    f.in_len = 32;
    f.out = room;
    f.out_len = sizeof(room);
    CHECK(try_op(OP_sig_make, "a context after it", &f) <= 0);
    CHECK_INT(f.error.reason, MPKPROV_R_HANDLE);
    CHECK_INT(try_op(OP_ctx_dup, "its copy", &copy), 1);
    CHECK(copy.handle2 == 0);
}

static void numbers_are_of_what_there_is(void)
{
    static const int32_t types[] = {-1, KEY_TYPES, -1000, 1 << 20};
    struct mpkprov_frame f;

    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        CHECK(TRY(OP_key_new, "a key of no type", .type = types[i]) <= 0);
        CHECK(TRY(OP_gen_open, "a generation of no type", .type = types[i],
                  .what = OSSL_KEYMGMT_SELECT_KEYPAIR) <= 0);
        CHECK(TRY(OP_ctx_tables, "a table of no type", .type = types[i],
                  .what = -1, .out = room, .out_len = sizeof(room)) <= 0);
    }
    for (int what = SIG_SIGN - 1; what <= SIG_DIGEST_VERIFY + 1;
         what += SIG_DIGEST_VERIFY + 2) {
        f = (struct mpkprov_frame){.handle2 = p256_handle, .what = what};
        CHECK(try_op(OP_sig_init, "a signature's operation", &f) <= 0);
        CHECK_STR(f.error.text, "no such operation");
    }
    CHECK(TRY(OP_key_match, "keys of two types", .handle = p256_handle,
              .handle2 = rsa_handle,
              .what = OSSL_KEYMGMT_SELECT_PUBLIC_KEY) <= 0);
    f = (struct mpkprov_frame){
        .handle = made(OP_gen_open, KEY_EC, OSSL_KEYMGMT_SELECT_KEYPAIR),
        .handle2 = rsa_handle};
    CHECK(try_op(OP_gen_template, "a template of another type", &f) <= 0);
    f = (struct mpkprov_frame){.handle = made(OP_key_new, KEY_EC, 0)};
    f.handle2 = f.handle;
    CHECK(try_op(OP_sig_init, "a key without numbers", &f) <= 0);
    memset(room, 0xa5, sizeof(room));
    f = (struct mpkprov_frame){
        .type = KEY_EC, .what = -1, .out = room, .out_len = sizeof(OSSL_PARAM)};
    CHECK(try_op(OP_ctx_tables, "a table in too little room", &f) == 1);
    CHECK(f.out == NULL && room[sizeof(OSSL_PARAM)] == 0xa5);
}

/* In a process of its own, which a missing check may end. */
static void test_in_a_child(void (*body)(void))
{
    int status = -1;
    pid_t pid;

    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        unsigned long wrong = interop_failures();

        body();
        _exit(interop_failures() != wrong);
    }
    waitpid(pid, &status, 0);
    interop_subject("%s", progress->at);
    CHECK_INT(status, 0);
}

void test_what_is_asked_for(void)
{
    test_in_a_child(contexts_are_for_their_operation);
    test_in_a_child(contexts_have_to_be_ready);
    test_in_a_child(numbers_are_of_what_there_is);
}
