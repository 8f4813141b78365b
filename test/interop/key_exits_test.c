/*
 * Every public way by which a private key could leave: each one refuses, says
 * so, and has written nothing of the key. In the control run each one works
 * and its output is seen to hold the key, which proves that the search would
 * find it.
 */

/* The pre-3.0 getters are ways out as well. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "interop.h"
#include "ops.h"

#include <ctype.h>
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/dh.h>
#include <openssl/dsa.h>
#include <openssl/ec.h>
#include <openssl/encoder.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/provider.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Larger than any private or public number or text of bytes. */
#define NUMBER_MAX 8192
#define SHORT 12 /* bytes of a private number that make a find */

struct way_out {
    const char *label;
    /* Writes what came out to |out| and returns whether it claims success. */
    bool (*leave)(EVP_PKEY *key, BIO *out);
    int only;    /* EVP_PKEY_RSA and so on, 0 for every type */
    bool sealed; /* the output is encrypted: nothing to find in the control */
    bool text;   /* the output is PEM */
};

/* The private number (or the octets of a curve's key) as the reference has it.
 */
static size_t private_bytes(const struct key_type *type, unsigned char *out,
                            size_t room)
{
    EVP_PKEY *ref = key_reference(type);
    const char *name =
        type->bits != 0 ? OSSL_PKEY_PARAM_RSA_D : OSSL_PKEY_PARAM_PRIV_KEY;
    BIGNUM *number = NULL;
    size_t len = 0;

    if (EVP_PKEY_get_bn_param(ref, name, &number)) {
        len = (size_t)BN_bn2bin(number, out);
    } else {
        CHECK(EVP_PKEY_get_octet_string_param(ref, name, out, room, &len));
    }
    ERR_clear_error();
    BN_free(number);
    if (strncmp(type->name, "ML-DSA-", 7) == 0 && len > 32) {
        len -= 32; /* FIPS 204, algorithm 24: it begins with public bytes */
        memmove(out, out + 32, len);
    }
    CHECK(len >= SHORT);
    return len;
}

static bool holds(BIO *bio, const unsigned char *what)
{
    char *data;
    size_t len = (size_t)BIO_get_mem_data(bio, &data);

    return len != 0 && memmem(data, len, what, SHORT) != NULL;
}

static bool number_out(const BIGNUM *number, BIO *out)
{
    unsigned char buf[NUMBER_MAX];

    return number != NULL && BIO_write(out, buf, BN_bn2bin(number, buf)) > 0;
}

static bool params_out(const OSSL_PARAM *p, BIO *out)
{
    BIGNUM *number;

    for (; p != NULL && p->key != NULL; p++) {
        number = NULL;
        if (p->data_type == OSSL_PARAM_UNSIGNED_INTEGER &&
            OSSL_PARAM_get_BN(p, &number)) {
            number_out(number, out);
        } else {
            BIO_write(out, p->data, (int)p->data_size);
        }
        BN_free(number);
    }
    return true;
}

static int take_params(const OSSL_PARAM *params, void *out)
{
    return params_out(params, out);
}

static bool by_export_pair(EVP_PKEY *key, BIO *out)
{
    return EVP_PKEY_export(key, EVP_PKEY_KEYPAIR, take_params, out) > 0;
}

static bool by_export_private(EVP_PKEY *key, BIO *out)
{
    return EVP_PKEY_export(key, OSSL_KEYMGMT_SELECT_PRIVATE_KEY, take_params,
                           out) > 0;
}

static bool by_export_all(EVP_PKEY *key, BIO *out)
{
    return EVP_PKEY_export(key, OSSL_KEYMGMT_SELECT_ALL, take_params, out) > 0;
}

static bool by_todata(EVP_PKEY *key, BIO *out)
{
    OSSL_PARAM *params = NULL;
    bool ok = EVP_PKEY_todata(key, EVP_PKEY_KEYPAIR, &params) > 0;

    params_out(params, out);
    OSSL_PARAM_free(params);
    return ok;
}

static bool by_pem(EVP_PKEY *key, BIO *out)
{
    return PEM_write_bio_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL);
}

