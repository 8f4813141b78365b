/* cipher_run.c - data through an AEAD context inside. */
#include "cipher_inside.h"
#include "nonce.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include <string.h>

/* ---- what was held back ------------------------------------------------- */

/*
 * What the context outside would not hold is refused: what is replayed goes
 * past the checks of cipher_params.c. A header and a length come with their
 * nonce, so that no replay makes GCM draw one. Its fixed part comes after the
 * direction: whether a number is needed is known before anything is done.
 */
static int may_be_held(const struct cipher_inside *s)
{
    static const uint32_t known_of[] = {[CIPHER_GCM] = HELD_OF_GCM,
                                        [CIPHER_CCM] = HELD_OF_CCM,
                                        [CIPHER_CHACHA] = HELD_OF_ALL};
    const struct cipher_held *h = &s->held;
    uint32_t known = known_of[s->row->mode];

    return !(h->what & ~known) && h->tag_len <= CIPHER_TAG_MAX &&
           h->aad_len <= CIPHER_AAD_MAX &&
           (!(h->what & (HELD_LENGTH | HELD_AAD)) || (h->what & HELD_IV)) &&
           (s->row->mode != CIPHER_GCM || !(h->what & HELD_FIXED_IV) ||
            !(h->what & HELD_DIRECTION));
}

/* Whether GCM begins to count, at a number that is drawn. */
static int needs_number(const struct cipher_inside *s)
{
    return s->row->mode == CIPHER_GCM && (s->held.what & HELD_FIXED_IV) &&
           s->encrypt;
}

int cipher_counts_for_another(const struct cipher_inside *s)
{
    return s->counts && s->encrypt && s->sealed && s->forks != mpk_forks();
}

/* Puts one where the nonce's end will be, which is not on the stack. */
static int take_number(struct cipher_inside *s, int may_draw)
{
    unsigned char *end = s->iv + CIPHER_FIXED_IV_LEN;

    if (nonce_take(end)) {
        return 1;
    }
    if (!may_draw) {
        return CIPHER_DRAW;
    }
    /* Between the two, others can take all that there are. */
    return (nonce_fill() && nonce_take(end)) || RAND_bytes(end, NONCE_LEN) == 1;
}

/* Of length -1, which means as long as the nonce is; that has been looked at.
 */
static int set_whole_iv(struct cipher_inside *s)
{
    return cipher_inner_set(
        s, cipher_param(s, OSSL_CIPHER_PARAM_AEAD_TLS1_IV_FIXED, s->iv,
                        (size_t)-1));
}

/*
 * GCM would draw the rest of the nonce itself: it gets one that is whole. A
 * nonce to decrypt with comes with its record. Of any other length a nonce may
 * be too short to be counted up.
 */
static int replay_fixed_iv(struct cipher_inside *s)
{
    struct cipher_held *h = &s->held;

    if (s->row->mode == CIPHER_GCM && cipher_iv_len(s) != CIPHER_IV_LEN) {
        return 0;
    }
    if (!needs_number(s)) {
        return cipher_inner_set(
            s, cipher_param(s, OSSL_CIPHER_PARAM_AEAD_TLS1_IV_FIXED,
                            h->fixed_iv, CIPHER_FIXED_IV_LEN));
    }
    memcpy(s->iv, h->fixed_iv, CIPHER_FIXED_IV_LEN);
    return set_whole_iv(s);
}

/* Begins at another number, which is in its place, with the same first bytes.
 */
static int count_anew(struct cipher_inside *s)
{
    if (cipher_iv_len(s) != CIPHER_IV_LEN ||
        !CIPHER_FN(s, get_ctx_params, GET_CTX_PARAMS)(
            s->ctx, cipher_param(s, OSSL_CIPHER_PARAM_UPDATED_IV, s->nowhere,
                                 sizeof(s->nowhere)))) {
        return 0;
    }
    memcpy(s->iv, s->nowhere, CIPHER_FIXED_IV_LEN);
    return set_whole_iv(s);
}

/* As libssl sets up a context; with GCM the last of it comes after the key. */
static int replay_setup(struct cipher_inside *s)
{
    struct cipher_held *h = &s->held;

    s->none = CIPHER_IV_LEN;
    return (!(h->what & HELD_DIRECTION) ||
            cipher_inner_init(s, (int)h->encrypt, NULL, 0, NULL, 0, NULL)) &&
           (!(h->what & HELD_IV_LEN) ||
            cipher_inner_set(
                s, cipher_none_param(s, OSSL_CIPHER_PARAM_AEAD_IVLEN))) &&
           (!(h->what & HELD_TAG_LEN) ||
            cipher_inner_set(s, cipher_param(s, OSSL_CIPHER_PARAM_AEAD_TAG,
                                             NULL, h->tag_len))) &&
           (!(h->what & HELD_FIXED_IV) || replay_fixed_iv(s));
}

