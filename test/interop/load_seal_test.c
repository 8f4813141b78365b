/*
 * A file with a private key and certificates that a program reads by one BIO,
 * as HAProxy does: the key first, and then from the start for the rest.
 * libcrypto decodes every block on its way and frees it as it is, so each block
 * of memory that is freed is looked at for the key.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "../unit/fail_syscall.h"
#include "interop.h"
#include "load_ways.h"

#include <openssl/core_names.h>
#include <openssl/pem.h>

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- what is freed ------------------------------------------------------- */

void __libc_free(void *p);

#define NUMBER 16 /* bytes out of the middle of the private number */
#define TEXT 12   /* digits of the same in the file's text */
#define LINE 64   /* digits in a line */

static struct {
    bool on, only; /* freed as it is */
    unsigned long found;
    unsigned char number[NUMBER];
    char text[TEXT];
} watch;

/* Wiped, so that a block is not freed with what another one had. */
void free(void *p)
{
    if (p != NULL && !watch.only) {
        size_t len = malloc_usable_size(p);

        if (watch.on) {
            watch.found += memmem(p, len, watch.number, NUMBER) != NULL ||
                           memmem(p, len, watch.text, TEXT) != NULL;
        }
        explicit_bzero(p, len);
    }
    __libc_free(p);
}

static void watch_number(const struct key_type *type)
{
    EVP_PKEY *key = key_reference(type);
    const char *name = strncmp(type->name, "RSA", 3) == 0
                           ? OSSL_PKEY_PARAM_RSA_D
                           : OSSL_PKEY_PARAM_PRIV_KEY;
    unsigned char number[8192]; /* ML-DSA */
    size_t len = sizeof(number);
    BIGNUM *bn = NULL;

    if (EVP_PKEY_get_bn_param(key, name, &bn)) {
        len = (size_t)BN_bn2bin(bn, number);
    } else {
        CHECK(EVP_PKEY_get_octet_string_param(key, name, number, sizeof(number),
                                              &len));
    }
    memcpy(watch.number, number + (len - NUMBER) / 2, NUMBER);
    BN_clear_free(bn);
    ERR_clear_error();
}

/* The digits of that number in the block that begins at |pem|, all in one line;
 * random ones when the block is encrypted. */
static void watch_text(const char *pem)
{
    const char *body = strchr(pem, '\n') + 1;
    unsigned char *der = interop_new(strlen(body));
    EVP_ENCODE_CTX *ctx = EVP_ENCODE_CTX_new();
    const unsigned char *at;
    size_t digit;
    int len = 0;

    EVP_DecodeInit(ctx);
    EVP_DecodeUpdate(ctx, der, &len, (const unsigned char *)body,
                     (int)(strstr(body, "-----END") - body));
    EVP_ENCODE_CTX_free(ctx);
    memset(watch.text, '!', TEXT);
    at = memmem(der, (size_t)len, watch.number, NUMBER);
    if (at != NULL) {
        digit = ((size_t)(at - der) + 2) / 3 * 4;
        if (digit % LINE + TEXT > LINE) {
            digit += LINE - digit % LINE;
        }
        memcpy(watch.text, body + digit / LINE * (LINE + 1) + digit % LINE,
               TEXT);
    }
    free(der);
}

/* ---- files --------------------------------------------------------------- */

#define FILE_MAX 65536

struct bundle {
    char text[FILE_MAX];
    size_t len;
    int certificates;
};

static void put(struct bundle *b, BIO *bio)
{
    char *data;
    long len = BIO_get_mem_data(bio, &data);

    memcpy(b->text + b->len, data, (size_t)len);
    b->len += (size_t)len;
    b->text[b->len] = '\0';
    BIO_free(bio);
}

static void put_key(struct bundle *b, const char *form,
                    const struct key_type *type)
{
    BIO *bio = BIO_new(BIO_s_mem());

    CHECK(form_find(form)->write(bio, type));
    put(b, bio);
}

static void put_certificate(struct bundle *b, const char *type)
{
    X509 *cert = key_certificate(key_type_find(type));
    BIO *bio = BIO_new(BIO_s_mem());

    CHECK(PEM_write_bio_X509(bio, cert));
    b->certificates++;
    put(b, bio);
    X509_free(cert);
}

