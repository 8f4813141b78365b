/*
 * The shapes in which applications sign: in pieces, copied halfway, finished
 * twice, asked for sizes, with buffers that are too small, by the old API.
 *
 * That a signature in one call goes on with the message of the last was seen to
 * fail without opctx_spend, when it was of nothing; that a digest which was let
 * in late is not learnt, without update_proxy's and remember's recipe.valid =
 * 0.
 */

#include "interop.h"
#include "ops.h"

#include <stdlib.h>
#include <string.h>

#define MESSAGE 10007

static unsigned char message[MESSAGE];

static EVP_MD_CTX *sign_begin(EVP_PKEY *key, const struct key_type *type)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    CHECK_INT(EVP_DigestSignInit_ex(ctx, NULL, type->md, side_of(key), NULL,
                                    key, NULL),
              1);
    return ctx;
}

static void sign_pieces(EVP_MD_CTX *ctx, const unsigned char *p, size_t len)
{
    for (size_t done = 0, piece = 1; done < len; piece = piece * 3 + 1) {
        size_t n = piece < len - done ? piece : len - done;

        CHECK_INT(EVP_DigestSignUpdate(ctx, p + done, n), 1);
        done += n;
    }
}

static struct bytes sign_end(EVP_MD_CTX *ctx)
{
    struct bytes sig = {NULL, 0};

    CHECK_INT(EVP_DigestSignFinal(ctx, NULL, &sig.len), 1);
    sig.data = interop_new(sig.len);
    CHECK_INT(EVP_DigestSignFinal(ctx, sig.data, &sig.len), 1);
    return sig;
}

/* Verified by the reference in one call and by the key under test in pieces. */
static void check_good(EVP_PKEY *key, const struct key_type *type,
                       struct bytes *sig, size_t len)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    CHECK_INT(
        digest_verify(key_reference(type), type->md, NULL, message, len, sig),
        1);
    CHECK_INT(
        EVP_DigestVerifyInit_ex(ctx, NULL, type->md, NULL, NULL, key, NULL), 1);
    CHECK_INT(EVP_DigestVerifyUpdate(ctx, message, len / 3), 1);
    CHECK_INT(EVP_DigestVerifyUpdate(ctx, message + len / 3, len - len / 3), 1);
    CHECK_INT(EVP_DigestVerifyFinal(ctx, sig->data, sig->len), 1);
    CHECK_QUEUE_EMPTY();
    EVP_MD_CTX_free(ctx);
    bytes_free(sig);
}

static void test_in_pieces(EVP_PKEY *key, const struct key_type *type)
{
    EVP_MD_CTX *ctx = sign_begin(key, type);
    struct bytes sig;

    interop_subject("%s in pieces", type->label);
    sign_pieces(ctx, message, MESSAGE);
    sig = sign_end(ctx);
    check_good(key, type, &sig, MESSAGE);
    EVP_MD_CTX_free(ctx);
}

static void test_nothing_signed(EVP_PKEY *key, const struct key_type *type)
{
    EVP_MD_CTX *ctx = sign_begin(key, type);
    struct bytes sig;

    interop_subject("%s without any update", type->label);
    sig = sign_end(ctx);
    check_good(key, type, &sig, 0);
    EVP_MD_CTX_free(ctx);
}

static void test_copy_halfway(EVP_PKEY *key, const struct key_type *type)
{
    EVP_MD_CTX *first = sign_begin(key, type);
    EVP_MD_CTX *second = EVP_MD_CTX_new();
    struct bytes sig;

    interop_subject("%s copied halfway", type->label);
    sign_pieces(first, message, 4000);
    CHECK_INT(EVP_MD_CTX_copy_ex(second, first), 1);
    sign_pieces(first, message + 4000, 2000);
    sign_pieces(second, message + 4000, MESSAGE - 4000);
    sig = sign_end(second);
    check_good(key, type, &sig, MESSAGE);
    EVP_MD_CTX_free(second);
    sig = sign_end(first);
    check_good(key, type, &sig, 6000);
    EVP_MD_CTX_free(first);
}

