#include "flags.h"

#include <getopt.h>
#include <stdio.h>

#include "mpkctl.h"

/* Values of long options, which are no characters. */
enum { HELP = 256, FLAG };

/* An option that there is not, or one with a value that it does not take. */
static void say_option(char **argv)
{
    const char *word = argv[optind - 1];
    const char letter[] = {'-', (char)optopt, '\0'};

    mpkctl_error("bad arguments: %s: no such option; try \"mpkctl %s --help\"",
                 optopt > 0 && optopt < HELP ? letter : word, argv[0]);
}

int flags_parse(int argc, char **argv, const char *name, bool *set, int want,
                const char *usage)
{
    const struct option longopts[] = {
        {"help", no_argument, NULL, HELP},
        {name, no_argument, NULL, FLAG},
        {NULL, 0, NULL, 0},
    };
    int option;

    opterr = 0; /* one message, ours */
    *set = false;
    while ((option = getopt_long(argc, argv, "", longopts, NULL)) != -1) {
        if (option == HELP) {
            fputs(usage, stdout);
            return 0;
        }
        if (option != FLAG) {
            say_option(argv);
            return -1;
        }
        *set = true;
    }
    if (argc - optind > want) {
        mpkctl_error("bad arguments: %s is one too many; try \"mpkctl %s "
                     "--help\"",
                     argv[optind + want], argv[0]);
        return -1;
    }
    if (argc - optind < want) {
        mpkctl_error("bad arguments: one is missing; try \"mpkctl %s --help\"",
                     argv[0]);
        return -1;
    }
    return optind;
}
