/*
 * cipher_ctx.c - AEAD contexts outside: everything about a message but its key.
 *
 * Whatever a context is told it passes on to the inner one, so that it behaves
 * as the default provider's would, for any application. But what libssl says
 * for each record before there is data (nonce, tag, header) is held back, if it
 * is something that the inner one would take, and goes in with the data. And
 * what the inside would answer without its key is answered here.
 */
#include "cipher_ctx.h"
#include "tls.h"

#include <openssl/evp.h>

#include <stdlib.h>

/* ---- going in ----------------------------------------------------------- */

void cipher_ctx_frame(struct cipher_ctx *c, struct mpkprov_frame *f)
{
    /* But for the error, which prov_call sees to: that is half of it. */
    memset(f, 0, offsetof(struct mpkprov_frame, error));
    f->handle = c->handle;
    f->type = c->slot;
    if (c->held.what != 0) {
        f->in2 = &c->held;
        f->in2_len = sizeof(c->held);
    }
}

_Static_assert(CIPHER_SLOTS <= CIPHERS_MAX, "cipher_deep_from");

void cipher_note_deep(int slot, size_t len)
{
    __atomic_store_n(&prov.cipher_deep_from[slot], len + 1, __ATOMIC_RELAXED);
}

/* The entry that does what |op| does, on a stack inside. */
static enum mpkprov_op deep(enum mpkprov_op op)
{
    return op == OP_cipher_start ? OP_cipher_init
           : op == OP_cipher_run ? OP_cipher_draw
                                 : op;
}

static int goes_deep(const struct cipher_ctx *c, enum mpkprov_op op,
                     const struct mpkprov_frame *f)
{
    return cipher_goes_deep(c->slot, f->in_len) ||
           (op == OP_cipher_run &&
            cipher_shows(c->mode, c->encrypt, c->has_tls_aad));
}

int64_t cipher_ctx_enter(struct cipher_ctx *c, enum mpkprov_op op,
                         struct mpkprov_frame *f)
{
    int64_t ret = prov_call(goes_deep(c, op, f) ? deep(op) : op, f, "cipher");

    if (ret == CIPHER_DEEP) {
        cipher_note_deep(c->slot, f->in_len);
    }
    if (ret == CIPHER_DRAW || ret == CIPHER_DEEP) {
        ret = prov_call(deep(op), f, "cipher");
    }
    c->handle = f->handle;
    /* What the inside refused before it came to that is still to be said: a
     * nonce that is lost would have the next message take the last one's. */
    if (f->in2_len == 0) {
        c->held.what = 0;
    }
    c->made_tag_len = 0;
    return ret;
}

static __attribute__((noinline)) int flush(struct cipher_ctx *c)
{
    struct mpkprov_frame f;

    cipher_ctx_frame(c, &f);
    f.what = RUN_NOTHING;
    return cipher_ctx_enter(c, OP_cipher_run, &f) == 1;
}

/* What is held must not change its order: |later| is what would stand behind
 * that which is to be held now. */
static inline int flush_if(struct cipher_ctx *c, uint32_t later)
{
    return !(c->held.what & later) || flush(c);
}

void cipher_ctx_hear_lengths(struct cipher_ctx *c,
                             const struct mpkprov_frame *f)
{
    c->iv_len = f->out_len;
    c->tag_len = f->out2_len;
}

/* ---- new, copy, free ---------------------------------------------------- */

void *cipher_ctx_new(struct prov_ctx *ctx, int slot)
{
    struct cipher_ctx *c = calloc(1, sizeof(*c));

    if (c == NULL) {
        RAISE(OPERATION, "out of memory");
        return NULL;
    }
    c->ctx = ctx;
    c->slot = slot;
    c->mode = mpkprov_ciphers[slot].mode;
    /* As the inner ones start; a CCM context has its own idea of a nonce. */
    c->iv_len = c->mode == CIPHER_CCM ? 7 : CIPHER_IV_LEN;
    return c;
}

void cipher_ctx_free(void *vctx)
{
    struct cipher_ctx *c = vctx;
    struct mpkprov_frame f = {0};

    if (c == NULL) {
        return;
    }
    if (c->handle != 0 && !ended_keep(&prov.ended_ciphers, c->handle)) {
        f.handle = c->handle;
        ended_take(&prov.ended_ciphers, &f);
        PROV_CALL(cipher_free, &f);
    }
    free(c->answers);
    free(c);
}

void *cipher_ctx_dup(void *vctx)
{
    struct cipher_ctx *c = vctx;
    struct mpkprov_frame f;
    struct cipher_ctx *copy;

    /* What is drawn for both is one number. */
    if (c->mode == CIPHER_GCM && !flush_if(c, HELD_FIXED_IV)) {
        return NULL;
    }
    f = (struct mpkprov_frame){.handle = c->handle};
    copy = cipher_ctx_new(c->ctx, c->slot);
    if (copy == NULL) {
        return NULL;
    }
    *copy = *c;
    copy->answers = NULL;
    copy->handle = 0;
    if (c->handle != 0) {
        if (PROV_CALL(cipher_dup, &f) != 1) {
            cipher_ctx_free(copy);
            return NULL;
        }
        copy->handle = f.handle2;
    }
    return copy;
}