static void test_copy_outlives_the_original(EVP_PKEY *key,
                                            const struct key_type *type)
{
    EVP_MD_CTX *first = sign_begin(key, type);
    EVP_MD_CTX *second = EVP_MD_CTX_new();
    struct bytes sig;

    interop_subject("%s, the copy outlives the original", type->label);
    CHECK_INT(EVP_MD_CTX_copy_ex(second, first), 1);
    EVP_MD_CTX_free(first);
    sign_pieces(second, message, MESSAGE);
    sig = sign_end(second);
    check_good(key, type, &sig, MESSAGE);
    EVP_MD_CTX_free(second);
}

/* libcrypto finishes a copy, so that more may be added afterwards. */
static void test_finish_twice(EVP_PKEY *key, const struct key_type *type)
{
    EVP_MD_CTX *ctx = sign_begin(key, type);
    struct bytes sig;

    interop_subject("%s finished twice", type->label);
    sign_pieces(ctx, message, 5000);
    sig = sign_end(ctx);
    check_good(key, type, &sig, 5000);
    sig = sign_end(ctx);
    check_good(key, type, &sig, 5000);
    EVP_MD_CTX_free(ctx);
}

static EVP_MD_CTX *finished(EVP_PKEY *key, const struct key_type *type)
{
    EVP_MD_CTX *ctx = sign_begin(key, type);
    struct bytes sig;

    sign_pieces(ctx, message, 5000);
    sig = sign_end(ctx);
    bytes_free(&sig);
    return ctx;
}

/* Whether a finished stream goes on depends on the version of libcrypto. */
static void test_update_after_the_end(EVP_PKEY *key,
                                      const struct key_type *type)
{
    EVP_MD_CTX *ctx = finished(key, type);
    EVP_MD_CTX *ref = finished(key_reference(type), type);
    int want = EVP_DigestSignUpdate(ref, message + 5000, 100);
    struct bytes sig;

    interop_subject("%s, update after the end", type->label);
    CHECK_INT(EVP_DigestSignUpdate(ctx, message + 5000, 100), want);
    if (want == 1) {
        sig = sign_end(ctx);
        check_good(key, type, &sig, 5100);
    }
    ERR_clear_error();
    EVP_MD_CTX_free(ctx);
    EVP_MD_CTX_free(ref);
}

/* The error is libcrypto's own, which some versions have for what comes after a
 * signature in one call. The queue is emptied. */
static bool refused_by_libcrypto(void)
{
    bool own = ERR_GET_LIB(ERR_peek_last_error()) == ERR_LIB_EVP;

    ERR_clear_error();
    return own;
}

/* Ways to sign on after a first signature in one call. */
enum onward { ONWARD_ONESHOT, ONWARD_PIECES, ONWARD_COPY, ONWARD_WAYS };

/*
 * Signs |first| bytes in one call, then as many more, and puts what the second
 * call says, with the signature, at |sig|. It is of both if there is one.
 */
static int sign_onward(EVP_PKEY *key, const struct key_type *type, size_t first,
                       enum onward way, struct bytes *sig)
{
    EVP_MD_CTX *ctx = sign_begin(key, type), *copy = EVP_MD_CTX_new();
    unsigned char buf[KEY_SIG_MAX];
    size_t len = sizeof(buf);
    int ret = EVP_DigestSign(ctx, buf, &len, message, first);

    CHECK_INT(ret, 1);
    if (way == ONWARD_COPY) {
        CHECK_INT(EVP_MD_CTX_copy_ex(copy, ctx), 1);
        EVP_MD_CTX_reset(ctx);
    }
    len = sizeof(buf);
    if (way == ONWARD_PIECES) {
        ret = EVP_DigestSignUpdate(ctx, message + first, first) == 1
                  ? EVP_DigestSignFinal(ctx, buf, &len)
                  : 0;
    } else {
        ret = EVP_DigestSign(way == ONWARD_COPY ? copy : ctx, buf, &len,
                             message + first, first);
    }
    sig->data = NULL;
    if (ret == 1) {
        sig->data = interop_new(len);
        sig->len = len;
        memcpy(sig->data, buf, len);
    } else {
        CHECK(refused_by_libcrypto());
    }
    EVP_MD_CTX_free(copy);
    EVP_MD_CTX_free(ctx);
    return ret;
}

/*
 * A second signature goes on with the message, or libcrypto refuses it: it is
 * never of something else. The lengths: kept outside, or too long for that.
 */
