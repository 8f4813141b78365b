/*
 * attack_entry_asked.c - frames whose pointers are good, and that ask for what
 * there is not: lengths, types and variants out of range, contexts and keys of
 * another kind, what is used up.
 *
 * Seen to fail without the checks that the commits name.
 */
#include "attack_entry.h"

#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/rsa.h>

#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int64_t try_op(uint32_t op, const char *what, struct mpkprov_frame *f)
{
    snprintf(progress->at, sizeof(progress->at), "%s", what);
    interop_subject("%s", what);
    return call(op, f);
}

#define TRY(op, what, ...)                                                     \
    try_op(op, what, &(struct mpkprov_frame){__VA_ARGS__})

/* The functions of another operation, with numbers of their own, and data of
 * another type are what the inner OpenSSL would take it for. */
static void contexts_are_for_their_operation(void)
{
    static const uint32_t runs[] = {OP_enc_run, OP_kex_derive, OP_kem_run,
                                    OP_kex_peer};
    uint64_t c = signer();

    for (size_t i = 0; i < sizeof(runs) / sizeof(runs[0]); i++) {
        CHECK(TRY(runs[i], "another operation's context", .handle = c,
                  .handle2 = p256_handle, .in = message, .in_len = 32,
                  .out = room, .out_len = sizeof(room), .out2 = room2,
                  .out2_len = sizeof(room2)) <= 0);
    }
    CHECK(TRY(OP_kex_init, "another operation's context to init", .handle = c,
              .handle2 = p256_handle) <= 0);
    CHECK(TRY(OP_sig_init, "a key of another type", .handle = c,
              .handle2 = rsa_handle) <= 0);
    c = context(OP_enc_init, rsa_handle, 0, NULL);
    CHECK(TRY(OP_sig_make, "a context that encrypts, to sign", .handle = c,
              .in = message, .in_len = 32, .out = room,
              .out_len = sizeof(room)) <= 0);
    CHECK(TRY(OP_kex_init, "no key", .what = 0) <= 0);
    c = context(OP_kex_init, p256_handle, 0, NULL);
    CHECK(TRY(OP_kex_init, "no key for a context", .handle = c) <= 0);
}

/* Whose init has failed: the inner one was never made for it. */
static void contexts_have_to_be_ready(void)
{
    struct mpkprov_frame f = {.handle = signer()}, init = f, copy = f;

    init.handle2 = p256_handle;
    init.what = SIG_DIGEST_SIGN;
    init.name = "no such digest";
    CHECK(try_op(OP_sig_init, "an init that fails", &init) <= 0);
    f.in = message;
    f.in_len = 32;
    f.out = room;
    f.out_len = sizeof(room);
    CHECK(try_op(OP_sig_make, "a context after it", &f) <= 0);
    CHECK_INT(f.error.reason, MPKPROV_R_HANDLE);
    CHECK_INT(try_op(OP_ctx_dup, "its copy", &copy), 1);
    CHECK(copy.handle2 == 0);
}

static void numbers_are_of_what_there_is(void)
{
    static const int32_t types[] = {-1, KEY_TYPES, -1000, 1 << 20};
    struct mpkprov_frame f;

    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        CHECK(TRY(OP_key_new, "a key of no type", .type = types[i]) <= 0);
        CHECK(TRY(OP_gen_open, "a generation of no type", .type = types[i],
                  .what = OSSL_KEYMGMT_SELECT_KEYPAIR) <= 0);
        CHECK(TRY(OP_ctx_tables, "a table of no type", .type = types[i],
                  .what = TABLE_GEN, .out = room,
                  .out_len = sizeof(room)) <= 0);
    }
    for (int what = SIG_SIGN - 1; what <= SIG_DIGEST_VERIFY + 1;
         what += SIG_DIGEST_VERIFY + 2) {
        f = (struct mpkprov_frame){.handle2 = p256_handle, .what = what};
        CHECK(try_op(OP_sig_init, "a signature's operation", &f) <= 0);
        CHECK_STR(f.error.text, "no such operation");
    }
    CHECK(TRY(OP_key_match, "keys of two types", .handle = p256_handle,
              .handle2 = rsa_handle,
              .what = OSSL_KEYMGMT_SELECT_PUBLIC_KEY) <= 0);
    f = (struct mpkprov_frame){
        .handle = made(OP_gen_open, KEY_EC, OSSL_KEYMGMT_SELECT_KEYPAIR),
        .handle2 = rsa_handle};
    CHECK(try_op(OP_gen_template, "a template of another type", &f) <= 0);
    f = (struct mpkprov_frame){.handle = made(OP_key_new, KEY_EC, 0)};
    f.handle2 = f.handle;
    CHECK(try_op(OP_sig_init, "a key without numbers", &f) <= 0);
    memset(room, 0xa5, sizeof(room));
    f = (struct mpkprov_frame){.type = KEY_EC,
                               .what = TABLE_GEN,
                               .out = room,
                               .out_len = sizeof(OSSL_PARAM)};
    CHECK(try_op(OP_ctx_tables, "a table in too little room", &f) == 1);
    CHECK(f.out == NULL && room[sizeof(OSSL_PARAM)] == 0xa5);
}