enum order { CERTIFICATE_KEY, KEY_CERTIFICATE, KEY_BETWEEN, ORDERS };
static const char *const order_names[] = {
    "certificate, key", "key, certificate", "certificate, key, certificate"};

static struct bundle bundle_of(enum order order, const char *form,
                               const struct key_type *type)
{
    struct bundle b = {.len = 0};

    if (order != KEY_CERTIFICATE) {
        put_certificate(&b, "P-384");
    }
    put_key(&b, form, type);
    if (order != CERTIFICATE_KEY) {
        put_certificate(&b, "P-256");
    }
    interop_subject("%s: %s, %s", order_names[order], type->label, form);
    return b;
}

static BIO *open_file(const struct bundle *b)
{
    return BIO_new_file(interop_file("bundle.pem", b->text, b->len), "r");
}

/* ---- reading ------------------------------------------------------------- */

static EVP_PKEY *read_key(BIO *bio, struct asker *asker)
{
    return PEM_read_bio_PrivateKey(bio, NULL, ask, asker);
}

static int read_certificates(BIO *bio)
{
    X509 *cert;
    int n = 0;

    while ((cert = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
        X509_free(cert);
        n++;
    }
    CHECK_INT(ERR_GET_REASON(ERR_peek_last_error()), PEM_R_NO_START_LINE);
    ERR_clear_error();
    return n;
}

/* What HAProxy does with a file: a key, parameters, certificates. */
static EVP_PKEY *read_all(BIO *bio, int *certificates)
{
    struct asker asker = {FORM_PASSPHRASE, 0, 0};
    EVP_PKEY *key = read_key(bio, &asker);

    CHECK_INT(BIO_reset(bio), 0);
    CHECK(PEM_read_bio_Parameters(bio, NULL) == NULL);
    ERR_clear_error();
    CHECK_INT(BIO_reset(bio), 0);
    *certificates = read_certificates(bio);
    return key;
}

static void check_key(EVP_PKEY *key, const struct key_type *type)
{
    CHECK_HELD(key);
    CHECK(key != NULL && EVP_PKEY_eq(key, key_reference(type)) == 1);
    EVP_PKEY_free(key);
}

/* ---- tests --------------------------------------------------------------- */

/* From here on what is freed is looked at for the key in |b|. */
static void watch_begin(const struct bundle *b, const struct key_type *type)
{
    watch_number(type);
    watch_text(strstr(b->text, "PRIVATE KEY"));
    watch.found = 0;
    watch.on = true;
}

static void watch_end(void)
{
    watch.on = false;
    if (interop_memory_counts()) {
        CHECK(interop_protected() ? watch.found == 0 : watch.found != 0);
    }
}

static void test_nothing_of_it_is_freed(enum order order, const char *form,
                                        const struct key_type *type)
{
    struct bundle b = bundle_of(order, form, type);
    int certificates = 0;
    EVP_PKEY *key;
    BIO *bio;

    bio = open_file(&b);
    watch_begin(&b, type);
    key = read_all(bio, &certificates);
    BIO_free(bio);
    watch_end();
    CHECK_INT(certificates, b.certificates);
    check_key(key, type);
}

/* A program that has read the first certificate by then. With "rm" the stream's
 * buffer is the file, and cannot be written to. */
static void test_a_certificate_was_read(const struct key_type *type,
                                        const char *mode)
{
    struct bundle b = bundle_of(KEY_BETWEEN, "PKCS#8 PEM", type);
    struct asker asker = {FORM_PASSPHRASE, 0, 0};
    EVP_PKEY *key;
    X509 *cert;
    BIO *bio;

    interop_subject("%s, a certificate first, %s", type->label, mode);
    bio = BIO_new_file(interop_file("bundle.pem", b.text, b.len), mode);
    watch_begin(&b, type);
    cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    CHECK(cert != NULL);
    key = read_key(bio, &asker);
    CHECK_INT(read_certificates(bio), 1);
    BIO_free(bio);
    watch_end();
    X509_free(cert);
    check_key(key, type);
}

static char *first_block;

/* How many copies of the number there are in the heap. */
static int in_heap(void)
{
    const char *p = sbrk(0), *start = first_block;
    int n = 0;

    while ((start = memmem(start, (size_t)(p - start), watch.number, NUMBER)) !=
           NULL) {
        start++;
        n++;
    }
    return n;
}

/* Certificate and key by a BIO each, as nginx does: the key has been
 * decoded and freed before there is anything to be sealed. What malloc keeps at
 * hand of that is overwritten. */
static void test_what_was_freed_before(const char *type_name)
{
    const struct key_type *type = key_type_find(type_name);
    struct bundle b = bundle_of(CERTIFICATE_KEY, "PKCS#8 PEM", type);
    struct asker asker = {FORM_PASSPHRASE, 0, 0};
    int before;
    BIO *bio;

    interop_subject("%s, a BIO for each", type->label);
    watch_number(type);
    before = in_heap();
    watch.only = true;
    bio = open_file(&b);
    CHECK_INT(read_certificates(bio), 1);
    BIO_free(bio);
    if (in_heap() != before + 1) {
        interop_skip("%s: nothing was left in the first place", type->label);
    }
    bio = BIO_new_file(interop_file("bundle.pem", b.text, b.len), "r");
    check_key(read_key(bio, &asker), type);
    BIO_free(bio);
    CHECK_INT(in_heap(), before);
    watch.only = false;
}

static void test_the_key_is_read_again(const char *form,
                                       const struct key_type *type)
{
    struct bundle b = bundle_of(KEY_BETWEEN, form, type);
    struct asker asker = {FORM_PASSPHRASE, 0, 0};
    BIO *bio = open_file(&b);
    long place = 0;

    for (int i = 0; i < 3; i++) {
        check_key(read_key(bio, &asker), type);
        if (i == 0) {
            place = BIO_tell(bio);
        }
        CHECK_INT(BIO_tell(bio), place);
        CHECK_INT(read_certificates(bio), 1);
        CHECK_INT(BIO_reset(bio), 0);
    }
    BIO_free(bio);
    CHECK_QUEUE_EMPTY();
}

static void test_every_key_of_a_file(void)
{
    struct bundle b =
        bundle_of(CERTIFICATE_KEY, "traditional PEM", key_type_find("P-256"));
    struct asker asker = {FORM_PASSPHRASE, 0, 0};
    struct asker wrong = {"not this one", 0, 0};
    EVP_PKEY *key;
    BIO *bio;

    interop_subject("three keys and a certificate");
    put_key(&b, "Proc-Type PEM", key_type_find("RSA-2048"));
    put_key(&b, "PBES2 PEM", key_type_find("ED25519"));
    bio = open_file(&b);
    check_key(read_key(bio, &asker), key_type_find("P-256"));
    check_key(read_key(bio, &asker), key_type_find("RSA-2048"));
    check_key(read_key(bio, &asker), key_type_find("ED25519"));
    CHECK_INT(asker.calls, 2);
    CHECK(read_key(bio, &asker) == NULL);
    ERR_clear_error();
    CHECK_INT(BIO_reset(bio), 0);
    CHECK_INT(read_certificates(bio), 1);
    CHECK_INT(BIO_reset(bio), 0);
    check_key(read_key(bio, &asker), key_type_find("P-256"));
    key = read_key(bio, &wrong);
    if (interop_protected() && key != NULL) { /* it refuses */
        CHECK_HELD(key);
    }
    EVP_PKEY_free(key);
    ERR_clear_error();
    BIO_free(bio);
}

/* What |bio| has, from its start. */
static size_t text_of(BIO *bio, char text[FILE_MAX])
{
    size_t len = 0;

    CHECK_INT(BIO_reset(bio), 0);
    CHECK(BIO_read_ex(bio, text, FILE_MAX, &len));
    return len;
}

/* All but digits and labels of the key is as it was, to the byte. */
static void test_the_rest_is_as_it_was(const struct key_type *type)
{
    struct bundle b = bundle_of(KEY_BETWEEN, "PKCS#8 PEM", type);
    size_t start = (size_t)(strstr(b.text, "-----BEGIN PRIVATE") - b.text);
    size_t stop = (size_t)(strstr(b.text, "-----END PRIVATE") - b.text);
    struct asker asker = {FORM_PASSPHRASE, 0, 0};
    BIO *bio = open_file(&b);
    char text[FILE_MAX];
    size_t len;

    EVP_PKEY_free(read_key(bio, &asker));
    len = text_of(bio, text);
    CHECK_INT((long long)len, (long long)b.len);
    CHECK_MEM(text, start, b.text, start);
    stop += strlen("-----END PRIVATE KEY-----");
    CHECK_MEM(text + stop, len - stop, b.text + stop, b.len - stop);
    CHECK(!interop_protected() ||
          memmem(text, len, "-----BEGIN PRIVATE MPK-----\n", 28) != NULL);
    for (size_t i = start; i < stop; i++) {
        CHECK_INT(text[i] == '\n', b.text[i] == '\n');
        CHECK_INT(text[i] == '=', b.text[i] == '=');
    }
    BIO_free(bio);
}

/* What has no room for a key, or says where one is, is left alone. */
static void test_blocks_that_are_none(const struct key_type *type)
{
    static const char none[] =
        "-----BEGIN PRIVATE KEY-----\nMAAA\n-----END PRIVATE KEY-----\n"
        "-----BEGIN MPK KEY REFERENCE-----\nbXBrOi9ldGMva2V5LnBlbQ==\n"
        "-----END MPK KEY REFERENCE-----\n";
    struct bundle b = bundle_of(KEY_BETWEEN, "PKCS#8 PEM", type);
    struct asker asker = {FORM_PASSPHRASE, 0, 0};
    char text[FILE_MAX];
    BIO *bio;
    size_t len;

    memcpy(b.text + b.len, none, sizeof(none));
    b.len += strlen(none);
    bio = open_file(&b);
    check_key(read_key(bio, &asker), type);
    len = text_of(bio, text);
    CHECK_INT((long long)len, (long long)b.len);
    CHECK_MEM(text + len - strlen(none), strlen(none), none, strlen(none));
    CHECK(!interop_protected() ||
          memmem(text, len, "-----BEGIN PRIVATE MPK-----\n", 28) != NULL);
    BIO_free(bio);
}

/* Whoever opened a file by himself may go on to read from it. */
static void test_a_file_of_the_programs_own(const struct key_type *type)
{
    struct bundle b = bundle_of(KEY_BETWEEN, "PKCS#8 PEM", type);
    struct asker asker = {FORM_PASSPHRASE, 0, 0};
    FILE *fp = fopen(interop_file("bundle.pem", b.text, b.len), "r"), *now;
    BIO *bio = BIO_new_fp(fp, BIO_NOCLOSE);
    char text[FILE_MAX];
    size_t len;

    check_key(read_key(bio, &asker), type);
    CHECK(BIO_get_fp(bio, &now) > 0 && now == fp);
    len = text_of(bio, text);
    CHECK_MEM(text, len, b.text, b.len);
    BIO_free(bio);
    fclose(fp);
}

/* The BIO closes it in the end, and until then a program may use both. */
static void test_a_stream_of_the_bios(const struct key_type *type)
{
    struct bundle b = bundle_of(KEY_BETWEEN, "PKCS#8 PEM", type);
    struct asker asker = {FORM_PASSPHRASE, 0, 0};
    FILE *fp = fopen(interop_file("bundle.pem", b.text, b.len), "r");
    BIO *bio = BIO_new_fp(fp, BIO_CLOSE);
    char text[FILE_MAX];
    int fd = fileno(fp);
    X509 *cert;

    interop_subject("%s, a stream that the BIO closes", type->label);
    check_key(read_key(bio, &asker), type);
    cert = PEM_read_X509(fp, NULL, NULL, NULL);
    CHECK(cert != NULL);
    X509_free(cert);
    rewind(fp);
    CHECK_MEM(text, fread(text, 1, sizeof(text), fp), b.text, b.len);
    CHECK_INT(BIO_reset(bio), 0);
    CHECK_INT(read_certificates(bio), 2);
    CHECK(fcntl(fd, F_GETFD) >= 0);
    BIO_free(bio);
    CHECK(fcntl(fd, F_GETFD) < 0);
}

/* What is written has to get there. */
static void test_a_file_that_is_written_to(const struct key_type *type,
                                           const char *mode)
{
    struct bundle b = bundle_of(KEY_BETWEEN, "PKCS#8 PEM", type);
    struct asker asker = {FORM_PASSPHRASE, 0, 0};
    const char *path = interop_file("bundle.pem", b.text, b.len);
    BIO *bio = BIO_new_file(path, mode);
    char text[FILE_MAX];
    size_t len;

    interop_subject("%s, a file opened with %s", type->label, mode);
    CHECK_INT(BIO_seek(bio, 0), 0);
    check_key(read_key(bio, &asker), type);
    CHECK_INT(BIO_seek(bio, (long)b.len), 0);
    CHECK_INT(BIO_puts(bio, "more\n"), 5);
    BIO_free(bio);
    bio = BIO_new_file(path, "r");
    len = text_of(bio, text);
    CHECK_MEM(text, len < b.len ? len : b.len, b.text, b.len);
    CHECK_INT((long long)len, (long long)b.len + 5);
    BIO_free(bio);
}

static void test_a_file_with_one_key(const struct key_type *type)
{
    struct bundle b = {.len = 0};
    struct asker asker = {FORM_PASSPHRASE, 0, 0};
    FILE *before, *after;
    BIO *bio;

    put_key(&b, "PKCS#8 PEM", type);
    bio = open_file(&b);
    BIO_get_fp(bio, &before);
    check_key(read_key(bio, &asker), type);
    CHECK(BIO_get_fp(bio, &after) > 0 && after == before);
    BIO_free(bio);
}

/* libcrypto takes 254 bytes for a line: so the key's last line begins where no
 * line has ended. */
#define LIBCRYPTO_LINE 254

static void test_a_line_that_is_two(const struct key_type *type)
{
    struct asker asker = {FORM_PASSPHRASE, 0, 0};
    struct bundle b = {.len = 0};
    char *body, *end, *stop, *to;
    BIO *bio;

    interop_subject("%s in one long line", type->label);
    put_key(&b, "PKCS#8 PEM", type);
    body = strchr(b.text, '\n') + 1;
    end = strstr(body, "-----END");
    to = body;
    for (const char *from = body; from != end; from++) {
        if (*from != '\n') {
            *to++ = *from;
        }
    }
    stop = body + LIBCRYPTO_LINE;
    CHECK(to < stop);
    memmove(stop, end, strlen(end));
    b.len = (size_t)(stop - b.text) + strlen("-----END PRIVATE KEY-----\n");
    memset(to, ' ', (size_t)(stop - to));
    put_certificate(&b, "P-256");
    bio = open_file(&b);
    for (int i = 0; i < 2; i++) {
        check_key(read_key(bio, &asker), type);
        CHECK_INT(read_certificates(bio), 1);
        CHECK_INT(BIO_reset(bio), 0);
    }
    BIO_free(bio);
}

#define LARGE ((size_t)2 << 20) /* more than a key may have */

static void test_a_large_file(const struct key_type *type)
{
    struct bundle b = bundle_of(KEY_CERTIFICATE, "PKCS#8 PEM", type);
    struct asker asker = {FORM_PASSPHRASE, 0, 0};
    char *text = interop_new(LARGE), line[FILE_MAX];
    BIO *bio;

    memset(text, '\n', LARGE);
    memcpy(text, b.text, b.len);
    bio = BIO_new_file(interop_file("bundle.pem", text, LARGE), "r");
    check_key(read_key(bio, &asker), type);
    CHECK_INT(BIO_reset(bio), 0);
    CHECK(BIO_gets(bio, line, sizeof(line)) > 0);
    CHECK_STR(line, interop_protected() ? "-----BEGIN PRIVATE MPK-----\n"
                                        : "-----BEGIN PRIVATE KEY-----\n");
    CHECK_INT(read_certificates(bio), 1);
    BIO_free(bio);
    free(text);
}

/* The size that the module reads by once it has that much of a file; libcrypto
 * and libc read by less. */
#define LATER_READ 16384

/* A file that cannot be read to its end for once stays as it is. */
static void test_a_read_that_fails(const struct key_type *type)
{
    struct asker asker = {FORM_PASSPHRASE, 0, 0};
    struct bundle b = {.len = 0};
    int status;
    pid_t pid;

    interop_subject("%s, a read that fails", type->label);
    put_key(&b, "PKCS#8 PEM", type);
    while (b.len < LATER_READ + 8192) {
        put_certificate(&b, "P-256");
    }
    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        BIO *bio = open_file(&b);

        if (!fail_syscall_with(SYS_read, 2, LATER_READ, EIO)) {
            _exit(77);
        }
        check_key(read_key(bio, &asker), type);
        CHECK_INT(BIO_reset(bio), 0);
        CHECK_INT(read_certificates(bio), b.certificates);
        BIO_free(bio);
        _exit(interop_failures() != 0);
    }
    waitpid(pid, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
        interop_skip("a read that fails: no filter to be had");
        return;
    }
    CHECK_INT(status, 0);
}

