/*
 * Groups of TLS by themselves: what is offered, what a key does and does not
 * do. What the secret is, nobody outside can say; that both sides come to the
 * same one is seen by the handles being equal, and in a handshake.
 */

#include "groups.h"

#include <openssl/core_names.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MORE 16 /* by which a handle is longer than the secret */

static struct groups ours, defaults;

/* ---- what is offered ----------------------------------------------------- */

static void test_groups_are_offered_as_default_offers_them(void)
{
    for (size_t i = 0; i < ours.n; i++) {
        const struct group *g = &ours.at[i];
        const struct group *d = group_find(&defaults, g->name);

        interop_subject("offer of %s", g->name);
        if (!CHECK(strncmp(g->alg, "MPK-", 4) == 0) || d == NULL) {
            /* OpenSSL 3.0 has neither these nor RFC 8734 nor RFC 8998. */
            CHECK(g->is_kem || strstr(g->name, "tls13") != NULL ||
                  strcmp(g->name, "curveSM2") == 0);
            continue;
        }
        CHECK_INT(g->id, d->id);
        CHECK_INT(g->security_bits, d->security_bits);
        CHECK_INT(g->min_tls, d->min_tls);
        CHECK_INT(g->max_tls, d->max_tls);
        CHECK_INT(g->min_dtls, d->min_dtls);
        CHECK_INT(g->max_dtls, d->max_dtls);
        CHECK_INT(g->is_kem, d->is_kem);
        /* Those of RFC 8734 are ours by a name of their own: a key is made by
         * that name alone, and the curve is TLS 1.2's as well. */
        if (!g->is_kem && strstr(g->name, "tls13") == NULL) {
            CHECK_STR(g->internal, d->internal);
        }
    }
}

static void test_every_group_that_must_be_there_is(void)
{
    static const char *const must[] = {
        "x25519",    "x448",      "secp256r1", "P-256",     "secp384r1",
        "P-384",     "secp521r1", "P-521",     "ffdhe2048", "ffdhe3072",
        "ffdhe4096", "ffdhe6144", "ffdhe8192"};

    for (size_t i = 0; i < sizeof(must) / sizeof(must[0]); i++) {
        interop_subject("offer of %s", must[i]);
        CHECK(group_find(&ours, must[i]) != NULL);
    }
    for (size_t i = 0; i < defaults.n; i++) {
        interop_subject("offer of %s", defaults.at[i].name);
        CHECK_AS_REF(!defaults.at[i].is_kem ||
                     group_find(&ours, defaults.at[i].name) != NULL);
    }
}

/* ---- a pair -------------------------------------------------------------- */

static void check_private_stays(EVP_PKEY *key)
{
    unsigned char out[2048];
    size_t len = sizeof(out);
    BIGNUM *number = NULL;
    EVP_PKEY *copy = EVP_PKEY_dup(key);
    OSSL_PARAM *params = NULL;

    CHECK(copy == NULL);
    EVP_PKEY_free(copy);
    CHECK(EVP_PKEY_get_raw_private_key(key, out, &len) <= 0);
    CHECK(!EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_PRIV_KEY, &number));
    CHECK(!EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PRIV_KEY, out,
                                           sizeof(out), &len));
    CHECK(EVP_PKEY_todata(key, EVP_PKEY_KEYPAIR, &params) <= 0);
    CHECK(i2d_PrivateKey(key, NULL) <= 0);
    OSSL_PARAM_free(params);
    BN_free(number);
    ERR_clear_error();
}

static void check_answers(const struct group *g, EVP_PKEY *key)
{
    char name[64] = "";
    size_t len = 0;

    CHECK(EVP_PKEY_get_group_name(key, name, sizeof(name), &len) > 0);
    CHECK_STR(name, g->internal);
    CHECK(EVP_PKEY_get_bits(key) > 0);
    CHECK_INT(EVP_PKEY_get_security_bits(key), g->security_bits);
    CHECK_STR(EVP_PKEY_get0_type_name(key), g->alg);
    CHECK_STR(interop_provider_of(key), "MPK");
}

