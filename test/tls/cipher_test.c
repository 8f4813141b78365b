/*
 * The AEADs of TLS: what they say of themselves, published vectors, keys that
 * are handles, threads.
 */
#include "../interop/kdf_ask.h"
#include "../unit/claims.h"
#include "pair.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- what a cipher says of itself --------------------------------------- */

static void names_are_the_same(const struct cipher_name *n)
{
    const char *const name[] = {n->name, n->alias, n->oid};
    EVP_CIPHER *cipher[SIDES];

    for (size_t i = 0; i < 3; i++) {
        if (name[i] == NULL) {
            continue;
        }
        pair_fetch(name[i], cipher);
        CHECK(strcmp(EVP_CIPHER_get0_name(cipher[OURS]),
                     EVP_CIPHER_get0_name(cipher[STOCK])) == 0);
        CHECK(EVP_CIPHER_get_nid(cipher[OURS]) ==
              EVP_CIPHER_get_nid(cipher[STOCK]));
        EVP_CIPHER_free(cipher[OURS]);
        EVP_CIPHER_free(cipher[STOCK]);
    }
}

static void constants_are_the_same(EVP_CIPHER *cipher[SIDES])
{
    const OSSL_PARAM *list = EVP_CIPHER_gettable_params(cipher[STOCK]);
    uint64_t value[SIDES];

    CHECK(list != NULL && list->key != NULL);
    for (; list != NULL && list->key != NULL; list++) {
        int ret[SIDES];

        for (int i = 0; i < SIDES; i++) {
            OSSL_PARAM params[] = {*list, OSSL_PARAM_END};

            value[i] = 0;
            params[0].data = &value[i];
            params[0].data_size = list->data_size;
            params[0].return_size = OSSL_PARAM_UNMODIFIED;
            ret[i] = EVP_CIPHER_get_params(cipher[i], params);
        }
        CHECK(ret[OURS] == ret[STOCK] && value[OURS] == value[STOCK]);
    }
    CHECK(EVP_CIPHER_get_flags(cipher[OURS]) ==
          EVP_CIPHER_get_flags(cipher[STOCK]));
    CHECK(EVP_CIPHER_get_block_size(cipher[OURS]) ==
          EVP_CIPHER_get_block_size(cipher[STOCK]));
    CHECK(EVP_CIPHER_get_mode(cipher[OURS]) ==
          EVP_CIPHER_get_mode(cipher[STOCK]));
}

static bool lists_equal(const OSSL_PARAM *a, const OSSL_PARAM *b)
{
    for (; a->key != NULL && b->key != NULL; a++, b++) {
        if (strcmp(a->key, b->key) != 0 || a->data_type != b->data_type ||
            a->data_size != b->data_size) {
            return false;
        }
    }
    return a->key == b->key;
}

static void lists_are_the_same(EVP_CIPHER *cipher[SIDES])
{
    CHECK(lists_equal(EVP_CIPHER_gettable_params(cipher[OURS]),
                      EVP_CIPHER_gettable_params(cipher[STOCK])));
    /* A newer OpenSSL inside has more of these; see CHECK_AS_REF. */
    CHECK(pair_inner_is_newer() ||
          lists_equal(EVP_CIPHER_gettable_ctx_params(cipher[OURS]),
                      EVP_CIPHER_gettable_ctx_params(cipher[STOCK])));
    CHECK(lists_equal(EVP_CIPHER_settable_ctx_params(cipher[OURS]),
                      EVP_CIPHER_settable_ctx_params(cipher[STOCK])));
}

/* ---- published vectors -------------------------------------------------- */

struct vector {
    const char *cipher, *key, *iv, *aad, *text, *sealed, *tag;
};

