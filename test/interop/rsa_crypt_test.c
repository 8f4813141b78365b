/*
 * RSA decryption by a protected key of what the reference encrypted, and the
 * other way round; bad input gets the answer that default gives. And SM2.
 */

#include "interop.h"
#include "ops.h"

#include <limits.h>
#include <openssl/core_names.h>
#include <openssl/rsa.h>
#include <string.h>

#define ROOM 512
#define SECRET 48 /* a TLS pre-master secret */

struct scheme {
    const char *pad;
    const char *md;
    const char *mgf1;
    const char *label;
    bool refused;
};

static const struct scheme schemes[] = {
    {NULL, NULL, NULL, NULL, false},
    {"pkcs1", NULL, NULL, NULL, false},
    {"oaep", NULL, NULL, NULL, false},
    {"oaep", "SHA1", NULL, NULL, false},
    {"oaep", "SHA256", NULL, NULL, false},
    {"oaep", "SHA256", "SHA1", NULL, false},
    {"oaep", "SHA384", "SHA512", "label", false},
    {"oaep", "SHA512", NULL, "another label", false},
    {"oaep", "SHA3-256", NULL, NULL, false},
    {"oaep", "no-such-digest", NULL, NULL, true},
    {"oaep", "SHA256", "no-such-digest", NULL, true},
    {"pss", NULL, NULL, NULL, true},
};

static void scheme_params(const struct scheme *s, OSSL_PARAM *p)
{
    if (s->pad != NULL) {
        *p++ = OSSL_PARAM_construct_utf8_string(OSSL_ASYM_CIPHER_PARAM_PAD_MODE,
                                                (char *)s->pad, 0);
    }
    if (s->md != NULL) {
        *p++ = OSSL_PARAM_construct_utf8_string(
            OSSL_ASYM_CIPHER_PARAM_OAEP_DIGEST, (char *)s->md, 0);
    }
    if (s->mgf1 != NULL) {
        *p++ = OSSL_PARAM_construct_utf8_string(
            OSSL_ASYM_CIPHER_PARAM_MGF1_DIGEST, (char *)s->mgf1, 0);
    }
    if (s->label != NULL) {
        *p++ = OSSL_PARAM_construct_octet_string(
            OSSL_ASYM_CIPHER_PARAM_OAEP_LABEL, (char *)s->label,
            strlen(s->label));
    }
    *p = OSSL_PARAM_construct_end();
}

static int rsa_encrypt(EVP_PKEY *key, const OSSL_PARAM *params, const void *in,
                       size_t len, unsigned char *out, size_t *out_len)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(side_of(key), key, NULL);
    int ret = -2;

    if (EVP_PKEY_encrypt_init_ex(ctx, params) > 0) {
        ret = EVP_PKEY_encrypt(ctx, out, out_len, in, len);
    }
    EVP_PKEY_CTX_free(ctx);
    return ret;
}

static int rsa_decrypt(EVP_PKEY *key, const OSSL_PARAM *params, const void *in,
                       size_t len, unsigned char *out, size_t *out_len)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(side_of(key), key, NULL);
    int ret = -2;

    if (EVP_PKEY_decrypt_init_ex(ctx, params) > 0) {
        ret = EVP_PKEY_decrypt(ctx, out, out_len, in, len);
    }
    EVP_PKEY_CTX_free(ctx);
    return ret;
}

/* Both sides decrypt |in| into |room| bytes with the same result. */
static void check_same_decryption(EVP_PKEY *key, EVP_PKEY *ref,
                                  const OSSL_PARAM *params,
                                  const unsigned char *in, size_t len,
                                  size_t room)
{
    unsigned char a[ROOM], b[ROOM];
    size_t a_len = room, b_len = room;
    int ret;

    memset(a, 0xa5, sizeof(a));
    memset(b, 0xa5, sizeof(b));
    ret = rsa_decrypt(ref, params, in, len, b, &b_len);
    /* From 3.2 on what is damaged gives another message and no error. */
    CHECK_INT_AS_REF(rsa_decrypt(key, params, in, len, a, &a_len), ret);
    if (ret > 0) {
        CHECK_MEM(a, a_len, b, b_len);
    }
    for (size_t i = room; i < ROOM; i++) {
        if (a[i] != 0xa5) {
            CHECK(a[i] == 0xa5);
            break;
        }
    }
    ERR_clear_error();
}