static void check_exchange(EVP_PKEY *a, EVP_PKEY *b, EVP_PKEY *c)
{
    unsigned char ab[GROUP_SECRET_ROOM], ba[GROUP_SECRET_ROOM];
    unsigned char ca[GROUP_SECRET_ROOM], *pub_a = NULL, *pub_b = NULL;
    size_t len_a = EVP_PKEY_get1_encoded_public_key(a, &pub_a);
    size_t len_b = EVP_PKEY_get1_encoded_public_key(b, &pub_b);
    EVP_PKEY *peer_a = group_peer(b, pub_a, len_a);
    EVP_PKEY *peer_b = group_peer(a, pub_b, len_b);
    size_t len;

    CHECK(EVP_PKEY_eq(peer_a, a) == 1 && EVP_PKEY_eq(peer_a, b) == 0);
    len = group_derive(a, peer_b, ab);
    CHECK_INT(len, EVP_PKEY_get_size(a));
    CHECK_MEM(ba, group_derive(b, peer_a, ba), ab, len);
    CHECK_INT(group_derive(c, peer_a, ca), len);
    CHECK(memcmp(ca, ab, len) != 0);
    CHECK_QUEUE_EMPTY();
    interop_subject("second exchange with one key");
    CHECK_INT(group_derive(a, peer_b, ab), 0);
    CHECK_QUEUE_FILLED();
    EVP_PKEY_free(peer_a);
    EVP_PKEY_free(peer_b);
    OPENSSL_free(pub_a);
    OPENSSL_free(pub_b);
}

/* EVP_PKEY_encapsulate and back. */
static void check_encapsulation(const struct group *g, EVP_PKEY *own)
{
    unsigned char in[GROUP_SECRET_ROOM], out[GROUP_SECRET_ROOM];
    unsigned char text[4096], *pub = NULL;
    size_t pub_len = EVP_PKEY_get1_encoded_public_key(own, &pub);
    size_t text_len = 0, in_len = 0, out_len = 0;
    EVP_PKEY *blank = group_blank(g), *peer = group_peer(blank, pub, pub_len);
    EVP_PKEY_CTX *e = EVP_PKEY_CTX_new_from_pkey(NULL, peer, NULL);
    EVP_PKEY_CTX *d = EVP_PKEY_CTX_new_from_pkey(NULL, own, NULL);

    CHECK(EVP_PKEY_encapsulate_init(e, NULL) > 0);
    CHECK(EVP_PKEY_encapsulate(e, NULL, &text_len, NULL, &in_len) > 0);
    CHECK(text_len <= sizeof(text) && in_len <= sizeof(in));
    CHECK(EVP_PKEY_encapsulate(e, text, &text_len, in, &in_len) > 0);
    CHECK(EVP_PKEY_decapsulate_init(d, NULL) > 0);
    CHECK(EVP_PKEY_decapsulate(d, NULL, &out_len, text, text_len) > 0);
    CHECK(EVP_PKEY_decapsulate(d, out, NULL, text, text_len) > 0);
    CHECK_MEM(out, out_len, in, in_len);
    CHECK_QUEUE_EMPTY();
    CHECK(EVP_PKEY_decapsulate(d, out, &out_len, text, text_len) <= 0);
    CHECK_QUEUE_FILLED();
    EVP_PKEY_CTX_free(e);
    EVP_PKEY_CTX_free(d);
    EVP_PKEY_free(peer);
    EVP_PKEY_free(blank);
    OPENSSL_free(pub);
}

struct encapsulation {
    unsigned char text[2048], secret[GROUP_SECRET_ROOM];
    size_t len, secret_len;
};