/* ---- signatures ---------------------------------------------------------- */

enum { PLAIN, FINAL, ONESHOT, GOING_ON, RECOVER }; /* as signature.h has it */

static int makes(uint64_t handle, int what, size_t len)
{
    return TRY(OP_sig_make, "a signature of another operation's context",
               .handle = handle, .what = what, .in = message, .in_len = len,
               .out = room, .out_len = sizeof(room)) == 1;
}

static int checks(uint64_t handle, int what, size_t len)
{
    return TRY(OP_sig_check, "a check by another operation's context",
               .handle = handle, .what = what, .in = message, .in_len = 32,
               .in2 = room, .in2_len = len) == 1;
}

/* The last call of an operation that the context was not made for would find
 * nothing where that operation has its digest, or go on with a digest that
 * another one has begun. */
static void signatures_are_of_their_operation(void)
{
    static const int last[] = {PLAIN, FINAL, ONESHOT, GOING_ON, RECOVER};
    struct mpkprov_frame f = {.in = message, .out = room};

    for (size_t i = 0; i < sizeof(last) / sizeof(last[0]); i++) {
        bool plain = last[i] == PLAIN, recover = last[i] == RECOVER;

        for (int op = SIG_SIGN; op <= SIG_DIGEST_VERIFY; op++) {
            uint64_t key = op == SIG_RECOVER ? rsa_handle : p256_handle;
            uint64_t c = context(OP_sig_init, key, op, "SHA256");

            CHECK((op == SIG_SIGN ? plain || recover
                                  : op == SIG_DIGEST_SIGN && !plain &&
                                        !recover) == makes(c, last[i], 32));
        }
    }
    f.handle = context(OP_sig_init, rsa_handle, SIG_SIGN, NULL);
    f.in_len = 32;
    f.out_len = sizeof(room);
    CHECK_INT(try_op(OP_sig_make, "a signature", &f), 1);
    memcpy(message, room, f.out_len);
    for (int op = SIG_SIGN; op <= SIG_DIGEST_VERIFY; op++) {
        CHECK((op == SIG_RECOVER) ==
              makes(context(OP_sig_init, rsa_handle, op, "SHA256"), RECOVER,
                    op == SIG_SIGN ? 1000 : f.out_len));
    }
}

static void checks_are_of_their_operation(void)
{
    struct mpkprov_frame f = {
        .in = message, .in_len = 32, .out = room, .out_len = sizeof(room)};

    f.handle = signer();
    CHECK_INT(try_op(OP_sig_make, "a signature", &f), 1);
    for (int op = SIG_SIGN; op <= SIG_DIGEST_VERIFY; op++) {
        uint64_t key = op == SIG_RECOVER ? rsa_handle : p256_handle;
        uint64_t c = context(OP_sig_init, key, op, "SHA256");

        CHECK((op == SIG_VERIFY) == checks(c, PLAIN, f.out_len));
        CHECK(!checks(c, FINAL, f.out_len));
        CHECK(!checks(c, ONESHOT, f.out_len));
    }
}

