/* keymgmt_stub.c - key objects inside: what they hold, answer, and give away.
 */
#include "inside.h"
#include "keymgmt.h"

#include <openssl/core_names.h>

void *key_data_new(enum key_type type)
{
    return KEY_FN(type, new, NEW)(mpkprov_inner.provctx);
}

void key_data_free(enum key_type type, void *data)
{
    if (data != NULL) {
        KEY_FN(type, free, FREE)(data);
    }
}

int key_data_has_private(enum key_type type, const void *data)
{
    return KEY_FN(type, has, HAS)(data, OSSL_KEYMGMT_SELECT_PRIVATE_KEY) > 0;
}

static int is_rsa(const struct object *o)
{
    return o->type == KEY_RSA || o->type == KEY_RSA_PSS;
}

static int has(const struct object *o, int selection)
{
    return KEY_FN(o->type, has, HAS)(o->data, selection);
}

void key_note_whole(struct object *o)
{
    o->whole = has(o, OSSL_KEYMGMT_SELECT_DOMAIN_PARAMETERS) &&
               (has(o, OSSL_KEYMGMT_SELECT_PUBLIC_KEY) ||
                (!is_rsa(o) && has(o, OSSL_KEYMGMT_SELECT_PRIVATE_KEY)));
}

/* Uses: type. Makes handle, an empty key. */
int64_t key_new_stub(void *frame)
{
    struct mpkprov_frame *f = frame;
    struct object *o;

    if (!key_type_ok(f->type)) {
        return fail(f, MPKPROV_R_PARAMETER, "no such type of key");
    }
    if (!inner_methods(f)) {
        return 0;
    }
    o = handle_new(OBJECT_KEY, &f->handle);
    if (o == NULL) {
        return fail(f, MPKPROV_R_MEMORY, NULL);
    }
    o->type = (enum key_type)f->type;
    o->data = key_data_new(o->type);
    return handle_made(o, &f->handle, 1) ? 1 : fail_inner(f, "a new key");
}

/* Uses: handle. */
int64_t key_free_stub(void *frame)
{
    struct mpkprov_frame *f = frame;

    handle_free_ended(f, OBJECT_CTX);
    handle_free_late();
    handle_free(f->handle, OBJECT_KEY);
    return 1;
}

static struct object *pin_key(struct mpkprov_frame *f, uint64_t handle,
                              int exclusive)
{
    struct object *o = handle_pin(handle, OBJECT_KEY, exclusive);

    if (o == NULL) {
        fail(f, MPKPROV_R_HANDLE, "not a key, or in use by another thread");
    }
    return o;
}

/* Uses: handle, what = selection. */
int64_t key_has_stub(void *frame)
{
    struct mpkprov_frame *f = frame;
    struct object *o = pin_key(f, f->handle, 0);
    int ret;

    if (o == NULL) {
        return 0;
    }
    ret = keygroup_open(f, o);
    if (ret) {
        ret = has(o, f->what);
        keygroup_close(o);
    }
    handle_unpin(o);
    forget_errors();
    return ret;
}

/*
 * Two keys with a group each cannot be open at once: then the public part of
 * one is copied, and private parts match when the public ones do.
 */
static int match_keys(struct mpkprov_frame *f, const struct object *a,
                      const struct object *b)
{
    OSSL_FUNC_keymgmt_match_fn *match = KEY_FN(a->type, match, MATCH);
    void *other = b->data;
    int what = f->what, ret = 0;

    if (b->group != NULL && b->group != a->group) {
        other = keygroup_copy(f, b, EVP_PKEY_PUBLIC_KEY);
        if (what & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) {
            what &= ~OSSL_KEYMGMT_SELECT_PRIVATE_KEY;
            what |= OSSL_KEYMGMT_SELECT_PUBLIC_KEY;
        }
    }
    if (match != NULL && other != NULL && keygroup_open(f, a)) {
        ret = match(a->data, other, what);
        keygroup_close(a);
    }
    if (other != b->data) {
        key_data_free(a->type, other);
    }
    return ret;
}

