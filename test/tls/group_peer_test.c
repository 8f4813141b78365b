/*
 * Public keys that a peer must not get away with, and the forms of points. In
 * TLS 1.3 libssl leaves the form to us, since our names are not ones that it
 * knows; before, it says that it takes compressed points, and takes hybrid ones
 * too.
 */

#include "../interop/kdf_ask.h"
#include "groups.h"

#include <openssl/core_names.h>
#include <stdlib.h>
#include <string.h>

static struct groups ours;

enum verdict {
    AT_SET,   /* libssl sends illegal_parameter */
    AT_DERIVE /* the connection ends */
};

/* Changes the good key |p| of |*len| bytes into a bad one. */
struct bad {
    const char *label;
    enum verdict verdict;
    void (*spoil)(unsigned char *p, size_t *len);
};

static void one_byte_less(unsigned char *p, size_t *len)
{
    (void)p;
    (*len)--;
}

static void one_byte_more(unsigned char *p, size_t *len)
{
    p[(*len)++] = 0;
}

static void nothing(unsigned char *p, size_t *len)
{
    (void)p;
    *len = 0;
}

static void infinity(unsigned char *p, size_t *len)
{
    p[0] = 0;
    *len = 1;
}

static void infinity_padded(unsigned char *p, size_t *len)
{
    memset(p, 0, *len);
}

static void compressed(unsigned char *p, size_t *len)
{
    p[0] = 2 | (p[*len - 1] & 1);
    *len = *len / 2 + 1;
}

static void compressed_too_large(unsigned char *p, size_t *len)
{
    compressed(p, len);
    memset(p + 1, 0xff, *len - 1);
}

static void compressed_padded(unsigned char *p, size_t *len)
{
    p[0] = 2 | (p[*len - 1] & 1);
}

static void hybrid(unsigned char *p, size_t *len)
{
    p[0] = 6 | (p[*len - 1] & 1);
}

static void hybrid_of_other_y(unsigned char *p, size_t *len)
{
    hybrid(p, len);
    p[0] ^= 1;
}

static void hybrid_mark_compressed(unsigned char *p, size_t *len)
{
    hybrid(p, len);
    *len = *len / 2 + 1;
}

static void hybrid_off_curve(unsigned char *p, size_t *len)
{
    p[*len - 1] ^= 2;
    hybrid(p, len);
}

static void off_curve(unsigned char *p, size_t *len)
{
    p[*len - 1] ^= 1;
}

static void off_curve_x(unsigned char *p, size_t *len)
{
    (void)len;
    p[1] ^= 1;
}

static void zero_point(unsigned char *p, size_t *len)
{
    memset(p + 1, 0, *len - 1);
}

static void too_large(unsigned char *p, size_t *len)
{
    memset(p + 1, 0xff, *len - 1);
}

static const struct bad bad_points[] = {
    {"one byte less", AT_SET, one_byte_less},
    {"one byte more", AT_SET, one_byte_more},
    {"no bytes", AT_SET, nothing},
    {"infinity", AT_SET, infinity},
    {"infinity, padded", AT_SET, infinity_padded},
    {"compressed, past the field", AT_SET, compressed_too_large},
    {"compressed mark, full length", AT_SET, compressed_padded},
    {"hybrid, the other y's mark", AT_SET, hybrid_of_other_y},
    {"hybrid mark, compressed length", AT_SET, hybrid_mark_compressed},
    {"hybrid, y changed", AT_SET, hybrid_off_curve},
    {"y changed", AT_SET, off_curve},
    {"x changed", AT_SET, off_curve_x},
    {"(0, 0)", AT_SET, zero_point},
    {"coordinates past the field", AT_SET, too_large}};

static void all_zero(unsigned char *p, size_t *len)
{
    memset(p, 0, *len);
}

static void one(unsigned char *p, size_t *len)
{
    memset(p, 0, *len);
    p[0] = 1;
}

/* p, then p - 1, little endian; 2^255 - 19. */
static void p_25519(unsigned char *p, size_t *len)
{
    memset(p, 0xff, *len);
    p[0] = 0xed;
    p[*len - 1] = 0x7f;
}

static void minus_one_25519(unsigned char *p, size_t *len)
{
    p_25519(p, len);
    p[0] = 0xec;
}

/* Of order 8. */
static void order_8_25519(unsigned char *p, size_t *len)
{
    static const unsigned char point[] = {
        0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3,
        0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32,
        0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00};

    memcpy(p, point, *len < sizeof(point) ? *len : sizeof(point));
}

static const struct bad bad_x25519[] = {
    {"one byte less", AT_SET, one_byte_less},
    {"one byte more", AT_SET, one_byte_more},
    {"no bytes", AT_SET, nothing},
    {"0", AT_DERIVE, all_zero},
    {"1", AT_DERIVE, one},
    {"-1", AT_DERIVE, minus_one_25519},
    {"the field's prime", AT_DERIVE, p_25519},
    {"a point of order 8", AT_DERIVE, order_8_25519}};

