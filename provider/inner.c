/*
 * inner.c - the OpenSSL inside the domain: start-up, dispatch, errors.
 *
 * It is the libcrypto that this module is linked with, a second one beside
 * the application's. Its default library context is the domain's; it never
 * reads a configuration file. Its default provider's dispatch functions are
 * called directly, without a second EVP layer.
 */
#include "draw.h"
#include "inside.h"
#include "signature_direct.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/provider.h>
#include <openssl/rand.h>

#include <limits.h>
#include <pthread.h>
#include <string.h>

struct inner mpkprov_inner;

/* ---- start-up ------------------------------------------------------------ */

static void *inner_malloc(size_t n, const char *file, int line)
{
    (void)line;
    return keygroup_malloc(n, file);
}

static void *inner_realloc(void *p, size_t n, const char *file, int line)
{
    (void)line;
    return keygroup_realloc(p, n, file);
}

static void inner_free(void *p, const char *file, int line)
{
    (void)file;
    (void)line;
    mpk_heap_free(p);
}

/*
 * What the inner OpenSSL calls for memory that is zero, as all of the domain's
 * is. Its own sets it to zero again, by a length that it keeps in a register
 * meanwhile: in a light entry, on a stack that others write to.
 */
void *__wrap_CRYPTO_zalloc(size_t n, const char *file, int line);

void *__wrap_CRYPTO_zalloc(size_t n, const char *file, int line)
{
    return CRYPTO_malloc(n, file, line);
}

void inner_fill(struct inner_alg *alg, const OSSL_DISPATCH *d)
{
    for (; d->function_id != 0; d++) {
        if (d->function_id > 0 && d->function_id < INNER_FUNCTIONS) {
            alg->fn[d->function_id] = d->function;
        }
    }
}

int inner_look_up(int op, const char *name, struct inner_alg *alg)
{
    const OSSL_ALGORITHM *a = inner_algorithms(op);

    for (; a != NULL && a->algorithm_names != NULL; a++) {
        if (mpkprov_name_is(a->algorithm_names, name)) {
            inner_fill(alg, a->implementation);
            return 1;
        }
    }
    return 0;
}

static void look_up_all(void)
{
    static const int operation[CTX_CLASSES] = {
        OSSL_OP_SIGNATURE, OSSL_OP_ASYM_CIPHER, OSSL_OP_KEYEXCH, OSSL_OP_KEM};

    for (int t = 0; t < KEY_TYPES; t++) {
        const struct key_type_info *info = &mpkprov_types[t];

        inner_look_up(OSSL_OP_KEYMGMT, info->name, &mpkprov_inner.keymgmt[t]);
        for (int c = 0; c < CTX_CLASSES; c++) {
            if (info->inner[c] != NULL) {
                inner_look_up(operation[c], info->inner[c],
                              &mpkprov_inner.ctx[c][t]);
            }
        }
    }
}

/* Uses: what and type, as keygroup_boot says. */
int64_t inner_boot_stub(void *frame)
{
    struct mpkprov_frame *f = frame;
    OSSL_LIB_CTX *ctx;
    OSSL_PROVIDER *prov;

    if (mpkprov_inner.provctx != NULL) {
        return fail(f, MPKPROV_R_OPERATION, "the inner OpenSSL is up already");
    }
    if (!keygroup_boot(f)) {
        return 0;
    }
    if (!CRYPTO_set_mem_functions(inner_malloc, inner_realloc, inner_free) ||
        !OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG |
                                 OPENSSL_INIT_NO_LOAD_CRYPTO_STRINGS |
                                 OPENSSL_INIT_NO_ATEXIT,
                             NULL) ||
        !draw_boot()) {
        return fail(f, MPKPROV_R_OPERATION, "the inner OpenSSL does not start");
    }
    /* By its address: with NULL a DSA key has no context, and takes the old
     * way, which knows of no "nonce-type". It is NULL when there was no memory
     * for it, and libcrypto would go on with half of it. */
    ctx = OSSL_LIB_CTX_get0_global_default();
    prov = ctx != NULL ? inner_default_provider(ctx) : NULL;
    if (prov == NULL) {
        return fail_inner(f, "the inner default provider");
    }
    mpkprov_inner.provider = prov;
    look_up_all();
    mpkprov_inner.provctx = OSSL_PROVIDER_get0_provider_ctx(prov);
    forget_errors();
    return 1;
}

static int methods_made;

static void make_methods(void)
{
    unsigned char drawn;

    methods_made = sign_directly_boot() && RAND_priv_bytes(&drawn, 1) == 1;
}

int inner_methods(struct mpkprov_frame *f)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, make_methods);
    return methods_made ? 1 : fail_inner(f, "digests and random numbers");
}

/* Uses: what = MPKPROV_COUNT_*. Sets handle to the number. */
int64_t inner_count_stub(void *frame)
{
    struct mpkprov_frame *f = frame;

    f->handle = f->what == MPKPROV_COUNT_BLOCKS ? (uint64_t)mpk_heap_live()
                                                : mpk_crossings();
    return 1;
}

/* ---- errors -------------------------------------------------------------- */

/*
 * What the inner OpenSSL calls where an assertion does not hold. Its own writes
 * with libc's stdio, which goes by words that anybody can write.
 */
