/*
 * cipher_record.c - inside: one record of TLS, whole.
 *
 * What cipher_run does in steps, as any message may need them, is here in one
 * piece for what libssl does all the time, and with a frame that has nothing
 * else in it.
 */
#include "cipher_inside.h"

#include <openssl/crypto.h>
#include <openssl/err.h>

/*
 * Its nonce, the tag that it has to have and its header, as if the context
 * outside had held these back. They go on from the frame, whose copy here is
 * inside.
 */
static int begin13(struct cipher_record *r, struct cipher_inside *s)
{
    OSSL_FUNC_cipher_update_fn *update = CIPHER_FN(s, update, UPDATE);
    const OSSL_PARAM *tag =
        r->encrypt
            ? NULL
            : cipher_param(s, OSSL_CIPHER_PARAM_AEAD_TAG, r->tag, r->tag_len);

    return cipher_inner_init(s, r->encrypt != 0, NULL, 0, r->iv, sizeof(r->iv),
                             tag) &&
           (s->row->mode != CIPHER_CCM ||
            update(s->ctx, NULL, &s->none, r->len, NULL, r->len)) &&
           update(s->ctx, NULL, &s->none, CIPHER_TLS13_AAD_LEN, r->aad,
                  CIPHER_TLS13_AAD_LEN);
}

static int begin(struct cipher_record *r, struct cipher_inside *s)
{
    return r->is_tls12
               ? cipher_set_for_message(s, OSSL_CIPHER_PARAM_AEAD_TLS1_AAD,
                                        r->aad, CIPHER_TLS_AAD_LEN)
               : begin13(r, s);
}

/* One of TLS 1.2. GCM makes its nonce itself: it has to have one to begin with,
 * and in a child of fork a new one. */
static int is_counted(const struct cipher_inside *s)
{
    return !(s->row->mode == CIPHER_GCM && s->encrypt && !s->has_nonce) &&
           !cipher_counts_for_another(s);
}

/* The tag that was made, or whether the one that came is right. libssl hears it
 * from its final, and finds zeros until then. */
static int end13(struct cipher_record *r, struct cipher_inside *s)
{
    if (!CIPHER_FN(s, final, FINAL)(s->ctx, s->nowhere, &s->none, 0)) {
        if (!s->encrypt) {
            OPENSSL_cleanse(r->out, r->len);
        }
        return 0;
    }
    return !s->encrypt || cipher_make_tag(s, r->tag, r->tag_len);
}

/* As much is written as is read, in TLS 1.2 with nonce and tag. */
static int fits(const struct cipher_record *r)
{
    return r->in != NULL && r->out != NULL && r->tag_len <= CIPHER_TAG_MAX &&
           mpk_is_outside(r->out, r->len) &&
           (r->in == r->out || mpk_is_outside(r->in, r->len));
}

/* A key of one version is for no record of the other, nor for a part of one. */
static int is_its_use(const struct cipher_record *r,
                      const struct cipher_inside *s)
{
    switch (s->sealed) {
    case KEY_OF_TLS12:
        return r->is_tls12 != 0;
    case KEY_OF_TLS13:
        return !r->is_tls12 && cipher_is_header13(r->aad, r->len + r->tag_len);
    default:
        return 1;
    }
}

static int run(struct cipher_record *r, struct cipher_inside *s)
{
    if (r->is_tls12 && !is_counted(s)) {
        return CIPHER_DRAW;
    }
    if (!fits(r) || !is_its_use(r, s) || !begin(r, s)) {
        return 0;
    }
    r->out_len = 0;
    r->done = CIPHER_FN(s, update, UPDATE)(s->ctx, r->out, &r->out_len, r->len,
                                           r->in, r->len) != 0;
    r->raised = !r->done && ERR_peek_error() != 0;
    r->verdict = r->done && (r->is_tls12 || end13(r, s));
    if (!r->verdict) {
        forget_errors();
    }
    return 1;
}

/* Whether |r| may be on its caller's stack. */
static int may_be_shown(const struct cipher_record *r,
                        const struct cipher_inside *s)
{
    return r->len < s->deep_from &&
           !cipher_shows_record(s->row->mode, s->encrypt, r);
}

static __attribute__((noinline)) int64_t run_with(struct cipher_record *r,
                                                  int may_be_deep)
{
    struct object *o = handle_pin(r->handle, OBJECT_CIPHER, 1);
    struct cipher_inside *s;
    int ok;

    if (o == NULL) {
        return 0;
    }
    s = o->data;
    ok = may_be_deep || may_be_shown(r, s) ? run(r, s) : CIPHER_DEEP;
    handle_unpin(o);
    return ok;
}

/* Uses and sets struct cipher_record. 1; or, and nothing is done, 0 if it is
 * refused, CIPHER_DRAW or CIPHER_DEEP: it has to be cipher_run, or
 * cipher_record_deep. */
int64_t cipher_record_stub(void *frame)
{
    return run_with(frame, 0);
}

/* The same on a stack inside, for every cipher. */
int64_t cipher_record_deep_stub(void *frame)
{
    return run_with(frame, 1);
}
