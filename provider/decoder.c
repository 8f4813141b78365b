/*
 * decoder.c - private keys that the application loads by libcrypto's decoders.
 *
 * Readers take PEM or DER, put the key into the domain and pass a token on. One
 * decoder for each type of key then gives the key for its token. By their name,
 * "DER" or with OpenSSL 3.0 "PVK", the readers are tried before libcrypto's own
 * as long as this provider is the last in the configuration; they look at
 * nothing but private keys. MSBLOB and PVK have readers too with 3.0, and else
 * decoders of their types, and no token.
 */
#include "der.h"
#include "freed.h"
#include "keyload.h"
#include "msblob.h"
#include "pem.h"
#include "prov.h"
#include "seal.h"

#include <openssl/bio.h>
#include <openssl/core_object.h>

#include <stdint.h>

/* ---- contexts ------------------------------------------------------------ */

/* The context's own: there is nothing to allocate, and so nothing to fail. */
static void *decoder_of(void *provctx, enum key_type type)
{
    struct prov_ctx *ctx = provctx;

    prov_selfcheck_run(ctx);
    return &ctx->decoders[type + 1];
}

static void *reader_newctx(void *provctx)
{
    return decoder_of(provctx, KEY_ANY);
}

static void decoder_free(void *ctx)
{
    (void)ctx;
}

/* Private keys, or, for a store, whatever comes. */
static int wanted(int selection)
{
    return selection == 0 || (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0;
}

/* libcrypto does not ask this of decoders that it adds to a chain, so they
 * look at the selection themselves. */
static int does_selection(void *provctx, int selection)
{
    (void)provctx;
    return wanted(selection);
}

/* A reader is asked this where decoders of types are looked for: 3.0 goes on to
 * compare its name with those of all types, and a chain takes it unasked. */
static int is_not_a_type(void *provctx, int selection)
{
    (void)provctx;
    (void)selection;
    return 0;
}

/* ---- readers ------------------------------------------------------------- */

/*
 * Nobody knows what it was. A store is told so; what asks for a private key
 * would turn to other code, and gets one that refuses.
 */
static int give_up(struct prov_ctx *ctx, const char *why, int selection,
                   OSSL_CALLBACK *cb, void *cbarg)
{
    return selection == 0 ? RAISE(OPERATION, "%s", why)
                          : token_pass_refused(ctx, why, cb, cbarg);
}

/* The same, with nothing left that a store could try again. */
static int no_memory(struct prov_ctx *ctx, OSSL_CORE_BIO *bio, int selection,
                     OSSL_CALLBACK *cb, void *cbarg)
{
    bytes_skip(bio, SIZE_MAX);
    return give_up(ctx, NO_MEMORY, selection, cb, cbarg);
}

/* What breaks off may go on when libcrypto's readers try. */
#define BREAKS_OFF "its text breaks off: a read failed, not at the end"

/* What is behind more text than this is refused. */
#define TEXT_MAX ((size_t)64 << 20)

#define DAMAGED                                                                \
    "it is damaged, of a type that is not supported, or encrypted with "       \
    "another passphrase, and more is behind it"

/*
 * Whether there is a block behind the one just read. Where libcrypto cannot go
 * back to that one, its old code would go on to it.
 */
static int more_behind(struct bytes *b, OSSL_CORE_BIO *bio)
{
    size_t had;

    do {
        had = b->len;
        if (had >= TEXT_MAX || !bytes_read_line(b, bio) ||
            memmem(b->p + had, b->len - had, PEM_BEGIN,
                   sizeof(PEM_BEGIN) - 1) != NULL) {
            return 1;
        }
    } while (b->len != had);
    return b->more_later;
}

/* What read_key returns when there is nothing to hand on. NO_KEY is for DER
 * only: what a PEM block says to be one and is not has failed. */
enum { NO_KEY = -1, NOT_TAKEN = -2 };

static int read_key(struct prov_decoder *d, const struct key_source *s,
                    OSSL_CALLBACK *cb, void *cbarg,
                    OSSL_PASSPHRASE_CALLBACK *pw_cb, void *pw_cbarg)
{
    struct prov_key *key;

    switch (prov_load(d->ctx, s, pw_cb, pw_cbarg, &key)) {
    case LOADED_NOTHING:
        return NO_KEY;
    case LOADED_KEY:
        return token_pass(key, s, cb, cbarg) != 0;
    default:
        return NOT_TAKEN;
    }
}

/* Hands on what is no private key, where libcrypto could not read it again: it
 * would go on to what is behind that, which may be one. */
static int pass_object(void *der, size_t len, OSSL_CALLBACK *cb, void *cbarg)
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_octet_string(OSSL_OBJECT_PARAM_DATA, der, len),
        OSSL_PARAM_END};

    return cb(params, cbarg);
}

