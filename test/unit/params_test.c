/*
 * What of a caller's parameters comes inside: not what only an OpenSSL that was
 * built for tests knows, which keeps an ECDSA nonce for the next signature, nor
 * a digest's length that what makes signatures has no room for; and what of the
 * answers goes out: no more than there is room for.
 *
 * Seen to fail without each check that params.c has of these.
 */
#include "fake_inside.h"

#include "claims.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <string.h>

static char inside[16]; /* as far as params.c is told */

int mpk_is_outside(const void *p, size_t len)
{
    (void)len;
    return p != NULL && p != inside;
}

static const char *only_name(const char *first, const char *second, int to_get)
{
    static char name[PARAMS_NAME];
    struct params_in ps;
    unsigned value = 1;
    OSSL_PARAM params[] = {OSSL_PARAM_uint(first, &value),
                           OSSL_PARAM_uint(second, &value), OSSL_PARAM_END};

    CHECK(params_enter(&ps, params, to_get, NULL));
    name[0] = '\0';
    if (ps.n == 1) {
        memcpy(name, ps.name[0], PARAMS_NAME);
    }
    params_free(&ps);
    return name;
}

static int enters(OSSL_PARAM param, int to_get)
{
    OSSL_PARAM params[] = {param, OSSL_PARAM_END};
    struct params_in ps;
    int ok = params_enter(&ps, params, to_get, NULL);

    params_free(&ps);
    return ok;
}

/* However long the number is. */
static void test_lengths_of_digests(void)
{
    for (int i = 0; i < 3; i++) {
        size_t size = i == 0 ? EVP_MAX_MD_SIZE : EVP_MAX_MD_SIZE + (size_t)i;
        unsigned number = (unsigned)size;
        unsigned char bytes[20] = {(unsigned char)size};

        CHECK(
            enters(OSSL_PARAM_construct_size_t(OSSL_DIGEST_PARAM_XOFLEN, &size),
                   0) == (i == 0));
        CHECK(
            enters(OSSL_PARAM_construct_uint(OSSL_DIGEST_PARAM_XOFLEN, &number),
                   0) == (i == 0));
        CHECK(enters(OSSL_PARAM_construct_BN(OSSL_DIGEST_PARAM_XOFLEN, bytes,
                                             sizeof(bytes)),
                     0) == (i == 0));
        number = 8 * (unsigned)size;
        CHECK(enters(
                  OSSL_PARAM_construct_uint(OSSL_PKEY_PARAM_FFC_QBITS, &number),
                  0) == (i == 0));
    }
}

static void test_how_much_comes_inside(void)
{
    OSSL_PARAM params[PARAMS_MAX + 2], *p;
    struct params_in ps;
    static char large[PARAMS_DATA_MAX + 1];
    unsigned value = 1;

    CHECK(enters(
        OSSL_PARAM_construct_octet_string("x", large, sizeof(large) - 1), 0));
    CHECK(!enters(OSSL_PARAM_construct_octet_string("x", large, sizeof(large)),
                  0));
    CHECK(!enters(OSSL_PARAM_construct_octet_string("x", large, sizeof(large)),
                  1));
    for (p = params; p <= &params[PARAMS_MAX]; p++) {
        *p = OSSL_PARAM_construct_uint("x", &value);
    }
    *p = OSSL_PARAM_construct_end();
    CHECK(!params_enter(&ps, params, 0, NULL));
    params_free(&ps);
    CHECK(params_enter(&ps, params + 1, 0, NULL) && ps.n == PARAMS_MAX);
    params_free(&ps);
}

static void test_only_what_is_allowed(void)
{
    static const char *const allow[] = {"one", "three", NULL};
    unsigned value = 1;
    OSSL_PARAM params[] = {OSSL_PARAM_uint("two", &value),
                           OSSL_PARAM_uint("three", &value), OSSL_PARAM_END};
    struct params_in ps;

    CHECK(params_enter(&ps, params, 0, allow));
    CHECK(ps.n == 1 && strcmp(ps.p[0].key, "three") == 0);
    params_free(&ps);
}