static const struct bad bad_x448[] = {{"one byte less", AT_SET, one_byte_less},
                                      {"one byte more", AT_SET, one_byte_more},
                                      {"no bytes", AT_SET, nothing},
                                      {"0", AT_DERIVE, all_zero},
                                      {"1", AT_DERIVE, one}};

/* The prime of ffdhe2048, |add| added. */
static void near_p(unsigned char *p, size_t *len, int add)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(interop_ref(), "DH", NULL);
    EVP_PKEY *key = NULL;
    BIGNUM *prime = NULL;

    CHECK(EVP_PKEY_paramgen_init(ctx) > 0 &&
          EVP_PKEY_CTX_set_group_name(ctx, "ffdhe2048") > 0 &&
          EVP_PKEY_paramgen(ctx, &key) > 0);
    CHECK(EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_FFC_P, &prime));
    CHECK(add < 0 ? BN_sub_word(prime, (unsigned)-add)
                  : BN_add_word(prime, (unsigned)add));
    CHECK(BN_bn2binpad(prime, p, (int)*len) > 0);
    BN_free(prime);
    EVP_PKEY_free(key);
    EVP_PKEY_CTX_free(ctx);
}

static void minus_one(unsigned char *p, size_t *len)
{
    near_p(p, len, -1);
}

static void prime(unsigned char *p, size_t *len)
{
    near_p(p, len, 0);
}

static void plus_one(unsigned char *p, size_t *len)
{
    near_p(p, len, 1);
}

/* A number with a zero in front would still be in range, 1 of 256 keys. */
static void one_digit_more(unsigned char *p, size_t *len)
{
    p[0] |= 1;
    one_byte_more(p, len);
}

static void all_ones(unsigned char *p, size_t *len)
{
    memset(p, 0xff, *len);
}

static void one_big_endian(unsigned char *p, size_t *len)
{
    memset(p, 0, *len);
    p[*len - 1] = 1;
}

/* Less than all bytes is a smaller number: group_dhe_test. */
static const struct bad bad_dh[] = {{"one digit more", AT_SET, one_digit_more},
                                    {"no bytes", AT_SET, nothing},
                                    {"0", AT_SET, all_zero},
                                    {"1", AT_SET, one_big_endian},
                                    {"p - 1", AT_SET, minus_one},
                                    {"p", AT_SET, prime},
                                    {"p + 1", AT_SET, plus_one},
                                    {"all ones", AT_SET, all_ones}};

#define MANY(a) (a), sizeof(a) / sizeof((a)[0])
static const struct {
    const char *group;
    const struct bad *bad;
    size_t n;
} tables[] = {
    {"P-256", MANY(bad_points)},  {"P-384", MANY(bad_points)},
    {"P-521", MANY(bad_points)},  {"brainpoolP256r1", MANY(bad_points)},
    {"x25519", MANY(bad_x25519)}, {"x448", MANY(bad_x448)},
    {"ffdhe2048", MANY(bad_dh)}};

static void check_bad(const struct group *g, const struct bad *bad)
{
    unsigned char *good = NULL, p[4096], secret[GROUP_SECRET_ROOM];
    EVP_PKEY *own = group_pair(g), *other = group_pair(g), *peer;
    size_t len = EVP_PKEY_get1_encoded_public_key(other, &good);

    interop_subject("%s, peer's key: %s", g->name, bad->label);
    memcpy(p, good, len);
    peer = group_peer(own, p, len);
    CHECK(peer != NULL);
    EVP_PKEY_free(peer);
    bad->spoil(p, &len);
    peer = group_peer(own, p, len);
    if (bad->verdict == AT_SET) {
        CHECK(peer == NULL);
    } else if (CHECK(peer != NULL)) {
        CHECK_INT(group_derive(own, peer, secret), 0);
    }
    CHECK_QUEUE_FILLED();
    EVP_PKEY_free(peer);
    EVP_PKEY_free(own);
    EVP_PKEY_free(other);
    OPENSSL_free(good);
}

/* Bytes that are wrong one at a time; a point has one y, and its opposite. */
static void test_every_changed_byte_of_a_point_is_seen(void)
{
    const struct group *g = group_find(&ours, "P-256");
    EVP_PKEY *own = group_pair(g), *peer;
    unsigned char *good = NULL;
    size_t len = EVP_PKEY_get1_encoded_public_key(own, &good);

    for (size_t i = 0; i < len; i++) {
        interop_subject("byte %zu of a point", i);
        good[i] ^= 0x10;
        peer = group_peer(own, good, len);
        /* One x in two has a point, but hardly one with the same y. */
        CHECK(peer == NULL);
        EVP_PKEY_free(peer);
        good[i] ^= 0x10;
    }
    ERR_clear_error();
    OPENSSL_free(good);
    EVP_PKEY_free(own);
}

/* ---- forms of points ----------------------------------------------------- */

static void uncompressed(unsigned char *p, size_t *len)
{
    (void)p;
    (void)len;
}

