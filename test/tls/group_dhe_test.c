/*
 * The groups of numbers in TLS 1.2, as a server's libssl uses them from 4.0 on
 * (RFC 7919): it says the numbers itself, and neither a client's number nor the
 * secret has leading zeros there. With a stock peer.
 */
#include "groups.h"

#include "../interop/kdf_ask.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <string.h>

#define PRIME_ROOM 1024
/* One number in 256 is short: nobody fails to find one among so many. */
#define TRIES 20000

static EVP_PKEY *stock_pair(const char *group)
{
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(
                               OSSL_PKEY_PARAM_GROUP_NAME, (char *)group, 0),
                           OSSL_PARAM_END};
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(interop_ref(), "DH", NULL);
    EVP_PKEY *key = NULL;

    CHECK(EVP_PKEY_keygen_init(ctx) > 0 &&
          EVP_PKEY_CTX_set_params(ctx, params) > 0 &&
          EVP_PKEY_generate(ctx, &key) > 0);
    EVP_PKEY_CTX_free(ctx);
    return key;
}

static void same_number(EVP_PKEY *key, EVP_PKEY *stock, const char *name)
{
    BIGNUM *a = NULL, *b = NULL;

    CHECK(EVP_PKEY_get_bn_param(key, name, &a));
    CHECK(EVP_PKEY_get_bn_param(stock, name, &b));
    CHECK(a != NULL && b != NULL && BN_cmp(a, b) == 0);
    BN_free(a);
    BN_free(b);
}

/* A pair of which libssl has said the numbers, as a server of TLS 1.2. */
static EVP_PKEY *pair_in_numbers(const struct group *g)
{
    EVP_PKEY *key = group_pair(g);
    BIGNUM *prime = NULL;

    CHECK(EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_FFC_P, &prime));
    BN_free(prime);
    return key;
}

/* The public number and its encoding are one. */
static void test_public_number(EVP_PKEY *key)
{
    unsigned char *encoded = NULL, padded[PRIME_ROOM];
    size_t len = EVP_PKEY_get1_encoded_public_key(key, &encoded);
    BIGNUM *number = NULL;

    CHECK(EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_PUB_KEY, &number));
    CHECK(len != 0 && number != NULL &&
          BN_bn2binpad(number, padded, (int)len) == (int)len &&
          memcmp(encoded, padded, len) == 0);
    BN_free(number);
    OPENSSL_free(encoded);
}

static void test_numbers(const struct group *g)
{
    EVP_PKEY *key = group_pair(g), *stock = stock_pair(g->name);
    unsigned char little[4];
    OSSL_PARAM short_room[] = {
        OSSL_PARAM_BN(OSSL_PKEY_PARAM_FFC_P, little, sizeof(little)),
        OSSL_PARAM_END};

    interop_subject("%s: numbers", g->name);
    same_number(key, stock, OSSL_PKEY_PARAM_FFC_P);
    same_number(key, stock, OSSL_PKEY_PARAM_FFC_G);
    test_public_number(key);
    CHECK(!EVP_PKEY_get_params(key, short_room));
    CHECK_INT((long long)short_room[0].return_size, EVP_PKEY_get_bits(key) / 8);
    EVP_PKEY_free(key);
    EVP_PKEY_free(stock);
    ERR_clear_error();
}

/* ---- short numbers ------------------------------------------------------- */

/* Without leading zeros, as some clients send it. */
static size_t public_of(EVP_PKEY *key, unsigned char out[PRIME_ROOM])
{
    BIGNUM *number = NULL;
    size_t len = 0;

    if (CHECK(EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_PUB_KEY, &number))) {
        len = (size_t)BN_bn2bin(number, out);
    }
    BN_free(number);
    return len;
}

/* |key|, ours, as a peer's of |stock|. */
static EVP_PKEY *peer_of(EVP_PKEY *stock, EVP_PKEY *key)
{
    unsigned char public[PRIME_ROOM];
    size_t len = public_of(key, public);
    EVP_PKEY *peer = EVP_PKEY_new();

    CHECK(EVP_PKEY_copy_parameters(peer, stock) > 0 &&
          EVP_PKEY_set1_encoded_public_key(peer, public, len) > 0);
    return peer;
}

static size_t stock_secret(EVP_PKEY *own, EVP_PKEY *peer,
                           unsigned char out[PRIME_ROOM])
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(interop_ref(), own, NULL);
    size_t len = PRIME_ROOM;

    CHECK(EVP_PKEY_derive_init(ctx) > 0 &&
          EVP_PKEY_derive_set_peer(ctx, peer) > 0 &&
          EVP_PKEY_derive(ctx, out, &len) > 0);
    EVP_PKEY_CTX_free(ctx);
    return len;
}

/* What TLS 1.2 makes of a pre-master secret, as far as it is in the clear. */
static bool finished(OSSL_LIB_CTX *libctx, struct ask_bytes premaster,
                     unsigned char out[12])
{
    static const unsigned char hash[32] = "a hash";
    const struct ask_bytes first[] = {TEXT("extended master secret"),
                                      BYTES(hash, sizeof(hash))};
    const struct ask_bytes second[] = {TEXT("client finished"),
                                       BYTES(hash, sizeof(hash))};
    unsigned char master[48];

    return CHECK(ask_tls1(libctx, "SHA2-256", premaster, first, 2, master,
                          sizeof(master))) &&
           CHECK(ask_tls1(libctx, "SHA2-256", BYTES(master, sizeof(master)),
                          second, 2, out, 12));
}

