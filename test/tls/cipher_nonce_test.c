/*
 * Nonces of the AEADs of TLS: drawn where none was given, counted from a number
 * of each key's own in TLS 1.2, also in a child and in a copy, and taken by no
 * message that is refused.
 */
#include "../unit/claims.h"
#include "cipher_message.h"
#include "pair.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* GCM draws a nonce if it was given none; a context does so once. */
static void a_nonce_is_drawn(EVP_CIPHER *cipher[SIDES], size_t key_len)
{
    unsigned char key[SIDES][32], iv[SIDES][12], text[16], tag[16];

    pair_key(true, key_len, key);
    for (int side = 0; side < SIDES; side++) {
        EVP_CIPHER_CTX *ctx = context(cipher[side], key[side], 1), *check;
        int n;

        memset(text, 'x', sizeof(text));
        CHECK(EVP_EncryptUpdate(ctx, NULL, &n, header, 5));
        CHECK(EVP_EncryptUpdate(ctx, text, &n, text, sizeof(text)));
        CHECK(EVP_EncryptFinal_ex(ctx, tag, &n));
        CHECK(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, 16, tag) > 0);
        CHECK(EVP_CIPHER_CTX_get_original_iv(ctx, iv[side], 12));
        CHECK(!EVP_EncryptUpdate(ctx, text, &n, text, sizeof(text)));
        ERR_clear_error();
        EVP_CIPHER_CTX_free(ctx);

        check = context(cipher[STOCK], key[STOCK], 0);
        CHECK(EVP_DecryptInit_ex(check, NULL, NULL, NULL, iv[side]));
        CHECK(EVP_DecryptUpdate(check, NULL, &n, header, 5));
        CHECK(EVP_DecryptUpdate(check, text, &n, text, sizeof(text)));
        CHECK(EVP_CIPHER_CTX_ctrl(check, EVP_CTRL_AEAD_SET_TAG, 16, tag) > 0);
        CHECK(EVP_DecryptFinal_ex(check, tag, &n));
        CHECK(text[0] == 'x' && memcmp(text, text + 1, 15) == 0);
        EVP_CIPHER_CTX_free(check);
    }
    CHECK(memcmp(iv[OURS], iv[STOCK], 12) != 0);
}

/* ---- records of TLS 1.2 -------------------------------------------------- */

#define TLS_TEXT 16
#define TLS_RECORD (8 + TLS_TEXT + 16)

/* One record, in place. Returns what EVP_Cipher does. */
static int tls_record(EVP_CIPHER_CTX *ctx, int encrypt,
                      unsigned char record[TLS_RECORD])
{
    unsigned char aad[13] = {0, 0, 0, 0, 0, 0, 0, 1, 23, 3, 3, 0};

    aad[12] = encrypt ? 8 + TLS_TEXT : TLS_RECORD;
    CHECK(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_IV_FIXED, 4,
                              (void *)"part") > 0);
    CHECK(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_TLS1_AAD, 13, aad) == 16);
    return EVP_Cipher(ctx, record, record, TLS_RECORD);
}

/* The number with which a new key's first nonce begins to count. */
static uint64_t first_number(EVP_CIPHER *cipher[SIDES], size_t key_len)
{
    unsigned char key[SIDES][32], record[TLS_RECORD];
    EVP_CIPHER_CTX *ctx, *check;
    uint64_t number;

    pair_key(true, key_len, key);
    ctx = context(cipher[OURS], key[OURS], 1);
    check = context(cipher[STOCK], key[STOCK], 0);
    memset(record, 'x', sizeof(record));
    CHECK(tls_record(ctx, 1, record) == TLS_RECORD);
    memcpy(&number, record, sizeof(number));
    CHECK(tls_record(check, 0, record) > 0);
    CHECK(record[8] == 'x' && memcmp(record + 8, record + 9, 15) == 0);
    EVP_CIPHER_CTX_free(ctx);
    EVP_CIPHER_CTX_free(check);
    return number;
}

static void all_differ(const uint64_t *number, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < i; j++) {
            CHECK(number[i] != number[j]);
        }
    }
}

/* More than are drawn at a time, and in a child of fork. */
static void each_key_has_a_number_of_its_own(EVP_CIPHER *cipher[SIDES],
                                             size_t key_len)
{
    uint64_t number[80], there[8];
    int way[2], status = -1;
    pid_t pid;

    for (size_t i = 0; i < 64; i++) {
        number[i] = first_number(cipher, key_len);
    }
    CHECK(pipe(way) == 0);
    pid = fork();
    for (size_t i = 0; i < 8; i++) {
        there[i] = first_number(cipher, key_len);
    }
    if (pid == 0) {
        _exit(write(way[1], there, sizeof(there)) != (ssize_t)sizeof(there) ||
              failed_claims != 0);
    }
    memcpy(number + 64, there, sizeof(there));
    CHECK(read(way[0], there, sizeof(there)) == (ssize_t)sizeof(there));
    memcpy(number + 72, there, sizeof(there));
    waitpid(pid, &status, 0);
    CHECK(status == 0);
    all_differ(number, 80);
    close(way[0]);
    close(way[1]);
}