static void encapsulate(EVP_PKEY *peer, struct encapsulation *e)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, peer, NULL);

    e->len = sizeof(e->text);
    e->secret_len = sizeof(e->secret);
    CHECK(EVP_PKEY_encapsulate_init(ctx, NULL) > 0);
    CHECK(EVP_PKEY_encapsulate(ctx, e->text, &e->len, e->secret,
                               &e->secret_len) > 0);
    EVP_PKEY_CTX_free(ctx);
}

static void check_decapsulates(EVP_PKEY *own, const struct encapsulation *e)
{
    unsigned char out[GROUP_SECRET_ROOM];
    size_t len = sizeof(out);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, own, NULL);

    CHECK(EVP_PKEY_decapsulate_init(ctx, NULL) > 0);
    CHECK(EVP_PKEY_decapsulate(ctx, out, &len, e->text, e->len) > 0);
    CHECK_MEM(out, len, e->secret, e->secret_len);
    EVP_PKEY_CTX_free(ctx);
}

static void set_public_of(EVP_PKEY *peer, EVP_PKEY *own)
{
    unsigned char *pub = NULL;
    size_t len = EVP_PKEY_get1_encoded_public_key(own, &pub);

    CHECK(EVP_PKEY_set1_encoded_public_key(peer, pub, len) > 0);
    OPENSSL_free(pub);
}

/* Encapsulation is made with the look at a peer's key. What waits is for that
 * key, and for one use. */
static void test_what_is_encapsulated_ahead_is_used_once(const struct group *g)
{
    EVP_PKEY *a = group_pair(g), *b = group_pair(g), *c = group_pair(g);
    EVP_PKEY *peer = group_blank(g);
    struct encapsulation one, two;

    interop_subject("%s, encapsulated ahead", g->name);
    set_public_of(peer, a);
    set_public_of(peer, b);
    encapsulate(peer, &one);
    check_decapsulates(b, &one);
    set_public_of(peer, c);
    encapsulate(peer, &one);
    encapsulate(peer, &two);
    CHECK(one.len == two.len && memcmp(one.text, two.text, one.len) != 0);
    CHECK(memcmp(one.secret, two.secret, one.secret_len) != 0);
    check_decapsulates(c, &two);
    CHECK_QUEUE_EMPTY();
    EVP_PKEY_free(a);
    EVP_PKEY_free(b);
    EVP_PKEY_free(c);
    EVP_PKEY_free(peer);
}

/* What waits is the parent's: with it both would have the keys of one
 * connection. */
static void test_a_child_of_fork_encapsulates_for_itself(const struct group *g)
{
    EVP_PKEY *own = group_pair(g), *peer = group_blank(g);
    struct encapsulation here, there;
    int ends[2] = {-1, -1}, status = -1;
    pid_t child;

    interop_subject("%s, encapsulated ahead of a fork", g->name);
    set_public_of(peer, own);
    CHECK(pipe(ends) == 0);
    child = fork();
    if (child == 0) {
        encapsulate(peer, &there);
        _exit(write(ends[1], &there, sizeof(there)) != sizeof(there));
    }
    CHECK(child > 0 && read(ends[0], &there, sizeof(there)) == sizeof(there));
    CHECK(waitpid(child, &status, 0) == child);
    CHECK_INT(status, 0);
    encapsulate(peer, &here);
    CHECK(here.len == there.len &&
          memcmp(here.text, there.text, here.len) != 0);
    CHECK(memcmp(here.secret, there.secret, here.secret_len) != 0);
    check_decapsulates(own, &there);
    CHECK_QUEUE_EMPTY();
    close(ends[0]);
    close(ends[1]);
    EVP_PKEY_free(own);
    EVP_PKEY_free(peer);
}

