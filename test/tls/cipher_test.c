/*
 * The AEADs of TLS, with keys that are handles: what such a key is good for, in
 * one thread and in many.
 */
#include "../interop/kdf_ask.h"
#include "../unit/claims.h"
#include "cipher_message.h"
#include "pair.h"

#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <pthread.h>
#include <string.h>

/* ---- keys that are handles ---------------------------------------------- */

static void a_handle_is_good_once(EVP_CIPHER *cipher[SIDES], size_t key_len)
{
    unsigned char key[SIDES][32], out[SIDES][116];
    EVP_CIPHER_CTX *ctx[SIDES], *again = EVP_CIPHER_CTX_new();

    pair_key(true, key_len, key);
    for (int i = 0; i < SIDES; i++) {
        ctx[i] = context(cipher[i], key[i], 1);
        CHECK(seal(ctx[i], header, 100, out[i]));
    }
    CHECK(memcmp(out[OURS], out[STOCK], 116) == 0);
    /* As a key its bytes would be one that everybody can read. */
    for (int with_nonce = 0; with_nonce < 2; with_nonce++) {
        CHECK(!EVP_CipherInit_ex(again, cipher[OURS], NULL, key[OURS],
                                 with_nonce ? nonce : NULL, 1));
        CHECK(ERR_peek_error() != 0);
        ERR_clear_error();
    }
    EVP_CIPHER_CTX_free(again);
    for (int i = 0; i < SIDES; i++) {
        EVP_CIPHER_CTX_free(ctx[i]);
    }
}

/*
 * What enciphers with keys that others send it (a web token's, an envelope's)
 * must not do so with one that waits for libssl, and can be read: a key of TLS
 * is for its own version's records, and for whole ones. Seen to fail without
 * is_its_use in cipher_run.c and in cipher_record.c.
 */
static void tls_key(const char *label, size_t key_len, unsigned char *handle)
{
    unsigned char secret[48], traffic[32], block[104];
    struct ask_bytes seed[] = {TEXT("key expansion"), BYTES(secret, 32),
                               BYTES(secret, 32)};

    pair_bytes(secret, sizeof(secret));
    if (strcmp(label, "key") == 0) {
        CHECK(ask_expand(NULL, "SHA2-256", secret, "client in", NONE, traffic,
                         sizeof(traffic)) &&
              ask_expand(NULL, "SHA2-256", traffic, label, NONE, handle,
                         key_len));
        return;
    }
    CHECK(ask_tls1(NULL, "SHA2-256", BYTES(secret, 48), seed, 3, block,
                   2 * key_len + 8));
    memcpy(handle, block, key_len);
}

static int data_with(EVP_CIPHER *cipher, const unsigned char *key,
                     const unsigned char *aad, int aad_len, int len)
{
    EVP_CIPHER_CTX *ctx = context(cipher, key, 1);
    unsigned char text[200] = {0};
    int n, ok;

    ok = EVP_CipherInit_ex(ctx, NULL, NULL, NULL, nonce, 1) &&
         (EVP_CIPHER_CTX_get_mode(ctx) != EVP_CIPH_CCM_MODE ||
          EVP_CipherUpdate(ctx, NULL, &n, NULL, len)) &&
         (aad_len == 0 || EVP_CipherUpdate(ctx, NULL, &n, aad, aad_len)) &&
         EVP_CipherUpdate(ctx, text, &n, text, len);
    EVP_CIPHER_CTX_free(ctx);
    return ok;
}

static void a_key_of_tls_is_for_its_records(EVP_CIPHER *cipher[SIDES],
                                            size_t key_len)
{
    static const unsigned char other[5] = {22, 3, 3, 0, 100 + 16};
    unsigned char key[32];
    struct {
        const unsigned char *aad;
        int aad_len, len, ok;
    } way[] = {{header, 5, 100, 1}, {header, 5, 99, 0}, {header, 4, 100, 0},
               {other, 5, 100, 0},  {NULL, 0, 100, 0},  {header, 0, 16, 0}};

    for (size_t i = 0; i < sizeof(way) / sizeof(way[0]); i++) {
        tls_key("key", key_len, key);
        CHECK(data_with(cipher[OURS], key, way[i].aad, way[i].aad_len,
                        way[i].len) == way[i].ok);
        tls_key("key block", key_len, key);
        CHECK(!data_with(cipher[OURS], key, way[i].aad, way[i].aad_len,
                         way[i].len));
        ERR_clear_error();
    }
}

/* A key in another algorithm's hands, and one bit beside it. */
static void a_handle_is_bytes_elsewhere(EVP_CIPHER *cipher[SIDES],
                                        size_t key_len)
{
    unsigned char key[SIDES][32], out[2][16] = {{0}};
    const char *ecb = key_len == 16 ? "AES-128-ECB" : "AES-256-ECB";
    EVP_CIPHER *block = EVP_CIPHER_fetch(NULL, ecb, NULL);
    int n;

    (void)cipher;
    pair_key(true, key_len, key);
    for (int i = 0; i < 2; i++) {
        EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();

        CHECK(EVP_EncryptInit_ex(ctx, block, NULL, key[i], NULL) &&
              EVP_EncryptUpdate(ctx, out[i], &n, out[i], 16));
        EVP_CIPHER_CTX_free(ctx);
    }
    CHECK(memcmp(out[0], out[1], 16) != 0);
    EVP_CIPHER_free(block);
}

