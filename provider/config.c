/*
 * config.c - the provider's section in openssl.cnf.
 *
 *   backend    = mpk | mprotect | none
 *   memory     = auto | secretmem | anonymous
 *   self-check = require | warn | off
 */
#include "prov.h"

#include <stdio.h>
#include <strings.h>

struct choice {
    const char *word;
    int value;
};

static const struct choice backends[] = {{"mpk", MPK_BACKEND_MPK},
                                         {"mprotect", MPK_BACKEND_MPROTECT},
                                         {"none", MPK_BACKEND_NONE},
                                         {NULL, 0}};
static const struct choice memories[] = {{"auto", MPK_MEMORY_AUTO},
                                         {"secretmem", MPK_MEMORY_SECRETMEM},
                                         {"anonymous", MPK_MEMORY_ANONYMOUS},
                                         {NULL, 0}};
static const struct choice self_checks[] = {{"require", SELF_CHECK_REQUIRE},
                                            {"warn", SELF_CHECK_WARN},
                                            {"off", SELF_CHECK_OFF},
                                            {NULL, 0}};

static const struct {
    const char *key;
    const struct choice *choices;
} settings[] = {
    {"backend", backends}, {"memory", memories}, {"self-check", self_checks}};

#define SETTINGS (sizeof(settings) / sizeof(settings[0]))

/* libcrypto's own keys of such a section. */
static const char *const core_keys[] = {"identity", "module", "activate",
                                        "soft_load"};

static void say_choices(char *out, size_t room, const struct choice *c)
{
    size_t n = 0;

    for (; c->word != NULL && n < room; c++) {
        n += (size_t)snprintf(out + n, room - n, "%s%s", n != 0 ? ", " : "",
                              c->word);
    }
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

int prov_config_read(struct prov_ctx *ctx, struct mpk_config *config)
{
    char *value[SETTINGS] = {NULL};
    OSSL_PARAM params[SETTINGS + 1];
    int chosen[SETTINGS] = {MPK_BACKEND_MPK, MPK_MEMORY_AUTO,
                            SELF_CHECK_REQUIRE};

    for (size_t i = 0; i < SETTINGS; i++) {
        params[i] =
            (OSSL_PARAM)OSSL_PARAM_utf8_ptr(settings[i].key, &value[i], 0);
    }
    params[SETTINGS] = (OSSL_PARAM)OSSL_PARAM_END;
    if (prov.core.get_params(ctx->handle, params)) {
        for (size_t i = 0; i < SETTINGS; i++) {
            if (value[i] != NULL && !choose(ctx, i, value[i], &chosen[i])) {
                return 0;
            }
        }
    }
    config->backend = (enum mpk_backend)chosen[0];
    config->memory = (enum mpk_memory)chosen[1];
    ctx->self_check = (enum self_check)chosen[2];
    return 1;
}

int prov_config_known(const char *key)
{
    const char *dot = strchr(key, '.');

    for (size_t i = 0; i < SETTINGS; i++) {
        if (strcmp(key, settings[i].key) == 0) {
            return 1;
        }
    }
    /* Of its own keys, but not of ours, libcrypto drops what stands before a
     * dot. */
    key = dot != NULL ? dot + 1 : key;
    for (size_t i = 0; i < sizeof(core_keys) / sizeof(core_keys[0]); i++) {
        if (strcmp(key, core_keys[i]) == 0) {
            return 1;
        }
    }
    return 0;
}