static void test_group(const struct group *g)
{
    EVP_PKEY *a, *b, *c, *blank;

    interop_subject("%s", g->name);
    a = group_pair(g);
    check_answers(g, a);
    check_private_stays(a);
    if (g->is_kem) {
        check_encapsulation(g, a);
        EVP_PKEY_free(a);
        test_what_is_encapsulated_ahead_is_used_once(g);
        test_a_child_of_fork_encapsulates_for_itself(g);
        return;
    }
    b = group_pair(g);
    c = group_pair(g);
    CHECK(EVP_PKEY_eq(a, b) == 0);
    CHECK(EVP_PKEY_parameters_eq(a, b) == 1);
    check_exchange(a, b, c);
    blank = group_blank(g);
    CHECK(!EVP_PKEY_eq(blank, a));
    EVP_PKEY_free(blank);
    EVP_PKEY_free(a);
    EVP_PKEY_free(b);
    EVP_PKEY_free(c);
}

/* A server's parameters carry the client's key when its own is made of them. */
static void test_a_pair_from_a_template_takes_only_its_group(void)
{
    const struct group *g = group_find(&ours, "P-256");
    EVP_PKEY *client = group_pair(g), *params = group_blank(g), *own = NULL;
    EVP_PKEY_CTX *ctx;
    unsigned char *pub = NULL;
    size_t len = EVP_PKEY_get1_encoded_public_key(client, &pub);

    interop_subject("pair from a template");
    CHECK(EVP_PKEY_set1_encoded_public_key(params, pub, len) > 0);
    ctx = EVP_PKEY_CTX_new_from_pkey(NULL, params, NULL);
    CHECK(EVP_PKEY_keygen_init(ctx) > 0 && EVP_PKEY_keygen(ctx, &own) > 0);
    CHECK(EVP_PKEY_eq(own, params) == 0);
    CHECK(EVP_PKEY_set1_encoded_public_key(own, pub, len) <= 0);
    ERR_clear_error();
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(client);
    EVP_PKEY_free(params);
    EVP_PKEY_free(own);
    OPENSSL_free(pub);
}

/*
 * The exchange with a template is made with the pair. It is the exchange with
 * the key that the template had then: when the same object has been given
 * another, there is no answer, and not one for the old key. Seen to fail when
 * the template was kept and not its bytes.
 */
static void test_an_exchange_is_with_the_key_that_was_there(void)
{
    const struct group *g = group_find(&ours, "x25519");
    EVP_PKEY *client = group_pair(g), *other = group_pair(g), *own = NULL;
    EVP_PKEY *peer = group_blank(g);
    unsigned char secret[GROUP_SECRET_ROOM], *pub[2] = {NULL, NULL};
    size_t len = EVP_PKEY_get1_encoded_public_key(client, &pub[0]);
    EVP_PKEY_CTX *ctx;

    interop_subject("a template that is given another key");
    CHECK_INT(EVP_PKEY_get1_encoded_public_key(other, &pub[1]), len);
    CHECK(EVP_PKEY_set1_encoded_public_key(peer, pub[0], len) > 0);
    ctx = EVP_PKEY_CTX_new_from_pkey(NULL, peer, NULL);
    CHECK(EVP_PKEY_keygen_init(ctx) > 0 && EVP_PKEY_keygen(ctx, &own) > 0);
    CHECK(EVP_PKEY_set1_encoded_public_key(peer, pub[1], len) > 0);
    CHECK_INT(group_derive(own, peer, secret), 0);
    CHECK_QUEUE_FILLED();
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(client);
    EVP_PKEY_free(other);
    EVP_PKEY_free(peer);
    EVP_PKEY_free(own);
    OPENSSL_free(pub[0]);
    OPENSSL_free(pub[1]);
}

/* Unlike groups do not meet. */
static void test_keys_of_two_groups_are_no_pair(void)
{
    unsigned char secret[GROUP_SECRET_ROOM];
    EVP_PKEY *a = group_pair(group_find(&ours, "P-256"));
    EVP_PKEY *b = group_pair(group_find(&ours, "P-384"));

    interop_subject("two groups");
    CHECK_INT(group_derive(a, b, secret), 0);
    CHECK_QUEUE_FILLED();
    EVP_PKEY_free(a);
    EVP_PKEY_free(b);
}

