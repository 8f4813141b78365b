/*
 * keyload.c - inside: from the bytes of a key file to a key.
 *
 * The text or DER comes in as a copy, or is read from the file straight into
 * the domain; everything that is made of it on the way stays there.
 */
#include "keyload.h"
#include "inside.h"
#include "keyparse.h"
#include "msblob.h"
#include "pem.h"
#include "seal.h"

#include <openssl/err.h>
#include <openssl/pem.h>

#include <string.h>
#include <strings.h>

/* ---- PEM ----------------------------------------------------------------- */

/* Whether |label| is that of a private key, in any case, as libcrypto's old
 * code has it; fills in what it says. */
static int label_is_key(const char *label, struct key_blob *b)
{
    b->type = KEY_ANY;
    b->encrypted = strcasecmp(label, PEM_STRING_PKCS8) == 0;
    if (b->encrypted || strcasecmp(label, PEM_STRING_PKCS8INF) == 0 ||
        strcasecmp(label, PEM_STRING_EVP_PKEY) == 0) {
        return 1;
    }
    b->type = mpkprov_type_by_label(label, strlen(label));
    return b->type != KEY_ANY;
}

static int give_pass(char *buf, int size, int rwflag, void *arg)
{
    const struct key_pass *pass = arg;

    (void)rwflag;
    if (pass->len > (size_t)size) {
        return -1;
    }
    memcpy(buf, pass->text, pass->len);
    return (int)pass->len;
}

/* Undoes the encryption that a PEM header announces ("Proc-Type"). */
static int open_header(struct mpkprov_frame *f, char *header,
                       struct key_blob *b, struct key_pass *pass)
{
    EVP_CIPHER_INFO info;

    if (header[0] == '\0') {
        return KEYLOAD_KEY;
    }
    if (!PEM_get_EVP_CIPHER_INFO(header, &info)) {
        if (ERR_GET_REASON(ERR_peek_last_error()) ==
            PEM_R_UNSUPPORTED_ENCRYPTION) {
            return key_refuse_encryption(f);
        }
        fail_inner(f, "PEM header");
        f->error.reason = MPKPROV_R_BAD_KEY;
        return KEYLOAD_FAILED;
    }
    if (info.cipher != NULL && pass->text == NULL) {
        return KEYLOAD_ENCRYPTED;
    }
    if (!inner_all_ciphers() ||
        !PEM_do_header(&info, b->der, &b->len, give_pass, pass)) {
        return key_wrong_passphrase(f);
    }
    return KEYLOAD_KEY;
}

/* The key in one PEM block. */
static int load_block(struct mpkprov_frame *f, const char *label, char *header,
                      struct key_blob *b, struct key_pass *pass)
{
    int ret = open_header(f, header, b, pass);

    if (ret != KEYLOAD_KEY) {
        return ret;
    }
    ret = key_parse(f, b, pass);
    if (ret != KEYLOAD_NOTHING) {
        return ret;
    }
    /* With a wrong passphrase it can look decrypted, and be nonsense. */
    fail(f, header[0] != '\0' ? MPKPROV_R_PASSPHRASE : MPKPROV_R_BAD_KEY,
         label);
    return KEYLOAD_FAILED;
}

static int load_file(struct mpkprov_frame *f, const char *path,
                     struct key_pass *pass);

/* "mpk:/path", without what would forge lines of a log. */
static int names_a_file(const unsigned char *text, size_t len)
{
    size_t head = strlen("mpk:");

    for (size_t i = 0; i < len; i++) {
        if (text[i] < ' ' || text[i] == 0x7f) {
            return 0;
        }
    }
    return len > head + 1 && len - head < KEYLOAD_PATH_MAX &&
           memcmp(text, "mpk:/", head + 1) == 0 && text[head + 1] != '/';
}

/* Says where the key is: the text "mpk:/path". What is there is a key itself.
 */
static int follow(struct mpkprov_frame *f, const char *header,
                  const struct key_blob *b, struct key_pass *pass)
{
    char path[KEYLOAD_PATH_MAX] = {0};
    size_t len = (size_t)b->len;

    f->type = KEY_ANY;
    if (!pass->references) {
        fail(f, MPKPROV_R_BAD_KEY,
             "a reference to a key file: these are followed when the "
             "provider's section says 'key-references = follow', and not from "
             "one to the next");
        return KEYLOAD_FAILED;
    }
    if (header[0] != '\0' || !names_a_file(b->der, len)) {
        fail(f, MPKPROV_R_BAD_KEY,
             "a damaged reference to a key file: make it with mpkctl "
             "reference");
        return KEYLOAD_FAILED;
    }
    memcpy(path, b->der + strlen("mpk:"), len - strlen("mpk:"));
    pass->references = 0;
    return load_file(f, path, pass);
}

