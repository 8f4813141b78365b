/*
 * attack_perkey_entries.c - the gate's table of a module for tests only, in
 * which the comparison of two keys is a bug: at work for the first key, it
 * reads the second one. What works with copies of a key in everybody's heap
 * fails if there is more in one than it is for.
 */
#include "inside.h"

#include <openssl/core_names.h>

static int64_t attack_match_stub(void *frame);
static int64_t attack_gen_stub(void *frame);

/* Where the table has these, it gets others. */
#define key_match_stub attack_match_stub
#define gen_run_stub attack_gen_stub
#include "entries.c"
#undef gen_run_stub

static int nameless;

/* Makes a key like another one, of which the generation has a copy; from then
 * on nobody says who allocates, which nothing else would begin. */
static int64_t attack_gen_stub(void *frame)
{
    struct mpkprov_frame *f = frame;
    struct object *o = handle_pin(f->handle, OBJECT_GEN, 1);
    int shown =
        o != NULL && o->from != NULL && key_data_has_private(o->type, o->from);
    int64_t ret;

    handle_unpin(o);
    ret = gen_run_stub(frame);
    nameless = 1;
    return shown ? 0 : ret;
}

/* What is called instead of what has these names (--wrap). */
int __real_EVP_PKEY_fromdata(EVP_PKEY_CTX *ctx, EVP_PKEY **pkey, int selection,
                             OSSL_PARAM params[]);
int __wrap_EVP_PKEY_fromdata(EVP_PKEY_CTX *ctx, EVP_PKEY **pkey, int selection,
                             OSSL_PARAM params[]);
void *__real_keygroup_malloc(size_t n, const char *file);
void *__wrap_keygroup_malloc(size_t n, const char *file);

/* Makes a key of numbers that are in everybody's heap. */
int __wrap_EVP_PKEY_fromdata(EVP_PKEY_CTX *ctx, EVP_PKEY **pkey, int selection,
                             OSSL_PARAM params[])
{
    if (selection == EVP_PKEY_PUBLIC_KEY &&
        (OSSL_PARAM_locate(params, OSSL_PKEY_PARAM_PRIV_KEY) != NULL ||
         OSSL_PARAM_locate(params, OSSL_PKEY_PARAM_RSA_D) != NULL)) {
        return 0;
    }
    return __real_EVP_PKEY_fromdata(ctx, pkey, selection, params);
}

/* As an OpenSSL does that does not say who allocates. */
void *__wrap_keygroup_malloc(size_t n, const char *file)
{
    return __real_keygroup_malloc(n, nameless ? NULL : file);
}

static int64_t attack_match_stub(void *frame)
{
    struct mpkprov_frame *f = frame;
    struct object *a = handle_pin(f->handle, OBJECT_KEY, 0);
    struct object *b = handle_pin(f->handle2, OBJECT_KEY, 0);
    int64_t ok = 0;

    if (a != NULL && b != NULL && keygroup_open(f, a)) {
        (void)*(volatile unsigned char *)a->data;
        (void)*(volatile unsigned char *)b->data;
        keygroup_close(a);
        ok = 1;
    }
    handle_unpin(b);
    handle_unpin(a);
    return ok;
}
