/* cipher_stub.c - AEAD contexts inside, with their keys. */
#include "cipher_inside.h"
#include "secret.h"

#include <openssl/crypto.h>
#include <openssl/err.h>

#include <string.h>

#define X(slot, names, mode, key_len) {names, mode, key_len},
const struct cipher_row mpkprov_ciphers[CIPHER_SLOTS] = {CIPHERS(X)};
#undef X

static struct inner_alg algs[CIPHER_SLOTS];

int cipher_boot(struct mpkprov_frame *f)
{
    char name[32];

    for (int i = 0; i < CIPHER_SLOTS; i++) {
        const char *names = mpkprov_ciphers[i].names;
        size_t len = strcspn(names, ":");

        memcpy(name, names, len);
        name[len] = '\0';
        if (!inner_look_up(OSSL_OP_CIPHER, name, &algs[i])) {
            const char *const part[] = {"the inner OpenSSL has no ", name,
                                        NULL};

            return fail_with(f, MPKPROV_R_OPERATION, part);
        }
    }
    return 1;
}

int cipher_failed(struct mpkprov_frame *f, const char *what)
{
    return ERR_peek_error() != 0 ? fail_inner(f, what) : 0;
}

/* ---- making and finding ------------------------------------------------- */

void cipher_release(void *data)
{
    struct cipher_inside *s = data;

    CIPHER_FN(s, freectx, FREECTX)(s->ctx);
    mpk_heap_free(s);
}

/* Takes over |ctx|, also when it fails. */
static struct cipher_inside *wrap(int slot, void *ctx)
{
    struct cipher_inside *s = ctx != NULL ? mpk_heap_alloc(sizeof(*s)) : NULL;

    if (s == NULL) {
        if (ctx != NULL) {
            INNER(&algs[slot], cipher_freectx, OSSL_FUNC_CIPHER_FREECTX)(ctx);
        }
        return NULL;
    }
    s->alg = &algs[slot];
    s->row = &mpkprov_ciphers[slot];
    s->deep_from = cipher_deep_from(s->row);
    s->ctx = ctx;
    s->param[0] = OSSL_PARAM_construct_octet_string(NULL, NULL, 0);
    s->param[1] = OSSL_PARAM_construct_end();
    return s;
}

static struct object *pin(struct mpkprov_frame *f, int exclusive)
{
    struct object *o = handle_pin(f->handle, OBJECT_CIPHER, exclusive);

    if (o == NULL) {
        fail(f, MPKPROV_R_HANDLE,
             "not a cipher context, or in use by another thread");
    }
    return o;
}

struct object *cipher_open(struct mpkprov_frame *f)
{
    struct object *o;

    if (f->handle != 0) {
        return pin(f, 1);
    }
    if (f->type < 0 || f->type >= CIPHER_SLOTS) {
        fail(f, MPKPROV_R_PARAMETER, "no such cipher");
        return NULL;
    }
    o = handle_new(OBJECT_CIPHER, &f->handle);
    if (o != NULL) {
        o->data = wrap(f->type,
                       INNER(&algs[f->type], cipher_newctx,
                             OSSL_FUNC_CIPHER_NEWCTX)(mpkprov_inner.provctx));
        if (o->data != NULL) {
            return o;
        }
        handle_made(o, &f->handle, 0);
    }
    fail(f, MPKPROV_R_MEMORY, NULL);
    return NULL;
}

/* ---- init, copies ------------------------------------------------------- */

/* With the handle for a key the record would be readable for all who can read
 * the handle. */
#define KEY_IS_GONE                                                            \
    "a cipher key that was taken before, or waited while too many others came"

/*
 * Puts the key at f->in into |key|; which is what a handle stands for, if it is
 * one. Whether that is the context's key after an init that fails nobody says,
 * so until one has worked the key of before counts too (init_over).
 */
static int enter_key(struct mpkprov_frame *f, struct cipher_inside *s,
                     unsigned char key[CIPHER_KEY_MAX])
{
    if (f->in_len > CIPHER_KEY_MAX || mpk_copy_in(key, f->in, f->in_len) != 0) {
        return fail(f, MPKPROV_R_PARAMETER, "a key of this length");
    }
    s->comes =
        f->in_len == s->row->key_len ? key_take(key, f->in_len) : KEY_RAW;
    if (s->comes > s->sealed) {
        s->sealed = s->comes;
    }
    return s->comes != KEY_GONE || fail(f, MPKPROV_R_HANDLE, KEY_IS_GONE);
}

static int init_over(struct mpkprov_frame *f, struct cipher_inside *s, int ok)
{
    if (ok && f->in != NULL) {
        s->sealed = s->comes;
    }
    return ok ? 1 : cipher_failed(f, "cipher init");
}

/* The init proper: what was held comes before it. */
static int init_keyed(struct mpkprov_frame *f, struct cipher_inside *s)
{
    unsigned char key[CIPHER_KEY_MAX], iv[128];
    const unsigned char *k = f->in != NULL ? key : NULL;
    const unsigned char *v = f->out != NULL ? iv : NULL;
    struct params_in ps;
    int ok;

    if (v != NULL &&
        (f->out_len > sizeof(iv) || mpk_copy_in(iv, f->out, f->out_len) != 0)) {
        return fail(f, MPKPROV_R_PARAMETER, "a nonce of this length");
    }
    if (k != NULL && !enter_key(f, s, key)) {
        return 0;
    }
    ok = frame_params_enter(f, &ps, 0, "cipher parameter") &&
         cipher_settable_safely(f, s, &ps,
                                v != NULL ? f->out_len : cipher_iv_len(s)) &&
         (v == NULL || cipher_nonce_is_safe(f, s, f->out_len)) &&
         cipher_inner_init(s, f->what, k, f->in_len, v, f->out_len,
                           params_or_null(f, &ps));
    if (ok && f->params != NULL) {
        cipher_notice_set(s, ps.p);
    }
    params_free(&ps);
    OPENSSL_cleanse(key, sizeof(key));
    return init_over(f, s, ok);
}