static void test_round_trips(EVP_PKEY *key, EVP_PKEY *ref,
                             const struct scheme *s)
{
    static const char msg[] = "attack at dawn";
    unsigned char box[ROOM], out[ROOM];
    size_t box_len = sizeof(box), out_len = sizeof(out);
    OSSL_PARAM params[5];

    scheme_params(s, params);
    CHECK_INT(rsa_encrypt(ref, params, msg, sizeof(msg), box, &box_len) > 0,
              !s->refused);
    if (s->refused) {
        ERR_clear_error();
        box_len = sizeof(box);
        memset(box, 0x5a, sizeof(box)); /* below any modulus */
        CHECK(rsa_encrypt(key, params, msg, sizeof(msg), box, &box_len) <= 0);
        CHECK_QUEUE_FILLED();
        CHECK(rsa_decrypt(key, params, box, 256, out, &out_len) <= 0);
        CHECK_QUEUE_FILLED();
        return;
    }
    CHECK_INT(rsa_decrypt(key, params, box, box_len, out, &out_len), 1);
    CHECK_MEM(out, out_len, msg, sizeof(msg));
    CHECK_QUEUE_EMPTY();
    for (size_t room = 0; room <= sizeof(msg); room++) {
        check_same_decryption(key, ref, params, box, box_len, room);
    }
    box[box_len / 2] ^= 1;
    check_same_decryption(key, ref, params, box, box_len, ROOM);
    check_same_decryption(key, ref, params, box, box_len - 1, ROOM);
    box_len = out_len = ROOM;
    CHECK_INT(rsa_encrypt(key, params, msg, sizeof(msg), box, &box_len), 1);
    CHECK_INT(rsa_decrypt(ref, params, box, box_len, out, &out_len), 1);
    CHECK_MEM(out, out_len, msg, sizeof(msg));
    CHECK_QUEUE_EMPTY();
}

static void test_sizes_and_limits(EVP_PKEY *key, EVP_PKEY *ref,
                                  const struct scheme *s)
{
    unsigned char in[ROOM] = {0}, out[ROOM];
    size_t got = 0, want = 0;
    OSSL_PARAM params[5];

    scheme_params(s, params);
    CHECK_INT(rsa_encrypt(key, params, in, 10, NULL, &got),
              rsa_encrypt(ref, params, in, 10, NULL, &want));
    CHECK_INT((long long)got, (long long)want);
    got = want = 0;
    CHECK_INT(rsa_decrypt(key, params, in, 256, NULL, &got),
              rsa_decrypt(ref, params, in, 256, NULL, &want));
    CHECK_INT((long long)got, (long long)want);
    for (size_t len = 0; len < 400; len += 7) {
        got = want = ROOM;
        CHECK_INT(rsa_encrypt(key, params, in, len, out, &got),
                  rsa_encrypt(ref, params, in, len, out, &want));
    }
    ERR_clear_error();
}

static void test_context_answers_like_default(EVP_PKEY *key, EVP_PKEY *ref,
                                              const struct scheme *s)
{
    EVP_PKEY_CTX *got = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    EVP_PKEY_CTX *want = EVP_PKEY_CTX_new_from_pkey(interop_ref(), ref, NULL);
    OSSL_PARAM params[5];

    scheme_params(s, params);
    CHECK_INT(EVP_PKEY_decrypt_init_ex(got, params),
              EVP_PKEY_decrypt_init_ex(want, params));
    if (!s->refused) {
        check_same_ctx_params(got, want);
    }
    for (int pad = 0; pad <= RSA_PKCS1_WITH_TLS_PADDING + 1; pad++) {
        CHECK_INT(EVP_PKEY_CTX_set_rsa_padding(got, pad),
                  EVP_PKEY_CTX_set_rsa_padding(want, pad));
    }
    ERR_clear_error();
    EVP_PKEY_CTX_free(got);
    EVP_PKEY_CTX_free(want);
}

