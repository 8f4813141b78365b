/*
 * The command line of a subcommand that has one flag beside --help, or none.
 */
#ifndef MPK_TOOLS_FLAGS_H
#define MPK_TOOLS_FLAGS_H

#include <stdbool.h>

/*
 * flags_parse stores in |*set| whether the flag |name| is given; with NULL
 * there is no such flag. Returns the index in |argv| of the first of exactly
 * |want| arguments; 0 when |usage| was asked for and printed; or -1 after an
 * error message.
 */
int flags_parse(int argc, char **argv, const char *name, bool *set, int want,
                const char *usage);

#endif
