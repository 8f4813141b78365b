/* cipher_ctx_record.c - a whole record of TLS, outside. */
#include "cipher_ctx.h"

/*
 * A record of TLS 1.3 says in its header, which is its AAD (RFC 8446 5.2), how
 * long it is: when that much data comes the message is complete, and final and
 * tag can be had in the same crossing. No other message is taken for complete:
 * a tag of the first part of one would be a second tag under its nonce, and
 * two of these give the authentication key away.
 */
static int is_whole13(const struct cipher_ctx *c, size_t len)
{
    const struct cipher_held *h = &c->held;
    int ccm = c->mode == CIPHER_CCM;
    uint32_t due = HELD_IV | HELD_AAD | (c->encrypt ? 0 : HELD_TAG) |
                   (ccm ? HELD_LENGTH : 0);

    return h->what == due && h->aad_len == CIPHER_TLS13_AAD_LEN &&
           cipher_is_header13(h->aad, len + cipher_ctx_tag_len(c)) &&
           (!ccm || h->message_len == len);
}

static int64_t enter(struct cipher_ctx *c, struct cipher_record *r)
{
    int64_t ret = CIPHER_DEEP;

    if (!cipher_goes_deep(c->slot, r->len) &&
        !cipher_shows_record(c->mode, r->encrypt, r)) {
        ret = mpk_call(OP_cipher_record, r);
        if (ret == CIPHER_DEEP) {
            cipher_note_deep(c->slot, r->len);
        }
    }
    return ret == CIPHER_DEEP ? mpk_call(OP_cipher_record_deep, r) : ret;
}

static void note13(struct cipher_ctx *c, const struct cipher_record *r)
{
    c->record = RECORD_COMPLETE;
    c->verdict = (int)r->verdict;
    if (c->encrypt) {
        c->made_tag_len = r->tag_len;
        memcpy(c->made_tag, r->tag, sizeof(r->tag));
    }
}

static __attribute__((cold)) int refuse(const char *why)
{
    prov_log(2, "cipher: a record is refused: %s", why);
    return RAISE(OPERATION, "a record is refused: %s", why);
}

static int record(struct cipher_ctx *c, unsigned char *out, size_t *outl,
                  const unsigned char *in, size_t len)
{
    const struct cipher_held *h = &c->held;
    struct cipher_record r;
    int64_t ret;

    r.handle = c->handle;
    r.in = in;
    r.out = out;
    r.len = len;
    r.is_tls12 = h->what == HELD_TLS_AAD;
    r.encrypt = c->encrypt != 0;
    r.tag_len = c->encrypt ? (uint32_t)cipher_ctx_tag_len(c) : h->tag_len;
    memcpy(r.iv, h->iv, sizeof(r.iv));
    memcpy(r.tag, h->tag, sizeof(r.tag));
    /* As it was written a moment ago: the CPU has it from there. */
    if (r.is_tls12) {
        memcpy(r.aad, h->aad, CIPHER_TLS_AAD_LEN);
    } else {
        memcpy(r.aad, h->aad, CIPHER_TLS13_AAD_LEN);
    }
    ret = enter(c, &r);
    if (ret == CIPHER_DRAW) {
        return cipher_ctx_step(c, r.out, outl, r.len, r.in, r.len);
    }
    c->made_tag_len = 0;
    if (ret != 1) { /* what was held still is */
        return refuse("its context is in use by another thread, or its buffers "
                      "are not the program's");
    }
    c->held.what = 0;
    if (!r.done) {
        *outl = 0;
        return r.raised ? refuse("it is not what was sent") : 0;
    }
    if (!r.is_tls12) {
        note13(c, &r);
    }
    *outl = r.out_len;
    return 1;
}

int cipher_ctx_data(struct cipher_ctx *c, unsigned char *out, size_t *outl,
                    size_t outsize, const unsigned char *in, size_t inl)
{
    return c->sealed && in != NULL && outsize >= inl &&
                   (c->held.what == HELD_TLS_AAD || is_whole13(c, inl))
               ? record(c, out, outl, in, inl)
               : cipher_ctx_step(c, out, outl, outsize, in, inl);
}