/* A mask made of it has no end. Seen to run for ever, with signals blocked. */
static void test_no_mask_of_nothing(EVP_PKEY *key)
{
    char oaep[] = OSSL_PKEY_RSA_PAD_MODE_OAEP, sha1[] = "SHA1", null[] = "NULL";
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    OSSL_PARAM params[] = {
        OSSL_PARAM_utf8_string(OSSL_ASYM_CIPHER_PARAM_PAD_MODE, oaep, 4),
        OSSL_PARAM_utf8_string(OSSL_ASYM_CIPHER_PARAM_OAEP_DIGEST, sha1, 4),
        OSSL_PARAM_utf8_string(OSSL_ASYM_CIPHER_PARAM_MGF1_DIGEST, null, 4),
        OSSL_PARAM_END};

    interop_subject("OAEP with the digest NULL");
    CHECK(EVP_PKEY_decrypt_init(ctx) > 0);
    CHECK(EVP_PKEY_CTX_set_params(ctx, params) <= 0);
    CHECK_QUEUE_FILLED();
    EVP_PKEY_CTX_free(ctx);
}

/* A pointer that libcrypto has given out is good as long as the context. Seen
 * to fail under valgrind with new room for each answer. */
static void test_label_stays(EVP_PKEY *key)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    unsigned char *first = NULL, *second = NULL;
    char *label = OPENSSL_strdup("label");

    interop_subject("a label that is asked for twice");
    CHECK_INT(EVP_PKEY_decrypt_init(ctx), 1);
    CHECK_INT(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING), 1);
    CHECK_INT(EVP_PKEY_CTX_set0_rsa_oaep_label(ctx, label, 5), 1);
    CHECK_INT(EVP_PKEY_CTX_get0_rsa_oaep_label(ctx, &first), 5);
    CHECK_INT(EVP_PKEY_CTX_get0_rsa_oaep_label(ctx, &second), 5);
    CHECK_MEM(first, 5, "label", 5);
    CHECK_MEM(second, 5, "label", 5);
    EVP_PKEY_CTX_free(ctx);
}

/* Without padding the block is the number; |block| must be below the modulus.
 */
static void raw_box(EVP_PKEY *ref, const unsigned char *block, size_t len,
                    unsigned char *box)
{
    const struct scheme none = {"none", NULL, NULL, NULL, false};
    OSSL_PARAM params[5];
    size_t box_len = ROOM;

    scheme_params(&none, params);
    CHECK_INT(rsa_encrypt(ref, params, block, len, box, &box_len), 1);
}

static void test_raw(EVP_PKEY *key, EVP_PKEY *ref)
{
    const struct scheme none = {"none", NULL, NULL, NULL, false};
    size_t size = (size_t)EVP_PKEY_get_size(ref);
    unsigned char block[ROOM], box[ROOM];
    OSSL_PARAM params[5];

    interop_subject("RSA without padding");
    fill(block, size, 1);
    block[0] = 0;
    raw_box(ref, block, size, box);
    scheme_params(&none, params);
    check_same_decryption(key, ref, params, box, size, ROOM);
    check_same_decryption(key, ref, params, box, size - 1, ROOM);
    memset(box, 0xff, size); /* above the modulus */
    check_same_decryption(key, ref, params, box, size, ROOM);
    memset(box, 0, size);
    check_same_decryption(key, ref, params, box, size, ROOM);
}

/* Damaged PKCS#1 padding, as a Bleichenbacher attacker sends it. */
struct damage {
    const char *label;
    unsigned client_version;
    unsigned negotiated_version;
    size_t offset; /* of the byte to replace; 0: none unless |value| */
    unsigned char value;
    size_t secret_len;
    bool good;
};

static const struct damage damages[] = {
    {"nothing", 0x0303, 0, 1, 2, SECRET, true},
    {"nothing, version negotiated", 0x0304, 0x0303, 1, 2, SECRET, true},
    {"another version", 0x0302, 0, 1, 2, SECRET, false},
    {"another version twice", 0x0302, 0x0301, 1, 2, SECRET, false},
    {"first byte", 0x0303, 0, 0, 1, SECRET, false},
    {"block type 1", 0x0303, 0, 1, 1, SECRET, false},
    {"block type 0", 0x0303, 0, 1, 0, SECRET, false},
    {"zero in the first 8", 0x0303, 0, 5, 0, SECRET, false},
    {"zero later", 0x0303, 0, 100, 0, SECRET, false},
    {"secret of 47", 0x0303, 0, 1, 2, SECRET - 1, false},
    {"secret of 49", 0x0303, 0, 1, 2, SECRET + 1, false},
    {"secret of 0", 0x0303, 0, 1, 2, 0, false},
};

