/* columns.c - the configurations that are compared. */
#include "columns.h"

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/provider.h>
#include <stdio.h>
#include <string.h>

#define KEYS_PROVIDER "mpk"
#define TLS_PROVIDER "MPK"

static const struct column columns[] = {
    {"stock", "OpenSSL without the module", PROFILE_STOCK, NULL, false},
    {"loaded", "the module is loaded, the key is in the default provider",
     PROFILE_LOADED, "none", false},
    {"keys", "keys profile", PROFILE_KEYS, "mpk", false},
    {"keys-mprotect", "keys profile, mprotect backend", PROFILE_KEYS,
     "mprotect", false},
    {"keys-none", "keys profile, a domain that is never closed", PROFILE_KEYS,
     "none", false},
    {"perkey", "keys profile, a page group for each key", PROFILE_KEYS, "mpk",
     true},
    {"perkey-mprotect", "the same, mprotect backend", PROFILE_KEYS, "mprotect",
     true},
    {"perkey-none", "the same, a domain that is never closed", PROFILE_KEYS,
     "none", true},
    {"full", "full profile", PROFILE_FULL, "mpk", false},
    {"full-mprotect", "full profile, mprotect backend", PROFILE_FULL,
     "mprotect", false},
    {"full-none", "full profile, a domain that is never closed", PROFILE_FULL,
     "none", false},
};
#define COLUMNS (sizeof(columns) / sizeof(columns[0]))

const struct column *column_at(size_t i)
{
    return i < COLUMNS ? &columns[i] : NULL;
}

const struct column *column_find(const char *name)
{
    for (size_t i = 0; i < COLUMNS; i++) {
        if (strcmp(columns[i].name, name) == 0) {
            return &columns[i];
        }
    }
    return NULL;
}

/* ---- configuration ------------------------------------------------------ */

static const char head[] = "openssl_conf = openssl_init\n"
                           "[openssl_init]\n"
                           "providers = providers\n";
static const char of_full[] = "alg_section = algorithms\n"
                              "[algorithms]\n"
                              "default_properties = ?mpk.use=yes\n";
static const char default_section[] = "[default_provider]\n"
                                      "activate = 1\n";

static void write_module(FILE *f, const char *section, const char *setting,
                         const char *module, const struct column *c)
{
    fprintf(f,
            "[%s]\nmodule = %s\nbackend = %s\nkey-isolation = %s\n"
            "%sactivate = 1\n",
            section, module, c->backend, c->per_key ? "per-key" : "shared",
            setting);
}

static void write_conf(FILE *f, const struct column *c, const char *module)
{
    bool full = c->profile == PROFILE_FULL;
    bool keys = c->profile != PROFILE_STOCK;

    fprintf(f, "%s%s[providers]\n%sdefault = default_provider\n%s%s", head,
            full ? of_full : "", full ? TLS_PROVIDER " = tls_role\n" : "",
            keys ? KEYS_PROVIDER " = keys_role\n" : "", default_section);
    if (full) {
        write_module(f, "tls_role", "role = tls\n", module, c);
    }
    if (keys) {
        write_module(f, "keys_role", full ? "role = keys\n" : "", module, c);
    }
}

bool column_write_conf(const struct column *c, const char *module,
                       const char *path)
{
    FILE *f = fopen(path, "w");

    if (f == NULL) {
        return false;
    }
    write_conf(f, c, module);
    return fclose(f) == 0;
}

/* ---- is it really so? --------------------------------------------------- */

static const char *name_of(const OSSL_PROVIDER *p)
{
    return p != NULL ? OSSL_PROVIDER_get0_name(p) : "nobody";
}

static bool is_with(const char *what, const char *who, const char *expected,
                    char *why, size_t room)
{
    if (strcmp(who, expected) == 0) {
        return true;
    }
    snprintf(why, room, "%s is with provider %s, expected %s", what, who,
             expected);
    return false;
}

bool column_holds(const struct column *c, const EVP_PKEY *key, char *why,
                  size_t room)
{
    bool protects = c->profile == PROFILE_KEYS || c->profile == PROFILE_FULL;

    return is_with("the private key", name_of(EVP_PKEY_get0_provider(key)),
                   protects ? KEYS_PROVIDER : "default", why, room);
}

bool column_has_secrets(const struct column *c, char *why, size_t room)
{
    const char *expected =
        c->profile == PROFILE_FULL ? TLS_PROVIDER : "default";
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, "AES-128-GCM", NULL);
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "TLS13-KDF", NULL);
    bool ok = is_with(
        "AES-128-GCM",
        name_of(cipher != NULL ? EVP_CIPHER_get0_provider(cipher) : NULL),
        expected, why, room);

    ok = ok && is_with("TLS13-KDF",
                       name_of(kdf != NULL ? EVP_KDF_get0_provider(kdf) : NULL),
                       expected, why, room);
    EVP_CIPHER_free(cipher);
    EVP_KDF_free(kdf);
    return ok;
}

/* ---- what the module says of itself ------------------------------------- */

static int take_ours(OSSL_PROVIDER *p, void *arg)
{
    if (strcmp(OSSL_PROVIDER_get0_name(p), KEYS_PROVIDER) == 0) {
        *(OSSL_PROVIDER **)arg = p;
        return 0;
    }
    return 1;
}

/* A reference of its own is not needed: no provider goes before the end. */
static OSSL_PROVIDER *ours(void)
{
    static OSSL_PROVIDER *found;

    if (found == NULL) {
        OSSL_PROVIDER_do_all(NULL, take_ours, &found);
    }
    return found;
}

void column_build(char *text, size_t room)
{
    const char *build = NULL;
    OSSL_PARAM params[] = {
        OSSL_PARAM_utf8_ptr(OSSL_PROV_PARAM_BUILDINFO, (char **)&build, 0),
        OSSL_PARAM_END};

    if (ours() == NULL || !OSSL_PROVIDER_get_params(ours(), params) ||
        build == NULL) {
        build = "-";
    }
    snprintf(text, room, "%s", build);
}

bool column_works(void)
{
    int status = 1;
    OSSL_PARAM params[] = {OSSL_PARAM_int(OSSL_PROV_PARAM_STATUS, &status),
                           OSSL_PARAM_END};

    return ours() == NULL || !OSSL_PROVIDER_get_params(ours(), params) ||
           status == 1;
}

long long column_crossings(void)
{
    uint64_t n = 0;
    OSSL_PARAM params[] = {OSSL_PARAM_uint64("mpk-crossings", &n),
                           OSSL_PARAM_END};

    if (ours() == NULL || !OSSL_PROVIDER_get_params(ours(), params) ||
        !OSSL_PARAM_modified(params)) {
        return -1;
    }
    return (long long)n;
}