/* ---- init --------------------------------------------------------------- */

static int init_inside(struct cipher_ctx *c, int encrypt,
                       const unsigned char *key, size_t key_len,
                       const unsigned char *iv, size_t iv_len,
                       const OSSL_PARAM *params)
{
    struct mpkprov_frame f;
    int key_only =
        key != NULL && iv == NULL && (params == NULL || params->key == NULL);
    int ok;

    cipher_ctx_frame(c, &f);
    f.what = encrypt;
    f.in = key;
    f.in_len = key_len;
    f.out = (void *)iv;
    f.out_len = iv_len;
    f.params = params;
    if (key != NULL) {
        c->key_iv_len = c->iv_len;
    }
    if (!key_only) {
        ended_take(&prov.ended_ciphers, &f);
    }
    ok = cipher_ctx_enter(c, key_only ? OP_cipher_start : OP_cipher_init, &f) ==
         1;
    cipher_ctx_hear_lengths(c, &f);
    c->encrypt = encrypt;
    if (key != NULL) {
        ok = ok && (f.what || tls_still_ours(c->ctx));
        c->keyed = ok;
        c->sealed = f.what;
    }
    if (ok && iv != NULL) {
        c->has_nonce = 1;
    }
    return ok;
}

/* The next message of a context that has its key: only a nonce. */
static int hold_iv(struct cipher_ctx *c, int encrypt, const unsigned char *iv)
{
    if (!flush_if(c, ~(uint32_t)HELD_IV)) {
        return 0;
    }
    c->held.what = HELD_IV;
    c->held.encrypt = (uint32_t)encrypt;
    memcpy(c->held.iv, iv, CIPHER_IV_LEN);
    c->encrypt = encrypt;
    c->has_nonce = 1;
    c->record = RECORD_NONE;
    return 1;
}

static int is_bare(const OSSL_PARAM *params)
{
    return params == NULL || params->key == NULL;
}

/* Whether an init is no more than that, with a nonce that can be held. */
static int is_next(const struct cipher_ctx *c, const unsigned char *key,
                   const unsigned char *iv, size_t iv_len,
                   const OSSL_PARAM *params)
{
    return key == NULL && iv != NULL && iv_len == CIPHER_IV_LEN &&
           c->iv_len == CIPHER_IV_LEN && c->keyed && is_bare(params);
}

static int init(struct cipher_ctx *c, int encrypt, const unsigned char *key,
                size_t key_len, const unsigned char *iv, size_t iv_len,
                const OSSL_PARAM *params)
{
    if (key != NULL || iv != NULL) {
        c->record = RECORD_NONE;
    }
    if (is_bare(params) && key == NULL && iv == NULL && c->handle == 0) {
        c->held.what |= HELD_DIRECTION;
        c->held.encrypt = (uint32_t)encrypt;
        c->encrypt = encrypt;
        return 1;
    }
    /* A key goes in as if it came alone, which is an entry that costs less. */
    if (is_bare(params) && key != NULL && iv != NULL &&
        iv_len == CIPHER_IV_LEN && c->iv_len == CIPHER_IV_LEN) {
        return init_inside(c, encrypt, key, key_len, NULL, 0, NULL) &&
               hold_iv(c, encrypt, iv);
    }
    return init_inside(c, encrypt, key, key_len, iv, iv_len, params);
}

int cipher_ctx_einit(void *vctx, const unsigned char *key, size_t keylen,
                     const unsigned char *iv, size_t ivlen,
                     const OSSL_PARAM params[])
{
    return is_next(vctx, key, iv, ivlen, params)
               ? hold_iv(vctx, 1, iv)
               : init(vctx, 1, key, keylen, iv, ivlen, params);
}

int cipher_ctx_dinit(void *vctx, const unsigned char *key, size_t keylen,
                     const unsigned char *iv, size_t ivlen,
                     const OSSL_PARAM params[])
{
    return is_next(vctx, key, iv, ivlen, params)
               ? hold_iv(vctx, 0, iv)
               : init(vctx, 0, key, keylen, iv, ivlen, params);
}

/* ---- data --------------------------------------------------------------- */

/* A header, as long as there is a nonce to go with it. Part of its callers: one
 * knows the length. */