/*
 * When a decoder fails, libcrypto's old code reads on behind a label that it
 * does not know, and loads the next key in the clear: so this never fails.
 */
static int load_reference(struct mpkprov_frame *f, const char *header,
                          const struct key_blob *b, struct key_pass *pass)
{
    int ret = follow(f, header, b, pass);

    return ret == KEYLOAD_FAILED ? KEYLOAD_REFUSED : ret;
}

/* Whether libcrypto's old code looks at a block with this label. */
static int old_code_knows(const char *label, const struct key_blob *b)
{
    static const char suffix[] = " PRIVATE KEY";
    size_t len = strlen(label), n = strlen(suffix);

    if (b->type == KEY_RSA || b->type == KEY_EC || b->type == KEY_DSA) {
        return len > n && strcmp(label + len - n, suffix) == 0;
    }
    return strcmp(label, PEM_STRING_PKCS8) == 0 ||
           strcmp(label, PEM_STRING_PKCS8INF) == 0;
}

/* Where it does not, a failure would make it go on to the next key. */
static int load_labelled(struct mpkprov_frame *f, const char *label,
                         char *header, struct key_blob *b,
                         struct key_pass *pass)
{
    int ret = load_block(f, label, header, b, pass);

    if (ret == KEYLOAD_FAILED && !old_code_knows(label, b)) {
        f->type = KEY_ANY;
        ret = KEYLOAD_REFUSED;
    }
    return ret;
}

static int load_pem(struct mpkprov_frame *f, BIO *bio, struct key_pass *pass)
{
    int ret = KEYLOAD_NOTHING;

    while (ret == KEYLOAD_NOTHING) {
        char *label = NULL, *header = NULL;
        struct key_blob b = {0};

        if (!PEM_read_bio(bio, &label, &header, &b.der, &b.len)) {
            break;
        }
        if (strcasecmp(label, KEYLOAD_REFERENCE) == 0) {
            ret = load_reference(f, header, &b, pass);
        } else if (label_is_key(label, &b)) {
            ret = load_labelled(f, label, header, &b, pass);
        }
        OPENSSL_free(label);
        OPENSSL_free(header);
        OPENSSL_clear_free(b.der, (size_t)b.len);
    }
    if (ret == KEYLOAD_NOTHING) {
        fail_inner(f, "no private key in PEM");
        f->error.reason = MPKPROV_R_BAD_KEY;
        ret = KEYLOAD_FAILED;
    }
    forget_errors();
    return ret;
}

/* ---- entries ------------------------------------------------------------- */

static int take_pass(struct mpkprov_frame *f, struct key_pass *pass)
{
    pass->text = NULL;
    pass->references = 0;
    pass->len = f->in2_len;
    if (f->in2 == NULL) {
        return 1;
    }
    if (f->in2_len > KEYLOAD_PASS_MAX) {
        return fail(f, MPKPROV_R_PASSPHRASE, "the passphrase is too long");
    }
    pass->text = take(f, f->in2, f->in2_len);
    return pass->text != NULL;
}

static int looks_like(const unsigned char *p, size_t len)
{
    if (memmem(p, len, PEM_BEGIN, sizeof(PEM_BEGIN) - 1) != NULL) {
        return KEYLOAD_PEM;
    }
    return len >= MSBLOB_HEAD ? msblob_form(p) : KEYLOAD_DER;
}

static int load_any(struct mpkprov_frame *f, unsigned char *p, size_t len,
                    int form, struct key_pass *pass)
{
    struct key_blob b = {p, (long)len, KEY_ANY, 0};
    BIO *bio;
    int ret;

    if (form == KEYLOAD_DER) {
        return key_parse(f, &b, pass);
    }
    if (form == KEYLOAD_MSBLOB || form == KEYLOAD_PVK) {
        return key_parse_msblob(f, p, len);
    }
    bio = BIO_new_mem_buf(p, (int)len);
    if (bio == NULL) {
        fail(f, MPKPROV_R_MEMORY, NULL);
        return KEYLOAD_FAILED;
    }
    ret = load_pem(f, bio, pass);
    BIO_free(bio);
    return ret;
}

/* Parsing that fails for want of memory looks like a damaged key. */
static int load_bytes(struct mpkprov_frame *f, unsigned char *p, size_t len,
                      int form, struct key_pass *pass)
{
    int ret = load_any(f, p, len, form, pass);

    if (ret != KEYLOAD_KEY && mpk_heap_refused() != 0) {
        fail(f, MPKPROV_R_MEMORY, OUT_OF_MEMORY);
        ret = KEYLOAD_FAILED;
    }
    return ret;
}