/* An init with another key, of no handle, and a part of a nonce that is too
 * long. */
static void fail_to_init(EVP_CIPHER_CTX *ctx)
{
    unsigned char key[32] = {5}, part[200] = {0};
    OSSL_PARAM params[] = {
        OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TLS1_IV_FIXED, part,
                                sizeof(part)),
        OSSL_PARAM_END};

    CHECK(!EVP_EncryptInit_ex2(ctx, NULL, key, NULL, params));
    ERR_clear_error();
}

/* The header has gone in before the fork, by a question: what comes after it
 * is the data alone. */
enum before { NOTHING, A_FAILURE, A_COPY };

static void a_child_does_not_count_on(EVP_CIPHER *cipher[SIDES], size_t key_len,
                                      enum before before)
{
    unsigned char key[SIDES][32], record[3][TLS_RECORD] = {{0}}, aad[13] = {0};
    unsigned char *theirs = mmap(NULL, TLS_RECORD, PROT_READ | PROT_WRITE,
                                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    EVP_CIPHER_CTX *ctx;
    size_t tag_len;
    OSSL_PARAM ask[] = {
        OSSL_PARAM_construct_size_t(OSSL_CIPHER_PARAM_AEAD_TAGLEN, &tag_len),
        OSSL_PARAM_construct_end()};
    pid_t pid;

    CHECK(theirs != MAP_FAILED);
    aad[12] = 8 + TLS_TEXT;
    pair_key(true, key_len, key);
    ctx = context(cipher[OURS], key[OURS], 1);
    CHECK(tls_record(ctx, 1, record[0]) == TLS_RECORD);
    if (before == A_FAILURE) {
        fail_to_init(ctx);
    }
    CHECK(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_TLS1_AAD, 13, aad) == 16);
    CHECK(EVP_CIPHER_CTX_get_params(ctx, ask));
    pid = fork();
    if (pid == 0 && before == A_COPY) {
        EVP_CIPHER_CTX *original = ctx;

        ctx = EVP_CIPHER_CTX_new();
        CHECK(EVP_CIPHER_CTX_copy(ctx, original));
    }
    CHECK(EVP_Cipher(ctx, record[1], record[1], TLS_RECORD) == TLS_RECORD);
    if (pid == 0) {
        memcpy(theirs, record[1], TLS_RECORD);
        _exit(0);
    }
    waitpid(pid, NULL, 0);
    memcpy(record[2], theirs, TLS_RECORD);
    for (int i = 0; i < 3; i++) {
        CHECK(memcmp(record[i], record[(i + 1) % 3], 8) != 0);
    }
    munmap(theirs, TLS_RECORD);
    EVP_CIPHER_CTX_free(ctx);
}

/* What it draws is as long as the rest of a nonce of TLS 1.2. With another
 * length it would be cut, or be made longer by what is behind it, inside. */
static void a_child_counts_on_no_other_length(EVP_CIPHER *cipher[SIDES],
                                              size_t key_len)
{
    unsigned char key[SIDES][32], record[TLS_RECORD] = {0}, aad[13] = {0};
    int status = -1;
    pid_t pid;

    aad[12] = 8 + TLS_TEXT;
    for (int len = 8; len <= 16; len += 4) {
        EVP_CIPHER_CTX *ctx;

        pair_key(true, key_len, key);
        ctx = context(cipher[OURS], key[OURS], 1);
        CHECK(tls_record(ctx, 1, record) == TLS_RECORD);
        CHECK(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_IVLEN, len, NULL) ==
              1);
        pid = fork();
        if (pid == 0) {
            EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_TLS1_AAD, 13, aad);
            _exit(EVP_Cipher(ctx, record, record, TLS_RECORD) == TLS_RECORD);
        }
        CHECK(waitpid(pid, &status, 0) == pid);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == (len == 12));
        EVP_CIPHER_CTX_free(ctx);
    }
    ERR_clear_error();
}

/* Of which the first one has not gone inside yet. */
static void a_copy_counts_on_from_the_same_number(EVP_CIPHER *cipher[SIDES],
                                                  size_t key_len)
{
    unsigned char key[SIDES][32], record[2][TLS_RECORD] = {{0}}, aad[13] = {0};
    EVP_CIPHER_CTX *ctx[2];

    aad[12] = 8 + TLS_TEXT;
    pair_key(true, key_len, key);
    ctx[0] = context(cipher[OURS], key[OURS], 1);
    ctx[1] = EVP_CIPHER_CTX_new();
    CHECK(EVP_CIPHER_CTX_ctrl(ctx[0], EVP_CTRL_GCM_SET_IV_FIXED, 4,
                              (void *)"part") > 0);
    CHECK(EVP_CIPHER_CTX_copy(ctx[1], ctx[0]));
    for (int i = 0; i < 2; i++) {
        CHECK(EVP_CIPHER_CTX_ctrl(ctx[i], EVP_CTRL_AEAD_TLS1_AAD, 13, aad) ==
              16);
        CHECK(EVP_Cipher(ctx[i], record[i], record[i], TLS_RECORD) ==
              TLS_RECORD);
        EVP_CIPHER_CTX_free(ctx[i]);
    }
    CHECK(memcmp(record[0], record[1], TLS_RECORD) == 0);
}

