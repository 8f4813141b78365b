/* load.c - outside: taking a key into the domain, and handing it on. */
#include "keyload.h"
#include "kind.h"
#include "prov.h"

#include <openssl/core_object.h>

static int64_t attempt(const struct key_source *s, struct mpkprov_frame *f)
{
    /*
     * An error is raised by the caller: whether it is one depends on what
     * else there is to try.
     */
    f->error.reason = 0;
    f->in = s->path != NULL ? s->path : s->data;
    f->in_len = s->path != NULL ? strlen(s->path) : s->len;
    f->what = s->form;
    return mpk_call(s->path != NULL ? OP_key_file : OP_key_decode, f);
}

static int64_t attempt_with_passphrase(const struct key_source *s,
                                       struct mpkprov_frame *f,
                                       OSSL_PASSPHRASE_CALLBACK *cb,
                                       void *cbarg)
{
    char pass[KEYLOAD_PASS_MAX] = {0};
    size_t len = 0;
    int64_t ret;

    if (cb == NULL || !cb(pass, sizeof(pass), &len, NULL, cbarg)) {
        f->error.reason = MPKPROV_R_NO_PASSPHRASE;
        f->error.text[0] = '\0';
        ret = KEYLOAD_FAILED;
    } else {
        f->in2 = pass;
        f->in2_len = len;
        ret = attempt(s, f);
        f->in2 = NULL;
    }
    explicit_bzero(pass, sizeof(pass));
    return ret;
}

/*
 * A decoder that fails makes libcrypto try its old code, which loads the key
 * in the clear if it can. So only those failures are told as such that it must
 * share: a key that is no key, a wrong passphrase, which it remembers, and none
 * for DER, where it asks for none. Any other makes a key that refuses to be
 * used.
 */
static int may_fail(const struct key_source *s, int reason)
{
    return reason == MPKPROV_R_PASSPHRASE || reason == MPKPROV_R_BAD_KEY ||
           reason == MPKPROV_R_UNSUPPORTED_KEY ||
           (reason == MPKPROV_R_NO_PASSPHRASE && s->form == KEYLOAD_DER);
}

static const char *text_of(const struct mpkprov_error *e)
{
    if (e->text[0] != '\0') {
        return e->text;
    }
    for (const OSSL_ITEM *r = prov_reasons; r->id != 0; r++) {
        if ((int)r->id == e->reason) {
            return r->ptr;
        }
    }
    return "it could not be taken";
}

enum loaded prov_load(struct prov_ctx *ctx, const struct key_source *s,
                      OSSL_PASSPHRASE_CALLBACK *cb, void *cbarg,
                      struct prov_key **key)
{
    struct mpkprov_frame f = {0};
    int64_t ret;

    *key = NULL;
    if (ctx->refused[0] != '\0') {
        *key = prov_key_refused(ctx, KEY_ANY, ctx->refused);
        return LOADED_KEY;
    }
    ret = attempt(s, &f);
    if (ret == KEYLOAD_ENCRYPTED) {
        ret = attempt_with_passphrase(s, &f, cb, cbarg);
    }
    f.error.text[MPKPROV_ERROR_TEXT - 1] = '\0';
    switch (ret) {
    case KEYLOAD_NOTHING:
        return LOADED_NOTHING;
    case KEYLOAD_KEY:
        *key = prov_key_new(ctx, (enum key_type)f.type, f.handle);
        if (*key == NULL) {
            PROV_CALL(key_free, &f);
            *key = prov_key_refused(ctx, (enum key_type)f.type, NO_MEMORY);
        } else {
            kind_join(*key);
        }
        break;
    case KEYLOAD_REFUSED:
        *key = prov_key_refused(ctx, (enum key_type)f.type, f.error.text);
        break;
    default:
        if (s->path == NULL && !may_fail(s, f.error.reason)) {
            *key = prov_key_refused(ctx, KEY_ANY, text_of(&f.error));
            break;
        }
        prov_raise(f.error.reason, __func__, "%s", f.error.text);
        return LOADED_FAILED;
    }
    return LOADED_KEY;
}

int prov_key_give(struct prov_key *key, OSSL_CALLBACK *cb, void *cbarg)
{
    int type = OSSL_OBJECT_PKEY, ret;
    const char *name;
    OSSL_PARAM params[] = {
        OSSL_PARAM_int(OSSL_OBJECT_PARAM_TYPE, &type),
        OSSL_PARAM_utf8_string(OSSL_OBJECT_PARAM_DATA_TYPE, NULL, 0),
        OSSL_PARAM_octet_string(OSSL_OBJECT_PARAM_REFERENCE, &key, sizeof(key)),
        OSSL_PARAM_END};

    if (key->type == KEY_ANY) {
        key = prov_key_become(key, KEY_RSA); /* nobody has asked for one */
    }
    name = mpkprov_types[key->type].name;
    params[1].data = (char *)name;
    params[1].data_size = strlen(name);
    ret = cb(params, cbarg);
    /* The keymgmt's load took it and left nothing, or nobody did. */
    prov_key_free(key);
    return ret;
}