static const struct {
    const char *label;
    void (*turn)(unsigned char *p, size_t *len);
    bool in_tls13;
} forms[] = {{"uncompressed", uncompressed, true},
             {"compressed", compressed, false},
             {"hybrid", hybrid, false}};

static int master_secret(const unsigned char *secret, size_t len,
                         unsigned char out[48])
{
    static const unsigned char randoms[64] = {1};
    const struct ask_bytes seed[] = {TEXT("master secret"),
                                     BYTES(randoms, sizeof(randoms))};

    return ask_tls1(NULL, "SHA2-256", BYTES(secret, len), seed, 2, out, 48);
}

static int handshake_secret(const unsigned char *secret, size_t len)
{
    unsigned char early[32], out[32];

    return CHECK(ask_extract(NULL, "SHA2-256", NULL, NONE, early)) &&
           ask_extract(NULL, "SHA2-256", early, BYTES(secret, len), out);
}

/* Equal secrets have equal handles: the master secret's says that the exchange
 * is the right one. */
static void check_form(const struct group *g, size_t form)
{
    unsigned char *good = NULL, *shown = NULL, p[4096], master[2][48];
    unsigned char secret[2][GROUP_SECRET_ROOM];
    EVP_PKEY *own = group_pair(g), *other = group_pair(g), *peer;
    size_t good_len = EVP_PKEY_get1_encoded_public_key(other, &good);
    size_t len = good_len, n[2];

    interop_subject("%s, peer's point %s", g->name, forms[form].label);
    memcpy(p, good, len);
    forms[form].turn(p, &len);
    peer = group_peer(own, p, len);
    if (CHECK(peer != NULL)) {
        CHECK(EVP_PKEY_eq(peer, other) == 1);
        len = EVP_PKEY_get1_encoded_public_key(peer, &shown);
        CHECK_MEM(shown, len, good, good_len);
        n[0] = group_derive(own, peer, secret[0]);
        n[1] = group_derive(other, own, secret[1]);
        CHECK(master_secret(secret[0], n[0], master[0]) &&
              master_secret(secret[1], n[1], master[1]));
        CHECK_MEM(master[0], 48, master[1], 48);
        CHECK_QUEUE_EMPTY();
        CHECK_INT(handshake_secret(secret[0], n[0]), forms[form].in_tls13);
        ERR_clear_error();
    }
    EVP_PKEY_free(peer);
    EVP_PKEY_free(own);
    EVP_PKEY_free(other);
    OPENSSL_free(shown);
    OPENSSL_free(good);
}

static void test_points_of_every_form_do_before_tls13(void)
{
    static const char *const curve[] = {"P-256", "P-384", "P-521",
                                        "brainpoolP384r1"};

    for (size_t i = 0; i < sizeof(curve) / sizeof(curve[0]); i++) {
        for (size_t form = 0; form < sizeof(forms) / sizeof(forms[0]); form++) {
            check_form(group_find(&ours, curve[i]), form);
        }
    }
}

static bool stock_takes(const unsigned char *p, size_t len)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(interop_ref(), "EC", NULL);
    EVP_PKEY *key = NULL;
    bool takes;

    CHECK(EVP_PKEY_paramgen_init(ctx) > 0 &&
          EVP_PKEY_CTX_set_group_name(ctx, "P-256") > 0 &&
          EVP_PKEY_paramgen(ctx, &key) > 0);
    takes = EVP_PKEY_set1_encoded_public_key(key, p, len) > 0;
    EVP_PKEY_free(key);
    EVP_PKEY_CTX_free(ctx);
    ERR_clear_error();
    return takes;
}

/* One x in two has a point. */
static void test_compressed_points_off_the_curve_are_seen(void)
{
    EVP_PKEY *own = group_pair(group_find(&ours, "P-256")), *peer;
    unsigned char p[33] = {2};
    int taken = 0;

    for (int x = 0; x < 32; x++) {
        interop_subject("compressed point, x = %d", x);
        p[32] = (unsigned char)x;
        peer = group_peer(own, p, sizeof(p));
        CHECK_INT(peer != NULL, stock_takes(p, sizeof(p)));
        taken += peer != NULL;
        EVP_PKEY_free(peer);
        ERR_clear_error();
    }
    CHECK(taken > 0 && taken < 32);
    EVP_PKEY_free(own);
}

int main(void)
{
    interop_start();
    groups_of(NULL, "MPK", &ours);
    for (size_t t = 0; t < sizeof(tables) / sizeof(tables[0]); t++) {
        const struct group *g = group_find(&ours, tables[t].group);

        interop_subject("%s", tables[t].group);
        for (size_t i = 0; CHECK(g != NULL) && i < tables[t].n; i++) {
            check_bad(g, &tables[t].bad[i]);
        }
    }
    test_every_changed_byte_of_a_point_is_seen();
    test_points_of_every_form_do_before_tls13();
    test_compressed_points_off_the_curve_are_seen();
    return interop_finish();
}