/* See params_may_end and is_hash_too_short. */
static void test_numbers_that_are_computed_with(void)
{
    unsigned char q[EVP_MAX_MD_SIZE + 1] = {1}, longer[4096] = {1};
    OSSL_PARAM params[] = {
        OSSL_PARAM_BN(OSSL_PKEY_PARAM_FFC_Q, q, sizeof(q)),
        OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_FFC_SEED, q, sizeof(q)),
        OSSL_PARAM_END};
    struct params_in ps;

    CHECK(!params_enter(&ps, params, 0, NULL));
    params_free(&ps);
    CHECK(enters(params[0], 0) && enters(params[1], 0));
    CHECK(!enters(OSSL_PARAM_construct_BN("x", longer, sizeof(longer)), 0));
    CHECK(!enters(
        (OSSL_PARAM){"x", OSSL_PARAM_INTEGER, longer, sizeof(longer), 0},
        0)); /* as a number of a key, since 3.5 */
    for (int more = 0; more < 2; more++) {
        size_t bits = OPENSSL_RSA_MAX_MODULUS_BITS + (size_t)more;

        CHECK(
            enters(OSSL_PARAM_construct_size_t(OSSL_PKEY_PARAM_RSA_BITS, &bits),
                   0) == !more);
        CHECK(enters(
                  OSSL_PARAM_construct_size_t(OSSL_PKEY_PARAM_FFC_PBITS, &bits),
                  0) == !more);
    }
}

/* The inner OpenSSL reads the byte before a signed one, or what it is made of.
 */
static void test_numbers_without_bytes(void)
{
    int number = -1;
    OSSL_PARAM is_signed = OSSL_PARAM_int("gindex", &number);
    OSSL_PARAM is_unsigned = OSSL_PARAM_BN("x", &number, 0);

    is_signed.data_size = 0;
    CHECK(!enters(is_signed, 0) && !enters(is_signed, 1));
    CHECK(enters(is_unsigned, 0));
}

static void test_pointers_to_values(void)
{
    char *text = NULL;

    CHECK(!enters(OSSL_PARAM_construct_utf8_ptr("x", &text, 0), 0));
    CHECK(enters(OSSL_PARAM_construct_utf8_ptr("x", &text, 0), 1));
    CHECK(!enters(OSSL_PARAM_construct_utf8_ptr("x", (char **)inside, 0), 1));
    CHECK(!enters(OSSL_PARAM_construct_octet_string("x", inside, 4), 0));
    CHECK(!enters(OSSL_PARAM_construct_octet_string("x", inside, 4), 1));
    CHECK(!enters(OSSL_PARAM_construct_octet_string("x", NULL, 4), 0));
    CHECK(enters(OSSL_PARAM_construct_octet_string("x", NULL, 4), 1));
    CHECK(!enters(OSSL_PARAM_construct_double("x", NULL), 1));
}

/* Where the inner OpenSSL writes what it has been asked for of another type, a
 * point of a curve, there is room for nothing; ciphers look at the type, and
 * first at the size. */
static void test_room_for_a_pointer(void)
{
    static const char *const iv[] = {OSSL_CIPHER_PARAM_IV,
                                     OSSL_CIPHER_PARAM_UPDATED_IV};
    char *text = inside;
    OSSL_PARAM params[] = {OSSL_PARAM_utf8_ptr("x", &text, 4096),
                           OSSL_PARAM_octet_ptr("x", &text, 4096),
                           OSSL_PARAM_octet_ptr("x", &text, 4096),
                           OSSL_PARAM_END};
    struct params_in ps;

    for (int i = 0; i < 2; i++) {
        params[2].key = iv[i];
        CHECK(params_enter(&ps, params, 1, NULL) && ps.n == 3);
        CHECK(ps.p[0].data_size == 0 && ps.p[1].data_size == 0);
        CHECK(ps.p[2].data_size == 4096);
        params_free(&ps);
    }
}

/* What the inner OpenSSL says it would have answered, had there been room. */
static void test_an_answer_that_has_no_room(void)
{
    char out[8] = "abcdefg";
    OSSL_PARAM params[] = {OSSL_PARAM_octet_string("x", out, 2),
                           OSSL_PARAM_END};
    struct params_in ps;

    CHECK(params_enter(&ps, params, 1, NULL));
    memcpy(ps.p[0].data, "xy", 2);
    ps.p[0].return_size = sizeof(out);
    CHECK(params_answer(&ps, NULL, 0));
    CHECK(memcmp(out, "xycdefg", sizeof(out)) == 0);
    CHECK(params[0].return_size == sizeof(out));
    params_free(&ps);
}

