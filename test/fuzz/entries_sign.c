/*
 * entries_sign.c - calls on private keys in an order that makes sense: a
 * signature as libssl has it made, copies of a context that end in any order,
 * an exchange with a key that lasts.
 */
#include "../../provider/signature.h"
#include "entries.h"

#include <openssl/params.h>
#include <openssl/rsa.h>

#include <string.h>

static OSSL_PARAM *a_number_and_text(const char *number, int value,
                                     const char *name, const char *word)
{
    OSSL_PARAM *list = room(ROOM_PARAMS, 3 * sizeof(*list));
    int *n = room(ROOM_VALUES, sizeof(*n));
    char *s = room(ROOM_VALUES + 1, strlen(word) + 1);

    *n = value;
    strcpy(s, word);
    list[0] = OSSL_PARAM_construct_int(number, n);
    list[1] = OSSL_PARAM_construct_utf8_string(name, s, 0);
    list[2] = (OSSL_PARAM)OSSL_PARAM_END;
    return list;
}

/* Ours of the types that are named after one. */
static bool has_digest(void)
{
    return a_key_type() < KEY_ED25519 || a_key_type() == KEY_DSA;
}

/* As libssl does, with no context. */
static void sign_directly(void)
{
    static const char *const digests[] = {"SHA256", "SHA2-384", "SHA384",
                                          "SHA512"};
    struct mpkprov_frame f = {.handle2 = a_key_for(CTX_SIG),
                              .type = INIT_DIGEST_SIGN,
                              .what = LAST_ONESHOT,
                              .name = digests[pick(4)]};
    const OSSL_PARAM **set = room(ROOM_IN2, 2 * sizeof(*set));

    f.in_len = a_length();
    f.in = room(ROOM_IN, f.in_len);
    f.out_len = one_in(4) ? pick(300) : MPKPROV_HAS_3_5 ? 17088 : 512;
    f.out = room(ROOM_OUT, f.out_len);
    if (!has_digest()) {
        f.name = one_in(8) ? f.name : NULL;
    }
    if (a_key_type() == KEY_RSA && !one_in(3)) {
        set[0] = a_number_and_text("pad-mode", RSA_PKCS1_PSS_PADDING, "saltlen",
                                   "digest");
        set[1] = set[0] + 1;
        f.in2 = set;
        f.in2_len = 1 + pick(2);
    }
    do_frame(OP_sig_make, &f);
}

/* A context, its copies and its key, which end in any order. */
static void copies(void)
{
    struct mpkprov_frame f = {.handle2 = a_key_for(CTX_SIG),
                              .what = INIT_DIGEST_SIGN,
                              .name = "SHA256"};
    uint64_t key = f.handle2, ctx, copy;

    if (!has_digest() && !one_in(8)) {
        f.name = NULL;
    }

    do_frame(OP_sig_init, &f);
    ctx = f.handle;
    f = (struct mpkprov_frame){.handle = ctx};
    do_frame(OP_ctx_dup, &f);
    copy = f.handle2;
    for (int i = 0; i < 8; i++) {
        f = (struct mpkprov_frame){.handle = one_in(2) ? ctx : copy};
        switch (pick(6)) {
        case 0:
            f.handle = key;
            f.ended[pick(MPKPROV_ENDED)] = one_in(2) ? ctx : copy;
            do_frame(OP_key_free, &f);
            break;
        case 1:
            f.what = OBJECT_IS_CTX;
            do_frame(OP_ctx_free, &f);
            break;
        case 2:
            f.in_len = a_length();
            f.in = room(ROOM_IN, f.in_len);
            do_frame(OP_sig_update, &f);
            break;
        case 3:
            f.handle2 = key;
            f.what = INIT_DIGEST_SIGN;
            f.ended[0] = ctx;
            do_frame(OP_sig_init, &f);
            break;
        case 4:
            f.params = a_list();
            f.out_len = 512;
            f.out = room(ROOM_OUT, f.out_len);
            do_frame(OP_ctx_get, &f);
            break;
        default:
            f.what = one_in(2) ? LAST_FINAL : LAST_GOING_ON;
            f.in = room(ROOM_IN, 32);
            f.in_len = 32;
            f.out_len = 512;
            f.out = room(ROOM_OUT, f.out_len);
            do_frame(OP_sig_make, &f);
        }
    }
}

/* A key that waits in a context for a peer's, or has one. */
static void static_exchange(void)
{
    struct mpkprov_frame f = {.handle2 = a_key_for(CTX_KEX)};
    uint64_t key = f.handle2, ctx;

    f.params = one_in(2) ? a_list() : NULL;
    do_frame(OP_kex_init, &f);
    ctx = f.handle;
    f = (struct mpkprov_frame){.handle = ctx, .handle2 = key};
    do_frame(OP_kex_peer, &f);
    if (one_in(3)) {
        f = (struct mpkprov_frame){.handle = ctx};
        do_frame(OP_ctx_dup, &f);
        ctx = one_in(2) ? f.handle2 : ctx;
    }
    if (one_in(3)) {
        f = (struct mpkprov_frame){.handle = ctx, .params = a_list()};
        do_frame(OP_ctx_set, &f);
    }
    f = (struct mpkprov_frame){.handle = ctx, .out_len = 512};
    f.out_len = one_in(2) ? a_length() : 512;
    f.out = room(ROOM_OUT, f.out_len);
    do_frame(OP_kex_derive, &f);
}

void story_of_keys(uint32_t which)
{
    switch (which) {
    case 0:
        sign_directly();
        break;
    case 1:
        copies();
        break;
    default:
        static_exchange();
    }
}