static bool by_pem_sealed(EVP_PKEY *key, BIO *out)
{
    return PEM_write_bio_PrivateKey(out, key, EVP_aes_128_cbc(),
                                    (const unsigned char *)"x", 1, NULL, NULL);
}

static bool by_pem_pkcs8(EVP_PKEY *key, BIO *out)
{
    return PEM_write_bio_PKCS8PrivateKey(out, key, NULL, NULL, 0, NULL, NULL);
}

static bool by_pem_traditional(EVP_PKEY *key, BIO *out)
{
    return PEM_write_bio_PrivateKey_traditional(out, key, NULL, NULL, 0, NULL,
                                                NULL);
}

static bool by_der(EVP_PKEY *key, BIO *out)
{
    unsigned char *der = NULL;
    int len = i2d_PrivateKey(key, &der);

    if (len > 0) {
        BIO_write(out, der, len);
    }
    OPENSSL_free(der);
    return len > 0;
}

static bool by_der_pkcs8(EVP_PKEY *key, BIO *out)
{
    return i2d_PKCS8PrivateKeyInfo_bio(out, key);
}

static bool by_pkcs8_info(EVP_PKEY *key, BIO *out)
{
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key);
    const unsigned char *p = NULL;
    int len = 0;
    bool ok = info != NULL && PKCS8_pkey_get0(NULL, &p, &len, NULL, info);

    if (ok) {
        BIO_write(out, p, len);
    }
    PKCS8_PRIV_KEY_INFO_free(info);
    return ok;
}

static bool by_pkcs12(EVP_PKEY *key, BIO *out)
{
    PKCS12 *p12 = PKCS12_create("x", NULL, key, NULL, NULL, 0, 0, 0, 0, 0);
    bool ok = p12 != NULL && i2d_PKCS12_bio(out, p12);

    PKCS12_free(p12);
    return ok;
}

static bool by_raw(EVP_PKEY *key, BIO *out)
{
    unsigned char buf[64];
    size_t len = sizeof(buf);

    if (EVP_PKEY_get_raw_private_key(key, buf, &len) <= 0) {
        return false;
    }
    return BIO_write(out, buf, (int)len) > 0;
}

static bool by_rsa(EVP_PKEY *key, BIO *out)
{
    RSA *rsa = EVP_PKEY_get1_RSA(key);
    bool ok = rsa != NULL && number_out(RSA_get0_d(rsa), out);

    RSA_free(rsa);
    return ok;
}

static bool by_ec_key(EVP_PKEY *key, BIO *out)
{
    EC_KEY *ec = EVP_PKEY_get1_EC_KEY(key);
    bool ok = ec != NULL && number_out(EC_KEY_get0_private_key(ec), out);

    EC_KEY_free(ec);
    return ok;
}

static bool by_dsa(EVP_PKEY *key, BIO *out)
{
    DSA *dsa = EVP_PKEY_get1_DSA(key);
    bool ok = dsa != NULL && number_out(DSA_get0_priv_key(dsa), out);

    DSA_free(dsa);
    return ok;
}

static bool by_dh(EVP_PKEY *key, BIO *out)
{
    DH *dh = EVP_PKEY_get1_DH(key);
    bool ok = dh != NULL && number_out(DH_get0_priv_key(dh), out);

    DH_free(dh);
    return ok;
}

static bool encode(EVP_PKEY *key, BIO *out, const char *format,
                   const char *structure)
{
    OSSL_ENCODER_CTX *ctx = OSSL_ENCODER_CTX_new_for_pkey(
        key, EVP_PKEY_KEYPAIR, format, structure, NULL);
    bool ok = ctx != NULL && OSSL_ENCODER_to_bio(ctx, out);

    OSSL_ENCODER_CTX_free(ctx);
    return ok;
}

static bool by_encoder_p8(EVP_PKEY *key, BIO *out)
{
    return encode(key, out, "DER", "PrivateKeyInfo");
}

static bool by_encoder_typed(EVP_PKEY *key, BIO *out)
{
    return encode(key, out, "DER", "type-specific");
}

static bool by_encoder_any(EVP_PKEY *key, BIO *out)
{
    return encode(key, out, "DER", NULL);
}

static bool by_blob(EVP_PKEY *key, BIO *out)
{
    return i2b_PrivateKey_bio(out, key) > 0;
}

