/*
 * libFuzzer target: the provider's section in openssl.cnf. The input is put
 * into the section of a configuration that is right otherwise. A library
 * context that it can be loaded into then either has a provider that works
 * and a section that could be meant, or one that refuses every key: never one
 * that lets a value pass that it does not know. The module is at
 * MPK_FUZZ_MODULE.
 */
#include <openssl/conf.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/provider.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static char path[] = "/tmp/mpk-conf-fuzz-XXXXXX";
static char *probe; /* a key's PEM */

static void remove_file(void)
{
    unlink(path);
}

static char *make_probe(void)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL, *copy = NULL;
    long len;

    if (PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL)) {
        len = BIO_get_mem_data(bio, &text);
        copy = strndup(text, (size_t)len);
    }
    EVP_PKEY_free(key);
    BIO_free(bio);
    return copy;
}

/* Messages about refusals would be most of the output. */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    int fd = mkstemp(path);

    (void)argc;
    (void)argv;
    if (fd < 0 || getenv("MPK_FUZZ_MODULE") == NULL ||
        setenv("OPENSSL_CONF", path, 1) != 0 ||
        setenv("MPK_DEBUG", "0:/dev/null", 1) != 0) {
        fputs("MPK_FUZZ_MODULE must name the module\n", stderr);
        exit(1);
    }
    close(fd);
    atexit(remove_file);
    OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
    probe = make_probe();
    return probe != NULL ? 0 : 1;
}

static int write_conf(const uint8_t *data, size_t len)
{
    FILE *f = fopen(path, "w");

    if (f == NULL) {
        return 0;
    }
    fprintf(f,
            "openssl_conf = init\n[init]\nproviders = list\n[list]\n"
            "default = dflt\nmpk = mpk\n[dflt]\nactivate = 1\n"
            "[mpk]\nmodule = %s\nactivate = 1\nbackend = none\n",
            getenv("MPK_FUZZ_MODULE"));
    fwrite(data, 1, len, f);
    return fclose(f) == 0;
}

static int is_one_of(const char *value, const char *const *words)
{
    for (; *words != NULL; words++) {
        if (strcasecmp(value, *words) == 0) {
            return 1;
        }
    }
    return 0;
}

/* As documented; what libcrypto itself reads of the section is not ours. */
static int could_be_meant(const CONF_VALUE *v)
{
    static const char *const backend[] = {"mpk", "mprotect", "none", NULL};
    static const char *const memory[] = {"auto", "secretmem", "anonymous",
                                         NULL};
    static const char *const check[] = {"require", "warn", "off", NULL};
    const char *dot = strchr(v->name, '.');
    const char *key = dot != NULL ? dot + 1 : v->name;

    if (strcmp(v->name, "backend") == 0) {
        return is_one_of(v->value, backend);
    }
    if (strcmp(v->name, "memory") == 0) {
        return is_one_of(v->value, memory);
    }
    if (strcmp(v->name, "self-check") == 0) {
        return is_one_of(v->value, check);
    }
    return strcmp(key, "module") == 0 || strcmp(key, "activate") == 0 ||
           strcmp(key, "identity") == 0 || strcmp(key, "soft_load") == 0;
}

/* The file as the library reads it: is all of our section meant so? -1 when
 * the input took the list of providers to another place. */
static int section_is_good(void)
{
    CONF *conf = NCONF_new(NULL);
    STACK_OF(CONF_VALUE) * section;
    int good = 1;

    if (NCONF_load(conf, path, NULL) <= 0) {
        NCONF_free(conf);
        return -1;
    }
    section = NCONF_get_section(conf, "mpk");
    for (int i = 0; i < sk_CONF_VALUE_num(section); i++) {
        good &= could_be_meant(sk_CONF_VALUE_value(section, i));
    }
    NCONF_free(conf);
    return good;
}

/* 1 when the provider of |libctx| is willing to have keys. */
static int is_willing(OSSL_LIB_CTX *libctx)
{
    int status = 0;
    OSSL_PARAM params[] = {OSSL_PARAM_int(OSSL_PROV_PARAM_STATUS, &status),
                           OSSL_PARAM_END};
    OSSL_PROVIDER *p = OSSL_PROVIDER_load(libctx, "mpk");

    if (p == NULL || !OSSL_PROVIDER_get_params(p, params)) {
        status = 0;
    }
    OSSL_PROVIDER_unload(p);
    return status;
}

/* Input that starts sections or includes files configures something else. */
static int is_for_one_section(const uint8_t *data, size_t len)
{
    return memchr(data, '[', len) == NULL && memchr(data, '\0', len) == NULL &&
           memmem(data, len, "module", 6) == NULL &&
           memmem(data, len, ".include", 8) == NULL &&
           memmem(data, len, ".pragma", 7) == NULL &&
           memmem(data, len, "activate", 8) == NULL;
}

static void try_keys(OSSL_LIB_CTX *libctx)
{
    int good = section_is_good(), willing = is_willing(libctx);
    BIO *bio = BIO_new_mem_buf(probe, -1);
    EVP_PKEY *key =
        PEM_read_bio_PrivateKey_ex(bio, NULL, NULL, NULL, libctx, NULL);
    const OSSL_PROVIDER *p = key != NULL ? EVP_PKEY_get0_provider(key) : NULL;

    if (good == 0 && willing) {
        fputs("a bad section was accepted\n", stderr);
        __builtin_trap();
    }
    if (good == 1 && !willing) {
        fputs("a good section was refused\n", stderr);
        __builtin_trap();
    }
    if (key != NULL &&
        (p == NULL || strcmp(OSSL_PROVIDER_get0_name(p), "mpk") != 0)) {
        fputs("a key is in the clear\n", stderr);
        __builtin_trap();
    }
    EVP_PKEY_free(key);
    BIO_free(bio);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    OSSL_LIB_CTX *libctx;

    if (len > 4096 || !is_for_one_section(data, len) ||
        !write_conf(data, len)) {
        return 0;
    }
    libctx = OSSL_LIB_CTX_new();
    if (libctx != NULL && OSSL_LIB_CTX_load_config(libctx, path)) {
        try_keys(libctx);
    }
    OSSL_LIB_CTX_free(libctx);
    ERR_clear_error();
    return 0;
}
