/*
 * mpkctl keylog --reveal FILE APP-KEYLOG: a true NSS key log.
 *
 * An application's own key log has the right randoms of clients and handles in
 * place of secrets. What "keylog = reveal-for-debugging FILE" writes has
 * handles and secrets, and for TLS 1.2 whole lines. Together they are what
 * Wireshark wants.
 */
#include <errno.h>
#include <openssl/crypto.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "hex.h"
#include "keylog.h"
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
    size_t name_len, secret_len;
};

struct reveal {
    char *text;
    size_t len;
    struct revealed *line;
    size_t n;
};

static int load(const char *path, char **text, size_t *len)
{
    int err = file_load(path, KEYLOG_FILE_MAX, text, len);

    if (err != 0) {
        mpkctl_error("%s: %s", path, strerror(-err));
    }
    return err;
}

static int by_name(const void *a, const void *b)
{
    const struct revealed *x = a, *y = b;
    size_t len = x->name_len < y->name_len ? x->name_len : y->name_len;
    int order = memcmp(x->name, y->name, len);

    return order != 0
               ? order
               : (x->name_len > y->name_len) - (x->name_len < y->name_len);
}

/*
 * Where the disk is full a line is cut off, and the next one goes on in it. A
 * secret is as long as its handle; a master secret has 48 bytes.
 */
static bool is_whole(const struct keylog_words *w)
{
    size_t digits = w->at[0][0] == 'H' ? w->len[1] : 96;

    return w->len[2] == digits && hex_is_all(w->at[1], w->len[1]) &&
           hex_is_all(w->at[2], w->len[2]);
}

/* Both kinds of lines are a word, a name and a secret. */
static int reveal_read(struct reveal *r, const char *path)
{
    struct keylog_text lines;
    struct keylog_words w;
    const char *line;
    size_t len, room = 1;

    if (load(path, &r->text, &r->len) != 0) {
        return -1;
    }
    for (size_t i = 0; i < r->len; i++) {
        room += r->text[i] == '\n';
    }
    r->line = calloc(room, sizeof(*r->line));
    if (r->line == NULL) {
        mpkctl_error("out of memory");
        return -1;
    }
    lines = (struct keylog_text){r->text, r->text + r->len, 0};
    while ((line = keylog_line(&lines, &len)) != NULL) {
        if (keylog_split(&w, line, len) == NULL && is_whole(&w)) {
            r->line[r->n++] =
                (struct revealed){w.at[1], w.at[2], w.len[1], w.len[2]};
        }
    }
    qsort(r->line, r->n, sizeof(*r->line), by_name);
    return 0;
}

static const struct revealed *secret_of(const struct reveal *r,
                                        const char *name, size_t len)
{
    const struct revealed wanted = {name, NULL, len, 0};

    return bsearch(&wanted, r->line, r->n, sizeof(*r->line), by_name);
}

/* One line of the application's; returns whether its secret is not known. */
static int merge(const struct reveal *r, const char *line, size_t len)
{
    static const char master[] = "CLIENT_RANDOM";
    const struct revealed *found;
    struct keylog_words w;
    int by;

    if (keylog_split(&w, line, len) != NULL) {
        return 0;
    }
    /* The master secret of TLS 1.2 is known by the random. */
    by = w.len[0] == strlen(master) && memcmp(w.at[0], master, w.len[0]) == 0
             ? 1
             : 2;
    found = secret_of(r, w.at[by], w.len[by]);
    if (found == NULL) {
        return 1;
    }
    fwrite(line, 1, (size_t)(w.at[2] - line), stdout);
    fwrite(found->secret, 1, found->secret_len, stdout);
    putchar('\n');
    return 0;
}

static int merge_all(const struct reveal *r, const char *path)
{
    struct keylog_text lines;
    char *text = NULL;
    const char *line;
    size_t len, line_len, unknown = 0;

    if (load(path, &text, &len) != 0) {
        return MPKCTL_ERROR;
    }
    lines = (struct keylog_text){text, text + len, 0};
    while ((line = keylog_line(&lines, &line_len)) != NULL) {
        unknown += (size_t)merge(r, line, line_len);
    }
    file_free(text, len);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        mpkctl_error("cannot write: %s", strerror(errno));
        return MPKCTL_ERROR;
    }
    if (unknown != 0) {
        mpkctl_error("%s: no secret is known for %zu lines", path, unknown);
    }
    return unknown != 0 ? MPKCTL_FOUND : MPKCTL_OK;
}

int mpkctl_keylog(int argc, char **argv)
{
    static char buffer[BUFSIZ]; /* standard output's, to be wiped */
    struct reveal r = {NULL, 0, NULL, 0};
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
    setvbuf(stdout, buffer, _IOFBF, sizeof(buffer));
    if (reveal_read(&r, argv[2]) == 0) {
        status = merge_all(&r, argv[3]);
    }
    __fpurge(stdout); /* what could not be written */
    OPENSSL_cleanse(buffer, sizeof(buffer));
    file_free(r.text, r.len);
    free(r.line);
    return status;
}
