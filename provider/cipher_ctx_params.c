/* cipher_ctx_params.c - parameters of an AEAD context, outside. */
#include "cipher_ctx.h"

/* Whether |p| has the name |name|, a constant: letter by letter, unrolled, is
 * less than a call of strcmp, and needs no register saved. */
#define is(p, name) is_named((p)->key, name, sizeof(name))

static inline int is_named(const char *key, const char *name, size_t size)
{
#pragma GCC unroll 16
    for (size_t i = 0; i < size; i++) {
        if (key[i] != name[i]) {
            return 0;
        }
    }
    return 1;
}

static int is_alone(const OSSL_PARAM *p)
{
    return p[0].key != NULL && p[1].key == NULL;
}

static int is_octets(const OSSL_PARAM *p)
{
    return p->data_type == OSSL_PARAM_OCTET_STRING && p->data != NULL;
}

/* What libssl and libcrypto tell every cipher, and no AEAD wants to know. */
static int says_nothing(const OSSL_PARAM *p)
{
    for (; p->key != NULL; p++) {
        if (!is(p, OSSL_CIPHER_PARAM_TLS_VERSION) &&
            !is(p, OSSL_CIPHER_PARAM_TLS_MAC_SIZE) &&
            !is(p, OSSL_CIPHER_PARAM_PADDING)) {
            return 0;
        }
    }
    return 1;
}

static int hold_fixed_iv(struct cipher_ctx *c, const OSSL_PARAM *p)
{
    if (!is_octets(p) || p->data_size != CIPHER_FIXED_IV_LEN) {
        return 0;
    }
    c->held.what |= HELD_FIXED_IV;
    memcpy(c->held.fixed_iv, p->data, CIPHER_FIXED_IV_LEN);
    return 1;
}

/* With it GCM has a nonce to count up from; the key is there already. */
static int hold_gcm_fixed_iv(struct cipher_ctx *c, const OSSL_PARAM *p)
{
    if (c->mode != CIPHER_GCM || c->held.what != 0 ||
        c->iv_len != CIPHER_IV_LEN || !hold_fixed_iv(c, p)) {
        return 0;
    }
    c->has_nonce = 1;
    return 1;
}

/* The nonce's length, if that is what |p| sets, or 0. */
static size_t named_iv_len(const OSSL_PARAM *p)
{
    size_t len = 0;

    if (is(p, OSSL_CIPHER_PARAM_AEAD_IVLEN) && p->data != NULL &&
        p->data_type == OSSL_PARAM_UNSIGNED_INTEGER &&
        p->data_size == sizeof(len)) {
        memcpy(&len, p->data, sizeof(len));
    }
    return len;
}

/* Before the inside has heard anything. */
static int hold_setup(struct cipher_ctx *c, const OSSL_PARAM *p)
{
    size_t len = named_iv_len(p);

    if (len != 0) {
        if (len != CIPHER_IV_LEN) {
            return 0;
        }
        c->held.what |= HELD_IV_LEN;
        c->iv_len = len;
        return 1;
    }
    if (c->mode != CIPHER_CCM || p->data_type != OSSL_PARAM_OCTET_STRING) {
        return 0;
    }
    if (is(p, OSSL_CIPHER_PARAM_AEAD_TAG) && p->data == NULL &&
        p->data_size >= 4 && p->data_size <= 16 && p->data_size % 2 == 0) {
        c->held.what |= HELD_TAG_LEN;
        c->held.tag_len = (uint32_t)p->data_size;
        c->tag_len = p->data_size;
        return 1;
    }
    return is(p, OSSL_CIPHER_PARAM_AEAD_TLS1_IV_FIXED) && hold_fixed_iv(c, p);
}

/* The tag that a message is expected to have. */
static int hold_tag(struct cipher_ctx *c, const OSSL_PARAM *p)
{
    size_t least = c->mode == CIPHER_CCM ? 4 : 1;

    if (c->encrypt || !is_octets(p) || p->data_size < least ||
        p->data_size > CIPHER_TAG_MAX ||
        (c->mode == CIPHER_CCM && p->data_size % 2 != 0) ||
        (c->held.what & (HELD_TAG | HELD_TLS_AAD))) {
        return 0;
    }
    c->held.what |= HELD_TAG;
    c->held.tag_len = (uint32_t)p->data_size;
    cipher_ctx_copy(c->held.tag, p->data, p->data_size, CIPHER_TAG_MAX);
    c->tag_len = p->data_size;
    return 1;
}

