/*
 * encoder.c - the text of a protected key: its public part, and a line that
 * says that the rest is protected. Every other output of a private key is
 * refused by the key's export.
 */
#include "prov.h"

#include <openssl/bio.h>

#include <stdlib.h>

/* There is nothing to keep from one text to the next. */
static void *newctx(void *provctx)
{
    return provctx;
}

static void freectx(void *ctx)
{
    (void)ctx;
}

/* The other encoders do very well what is public. Of parameters alone
 * libcrypto's text encoder makes a key without numbers, and follows NULL. */
static int does_selection(void *provctx, int selection)
{
    (void)provctx;
    return (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0 ||
           (selection & OSSL_KEYMGMT_SELECT_PUBLIC_KEY) == 0;
}

static int put(OSSL_CORE_BIO *out, const char *text, size_t len)
{
    size_t done;

    return prov.core.bio_write_ex(out, text, len, &done) && done == len;
}

#define TEXT_ROOM ((size_t)64 * 1024)

static int print(OSSL_CORE_BIO *out, const struct prov_key *key, int private)
{
    struct mpkprov_frame f = {
        .handle = key->handle, .what = !private, .out_len = TEXT_ROOM};
    char line[128] = "";
    int n = 0, ok;

    f.out = malloc(TEXT_ROOM);
    if (f.out == NULL) {
        return RAISE(OPERATION, "out of memory");
    }
    if (PROV_CALL(key_print, &f) != 1) {
        free(f.out);
        return 0;
    }
    if (private) {
        n = snprintf(line, sizeof(line),
                     "Private-Key: %s; the private part is protected by MPK "
                     "and is not shown\n",
                     mpkprov_types[key->type].name);
    }
    ok = put(out, line, (size_t)n) && put(out, f.out, f.out_len);
    free(f.out);
    return ok;
}

static int text_proxy(void *ctx, OSSL_CORE_BIO *out, const void *obj_raw,
                      const OSSL_PARAM obj_abstract[], int selection,
                      OSSL_PASSPHRASE_CALLBACK *cb, void *cbarg)
{
    (void)ctx;
    (void)cb;
    (void)cbarg;
    if (obj_abstract != NULL || !prov_key_usable(obj_raw)) {
        return 0;
    }
    return print(out, obj_raw,
                 (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0);
}

/* Never asked for with success; its presence keeps the object in this provider
 * and out of one that would ask for an export. */
static void *import_object(void *ctx, int selection, const OSSL_PARAM params[])
{
    (void)ctx;
    (void)selection;
    (void)params;
    return NULL;
}

static void free_object(void *obj)
{
    (void)obj;
}

#define FN(id, f)                                                              \
    {                                                                          \
        OSSL_FUNC_ENCODER_##id, (void (*)(void))(f)                            \
    }

static const OSSL_DISPATCH text_functions[] = {
    FN(NEWCTX, newctx),
    FN(FREECTX, freectx),
    FN(DOES_SELECTION, does_selection),
    FN(IMPORT_OBJECT, import_object),
    FN(FREE_OBJECT, free_object),
    FN(ENCODE, text_proxy),
    {0, NULL}};

/*
 * libcrypto's encoders for Microsoft's forms of DSA keys crash with the key of
 * any provider but its own (3.0): they take their own context for one of its
 * library. So these stand before them.
 */
static int refuse_proxy(void *ctx, OSSL_CORE_BIO *out, const void *obj_raw,
                        const OSSL_PARAM obj_abstract[], int selection,
                        OSSL_PASSPHRASE_CALLBACK *cb, void *cbarg)
{
    (void)ctx;
    (void)out;
    (void)obj_raw;
    (void)obj_abstract;
    (void)selection;
    (void)cb;
    (void)cbarg;
    return RAISE(UNSUPPORTED_KEY, "a protected DSA key is not written in "
                                  "Microsoft's forms; write its public part as "
                                  "PEM or DER");
}

static const OSSL_DISPATCH refuse_functions[] = {
    FN(NEWCTX, newctx),
    FN(FREECTX, freectx),
    FN(IMPORT_OBJECT, import_object),
    FN(FREE_OBJECT, free_object),
    FN(ENCODE, refuse_proxy),
    {0, NULL}};

#define TEXT(T, lower, name, aliases)                                          \
    {name aliases, "provider=mpk,output=text", text_functions,                 \
     "text of a protected key"},

const OSSL_ALGORITHM prov_encoders[] = {
    {"DSA", "provider=mpk,output=msblob", refuse_functions, "refuses"},
    {"DSA", "provider=mpk,output=pvk", refuse_functions, "refuses"},
    MPKPROV_KEY_TYPES(TEXT){NULL, NULL, NULL, NULL}};