/* Sets are copied to a place for four of them. */
static void sets_are_not_more_than_there_are(void)
{
    static OSSL_PARAM none[] = {OSSL_PARAM_END};
    static const OSSL_PARAM *sets[1000];

    for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
        sets[i] = none;
    }
    for (size_t n = MPKPROV_SETS; n <= 1000; n += n == MPKPROV_SETS ? 1 : 995) {
        for (int i = 0; i < 2; i++) {
            uint64_t key = i == 0 ? p256_handle : rsa_handle;

            CHECK((n == MPKPROV_SETS) ==
                  (TRY(OP_sig_init, "sets of parameters", .handle2 = key,
                       .what = SIG_DIGEST_SIGN, .name = "SHA256", .in2 = sets,
                       .in2_len = n) == 1));
            CHECK(
                (n == MPKPROV_SETS) ==
                (TRY(OP_sig_make, "sets of parameters, of TLS", .handle2 = key,
                     .type = SIG_DIGEST_SIGN, .what = ONESHOT, .name = "SHA256",
                     .in = message, .in_len = 32, .out = room,
                     .out_len = sizeof(room), .in2 = sets, .in2_len = n) == 1));
        }
    }
}

/* A frame of OP_sig_make that has no context yet. */
static struct mpkprov_frame as_tls_signs(uint64_t key)
{
    return (struct mpkprov_frame){.handle2 = key,
                                  .type = SIG_DIGEST_SIGN,
                                  .what = ONESHOT,
                                  .name = "SHA256",
                                  .in = message,
                                  .in_len = 32,
                                  .out = room,
                                  .out_len = sizeof(room)};
}

/* What a signature of TLS cannot do without a context is not passed over. */
static void parameters_of_tls_are_not_passed_over(void)
{
    char other[] = "none";
    OSSL_PARAM params[] = {
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_DIGEST, other, 4),
        OSSL_PARAM_END};
    const OSSL_PARAM *sets[] = {params};
    struct mpkprov_frame f = as_tls_signs(p256_handle);
    struct mpkprov_frame set = f, param = f;

    CHECK_INT(try_op(OP_sig_make, "a signature of TLS", &f), 1);
    set.in2 = sets;
    set.in2_len = 1;
    CHECK(try_op(OP_sig_make, "one with a set of no digest", &set) <= 0);
    param.params = params;
    CHECK(try_op(OP_sig_make, "one with no digest", &param) <= 0);
}

/* A digest that two threads add to at once is of neither's message, and what
 * one of them frees the other goes on with. */
static struct mpkprov_frame long_message;

static void *hash_it(void *unused)
{
    call(OP_sig_update, &long_message);
    return unused;
}

static void a_context_is_one_threads(void)
{
    size_t len = (size_t)64 << 20;
    uint64_t c = context(OP_sig_init, p256_handle, SIG_DIGEST_SIGN, "SHA256");
    struct mpkprov_frame f = {.handle = c, .in = message, .in_len = 1};
    pthread_t thread;
    int64_t ret = 1;

    long_message = (struct mpkprov_frame){
        .handle = c,
        .in = mmap(NULL, len, PROT_READ,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0),
        .in_len = len};
    /* One may be over before the other begins. */
    for (int i = 0; i < 20 && ret == 1; i++) {
        CHECK_INT(pthread_create(&thread, NULL, hash_it, NULL), 0);
        while (ret == 1 && pthread_tryjoin_np(thread, NULL) != 0) {
            ret = try_op(OP_sig_update, "a context in use", &f);
            usleep(1000);
        }
        if (ret != 1) {
            pthread_join(thread, NULL);
        }
    }
    CHECK(ret != 1 && f.error.reason == MPKPROV_R_HANDLE);
}

/* ---- room that the caller says ------------------------------------------- */

/* It is what the inside takes of its own heap, or has on its stack. */
static void room_is_not_what_the_caller_says(void)
{
    uint64_t c = context(OP_kex_init, p256_handle, 0, NULL);
    const size_t lens[] = {sizeof(room), SIZE_MAX / 2, SIZE_MAX};

    CHECK_INT(TRY(OP_kex_peer, "a peer", .handle = c, .handle2 = p256_handle),
              1);
    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        CHECK_INT(TRY(OP_sig_make, "a signature in any room",
                      .handle = signer(), .in = message, .in_len = 32,
                      .out = room, .out_len = lens[i]),
                  1);
        CHECK_INT(TRY(OP_kex_derive, "a secret in any room", .handle = c,
                      .out = room, .out_len = lens[i]),
                  1);
    }
}