/* The part of it that is said for each message. */
static int replay_message(struct cipher_inside *s)
{
    OSSL_FUNC_cipher_update_fn *update = CIPHER_FN(s, update, UPDATE);
    struct cipher_held *h = &s->held;

    if (h->what & HELD_TLS_AAD) {
        s->has_tls12_header = 1;
    }
    return (!(h->what & HELD_IV) ||
            cipher_inner_init(s, (int)h->encrypt, NULL, 0, h->iv, CIPHER_IV_LEN,
                              NULL)) &&
           (!(h->what & HELD_TAG) ||
            cipher_set_for_message(s, OSSL_CIPHER_PARAM_AEAD_TAG, h->tag,
                                   h->tag_len)) &&
           (!(h->what & HELD_LENGTH) ||
            update(s->ctx, NULL, &s->none, h->message_len, NULL,
                   h->message_len)) &&
           (!(h->what & HELD_AAD) ||
            update(s->ctx, NULL, &s->none, h->aad_len, h->aad, h->aad_len)) &&
           (!(h->what & HELD_TLS_AAD) ||
            cipher_set_for_message(s, OSSL_CIPHER_PARAM_AEAD_TLS1_AAD, h->aad,
                                   CIPHER_TLS_AAD_LEN));
}

static int take_held(struct mpkprov_frame *f, struct cipher_inside *s)
{
    struct cipher_held *h = &s->held;

    h->what = 0;
    if (f->in2 == NULL) {
        return 1;
    }
    if (f->in2_len != sizeof(*h) || mpk_copy_in(h, f->in2, sizeof(*h)) != 0) {
        return fail(f, MPKPROV_R_POINTER, NULL);
    }
    return may_be_held(s) ||
           fail(f, MPKPROV_R_PARAMETER, "a message that no cipher has");
}

int cipher_replay(struct mpkprov_frame *f, struct cipher_inside *s,
                  int may_draw, int data_comes)
{
    int number = 1, anew;

    if (!take_held(f, s)) {
        return 0;
    }
    anew = (data_comes || (s->held.what & HELD_TLS_AAD)) && !needs_number(s) &&
           cipher_counts_for_another(s);
    if (anew || needs_number(s)) {
        number = take_number(s, may_draw);
        if (number == CIPHER_DRAW) {
            return CIPHER_DRAW;
        }
    }
    if (!number || (anew && !count_anew(s)) || !replay_setup(s) ||
        !replay_message(s)) {
        return cipher_failed(f, "cipher context");
    }
    f->in2_len = 0;
    return 1;
}

/* ---- data --------------------------------------------------------------- */

/*
 * The inner cipher reads and writes the application's memory where it lies, so
 * here both have to be outside, whole: every AEAD here writes |in_len| bytes
 * and no more, a TLS 1.2 record's nonce and tag included.
 */
static int buffers_are_outside(struct mpkprov_frame *f,
                               const struct cipher_inside *s)
{
    if (f->in == NULL && f->in_len != 0 &&
        !(s->row->mode == CIPHER_CCM && f->out == NULL)) {
        return fail(f, MPKPROV_R_PARAMETER, "no data");
    }
    if ((f->in != NULL && !mpk_is_outside(f->in, f->in_len)) ||
        (f->out != NULL && !mpk_is_outside(f->out, f->in_len))) {
        return fail(f, MPKPROV_R_POINTER, NULL);
    }
    return 1;
}

/* Puts the tag of an encrypted message at f->out2; sets f->out2_len. */
static int give_tag(struct mpkprov_frame *f, struct cipher_inside *s)
{
    f->out2_len = CIPHER_TAG_MAX;
    return cipher_make_tag(s, s->made_tag, CIPHER_TAG_MAX) &&
           mpk_copy_out(f->out2, s->made_tag, CIPHER_TAG_MAX) == 0;
}

static int final(struct cipher_inside *s, const void *out, size_t room,
                 size_t *len)
{
    /* They write nothing; CCM tells NULL from something. */
    return CIPHER_FN(s, final, FINAL)(s->ctx, out != NULL ? s->nowhere : NULL,
                                      len, room);
}