/* ---- lengths, and what is refused ---------------------------------------- */

/* CCM's key comes with the length of its nonces. */
static void a_nonce_is_as_long_as_the_key_says(EVP_CIPHER *cipher[SIDES],
                                               size_t key_len)
{
    unsigned char key[SIDES][32], iv[12] = {0};
    int ret[SIDES], n;

    for (int at_key = 7; at_key <= 13; at_key++) {
        pair_key(true, key_len, key);
        for (int i = 0; i < SIDES; i++) {
            EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();

            CHECK(EVP_CipherInit_ex(ctx, cipher[i], NULL, NULL, NULL, 1) == 1);
            CHECK(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_IVLEN, at_key,
                                      NULL) == 1);
            CHECK(EVP_CipherInit_ex(ctx, NULL, NULL, key[i], NULL, 1) == 1);
            CHECK(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_IVLEN, 12, NULL) ==
                  1);
            CHECK(EVP_CipherInit_ex(ctx, NULL, NULL, NULL, iv, 1) == 1);
            ret[i] = EVP_CipherUpdate(ctx, NULL, &n, NULL, 37);
            EVP_CIPHER_CTX_free(ctx);
        }
        CHECK(ret[OURS] == ret[STOCK]);
        CHECK((ret[STOCK] == 1) == (at_key <= 12));
    }
    ERR_clear_error();
}

static void ask_for_too_much(EVP_CIPHER_CTX *ctx)
{
    unsigned char tag[16];

    CHECK(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, -1, tag) != 1);
}

static void give_no_data(EVP_CIPHER_CTX *ctx)
{
    unsigned char out[64];
    int len;

    CHECK(EVP_EncryptUpdate(ctx, out, &len, NULL, 20) != 1);
}

/* One that was lost would have the message enciphered with the last one's. */
static void
what_is_refused_takes_no_nonce_along(EVP_CIPHER *cipher[SIDES], size_t key_len,
                                     void (*refused)(EVP_CIPHER_CTX *ctx))
{
    static const unsigned char text[20] = "a message, 20 bytes",
                               another[12] = {7};
    unsigned char key[SIDES][32], out[SIDES][20], tag[SIDES][16];

    pair_key(false, key_len, key);
    for (int side = 0; side < SIDES; side++) {
        EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
        int len;

        CHECK(EVP_EncryptInit_ex2(ctx, cipher[side], key[side], nonce, NULL) ==
                  1 &&
              EVP_EncryptUpdate(ctx, out[side], &len, text, 20) == 1 &&
              EVP_EncryptFinal_ex(ctx, out[side], &len) == 1);
        CHECK(EVP_EncryptInit_ex2(ctx, NULL, NULL, another, NULL) == 1 &&
              EVP_EncryptUpdate(ctx, NULL, &len, header, sizeof(header)) == 1);
        if (side == OURS) {
            refused(ctx);
            ERR_clear_error();
        }
        CHECK(EVP_EncryptUpdate(ctx, out[side], &len, text, 20) == 1 &&
              EVP_EncryptFinal_ex(ctx, out[side] + len, &len) == 1 &&
              EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, 16, tag[side]) ==
                  1);
        EVP_CIPHER_CTX_free(ctx);
    }
    CHECK(memcmp(out[OURS], out[STOCK], sizeof(out[OURS])) == 0);
    CHECK(memcmp(tag[OURS], tag[STOCK], sizeof(tag[OURS])) == 0);
}

int main(int argc, char **argv)
{
    pair_seed(pair_seed_from(argc, argv));
    pair_start();
    for (size_t i = 0; i < n_cipher_names; i++) {
        EVP_CIPHER *cipher[SIDES];
        size_t key_len;

        pair_fetch(cipher_names[i].name, cipher);
        key_len = (size_t)EVP_CIPHER_get_key_length(cipher[STOCK]);
        if (cipher_names[i].mode != EVP_CIPH_CCM_MODE) {
            what_is_refused_takes_no_nonce_along(cipher, key_len,
                                                 ask_for_too_much);
            what_is_refused_takes_no_nonce_along(cipher, key_len, give_no_data);
        } else {
            a_nonce_is_as_long_as_the_key_says(cipher, key_len);
        }
        if (cipher_names[i].mode == EVP_CIPH_GCM_MODE) {
            a_nonce_is_drawn(cipher, key_len);
            each_key_has_a_number_of_its_own(cipher, key_len);
            a_copy_counts_on_from_the_same_number(cipher, key_len);
            a_child_does_not_count_on(cipher, key_len, NOTHING);
            a_child_does_not_count_on(cipher, key_len, A_FAILURE);
            a_child_does_not_count_on(cipher, key_len, A_COPY);
            a_child_counts_on_no_other_length(cipher, key_len);
        }
        EVP_CIPHER_free(cipher[OURS]);
        EVP_CIPHER_free(cipher[STOCK]);
    }
    return claims_end();
}