/* The header of a TLS 1.2 record, if a record of that length can be. */
static int hold_tls_aad(struct cipher_ctx *c, const OSSL_PARAM *p)
{
    size_t least = c->mode == CIPHER_CHACHA ? 0 : 8, len;
    const unsigned char *aad = p->data;

    if (!is_octets(p) || p->data_size != CIPHER_TLS_AAD_LEN ||
        (c->held.what & ~(uint32_t)(HELD_IV | HELD_FIXED_IV))) {
        return 0;
    }
    len =
        (size_t)aad[CIPHER_TLS_AAD_LEN - 2] << 8 | aad[CIPHER_TLS_AAD_LEN - 1];
    if (!c->encrypt) {
        least += cipher_ctx_tag_len(c);
    }
    if (len < least || cipher_ctx_tag_len(c) == 0) {
        return 0;
    }
    c->held.what |= HELD_TLS_AAD;
    c->held.aad_len = CIPHER_TLS_AAD_LEN;
    memcpy(c->held.aad, aad, CIPHER_TLS_AAD_LEN);
    c->has_tls_aad = 1;
    c->record = RECORD_NONE;
    return 1;
}

static int names_tls_aad(const OSSL_PARAM *p)
{
    for (; p->key != NULL; p++) {
        if (is(p, OSSL_CIPHER_PARAM_AEAD_TLS1_AAD)) {
            return 1;
        }
    }
    return 0;
}

/* Of the nonce, or of CCM's tag: nothing follows from that. */
static int is_length_as_it_was(const struct cipher_ctx *c, const OSSL_PARAM *p)
{
    size_t len = named_iv_len(p);

    return (len != 0 && len == c->iv_len) ||
           (c->mode == CIPHER_CCM && is(p, OSSL_CIPHER_PARAM_AEAD_TAG) &&
            p->data_type == OSSL_PARAM_OCTET_STRING && p->data == NULL &&
            p->data_size != 0 && p->data_size == c->tag_len);
}

static int hold_param(struct cipher_ctx *c, const OSSL_PARAM *p)
{
    if (c->handle == 0) {
        return hold_setup(c, p);
    }
    return is_length_as_it_was(c, p) ||
           (c->keyed && is(p, OSSL_CIPHER_PARAM_AEAD_TLS1_IV_FIXED) &&
            hold_gcm_fixed_iv(c, p));
}

/* What libssl says for each record. */
static int hold_for_message(struct cipher_ctx *c, const OSSL_PARAM *p)
{
    if (p->key == NULL || !is_alone(p) || !c->keyed) {
        return 0;
    }
    return (is(p, OSSL_CIPHER_PARAM_AEAD_TAG) && hold_tag(c, p)) ||
           (is(p, OSSL_CIPHER_PARAM_AEAD_TLS1_AAD) && hold_tls_aad(c, p));
}

/* A length of -1, which GCM takes as: the whole nonce. */
static int is_whole_iv(const struct cipher_ctx *c, const OSSL_PARAM *p)
{
    return c->mode == CIPHER_GCM && is_alone(p) &&
           is(p, OSSL_CIPHER_PARAM_AEAD_TLS1_IV_FIXED) && is_octets(p) &&
           p->data_size == (size_t)-1;
}

static __attribute__((noinline)) int set_any(struct cipher_ctx *c,
                                             const OSSL_PARAM *params)
{
    struct mpkprov_frame f;
    int ok;

    if (says_nothing(params)) {
        return 1;
    }
    c->has_tls_aad = c->has_tls_aad || names_tls_aad(params);
    if (is_alone(params) && hold_param(c, params)) {
        return 1;
    }
    cipher_ctx_frame(c, &f);
    if (is_whole_iv(c, params)) {
        f.in = params->data;
        f.in_len = c->iv_len;
    } else {
        f.params = params;
    }
    ok = cipher_ctx_enter(c, OP_cipher_set, &f) == 1;
    cipher_ctx_hear_lengths(c, &f);
    if (ok && is(params, OSSL_CIPHER_PARAM_AEAD_TLS1_IV_FIXED)) {
        c->has_nonce = 1;
    }
    return ok;
}