static void test_oneshot_goes_on(EVP_PKEY *key, const struct key_type *type)
{
    static const size_t first[] = {0, 1, 4096, 4097};
    EVP_PKEY *keys[2] = {key, key_reference(type)};
    struct bytes sig;

    for (int i = 0; i < 2 * 4 * ONWARD_WAYS; i++) {
        size_t len = first[i / 2 % 4];
        int way = i / 8;

        interop_subject("%s, after %zu bytes in one call, way %d, side %d",
                        type->label, len, way, i % 2);
        if (sign_onward(keys[i % 2], type, len, (enum onward)way, &sig) == 1) {
            check_good(key, type, &sig, 2 * len);
        }
    }
}

/* Without a key the context keeps its own, also in a copy. */
static void test_init_anew_without_a_key(EVP_PKEY *key,
                                         const struct key_type *type)
{
    EVP_MD_CTX *ctx[2] = {sign_begin(key, type), EVP_MD_CTX_new()};
    unsigned char buf[KEY_SIG_MAX];
    size_t len = sizeof(buf);
    struct bytes sig;

    interop_subject("%s, init without a key after one call", type->label);
    CHECK_INT(EVP_DigestSign(ctx[0], buf, &len, message, 77), 1);
    CHECK_INT(EVP_MD_CTX_copy_ex(ctx[1], ctx[0]), 1);
    for (int i = 0; i < 2; i++) {
        CHECK_INT(
            EVP_DigestSignInit_ex(ctx[i], NULL, NULL, NULL, NULL, NULL, NULL),
            1);
        sign_pieces(ctx[i], message, 55);
        sig = sign_end(ctx[i]);
        check_good(key, type, &sig, 55);
        EVP_MD_CTX_free(ctx[i]);
    }
}

/* A third one, after a copy and with a parameter that is read between. */
static void test_oneshot_goes_on_and_on(EVP_PKEY *key,
                                        const struct key_type *type)
{
    EVP_MD_CTX *ctx = sign_begin(key, type);
    struct bytes sig = {NULL, 0};
    char md[32] = "";
    OSSL_PARAM ask[] = {OSSL_PARAM_utf8_string("digest", md, sizeof(md)),
                        OSSL_PARAM_END};
    bool more = true;

    interop_subject("%s, one signature after another", type->label);
    for (size_t i = 0; i < 3 && more; i++) {
        unsigned char buf[KEY_SIG_MAX];

        sig.len = sizeof(buf);
        more = EVP_DigestSign(ctx, buf, &sig.len, message + 50 * i, 50) == 1;
        if (more) {
            sig.data = interop_new(sig.len);
            memcpy(sig.data, buf, sig.len);
            check_good(key, type, &sig, 50 * (i + 1));
            CHECK_INT(
                EVP_PKEY_CTX_get_params(EVP_MD_CTX_get_pkey_ctx(ctx), ask), 1);
        }
    }
    CHECK(more || refused_by_libcrypto());
    EVP_MD_CTX_free(ctx);
}

/* What the context said to another digest once it had signed. */
static int set_after_signing(EVP_PKEY *key, const struct key_type *type)
{
    EVP_MD_CTX *ctx = sign_begin(key, type);
    unsigned char buf[KEY_SIG_MAX];
    size_t len = sizeof(buf);
    int ret;

    CHECK_INT(EVP_DigestSignUpdate(ctx, message, 5), 1);
    CHECK_INT(EVP_DigestSignFinal(ctx, buf, &len), 1);
    len = sizeof(buf);
    EVP_DigestSign(ctx, buf, &len, message, 5);
    ret =
        EVP_PKEY_CTX_set_signature_md(EVP_MD_CTX_get_pkey_ctx(ctx), EVP_sha1());
    ERR_clear_error();
    EVP_MD_CTX_free(ctx);
    return ret > 0;
}

/* A digest that is let in late is none to begin with for the next context. */
static void test_late_digest_is_not_learnt(EVP_PKEY *key,
                                           const struct key_type *type)
{
    EVP_PKEY *keys[2] = {key, key_reference(type)};
    int allowed[2];

    interop_subject("%s, another digest than at the init", type->label);
    for (int i = 0; i < 2; i++) {
        EVP_MD_CTX *ctx;

        set_after_signing(keys[i], type);
        ctx = sign_begin(keys[i], type);
        allowed[i] = EVP_PKEY_CTX_set_signature_md(EVP_MD_CTX_get_pkey_ctx(ctx),
                                                   EVP_sha1()) > 0;
        ERR_clear_error();
        EVP_MD_CTX_free(ctx);
    }
    CHECK_INT(allowed[0], allowed[1]);
}