static void test_an_unknown_group_is_refused(void)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "MPK-EC", NULL);
    EVP_PKEY *key = NULL;

    interop_subject("unknown group");
    CHECK(EVP_PKEY_keygen_init(ctx) > 0);
    CHECK(EVP_PKEY_CTX_set_group_name(ctx, "secp112r1") <= 0);
    CHECK_QUEUE_FILLED();
    CHECK(EVP_PKEY_keygen(ctx, &key) <= 0);
    CHECK_QUEUE_FILLED();
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(key);
}

/* ---- threads and fork ---------------------------------------------------- */

#define THREADS 8
#define ROUNDS 20

static void *exchange_much(void *arg)
{
    static const char *const name[] = {"x25519", "P-256", "P-384", "ffdhe2048"};
    const struct group *g = group_find(&ours, name[(uintptr_t)arg % 4]);

    for (int i = 0; i < ROUNDS; i++) {
        unsigned char ab[GROUP_SECRET_ROOM], ba[GROUP_SECRET_ROOM];
        EVP_PKEY *a = group_pair(g), *b = group_pair(g);
        size_t len = group_derive(a, b, ab);

        if (len == 0 || group_derive(b, a, ba) != len ||
            memcmp(ab, ba, len) != 0) {
            return (void *)1;
        }
        EVP_PKEY_free(a);
        EVP_PKEY_free(b);
    }
    return NULL;
}

static void test_threads_do_not_disturb_each_other(void)
{
    pthread_t thread[THREADS];

    interop_subject("threads");
    for (uintptr_t i = 0; i < THREADS; i++) {
        CHECK(pthread_create(&thread[i], NULL, exchange_much, (void *)i) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        void *ret = (void *)1;

        CHECK(pthread_join(thread[i], &ret) == 0 && ret == NULL);
    }
}

struct race {
    EVP_PKEY *own, *peer;
    int won;
};

static void *derive_once(void *arg)
{
    unsigned char secret[GROUP_SECRET_ROOM];
    struct race *r = arg;

    if (group_derive(r->own, r->peer, secret) != 0) {
        __atomic_add_fetch(&r->won, 1, __ATOMIC_SEQ_CST);
    }
    return NULL;
}

static void test_one_key_is_used_once_by_many_threads(void)
{
    const struct group *g = group_find(&ours, "x25519");

    interop_subject("a race for one key");
    for (int round = 0; round < 20; round++) {
        struct race r = {group_pair(g), group_pair(g), 0};
        pthread_t thread[THREADS];

        for (int i = 0; i < THREADS; i++) {
            CHECK(pthread_create(&thread[i], NULL, derive_once, &r) == 0);
        }
        for (int i = 0; i < THREADS; i++) {
            pthread_join(thread[i], NULL);
        }
        CHECK_INT(r.won, 1);
        EVP_PKEY_free(r.own);
        EVP_PKEY_free(r.peer);
    }
}

/* A process that is forked between making a key and using it. */
static void test_fork_between_making_and_exchange(void)
{
    const struct group *g = group_find(&ours, "P-256");
    EVP_PKEY *a = group_pair(g), *b = group_pair(g);
    unsigned char ab[GROUP_SECRET_ROOM], ba[GROUP_SECRET_ROOM];
    size_t len = group_derive(a, b, ab);
    int status = -1;
    pid_t child;

    interop_subject("fork");
    child = fork();
    if (child == 0) {
        _exit(len != 0 && group_derive(b, a, ba) == len &&
                      memcmp(ab, ba, len) == 0
                  ? 0
                  : 1);
    }
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    CHECK_INT(status, 0);
    CHECK_MEM(ba, group_derive(b, a, ba), ab, len);
    EVP_PKEY_free(a);
    EVP_PKEY_free(b);
}

/* ---- applications -------------------------------------------------------- */

static EVP_PKEY *app_key(OSSL_LIB_CTX *libctx, const char *alg,
                         const char *group)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(libctx, alg, NULL);
    EVP_PKEY *key = NULL;

    CHECK(EVP_PKEY_keygen_init(ctx) > 0);
    CHECK(group == NULL || EVP_PKEY_CTX_set_group_name(ctx, group) > 0);
    CHECK(EVP_PKEY_keygen(ctx, &key) > 0);
    EVP_PKEY_CTX_free(ctx);
    return key;
}

