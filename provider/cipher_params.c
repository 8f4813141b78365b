/*
 * cipher_params.c - parameters of an AEAD context inside.
 *
 * The inner ciphers take it that whoever sets a parameter is a friend: some
 * copy as many bytes as the parameter says it has, to and from a nonce of
 * fixed size. Here it may be an attacker, and around that nonce is the domain.
 * So what they do not check is checked before they see it.
 */
#include "cipher_inside.h"

#include <string.h>

#define GCM_COUNTER 8
#define CCM_IV_MAX 16 /* the inner CCM's, of which it uses 13 at most */

static int is(const OSSL_PARAM *p, const char *name)
{
    return strcmp(p->key, name) == 0;
}

static size_t length(struct cipher_inside *s, const char *name)
{
    s->none = 0;
    CIPHER_FN(s, get_ctx_params, GET_CTX_PARAMS)
    (s->ctx, cipher_none_param(s, name));
    return s->none;
}

size_t cipher_iv_len(struct cipher_inside *s)
{
    return length(s, OSSL_CIPHER_PARAM_AEAD_IVLEN);
}

void cipher_tell_lengths(struct mpkprov_frame *f, struct cipher_inside *s)
{
    f->out_len = cipher_iv_len(s);
    f->out2_len = length(s, OSSL_CIPHER_PARAM_AEAD_TAGLEN);
}

/* ---- setting ------------------------------------------------------------ */

/* GCM counts up, or is told, the last bytes of a nonce that it makes itself,
 * eight or so, and does not look whether the nonce has become shorter. */
int cipher_nonce_is_safe(struct mpkprov_frame *f, const struct cipher_inside *s,
                         size_t len)
{
    return !s->counts || len >= GCM_COUNTER ||
           fail(f, MPKPROV_R_PARAMETER,
                "a nonce too short for one that is counted up");
}

/* Part of a nonce; another parameter could change the length first. */
static int part_is_safe(struct mpkprov_frame *f, const struct params_in *params,
                        size_t iv_len)
{
    return (params->n == 1 && params->p[0].data != NULL &&
            params->p[0].data_size <= iv_len) ||
           fail(f, MPKPROV_R_PARAMETER, "part of a nonce that does not fit");
}

static int one_is_safe(struct mpkprov_frame *f, const struct cipher_inside *s,
                       const struct params_in *params, const OSSL_PARAM *p,
                       size_t iv_len)
{
    size_t len;

    if (is(p, OSSL_CIPHER_PARAM_AEAD_TLS1_IV_FIXED) ||
        is(p, OSSL_CIPHER_PARAM_AEAD_TLS1_SET_IV_INV)) {
        return part_is_safe(f, params, iv_len);
    }
    if (is(p, OSSL_CIPHER_PARAM_AEAD_IVLEN)) {
        return !OSSL_PARAM_get_size_t(p, &len) ||
               cipher_nonce_is_safe(f, s, len);
    }
    return !is(p, OSSL_CIPHER_PARAM_AEAD_TLS1_AAD) || p->data != NULL ||
           fail(f, MPKPROV_R_PARAMETER, "no header");
}

int cipher_settable_safely(struct mpkprov_frame *f,
                           const struct cipher_inside *s,
                           const struct params_in *params, size_t iv_len)
{
    for (const OSSL_PARAM *p = params->p; p->key != NULL; p++) {
        if (!one_is_safe(f, s, params, p, iv_len)) {
            return 0;
        }
    }
    return 1;
}

void cipher_notice_set(struct cipher_inside *s, const OSSL_PARAM *params)
{
    for (; params->key != NULL; params++) {
        if (is(params, OSSL_CIPHER_PARAM_AEAD_TLS1_AAD)) {
            s->has_tls12_header = 1;
        } else if (s->row->mode == CIPHER_GCM &&
                   is(params, OSSL_CIPHER_PARAM_AEAD_TLS1_IV_FIXED)) {
            s->counts = 1;
            s->forks = mpk_forks();
            s->has_nonce = 1;
        }
    }
}

int cipher_inner_set(struct cipher_inside *s, const OSSL_PARAM *params)
{
    int ok = CIPHER_FN(s, set_ctx_params, SET_CTX_PARAMS)(s->ctx, params);

    if (ok) {
        cipher_notice_set(s, params);
    }
    return ok;
}

/* "tlsivfixed" of length -1, which makes GCM take the whole nonce at f->in. */
static int restore_iv(struct mpkprov_frame *f, struct cipher_inside *s)
{
    unsigned char iv[GCM_IV_MAX];
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TLS1_IV_FIXED,
                                          iv, (size_t)-1),
        OSSL_PARAM_construct_end()};

    if (s->row->mode != CIPHER_GCM || f->in_len > sizeof(iv) ||
        f->in_len < GCM_COUNTER || f->in_len != cipher_iv_len(s) ||
        mpk_copy_in(iv, f->in, f->in_len) != 0) {
        return fail(f, MPKPROV_R_PARAMETER, "not this cipher's nonce");
    }
    return cipher_inner_set(s, params);
}