static void tls_block(const struct damage *d, size_t size, unsigned char *block)
{
    size_t at = size - d->secret_len;

    memset(block, 0x77, size);
    block[0] = 0;
    block[1] = 2;
    block[at - 1] = 0;
    fill(block + at, d->secret_len, 0x21);
    if (d->secret_len >= 2) {
        block[at] = 3;
        block[at + 1] = 3;
    }
    block[d->offset] = d->value;
}

static int tls_decrypt(EVP_PKEY *key, const struct damage *d,
                       const unsigned char *box, size_t len, unsigned char *out,
                       size_t *out_len)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(side_of(key), key, NULL);
    unsigned client = d->client_version, negotiated = d->negotiated_version;
    OSSL_PARAM params[3], *p = params;
    int ret;

    *p++ = OSSL_PARAM_construct_uint(OSSL_ASYM_CIPHER_PARAM_TLS_CLIENT_VERSION,
                                     &client);
    if (negotiated != 0) {
        *p++ = OSSL_PARAM_construct_uint(
            OSSL_ASYM_CIPHER_PARAM_TLS_NEGOTIATED_VERSION, &negotiated);
    }
    *p = OSSL_PARAM_construct_end();
    CHECK_INT(EVP_PKEY_decrypt_init(ctx), 1);
    CHECK_INT(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_WITH_TLS_PADDING), 1);
    CHECK_INT(EVP_PKEY_CTX_set_params(ctx, params), 1);
    ret = EVP_PKEY_decrypt(ctx, out, out_len, box, len);
    EVP_PKEY_CTX_free(ctx);
    return ret;
}

static void test_tls_padding(EVP_PKEY *key, EVP_PKEY *ref,
                             const struct damage *d)
{
    size_t size = (size_t)EVP_PKEY_get_size(ref);
    unsigned char block[ROOM], box[ROOM], a[ROOM], b[ROOM];
    size_t a_len = ROOM, b_len = ROOM;

    interop_subject("TLS padding, damaged: %s", d->label);
    tls_block(d, size, block);
    raw_box(ref, block, size, box);
    CHECK_INT(tls_decrypt(key, d, box, size, a, &a_len), 1);
    CHECK_INT(tls_decrypt(ref, d, box, size, b, &b_len), 1);
    CHECK_INT((long long)a_len, SECRET);
    CHECK_INT((long long)b_len, SECRET);
    CHECK_QUEUE_EMPTY();
    CHECK_INT(memcmp(a, block + size - SECRET, SECRET) == 0, d->good);
    CHECK_INT(memcmp(b, block + size - SECRET, SECRET) == 0, d->good);
    /* A substitute that repeats would give the damage away. */
    a_len = ROOM;
    CHECK_INT(tls_decrypt(key, d, box, size, b, &a_len), 1);
    CHECK_INT(memcmp(a, b, SECRET) == 0, d->good);
}

/* What libssl never does: sizes that cannot be right. */
static void test_tls_padding_limits(EVP_PKEY *key, EVP_PKEY *ref)
{
    size_t size = (size_t)EVP_PKEY_get_size(ref);
    unsigned char block[ROOM], box[ROOM], out[ROOM];
    const size_t rooms[] = {0, SECRET - 1, SECRET, size - 1, size};

    interop_subject("TLS padding, wrong sizes");
    tls_block(&damages[0], size, block);
    raw_box(ref, block, size, box);
    for (size_t i = 0; i < sizeof(rooms) / sizeof(rooms[0]); i++) {
        size_t a = rooms[i], b = rooms[i];

        CHECK_INT(tls_decrypt(key, &damages[0], box, size, out, &a),
                  tls_decrypt(ref, &damages[0], box, size, out, &b));
        CHECK_INT((long long)a, (long long)b);
        a = b = ROOM;
        CHECK_INT_AS_REF(
            tls_decrypt(key, &damages[0], box, rooms[i], out, &a) > 0,
            tls_decrypt(ref, &damages[0], box, rooms[i], out, &b) > 0);
        a = b = 0;
        CHECK_INT(tls_decrypt(key, &damages[0], box, size, NULL, &a),
                  tls_decrypt(ref, &damages[0], box, size, NULL, &b));
        CHECK_INT((long long)a, (long long)b);
    }
    ERR_clear_error();
}

