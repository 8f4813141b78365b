/*
 * mpkctl reference: a PEM file that says where a key is, for programs that read
 * the key's file themselves. They then hold the reference, not the key.
 */
#include <errno.h>
#include <limits.h>
#include <openssl/pem.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "flags.h"
#include "mpkctl.h"

#define LABEL "MPK KEY REFERENCE"

static const char usage_text[] =
    "usage: mpkctl reference KEYFILE\n"
    "\n"
    "Writes a PEM block to standard output that stands for the key in "
    "KEYFILE.\n"
    "A program that reads key files itself (Dovecot, Node.js) is given this "
    "in\n"
    "place of the key: it never holds the key, which the module reads from\n"
    "KEYFILE into the domain. The provider's section of openssl.cnf must say\n"
    "'key-references = follow', and the program must be able to read KEYFILE.\n"
    "\n"
    "Exit status: 0 written, 2 error.\n";

/* By its first byte if it is DER, else by a line that begins such a block. */
static bool has_a_private_key(const char *path)
{
    FILE *f = fopen(path, "r");
    char line[256];
    bool found = false;

    for (int n = 0; f != NULL && !found && fgets(line, sizeof(line), f) != NULL;
         n++) {
        found = (n == 0 && line[0] == 0x30) ||
                (strncmp(line, "-----BEGIN ", 11) == 0 &&
                 strstr(line, "PRIVATE KEY-----") != NULL);
    }
    if (f != NULL) {
        fclose(f);
    }
    return found;
}

static int write_reference(const char *path)
{
    char text[PATH_MAX + sizeof("mpk:")];
    int n = snprintf(text, sizeof(text), "mpk:%s", path);

    if (PEM_write(stdout, LABEL, "", (const unsigned char *)text, n) <= 0 ||
        fflush(stdout) != 0) {
        mpkctl_error("cannot write: %s", strerror(errno));
        return MPKCTL_ERROR;
    }
    return MPKCTL_OK;
}

int mpkctl_reference(int argc, char **argv)
{
    bool none;
    int first = flags_parse(argc, argv, NULL, &none, 1, usage_text);
    int ret = MPKCTL_ERROR;
    struct stat st;
    char *path;

    if (first <= 0) {
        return first == 0 ? MPKCTL_OK : MPKCTL_ERROR;
    }
    path = realpath(argv[first], NULL);
    if (path == NULL || stat(path, &st) != 0 || access(path, R_OK) != 0) {
        mpkctl_error("%s: %s", argv[first], strerror(errno));
    } else if (!S_ISREG(st.st_mode)) {
        mpkctl_error("%s: not a regular file", argv[first]);
    } else {
        if (!has_a_private_key(path)) {
            mpkctl_error("warning: %s: no private key is seen in it", path);
        }
        ret = write_reference(path);
    }
    free(path);
    return ret;
}