static int set(struct mpkprov_frame *f, struct cipher_inside *s)
{
    struct params_in ps;
    int ok;

    if (!cipher_replay(f, s, 1, 0)) {
        return 0;
    }
    if (f->params == NULL) {
        return restore_iv(f, s) || cipher_failed(f, "nonce");
    }
    ok = frame_params_enter(f, &ps, 0, "cipher parameter") &&
         cipher_settable_safely(f, s, &ps, cipher_iv_len(s)) &&
         (cipher_inner_set(s, ps.p) || cipher_failed(f, "cipher parameter"));
    params_free(&ps);
    return ok;
}

/*
 * Uses: handle or 0 and type, in2, and params, or without these in = a nonce to
 * restore. Sets out_len, out2_len as cipher_init.
 */
int64_t cipher_set_stub(void *frame)
{
    struct mpkprov_frame *f = frame;
    struct object *o = cipher_open(f);
    int ok;

    if (o == NULL) {
        return 0;
    }
    ok = set(f, o->data);
    cipher_tell_lengths(f, o->data);
    handle_unpin(o);
    return ok;
}

/* ---- getting ------------------------------------------------------------ */

/* GCM's next nonce, or its last bytes: as many as asked for, or all for 0. */
static int generate_iv(struct mpkprov_frame *f, struct cipher_inside *s,
                       const struct params_in *ps)
{
    unsigned char iv[GCM_IV_MAX];
    size_t iv_len = cipher_iv_len(s), len = ps->p[0].data_size;
    OSSL_PARAM params[2] = {OSSL_PARAM_END, OSSL_PARAM_END};

    if (ps->n != 1 || ps->p[0].data == NULL || iv_len > sizeof(iv)) {
        return fail(f, MPKPROV_R_PARAMETER, "no nonce can be made here");
    }
    if (len == 0 || len > iv_len) {
        len = iv_len;
    }
    params[0] = OSSL_PARAM_construct_octet_string(
        OSSL_CIPHER_PARAM_AEAD_TLS1_GET_IV_GEN, iv, len);
    params[0].data_type = ps->p[0].data_type;
    if (!CIPHER_FN(s, get_ctx_params, GET_CTX_PARAMS)(s->ctx, params)) {
        return cipher_failed(f, "nonce");
    }
    return mpk_copy_out(ps->outer_data[0], iv, len) == 0;
}

/* CCM gives as many bytes of its nonce's place as it is asked for. */
static void narrow(struct cipher_inside *s, struct params_in *ps)
{
    for (size_t i = 0; i < ps->n; i++) {
        OSSL_PARAM *p = &ps->p[i];

        if (s->row->mode == CIPHER_CCM && p->data_size > CCM_IV_MAX &&
            (is(p, OSSL_CIPHER_PARAM_IV) ||
             is(p, OSSL_CIPHER_PARAM_UPDATED_IV))) {
            p->data_size = CCM_IV_MAX;
        }
    }
}

/* CCM and ChaCha20-Poly1305 give a tag and do not say how long it is: as long
 * as was asked for. */
static void notice_tag(struct params_in *ps)
{
    for (size_t i = 0; i < ps->n; i++) {
        OSSL_PARAM *p = &ps->p[i];

        if (is(p, OSSL_CIPHER_PARAM_AEAD_TAG) &&
            p->return_size == OSSL_PARAM_UNMODIFIED) {
            p->return_size = p->data_size;
        }
    }
}

static int get(struct mpkprov_frame *f, struct cipher_inside *s,
               struct params_in *ps)
{
    if (!cipher_replay(f, s, 1, 0)) {
        return 0;
    }
    for (size_t i = 0; i < ps->n; i++) {
        if (s->row->mode == CIPHER_GCM &&
            is(&ps->p[i], OSSL_CIPHER_PARAM_AEAD_TLS1_GET_IV_GEN)) {
            return generate_iv(f, s, ps);
        }
        if (is(&ps->p[i], OSSL_CIPHER_PARAM_AEAD_TAG) &&
            ps->p[i].data == NULL) {
            return fail(f, MPKPROV_R_PARAMETER, "no room for a tag");
        }
    }
    narrow(s, ps);
    if (!CIPHER_FN(s, get_ctx_params, GET_CTX_PARAMS)(s->ctx, ps->p)) {
        params_answer_room(ps);
        return cipher_failed(f, "cipher parameter");
    }
    notice_tag(ps);
    return params_answer(ps, f->out, f->out_len);
}

/* Uses: handle or 0 and type, params, in2, out = room for what is asked for by
 * reference. */
int64_t cipher_get_stub(void *frame)
{
    struct mpkprov_frame *f = frame;
    struct object *o = cipher_open(f);
    struct params_in ps;
    int ok;

    if (o == NULL) {
        return 0;
    }
    ok = frame_params_enter(f, &ps, 1, "cipher parameter") &&
         get(f, o->data, &ps);
    params_free(&ps);
    handle_unpin(o);
    return ok;
}
