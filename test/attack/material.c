/* material.c - see material.h. */
#include "material.h"
#include "needles.h"

#include "../unit/fail_syscall.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447
#endif

static _Noreturn void die(const char *what)
{
    perror(what);
    exit(1);
}

static const char *path_in(const struct material *m, const char *name)
{
    static char path[128];

    snprintf(path, sizeof(path), "%s/%s", m->dir, name);
    return path;
}

static FILE *create(const struct material *m, const char *name)
{
    FILE *f = fopen(path_in(m, name), "w");

    if (f == NULL) {
        die(path_in(m, name));
    }
    return f;
}

/* ---- key, certificate, needles ------------------------------------------- */

static void write_needles(const struct material *m, const EVP_PKEY *key)
{
    static const char *const numbers[] = {
        OSSL_PKEY_PARAM_RSA_D,         OSSL_PKEY_PARAM_RSA_FACTOR1,
        OSSL_PKEY_PARAM_RSA_FACTOR2,   OSSL_PKEY_PARAM_RSA_EXPONENT1,
        OSSL_PKEY_PARAM_RSA_EXPONENT2, OSSL_PKEY_PARAM_RSA_COEFFICIENT1};
    int fd = open(path_in(m, "needles"), O_WRONLY | O_CREAT | O_TRUNC, 0600);

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        unsigned char bytes[NEEDLE_MAX];
        BIGNUM *n = NULL;

        if (!EVP_PKEY_get_bn_param(key, numbers[i], &n) ||
            BN_bn2lebinpad(n, bytes, BN_num_bytes(n)) < 0 ||
            !needles_send(fd, bytes, (size_t)BN_num_bytes(n))) {
            die("the needles");
        }
        BN_clear_free(n);
    }
    close(fd);
}

/* The text of the file, for searches that are not for an address. */
static void write_text_needles(const struct material *m)
{
    int fd =
        open(path_in(m, "needles.text"), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    FILE *f = fopen(path_in(m, "key.pem"), "r");
    char line[128];

    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        size_t len = strcspn(line, "\n");

        if (line[0] != '-' &&
            !needles_send(fd, (const unsigned char *)line, len)) {
            die("the needles");
        }
    }
    if (f == NULL || fclose(f) != 0 || close(fd) != 0) {
        die("the key's text");
    }
}

static void write_certificate(const struct material *m, EVP_PKEY *key)
{
    X509 *cert = X509_new();
    X509_NAME *name = X509_NAME_new();
    FILE *f = create(m, "cert.pem");

    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
    X509_gmtime_adj(X509_getm_notAfter(cert), 86400);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                               (const unsigned char *)"victim", -1, -1, 0);
    X509_set_subject_name(cert, name);
    X509_set_issuer_name(cert, name);
    X509_NAME_free(name);
    X509_set_pubkey(cert, key);
    if (X509_sign(cert, key, EVP_sha256()) == 0 || !PEM_write_X509(f, cert)) {
        die("the certificate");
    }
    fclose(f);
    X509_free(cert);
}

/* ---- configurations ------------------------------------------------------ */

static const char *const backend[COLUMNS] = {NULL, "mprotect", "mpk"};
static const char *const memory[] = {"auto", "secretmem", "anonymous",
                                     "auto", "auto",      "auto"};

static void conf_name(char *name, size_t room, enum column c, enum profile p)
{
    snprintf(name, room, "%d-%d.cnf", (int)c, (int)p);
}

static void write_conf(const struct material *m, enum column c, enum profile p)
{
    bool full = p == FULL || p == DOMAIN_STACK;
    char name[32];
    FILE *f;

    conf_name(name, sizeof(name), c, p);
    f = create(m, name);
    fprintf(f,
            "openssl_conf = init\n[init]\nproviders = providers\n%s"
            "[providers]\n%sdefault = default_provider\nmpk = mpk_provider\n"
            "[default_provider]\nactivate = 1\n",
            full ? "alg_section = algorithms\n" : "",
            full ? "MPK = tls_provider\n" : "");
    fprintf(f,
            "[mpk_provider]\nmodule = %s\nactivate = 1\nbackend = %s\n"
            "memory = %s\nrseq = %s\n",
            m->module, backend[c], memory[p],
            p == KEEP_RSEQ ? "keep" : "unregister");
    if (full) {
        fprintf(f,
                "[tls_provider]\nmodule = %s\nactivate = 1\nrole = tls\n"
                "backend = %s\nmemory = %s\nrecord-stack = %s\n"
                "[algorithms]\ndefault_properties = ?mpk.use=yes\n",
                m->module, backend[c], memory[p],
                p == DOMAIN_STACK ? "domain" : "caller");
    }
    fclose(f);
}

const char *material_conf(const struct material *m, enum column column,
                          enum profile profile)
{
    char name[32];

    if (column == STOCK) {
        return "/dev/null";
    }
    conf_name(name, sizeof(name), column, profile);
    return path_in(m, name);
}

void material_make(struct material *m, const char *module)
{
    EVP_PKEY *key;
    FILE *f;

    setenv("OPENSSL_CONF", "/dev/null", 1);
    m->module = module;
    strcpy(m->dir, "/tmp/mpk-attack-XXXXXX");
    if (mkdtemp(m->dir) == NULL) {
        die(m->dir);
    }
    key = EVP_RSA_gen(2048);
    f = create(m, "key.pem");
    if (key == NULL ||
        !PEM_write_PKCS8PrivateKey(f, key, NULL, NULL, 0, NULL, NULL)) {
        die("the key");
    }
    fclose(f);
    write_needles(m, key);
    write_text_needles(m);
    write_certificate(m, key);
    EVP_PKEY_free(key);
    for (int c = MPROTECT; c < COLUMNS; c++) {
        for (int p = KEYS; p <= KEEP_RSEQ; p++) {
            write_conf(m, (enum column)c, (enum profile)p);
        }
    }
}

void material_remove(const struct material *m)
{
    char command[128];

    snprintf(command, sizeof(command), "rm -rf %s", m->dir);
    if (system(command) != 0) {
        perror(m->dir);
    }
}

/* ---- what the kernel has ------------------------------------------------- */

bool material_has_secretmem(void)
{
    int fd = (int)syscall(SYS_memfd_secret, 0);
    bool has = false;

    if (fd >= 0 && ftruncate(fd, 4096) == 0) {
        void *p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);

        has = p != MAP_FAILED;
        if (has) {
            munmap(p, 4096);
        }
    }
    if (fd >= 0) {
        close(fd);
    }
    return has;
}

bool material_has_seals(void)
{
    return can_seal_mappings();
}

static void search_file(const struct material *m, const char *path, char *text,
                        size_t room)
{
    int fd = open(path_in(m, "needles"), O_RDONLY | O_CLOEXEC);
    struct stat st;
    void *p;

    needles_forget();
    needles_receive(fd, true);
    close(fd);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) {
        die(path);
    }
    p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED) {
        die(path);
    }
    snprintf(text, room, "%s",
             needles_find(p, (size_t)st.st_size) != NULL ? "**key found**"
                                                         : "nothing found");
    munmap(p, (size_t)st.st_size);
    close(fd);
}

void material_search_core(const struct material *m, char *text, size_t room)
{
    glob_t found;

    if (glob(path_in(m, "core*"), 0, NULL, &found) != 0) {
        snprintf(text, room, "not run: core dumps go elsewhere");
        return;
    }
    search_file(m, found.gl_pathv[0], text, room);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        unlink(found.gl_pathv[i]);
    }
    globfree(&found);
}
