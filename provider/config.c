/*
 * config.c - the provider's section in openssl.cnf.
 *
 *   backend    = mpk | mprotect | none
 *   memory     = auto | secretmem | anonymous
 *   self-check = require | warn | off
 *   role       = keys | tls
 *   key-isolation  = shared | per-key
 *   key-references = refuse | follow
 *   rseq           = unregister | keep
 *   seal-pages     = auto | try
 *
 * and with role = tls:
 *
 *   tls-secrets     = require | warn | off
 *   record-stack    = caller | domain
 *   x448            = leave | protect
 *   tls12-cbc       = raw | refuse
 *   tls12-premaster = raw | refuse
 *   quic            = leave | protect
 *   handle-key-file = PATH
 *   keylog          = reveal-for-debugging PATH
 */
#include "prov.h"

#include <stdio.h>
#include <strings.h>

/* No word may be a section's name, as "default" always is: libcrypto gives that
 * section's lines for it. */
struct choice {
    const char *word;
    int value;
};

_Static_assert(MPK_BACKEND_MPK == 0 && MPK_MEMORY_AUTO == 0 && ROLE_KEYS == 0 &&
                   MPK_LIGHT_CALLER_STACK == 0 && MPK_RSEQ_UNREGISTER == 0 &&
                   X448_LEAVE == 0 && CBC_RAW == 0 && QUIC_LEAVE == 0 &&
                   PMS_RAW == 0,
               "what is not set is 0");

static const struct choice backends[] = {{"mpk", MPK_BACKEND_MPK},
                                         {"mprotect", MPK_BACKEND_MPROTECT},
                                         {"none", MPK_BACKEND_NONE},
                                         {NULL, 0}};
static const struct choice memories[] = {{"auto", MPK_MEMORY_AUTO},
                                         {"secretmem", MPK_MEMORY_SECRETMEM},
                                         {"anonymous", MPK_MEMORY_ANONYMOUS},
                                         {NULL, 0}};
static const struct choice roles[] = {
    {"keys", ROLE_KEYS}, {"tls", ROLE_TLS}, {NULL, 0}};
static const struct choice stacks[] = {{"caller", MPK_LIGHT_CALLER_STACK},
                                       {"domain", MPK_LIGHT_DOMAIN_STACK},
                                       {NULL, 0}};
static const struct choice x448s[] = {
    {"leave", X448_LEAVE}, {"protect", X448_PROTECT}, {NULL, 0}};
static const struct choice cbcs[] = {
    {"raw", CBC_RAW}, {"refuse", CBC_REFUSE}, {NULL, 0}};
static const struct choice pmss[] = {
    {"raw", PMS_RAW}, {"refuse", PMS_REFUSE}, {NULL, 0}};
static const struct choice quics[] = {
    {"leave", QUIC_LEAVE}, {"protect", QUIC_PROTECT}, {NULL, 0}};
static const struct choice self_checks[] = {{"require", SELF_CHECK_REQUIRE},
                                            {"warn", SELF_CHECK_WARN},
                                            {"off", SELF_CHECK_OFF},
                                            {NULL, 0}};

static const struct choice isolations[] = {
    {"shared", 0}, {"per-key", 1}, {NULL, 0}};

static const struct choice references[] = {
    {"refuse", 0}, {"follow", 1}, {NULL, 0}};

static const struct choice rseqs[] = {
    {"unregister", MPK_RSEQ_UNREGISTER}, {"keep", MPK_RSEQ_KEEP}, {NULL, 0}};

static const struct choice seals[] = {
    {"auto", MPK_SEAL_AUTO}, {"try", MPK_SEAL_TRY}, {NULL, 0}};

enum setting {
    SET_BACKEND,
    SET_MEMORY,
    SET_SELF_CHECK,
    SET_ROLE,
    SET_KEY_ISOLATION,
    SET_KEY_REFERENCES,
    SET_RSEQ,
    SET_SEAL_PAGES,
    SET_TLS_SECRETS,
    SET_RECORD_STACK,
    SET_TLS12_CBC,
    SET_TLS12_PREMASTER,
    SET_X448,
    SET_QUIC,
    SET_HANDLE_KEY_FILE,
    SET_KEYLOG,
    SETTINGS
};

