/*
 * process.c - what a process has once, whatever contexts it has: a domain, the
 * secrets of connections, and handlers of fork.
 */
#include "prov.h"
#include "tls.h"

#include <stdio.h>
#include <string.h>

static void notice(const char *line)
{
    prov_log(0, "%s", line);
}

/* No lock of ours is held by a thread that a child of fork does not have. */
static void lock_all(void)
{
    pthread_mutex_lock(&prov.lock);
}

static void unlock_all(void)
{
    pthread_mutex_unlock(&prov.lock);
}

/* In a child of fork, which does not have the thread that has it. */
static void renew_lock(void)
{
    pthread_mutex_t fresh = PTHREAD_MUTEX_INITIALIZER;

    prov.lock = fresh;
}

/* Tokens lie on the stacks of threads that a child does not have. */
static void unlock_in_child(void)
{
    prov.tokens = NULL;
    renew_lock();
}

/*
 * What a child of fork has in copy is its parent's. Who had the lock is not
 * here: mostly it was who forked, but not where that began before lock_all was
 * there, with a domain in the making.
 */
static void begin_in_child(void)
{
    renew_lock();
    __atomic_add_fetch(&prov.forks, 1, __ATOMIC_RELAXED);
    prov_visitors_forget();
    if (prov.making) {
        prov.making = 0;
        prov.initialised = -1;
        snprintf(prov.init_error, sizeof(prov.init_error),
                 "this process was forked while the domain was made");
    }
}

int prov_follow_forks(void)
{
    return pthread_atfork(NULL, NULL, begin_in_child) == 0;
}

/* The first provider context makes the domain; the others share it. */
static int make_domain(struct mpk_config *config, char *why, size_t room)
{
    const struct mpk_range outside = {&prov, sizeof(prov)};
    struct mpkprov_frame f = {.what = config->group_keys != 0,
                              .type = config->backend != MPK_BACKEND_NONE};
    int err;

    config->entries = mpkprov_entries;
    config->n_entries = mpkprov_n_entries;
    config->notice = notice;
#ifndef MPK_SANITIZED
    config->module_data = &prov;
    config->outside = &outside;
    config->n_outside = 1;
#else
    (void)outside;
#endif
    err = mpk_core_init(config);
    if (err != 0) {
        snprintf(why, room, "%s", mpk_core_strerror(err));
        return 0;
    }
    if (mpk_call(OP_inner_boot, &f) != 1) {
        snprintf(why, room, "the inner OpenSSL: %.*s", MPKPROV_ERROR_TEXT - 1,
                 f.error.text);
        return 0;
    }
    if (pthread_atfork(lock_all, unlock_all, unlock_in_child) != 0) {
        snprintf(why, room, PROV_NO_HANDLER);
        return 0;
    }
    return 1;
}

/* Who asks for more than the first section did does not get less. */
static int refuse_late(struct prov_ctx *ctx, const char *setting,
                       const char *remedy)
{
    snprintf(ctx->refused, sizeof(ctx->refused), "%s comes too late: %s",
             setting, remedy);
    return 0;
}

static int has_domain(struct prov_ctx *ctx, const struct mpk_config *config)
{
    if (config->group_keys != 0 && prov.config.group_keys == 0) {
        return refuse_late(ctx, "key-isolation = per-key",
                           "write it into the first section of this module in "
                           "openssl.cnf as well");
    }
    if (config->light != MPK_LIGHT_CALLER_STACK &&
        prov.config.light == MPK_LIGHT_CALLER_STACK) {
        return refuse_late(ctx, "record-stack = domain",
                           "the section that has it must be the first of this "
                           "module");
    }
    return 1;
}

static int same_choice(const struct mpk_config *a, const struct mpk_config *b)
{
    return a->backend == b->backend && a->memory == b->memory;
}

static int same_files(const struct tls_settings *a,
                      const struct tls_settings *b)
{
    return strcmp(a->handle_key_file, b->handle_key_file) == 0 &&
           strcmp(a->keylog, b->keylog) == 0;
}

/* Session secrets are switched on by the first context with that role. */
static void use_tls(struct prov_ctx *ctx)
{
    if (prov.tls == 0) {
        prov.tls_settings = ctx->tls;
        prov.tls = tls_boot(&ctx->tls, prov.tls_error, sizeof(prov.tls_error))
                       ? 1
                       : -1;
    }
    if (prov.tls < 0) {
        snprintf(ctx->refused, sizeof(ctx->refused), "%s", prov.tls_error);
    } else if (ctx->tls.cbc == CBC_REFUSE &&
               prov.tls_settings.cbc != CBC_REFUSE) {
        refuse_late(ctx, "tls12-cbc = refuse",
                    "write it into the first section with 'role = tls' as "
                    "well");
    } else if (ctx->tls.pms == PMS_REFUSE &&
               prov.tls_settings.pms != PMS_REFUSE) {
        refuse_late(ctx, "tls12-premaster = refuse",
                    "write it into the first section with 'role = tls' as "
                    "well");
    } else if (!same_files(&ctx->tls, &prov.tls_settings)) {
        prov_log(0,
                 "this process has another section's handle-key-file and "
                 "keylog; those of provider '%s' are ignored",
                 ctx->name);
    }
}

static void say_ignored(const struct prov_ctx *ctx)
{
    char in_force[64];

    prov_config_say(in_force, sizeof(in_force), &prov.config);
    prov_log(0,
             "the domain of this process has %s, from another section; that of "
             "provider '%s' is ignored: write the same into both",
             in_force, ctx->name);
}

void prov_use_domain(struct prov_ctx *ctx, struct mpk_config *config)
{
    pthread_mutex_lock(&prov.lock);
    if (prov.initialised == 0) {
        prov.config = *config;
        prov.making = 1;
        prov.initialised =
            make_domain(config, prov.init_error, sizeof(prov.init_error)) ? 1
                                                                          : -1;
        prov.making = 0;
    } else if (!same_choice(&prov.config, config)) {
        say_ignored(ctx);
    }
    if (prov.initialised < 0) {
        snprintf(ctx->refused, sizeof(ctx->refused), "%s", prov.init_error);
    } else if (has_domain(ctx, config) && ctx->role == ROLE_TLS) {
        use_tls(ctx);
    }
    pthread_mutex_unlock(&prov.lock);
}
