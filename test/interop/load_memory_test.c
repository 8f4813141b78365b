/*
 * A process that runs out of memory while it loads a key: whichever of the
 * module's own allocations fails, or all of them from one on, no other
 * provider gets the key, nor does libcrypto's old code.
 *
 * What libcrypto itself allocates is not failed here: without its decoders it
 * reads the key by its old code, and asks nobody.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "interop.h"
#include "load_ways.h"

#include <openssl/pem.h>

#include <errno.h>
#include <link.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

void *__libc_malloc(size_t len);
void *__libc_calloc(size_t n, size_t len);
void __libc_free(void *p);

static struct {
    bool on;
    unsigned long first, how_many, seen;
} fail;

static _Atomic long live; /* blocks */
static uintptr_t module_start, module_end;

static int find_module(struct dl_phdr_info *info, size_t size, void *arg)
{
    (void)size;
    (void)arg;
    for (int i = 0; strstr(info->dlpi_name, "/mpk") && i < info->dlpi_phnum;
         i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];

        if (p->p_type == PT_LOAD && (p->p_flags & PF_X)) {
            module_start = info->dlpi_addr + p->p_vaddr;
            module_end = module_start + p->p_memsz;
        }
    }
    return 0;
}

static bool fails(const void *caller)
{
    uintptr_t at = (uintptr_t)caller;

    if (!fail.on || at < module_start || at >= module_end) {
        return false;
    }
    fail.seen++;
    if (fail.seen < fail.first || fail.seen - fail.first >= fail.how_many) {
        return false;
    }
    errno = ENOMEM;
    return true;
}

static void *counted(void *p)
{
    live += p != NULL;
    return p;
}

void *malloc(size_t len)
{
    return fails(__builtin_return_address(0)) ? NULL
                                              : counted(__libc_malloc(len));
}

void *calloc(size_t n, size_t len)
{
    return fails(__builtin_return_address(0)) ? NULL
                                              : counted(__libc_calloc(n, len));
}

void free(void *p)
{
    live -= p != NULL;
    __libc_free(p);
}

/* One load; returns the blocks there are after it. */
static long load_once(const struct key_type *type, const struct way *way,
                      const struct file *file)
{
    struct asker asker = {FORM_PASSPHRASE, 0, 0};
    EVP_PKEY *key;

    fail.seen = 0;
    fail.on = true;
    key = way->load(file, type, &asker);
    fail.on = false;
    ERR_clear_error();
    if (key != NULL) {
        CHECK_HELD(key);
    }
    EVP_PKEY_free(key);
    return live;
}

/* What is made once, and what the queue of errors keeps, is not made each
 * time. */
static void check_no_leak(const struct key_type *type, const struct way *way,
                          const struct file *file)
{
    long was = load_once(type, way, file), now = was;
    int grown = 0;

    for (int i = 0; i < 20 && grown == i; i++) {
        now = load_once(type, way, file);
        grown += now > was;
        was = now;
    }
    CHECK_INT(grown < 20, 1);
}

static void load_short(const struct key_type *type, const struct form *form,
                       const struct way *way, const struct file *file,
                       unsigned long how_many)
{
    fail.first = 0;
    do {
        fail.first++;
        fail.how_many = how_many;
        interop_subject("%s, %s, %s, no memory at %lu", type->label,
                        form->label, way->label, fail.first);
        load_once(type, way, file);
        check_no_leak(type, way, file);
    } while (fail.seen >= fail.first);
    /* It has failed at least once, and then not. */
    CHECK(!interop_protected() || fail.first > 1);
}

/* Key and certificate by one BIO, and the key once more: by then the file is
 * sealed, or could not be. */
static void read_all(const struct file *file)
{
    struct asker asker = {FORM_PASSPHRASE, 0, 0};
    BIO *bio = BIO_new_file(file->path, "r");
    EVP_PKEY *key;
    X509 *cert;

    for (int i = 0; i < 2; i++) {
        key = PEM_read_bio_PrivateKey(bio, NULL, ask, &asker);
        CHECK_HELD(key);
        EVP_PKEY_free(key);
        CHECK_INT(BIO_reset(bio), 0);
        cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
        CHECK(cert != NULL);
        X509_free(cert);
        CHECK_INT(BIO_reset(bio), 0);
    }
    BIO_free(bio);
    ERR_clear_error();
}

