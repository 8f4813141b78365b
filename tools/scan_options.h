/*
 * The command line of "mpkctl scan".
 */
#ifndef MPK_TOOLS_SCAN_OPTIONS_H
#define MPK_TOOLS_SCAN_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "target.h"

/* As many of each kind as one command may have. */
#define SCAN_FILES_MAX 64

/* The arguments of an option that can be given more than once. */
struct scan_files {
    const char *at[SCAN_FILES_MAX];
    size_t len;
};

struct scan_options {
    struct target target;
    const char *passfile;
    struct scan_files keys;
    struct scan_files keylogs;
    struct scan_files sessions;
    struct scan_files secrets; /* NAME=HEX */
    unsigned int epochs;
    unsigned int passes;
    unsigned int interval_ms;
    bool quic;
    bool json;
    bool verbose;
    bool help;
};

/*
 * scan_options_parse fills |o|, which points into |argv|. Returns 0, or -1
 * after an error message.
 */
int scan_options_parse(struct scan_options *o, int argc, char **argv);

/* scan_usage is the text of --help. */
extern const char scan_usage[];

#endif