/* ---- sealed text --------------------------------------------------------- */

static EVP_PKEY *from_text(const char *text, size_t len)
{
    BIO *bio = BIO_new_mem_buf(text, (int)len);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);

    ERR_clear_error();
    BIO_free(bio);
    return key;
}

static bool signs(EVP_PKEY *key)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = EVP_DigestSignInit_ex(ctx, NULL, NULL, NULL, NULL, key, NULL) > 0;

    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    return ok;
}

static void check_refused(const char *text, size_t len)
{
    EVP_PKEY *key = from_text(text, len);

    CHECK_HELD(key);
    CHECK(!signs(key));
    EVP_PKEY_free(key);
}

/* What is changed, in the digits or between them, does not open to a key, nor
 * does libcrypto go on to the key that is behind it. */
static void test_damaged_text(void)
{
    struct bundle b =
        bundle_of(KEY_BETWEEN, "PKCS#8 PEM", key_type_find("P-256"));
    struct asker asker = {FORM_PASSPHRASE, 0, 0};
    BIO *bio = open_file(&b);
    char text[FILE_MAX], *start;
    size_t len, stop;

    EVP_PKEY_free(read_key(bio, &asker));
    len = text_of(bio, text);
    BIO_free(bio);
    start = memmem(text, len, "-----BEGIN PRIVATE", 18);
    check_key(from_text(start, len - (size_t)(start - text)),
              key_type_find("P-256"));
    /* Another key behind it, in the clear. */
    stop = len;
    memcpy(text + stop, b.text, b.len);
    for (char *p = start + 28; memcmp(p, "-----END", 8) != 0; p++) {
        char was = *p;

        *p = was == '\n' ? ' ' : was == 'A' ? 'B' : 'A';
        check_refused(start, stop + b.len - (size_t)(start - text));
        *p = was;
    }
}

