/*
 * What record ciphers use of the caller's stack, beginning with a key and for
 * each record, fits into what a light entry wipes, with a third of it to spare,
 * and nothing of them is left there.
 *
 * Argument "measure": one run, with the CPU's features as $OPENSSL_ia32cap
 * leaves them; without, a run for each set of features. The ciphers are those
 * of the system's libcrypto, which is the inner one's source, one level higher
 * (EVP). Every record has its nonce: GCM would draw one, and the random
 * generator has no business here, so one without is refused
 * (cipher_attack_test). Seen to fail: the second claim without .Lwipe_stack of
 * gate.S.
 */
#include "core_test.h"

#include "../../mpkcore/internal.h"
#include "gate_abi.h"

#include <openssl/evp.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define LONGEST 16384

enum { OP_CRYPT = MPK_ENTRY_FIRST, OP_START };

static unsigned char text[LONGEST + 64], tag[16];

static struct record {
    EVP_CIPHER_CTX *ctx;
    EVP_CIPHER *cipher;
    int encrypt;
    int len;
    int ok;
} record;

/* A record, as a stub would do it. */
static int64_t crypt_stub(void *frame)
{
    static const unsigned char iv[12] = {1}, aad[13] = {2};
    struct record *r = &record;
    int n = 0;

    (void)frame;
    r->ok = EVP_CipherInit_ex(r->ctx, NULL, NULL, NULL, iv, r->encrypt) == 1 &&
            (r->encrypt || EVP_CIPHER_CTX_ctrl(r->ctx, EVP_CTRL_AEAD_SET_TAG,
                                               16, tag) == 1) &&
            EVP_CipherUpdate(r->ctx, NULL, &n, aad, sizeof(aad)) == 1 &&
            EVP_CipherUpdate(r->ctx, text, &n, text, r->len) == 1 &&
            EVP_CipherFinal_ex(r->ctx, text + r->len, &n) == 1 &&
            (!r->encrypt ||
             EVP_CIPHER_CTX_ctrl(r->ctx, EVP_CTRL_AEAD_GET_TAG, 16, tag) == 1);
    return r->ok;
}

/* A new context gets its key. */
static int64_t start_stub(void *frame)
{
    static const unsigned char key[32] = {3};
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();

    (void)frame;
    record.ok = ctx != NULL && EVP_CipherInit_ex(ctx, record.cipher, NULL, key,
                                                 NULL, record.encrypt) == 1;
    EVP_CIPHER_CTX_free(ctx);
    return record.ok;
}

static const struct mpk_entry entries[] = {
    MPK_CORE_ENTRIES,
    {crypt_stub, 0, MPK_KIND_LIGHT},
    {start_stub, 0, MPK_KIND_LIGHT},
};

/* What is below rsp and is not zero; abi_call zeroes the stack. */
static size_t used(void)
{
    size_t size = abi_in.rsp - (uintptr_t)abi_stack, i = 0;

    while (i < size && abi_stack[i] == 0) {
        i++;
    }
    return size - i;
}

/* Of |op|, by the gate or by itself. */
static size_t used_by(uint64_t op, bool through_the_gate)
{
    if (through_the_gate) {
        abi_call((void (*)(void))mpk_gate, op, NULL, MPK_GATE_LIGHT);
    } else {
        abi_call((void (*)(void))(op == OP_CRYPT ? crypt_stub : start_stub), 0,
                 NULL, 0);
    }
    CHECK(record.ok && abi_out.rax == 1);
    return used();
}

static size_t most_of_start(const char *name, bool through_the_gate)
{
    size_t encrypt, decrypt;

    record.cipher = EVP_CIPHER_fetch(NULL, name, NULL);
    record.encrypt = 1;
    encrypt = used_by(OP_START, through_the_gate);
    record.encrypt = 0;
    decrypt = used_by(OP_START, through_the_gate);
    EVP_CIPHER_free(record.cipher);
    return encrypt > decrypt ? encrypt : decrypt;
}

static size_t most(const char *name, bool through_the_gate)
{
    static const unsigned char key[32] = {3};
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, name, NULL);
    size_t found = 0;

    record.ctx = EVP_CIPHER_CTX_new();
    CHECK(EVP_CipherInit_ex(record.ctx, cipher, NULL, key, key, 1) == 1);
    for (record.len = 1; record.len <= LONGEST;
         record.len += record.len < 600 ? 1 : 1021) {
        for (record.encrypt = 1; record.encrypt >= 0; record.encrypt--) {
            size_t n = used_by(OP_CRYPT, through_the_gate);

            found = n > found ? n : found;
        }
    }
    EVP_CIPHER_CTX_free(record.ctx);
    EVP_CIPHER_free(cipher);
    return found;
}

static int measure(void)
{
    static const char *const names[] = {"AES-128-GCM", "AES-256-GCM",
                                        "ChaCha20-Poly1305", "ARIA-256-GCM"};
    struct mpk_config c = {.backend = MPK_BACKEND_NONE,
                           .entries = entries,
                           .n_entries = COUNT_OF(entries)};

    CHECK(mpk_core_init(&c) == 0);
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        size_t n = most(names[i], false);

        printf("%-18s %5zu of %d bytes\n", names[i], n, MPK_LIGHT_STACK);
        CHECK(n > 100 && n < MPK_LIGHT_STACK * 2 / 3);
        CHECK(most(names[i], true) == 0);
        n = most_of_start(names[i], false);
        printf("%-18s %5zu to begin\n", names[i], n);
        CHECK(n > 100 && n < MPK_LIGHT_STACK * 2 / 3);
        CHECK(most_of_start(names[i], true) == 0);
    }
    return failed_checks != 0;
}

int main(int argc, char **argv)
{
    /* All; no AVX-512; no AVX2 either; no AVX. Bits as in
     * OPENSSL_ia32cap(3). */
    static const char *const less[] = {":~0", ":~0xd0230000", ":~0xd0230020",
                                       "~0x1000000000000000:~0xd0230020"};

    if (argc > 1) {
        return measure();
    }
    for (size_t i = 0; i < COUNT_OF(less); i++) {
        int status = -1;

        printf("OPENSSL_ia32cap='%s'\n", less[i]);
        fflush(stdout);
        if (fork() == 0) {
            setenv("OPENSSL_ia32cap", less[i], 1);
            execl(argv[0], argv[0], "measure", (char *)NULL);
            _exit(1);
        }
        wait(&status);
        CHECK(status == 0);
    }
    return failed_checks != 0;
}
