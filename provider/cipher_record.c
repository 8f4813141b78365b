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

/* Its nonce, the tag that it has to have and its header, as if the context
 * outside had held these back. */
static int begin(const struct cipher_record *r, struct cipher_inside *s)
{
    struct cipher_held *h = &s->held;
    uint32_t of_tls13 = HELD_IV | HELD_AAD | (r->encrypt ? 0 : HELD_TAG) |
                        (s->row->mode == CIPHER_CCM ? HELD_LENGTH : 0);

    h->what = r->is_tls12 ? HELD_TLS_AAD : of_tls13;
    h->encrypt = r->encrypt != 0;
    h->tag_len = r->tag_len;
    h->aad_len = CIPHER_TLS13_AAD_LEN;
    h->message_len = r->len;
    memcpy(h->iv, r->iv, sizeof(r->iv));
    memcpy(h->tag, r->tag, sizeof(r->tag));
    memcpy(h->aad, r->aad, sizeof(r->aad));
    return cipher_replay_message(s);
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
    if (!fits(r) || !begin(r, s)) {
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