#define NOT_AGAIN "it is no private key, and cannot be read a second time"

/* What libcrypto's readers get that come next. */
static int leave(struct bytes *b, OSSL_CORE_BIO *bio, long at,
                 enum bytes_der is, OSSL_CALLBACK *cb, void *cbarg)
{
    if (b->len == 0 || bytes_place(bio) == at + (long)b->len) {
        return 1;
    }
    return is == DER_ALL ? pass_object(b->p, b->len, cb, cbarg)
                         : RAISE(OPERATION, NOT_AGAIN);
}

/* libcrypto may have looked for lines of PEM in it before, and what came from
 * memory may have come from a stream. */
static void wipe_what_others_had(OSSL_CORE_BIO *bio)
{
    freed_wipe(FREED_LINE);
    if (bytes_stream(bio) == NULL) {
        freed_expect();
    }
}

static int read_der(void *ctx, OSSL_CORE_BIO *bio, int selection,
                    OSSL_CALLBACK *cb, void *cbarg,
                    OSSL_PASSPHRASE_CALLBACK *pw_cb, void *pw_cbarg)
{
    long at = bytes_place(bio);
    struct prov_decoder *d = ctx;
    struct bytes b = {0};
    enum bytes_der is;
    int ret = NO_KEY;

    if (!wanted(selection)) {
        return 1;
    }
    is = bytes_read_der(&b, bio);
    if (is == DER_ALL && der_may_be_key(b.p, b.len)) {
        struct key_source s = {.data = b.p, .len = b.len};

        ret = read_key(d, &s, cb, cbarg, pw_cb, pw_cbarg);
        wipe_what_others_had(bio);
    } else if (is == DER_NO_MEMORY) {
        ret = no_memory(d->ctx, bio, selection, cb, cbarg);
    } else if (is == DER_TOO_LARGE && der_begins_key(b.p, b.len)) {
        bytes_skip(bio, b.more);
        ret = token_pass_refused(d->ctx, KEYLOAD_TOO_LARGE, cb, cbarg);
    } else if (is == DER_CUT && (b.more_later || der_begins_key(b.p, b.len))) {
        ret = give_up(d->ctx, BREAKS_OFF, selection, cb, cbarg);
    }
    if (ret == NO_KEY) {
        ret = leave(&b, bio, at, is, cb, cbarg);
    }
    bytes_free(&b);
    return ret != NOT_TAKEN ? ret : 0;
}

/* ---- PEM ----------------------------------------------------------------- */

#define TOO_MUCH_TEXT "there are more than 64 MiB of text before it"

/* What libcrypto makes of a text with zero bytes depends on where it is read
 * from, so the inside might find no key where libcrypto's old code has one. */
#define ZEROS                                                                  \
    "there are zero bytes in its text; write the key anew with openssl pkey"

#define HIDDEN                                                                 \
    "a private key is under the label of a public one or of parameters; "      \
    "write it anew with openssl pkey"

enum block {
    BLOCK_NONE,
    BLOCK_FOUND,
    BLOCK_HIDDEN,
    BLOCK_OTHER,
    BLOCK_CUT,
    BLOCK_NO_MEMORY,
    BLOCK_TOO_FAR
};

/* Reads some more, a line if more could not be put back. */
static int read_more(struct bytes *b, OSSL_CORE_BIO *bio, int *at_end)
{
    size_t had = b->len, want = had + (had < 65536 ? 8192 : had);
    int ok = b->by_line ? bytes_read_line(b, bio) : bytes_read(b, bio, want);

    *at_end = b->by_line ? b->len == had : b->len < want;
    return ok;
}