/* libcrypto's old code does not know a sealed block, and would go on to the
 * next key: so that never fails. */
static int load_text(struct mpkprov_frame *f, unsigned char *p, size_t len,
                     struct key_pass *pass)
{
    enum seal_opened opened = seal_open(f, p, len);
    int ret = opened == SEAL_FAILED ? KEYLOAD_FAILED
                                    : load_bytes(f, p, len, KEYLOAD_PEM, pass);

    if (opened != SEAL_NONE && ret == KEYLOAD_FAILED) {
        f->type = KEY_ANY;
        ret = KEYLOAD_REFUSED;
    }
    return ret;
}

/*
 * Uses: in = the key, in2 = passphrase or NULL, what = KEYLOAD_DER and so
 * on. Makes handle and sets type. Answers KEYLOAD_*.
 */
int64_t key_decode_stub(void *frame)
{
    struct mpkprov_frame *f = frame;
    int ret = KEYLOAD_FAILED;
    struct key_pass pass;
    unsigned char *p;

    f->handle = 0;
    f->type = KEY_ANY;
    if (!mpk_is_outside(f->in, f->in_len)) {
        fail(f, MPKPROV_R_POINTER, NULL);
        return KEYLOAD_FAILED;
    }
    if (f->in_len > KEYLOAD_MAX) {
        return key_refuse_form(f, KEYLOAD_TOO_LARGE);
    }
    if (!take_pass(f, &pass)) {
        return KEYLOAD_FAILED;
    }
    p = take(f, f->in, f->in_len);
    if (p != NULL) {
        pass.references = f->what == KEYLOAD_PEM_OR_REFERENCE;
        ret = f->what == KEYLOAD_PEM || pass.references
                  ? load_text(f, p, f->in_len, &pass)
                  : load_bytes(f, p, f->in_len, f->what, &pass);
    }
    mpk_heap_free(p);
    mpk_heap_free(pass.text);
    return ret;
}

static int load_file(struct mpkprov_frame *f, const char *path,
                     struct key_pass *pass)
{
    size_t len;
    unsigned char *p = file_take(f, path, KEYLOAD_MAX, 0, &len);
    int ret;

    if (p == NULL) {
        return KEYLOAD_FAILED;
    }
    ret = load_bytes(f, p, len, looks_like(p, len), pass);
    mpk_heap_free(p);
    if (ret == KEYLOAD_NOTHING) {
        fail(f, MPKPROV_R_BAD_KEY, "no private key in the file");
        ret = KEYLOAD_FAILED;
    }
    return ret;
}

/*
 * Uses: in = path, in2 = passphrase or NULL. Makes handle and sets type.
 * Answers KEYLOAD_*. The file's bytes never are anywhere but in the domain.
 */
int64_t key_file_stub(void *frame)
{
    struct mpkprov_frame *f = frame;
    char path[KEYLOAD_PATH_MAX] = {0};
    int ret = KEYLOAD_FAILED;
    struct key_pass pass;

    f->handle = 0;
    f->type = KEY_ANY;
    if (f->in_len >= sizeof(path) || mpk_copy_in(path, f->in, f->in_len) != 0) {
        fail(f, MPKPROV_R_FILE, "the path is too long");
        return KEYLOAD_FAILED;
    }
    if (take_pass(f, &pass)) {
        ret = load_file(f, path, &pass);
    }
    mpk_heap_free(pass.text);
    return ret;
}

/*
 * Uses: handle, what = 1 to print the parameters only, out. Puts the text of
 * the public part.
 */
int64_t key_print_stub(void *frame)
{
    struct mpkprov_frame *f = frame;
    struct object *o = handle_pin(f->handle, OBJECT_KEY, 0);
    EVP_PKEY *pkey = o != NULL ? key_public(f, o) : NULL;
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL;
    int ok = 0;
    long len;

    if (o == NULL) {
        fail(f, MPKPROV_R_HANDLE, "not a key");
    } else if (pkey == NULL || bio == NULL ||
               (f->what ? EVP_PKEY_print_params(bio, pkey, 0, NULL)
                        : EVP_PKEY_print_public(bio, pkey, 0, NULL)) <= 0) {
        fail_inner(f, "text of the public key");
    } else {
        len = BIO_get_mem_data(bio, &text);
        ok = give(f, text, (size_t)len);
    }
    BIO_free(bio);
    EVP_PKEY_free(pkey);
    handle_unpin(o);
    forget_errors();
    return ok;
}