static void a_record_ends_where_its_header_says(EVP_CIPHER *cipher[SIDES],
                                                size_t key_len)
{
    unsigned char key[SIDES][32], out[232], iv[12] = {0};
    EVP_CIPHER_CTX *ctx;
    int n;

    pair_key(true, key_len, key);
    ctx = context(cipher[OURS], key[OURS], 1);
    CHECK(EVP_EncryptInit_ex(ctx, NULL, NULL, NULL, iv));
    CHECK(EVP_EncryptUpdate(ctx, NULL, &n, header, 5));
    CHECK(EVP_EncryptUpdate(ctx, out, &n, out, 100));
    ERR_clear_error();
    CHECK(!EVP_EncryptUpdate(ctx, out, &n, out, 100));
    CHECK(ERR_peek_error() != 0);
    CHECK(EVP_EncryptFinal_ex(ctx, out, &n));
    CHECK(!EVP_EncryptUpdate(ctx, out, &n, out, 100));
    CHECK(seal(ctx, header, 100, out));
    ERR_clear_error();
    EVP_CIPHER_CTX_free(ctx);
}

/* What went in since the last look, which is a crossing itself. */
static uint64_t crossings(void)
{
    static uint64_t last;
    OSSL_PROVIDER *ours = OSSL_PROVIDER_load(NULL, "MPK");
    uint64_t n = 0, since;
    OSSL_PARAM params[] = {OSSL_PARAM_uint64("mpk-crossings", &n),
                           OSSL_PARAM_END};

    CHECK(ours != NULL && OSSL_PROVIDER_get_params(ours, params) == 1);
    OSSL_PROVIDER_unload(ours);
    since = n - last - 1;
    last = n;
    return since;
}

/* A record of TLS 1.2 with |len| bytes of text, in place. */
static bool seal12(EVP_CIPHER_CTX *ctx, int len, unsigned char *out)
{
    unsigned char aad[13] = {0, 0, 0, 0, 0, 0, 0, 1, 23, 3, 3};
    int explicit = EVP_CIPHER_CTX_get_mode(ctx) != 0 ? 8 : 0, n;

    aad[11] = (unsigned char)((len + explicit) >> 8);
    aad[12] = (unsigned char)(len + explicit);
    return EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_TLS1_AAD, 13, aad) == 16 &&
           EVP_CipherUpdate(ctx, out, &n, out, len + explicit + 16) &&
           n == len + explicit + 16;
}

/* Once the inside has said whether this cipher may be on its caller's stack.
 * Seen to fail: a record of TLS 1.3 that is none for cipher_ctx_record. */
static void a_record_is_one_crossing(EVP_CIPHER *cipher[SIDES], size_t key_len,
                                     int mode)
{
    unsigned char key[SIDES][32], out[140], fixed[12] = {1, 2, 3, 4};
    EVP_CIPHER_CTX *ctx[3], *peer;

    pair_key(true, key_len, key);
    peer = context(cipher[STOCK], key[STOCK], 1);
    ctx[0] = context(cipher[OURS], key[OURS], 0);
    for (int i = 1; i < 3; i++) {
        pair_key(true, key_len, key);
        ctx[i] = context(cipher[OURS], key[OURS], 1);
    }
    CHECK(EVP_CIPHER_CTX_ctrl(ctx[2], EVP_CTRL_AEAD_SET_IV_FIXED,
                              mode == 0 ? 12 : 4, fixed) > 0);
    for (int i = 0; i < 2; i++) {
        CHECK(seal(peer, header, 100, out));
        crossings();
        CHECK(pass(ctx[0], 0, header, 100, out));
        CHECK(i == 0 || crossings() == 1);
        crossings();
        CHECK(seal(ctx[1], header, 100, out));
        CHECK(i == 0 || crossings() == 1);
        crossings();
        CHECK(seal12(ctx[2], 100, out));
        CHECK(i == 0 || crossings() == 1);
    }
    EVP_CIPHER_CTX_free(peer);
    for (int i = 0; i < 3; i++) {
        EVP_CIPHER_CTX_free(ctx[i]);
    }
    ERR_clear_error();
}