/* ---- keys ---------------------------------------------------------------- */

static uint64_t generated(enum prov_key_type type)
{
    struct mpkprov_frame f = {
        .type = type,
        .what = OSSL_KEYMGMT_SELECT_KEYPAIR,
        .params = type == KEY_EC ? group_param : NULL,
    };

    CHECK_INT(call(OP_gen_open, &f), 1);
    CHECK_INT(call(OP_gen_run, &f), 1);
    return f.handle2;
}

static int imports(uint64_t key, const OSSL_PARAM *params)
{
    return TRY(OP_key_import, "an import", .handle = key,
               .what = EVP_PKEY_KEYPAIR, .params = params) == 1;
}

static uint64_t imported(enum prov_key_type type, const OSSL_PARAM *params)
{
    uint64_t key = made(OP_key_new, type, 0);

    CHECK(imports(key, params));
    return key;
}

/* P-256 and a public key of it. */
static const OSSL_PARAM *a_public_key(void)
{
    static unsigned char point[65];
    static OSSL_PARAM params[3];
    OSSL_PARAM ask[] = {
        OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point)),
        OSSL_PARAM_END};

    CHECK_INT(TRY(OP_key_get, "a public key", .handle = generated(KEY_EC),
                  .params = ask),
              1);
    params[0] = group_param[0];
    params[1] = OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY,
                                                  point, ask[0].return_size);
    params[2] = OSSL_PARAM_construct_end();
    return params;
}

/* Two signatures would give away a private number that has been given another
 * public one. */
static void a_key_gets_its_numbers_once(void)
{
    const OSSL_PARAM *other = a_public_key();
    struct mpkprov_frame copy = {.handle = p256_handle,
                                 .what = OSSL_KEYMGMT_SELECT_ALL};

    CHECK_INT(call(OP_key_dup, &copy), 1);
    CHECK(!imports(load(p256), other));
    CHECK(!imports(copy.handle2, other));
    CHECK(!imports(generated(KEY_EC), other));
    CHECK(!imports(imported(KEY_EC, other), other));
}

/* Contexts that other threads may be computing with hold it. */
static void a_key_in_use_is_not_changed(void)
{
    const OSSL_PARAM *other = a_public_key();
    unsigned char seed[8] = "a seed", got[8];
    OSSL_PARAM point[] = {other[1], OSSL_PARAM_END};
    OSSL_PARAM set[] = {
        OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_EC_SEED, seed, sizeof(seed)),
        OSSL_PARAM_END};
    OSSL_PARAM get[] = {
        OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_EC_SEED, got, sizeof(got)),
        OSSL_PARAM_END};
    uint64_t key = load(p256);
    struct mpkprov_frame f = {.handle = key, .params = point};

    point[0].key = OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY;
    context(OP_kex_init, key, 0, NULL);
    CHECK(try_op(OP_key_set, "another point", &f) <= 0);
    CHECK_STR(f.error.text, "the key is in use");
    CHECK_INT(TRY(OP_key_set, "another seed", .handle = key, .params = set), 1);
    call(OP_key_get, &(struct mpkprov_frame){.handle = key, .params = get});
    CHECK(get[0].return_size != sizeof(seed) ||
          memcmp(got, seed, sizeof(seed)) != 0);
}

/* The inner OpenSSL takes one for the other. */
static void keys_of_two_types_are_two(void)
{
    unsigned char n[256], e = 3;
    OSSL_PARAM params[] = {OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_N, n, sizeof(n)),
                           OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_E, &e, 1),
                           OSSL_PARAM_END};
    struct mpkprov_frame f = {.what = OSSL_KEYMGMT_SELECT_PUBLIC_KEY};
    uint64_t c = context(OP_kex_init, generated(KEY_X25519), 0, NULL);

    memset(n, 0xff, sizeof(n));
    f.handle = imported(KEY_RSA, params);
    f.handle2 = imported(KEY_RSA, params);
    CHECK_INT(try_op(OP_key_match, "the same key of the same type", &f), 1);
    f.handle2 = imported(KEY_RSA_PSS, params);
    CHECK(try_op(OP_key_match, "the same key of another type", &f) <= 0);
    CHECK_INT(TRY(OP_kex_peer, "a peer's key", .handle = c,
                  .handle2 = generated(KEY_X25519)),
              1);
    CHECK(TRY(OP_kex_peer, "a peer's key of another type", .handle = c,
              .handle2 = generated(KEY_ED25519)) <= 0);
    CHECK(TRY(OP_kex_peer, "a peer's key of other numbers", .handle = c,
              .handle2 = rsa_handle) <= 0);
}

