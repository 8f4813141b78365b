/*
 * The AEADs of TLS are those of stock: what they say of themselves, published
 * vectors, and errors for what is too large.
 */
#include "../unit/claims.h"
#include "pair.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <string.h>

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

/* ---- errors ------------------------------------------------------------- */

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
        what_is_too_large_is_an_error(cipher, key_len);
        EVP_CIPHER_free(cipher[OURS]);
        EVP_CIPHER_free(cipher[STOCK]);
    }
    return claims_end();
}
