/*
 * mpkctl, the operator's tool. This file only finds the subcommand; each one
 * lives in a file of its own name.
 */
#include <openssl/crypto.h>
#include <stdbool.h>
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
    {"keylog", mpkctl_keylog, "make a true key log for debugging"},
    {"doctor", mpkctl_doctor, "look at this machine and its configuration"},
    {"handle-key", mpkctl_handle_key, "make a file for handle-key-file"},
    {"reference", mpkctl_reference, "say where a key is, in place of the key"},
};

#define SUBCOMMANDS (sizeof(subcommands) / sizeof(subcommands[0]))

static void usage(FILE *out)
{
    fputs("usage: mpkctl COMMAND [ARGUMENT...]\n"
          "       mpkctl help [COMMAND]\n"
          "       mpkctl --version\n\ncommands:\n",
          out);
    for (size_t i = 0; i < SUBCOMMANDS; i++) {
        fprintf(out, "  %-11s %s\n", subcommands[i].name,
                subcommands[i].summary);
    }
}

static int run(const char *name, int argc, char **argv)
{
    char option[] = "--help";
    char *help[] = {argv[0], option, NULL};

    if (argc == 2 && strcmp(argv[1], "-h") == 0) {
        argv = help;
    }
    for (size_t i = 0; i < SUBCOMMANDS; i++) {
        if (strcmp(name, subcommands[i].name) == 0) {
            return subcommands[i].run(argc, argv);
        }
    }
    mpkctl_error("unknown command \"%s\"; try \"mpkctl help\"", name);
    return MPKCTL_ERROR;
}

static int help(int argc, char **argv)
{
    char option[] = "--help";
    char *args[] = {argc > 2 ? argv[2] : NULL, option, NULL};

    if (argc > 3) {
        mpkctl_error("help wants one command");
        return MPKCTL_ERROR;
    }
    if (argc == 3) {
        return run(argv[2], 2, args);
    }
    usage(stdout);
    return MPKCTL_OK;
}

static int version(void)
{
    printf("mpkctl %s with %s\n", MPKCTL_VERSION,
           OpenSSL_version(OPENSSL_VERSION));
    return MPKCTL_OK;
}

static bool is_one_of(const char *word, const char *a, const char *b)
{
    return strcmp(word, a) == 0 || strcmp(word, b) == 0;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        usage(stderr);
        return MPKCTL_ERROR;
    }
    if (is_one_of(argv[1], "--help", "-h") || strcmp(argv[1], "help") == 0) {
        return help(argc, argv);
    }
    if (is_one_of(argv[1], "--version", "-V")) {
        return version();
    }
    return run(argv[1], argc - 1, argv + 1);
}