/* A setting without choices is free text; |tls_only| is for role = tls. */
static const struct {
    const char *key;
    const struct choice *choices;
    int tls_only;
} settings[SETTINGS] = {
    [SET_BACKEND] = {"backend", backends, 0},
    [SET_MEMORY] = {"memory", memories, 0},
    [SET_SELF_CHECK] = {"self-check", self_checks, 0},
    [SET_ROLE] = {"role", roles, 0},
    [SET_KEY_ISOLATION] = {"key-isolation", isolations, 0},
    [SET_KEY_REFERENCES] = {"key-references", references, 0},
    [SET_RSEQ] = {"rseq", rseqs, 0},
    [SET_SEAL_PAGES] = {"seal-pages", seals, 0},
    [SET_TLS_SECRETS] = {"tls-secrets", self_checks, 1},
    [SET_RECORD_STACK] = {"record-stack", stacks, 1},
    [SET_TLS12_CBC] = {"tls12-cbc", cbcs, 1},
    [SET_TLS12_PREMASTER] = {"tls12-premaster", pmss, 1},
    [SET_X448] = {"x448", x448s, 1},
    [SET_QUIC] = {"quic", quics, 1},
    [SET_HANDLE_KEY_FILE] = {"handle-key-file", NULL, 1},
    [SET_KEYLOG] = {"keylog", NULL, 1},
};

/* libcrypto's own settings of such a section. */
static const char *const core_settings[] = {"identity", "module", "activate",
                                            "soft_load"};

static void say_choices(char *out, size_t room, const struct choice *c)
{
    size_t n = 0;

    for (; c->word != NULL && n < room; c++) {
        n += (size_t)snprintf(out + n, room - n, "%s%s", n != 0 ? ", " : "",
                              c->word);
    }
}

static const char *word_of(const struct choice *c, int value)
{
    while (c->word != NULL && c->value != value) {
        c++;
    }
    return c->word != NULL ? c->word : "?";
}

void prov_config_say(char *out, size_t room, const struct mpk_config *config)
{
    snprintf(out, room, "backend = %s and memory = %s",
             word_of(backends, (int)config->backend),
             word_of(memories, (int)config->memory));
}

static int choose(struct prov_ctx *ctx, size_t i, const char *value, int *out)
{
    const struct choice *c = settings[i].choices;
    char words[64] = "";

    for (; c->word != NULL; c++) {
        if (strcasecmp(c->word, value) == 0) {
            *out = c->value;
            return 1;
        }
    }
    say_choices(words, sizeof(words), settings[i].choices);
    snprintf(ctx->refused, sizeof(ctx->refused),
             "openssl.cnf, section of provider '%s': %s = %.40s is none of: %s",
             ctx->name, settings[i].key, value, words);
    return 0;
}

/* Copies a path; 1, or 0 when it is too long. */
static int take_path(struct prov_ctx *ctx, const char *key, const char *value,
                     char out[MPKPROV_PATH_MAX])
{
    size_t len = strlen(value);

    if (len == 0 || len >= MPKPROV_PATH_MAX) {
        snprintf(ctx->refused, sizeof(ctx->refused),
                 "openssl.cnf, section of provider '%s': %s: the path is %s",
                 ctx->name, key, len == 0 ? "empty" : "too long");
        return 0;
    }
    strcpy(out, value);
    return 1;
}

/* Nobody shall reveal secrets by a slip: the value says what it does. */
#define REVEAL "reveal-for-debugging "

static int take_keylog(struct prov_ctx *ctx, const char *value)
{
    if (strncmp(value, REVEAL, strlen(REVEAL)) != 0) {
        snprintf(ctx->refused, sizeof(ctx->refused),
                 "openssl.cnf, section of provider '%s': keylog is written "
                 "'keylog = " REVEAL "PATH'; it gives session secrets away",
                 ctx->name);
        return 0;
    }
    value += strlen(REVEAL);
    return take_path(ctx, "keylog", value + strspn(value, " "),
                     ctx->tls.keylog);
}

