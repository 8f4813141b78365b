#include "flags.h"

#include <getopt.h>
#include <stdio.h>

#include "mpkctl.h"

int flags_parse(int argc, char **argv, const char *name, bool *set, int want,
                const char *usage)
{
    const struct option longopts[] = {
        {"help", no_argument, NULL, 'h'},
        {name, no_argument, NULL, 'f'},
        {NULL, 0, NULL, 0},
    };
    bool bad = false;
    int option;

    opterr = 0; /* one message, ours */
    *set = false;
    while ((option = getopt_long(argc, argv, "", longopts, NULL)) != -1) {
        if (option == 'h') {
            fputs(usage, stdout);
            return 0;
        }
        *set |= option == 'f';
        bad |= option != 'f';
    }
    if (bad || argc - optind != want) {
        mpkctl_error("bad arguments; try \"mpkctl %s --help\"", argv[0]);
        return -1;
    }
    return optind;
}