static void read_all_short(const struct key_type *type, const char *form,
                           const struct file *file, unsigned long how_many)
{
    fail.first = 0;
    fail.how_many = how_many;
    do {
        fail.first++;
        fail.seen = 0;
        interop_subject("%s, %s, a file that is read on, no memory at %lu",
                        type->label, form, fail.first);
        fail.on = true;
        read_all(file);
        fail.on = false;
    } while (fail.seen >= fail.first);
    CHECK(!interop_protected() || fail.first > 1);
}

static void test_bundle(const struct key_type *type, const char *form)
{
    X509 *cert = key_certificate(type);
    BIO *bio = BIO_new(BIO_s_mem());
    struct file file;
    char *data;

    CHECK(PEM_write_bio_X509(bio, cert));
    CHECK(form_find(form)->write(bio, type));
    file.len = (size_t)BIO_get_mem_data(bio, &data);
    file.path = interop_file("bundle.pem", data, file.len);
    read_all_short(type, form, &file, 1);
    read_all_short(type, form, &file, 1000000);
    BIO_free(bio);
    X509_free(cert);
}

static void test_form(const struct key_type *type, const char *label)
{
    const struct form *form = form_find(label);
    BIO *bio = BIO_new(BIO_s_mem());
    const struct way *way;
    struct file file;
    char *data;

    CHECK(form->write(bio, type));
    file.len = (size_t)BIO_get_mem_data(bio, &data);
    file.data = (unsigned char *)data;
    file.path = interop_file("key", data, file.len);
    for (size_t i = 0; (way = way_at(i)) != NULL; i++) {
        if (way->takes(form, type)) {
            load_short(type, form, way, &file, 1);
            load_short(type, form, way, &file, 1000000);
        }
    }
    BIO_free(bio);
}

/* The text of a key is the module's too. */
static void test_print(const struct key_type *type)
{
    EVP_PKEY *key = key_load(type);
    BIO *bio = BIO_new(BIO_s_mem());

    interop_subject("the text of a key, no memory");
    fail.first = 1;
    fail.how_many = 1;
    fail.seen = 0;
    fail.on = true;
    CHECK_INT(EVP_PKEY_print_private(bio, key, 0, NULL) == 1,
              !interop_protected());
    fail.on = false;
    CHECK(!interop_protected() || ERR_peek_error() != 0);
    ERR_clear_error();
    CHECK_INT(EVP_PKEY_print_private(bio, key, 0, NULL), 1);
    BIO_free(bio);
    EVP_PKEY_free(key);
}

/* In a library context of its own each time: the first ones are there without
 * an allocation. */
static int load_the_provider_often(void)
{
    for (int i = 0; i < 4; i++) {
        OSSL_LIB_CTX *libctx = OSSL_LIB_CTX_new();

        fail.first = 1;
        fail.how_many = 1;
        fail.seen = 0;
        fail.on = i == 3;
        if (libctx == NULL ||
            !OSSL_LIB_CTX_load_config(libctx, getenv("OPENSSL_CONF"))) {
            return 1;
        }
        fail.on = false;
    }
    return 0;
}

/* A provider that has no memory for itself is none, of which libcrypto would
 * say nothing: the process ends, and says why. */
static void test_another_provider(void)
{
    const struct rlimit no_core = {0, 0};
    int status = 0;
    pid_t pid;

    interop_subject("another provider, no memory");
    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        setrlimit(RLIMIT_CORE, &no_core);
        _exit(load_the_provider_often());
    }
    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
    CHECK(interop_protected()
              ? WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT
              : status == 0);
}

int main(void)
{
    interop_start();
    dl_iterate_phdr(find_module, NULL);
    test_print(key_type_find("P-256"));
    CHECK(!interop_protected() || module_start != 0);
    test_another_provider();
    test_form(key_type_find("RSA-2048"), "PKCS#8 PEM");
    test_form(key_type_find("P-256"), "Proc-Type PEM");
    test_form(key_type_find("P-256"), "traditional DER");
    test_form(key_type_find("ED25519"), "PKCS#8 DER");
    test_form(key_type_find("RSA-2048"), "MSBLOB");
    test_form(key_type_find("RSA-2048"), "PVK");
    test_bundle(key_type_find("RSA-2048"), "PKCS#8 PEM");
    test_bundle(key_type_find("P-256"), "Proc-Type PEM");
    return interop_finish();
}