/* Takes the public key of |key| over into |libctx|. */
static EVP_PKEY *public_in(OSSL_LIB_CTX *libctx, EVP_PKEY *key, const char *alg)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(libctx, alg, NULL);
    OSSL_PARAM *params = NULL;
    EVP_PKEY *copy = NULL;

    CHECK(EVP_PKEY_todata(key, EVP_PKEY_PUBLIC_KEY, &params) > 0);
    CHECK(EVP_PKEY_fromdata_init(ctx) > 0 &&
          EVP_PKEY_fromdata(ctx, &copy, EVP_PKEY_PUBLIC_KEY, params) > 0);
    OSSL_PARAM_free(params);
    EVP_PKEY_CTX_free(ctx);
    return copy;
}

static size_t derive_in(OSSL_LIB_CTX *libctx, EVP_PKEY *own, EVP_PKEY *peer,
                        unsigned char out[GROUP_SECRET_ROOM])
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(libctx, own, NULL);
    size_t len = GROUP_SECRET_ROOM;
    bool ok = EVP_PKEY_derive_init(ctx) > 0 &&
              EVP_PKEY_derive_set_peer(ctx, peer) > 0 &&
              EVP_PKEY_derive(ctx, out, &len) > 0;

    EVP_PKEY_CTX_free(ctx);
    return ok ? len : 0;
}

static void test_applications_have_their_own_keys_and_secrets(void)
{
    static const struct {
        const char *alg, *group;
    } apps[] = {
        {"X25519", NULL}, {"X448", NULL}, {"EC", "P-256"}, {"DH", "ffdhe2048"}};

    for (size_t i = 0; i < sizeof(apps) / sizeof(apps[0]); i++) {
        unsigned char here[GROUP_SECRET_ROOM], there[GROUP_SECRET_ROOM];
        EVP_PKEY *own = app_key(NULL, apps[i].alg, apps[i].group);
        EVP_PKEY *ref = app_key(interop_ref(), apps[i].alg, apps[i].group);
        EVP_PKEY *peer = public_in(NULL, ref, apps[i].alg);
        EVP_PKEY *back = public_in(interop_ref(), own, apps[i].alg);
        size_t len = derive_in(NULL, own, peer, here);

        interop_subject("an application's %s", apps[i].alg);
        CHECK_STR(interop_provider_of(own), "default");
        CHECK_STR(interop_provider_of(peer), "default");
        CHECK(len != 0);
        CHECK_MEM(there, derive_in(interop_ref(), ref, back, there), here, len);
        EVP_PKEY_free(own);
        EVP_PKEY_free(ref);
        EVP_PKEY_free(peer);
        EVP_PKEY_free(back);
    }
}

int main(void)
{
    interop_start();
    groups_of(NULL, "MPK", &ours);
    groups_of(interop_ref(), "default", &defaults);
    interop_subject("groups");
    CHECK(defaults.n != 0);
    test_every_group_that_must_be_there_is();
    test_groups_are_offered_as_default_offers_them();
    for (size_t i = 0; i < ours.n; i++) {
        test_group(&ours.at[i]);
    }
    test_a_pair_from_a_template_takes_only_its_group();
    test_an_exchange_is_with_the_key_that_was_there();
    test_keys_of_two_groups_are_no_pair();
    test_an_unknown_group_is_refused();
    test_threads_do_not_disturb_each_other();
    test_one_key_is_used_once_by_many_threads();
    test_fork_between_making_and_exchange();
    test_applications_have_their_own_keys_and_secrets();
    return interop_finish();
}