/* Reads on from |at| until a private key's block is all there. */
static enum block read_block(struct bytes *b, OSSL_CORE_BIO *bio, long at,
                             int only_first, struct pem_search *search)
{
    int at_end;

    if (!bytes_read_first(b, bio, at)) {
        return BLOCK_NO_MEMORY;
    }
    /* A token is no text, and is known without memory. */
    if (!b->by_line && bytes_read(b, bio, BYTES_START) &&
        token_is(b->p, b->len)) {
        return BLOCK_NONE;
    }
    for (;;) {
        if (!read_more(b, bio, &at_end)) {
            return BLOCK_NO_MEMORY;
        }
        if (!at_end && b->len >= TEXT_MAX) {
            return BLOCK_TOO_FAR;
        }
        switch (
            pem_find(search, (const char *)b->p, b->len, only_first, at_end)) {
        case PEM_NONE:
            return b->more_later ? BLOCK_CUT : BLOCK_NONE;
        case PEM_HIDDEN:
            return BLOCK_HIDDEN;
        case PEM_OTHER:
            return BLOCK_OTHER;
        case PEM_ALL: /* or half of its last line */
            return b->more_later ? BLOCK_CUT : BLOCK_FOUND;
        case PEM_START:
            if (at_end) {
                return bytes_break_off(b, bio) ? BLOCK_CUT : BLOCK_FOUND;
            }
            break;
        default:
            break;
        }
    }
}

/* The first block, where it is none of a private key and libcrypto could not
 * read it again. */
static int pass_other(struct bytes *b, const struct pem_search *at,
                      OSSL_CALLBACK *cb, void *cbarg)
{
    unsigned char *p = b->p + at->start;
    size_t len = at->stop - at->start;

    if (memchr(p, ':', len) != NULL) {
        return RAISE(OPERATION, NOT_AGAIN);
    }
    return pass_object(p, pem_decode((const char *)p, len, p, len), cb, cbarg);
}

static int pem_form(const struct prov_decoder *d)
{
    return d->ctx->follow_references ? KEYLOAD_PEM_OR_REFERENCE : KEYLOAD_PEM;
}

/* The block |s| of |b|, behind which |bio| is now where it can be told. */
static int read_found(struct prov_decoder *d, const struct key_source *s,
                      struct bytes *b, OSSL_CORE_BIO *bio, int selection,
                      OSSL_CALLBACK *cb, void *cbarg,
                      OSSL_PASSPHRASE_CALLBACK *pw_cb, void *pw_cbarg)
{
    int ret = memchr(s->data, '\0', s->len) == NULL
                  ? read_key(d, s, cb, cbarg, pw_cb, pw_cbarg)
                  : token_pass_refused(d->ctx, ZEROS, cb, cbarg);

    if (ret == 1 && b->can_seek && selection != 0 &&
        d->ctx->refused[0] == '\0') { /* else there may be no domain */
        seal_file(bio);
    }
    if (ret != NOT_TAKEN) {
        return ret;
    }
    return !b->can_seek && selection != 0 && more_behind(b, bio)
               ? token_pass_refused(d->ctx, DAMAGED, cb, cbarg)
               : 0;
}

static int read_pem(void *ctx, OSSL_CORE_BIO *bio, int selection,
                    OSSL_CALLBACK *cb, void *cbarg,
                    OSSL_PASSPHRASE_CALLBACK *pw_cb, void *pw_cbarg)
{
    long at = bytes_place(bio);
    struct prov_decoder *d = ctx;
    struct key_source s = {.form = pem_form(d)};
    struct pem_search search = {0};
    struct bytes b = {0};
    int ret = 1;

    if (!wanted(selection) || at < 0) {
        return 1;
    }
    switch (read_block(&b, bio, at, selection == 0, &search)) {
    case BLOCK_FOUND:
        s.data = b.p + search.start;
        s.len = search.stop - search.start;
        if (b.can_seek) {
            bytes_go_to(bio, at + (long)search.stop);
        }
        ret = read_found(d, &s, &b, bio, selection, cb, cbarg, pw_cb, pw_cbarg);
        break;
    case BLOCK_HIDDEN:
        if (b.can_seek) {
            bytes_go_to(bio, at + (long)search.at);
        }
        ret = token_pass_refused(d->ctx, HIDDEN, cb, cbarg);
        break;
    case BLOCK_OTHER:
        if (b.can_seek) {
            bytes_go_to(bio, at);
        } else {
            ret = pass_other(&b, &search, cb, cbarg);
        }
        break;
    case BLOCK_CUT:
        ret = give_up(d->ctx, BREAKS_OFF, selection, cb, cbarg);
        break;
    case BLOCK_NO_MEMORY:
        ret = no_memory(d->ctx, bio, selection, cb, cbarg);
        break;
    case BLOCK_TOO_FAR:
        ret = give_up(d->ctx, TOO_MUCH_TEXT, selection, cb, cbarg);
        break;
    default:
        if (b.can_seek || selection == 0) {
            bytes_go_to(bio, at);
        }
    }
    bytes_free(&b);
    return ret;
}

