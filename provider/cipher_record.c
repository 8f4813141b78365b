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

#include <string.h>

static int set(struct cipher_inside *s, const OSSL_PARAM *params)
{
    return CIPHER_FN(s, set_ctx_params, SET_CTX_PARAMS)(s->ctx, params);
}

/* A record of TLS 1.3: its nonce, the tag that it has to have, its header. */
static int begin13(const struct cipher_record *r, struct cipher_inside *s)
{
    OSSL_FUNC_cipher_update_fn *update = CIPHER_FN(s, update, UPDATE);
    size_t n;

    if (!r->encrypt) {
        memcpy(s->held.tag, r->tag, sizeof(r->tag));
        s->tag[0].data_size = r->tag_len;
    }
    return cipher_inner_init(s, r->encrypt != 0, NULL, 0, r->iv, CIPHER_IV_LEN,
                             NULL) &&
           (r->encrypt || set(s, s->tag)) &&
           (s->row->mode != CIPHER_CCM ||
            update(s->ctx, NULL, &n, r->len, NULL, r->len)) &&
           update(s->ctx, NULL, &n, CIPHER_TLS13_AAD_LEN, r->aad,
                  CIPHER_TLS13_AAD_LEN);
}

/* One of TLS 1.2. GCM makes its nonce itself: it has to have one to begin with,
 * and in a child of fork a new one. */
static int is_counted(const struct cipher_inside *s)
{
    return !(s->row->mode == CIPHER_GCM && s->encrypt && !s->has_nonce) &&
           !cipher_counts_for_another(s);
}

static int begin12(const struct cipher_record *r, struct cipher_inside *s)
{
    memcpy(s->held.aad, r->aad, CIPHER_TLS_AAD_LEN);
    return set(s, s->tls_aad);
}

/* The tag that was made, or whether the one that came is right. libssl hears it
 * from its final, and finds zeros until then. */
static int end13(struct cipher_record *r, struct cipher_inside *s)
{
    size_t none;

    if (!CIPHER_FN(s, final, FINAL)(s->ctx, s->nowhere, &none, 0)) {
        if (!s->encrypt) {
            OPENSSL_cleanse(r->out, r->len);
        }
        return 0;
    }
    if (s->encrypt) {
        if (!cipher_make_tag(s, r->tag_len)) {
            return 0;
        }
        memcpy(r->tag, s->made_tag, sizeof(r->tag));
    }
    return 1;
}

/* As much is written as is read, in TLS 1.2 with nonce and tag. */
static int fits(const struct cipher_record *r)
{
    return r->in != NULL && r->out != NULL && r->tag_len <= CIPHER_TAG_MAX &&
           mpk_is_outside(r->in, r->len) && mpk_is_outside(r->out, r->len);
}

static int run(struct cipher_record *r, struct cipher_inside *s)
{
    size_t n = 0;

    if (r->is_tls12 && !is_counted(s)) {
        return CIPHER_DRAW;
    }
    if (!fits(r) || !(r->is_tls12 ? begin12(r, s) : begin13(r, s))) {
        return 0;
    }
    r->done =
        CIPHER_FN(s, update, UPDATE)(s->ctx, r->out, &n, r->len, r->in, r->len);
    r->raised = !r->done && ERR_peek_error() != 0;
    r->out_len = n;
    r->verdict = r->done && (r->is_tls12 || end13(r, s));
    if (!r->verdict) {
        forget_errors();
    }
    return 1;
}

static int64_t run_with(struct cipher_record *r, int may_be_deep)
{
    struct object *o = handle_pin(r->handle, OBJECT_CIPHER, 1);
    struct cipher_inside *s;
    int ok;

    if (o == NULL) {
        return 0;
    }
    s = o->data;
    ok = may_be_deep || cipher_keeps_to_registers(s->row, r->len) ? run(r, s)
                                                                  : CIPHER_DEEP;
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