static bool encapsulate(EVP_PKEY *key, unsigned char *box, size_t *box_len,
                        unsigned char *secret, size_t *len)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(side_of(key), key, NULL);
    bool ok =
        EVP_PKEY_encapsulate_init(ctx, NULL) > 0 &&
        EVP_PKEY_CTX_set_kem_op(ctx, OSSL_KEM_PARAM_OPERATION_RSASVE) > 0 &&
        EVP_PKEY_encapsulate(ctx, box, box_len, secret, len) > 0;

    EVP_PKEY_CTX_free(ctx);
    return ok;
}

static bool decapsulate(EVP_PKEY *key, const unsigned char *box, size_t box_len,
                        unsigned char *secret, size_t *len)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(side_of(key), key, NULL);
    bool ok =
        EVP_PKEY_decapsulate_init(ctx, NULL) > 0 &&
        EVP_PKEY_CTX_set_kem_op(ctx, OSSL_KEM_PARAM_OPERATION_RSASVE) > 0 &&
        EVP_PKEY_decapsulate(ctx, secret, len, box, box_len) > 0;

    EVP_PKEY_CTX_free(ctx);
    return ok;
}

static void test_rsasve(EVP_PKEY *from, EVP_PKEY *to)
{
    unsigned char box[ROOM], a[ROOM], b[ROOM];
    size_t box_len = ROOM, a_len = ROOM, b_len = ROOM;

    CHECK(encapsulate(from, box, &box_len, a, &a_len));
    CHECK(decapsulate(to, box, box_len, b, &b_len));
    CHECK_MEM(a, a_len, b, b_len);
    CHECK_QUEUE_EMPTY();
    CHECK(!decapsulate(to, box, box_len - 1, b, &b_len));
    CHECK_QUEUE_FILLED();
}

enum kem_case {
    KEM_NO_OPERATION,
    KEM_NO_LENGTHS,
    KEM_NOTHING_ASKED,
    KEM_SIZES,
    KEM_CASES
};

/* What both halves of an encapsulation return. */
static void kem_case(EVP_PKEY *key, enum kem_case what, int ret[2])
{
    EVP_PKEY_CTX *e = EVP_PKEY_CTX_new_from_pkey(side_of(key), key, NULL);
    EVP_PKEY_CTX *d = EVP_PKEY_CTX_new_from_pkey(side_of(key), key, NULL);
    unsigned char box[ROOM], a[ROOM], b[ROOM];
    size_t box_len = ROOM, a_len = ROOM, b_len = ROOM;
    int lengths = what != KEM_NO_LENGTHS && what != KEM_NOTHING_ASKED;
    int room = what != KEM_NOTHING_ASKED && what != KEM_SIZES;

    CHECK_INT(EVP_PKEY_encapsulate_init(e, NULL), 1);
    CHECK_INT(EVP_PKEY_decapsulate_init(d, NULL), 1);
    if (what != KEM_NO_OPERATION) {
        CHECK(EVP_PKEY_CTX_set_kem_op(e, "RSASVE") > 0);
        CHECK(EVP_PKEY_CTX_set_kem_op(d, "RSASVE") > 0);
    }
    ret[0] =
        EVP_PKEY_encapsulate(e, room ? box : NULL, lengths ? &box_len : NULL,
                             room ? a : NULL, lengths ? &a_len : NULL);
    ret[1] = EVP_PKEY_decapsulate(d, room ? b : NULL, lengths ? &b_len : NULL,
                                  box, (size_t)EVP_PKEY_get_size(key));
    if (what == KEM_NO_LENGTHS) {
        CHECK_MEM(a, (size_t)EVP_PKEY_get_size(key), b,
                  (size_t)EVP_PKEY_get_size(key));
    } else if (what == KEM_SIZES) {
        CHECK_INT((long long)box_len, EVP_PKEY_get_size(key));
        CHECK_INT((long long)a_len, EVP_PKEY_get_size(key));
        CHECK_INT((long long)b_len, EVP_PKEY_get_size(key));
    }
    ERR_clear_error();
    EVP_PKEY_CTX_free(e);
    EVP_PKEY_CTX_free(d);
}

/*
 * Seen to fail without the looks at a NULL length in kem.c, and with 0 for
 * what the inner function returns.
 */
