/*
 * signature_stub.c - inside: signing and verifying with the inner OpenSSL's own
 * contexts.
 */
#include "inside.h"
#include "signature.h"
#include "signature_direct.h"

static int init_plain(int what, struct object *o, void *key,
                      const OSSL_PARAM *params)
{
    static const int id[] = {OSSL_FUNC_SIGNATURE_SIGN_INIT,
                             OSSL_FUNC_SIGNATURE_VERIFY_INIT,
                             OSSL_FUNC_SIGNATURE_VERIFY_RECOVER_INIT};
    OSSL_FUNC_signature_sign_init_fn *init =
        INNER(ctx_alg(o), signature_sign_init, id[what]);

    return init != NULL && init(o->data, key, params) > 0;
}

static int init_digest(struct mpkprov_frame *f, int what, struct object *o,
                       void *key, const OSSL_PARAM *params)
{
    char buf[64];
    const char *mdname;
    OSSL_FUNC_signature_digest_sign_init_fn *init = INNER(
        ctx_alg(o), signature_digest_sign_init,
        what == INIT_DIGEST_SIGN ? OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT
                                 : OSSL_FUNC_SIGNATURE_DIGEST_VERIFY_INIT);

    return take_string(f, f->name, buf, &mdname) && init != NULL &&
           init(o->data, mdname, key, params) > 0;
}

static int init_with(struct mpkprov_frame *f, int what, struct object *o,
                     struct object *key)
{
    struct params_in ps;
    void *data = key != NULL ? key->data : NULL;
    uint64_t refused = mpk_heap_refused();
    int ok;

    if (!frame_params_enter(f, &ps, 0, "parameters of a signature")) {
        params_free(&ps);
        return 0;
    }
    o->what = what;
    ok = keygroup_open(f, o);
    if (ok) {
        const OSSL_PARAM *p = params_or_null(f, &ps);

        ok = what <= INIT_RECOVER ? init_plain(what, o, data, p)
                                  : init_digest(f, what, o, data, p);
        ok = ok && had_memory(refused);
        keygroup_close(o);
    }
    params_free(&ps);
    return ok ? 1 : fail_inner(f, "signature init");
}

int sig_sets(const struct mpkprov_frame *f, const OSSL_PARAM *set[MPKPROV_SETS])
{
    return f->in2_len <= MPKPROV_SETS &&
           mpk_copy_in(set, f->in2, f->in2_len * sizeof(set[0])) == 0;
}

/* The sets of parameters of f->in2, one after the other. */
static int set_all(struct mpkprov_frame *f, struct object *o)
{
    const OSSL_PARAM *set[MPKPROV_SETS];
    uint64_t refused = mpk_heap_refused();
    struct params_in ps;
    int ok = 1;

    if (!sig_sets(f, set)) {
        return fail(f, MPKPROV_R_PARAMETER, "parameters of a signature");
    }
    for (size_t i = 0; i < f->in2_len && ok; i++) {
        ok = params_enter(&ps, set[i], 0, NULL) && keygroup_open(f, o);
        if (ok) {
            ok = ctx_set(o, ps.p) && had_memory(refused);
            keygroup_close(o);
        }
        params_free(&ps);
    }
    return ok ? 1 : fail_inner(f, "parameter of the operation");
}

/* A context that is ready to be used, pinned. */
static struct object *begin(struct mpkprov_frame *f, int what)
{
    struct object *o, *key;
    int ok;

    if (what < INIT_SIGN || what > INIT_DIGEST_VERIFY) {
        fail(f, MPKPROV_R_PARAMETER, "no such operation");
        return NULL;
    }
    if (!ctx_open(f, CTX_SIG, &o, &key)) {
        return NULL;
    }
    ok = init_with(f, what, o, key) && set_all(f, o);
    o->ready = (uint8_t)ok;
    ctx_close(ok ? NULL : o, key);
    return ok ? o : NULL;
}

/*
 * Uses: handle or 0, handle2 = key, what = INIT_*, name = digest, params, in2 =
 * sets of parameters that follow.
 */
int64_t sig_init_stub(void *frame)
{
    struct mpkprov_frame *f = frame;
    struct object *o = begin(f, f->what);

    handle_unpin(o);
    return o != NULL;
}

/* The message is read where it lies: it is read once, and whoever changes it
 * meanwhile signs something else. */