/* Uses: handle, handle2, what = selection. */
int64_t key_match_stub(void *frame)
{
    struct mpkprov_frame *f = frame;
    struct object *a = pin_key(f, f->handle, 0);
    struct object *b = pin_key(f, f->handle2, 0);
    int ret = 0;

    if (a != NULL && b != NULL && a->type == b->type) {
        ret = match_keys(f, a, b);
    }
    handle_unpin(b);
    handle_unpin(a);
    if (ret <= 0 && mpk_heap_refused() != 0) {
        return fail_inner(f, "the keys do not match");
    }
    forget_errors();
    return ret;
}

/* Uses: handle, what = selection, in_len = check type. */
int64_t key_validate_stub(void *frame)
{
    struct mpkprov_frame *f = frame;
    struct object *o = pin_key(f, f->handle, 0);
    OSSL_FUNC_keymgmt_validate_fn *validate;
    int ret;

    if (o == NULL) {
        return 0;
    }
    validate = KEY_FN(o->type, validate, VALIDATE);
    ret = keygroup_open(f, o);
    if (ret) {
        /* Parameters alone may be looked at. */
        ret = validate != NULL && (o->whole || !is_rsa(o)) &&
              has(o, OSSL_KEYMGMT_SELECT_DOMAIN_PARAMETERS) &&
              validate(o->data, f->what, (int)f->in_len) > 0;
        keygroup_close(o);
    }
    handle_unpin(o);
    return ret ? 1 : fail_inner(f, "the key is not valid");
}

/*
 * What the inner OpenSSL copies of a key, in the shared heap. What has a group
 * is copied by its numbers; of those alone that are public, what it would copy
 * is for it to say.
 */
static void *dup_data(struct mpkprov_frame *f, const struct object *o, int what)
{
    OSSL_FUNC_keymgmt_dup_fn *dup = KEY_FN(o->type, dup, DUP);
    void *half, *copy;

    if (o->group == NULL) {
        return dup(o->data, what);
    }
    if (what & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) {
        return keygroup_copy(f, o, what);
    }
    half = keygroup_copy(f, o, EVP_PKEY_PUBLIC_KEY);
    copy = half != NULL ? dup(half, what) : NULL;
    key_data_free(o->type, half);
    return copy;
}

/* Uses: handle, what = selection. Makes handle2, a copy. */
int64_t key_dup_stub(void *frame)
{
    struct mpkprov_frame *f = frame;
    struct object *o = pin_key(f, f->handle, 0), *copy;
    uint64_t refused = mpk_heap_refused();
    int ok = 1;

    if (o == NULL) {
        return 0;
    }
    /*
     * A private part never goes without its public part: with another one
     * beside it two signatures would give it away.
     */
    if (f->what & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) {
        f->what = OSSL_KEYMGMT_SELECT_ALL;
    }
    copy = handle_new(OBJECT_KEY, &f->handle2);
    if (copy != NULL) {
        copy->type = o->type;
        copy->filled = 1;
        copy->data = dup_data(f, o, f->what);
        if (copy->data != NULL) {
            key_note_whole(copy);
        }
        ok = keygroup_move(f, copy) && had_memory(refused);
    }
    handle_unpin(o);
    return handle_made(copy, &f->handle2, ok)
               ? 1
               : fail_inner(f, "a copy of the key");
}

/*
 * Uses: handle, what = selection, params. A key is imported once, into a new
 * object: another public part beside a private one that is there already would
 * give that away with two signatures.
 */