static const struct vector vectors[] = {
    /* McGrew and Viega, The Galois/Counter Mode of Operation, test case 4. */
    {"AES-128-GCM", "feffe9928665731c6d6a8f9467308308",
     "cafebabefacedbaddecaf888", "feedfacedeadbeeffeedfacedeadbeefabaddad2",
     "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
     "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
     "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e"
     "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091",
     "5bc94fbc3221a5db94fae95ae7121a47"},
    /* The same, test case 16. */
    {"AES-256-GCM",
     "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
     "cafebabefacedbaddecaf888", "feedfacedeadbeeffeedfacedeadbeefabaddad2",
     "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
     "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
     "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
     "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
     "76fc6ece0f4e1768cddf8853bb2d551b"},
    /* NIST SP 800-38C, example 1. */
    {"AES-128-CCM", "404142434445464748494a4b4c4d4e4f", "10111213141516",
     "0001020304050607", "20212223", "7162015b", "4dac255d"},
    /* RFC 8439 2.8.2. */
    {"ChaCha20-Poly1305",
     "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
     "070000004041424344454647", "50515253c0c1c2c3c4c5c6c7",
     "4c616469657320616e642047656e746c656d656e206f662074686520636c6173"
     "73206f66202739393a204966204920636f756c64206f6666657220796f75206f"
     "6e6c79206f6e652074697020666f7220746865206675747572652c2073756e73"
     "637265656e20776f756c642062652069742e",
     "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6"
     "3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36"
     "92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc"
     "3ff4def08e4b7a9de576d26586cec64b6116",
     "1ae10b594f09e26a7e902ecbd0600691"},
};

static size_t bytes_of(const char *hex, unsigned char *out)
{
    size_t len = strlen(hex) / 2;

    for (size_t i = 0; i < len; i++) {
        unsigned value;

        if (sscanf(hex + 2 * i, "%2x", &value) != 1) {
            return 0;
        }
        out[i] = (unsigned char)value;
    }
    return len;
}

/* A vector in one direction. */
static void vector_holds(const struct vector *v, int encrypt)
{
    unsigned char key[32], iv[16], aad[64], text[256], want[256], tag[16];
    unsigned char out[256], got[16];
    const char *from = encrypt ? v->text : v->sealed;
    const char *to = encrypt ? v->sealed : v->text;
    int iv_len = (int)bytes_of(v->iv, iv), len, n;
    int aad_len = (int)bytes_of(v->aad, aad), tag_len;
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, v->cipher, NULL);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    bool ccm = EVP_CIPHER_get_mode(cipher) == EVP_CIPH_CCM_MODE;

    bytes_of(v->key, key);
    tag_len = (int)bytes_of(v->tag, tag);
    len = (int)bytes_of(from, text);
    bytes_of(to, want);
    CHECK(EVP_CipherInit_ex(ctx, cipher, NULL, NULL, NULL, encrypt));
    CHECK(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_IVLEN, iv_len, NULL) > 0);
    CHECK((!ccm && encrypt) ||
          EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, tag_len,
                              encrypt ? NULL : tag) > 0);
    CHECK(EVP_CipherInit_ex(ctx, NULL, NULL, key, iv, -1));
    CHECK(!ccm || EVP_CipherUpdate(ctx, NULL, &n, NULL, len));
    CHECK(EVP_CipherUpdate(ctx, NULL, &n, aad, aad_len));
    CHECK(EVP_CipherUpdate(ctx, out, &n, text, len) && n == len);
    CHECK(EVP_CipherFinal_ex(ctx, out + n, &n));
    CHECK(memcmp(out, want, (size_t)len) == 0);
    CHECK(!encrypt ||
          (EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, tag_len, got) > 0 &&
           memcmp(got, tag, (size_t)tag_len) == 0));
    EVP_CIPHER_CTX_free(ctx);
    EVP_CIPHER_free(cipher);
}

/* ---- keys that are handles ---------------------------------------------- */

static EVP_CIPHER_CTX *context(const EVP_CIPHER *cipher,
                               const unsigned char *key, int encrypt)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    bool ccm = EVP_CIPHER_get_mode(cipher) == EVP_CIPH_CCM_MODE;

    if (!EVP_CipherInit_ex(ctx, cipher, NULL, NULL, NULL, encrypt) ||
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_IVLEN, 12, NULL) <= 0 ||
        (ccm &&
         EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, 16, NULL) <= 0) ||
        !EVP_CipherInit_ex(ctx, NULL, NULL, key, NULL, -1)) {
        puts("no context");
        exit(1);
    }
    return ctx;
}

static const unsigned char nonce[12] = "a nonce 123";