/* A text that goes out by reference goes to |scratch|, with its NUL. */
static int refer(size_t room, char scratch[8], const char **answer)
{
    OSSL_PARAM params[] = {OSSL_PARAM_utf8_ptr("x", answer, 0), OSSL_PARAM_END};
    const char *text = "abc";
    struct params_in ps;
    int ok;

    CHECK(params_enter(&ps, params, 1, NULL));
    memcpy(ps.p[0].data, &text, sizeof(text));
    ps.p[0].return_size = 3;
    ok = params_answer(&ps, scratch, room);
    params_free(&ps);
    return ok;
}

static void test_a_reference_that_has_no_room(void)
{
    char scratch[8] = "-------";
    const char *answer = NULL;

    CHECK(!refer(3, scratch, &answer));
    CHECK(answer == NULL && strcmp(scratch, "-------") == 0);
    CHECK(refer(4, scratch, &answer));
    CHECK(answer == scratch && memcmp(scratch, "abc\0---", 8) == 0);
}

static void test_an_array_that_goes_out(void)
{
    char *text = NULL;
    unsigned value = 7;
    OSSL_PARAM params[] = {OSSL_PARAM_uint("x", &value), OSSL_PARAM_END};
    OSSL_PARAM pointer[] = {OSSL_PARAM_utf8_ptr("x", &text, 0), OSSL_PARAM_END};
    OSSL_PARAM out[8];
    size_t need = params_flatten(NULL, 0, params);

    CHECK(need > 2 * sizeof(out[0]) && need <= sizeof(out));
    memset(out, 0xa5, sizeof(out));
    CHECK(params_flatten(out, need - 1, params) == need);
    CHECK(((unsigned char *)out)[0] == 0xa5);
    CHECK(params_flatten(out, need, params) == need);
    CHECK(*(unsigned *)out[0].data == value);
    CHECK(params_flatten(inside, need, params) == 0);
    CHECK(params_flatten(out, sizeof(out), pointer) == 0);
    params[0].key = inside;
    CHECK(params_flatten(out, need, params) == 0);
}

/* Between a type and the pointer behind it are four bytes that no member has,
 * and that hold what was on the stack where the inner OpenSSL made the element.
 */
static void test_what_lies_between_members(void)
{
    const size_t from = offsetof(OSSL_PARAM, data_type) + sizeof(unsigned);
    const size_t len = offsetof(OSSL_PARAM, data) - from;
    unsigned value = 7;
    OSSL_PARAM params[2], out[8];
    const char zero[sizeof(out[0])] = {0};

    memset(params, 0xa5, sizeof(params));
    params[0].key = "x";
    params[0].data_type = OSSL_PARAM_UNSIGNED_INTEGER;
    params[0].data = &value;
    params[0].data_size = sizeof(value);
    params[0].return_size = OSSL_PARAM_UNMODIFIED;
    params[1].key = NULL;
    memset(out, 0x5a, sizeof(out));
    CHECK(params_flatten(out, sizeof(out), params) != 0);
    CHECK(out[0].return_size == OSSL_PARAM_UNMODIFIED);
    for (int i = 0; i < 2; i++) {
        CHECK(memcmp((const char *)&out[i] + from, zero, len) == 0);
    }
}

int main(void)
{
    const char *const others = OSSL_SIGNATURE_PARAM_PSS_SALTLEN;

    CHECK(strcmp(only_name("kat", others, 0), others) == 0);
    CHECK(strcmp(only_name(others, "kat", 0), others) == 0);
    CHECK(strcmp(only_name("test-entropy", others, 0), others) == 0);
    test_lengths_of_digests();
    test_how_much_comes_inside();
    test_only_what_is_allowed();
    test_numbers_that_are_computed_with();
    test_numbers_without_bytes();
    test_pointers_to_values();
    test_room_for_a_pointer();
    test_an_answer_that_has_no_room();
    test_a_reference_that_has_no_room();
    test_an_array_that_goes_out();
    test_what_lies_between_members();
    return claims_end();
}
