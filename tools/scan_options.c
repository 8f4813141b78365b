#include "scan_options.h"

#include <errno.h>
#include <getopt.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "mpkctl.h"

#define EPOCHS_DEFAULT 2
#define EPOCHS_MAX 100
#define PASSES_MAX 10000
#define INTERVAL_MAX 3600000

const char scan_usage[] =
    "usage: mpkctl scan (--pid PID | --core FILE) WHAT... [OPTION...]\n"
    "\n"
    "Searches the memory that any code of a process can read, or a core file,\n"
    "for secrets, and says where they are.\n"
    "\n"
    "  --pid PID           the process to search\n"
    "  --core FILE         the ELF core file to search instead\n"
    "\n"
    "what to look for, each as often as needed:\n"
    "  --key FILE          a private key, PEM or DER, encrypted or not\n"
    "  --keylog FILE       the secrets of TLS connections and what is derived\n"
    "                      from them: a key log of a client that is not\n"
    "                      protected (SSLKEYLOGFILE, s_client -keylogfile)\n"
    "  --session FILE      the secret of a session, in PEM (s_client "
    "-sess_out)\n"
    "  --secret NAME=HEX   any other bytes, 16 or more\n"
    "\n"
    "options:\n"
    "  --passin file:PATH  the passphrase is the first line of PATH\n"
    "  --epochs N          follow N key updates of TLS 1.3 (2)\n"
    "  --quic              the key log is of QUIC connections\n"
    "  --repeat N          search N times and add up what is found (1)\n"
    "  --interval MS       wait so long between two searches (0)\n"
    "  --json              print JSON\n"
    "  --verbose           list every copy and every mapping\n"
    "\n"
    "Exit status: 0 nothing found, 1 something found, 2 error, or nothing "
    "found\n"
    "but not all that the process can read could be searched.\n";

static int parse_number(const char *text, const char *what, long min, long max,
                        long *value)
{
    char *end;

    errno = 0;
    *value = strtol(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || *value < min ||
        *value > max) {
        mpkctl_error("%s wants a number from %ld to %ld, not \"%s\"", what, min,
                     max, text);
        return -1;
    }
    return 0;
}

static int parse_unsigned(const char *text, const char *what, long min,
                          long max, unsigned int *out)
{
    long value;
    int err = parse_number(text, what, min, max, &value);

    if (err == 0) {
        *out = (unsigned int)value;
    }
    return err;
}

static int parse_pid(const char *text, pid_t *pid)
{
    long value;
    int err = parse_number(text, "--pid", 1, INT32_MAX, &value);

    if (err == 0) {
        *pid = (pid_t)value;
    }
    return err;
}

static int parse_passin(const char *text, const char **passfile)
{
    if (strncmp(text, "file:", 5) != 0 || text[5] == '\0') {
        mpkctl_error("--passin wants file:PATH");
        return -1;
    }
    *passfile = text + 5;
    return 0;
}

static int add_file(struct scan_files *files, const char *path)
{
    if (files->len == SCAN_FILES_MAX) {
        mpkctl_error("an option is given more than %d times; use several "
                     "commands",
                     SCAN_FILES_MAX);
        return -1;
    }
    files->at[files->len++] = path;
    return 0;
}

static int set_flag(bool *flag)
{
    *flag = true;
    return 0;
}

static int parse_option(struct scan_options *o, int option, const char *value)
{
    switch (option) {
    case 'p':
        return parse_pid(value, &o->target.pid);
    case 'c':
        o->target.core = value;
        return 0;
    case 'k':
        return add_file(&o->keys, value);
    case 'l':
        return add_file(&o->keylogs, value);
    case 's':
        return add_file(&o->sessions, value);
    case 'x':
        return add_file(&o->secrets, value);
    case 'i':
        return parse_passin(value, &o->passfile);
    case 'e':
        return parse_unsigned(value, "--epochs", 0, EPOCHS_MAX, &o->epochs);
    case 'r':
        return parse_unsigned(value, "--repeat", 1, PASSES_MAX, &o->passes);
    case 'w':
        return parse_unsigned(value, "--interval", 0, INTERVAL_MAX,
                              &o->interval_ms);
    case 'q':
        return set_flag(&o->quic);
    case 'j':
        return set_flag(&o->json);
    case 'v':
        return set_flag(&o->verbose);
    default:
        return set_flag(&o->help);
    }
}

static const struct option longopts[] = {
    {"pid", required_argument, NULL, 'p'},
    {"core", required_argument, NULL, 'c'},
    {"key", required_argument, NULL, 'k'},
    {"keylog", required_argument, NULL, 'l'},
    {"session", required_argument, NULL, 's'},
    {"secret", required_argument, NULL, 'x'},
    {"passin", required_argument, NULL, 'i'},
    {"epochs", required_argument, NULL, 'e'},
    {"repeat", required_argument, NULL, 'r'},
    {"interval", required_argument, NULL, 'w'},
    {"quic", no_argument, NULL, 'q'},
    {"json", no_argument, NULL, 'j'},
    {"verbose", no_argument, NULL, 'v'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

int scan_options_parse(struct scan_options *o, int argc, char **argv)
{
    int option;

    memset(o, 0, sizeof(*o));
    o->epochs = EPOCHS_DEFAULT;
    o->passes = 1;
    opterr = 0; /* one message, ours */
    while ((option = getopt_long(argc, argv, "", longopts, NULL)) != -1) {
        if (option == '?') {
            mpkctl_error("%s: no such option, or it wants a value; try "
                         "\"mpkctl scan --help\"",
                         argv[optind - 1]);
            return -1;
        }
        if (parse_option(o, option, optarg) != 0) {
            return -1;
        }
    }
    if (o->help) {
        return 0;
    }
    if (optind != argc) {
        mpkctl_error("%s: no option of scan; try \"mpkctl scan --help\"",
                     argv[optind]);
        return -1;
    }
    if ((o->target.pid != 0) == (o->target.core != NULL) ||
        o->keys.len + o->keylogs.len + o->sessions.len + o->secrets.len == 0) {
        mpkctl_error("wants one of --pid and --core, and something to look "
                     "for: --key, --keylog, --session or --secret; try "
                     "\"mpkctl scan --help\"");
        return -1;
    }
    return 0;
}
