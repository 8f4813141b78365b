/*
 * mpkctl keylog --reveal FILE APP-KEYLOG: a true NSS key log.
 *
 * An application's own key log has the right randoms of clients and handles in
 * place of secrets. What "keylog = reveal-for-debugging FILE" writes has
 * handles and secrets, and for TLS 1.2 whole lines. Together they are what
 * Wireshark wants.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mpkctl.h"

static const char help[] =
    "usage: mpkctl keylog --reveal FILE APP-KEYLOG\n\n"
    "Writes a true NSS key log to standard output, for a process that runs "
    "with\n"
    "\"keylog = reveal-for-debugging FILE\" and writes a key log of its own "
    "to\n"
    "APP-KEYLOG (SSLKEYLOGFILE, s_server -keylogfile).\n\n"
    "Exit status: 0 written, 1 the secrets of some lines are not known, 2 "
    "error.\n";

/* A line of the file: what it is known by, and what that stands for. */
struct revealed {
    const char *name, *secret;
};

struct reveal {
    char *text;
    struct revealed *line;
    size_t n;
};

static char *read_all(const char *path)
{
    FILE *f = fopen(path, "r");
    size_t size = 0, room = 0;
    char *text = NULL, *more;

    while (f != NULL && !feof(f) && !ferror(f)) {
        if (room - size < 2) {
            room = 2 * room + 65536;
            more = realloc(text, room);
            if (more == NULL) {
                break;
            }
            text = more;
        }
        size += fread(text + size, 1, room - size - 1, f);
    }
    if (f == NULL || ferror(f) || !feof(f)) {
        mpkctl_error("%s: %s", path, strerror(errno));
        free(text);
        text = NULL;
    }
    if (text != NULL) {
        text[size] = '\0';
    }
    if (f != NULL) {
        fclose(f);
    }
    return text;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct revealed *)a)->name,
                  ((const struct revealed *)b)->name);
}

/* Both kinds of lines are a word, a name and a secret. */
static int reveal_read(struct reveal *r, const char *path)
{
    size_t lines = 1;
    char *line, *next;

    r->text = read_all(path);
    if (r->text == NULL) {
        return 0;
    }
    for (const char *p = r->text; *p != '\0'; p++) {
        lines += *p == '\n';
    }
    r->line = calloc(lines, sizeof(*r->line));
    if (r->line == NULL) {
        mpkctl_error("out of memory");
        return 0;
    }
    for (line = strtok_r(r->text, "\n", &next); line != NULL;
         line = strtok_r(NULL, "\n", &next)) {
        char *rest, *word = strtok_r(line, " ", &rest);
        char *name = strtok_r(NULL, " ", &rest);
        char *secret = strtok_r(NULL, " ", &rest);

        if (word != NULL && secret != NULL) {
            r->line[r->n++] = (struct revealed){name, secret};
        }
    }
    qsort(r->line, r->n, sizeof(*r->line), by_name);
    return 1;
}

static const char *secret_of(const struct reveal *r, const char *name)
{
    const struct revealed wanted = {name, NULL}, *found;

    found = bsearch(&wanted, r->line, r->n, sizeof(*r->line), by_name);
    return found != NULL ? found->secret : NULL;
}

/* One line of the application's; returns whether its secret is not known. */
static int merge(const struct reveal *r, char *line)
{
    char *rest, *label = strtok_r(line, " ", &rest);
    char *random = strtok_r(NULL, " ", &rest);
    char *value = strtok_r(NULL, " ", &rest);
    const char *secret;

    if (label == NULL || label[0] == '#' || value == NULL) {
        return 0;
    }
    /* The master secret of TLS 1.2 is known by the random. */
    secret = secret_of(r, strcmp(label, "CLIENT_RANDOM") == 0 ? random : value);
    if (secret == NULL) {
        return 1;
    }
    printf("%s %s %s\n", label, random, secret);
    return 0;
}

static int merge_all(const struct reveal *r, const char *path)
{
    char *text = read_all(path), *line, *next;
    size_t unknown = 0;

    if (text == NULL) {
        return MPKCTL_ERROR;
    }
    for (line = strtok_r(text, "\n", &next); line != NULL;
         line = strtok_r(NULL, "\n", &next)) {
        unknown += (size_t)merge(r, line);
    }
    free(text);
    if (unknown != 0) {
        mpkctl_error("%s: no secret is known for %zu lines", path, unknown);
    }
    return unknown != 0 ? MPKCTL_FOUND : MPKCTL_OK;
}

int mpkctl_keylog(int argc, char **argv)
{
    struct reveal r = {NULL, NULL, 0};
    int status = MPKCTL_ERROR;

    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        fputs(help, stdout);
        return MPKCTL_OK;
    }
    if (argc != 4 || strcmp(argv[1], "--reveal") != 0) {
        mpkctl_error("keylog wants --reveal FILE APP-KEYLOG; try \"mpkctl "
                     "keylog --help\"");
        return MPKCTL_ERROR;
    }
    if (reveal_read(&r, argv[2])) {
        status = merge_all(&r, argv[3]);
    }
    if (r.text != NULL) {
        explicit_bzero(r.text, strlen(r.text));
    }
    free(r.text);
    free(r.line);
    return status;
}