ossl_noreturn void __wrap_OPENSSL_die(const char *assertion, const char *file,
                                      int line);

ossl_noreturn void __wrap_OPENSSL_die(const char *assertion, const char *file,
                                      int line)
{
    (void)assertion;
    (void)file;
    (void)line;
    mpk_fatal("an assertion of the inner OpenSSL does not hold");
}

int fail_with(struct mpkprov_frame *f, int reason, const char *const *part)
{
    size_t at = 0, n;

    f->error.reason = reason;
    for (; *part != NULL; part++) {
        n = strlen(*part);
        if (n > sizeof(f->error.text) - 1 - at) {
            n = sizeof(f->error.text) - 1 - at;
        }
        memcpy(f->error.text + at, *part, n);
        at += n;
    }
    f->error.text[at] = '\0';
    return 0;
}

int fail(struct mpkprov_frame *f, int reason, const char *text)
{
    const char *const part[] = {text, NULL};

    return fail_with(f, reason, part);
}

void forget_errors(void)
{
    /* Not before start-up: it would allocate before we say where. */
    if (mpkprov_inner.provctx != NULL && ERR_peek_error() != 0) {
        ERR_clear_error();
    }
}

/*
 * OpenSSL has some 3000 reasons, which take 176 KiB and a millisecond to load.
 * Most processes never need one, so they are not loaded at start-up. This is
 * the function that libcrypto itself would call; it has no public name.
 */
int ossl_err_load_crypto_strings(void);

static void load_reasons(void)
{
    ossl_err_load_crypto_strings();
}

static const char *reason_of(unsigned long e)
{
    static pthread_once_t loaded = PTHREAD_ONCE_INIT;

    if (e == 0) {
        return NULL;
    }
    /* Not from a record's entry, on its caller's stack: it is to be short. */
    if (mpk_is_on_domain_stack()) {
        pthread_once(&loaded, load_reasons);
    }
    return ERR_reason_error_string(e);
}

static void fail_why(struct mpkprov_frame *f, const char *what)
{
    const char *data = "", *reason;
    int flags = 0;
    unsigned long e = ERR_get_error_all(NULL, NULL, NULL, &data, &flags);

    reason = reason_of(e);
    if (reason == NULL) {
        reason = "no reason given";
    }
    if ((flags & ERR_TXT_STRING) && *data != '\0') {
        const char *const part[] = {what, ": ", reason, " (", data, ")", NULL};

        fail_with(f, MPKPROV_R_OPERATION, part);
    } else {
        const char *const part[] = {what, ": ", reason, NULL};

        fail_with(f, MPKPROV_R_OPERATION, part);
    }
}

int fail_inner(struct mpkprov_frame *f, const char *what)
{
    if (mpk_heap_refused() != 0 &&
        (f->error.reason != MPKPROV_R_MEMORY || f->error.text[0] == '\0')) {
        /* Whatever came of that. */
        fail(f, MPKPROV_R_MEMORY, OUT_OF_MEMORY);
    } else if (f->error.reason == 0) {
        fail_why(f, what);
    }
    ERR_clear_error();
    return 0;
}

int fail_params(struct mpkprov_frame *f, const char *what)
{
    return mpk_heap_refused() != 0 || f->error.reason != 0 ||
                   ERR_peek_error() != 0
               ? fail_inner(f, what)
               : fail(f, MPKPROV_R_PARAMETER, what);
}

/* ---- what crosses -------------------------------------------------------- */

void *take(struct mpkprov_frame *f, const void *p, size_t len)
{
    void *copy;

    if (len > INT_MAX) {
        fail(f, MPKPROV_R_PARAMETER, "too long");
        return NULL;
    }
    if (!mpk_is_outside(p, len)) {
        fail(f, MPKPROV_R_POINTER, NULL);
        return NULL;
    }
    copy = mpk_heap_alloc(len);
    if (copy == NULL) {
        fail(f, MPKPROV_R_MEMORY, NULL);
        return NULL;
    }
    if (mpk_copy_in(copy, p, len) != 0) {
        mpk_heap_free(copy);
        fail(f, MPKPROV_R_POINTER, NULL);
        return NULL;
    }
    return copy;
}

int take_string(struct mpkprov_frame *f, const char *s, char out[64],
                const char **ptr)
{
    *ptr = NULL;
    if (s == NULL) {
        return 1;
    }
    for (size_t i = 0; i < 64; i++) {
        if (mpk_copy_in(&out[i], s + i, 1) != 0) {
            return fail(f, MPKPROV_R_POINTER, NULL);
        }
        if (out[i] == '\0') {
            *ptr = out;
            return 1;
        }
    }
    return fail(f, MPKPROV_R_PARAMETER, "a name is too long");
}

int give(struct mpkprov_frame *f, const void *p, size_t len)
{
    size_t room = f->out_len;

    f->out_len = len;
    if (f->out == NULL) {
        return 1;
    }
    if (room < len) {
        return fail(f, MPKPROV_R_BUFFER, NULL);
    }
    if (mpk_copy_out(f->out, p, len) != 0) {
        return fail(f, MPKPROV_R_POINTER, NULL);
    }
    return 1;
}