static int update(struct mpkprov_frame *f, struct object *o)
{
    OSSL_FUNC_signature_digest_sign_update_fn *up = INNER(
        ctx_alg(o), signature_digest_sign_update,
        o->what == INIT_DIGEST_SIGN ? OSSL_FUNC_SIGNATURE_DIGEST_SIGN_UPDATE
                                    : OSSL_FUNC_SIGNATURE_DIGEST_VERIFY_UPDATE);

    if (!mpk_is_outside(f->in, f->in_len)) {
        return fail(f, MPKPROV_R_POINTER, NULL);
    }
    if (o->what < INIT_DIGEST_SIGN || up == NULL ||
        up(o->data, f->in, f->in_len) <= 0) {
        return fail_inner(f, "digest of the message");
    }
    return 1;
}

/* Only SM2's digest begins with the public key; of the others the group stays
 * shut. */
static int update_alone(struct mpkprov_frame *f, struct object *o)
{
    int ok;

    if (o->type != KEY_SM2) {
        return update(f, o);
    }
    if (!keygroup_open(f, o)) {
        return 0;
    }
    ok = update(f, o);
    keygroup_close(o);
    return ok;
}

/* Uses: handle, in. */
int64_t sig_update_stub(void *frame)
{
    struct mpkprov_frame *f = frame;
    struct object *o = ctx_pin(f, CTX_SIG);
    int ok = o != NULL && update_alone(f, o);

    handle_unpin(o);
    return ok;
}

/*
 * Larger than any signature but those of ML-DSA-87 and SLH-DSA, and than what
 * verify recover can give: some inner functions write as much as they have,
 * whatever room they are told.
 */
#define SIG_USUAL 4096
/* Larger than any. */
#define SIG_MAX 65536

/* The end of |o|'s message, or of a copy so that |o| can go on. */
static int sign_last(struct mpkprov_frame *f, struct object *o,
                     unsigned char *sig, size_t *len)
{
    OSSL_FUNC_signature_digest_sign_final_fn *final =
        INNER(ctx_alg(o), signature_digest_sign_final,
              OSSL_FUNC_SIGNATURE_DIGEST_SIGN_FINAL);
    OSSL_FUNC_signature_dupctx_fn *dup =
        INNER(ctx_alg(o), signature_dupctx, OSSL_FUNC_SIGNATURE_DUPCTX);
    void *copy;
    int ret;

    if (final == NULL || f->what != LAST_GOING_ON) {
        return final != NULL ? final(o->data, sig, len, *len) : 0;
    }
    copy = dup != NULL ? dup(o->data) : NULL;
    if (copy == NULL) {
        return 0;
    }
    ret = final(copy, sig, len, *len);
    INNER(ctx_alg(o), signature_freectx, OSSL_FUNC_SIGNATURE_FREECTX)(copy);
    return ret;
}

/*
 * The whole message at once. EdDSA reads it twice, and a message that differs
 * between the two readings gives the private key away: so it is copied first.
 */
static int sign_oneshot(struct mpkprov_frame *f, struct object *o,
                        unsigned char *sig, size_t *len)
{
    OSSL_FUNC_signature_digest_sign_fn *sign = INNER(
        ctx_alg(o), signature_digest_sign, OSSL_FUNC_SIGNATURE_DIGEST_SIGN);
    unsigned char *message;
    int ret;

    if (sign == NULL) {
        return update(f, o) && sign_last(f, o, sig, len);
    }
    message = take(f, f->in, f->in_len);
    if (message == NULL) {
        return 0;
    }
    ret = sign(o->data, sig, len, *len, message, f->in_len);
    mpk_heap_free(message);
    return ret;
}

static int sign_plain(struct mpkprov_frame *f, struct object *o,
                      unsigned char *sig, size_t *len)
{
    OSSL_FUNC_signature_sign_fn *sign =
        INNER(ctx_alg(o), signature_sign, OSSL_FUNC_SIGNATURE_SIGN);
    OSSL_FUNC_signature_verify_recover_fn *recover =
        INNER(ctx_alg(o), signature_verify_recover,
              OSSL_FUNC_SIGNATURE_VERIFY_RECOVER);
    unsigned char *in = take(f, f->in, f->in_len);
    int ret = 0;

    if (in == NULL) {
        return 0;
    }
    if (f->what == LAST_RECOVER && o->what == INIT_RECOVER) {
        ret = recover != NULL ? recover(o->data, sig, len, *len, in, f->in_len)
                              : 0;
    } else if (o->what == INIT_SIGN && sign != NULL) {
        ret = sign(o->data, sig, len, *len, in, f->in_len);
    }
    mpk_heap_free(in);
    return ret;
}