int cipher_ctx_set(void *vctx, const OSSL_PARAM params[])
{
    return params == NULL || hold_for_message(vctx, params) ||
           set_any(vctx, params);
}

/* As libssl asks; what else may be asked is answered inside. */
static int answer_length(OSSL_PARAM *p, size_t value)
{
    if (p->data_type != OSSL_PARAM_UNSIGNED_INTEGER || p->data == NULL ||
        p->data_size != sizeof(value)) {
        return 0;
    }
    memcpy(p->data, &value, sizeof(value));
    p->return_size = sizeof(value);
    return 1;
}

/* The tag came with the data. */
static int answer_tag(struct cipher_ctx *c, OSSL_PARAM *p)
{
    if (!is_octets(p) || p->data_size == 0 || p->data_size > c->made_tag_len ||
        c->record == RECORD_COMPLETE ||
        (c->mode == CIPHER_CCM && p->data_size != c->made_tag_len)) {
        return 0;
    }
    cipher_ctx_copy(p->data, c->made_tag, p->data_size, CIPHER_TAG_MAX);
    p->return_size = p->data_size;
    if (c->mode == CIPHER_CCM) {
        c->made_tag_len = 0; /* which gives it once */
    }
    return 1;
}

/* Answers what is public and known here; 0 if it is not. What is asked for each
 * record comes first. */
static int answer(struct cipher_ctx *c, OSSL_PARAM *p)
{
    if (is(p, OSSL_CIPHER_PARAM_IVLEN)) {
        return answer_length(p, c->iv_len);
    }
    if (is(p, OSSL_CIPHER_PARAM_AEAD_TAG)) {
        return c->held.what == 0 && answer_tag(c, p);
    }
    if (is(p, OSSL_CIPHER_PARAM_AEAD_TLS1_AAD_PAD)) {
        return (c->held.what & HELD_TLS_AAD) &&
               answer_length(p, cipher_ctx_tag_len(c));
    }
    return is(p, OSSL_CIPHER_PARAM_KEYLEN) &&
           answer_length(p, cipher_ctx_row(c)->key_len);
}

/* With this libssl takes key and nonce to the kernel, whose TLS would encrypt
 * under the handle. */
static int is_for_the_kernel(const struct cipher_ctx *c, const OSSL_PARAM *p)
{
    for (; c->sealed && p->key != NULL; p++) {
        if (is(p, OSSL_CIPHER_PARAM_UPDATED_IV)) {
            return 1;
        }
    }
    return 0;
}

/*
 * Room for nonces that are asked for by reference. The one that the last
 * message had and the one that it began with are pointed to at the same time.
 */
#define ANSWERS_ROOM 512

static int room_for_nonces(struct cipher_ctx *c, const OSSL_PARAM *p,
                           struct mpkprov_frame *f)
{
    if (!prov_answers_room(&c->answers, 2 * ANSWERS_ROOM, p, f)) {
        return 0;
    }
    if (f->out != NULL && is_alone(p) && is(p, OSSL_CIPHER_PARAM_UPDATED_IV)) {
        f->out = (char *)f->out + ANSWERS_ROOM;
        f->out_len = ANSWERS_ROOM;
    }
    return 1;
}

static __attribute__((noinline)) int get_inside(struct cipher_ctx *c,
                                                OSSL_PARAM *params)
{
    struct mpkprov_frame f;

    if (is_for_the_kernel(c, params)) {
        return 0;
    }
    cipher_ctx_frame(c, &f);
    f.params = params;
    return room_for_nonces(c, params, &f) &&
           cipher_ctx_enter(c, OP_cipher_get, &f) == 1;
}

int cipher_ctx_get(void *vctx, OSSL_PARAM params[])
{
    if (params == NULL || params->key == NULL ||
        (is_alone(params) && answer(vctx, params))) {
        return 1;
    }
    return get_inside(vctx, params);
}