static void test_reuse_for_a_second_message(EVP_PKEY *key,
                                            const struct key_type *type)
{
    EVP_MD_CTX *ctx = sign_begin(key, type);
    struct bytes sig;

    interop_subject("%s, one context, two messages", type->label);
    sign_pieces(ctx, message, 10);
    sig = sign_end(ctx);
    check_good(key, type, &sig, 10);
    CHECK_INT(EVP_DigestSignInit_ex(ctx, NULL, type->md, NULL, NULL, key, NULL),
              1);
    sign_pieces(ctx, message, 20);
    sig = sign_end(ctx);
    check_good(key, type, &sig, 20);
    EVP_MD_CTX_reset(ctx);
    CHECK_INT(EVP_DigestSignInit_ex(ctx, NULL, type->md, NULL, NULL, key, NULL),
              1);
    sign_pieces(ctx, message, 30);
    sig = sign_end(ctx);
    check_good(key, type, &sig, 30);
    EVP_MD_CTX_free(ctx);
}

/* What one side does with a buffer of |room| bytes of which |guard| follow. */
static int sign_into(EVP_PKEY *key, const struct key_type *type, size_t room,
                     bool streaming, bool *intact)
{
    EVP_MD_CTX *ctx = sign_begin(key, type);
    unsigned char buf[KEY_SIG_MAX];
    size_t len = room;
    int ret;

    memset(buf, 0xa5, sizeof(buf));
    if (streaming) {
        sign_pieces(ctx, message, 100);
        ret = EVP_DigestSignFinal(ctx, buf, &len);
    } else {
        ret = EVP_DigestSign(ctx, buf, &len, message, 100);
    }
    *intact = true;
    for (size_t i = room; i < sizeof(buf); i++) {
        *intact = *intact && buf[i] == 0xa5;
    }
    EVP_MD_CTX_free(ctx);
    return ret > 0;
}

static void test_small_buffers(EVP_PKEY *key, const struct key_type *type,
                               bool streaming)
{
    EVP_PKEY *ref = key_reference(type);
    size_t size = (size_t)EVP_PKEY_get_size(ref);
    const size_t rooms[] = {0, 1, size / 2, size - 1, size, size + 100};
    bool intact;

    for (size_t i = 0; i < sizeof(rooms) / sizeof(rooms[0]); i++) {
        int got;

        interop_subject("%s, %s, %zu of %zu bytes", type->label,
                        streaming ? "streaming" : "one-shot", rooms[i], size);
        got = sign_into(key, type, rooms[i], streaming, &intact);
        CHECK(intact);
        if (got) {
            CHECK_QUEUE_EMPTY();
        }
        CHECK_INT(got, sign_into(ref, type, rooms[i], streaming, &intact));
        ERR_clear_error();
    }
}

static void test_small_buffer_for_a_digest(EVP_PKEY *key,
                                           const struct key_type *type)
{
    EVP_PKEY *keys[2] = {key, key_reference(type)};
    size_t size = (size_t)EVP_PKEY_get_size(key);
    unsigned char buf[KEY_SIG_MAX];
    int ret[2] = {0, 0};

    interop_subject("%s, EVP_PKEY_sign into too little", type->label);
    for (int i = 0; i < 2; i++) {
        EVP_PKEY_CTX *ctx =
            EVP_PKEY_CTX_new_from_pkey(side_of(keys[i]), keys[i], NULL);
        size_t len = size - 1;

        memset(buf, 0xa5, sizeof(buf));
        CHECK_INT(EVP_PKEY_sign_init(ctx), 1);
        ret[i] = EVP_PKEY_sign(ctx, buf, &len, message, 32) > 0;
        CHECK_INT(buf[size - 1], 0xa5);
        EVP_PKEY_CTX_free(ctx);
    }
    CHECK_INT(ret[0], ret[1]);
    ERR_clear_error();
}

static void test_size_query(EVP_PKEY *key, const struct key_type *type)
{
    EVP_PKEY *ref = key_reference(type);
    EVP_MD_CTX *a = sign_begin(key, type);
    EVP_MD_CTX *b = sign_begin(ref, type);
    size_t got = 0, want = 0;

    interop_subject("%s size query", type->label);
    CHECK_INT(EVP_DigestSign(a, NULL, &got, message, 5),
              EVP_DigestSign(b, NULL, &want, message, 5));
    CHECK_INT((long long)got, (long long)want);
    EVP_MD_CTX_free(a);
    EVP_MD_CTX_free(b);
}