static int make(struct mpkprov_frame *f, struct object *o, unsigned char *sig,
                size_t *len)
{
    switch (f->what) {
    case LAST_FINAL:
        return o->what == INIT_DIGEST_SIGN ? sign_last(f, o, sig, len) : 0;
    case LAST_ONESHOT:
    case LAST_GOING_ON:
        return o->what == INIT_DIGEST_SIGN ? sign_oneshot(f, o, sig, len) : 0;
    default:
        return sign_plain(f, o, sig, len);
    }
}

/* Makes a signature in |len| bytes at |sig|, and puts it where it is wanted. */
static int make_in(struct mpkprov_frame *f, struct object *o,
                   unsigned char *sig, size_t len)
{
    uint64_t refused = mpk_heap_refused();
    int made = 0;

    if (keygroup_open(f, o)) {
        made = make(f, o, sig, &len) > 0 && had_memory(refused);
        keygroup_close(o);
    }
    if (made) {
        forget_errors();
        return give(f, sig, len);
    }
    return fail_inner(f, f->what == LAST_RECOVER ? "verify recover" : "sign");
}

static int make_large(struct mpkprov_frame *f, struct object *o)
{
    size_t len = f->out_len < SIG_MAX ? f->out_len : SIG_MAX;
    unsigned char *sig = mpk_heap_alloc(len);
    int ok =
        sig != NULL ? make_in(f, o, sig, len) : fail(f, MPKPROV_R_MEMORY, NULL);

    mpk_heap_free(sig);
    return ok;
}

/*
 * Uses: handle, what = LAST_*, in = message or digest, out = signature. Without
 * a handle what sig_init uses as well, with type = INIT_*.
 */
int64_t sig_make_stub(void *frame)
{
    struct mpkprov_frame *f = frame;
    unsigned char sig[SIG_USUAL];
    struct object *o;
    int ok;

    if (f->handle == 0 && f->type == INIT_DIGEST_SIGN &&
        f->what == LAST_ONESHOT && sign_directly(f)) {
        handle_free_ended(f, OBJECT_CTX);
        handle_free_late();
        return 1;
    }
    o = f->handle != 0 ? ctx_pin(f, CTX_SIG) : begin(f, f->type);
    if (o == NULL) {
        return 0;
    }
    ok = f->out_len > sizeof(sig) ? make_large(f, o)
                                  : make_in(f, o, sig, f->out_len);
    handle_unpin(o);
    return ok;
}

static int check(struct mpkprov_frame *f, struct object *o,
                 const unsigned char *sig, const unsigned char *message)
{
    OSSL_FUNC_signature_verify_fn *plain =
        INNER(ctx_alg(o), signature_verify, OSSL_FUNC_SIGNATURE_VERIFY);
    OSSL_FUNC_signature_digest_verify_fn *oneshot = INNER(
        ctx_alg(o), signature_digest_verify, OSSL_FUNC_SIGNATURE_DIGEST_VERIFY);
    OSSL_FUNC_signature_digest_verify_final_fn *final =
        INNER(ctx_alg(o), signature_digest_verify_final,
              OSSL_FUNC_SIGNATURE_DIGEST_VERIFY_FINAL);

    if (o->what != (f->what == LAST_PLAIN ? INIT_VERIFY : INIT_DIGEST_VERIFY)) {
        return 0;
    }
    switch (f->what) {
    case LAST_FINAL:
        return final != NULL ? final(o->data, sig, f->in2_len) : 0;
    case LAST_ONESHOT:
        return oneshot != NULL
                   ? oneshot(o->data, sig, f->in2_len, message, f->in_len)
                   : 0;
    default:
        return plain != NULL
                   ? plain(o->data, sig, f->in2_len, message, f->in_len)
                   : 0;
    }
}

/* Uses: handle, what = LAST_*, in = message or digest, in2 = signature. */
int64_t sig_check_stub(void *frame)
{
    struct mpkprov_frame *f = frame;
    struct object *o = ctx_pin(f, CTX_SIG);
    unsigned char *sig, *message;
    int ret = 0;

    if (o == NULL) {
        return 0;
    }
    sig = take(f, f->in2, f->in2_len);
    message = take(f, f->in, f->what == LAST_FINAL ? 0 : f->in_len);
    if (sig != NULL && message != NULL && keygroup_open(f, o)) {
        ret = check(f, o, sig, message);
        keygroup_close(o);
        if (ret <= 0) {
            fail_inner(f, "verify");
        } else {
            forget_errors();
        }
    }
    mpk_heap_free(message);
    mpk_heap_free(sig);
    handle_unpin(o);
    return ret;
}