/* A final of its own. A tag that costs nothing more comes with it. */
static int run_final(struct mpkprov_frame *f, struct cipher_inside *s)
{
    size_t len = 0;

    if (!final(s, f->out, f->out_len, &len)) {
        f->out2_len = 0;
        return cipher_failed(f, "final");
    }
    f->out_len = len;
    if (!s->encrypt || s->row->mode == CIPHER_CCM || !give_tag(f, s)) {
        f->out2_len = 0;
    }
    return 1;
}

static int run_data(struct mpkprov_frame *f, struct cipher_inside *s)
{
    size_t len = 0;
    int ok;

    if (f->what == RUN_CIPHER) {
        ok = CIPHER_FN(s, cipher, CIPHER)(s->ctx, f->out, &len, f->out_len,
                                          f->in, f->in_len);
    } else {
        ok = CIPHER_FN(s, update, UPDATE)(s->ctx, f->out, &len, f->out_len,
                                          f->in, f->in_len);
    }
    f->out_len = len;
    return ok ? 1 : cipher_failed(f, "update");
}

/*
 * GCM that encrypts and was never given a nonce draws one, and the random
 * generator's state must not be on the caller's stack. One that was drawn does
 * not count as given: its message goes on by cipher_draw.
 */
static int nonce_is_there(struct mpkprov_frame *f,
                          const struct cipher_inside *s)
{
    return s->row->mode != CIPHER_GCM || !s->encrypt || s->has_nonce ||
           f->what == RUN_NOTHING ||
           fail(f, MPKPROV_R_PARAMETER, "no nonce was given for this message");
}

/* The context outside knows, too. */
static int is_hidden(struct mpkprov_frame *f, const struct cipher_inside *s)
{
    return !cipher_shows(s->row->mode, s->encrypt, s->has_tls12_header) ||
           f->what == RUN_NOTHING ||
           fail(f, MPKPROV_R_PARAMETER, "not on this stack");
}

/*
 * A program that enciphers with keys which others send it would do so with the
 * handle of one that waits for libssl. So a key of TLS is for its records only:
 * of TLS 1.3 these are whole (cipher_record), of TLS 1.2 they have a header
 * that nobody but libssl sets.
 */
static int is_its_use(struct mpkprov_frame *f, const struct cipher_inside *s)
{
    return f->what == RUN_NOTHING || s->sealed < KEY_OF_TLS13 ||
           (s->sealed == KEY_OF_TLS12 && s->has_tls12_header) ||
           fail(f, MPKPROV_R_PARAMETER, "a record's key for another message");
}

static int run(struct mpkprov_frame *f, struct cipher_inside *s, int may_draw)
{
    int ok;

    if (!may_draw && f->in_len >= s->deep_from) {
        return CIPHER_DEEP;
    }
    ok = buffers_are_outside(f, s)
             ? cipher_replay(f, s, may_draw,
                             f->what == RUN_UPDATE || f->what == RUN_CIPHER)
             : 0;
    if (ok != 1) {
        return ok;
    }
    if (!is_its_use(f, s)) {
        return 0;
    }
    if (!may_draw && !(nonce_is_there(f, s) && is_hidden(f, s))) {
        return 0;
    }
    switch (f->what) {
    case RUN_NOTHING:
        return 1;
    case RUN_FINAL:
        return run_final(f, s);
    default:
        return run_data(f, s);
    }
}

static int64_t run_with(struct mpkprov_frame *f, int may_draw)
{
    struct object *o;
    int ok;

    if (f->handle == 0) {
        return fail(f, MPKPROV_R_HANDLE, "no cipher context");
    }
    o = cipher_open(f);
    if (o == NULL) {
        return 0;
    }
    ok = run(f, o->data, may_draw);
    handle_unpin(o);
    return ok;
}

/*
 * Uses: handle, what = RUN_*, in, out with out_len = what the caller says is
 * there, in2 = what was held, out2 = room for CIPHER_TAG_MAX bytes of tag. Sets
 * out_len, out2_len. CIPHER_DRAW, CIPHER_DEEP: it has to be cipher_draw.
 */
int64_t cipher_run_stub(void *frame)
{
    return run_with(frame, 0);
}

/* The same on a stack inside: for every cipher, and with a nonce that is drawn
 * if GCM was given none, or a part. */
int64_t cipher_draw_stub(void *frame)
{
    return run_with(frame, 1);
}