static void keys_without_numbers_are_not_computed_with(void)
{
    static const enum prov_key_type types[] = {KEY_RSA, KEY_RSA_PSS, KEY_EC,
                                               KEY_DH, KEY_X25519};
    uint64_t empty = made(OP_key_new, KEY_EC, 0);
    uint64_t c = context(OP_kex_init, p256_handle, 0, NULL);

    CHECK(TRY(OP_kex_peer, "a peer without a curve", .handle = c,
              .handle2 = empty) <= 0);
    CHECK_INT(TRY(OP_key_import, "a curve", .handle = empty,
                  .what = OSSL_KEYMGMT_SELECT_ALL_PARAMETERS,
                  .params = group_param),
              1);
    CHECK(TRY(OP_kex_peer, "a peer without a point", .handle = c,
              .handle2 = empty) <= 0);
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        for (int what = 1; what <= 3; what++) {
            CHECK(TRY(OP_key_validate, "nothing, whether it is valid",
                      .handle = made(OP_key_new, types[i], 0),
                      .what = what) <= 0);
        }
    }
}

/*
 * A modulus as long as the inner OpenSSL computes with, of which a signature
 * of TLS would not fit where these are made. Nobody needs to know its factors.
 */
static void a_long_modulus_has_room(void)
{
    static unsigned char n[2048];
    unsigned char e = 3, d = 3;
    OSSL_PARAM params[] = {OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_N, n, sizeof(n)),
                           OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_E, &e, 1),
                           OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_D, &d, 1),
                           OSSL_PARAM_END};
    int pss = RSA_PKCS1_PSS_PADDING;
    char salt[] = "digest";
    OSSL_PARAM set[] = {
        OSSL_PARAM_int(OSSL_SIGNATURE_PARAM_PAD_MODE, &pss),
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, salt, 6),
        OSSL_PARAM_END};
    const OSSL_PARAM *sets[] = {set};
    struct mpkprov_frame f;

    memset(n, 0xff, sizeof(n));
    f = as_tls_signs(imported(KEY_RSA, params));
    CHECK_INT(try_op(OP_sig_make, "a signature of 16384 bits", &f), 1);
    f.handle = 0; /* 3.5's are for one signature */
    f.in2 = sets;
    f.in2_len = 1;
    CHECK_INT(try_op(OP_sig_make, "one with PSS", &f), 1);
}

/* ---- key files ----------------------------------------------------------- */

/* As keyload.h has them. */
enum { LOADED = 1, REFUSED = 4 };
enum { FORM_PEM = 1, FORM_PEM_OR_REFERENCE };

static int64_t loads(const char *text, int form, const char **why)
{
    static struct mpkprov_frame f;

    f = (struct mpkprov_frame){
        .in = text, .in_len = strlen(text), .what = form};
    *why = f.error.text;
    return try_op(OP_key_decode, "a reference to a key file", &f);
}

/* A reference with |head| for lines of its header and |len| bytes of text. */
static const char *reference(const char *head, const char *text, size_t len)
{
    static char pem[12000];
    char *p = pem;

    p += sprintf(p, "-----BEGIN MPK KEY REFERENCE-----\n%s", head);
    for (size_t i = 0; i < len; i += 48) {
        p +=
            EVP_EncodeBlock((unsigned char *)p, (const unsigned char *)text + i,
                            (int)(len - i < 48 ? len - i : 48));
        *p++ = '\n';
    }
    strcpy(p, "-----END MPK KEY REFERENCE-----\n");
    return pem;
}

static const char *refer(const char *text)
{
    return reference("", text, strlen(text));
}