/* With these libssl would hand key and nonce to the kernel. */
static void the_kernel_gets_no_handle(EVP_CIPHER *cipher[SIDES], size_t key_len)
{
    unsigned char key[SIDES][32], iv[12] = "nonce nonce", got[12];
    EVP_CIPHER_CTX *ctx;

    for (int sealed = 0; sealed < 2; sealed++) {
        pair_key(sealed, key_len, key);
        ctx = context(cipher[OURS], key[OURS], 1);
        CHECK(EVP_EncryptInit_ex(ctx, NULL, NULL, NULL, iv));
        CHECK(EVP_CIPHER_CTX_get_updated_iv(ctx, got, sizeof(got)) == !sealed);
        EVP_CIPHER_CTX_free(ctx);
        ERR_clear_error();
    }
}

static void a_copy_has_the_key(EVP_CIPHER *cipher[SIDES], size_t key_len)
{
    unsigned char key[SIDES][32], out[2][116];
    EVP_CIPHER_CTX *ctx, *copy = EVP_CIPHER_CTX_new();

    pair_key(true, key_len, key);
    ctx = context(cipher[OURS], key[OURS], 1);
    CHECK(EVP_CIPHER_CTX_copy(copy, ctx));
    CHECK(seal(ctx, header, 100, out[0]));
    EVP_CIPHER_CTX_free(ctx);
    CHECK(seal(copy, header, 100, out[1]));
    CHECK(memcmp(out[0], out[1], 116) == 0);
    EVP_CIPHER_CTX_free(copy);
}

/* ---- threads ------------------------------------------------------------ */

static void *copy_it(void *arg)
{
    void *bad = NULL;

    for (int i = 0; i < 2000; i++) {
        EVP_CIPHER_CTX *copy = EVP_CIPHER_CTX_new();

        if (!EVP_CIPHER_CTX_copy(copy, arg)) {
            bad = arg;
        }
        EVP_CIPHER_CTX_free(copy);
    }
    ERR_clear_error();
    return bad;
}

/* Seen to fail with the original pinned exclusively. */
static void threads_copy_one_context(EVP_CIPHER *cipher[SIDES], size_t key_len)
{
    unsigned char key[SIDES][32];
    EVP_CIPHER_CTX *ctx;
    pthread_t thread[3];
    void *bad;

    pair_key(true, key_len, key);
    ctx = context(cipher[OURS], key[OURS], 1);
    for (int i = 0; i < 3; i++) {
        CHECK(pthread_create(&thread[i], NULL, copy_it, ctx) == 0);
    }
    for (int i = 0; i < 3; i++) {
        CHECK(pthread_join(thread[i], &bad) == 0 && bad == NULL);
    }
    EVP_CIPHER_CTX_free(ctx);
}

#define THREADS 8
#define RECORDS 300

struct thread {
    EVP_CIPHER **cipher;
    EVP_CIPHER_CTX *ctx[SIDES];
    int wrong;
};

static void *send_records(void *arg)
{
    struct thread *t = arg;
    unsigned char out[SIDES][5000 + 16];

    for (int i = 0; i < RECORDS; i++) {
        int len = 1 + i * 37 % 5000;
        const unsigned char aad[5] = {23, 3, 3,
                                      (unsigned char)((len + 16) >> 8),
                                      (unsigned char)(len + 16)};

        t->wrong += !seal(t->ctx[OURS], aad, len, out[OURS]) ||
                    !seal(t->ctx[STOCK], aad, len, out[STOCK]) ||
                    memcmp(out[OURS], out[STOCK], (size_t)len + 16) != 0;
    }
    return NULL;
}

static void threads_do_not_meet(EVP_CIPHER *cipher[SIDES], size_t key_len)
{
    struct thread t[THREADS];
    pthread_t id[THREADS];
    unsigned char key[SIDES][32];

    for (int i = 0; i < THREADS; i++) {
        pair_key(true, key_len, key);
        t[i] = (struct thread){.cipher = cipher};
        for (int side = 0; side < SIDES; side++) {
            t[i].ctx[side] = context(cipher[side], key[side], 1);
        }
        CHECK(pthread_create(&id[i], NULL, send_records, &t[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(id[i], NULL);
        CHECK(t[i].wrong == 0);
        EVP_CIPHER_CTX_free(t[i].ctx[OURS]);
        EVP_CIPHER_CTX_free(t[i].ctx[STOCK]);
    }
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
        a_handle_is_good_once(cipher, key_len);
        a_key_of_tls_is_for_its_records(cipher, key_len);
        a_handle_is_bytes_elsewhere(cipher, key_len);
        a_record_is_one_crossing(cipher, key_len, cipher_names[i].mode);
        a_copy_has_the_key(cipher, key_len);
        threads_copy_one_context(cipher, key_len);
        if (cipher_names[i].mode != EVP_CIPH_CCM_MODE) {
            a_record_ends_where_its_header_says(cipher, key_len);
        }
        if (cipher_names[i].mode == EVP_CIPH_GCM_MODE) {
            the_kernel_gets_no_handle(cipher, key_len);
        }
        threads_do_not_meet(cipher, key_len);
        EVP_CIPHER_free(cipher[OURS]);
        EVP_CIPHER_free(cipher[STOCK]);
    }
    return claims_end();
}