int64_t key_import_stub(void *frame)
{
    struct mpkprov_frame *f = frame;
    struct object *o = pin_key(f, f->handle, 1);
    uint64_t refused = mpk_heap_refused();
    struct params_in ps;
    int ret;

    if (o == NULL) {
        return 0;
    }
    if (o->filled) {
        handle_unpin(o);
        return fail(f, MPKPROV_R_PARAMETER, "the key has its numbers already");
    }
    o->filled = 1;
    if (!frame_params_enter(f, &ps, 0, "parameters of a key")) {
        params_free(&ps);
        handle_unpin(o);
        return 0;
    }
    ret = KEY_FN(o->type, import, IMPORT)(o->data, f->what, ps.p);
    params_free(&ps);
    ret = had_memory(refused) ? ret : 0;
    if (ret > 0) {
        key_note_whole(o);
    }
    if (ret > 0 && !keygroup_move(f, o)) {
        o->whole = 0; /* not in pages of its own */
        handle_unpin(o);
        return 0;
    }
    handle_unpin(o);
    return ret > 0 ? 1 : fail_inner(f, "import");
}

static int export_flat(const OSSL_PARAM params[], void *arg)
{
    struct mpkprov_frame *f = arg;
    size_t need = params_flatten(f->out, f->out_len, params);

    f->out2_len = need;
    return need != 0;
}

/*
 * Uses: handle, what = selection, out. Puts an OSSL_PARAM array at out;
 * out2_len is the room needed. Nothing private is ever exported.
 */
int64_t key_export_stub(void *frame)
{
    struct mpkprov_frame *f = frame;
    struct object *o;
    int ret;

    f->out2_len = 0;
    if (f->what & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) {
        return fail(f, MPKPROV_R_PROTECTED, "it is not exported");
    }
    o = pin_key(f, f->handle, 0);
    if (o == NULL) {
        return 0;
    }
    ret = keygroup_open(f, o);
    if (ret) {
        ret = KEY_FN(o->type, export, EXPORT)(o->data, f->what, export_flat, f);
        keygroup_close(o);
    }
    handle_unpin(o);
    return ret > 0 ? 1 : fail_inner(f, "export");
}

/* Uses: handle, params, which are answered if they are public. */
int64_t key_get_stub(void *frame)
{
    struct mpkprov_frame *f = frame;
    struct object *o = pin_key(f, f->handle, 0);
    struct params_in ps;
    int ret;

    if (o == NULL) {
        return 0;
    }
    if (!params_enter(&ps, f->params, 1,
                      mpkprov_types[o->type].public_params)) {
        params_free(&ps);
        handle_unpin(o);
        return fail_params(f, "parameters to get");
    }
    ret = keygroup_open(f, o);
    if (ret) {
        ret = KEY_FN(o->type, get_params, GET_PARAMS)(o->data, ps.p);
        keygroup_close(o);
    }
    if (ret > 0) {
        ret = params_answer(&ps, NULL, 0);
    } else {
        params_answer_room(&ps);
    }
    params_free(&ps);
    handle_unpin(o);
    return ret > 0 ? 1 : fail_inner(f, "the key's parameters");
}

/*
 * A key that contexts hold is not changed: what it computes with may be in use
 * by another thread. The other names here are of flags, which nothing follows.
 * What is not here may be a name that the inner OpenSSL does not list; to such
 * a key it is one that nobody knows.
 */
static const char *const in_use[] = {OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY,
                                     OSSL_PKEY_PARAM_USE_COFACTOR_ECDH,
                                     OSSL_PKEY_PARAM_EC_ENCODING,
                                     OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT,
                                     OSSL_PKEY_PARAM_EC_INCLUDE_PUBLIC,
                                     OSSL_PKEY_PARAM_EC_GROUP_CHECK_TYPE,
                                     NULL};

static int has_number(const OSSL_PARAM *p, enum key_type type)
{
    const char *name = OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY;

    return OSSL_PARAM_locate_const(p, name) != NULL &&
           OSSL_PARAM_locate_const(key_settable_of(type), name) != NULL;
}