/* A message whose header may be that of a record: text and tag, in place. */
static bool pass(EVP_CIPHER_CTX *ctx, int encrypt, const unsigned char aad[5],
                 int len, unsigned char *out)
{
    bool ccm = EVP_CIPHER_CTX_get_mode(ctx) == EVP_CIPH_CCM_MODE;
    unsigned char *tag = out + len;
    int n;

    return EVP_CipherInit_ex(ctx, NULL, NULL, NULL, nonce, encrypt) &&
           (encrypt ||
            EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, 16, tag) > 0) &&
           (!ccm || EVP_CipherUpdate(ctx, NULL, &n, NULL, len)) &&
           EVP_CipherUpdate(ctx, NULL, &n, aad, 5) &&
           EVP_CipherUpdate(ctx, out, &n, out, len) &&
           EVP_CipherFinal_ex(ctx, out + n, &n) &&
           (!encrypt ||
            EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, 16, tag) > 0);
}

static bool seal(EVP_CIPHER_CTX *ctx, const unsigned char aad[5], int len,
                 unsigned char *out)
{
    memset(out, 'x', (size_t)len);
    return pass(ctx, 1, aad, len, out);
}

static const unsigned char header[5] = {23, 3, 3, 0, 100 + 16};

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

/* So much does not go in. Stock has an error for it, too. */
static void what_is_too_large_is_an_error(EVP_CIPHER *cipher[SIDES],
                                          size_t key_len)
{
    static unsigned char large[2 << 20];
    OSSL_PARAM aad[] = {OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TLS1_AAD,
                                                large, sizeof(large)),
                        OSSL_PARAM_END};
    OSSL_PARAM tag[] = {OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG,
                                                large, sizeof(large)),
                        OSSL_PARAM_END};
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    unsigned char key[SIDES][32];

    pair_key(false, key_len, key);
    CHECK(EVP_EncryptInit_ex2(ctx, cipher[OURS], key[OURS], NULL, NULL) == 1);
    ERR_clear_error();
    CHECK(EVP_CIPHER_CTX_set_params(ctx, aad) != 1 && ERR_peek_error() != 0);
    ERR_clear_error();
    CHECK(EVP_CIPHER_CTX_get_params(ctx, tag) != 1 && ERR_peek_error() != 0);
    ERR_clear_error();
    CHECK(EVP_EncryptInit_ex2(ctx, NULL, NULL, NULL, aad) != 1 &&
          ERR_peek_error() != 0);
    ERR_clear_error();
    EVP_CIPHER_CTX_free(ctx);
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
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        vector_holds(&vectors[i], 1);
        vector_holds(&vectors[i], 0);
    }
    for (size_t i = 0; i < n_cipher_names; i++) {
        EVP_CIPHER *cipher[SIDES];
        size_t key_len;

        names_are_the_same(&cipher_names[i]);
        pair_fetch(cipher_names[i].name, cipher);
        key_len = (size_t)EVP_CIPHER_get_key_length(cipher[STOCK]);
        constants_are_the_same(cipher);
        lists_are_the_same(cipher);
        a_handle_is_good_once(cipher, key_len);
        a_key_of_tls_is_for_its_records(cipher, key_len);
        a_handle_is_bytes_elsewhere(cipher, key_len);
        a_record_is_one_crossing(cipher, key_len, cipher_names[i].mode);
        a_copy_has_the_key(cipher, key_len);
        threads_copy_one_context(cipher, key_len);
        what_is_too_large_is_an_error(cipher, key_len);
        if (cipher_names[i].mode != EVP_CIPH_CCM_MODE) {
            a_record_ends_where_its_header_says(cipher, key_len);
            what_is_refused_takes_no_nonce_along(cipher, key_len,
                                                 ask_for_too_much);
            what_is_refused_takes_no_nonce_along(cipher, key_len, give_no_data);
        } else {
            a_nonce_is_as_long_as_the_key_says(cipher, key_len);
        }
        if (cipher_names[i].mode == EVP_CIPH_GCM_MODE) {
            the_kernel_gets_no_handle(cipher, key_len);
            a_nonce_is_drawn(cipher, key_len);
            each_key_has_a_number_of_its_own(cipher, key_len);
            a_copy_counts_on_from_the_same_number(cipher, key_len);
            a_child_does_not_count_on(cipher, key_len, NOTHING);
            a_child_does_not_count_on(cipher, key_len, A_FAILURE);
            a_child_does_not_count_on(cipher, key_len, A_COPY);
        }
        threads_do_not_meet(cipher, key_len);
        EVP_CIPHER_free(cipher[OURS]);
        EVP_CIPHER_free(cipher[STOCK]);
    }
    return claims_end();
}