static const struct way_out ways_out[] = {
    {"EVP_PKEY_export of the pair", by_export_pair, 0, false, false},
    {"EVP_PKEY_export of everything", by_export_all, 0, false, false},
    {"EVP_PKEY_export of the private key", by_export_private, EVP_PKEY_RSA,
     false, false},
    {"EVP_PKEY_export of the private key", by_export_private, EVP_PKEY_X25519,
     false, false},
    {"EVP_PKEY_todata", by_todata, 0, false, false},
    {"PEM_write_bio_PrivateKey", by_pem, 0, false, true},
    {"PEM_write_bio_PrivateKey, encrypted", by_pem_sealed, 0, true, false},
    {"PEM_write_bio_PKCS8PrivateKey", by_pem_pkcs8, 0, false, true},
    {"PEM_write_bio_PrivateKey_traditional", by_pem_traditional, EVP_PKEY_RSA,
     false, true},
    {"PEM_write_bio_PrivateKey_traditional", by_pem_traditional, EVP_PKEY_EC,
     false, true},
    {"i2d_PrivateKey", by_der, 0, false, false},
    {"i2d_PKCS8PrivateKeyInfo_bio", by_der_pkcs8, 0, false, false},
    {"EVP_PKEY2PKCS8", by_pkcs8_info, 0, false, false},
    {"PKCS12_create", by_pkcs12, 0, true, false},
    {"EVP_PKEY_get_raw_private_key", by_raw, EVP_PKEY_ED25519, false, false},
    {"EVP_PKEY_get_raw_private_key", by_raw, EVP_PKEY_ED448, false, false},
    {"EVP_PKEY_get_raw_private_key", by_raw, EVP_PKEY_X25519, false, false},
    {"EVP_PKEY_get_raw_private_key", by_raw, EVP_PKEY_X448, false, false},
    {"EVP_PKEY_get1_RSA", by_rsa, EVP_PKEY_RSA, false, false},
    {"EVP_PKEY_get1_RSA", by_rsa, EVP_PKEY_RSA_PSS, false, false},
    {"EVP_PKEY_get1_EC_KEY", by_ec_key, EVP_PKEY_EC, false, false},
    {"EVP_PKEY_get1_DSA", by_dsa, EVP_PKEY_DSA, false, false},
    {"EVP_PKEY_get1_DH", by_dh, EVP_PKEY_DH, false, false},
    {"EVP_PKEY_get1_DH", by_dh, EVP_PKEY_DHX, false, false},
    {"OSSL_ENCODER PrivateKeyInfo", by_encoder_p8, 0, false, false},
    {"OSSL_ENCODER type-specific", by_encoder_typed, EVP_PKEY_RSA, false,
     false},
    {"OSSL_ENCODER type-specific", by_encoder_typed, EVP_PKEY_EC, false, false},
    {"OSSL_ENCODER", by_encoder_any, 0, false, false},
    {"i2b_PrivateKey_bio", by_blob, EVP_PKEY_RSA, true, false},
};

/* PEM to DER, so that one search serves both. */
static BIO *as_bytes(BIO *bio, bool text)
{
    char *name = NULL, *header = NULL;
    unsigned char *data = NULL;
    BIO *bytes = BIO_new(BIO_s_mem());
    long len;

    if (text && PEM_read_bio(bio, &name, &header, &data, &len)) {
        BIO_write(bytes, data, (int)len);
        OPENSSL_free(name);
        OPENSSL_free(header);
        OPENSSL_free(data);
        BIO_free(bio);
        return bytes;
    }
    BIO_free(bytes);
    return bio;
}

/* libcrypto 3.0 uses the NULL that a refused EVP_PKEY_get0_RSA gives. */
static bool crashes_libcrypto(const struct way_out *way)
{
    return interop_protected() && way->leave == by_blob;
}