static void compare(EVP_PKEY *key, EVP_PKEY *stock, struct ask_bytes secret)
{
    unsigned char public[PRIME_ROOM], handle[GROUP_SECRET_ROOM];
    unsigned char a[12] = {1}, b[12] = {2};
    EVP_PKEY *peer = group_peer(key, public, public_of(stock, public));
    size_t len;

    if (!CHECK(peer != NULL)) {
        return;
    }
    len = group_derive(key, peer, handle);
    if (CHECK(len != 0) && finished(NULL, BYTES(handle, len), a) &&
        finished(interop_ref(), secret, b)) {
        CHECK_MEM(a, sizeof(a), b, sizeof(b));
    }
    EVP_PKEY_free(peer);
}

/* A stock pair whose public number, or whose secret with |key|, is short. */
static void test_short(const struct group *g, bool by_secret)
{
    EVP_PKEY *key = pair_in_numbers(g);
    size_t whole = (size_t)EVP_PKEY_get_bits(key) / 8;
    bool found = false;

    interop_subject("%s: a short %s", g->name, by_secret ? "secret" : "number");
    for (int i = 0; i < TRIES && !found; i++) {
        unsigned char secret[PRIME_ROOM], public[PRIME_ROOM];
        EVP_PKEY *stock = stock_pair(g->name), *peer;
        size_t len;

        if (by_secret || public_of(stock, public) < whole) {
            peer = peer_of(stock, key);
            len = stock_secret(stock, peer, secret);
            EVP_PKEY_free(peer);
            found = !by_secret || len < whole;
            if (found) {
                compare(key, stock, BYTES(secret, len));
            }
        }
        EVP_PKEY_free(stock);
    }
    CHECK(found);
    EVP_PKEY_free(key);
}

/* Stock takes these, too. */
static void test_zeros_in_front(const struct group *g)
{
    unsigned char bytes[PRIME_ROOM] = {0}, *kept = NULL;
    EVP_PKEY *key = pair_in_numbers(g), *stock = stock_pair(g->name), *peer;
    size_t whole = (size_t)EVP_PKEY_get_bits(key) / 8, len;
    BIGNUM *number = NULL;

    interop_subject("%s: zeros in front", g->name);
    CHECK(EVP_PKEY_get_bn_param(stock, OSSL_PKEY_PARAM_PUB_KEY, &number) &&
          BN_bn2binpad(number, bytes + 2, (int)whole) == (int)whole);
    peer = group_peer(key, bytes, whole + 2);
    if (CHECK(peer != NULL)) {
        len = EVP_PKEY_get1_encoded_public_key(peer, &kept);
        CHECK_MEM(kept, len, bytes + 2, whole);
    }
    EVP_PKEY_free(peer);
    memset(bytes, 0, sizeof(bytes));
    peer = group_peer(key, bytes, whole + 2);
    CHECK(peer == NULL);
    CHECK_QUEUE_FILLED();
    EVP_PKEY_free(peer);
    BN_free(number);
    OPENSSL_free(kept);
    EVP_PKEY_free(stock);
    EVP_PKEY_free(key);
}

/* TLS 1.3 makes the other end's key by the group's name in a server, and in a
 * client as a copy of a pair whose numbers nobody has asked for. */
static void test_exact(const struct group *g)
{
    unsigned char *bytes = NULL, longer[PRIME_ROOM + 1] = {0};
    EVP_PKEY *stock = stock_pair(g->name), *own = group_pair(g);
    size_t whole = EVP_PKEY_get1_encoded_public_key(stock, &bytes);

    for (int client = 0; client < 2 && whole < sizeof(longer); client++) {
        EVP_PKEY *peer = client ? EVP_PKEY_new() : group_blank(g);

        interop_subject("%s: one length in a %s of TLS 1.3", g->name,
                        client ? "client" : "server");
        CHECK(!client || EVP_PKEY_copy_parameters(peer, own) > 0);
        memcpy(longer + 1, bytes, whole);
        CHECK(!EVP_PKEY_set1_encoded_public_key(peer, bytes, whole - 1));
        CHECK(!EVP_PKEY_set1_encoded_public_key(peer, longer, whole + 1));
        CHECK_QUEUE_FILLED();
        CHECK(EVP_PKEY_set1_encoded_public_key(peer, bytes, whole));
        EVP_PKEY_free(peer);
    }
    CHECK(whole != 0 && whole < sizeof(longer));
    OPENSSL_free(bytes);
    EVP_PKEY_free(own);
    EVP_PKEY_free(stock);
}

int main(void)
{
    static const char *const names[] = {"ffdhe2048", "ffdhe3072", "ffdhe4096",
                                        "ffdhe6144", "ffdhe8192"};
    struct groups ours;

    interop_start();
    groups_of(NULL, "MPK", &ours);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        test_numbers(group_find(&ours, names[i]));
        test_exact(group_find(&ours, names[i]));
    }
    test_zeros_in_front(group_find(&ours, "ffdhe2048"));
    test_short(group_find(&ours, "ffdhe2048"), false);
    test_short(group_find(&ours, "ffdhe2048"), true);
    return interop_finish();
}