static int set_in(struct mpkprov_frame *f, struct object *o,
                  OSSL_FUNC_keymgmt_set_params_fn *set, const OSSL_PARAM *p)
{
    int ret;

    if (o->used && has_number(p, o->type)) {
        return fail(f, MPKPROV_R_PARAMETER, "the key is in use");
    }
    if (!keygroup_open(f, o)) {
        return 0;
    }
    /* The inner OpenSSL looks at a curve without asking for one. */
    ret = has(o, OSSL_KEYMGMT_SELECT_DOMAIN_PARAMETERS) && set(o->data, p) > 0;
    key_note_whole(o);
    keygroup_close(o);
    return ret ? 1 : fail_inner(f, "setting the key's parameters");
}

/* Uses: handle, params. */
int64_t key_set_stub(void *frame)
{
    struct mpkprov_frame *f = frame;
    struct object *o = pin_key(f, f->handle, 1);
    OSSL_FUNC_keymgmt_set_params_fn *set;
    struct params_in ps;
    int ret = 1;

    if (o == NULL) {
        return 0;
    }
    set = KEY_FN(o->type, set_params, SET_PARAMS);
    /* Where nothing can be set, setting is a success, as EVP has it. */
    if (set != NULL) {
        ret = params_enter(&ps, f->params, 0, o->used ? in_use : NULL)
                  ? set_in(f, o, set, ps.p)
                  : fail_params(f, "parameters of a key");
        params_free(&ps);
    }
    handle_unpin(o);
    return ret;
}

/* An object for a key of f->type, to be filled from |arg| by |import|. */
static int adopt(struct mpkprov_frame *f,
                 int (*import)(struct object *o, void *arg), void *arg)
{
    struct object *o;
    uint64_t refused;
    int ok;

    if (!inner_methods(f)) {
        return 0;
    }
    handle_free_late();
    refused = mpk_heap_refused();
    o = handle_new(OBJECT_KEY, &f->handle);
    if (o != NULL) {
        o->filled = o->whole = 1;
        o->type = (enum key_type)f->type;
        o->data = key_data_new(o->type);
    }
    ok = o != NULL && o->data != NULL && import(o, arg) &&
         keygroup_move(f, o) && had_memory(refused);
    if (!ok) {
        fail_inner(f, "the key cannot be taken"); /* before its end, or none */
    }
    return handle_made(o, &f->handle, ok);
}

static int import_params(const OSSL_PARAM params[], void *arg)
{
    struct object *o = arg;

    return params_may_end(params) && KEY_FN(o->type, import, IMPORT)(
                                         o->data, EVP_PKEY_KEYPAIR, params) > 0;
}

static int import_pkey(struct object *o, void *arg)
{
    return EVP_PKEY_export(arg, EVP_PKEY_KEYPAIR, import_params, o) == 1;
}

static int import_data(struct object *o, void *arg)
{
    return KEY_FN(o->type, export, EXPORT)(arg, EVP_PKEY_KEYPAIR, import_params,
                                           o) > 0;
}

int key_adopt(struct mpkprov_frame *f, EVP_PKEY *pkey)
{
    f->handle = 0;
    f->type = KEY_ANY;
    for (int t = 0; t < KEY_TYPES; t++) {
        if (EVP_PKEY_is_a(pkey, mpkprov_types[t].name)) {
            f->type = t;
            break;
        }
    }
    return f->type != KEY_ANY ? adopt(f, import_pkey, pkey)
                              : fail(f, MPKPROV_R_UNSUPPORTED_KEY,
                                     "no type that is supported");
}

int key_adopt_data(struct mpkprov_frame *f, enum key_type type, void *data)
{
    f->handle = 0;
    f->type = type;
    return adopt(f, import_data, data);
}

EVP_PKEY *key_public(struct mpkprov_frame *f, const struct object *key)
{
    OSSL_PARAM *numbers = keygroup_numbers(f, key, EVP_PKEY_PUBLIC_KEY);
    EVP_PKEY_CTX *ctx =
        EVP_PKEY_CTX_new_from_name(NULL, mpkprov_types[key->type].name, NULL);
    EVP_PKEY *pkey = NULL;

    if (numbers != NULL && ctx != NULL && EVP_PKEY_fromdata_init(ctx) > 0) {
        EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, numbers);
    }
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(numbers);
    return pkey;
}