/* ---- decoders of tokens -------------------------------------------------- */

static int read_token(void *ctx, OSSL_CORE_BIO *bio, int selection,
                      OSSL_CALLBACK *cb, void *cbarg,
                      OSSL_PASSPHRASE_CALLBACK *pw_cb, void *pw_cbarg)
{
    struct prov_decoder *d = ctx;
    unsigned char der[TOKEN_MAX];
    struct prov_key *key = NULL;
    size_t len = 0, n = 1;

    (void)pw_cb;
    (void)pw_cbarg;
    if (!wanted(selection)) {
        return 1;
    }
    /* What is no token may be all that can be read for now. */
    while (len < sizeof(der) && n > 0 && token_may_be(der, len) &&
           prov.core.bio_read_ex(bio, der + len,
                                 len < 2 ? 2 - len : sizeof(der) - len, &n)) {
        len += n;
    }
    key = token_redeem(der, len, d->type);
    explicit_bzero(der, sizeof(der)); /* it may be anything */
    return key == NULL || prov_key_give(key, cb, cbarg);
}

/* ---- MSBLOB and PVK ------------------------------------------------------ */

/*
 * By type, as libcrypto's own, because from 3.5 on it asks no others when it
 * was told the form; and not by a token, since it has none to unpack one.
 */
static int load_typed(struct prov_decoder *d, const struct key_source *s,
                      OSSL_CALLBACK *cb, void *cbarg,
                      OSSL_PASSPHRASE_CALLBACK *pw_cb, void *pw_cbarg)
{
    struct prov_key *key;

    switch (prov_load(d->ctx, s, pw_cb, pw_cbarg, &key)) {
    case LOADED_NOTHING:
        return NO_KEY;
    case LOADED_KEY:
        if (key->type == KEY_ANY) {
            key = prov_key_become(key, key_likely(s));
        }
        return prov_key_give(key, cb, cbarg);
    default:
        return NOT_TAKEN;
    }
}

static int is_reader(const struct prov_decoder *d)
{
    return d->type == KEY_ANY;
}

static int give_refused(struct prov_decoder *d, const char *why, int selection,
                        OSSL_CALLBACK *cb, void *cbarg)
{
    return is_reader(d) ? give_up(d->ctx, why, selection, cb, cbarg)
                        : prov_key_give(prov_key_refused(d->ctx, d->type, why),
                                        cb, cbarg);
}

static int may_be_for(const struct prov_decoder *d, const struct bytes *b)
{
    return is_reader(d) || msblob_may_be(b->p, b->len, d->type);
}

static int read_blob(int form, struct prov_decoder *d, OSSL_CORE_BIO *bio,
                     int selection, OSSL_CALLBACK *cb, void *cbarg,
                     OSSL_PASSPHRASE_CALLBACK *pw_cb, void *pw_cbarg)
{
    long at = bytes_place(bio);
    struct bytes b = {0};
    enum bytes_der is;
    int ret = NO_KEY;

    if (!wanted(selection)) {
        return 1;
    }
    is = bytes_read_msblob(&b, bio, form);
    if (is == DER_ALL && may_be_for(d, &b)) {
        struct key_source s = {.data = b.p, .len = b.len, .form = form};

        ret = (is_reader(d) ? read_key : load_typed)(d, &s, cb, cbarg, pw_cb,
                                                     pw_cbarg);
        wipe_what_others_had(bio);
    } else if (is == DER_NO_MEMORY) {
        ret = give_refused(d, NO_MEMORY, selection, cb, cbarg);
    } else if (is == DER_CUT) {
        ret = give_refused(d, BREAKS_OFF, selection, cb, cbarg);
    } else if (b.len != 0 && bytes_place(bio) != at + (long)b.len) {
        /* libcrypto's own would take what is behind that for a key. */
        ret = RAISE(OPERATION, NOT_AGAIN);
    }
    bytes_free(&b);
    return ret == NO_KEY ? 1 : ret == NOT_TAKEN ? 0 : ret;
}

#define BLOB(name, form)                                                       \
    static int name(void *ctx, OSSL_CORE_BIO *bio, int selection,              \
                    OSSL_CALLBACK *cb, void *cbarg,                            \
                    OSSL_PASSPHRASE_CALLBACK *pw_cb, void *pw_cbarg)           \
    {                                                                          \
        return read_blob(form, ctx, bio, selection, cb, cbarg, pw_cb,          \
                         pw_cbarg);                                            \
    }
BLOB(read_msblob, KEYLOAD_MSBLOB)
BLOB(read_pvk, KEYLOAD_PVK)