static void references_are_what_mpkctl_makes(void)
{
    static const char *const damaged[] = {"mpk:",       "mpk:/",   "file:/etc",
                                          "mpk:k",      "mpk://k", "mpk:/a\nb",
                                          "mpk:/a\177b"};
    char *good, text[5000] = "mpk:/";
    const char *why;

    if (asprintf(&good, "mpk:%s", rsa_path) < 0) {
        return;
    }
    CHECK_INT(loads(refer(good), FORM_PEM_OR_REFERENCE, &why), LOADED);
    CHECK_INT(loads(refer(good), FORM_PEM, &why), REFUSED);
    CHECK(strstr(why, "key-references = follow") != NULL);
    CHECK_INT(loads(reference("Proc-Type: 4,CLEAR\n\n", good, strlen(good)),
                    FORM_PEM_OR_REFERENCE, &why),
              REFUSED);
    CHECK(strstr(why, "damaged") != NULL);
    for (size_t i = 0; i < sizeof(damaged) / sizeof(damaged[0]); i++) {
        CHECK_INT(loads(refer(damaged[i]), FORM_PEM_OR_REFERENCE, &why),
                  REFUSED);
        CHECK(strstr(why, "damaged") != NULL);
    }
    memset(text + 5, 'k', sizeof(text) - 6);
    CHECK_INT(loads(refer(text), FORM_PEM_OR_REFERENCE, &why), REFUSED);
    CHECK(strstr(why, "damaged") != NULL);
    /* A file with a reference to the key's. */
    snprintf(text, sizeof(text), "mpk:%s",
             interop_file("refers.pem", refer(good), strlen(refer(good))));
    CHECK_INT(loads(refer(text), FORM_PEM_OR_REFERENCE, &why), REFUSED);
    CHECK(strstr(why, "not from one to the next") != NULL);
    free(good);
}

/* The inner OpenSSL has room for 1024 bytes of a passphrase. */
static void keys_and_passphrases_have_a_length(void)
{
    static const char encrypted[] =
        "-----BEGIN RSA PRIVATE KEY-----\n"
        "Proc-Type: 4,ENCRYPTED\n"
        "DEK-Info: AES-128-CBC,00112233445566778899AABBCCDDEEFF\n\n"
        "AAAAAAAAAAAAAAAAAAAAAA==\n"
        "-----END RSA PRIVATE KEY-----\n";
    static char large[(1 << 20) + 1];
    struct mpkprov_frame f = {.in = encrypted,
                              .in_len = sizeof(encrypted) - 1,
                              .in2 = large,
                              .what = FORM_PEM};

    for (size_t len = 1024; len <= sizeof(large); len = len * 2 - 1023) {
        f.in2_len = len;
        CHECK(try_op(OP_key_decode, "a passphrase", &f) != LOADED);
        CHECK((strcmp(f.error.text, "the passphrase is too long") == 0) ==
              (len > 1024));
    }
    f = (struct mpkprov_frame){
        .in = large, .in_len = sizeof(large), .what = FORM_PEM};
    CHECK(try_op(OP_key_decode, "a large key", &f) != LOADED);
    CHECK_STR(f.error.text, "it is larger than any key");
}

/* ---- each in a process of its own ---------------------------------------- */

void test_what_is_asked_for(void)
{
    test_in_a_child(contexts_are_for_their_operation);
    test_in_a_child(contexts_have_to_be_ready);
    test_in_a_child(numbers_are_of_what_there_is);
    test_in_a_child(signatures_are_of_their_operation);
    test_in_a_child(checks_are_of_their_operation);
    test_in_a_child(sets_are_not_more_than_there_are);
    test_in_a_child(parameters_of_tls_are_not_passed_over);
    test_in_a_child(a_context_is_one_threads);
    test_in_a_child(room_is_not_what_the_caller_says);
    test_in_a_child(a_key_gets_its_numbers_once);
    test_in_a_child(a_key_in_use_is_not_changed);
    test_in_a_child(keys_of_two_types_are_two);
    test_in_a_child(keys_without_numbers_are_not_computed_with);
    test_in_a_child(a_long_modulus_has_room);
    test_in_a_child(references_are_what_mpkctl_makes);
    test_in_a_child(keys_and_passphrases_have_a_length);
}