/* Makes or finds the context, does what was held, then |init|. */
static int64_t init_with(struct mpkprov_frame *f, int may_draw,
                         int (*init)(struct mpkprov_frame *f,
                                     struct cipher_inside *s))
{
    struct object *o = cipher_open(f);
    struct cipher_inside *s;
    int ok;

    if (o == NULL) {
        return 0;
    }
    s = o->data;
    ok = may_draw || f->in_len < s->deep_from ? cipher_replay(f, s, may_draw, 0)
                                              : CIPHER_DEEP;
    if (ok != CIPHER_DRAW && ok != CIPHER_DEEP) {
        ok = ok && (f->what < 0 || init(f, s));
        cipher_tell_lengths(f, s);
        f->what = s->sealed != KEY_RAW;
    }
    handle_unpin(o);
    return ok;
}

/*
 * Uses: handle, or 0 and type = slot to make one; what = encrypt, or -1 for
 * nothing but what was held; in = key, out = nonce, either may be NULL; params;
 * in2 = what was held; ended. Sets out_len, out2_len = lengths of nonce and
 * tag, what = the key came as a handle.
 */
int64_t cipher_init_stub(void *frame)
{
    struct mpkprov_frame *f = frame;

    handle_free_ended(f, OBJECT_CIPHER);
    return init_with(f, 1, init_keyed);
}

/* The key is not put on the stack, which is the caller's. */
static int init_key_only(struct mpkprov_frame *f, struct cipher_inside *s)
{
    int ok = enter_key(f, s, s->key) &&
             cipher_inner_init(s, f->what, s->key, f->in_len, NULL, 0, NULL);

    OPENSSL_cleanse(s->key, sizeof(s->key));
    return init_over(f, s, ok);
}

/* The same with a key and nothing else, which is how libssl begins: uses and
 * sets what cipher_init does, without nonce, params and ended. CIPHER_DRAW,
 * CIPHER_DEEP: it has to be cipher_init. */
int64_t cipher_start_stub(void *frame)
{
    return init_with(frame, 0, init_key_only);
}

/* Uses: handle. Makes handle2, a copy. What was held stays held in both.
 * Several threads may copy one context, which is only read; but for what
 * cipher_ctx_dup has taken in first. */
int64_t cipher_dup_stub(void *frame)
{
    struct mpkprov_frame *f = frame;
    struct object *o = pin(f, 0), *copy;
    struct cipher_inside *s;

    if (o == NULL) {
        return 0;
    }
    s = o->data;
    copy = handle_new(OBJECT_CIPHER, &f->handle2);
    if (copy != NULL) {
        struct cipher_inside *t =
            wrap((int)(s->alg - algs), CIPHER_FN(s, dupctx, DUPCTX)(s->ctx));

        if (t != NULL) {
            t->encrypt = s->encrypt;
            t->sealed = s->sealed;
            t->counts = s->counts;
            t->forks = s->forks;
            t->has_nonce = s->has_nonce;
            t->has_tls12_header = s->has_tls12_header;
        }
        copy->data = t;
    }
    handle_unpin(o);
    return handle_made(copy, &f->handle2, 1)
               ? 1
               : fail_inner(f, "a copy of the cipher context");
}

/* Uses: handle, ended. */
int64_t cipher_free_stub(void *frame)
{
    struct mpkprov_frame *f = frame;

    handle_free_ended(f, OBJECT_CIPHER);
    handle_free(f->handle, OBJECT_CIPHER);
    return 1;
}

/*
 * Uses: type = slot, what = CIPHER_INFO, with params; or another of these,
 * which set out.
 */
int64_t cipher_info_stub(void *frame)
{
    struct mpkprov_frame *f = frame;
    const struct inner_alg *alg;
    const OSSL_PARAM *t;
    struct params_in ps;
    int ok;

    if (f->type < 0 || f->type >= CIPHER_SLOTS) {
        return fail(f, MPKPROV_R_PARAMETER, "no such cipher");
    }
    alg = &algs[f->type];
    switch (f->what) {
    case CIPHER_INFO:
        ok =
            frame_params_enter(f, &ps, 1, "cipher parameter") &&
            (INNER(alg, cipher_get_params, OSSL_FUNC_CIPHER_GET_PARAMS)(ps.p) ||
             cipher_failed(f, "parameter of a cipher")) &&
            params_answer(&ps, NULL, 0);
        params_free(&ps);
        return ok;
    case CIPHER_INFO_GET:
        t = INNER(alg, cipher_gettable_params,
                  OSSL_FUNC_CIPHER_GETTABLE_PARAMS)(mpkprov_inner.provctx);
        break;
    case CIPHER_CTX_GET:
        t = INNER(alg, cipher_gettable_ctx_params,
                  OSSL_FUNC_CIPHER_GETTABLE_CTX_PARAMS)(NULL,
                                                        mpkprov_inner.provctx);
        break;
    default:
        t = INNER(alg, cipher_settable_ctx_params,
                  OSSL_FUNC_CIPHER_SETTABLE_CTX_PARAMS)(NULL,
                                                        mpkprov_inner.provctx);
    }
    return table_show(f, t);
}