static inline __attribute__((always_inline)) int
hold_aad(struct cipher_ctx *c, const unsigned char *in, size_t len)
{
    struct cipher_held *h = &c->held;
    int ccm = c->mode == CIPHER_CCM;

    if (!c->keyed || !(h->what & HELD_IV) || c->has_tls_aad || len == 0) {
        return 0;
    }
    if (in == NULL) {
        /* A nonce that is shorter than the key's is refused here. */
        if (!ccm || c->key_iv_len > CIPHER_IV_LEN ||
            (h->what & (HELD_LENGTH | HELD_AAD))) {
            return 0;
        }
        h->what |= HELD_LENGTH;
        h->message_len = len;
        return 1;
    }
    if (!(h->what & HELD_AAD)) {
        h->aad_len = 0;
    }
    if (len > CIPHER_AAD_MAX - h->aad_len ||
        (ccm && (!(h->what & HELD_LENGTH) || h->aad_len != 0))) {
        return 0;
    }
    memcpy(h->aad + h->aad_len, in, len);
    h->aad_len += (uint32_t)len;
    h->what |= HELD_AAD;
    return 1;
}

/* The inside makes contexts in an init only: cipher_run is to be short. */
static int is_made(struct cipher_ctx *c)
{
    struct mpkprov_frame f;

    if (c->handle == 0) {
        cipher_ctx_frame(c, &f);
        f.what = -1;
        return cipher_ctx_enter(c, OP_cipher_init, &f) == 1;
    }
    return 1;
}

/* GCM draws a nonce if it was given none, which takes an entry that may run
 * the random generator. */
static enum mpkprov_op op_of_run(const struct cipher_ctx *c)
{
    return c->mode == CIPHER_GCM && c->encrypt && !c->has_nonce ? OP_cipher_draw
                                                                : OP_cipher_run;
}

static int run(struct cipher_ctx *c, int what, unsigned char *out, size_t *outl,
               size_t outsize, const unsigned char *in, size_t inl)
{
    struct mpkprov_frame f;
    int ok;

    if (!is_made(c)) {
        return 0;
    }
    cipher_ctx_frame(c, &f);
    f.what = what;
    f.in = in;
    f.in_len = inl;
    f.out = out;
    f.out_len = outsize;
    f.out2 = c->made_tag;
    f.out2_len = c->tag_len;
    ok = cipher_ctx_enter(c, op_of_run(c), &f) == 1;
    *outl = ok ? f.out_len : 0;
    if (ok && what == RUN_FINAL && c->encrypt) {
        c->made_tag_len = f.out2_len;
    }
    return ok;
}

/*
 * A sealed key's records come from libssl, which knows where they end. With a
 * nonce that is used up GCM and CCM refuse by themselves; ChaCha20-Poly1305
 * would begin again with the same one.
 */
static inline int may_go_on(const struct cipher_ctx *c)
{
    return c->record == RECORD_NONE ||
           (c->record == RECORD_SPENT && c->mode != CIPHER_CHACHA);
}

static __attribute__((cold, noinline)) int record_is_over(void)
{
    return RAISE(OPERATION, "the record is complete; the next one needs an "
                            "init with its nonce");
}

int cipher_ctx_step(struct cipher_ctx *c, unsigned char *out, size_t *outl,
                    size_t outsize, const unsigned char *in, size_t inl)
{
    return run(c, RUN_UPDATE, out, outl, outsize, in, inl);
}

static __attribute__((noinline)) int update_aad(struct cipher_ctx *c,
                                                size_t *outl, size_t outsize,
                                                const unsigned char *in,
                                                size_t inl)
{
    if (hold_aad(c, in, inl)) {
        *outl = inl;
        return 1;
    }
    return cipher_ctx_step(c, NULL, outl, outsize, in, inl);
}

int cipher_ctx_update(void *vctx, unsigned char *out, size_t *outl,
                      size_t outsize, const unsigned char *in, size_t inl)
{
    struct cipher_ctx *c = vctx;

    if (inl == 0 && c->mode == CIPHER_GCM) {
        *outl = 0;
        return 1;
    }
    if (!may_go_on(c)) {
        return record_is_over();
    }
    if (out != NULL) {
        return cipher_ctx_data(c, out, outl, outsize, in, inl);
    }
    /* What libssl says for each record of TLS 1.3, without a call. */
    if (inl == CIPHER_TLS13_AAD_LEN && hold_aad(c, in, CIPHER_TLS13_AAD_LEN)) {
        *outl = inl;
        return 1;
    }
    return update_aad(c, outl, outsize, in, inl);
}

int cipher_ctx_final(void *vctx, unsigned char *out, size_t *outl,
                     size_t outsize)
{
    struct cipher_ctx *c = vctx;

    if (c->record == RECORD_COMPLETE) {
        c->record = RECORD_SPENT;
        *outl = 0;
        return c->verdict;
    }
    return may_go_on(c) ? run(c, RUN_FINAL, out, outl, outsize, NULL, 0)
                        : record_is_over();
}

int cipher_ctx_cipher(void *vctx, unsigned char *out, size_t *outl,
                      size_t outsize, const unsigned char *in, size_t inl)
{
    struct cipher_ctx *c = vctx;

    return may_go_on(c) ? run(c, RUN_CIPHER, out, outl, outsize, in, inl)
                        : record_is_over();
}
