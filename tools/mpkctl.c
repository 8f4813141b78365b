/*
 * mpkctl, the operator's tool. This file only finds the subcommand; each one
 * lives in a file of its own name.
 */
#include <stdio.h>
#include <string.h>

#include "mpkctl.h"

struct subcommand {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
};

static const struct subcommand subcommands[] = {
    {"scan", mpkctl_scan, "search a process or a core file for secrets"},
};

#define SUBCOMMANDS (sizeof(subcommands) / sizeof(subcommands[0]))

static void usage(FILE *out)
{
    fputs("usage: mpkctl COMMAND [ARGUMENT...]\n\ncommands:\n", out);
    for (size_t i = 0; i < SUBCOMMANDS; i++) {
        fprintf(out, "  %-10s %s\n", subcommands[i].name,
                subcommands[i].summary);
    }
    fputs("\n\"mpkctl COMMAND --help\" explains a command.\n", out);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        usage(stderr);
        return MPKCTL_ERROR;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        usage(stdout);
        return MPKCTL_OK;
    }
    for (size_t i = 0; i < SUBCOMMANDS; i++) {
        if (strcmp(argv[1], subcommands[i].name) == 0) {
            return subcommands[i].run(argc - 1, argv + 1);
        }
    }
    mpkctl_error("unknown command \"%s\"; try \"mpkctl --help\"", argv[1]);
    return MPKCTL_ERROR;
}
