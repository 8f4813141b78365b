/* groups.c - page groups for a benchmark. */
#include "groups.h"

#include "../mpkcore/vkey.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct mpk_entry entries[] = {MPK_CORE_ENTRIES, MPK_VKEY_ENTRIES};

_Noreturn void groups_failed(int err, const char *what)
{
    fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what,
            strerror(-err));
    exit(1);
}

void groups_start_without(enum mpk_backend backend)
{
    const struct mpk_params params = {.backend = backend};
    struct mpk_config config = {.backend = MPK_BACKEND_NONE,
                                .memory = MPK_MEMORY_ANONYMOUS,
                                .entries = entries,
                                .n_entries =
                                    sizeof(entries) / sizeof(entries[0])};

    groups_must(mpk_core_init(&config), "the core");
    groups_must(vk_init_with(&params, backend), "page groups");
}

bool groups_start(const char **why)
{
    int err = mpk_init(NULL);

    if (err == 0) {
        return true;
    }
    *why = mpk_core_strerror(err);
    groups_start_without(MPK_BACKEND_MPROTECT);
    return false;
}