static int only_for_tls(struct prov_ctx *ctx, const char *key)
{
    snprintf(ctx->refused, sizeof(ctx->refused),
             "openssl.cnf, section of provider '%s': %s is a setting of the "
             "section with 'role = tls'",
             ctx->name, key);
    return 0;
}

/*
 * Protection keys for the groups of private keys. As many operations run with
 * different keys at the same time, more of them wait; the others are left to
 * page groups outside and to other libraries.
 */
#define KEYS_FOR_KEYS 6

static int take_values(struct prov_ctx *ctx, struct mpk_config *config,
                       char *const value[SETTINGS])
{
    int chosen[SETTINGS] = {0};

    chosen[SET_SELF_CHECK] = SELF_CHECK_REQUIRE;
    chosen[SET_TLS_SECRETS] = SELF_CHECK_REQUIRE;
    /* First, so that a mistake elsewhere is dealt with as this role's. */
    if (value[SET_ROLE] != NULL &&
        !choose(ctx, SET_ROLE, value[SET_ROLE], &chosen[SET_ROLE])) {
        return 0;
    }
    ctx->role = (enum role)chosen[SET_ROLE];
    for (int i = 0; i < SETTINGS; i++) {
        if (value[i] != NULL && settings[i].choices != NULL &&
            !choose(ctx, (size_t)i, value[i], &chosen[i])) {
            return 0;
        }
    }
    config->backend = (enum mpk_backend)chosen[SET_BACKEND];
    config->memory = (enum mpk_memory)chosen[SET_MEMORY];
    config->rseq = (enum mpk_rseq)chosen[SET_RSEQ];
    config->seal = (enum mpk_seal)chosen[SET_SEAL_PAGES];
    config->group_keys = chosen[SET_KEY_ISOLATION] ? KEYS_FOR_KEYS : 0;
    ctx->self_check = (enum self_check)chosen[SET_SELF_CHECK];
    ctx->follow_references = chosen[SET_KEY_REFERENCES];
    ctx->tls.secrets = (enum self_check)chosen[SET_TLS_SECRETS];
    config->light = (enum mpk_light)chosen[SET_RECORD_STACK];
    ctx->tls.cbc = (enum cbc)chosen[SET_TLS12_CBC];
    ctx->tls.pms = (enum pms)chosen[SET_TLS12_PREMASTER];
    ctx->tls.x448 = (enum x448)chosen[SET_X448];
    ctx->tls.quic = (enum quic)chosen[SET_QUIC];
    for (int i = 0; i < SETTINGS; i++) {
        if (value[i] != NULL && settings[i].tls_only && ctx->role != ROLE_TLS) {
            return only_for_tls(ctx, settings[i].key);
        }
    }
    return (value[SET_HANDLE_KEY_FILE] == NULL ||
            take_path(ctx, settings[SET_HANDLE_KEY_FILE].key,
                      value[SET_HANDLE_KEY_FILE], ctx->tls.handle_key_file)) &&
           (value[SET_KEYLOG] == NULL || take_keylog(ctx, value[SET_KEYLOG]));
}

int prov_config_read(struct prov_ctx *ctx, struct mpk_config *config)
{
    char *value[SETTINGS] = {NULL};
    OSSL_PARAM params[SETTINGS + 1];

    for (size_t i = 0; i < SETTINGS; i++) {
        params[i] =
            (OSSL_PARAM)OSSL_PARAM_utf8_ptr(settings[i].key, &value[i], 0);
    }
    params[SETTINGS] = (OSSL_PARAM)OSSL_PARAM_END;
    if (!prov.core.get_params(ctx->handle, params)) {
        memset(value, 0, sizeof(value));
    }
    return take_values(ctx, config, value);
}

int prov_config_known(const char *key)
{
    const char *dot = strchr(key, '.');

    for (size_t i = 0; i < SETTINGS; i++) {
        if (strcmp(key, settings[i].key) == 0) {
            return 1;
        }
    }
    /* Of its own settings, but not of ours, libcrypto drops what stands before
     * a dot. */
    key = dot != NULL ? dot + 1 : key;
    for (size_t i = 0; i < sizeof(core_settings) / sizeof(core_settings[0]);
         i++) {
        if (strcmp(key, core_settings[i]) == 0) {
            return 1;
        }
    }
    return 0;
}