static void test_way_out(EVP_PKEY *key, const struct key_type *type,
                         const struct way_out *way)
{
    BIO *out = BIO_new(BIO_s_mem());
    unsigned char secret[NUMBER_MAX];
    bool left;

    interop_subject("%s by %s", type->label, way->label);
    private_bytes(type, secret, sizeof(secret));
    left = way->leave(key, out);
    if (interop_protected()) {
        CHECK(!left);
        CHECK_QUEUE_FILLED();
        CHECK(!holds(out, secret));
    } else {
        CHECK(left);
        CHECK_QUEUE_EMPTY();
    }
    out = as_bytes(out, way->text);
    CHECK_INT(holds(out, secret), !interop_protected() && !way->sealed);
    ERR_clear_error();
    BIO_free(out);
}

static void test_refusal_says_protected(EVP_PKEY *key,
                                        const struct key_type *type)
{
    BIO *out = BIO_new(BIO_s_mem());

    interop_subject("%s refusals", type->label);
    CHECK(!by_todata(key, out));
    CHECK(interop_queue_says("protected"));
    CHECK(!by_export_pair(key, out));
    CHECK(interop_queue_says("protected"));
    BIO_free(out);
}

/* Text without its spaces, so that line breaks hide nothing. */
static char *squeezed(BIO *bio)
{
    char *data;
    size_t len = (size_t)BIO_get_mem_data(bio, &data), n = 0;
    char *text = interop_new(len + 1);

    for (size_t i = 0; i < len; i++) {
        if (!isspace((unsigned char)data[i])) {
            text[n++] = data[i];
        }
    }
    text[n] = '\0';
    return text;
}

static void as_hex(const unsigned char *p, char *hex)
{
    for (int i = 0; i < SHORT; i++) {
        snprintf(hex + (size_t)i * 3, 4, i < SHORT - 1 ? "%02x:" : "%02x",
                 p[i]);
    }
}

static void test_print(EVP_PKEY *key, const struct key_type *type)
{
    BIO *out = BIO_new(BIO_s_mem());
    unsigned char secret[NUMBER_MAX], pub[NUMBER_MAX] = {0};
    char secret_hex[SHORT * 3 + 1], pub_hex[SHORT * 3 + 1];
    BIGNUM *n = NULL;
    size_t len;
    char *text;

    interop_subject("%s printed", type->label);
    private_bytes(type, secret, sizeof(secret));
    as_hex(secret, secret_hex);
    if (EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &n) ||
        EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_PUB_KEY, &n)) {
        BN_bn2bin(n, pub);
    } else {
        CHECK(EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, pub,
                                              sizeof(pub), &len));
    }
    ERR_clear_error();
    BN_free(n);
    as_hex(pub, pub_hex);
    CHECK_INT(EVP_PKEY_print_private(out, key, 0, NULL), 1);
    CHECK_QUEUE_EMPTY();
    text = squeezed(out);
    CHECK_INT(strstr(text, secret_hex) != NULL, !interop_protected());
    CHECK(strstr(text, pub_hex) != NULL);
    CHECK_INT(strcasestr(text, "protected") != NULL, interop_protected());
    free(text);
    BIO_free(out);
}

/* The public half leaves as ever. */
static void test_public_way_out(EVP_PKEY *key, const struct key_type *type)
{
    OSSL_PARAM *got = NULL, *want = NULL;
    unsigned char secret[NUMBER_MAX];
    BIO *a = BIO_new(BIO_s_mem()), *b = BIO_new(BIO_s_mem());
    char *x, *y;
    size_t x_len, y_len;

    interop_subject("%s, the public half", type->label);
    private_bytes(type, secret, sizeof(secret));
    CHECK_INT(EVP_PKEY_todata(key, EVP_PKEY_PUBLIC_KEY, &got), 1);
    CHECK_INT(EVP_PKEY_todata(key_reference(type), EVP_PKEY_PUBLIC_KEY, &want),
              1);
    params_out(got, a);
    params_out(want, b);
    x_len = (size_t)BIO_get_mem_data(a, &x);
    y_len = (size_t)BIO_get_mem_data(b, &y);
    CHECK_MEM(x, x_len, y, y_len);
    CHECK(x_len > 0 && !holds(a, secret));
    CHECK_QUEUE_EMPTY();
    OSSL_PARAM_free(got);
    OSSL_PARAM_free(want);
    BIO_free(a);
    BIO_free(b);
}

/* The default provider's encoders end the process with this one's keys, also
 * where only what is public was asked for. */