/* Private parts never leave; another provider may have the public ones. */
static int export_object(void *ctx, const void *reference, size_t len,
                         OSSL_CALLBACK *cb, void *cbarg)
{
    (void)ctx;
    (void)reference;
    (void)len;
    (void)cb;
    (void)cbarg;
    return RAISE(PROTECTED, "it is not given to another provider");
}

#define FN(id, f)                                                              \
    {                                                                          \
        OSSL_FUNC_DECODER_##id, (void (*)(void))(f)                            \
    }
#define READER(as, form, selects)                                              \
    static const OSSL_DISPATCH as##_from_##form[] = {                          \
        FN(NEWCTX, reader_newctx),                                             \
        FN(FREECTX, decoder_free),                                             \
        FN(DOES_SELECTION, selects),                                           \
        FN(DECODE, read_##form),                                               \
        {0, NULL}};
READER(der, pem, does_selection)
READER(der, der, does_selection)
READER(pvk, pem, is_not_a_type)
READER(pvk, der, is_not_a_type)
READER(pvk, msblob, is_not_a_type)
READER(pvk, pvk, is_not_a_type)

#define TOKEN_DECODER(T, lower, name, aliases)                                 \
    static void *lower##_newctx(void *provctx)                                 \
    {                                                                          \
        return decoder_of(provctx, KEY_##T);                                   \
    }                                                                          \
    static const OSSL_DISPATCH lower##_functions[] = {                         \
        FN(NEWCTX, lower##_newctx),         FN(FREECTX, decoder_free),         \
        FN(DOES_SELECTION, does_selection), FN(DECODE, read_token),            \
        FN(EXPORT_OBJECT, export_object),   {0, NULL}};
MPKPROV_KEY_TYPES(TOKEN_DECODER)

#define TYPED_DECODER(lower, form)                                             \
    static const OSSL_DISPATCH lower##_##form##_functions[] = {                \
        FN(NEWCTX, lower##_newctx),         FN(FREECTX, decoder_free),         \
        FN(DOES_SELECTION, does_selection), FN(DECODE, read_##form),           \
        FN(EXPORT_OBJECT, export_object),   {0, NULL}};
TYPED_DECODER(rsa, msblob)
TYPED_DECODER(rsa, pvk)
TYPED_DECODER(dsa, msblob)
TYPED_DECODER(dsa, pvk)
#define TYPED_ROW(name, lower, form)                                           \
    {                                                                          \
        name, "provider=mpk,mpk.use=yes,input=" #form,                         \
            lower##_##form##_functions, "protected private key"                \
    }

/*
 * A token comes under whatever structure libcrypto was told to expect, so there
 * is no structure property. What these read is what the readers are named.
 */
#define TOKENS(name, lower, input)                                             \
    {name, "provider=mpk,mpk.use=yes,input=" input, lower##_functions,         \
     "protected private key"},
#define TOKENS_OF_DER(T, lower, name, aliases)                                 \
    TOKENS(name aliases, lower, "der")
#define TOKENS_OF_PVK(T, lower, name, aliases)                                 \
    TOKENS(name aliases, lower, "pvk")

#define READS(name, as, form)                                                  \
    {                                                                          \
        name, "provider=mpk,mpk.use=yes,input=" #form, as##_from_##form,       \
            "private keys in " #form ", taken into the domain"                 \
    }

/* libcrypto asks what is listed last first: PEM and DER before what has to read
 * on to know what it is. */
const OSSL_ALGORITHM prov_decoders[] = {
    TYPED_ROW("RSA", rsa, msblob),
    TYPED_ROW("RSA", rsa, pvk),
    TYPED_ROW("DSA", dsa, msblob),
    TYPED_ROW("DSA", dsa, pvk),
    MPKPROV_KEY_TYPES(TOKENS_OF_DER) /* clang-format wants a line of its own */
    READS("DER", der, der),
    READS("DER", der, pem),
    {NULL, NULL, NULL, NULL}};

/* For OpenSSL 3.0, see docs/design/loading.md, "With 3.0 they are named PVK".
 */
const OSSL_ALGORITHM prov_decoders_3_0[] = {
    MPKPROV_KEY_TYPES(TOKENS_OF_PVK) /* clang-format wants a line of its own */
    READS("PVK", pvk, msblob),
    READS("PVK", pvk, pvk),
    READS("PVK", pvk, der),
    READS("PVK", pvk, pem),
    {NULL, NULL, NULL, NULL}};