static void test_kem_answers_like_default(EVP_PKEY *key, EVP_PKEY *ref)
{
    int got[2], want[2];

    for (int i = 0; i < KEM_CASES; i++) {
        interop_subject("RSASVE, case %d", i);
        kem_case(key, (enum kem_case)i, got);
        kem_case(ref, (enum kem_case)i, want);
        CHECK_INT_AS_REF(got[0], want[0]);
        CHECK_INT_AS_REF(got[1], want[1]);
    }
}

/* Room for the secret that is said to be too little is not written past. */
static void test_kem_short_secret(EVP_PKEY *key)
{
    unsigned char box[ROOM], secret[ROOM];
    size_t box_len = ROOM, len = 16;
    bool untouched = true;

    interop_subject("RSASVE, little room for the secret");
    memset(secret, 0xa5, sizeof(secret));
    CHECK(!encapsulate(key, box, &box_len, secret, &len));
    for (size_t i = 0; i < sizeof(secret); i++) {
        untouched = untouched && secret[i] == 0xa5;
    }
    CHECK(untouched);
    CHECK_QUEUE_FILLED();
}

/* What the module has to say stays when the inner OpenSSL says nothing more.
 * Seen to fail when fail_inner writes over it. */
static void test_own_reason_is_told(EVP_PKEY *key)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    unsigned char in[ROOM] = {0}, out[ROOM];
    size_t len = sizeof(out);

    interop_subject("RSASVE of more bytes than can be");
    CHECK_INT(EVP_PKEY_decapsulate_init(ctx, NULL), 1);
    CHECK(EVP_PKEY_CTX_set_kem_op(ctx, "RSASVE") > 0);
    CHECK(EVP_PKEY_decapsulate(ctx, out, &len, in, (size_t)INT_MAX + 1) <= 0);
    CHECK(interop_queue_says("too long"));
    EVP_PKEY_CTX_free(ctx);
}

static void test_key(const struct key_type *type)
{
    EVP_PKEY *ref = key_reference(type);
    EVP_PKEY *key = key_load(type);

    CHECK_HELD(key);
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        const struct scheme *s = &schemes[i];

        interop_subject("%s pad=%s md=%s mgf1=%s", type->label, s->pad, s->md,
                        s->mgf1);
        test_round_trips(key, ref, s);
        test_context_answers_like_default(key, ref, s);
        if (!s->refused) {
            test_sizes_and_limits(key, ref, s);
        }
    }
    test_label_stays(key);
    test_no_mask_of_nothing(key);
    test_raw(key, ref);
    for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
        test_tls_padding(key, ref, &damages[i]);
    }
    test_tls_padding_limits(key, ref);
    interop_subject("%s RSASVE from the reference", type->label);
    test_rsasve(ref, key);
    interop_subject("%s RSASVE to the reference", type->label);
    test_rsasve(key, ref);
    test_kem_answers_like_default(key, ref);
    if (interop_protected()) { /* OpenSSL 3.0's does not look */
        test_kem_short_secret(key);
        test_own_reason_is_told(key);
    }
    EVP_PKEY_free(key);
}

/*
 * SM2's ciphertext is as long as the message, and OpenSSL 3.0.19 writes it
 * whatever room there is: the module must not come to that.
 */
static void test_long_sm2(void)
{
    static const size_t lens[] = {1, 3840, 3841, 4000, 9000, 100000};
    static unsigned char msg[100000], box[101000], out[101000];
    EVP_PKEY *key = key_load(key_type_find("SM2"));
    size_t box_len, out_len;
    OSSL_PARAM none = OSSL_PARAM_construct_end();

    CHECK_HELD(key);
    fill(msg, sizeof(msg), 3);
    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        interop_subject("SM2, a message of %zu bytes", lens[i]);
        box_len = out_len = sizeof(box);
        if (lens[i] > 3840) {
            CHECK(rsa_encrypt(key, &none, msg, lens[i], box, &box_len) <= 0);
            CHECK_QUEUE_FILLED();
            continue;
        }
        CHECK_INT(rsa_encrypt(key, &none, msg, lens[i], box, &box_len), 1);
        CHECK_INT(rsa_decrypt(key, &none, box, box_len, out, &out_len), 1);
        CHECK_MEM(out, out_len, msg, lens[i]);
        CHECK_QUEUE_EMPTY();
    }
    EVP_PKEY_free(key);
}

int main(void)
{
    interop_start();
    test_long_sm2();
    test_key(key_type_find("RSA-2048"));
    test_key(key_type_find("RSA-3072"));
    return interop_finish();
}