static void test_old_api(EVP_PKEY *key, const struct key_type *type)
{
    const EVP_MD *md = EVP_get_digestbyname(type->md);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    unsigned char sig[KEY_SIG_MAX];
    unsigned int len = 0;
    struct bytes view;

    interop_subject("%s by EVP_SignFinal", type->label);
    CHECK_INT(EVP_SignInit_ex(ctx, md, NULL), 1);
    CHECK_INT(EVP_SignUpdate(ctx, message, MESSAGE), 1);
    CHECK_INT(EVP_SignFinal(ctx, sig, &len, key), 1);
    view.data = sig;
    view.len = len;
    CHECK_INT(digest_verify(key_reference(type), type->md, NULL, message,
                            MESSAGE, &view),
              1);
    CHECK_INT(EVP_MD_CTX_reset(ctx), 1);
    CHECK_INT(EVP_VerifyInit_ex(ctx, md, NULL), 1);
    CHECK_INT(EVP_VerifyUpdate(ctx, message, MESSAGE), 1);
    CHECK_INT(EVP_VerifyFinal(ctx, sig, len, key), 1);
    CHECK_QUEUE_EMPTY();
    EVP_MD_CTX_free(ctx);
}

/* The context holds its own reference to the key. */
static void test_key_freed_early(const struct key_type *type)
{
    EVP_PKEY *key = key_load(type);
    EVP_MD_CTX *ctx = sign_begin(key, type);
    struct bytes sig;

    interop_subject("%s, the key is freed before the end", type->label);
    EVP_PKEY_free(key);
    sign_pieces(ctx, message, MESSAGE);
    sig = sign_end(ctx);
    key = key_load(type);
    check_good(key, type, &sig, MESSAGE);
    EVP_PKEY_free(key);
    EVP_MD_CTX_free(ctx);
}

static void test_context_dropped_halfway(EVP_PKEY *key,
                                         const struct key_type *type)
{
    EVP_MD_CTX *ctx = sign_begin(key, type);

    interop_subject("%s, dropped halfway", type->label);
    if (type->md != NULL) {
        sign_pieces(ctx, message, 100);
    }
    EVP_MD_CTX_free(ctx);
    CHECK_QUEUE_EMPTY();
}

/* Through the public half, signing fails on both sides. */
static void test_public_half_does_not_sign(const struct key_type *type)
{
    EVP_PKEY *key = key_load_public(type);
    struct bytes sig;

    interop_subject("%s public half", type->label);
    CHECK(!digest_sign(key, type->md, NULL, message, 10, &sig));
    CHECK_QUEUE_FILLED();
    EVP_PKEY_free(key);
}

static void test_type(const struct key_type *type)
{
    EVP_PKEY *key = key_load(type);

    interop_subject("%s", type->label);
    CHECK_HELD(key);
    test_small_buffers(key, type, false);
    test_size_query(key, type);
    test_context_dropped_halfway(key, type);
    test_public_half_does_not_sign(type);
    if (type->md != NULL) {
        test_in_pieces(key, type);
        test_nothing_signed(key, type);
        test_copy_halfway(key, type);
        test_copy_outlives_the_original(key, type);
        test_finish_twice(key, type);
        test_update_after_the_end(key, type);
        test_oneshot_goes_on(key, type);
        test_oneshot_goes_on(key, type);
        test_oneshot_goes_on_and_on(key, type);
        test_init_anew_without_a_key(key, type);
        test_late_digest_is_not_learnt(key, type);
        test_reuse_for_a_second_message(key, type);
        test_small_buffers(key, type, true);
        test_small_buffer_for_a_digest(key, type);
        if (type->id != EVP_PKEY_SM2) { /* SM2 hashes more than the message */
            test_old_api(key, type);
        }
        test_key_freed_early(type);
    }
    EVP_PKEY_free(key);
}

int main(void)
{
    const struct key_type *type;

    interop_start();
    fill(message, sizeof(message), 11);
    for (size_t i = 0; (type = key_type_at(i)) != NULL; i++) {
        if (type->can & KEY_SIGNS) {
            test_type(type);
        }
    }
    return interop_finish();
}
