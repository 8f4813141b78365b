#include "keylog.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "hex.h"
#include "mpkctl.h"

#define SECRET_MIN 16
#define MASTER_LEN 48

static bool is_label(const char *word, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (!(word[i] >= 'A' && word[i] <= 'Z') &&
            !(word[i] >= '0' && word[i] <= '9') && word[i] != '_') {
            return false;
        }
    }
    return len > 0 && len < KEYLOG_LABEL_MAX;
}

const char *keylog_split(struct keylog_words *w, const char *line, size_t len)
{
    const char *end = line + len;
    const char *space;

    for (int i = 0; i < 3; i++) {
        space = i < 2 ? memchr(line, ' ', (size_t)(end - line)) : end;
        if (space == NULL) {
            return i == 0 ? "not a line of a key log (LABEL RANDOM SECRET)"
                          : "cut off: LABEL RANDOM SECRET is expected";
        }
        w->at[i] = line;
        w->len[i] = (size_t)(space - line);
        line = space + 1;
    }
    return NULL;
}

const char *keylog_line(struct keylog_text *t, size_t *len)
{
    const char *line;
    const char *end;

    while (t->at < t->end) {
        line = t->at;
        end = memchr(line, '\n', (size_t)(t->end - line));
        t->at = end == NULL ? t->end : end + 1;
        end = end == NULL ? t->end : end;
        t->number++;
        *len = (size_t)(end - line);
        *len -= *len > 0 && end[-1] == '\r';
        if (*len > 0 && *line != '#') {
            return line;
        }
    }
    return NULL;
}

static bool label_is(const struct keylog_entry *e, const char *label)
{
    return strcmp(e->label, label) == 0;
}

static bool label_ends(const struct keylog_entry *e, const char *end)
{
    size_t len = strlen(e->label);
    size_t end_len = strlen(end);

    return len >= end_len && strcmp(e->label + len - end_len, end) == 0;
}

/* The lengths that a protocol fixes: a cut line must not pass for a secret. */
static const char *check_length(const struct keylog_entry *e)
{
    if (label_is(e, "CLIENT_RANDOM") && e->secret_len != MASTER_LEN) {
        return "cut off or damaged: a master secret has 48 bytes";
    }
    if ((label_ends(e, "TRAFFIC_SECRET") || label_ends(e, "TRAFFIC_SECRET_0") ||
         label_ends(e, "EXPORTER_SECRET")) &&
        e->secret_len != 32 && e->secret_len != 48) {
        return "cut off or damaged: a TLS 1.3 secret has 32 or 48 bytes";
    }
    return e->secret_len < SECRET_MIN ? "a secret of less than 16 bytes" : NULL;
}

/* Returns what is wrong with the line, or NULL. */
static const char *parse_line(struct keylog_entry *e, const char *line,
                              size_t len)
{
    struct keylog_words w;
    const char *why = keylog_split(&w, line, len);
    int n;

    if (why != NULL) {
        return why;
    }
    if (!is_label(w.at[0], w.len[0])) {
        return "not a line of a key log (LABEL RANDOM SECRET)";
    }
    memcpy(e->label, w.at[0], w.len[0]);
    n = hex_decode(e->random, sizeof(e->random), w.at[1], w.len[1]);
    /* "RSA" is followed by 8 bytes of the encrypted pre-master secret. */
    if (n != (label_is(e, "RSA") ? 8 : KEYLOG_RANDOM)) {
        return "the second word has to be 64 hexadecimal digits";
    }
    n = hex_decode(e->secret, sizeof(e->secret), w.at[2], w.len[2]);
    if (n == -E2BIG) {
        return "the secret has more than 128 bytes";
    }
    if (n < 0) {
        return "the secret is not an even number of hexadecimal digits";
    }
    e->secret_len = (size_t)n;
    return check_length(e);
}

static struct keylog_entry *add_entry(struct keylog *log)
{
    struct keylog_entry *fresh;
    size_t cap = log->cap == 0 ? 64 : log->cap * 2;

    if (log->len == log->cap) {
        fresh = calloc(cap, sizeof(*fresh)); /* realloc leaves copies */
        if (fresh == NULL) {
            return NULL;
        }
        if (log->len > 0) {
            memcpy(fresh, log->at, log->len * sizeof(*fresh));
            OPENSSL_cleanse(log->at, log->len * sizeof(*fresh));
        }
        free(log->at);
        log->at = fresh;
        log->cap = cap;
    }
    return &log->at[log->len++];
}

static int compare_secrets(const void *left, const void *right)
{
    const struct keylog_entry *a = *(struct keylog_entry *const *)left;
    const struct keylog_entry *b = *(struct keylog_entry *const *)right;
    int order;

    if (a->secret_len != b->secret_len) {
        return a->secret_len < b->secret_len ? -1 : 1;
    }
    order = memcmp(a->secret, b->secret, a->secret_len);
    return order != 0 ? order : a->line < b->line ? -1 : a->line > b->line;
}

/*
 * Resumed TLS 1.2 connections have the master secret of the first. Looked for
 * once for each it would make a hit for each, wherever it lies.
 */
static int mark_repeats(struct keylog *log)
{
    struct keylog_entry **sorted = calloc(log->len + 1, sizeof(*sorted));

    if (sorted == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < log->len; i++) {
        sorted[i] = &log->at[i];
    }
    qsort(sorted, log->len, sizeof(*sorted), compare_secrets);
    for (size_t i = 1; i < log->len; i++) {
        sorted[i]->repeat =
            sorted[i]->secret_len == sorted[i - 1]->secret_len &&
            memcmp(sorted[i]->secret, sorted[i - 1]->secret,
                   sorted[i]->secret_len) == 0;
    }
    free(sorted);
    return 0;
}

int keylog_parse(struct keylog *out, const char *text, size_t len,
                 unsigned long *line, const char **why)
{
    struct keylog_text t = {text, text + len, 0};
    struct keylog_entry *e;
    const char *at;
    size_t at_len;

    memset(out, 0, sizeof(*out));
    *line = 0;
    while ((at = keylog_line(&t, &at_len)) != NULL) {
        *line = t.number;
        e = add_entry(out);
        if (e == NULL) {
            return -ENOMEM;
        }
        e->line = t.number;
        *why = parse_line(e, at, at_len);
        if (*why != NULL) {
            return -EINVAL;
        }
    }
    if (out->len == 0) {
        *line = 0;
        *why = "no secret in it: is it a key log?";
        return -EINVAL;
    }
    return mark_repeats(out);
}

static void explain(const char *path, int err, unsigned long line,
                    const char *why)
{
    if (err != -EINVAL) {
        mpkctl_error("cannot read the key log %s: %s", path, strerror(-err));
    } else if (line == 0) {
        mpkctl_error("%s: %s", path, why);
    } else {
        mpkctl_error("%s:%lu: %s", path, line, why);
    }
}

int keylog_load(struct keylog *out, const char *path)
{
    const char *why = "";
    unsigned long line = 0;
    char *text = NULL;
    size_t len;
    int err = file_load(path, KEYLOG_FILE_MAX, &text, &len);

    memset(out, 0, sizeof(*out));
    if (err == 0) {
        err = keylog_parse(out, text, len, &line, &why);
        file_free(text, len);
    }
    out->path = path;
    if (err != 0) {
        explain(path, err, line, why);
    }
    return err == 0 ? 0 : -1;
}

void keylog_free(struct keylog *log)
{
    if (log->at != NULL) {
        OPENSSL_cleanse(log->at, log->len * sizeof(log->at[0]));
    }
    free(log->at);
    memset(log, 0, sizeof(*log));
}