static const char *const forms[] = {"PKCS#8 PEM", "traditional PEM",
                                    "PBES2 PEM", "scrypt PEM", "Proc-Type PEM"};

static void test_type(const struct key_type *type)
{
    for (size_t f = 0; f < sizeof(forms) / sizeof(forms[0]); f++) {
        if (!form_find(forms[f])->exists(type)) {
            continue;
        }
        for (enum order o = 0; o < ORDERS; o++) {
            test_nothing_of_it_is_freed(o, forms[f], type);
        }
        test_the_key_is_read_again(forms[f], type);
    }
    test_a_certificate_was_read(type, "r");
    test_a_certificate_was_read(type, "rm");
    test_the_rest_is_as_it_was(type);
    test_blocks_that_are_none(type);
    test_a_file_of_the_programs_own(type);
    test_a_stream_of_the_bios(type);
    test_a_file_that_is_written_to(type, "r+");
    test_a_file_that_is_written_to(type, "a+");
    test_a_file_with_one_key(type);
}

int main(void)
{
    const struct key_type *type;

    first_block = malloc(1);
    interop_start();
    for (size_t i = 0; (type = key_type_at(i)) != NULL; i++) {
        test_type(type);
    }
    test_every_key_of_a_file();
    test_a_line_that_is_two(key_type_find("P-256"));
    test_a_large_file(key_type_find("P-256"));
    test_a_read_that_fails(key_type_find("P-256"));
    if (interop_protected() && interop_memory_counts()) {
        test_what_was_freed_before("P-256");
        test_what_was_freed_before("P-384");
        test_what_was_freed_before("P-521");
    }
    if (interop_protected()) {
        test_damaged_text();
    }
    free(first_block);
    return interop_finish();
}