static void test_microsofts_forms_of_dsa(EVP_PKEY *key)
{
    static const char *const format[] = {"MSBLOB", "PVK"};

    interop_subject("DSA, Microsoft's forms");
    for (size_t i = 0; i < sizeof(format) / sizeof(format[0]); i++) {
        for (int private = 0; private < 2; private ++) {
            BIO *out = BIO_new(BIO_s_mem());
            OSSL_ENCODER_CTX *ctx = OSSL_ENCODER_CTX_new_for_pkey(
                key, private ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY,
                format[i], NULL, NULL);

            CHECK(ctx != NULL && !OSSL_ENCODER_to_bio(ctx, out));
            CHECK(interop_queue_says("Microsoft"));
            CHECK(BIO_pending(out) == 0);
            OSSL_ENCODER_CTX_free(ctx);
            BIO_free(out);
        }
    }
}

static void (*function_of(const OSSL_DISPATCH *d, int id))(void)
{
    while (d->function_id != 0 && d->function_id != id) {
        d++;
    }
    return d->function;
}

/* What the tables say beforehand: no private number is among what a key can be
 * exported as, and its text is made by the provider that has it. */
static void test_tables(const OSSL_PROVIDER *provider)
{
    const OSSL_ALGORITHM *a;
    int no_cache;

    interop_subject("the tables");
    a = OSSL_PROVIDER_query_operation(provider, OSSL_OP_KEYMGMT, &no_cache);
    for (; CHECK(a != NULL) && a->algorithm_names != NULL; a++) {
        OSSL_FUNC_keymgmt_export_types_fn *types =
            (OSSL_FUNC_keymgmt_export_types_fn *)function_of(
                a->implementation, OSSL_FUNC_KEYMGMT_EXPORT_TYPES);

        CHECK(types(EVP_PKEY_KEYPAIR) == NULL);
        CHECK(types(OSSL_KEYMGMT_SELECT_PRIVATE_KEY) == NULL);
        CHECK(types(EVP_PKEY_PUBLIC_KEY) != NULL);
    }
    a = OSSL_PROVIDER_query_operation(provider, OSSL_OP_ENCODER, &no_cache);
    for (; CHECK(a != NULL) && a->algorithm_names != NULL; a++) {
        OSSL_FUNC_encoder_does_selection_fn *does =
            (OSSL_FUNC_encoder_does_selection_fn *)function_of(
                a->implementation, OSSL_FUNC_ENCODER_DOES_SELECTION);

        if (strstr(a->property_definition, "output=text") != NULL) {
            CHECK(does(NULL, EVP_PKEY_KEYPAIR));
            CHECK(does(NULL, OSSL_KEYMGMT_SELECT_PRIVATE_KEY));
            CHECK(!does(NULL, EVP_PKEY_PUBLIC_KEY));
        }
    }
}

static void test_type(const struct key_type *type)
{
    EVP_PKEY *key = key_load(type);

    interop_subject("%s", type->label);
    CHECK_HELD(key);
    for (size_t i = 0; i < sizeof(ways_out) / sizeof(ways_out[0]); i++) {
        if (crashes_libcrypto(&ways_out[i])) {
            interop_skip("%s by %s: libcrypto crashes", type->label,
                         ways_out[i].label);
        } else if (ways_out[i].only == 0 || ways_out[i].only == type->id) {
            test_way_out(key, type, &ways_out[i]);
        }
    }
    if (interop_protected()) {
        test_refusal_says_protected(key, type);
        if (type->id == EVP_PKEY_DSA) {
            test_microsofts_forms_of_dsa(key);
        }
    }
    test_print(key, type);
    test_public_way_out(key, type);
    if (type->can & KEY_SIGNS) {
        check_signs(key, type); /* after all that it still works */
    }
    EVP_PKEY_free(key);
}

int main(void)
{
    const struct key_type *type;
    EVP_PKEY *key;

    interop_start();
    for (size_t i = 0; (type = key_type_at(i)) != NULL; i++) {
        test_type(type);
    }
    if (interop_protected()) {
        key = key_load(key_type_at(0));
        test_tables(EVP_PKEY_get0_provider(key));
        EVP_PKEY_free(key);
    }
    return interop_finish();
}
