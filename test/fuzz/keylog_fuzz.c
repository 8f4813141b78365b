/*
 * libFuzzer target: the parser of TLS key logs. What it takes is well-formed;
 * what it refuses has a line and a reason; and what is written back from the
 * parsed lines is parsed to the same.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hex.h"
#include "keylog.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Label, 64 digits, 256 digits, two spaces, an end of line. */
#define LINE_MAX_LEN (KEYLOG_LABEL_MAX + 64 + 256 + 3)

static void require(int claim)
{
    if (!claim) {
        __builtin_trap();
    }
}

static size_t random_len(const struct keylog_entry *e)
{
    return strcmp(e->label, "RSA") == 0 ? 8 : KEYLOG_RANDOM;
}

static void require_sane(const struct keylog *log, size_t lines)
{
    require(log->len > 0 && log->len <= lines);
    for (size_t i = 0; i < log->len; i++) {
        require(log->at[i].line >= 1 && log->at[i].line <= lines);
        require(i == 0 || log->at[i].line > log->at[i - 1].line);
        require(log->at[i].secret_len >= 16 &&
                log->at[i].secret_len <= KEYLOG_SECRET_MAX);
        require(memchr(log->at[i].label, '\0', KEYLOG_LABEL_MAX) != NULL);
    }
}

static size_t write_line(char *out, const struct keylog_entry *e)
{
    size_t at = strlen(e->label);

    memcpy(out, e->label, at);
    out[at++] = ' ';
    hex_encode(out + at, e->random, random_len(e));
    at += 2 * random_len(e);
    out[at++] = ' ';
    hex_encode(out + at, e->secret, e->secret_len);
    at += 2 * e->secret_len;
    out[at++] = '\n';
    return at;
}

static void require_same(const struct keylog *a, const struct keylog *b)
{
    require(a->len == b->len);
    for (size_t i = 0; i < a->len; i++) {
        require(strcmp(a->at[i].label, b->at[i].label) == 0);
        require(a->at[i].secret_len == b->at[i].secret_len);
        require(a->at[i].repeat == b->at[i].repeat);
        require(memcmp(a->at[i].random, b->at[i].random, KEYLOG_RANDOM) == 0);
        require(memcmp(a->at[i].secret, b->at[i].secret, a->at[i].secret_len) ==
                0);
    }
}

static void round_trip(const struct keylog *log)
{
    char *text = malloc(log->len * LINE_MAX_LEN);
    struct keylog again;
    unsigned long line;
    const char *why = NULL;
    size_t len = 0;

    require(text != NULL);
    for (size_t i = 0; i < log->len; i++) {
        len += write_line(text + len, &log->at[i]);
    }
    require(keylog_parse(&again, text, len, &line, &why) == 0);
    require_same(log, &again);
    keylog_free(&again);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct keylog log;
    unsigned long line = 0;
    const char *why = NULL;
    size_t lines = 1;
    int err = keylog_parse(&log, (const char *)data, len, &line, &why);

    for (size_t i = 0; i < len; i++) {
        lines += data[i] == '\n';
    }
    if (err == 0) {
        require_sane(&log, lines);
        round_trip(&log);
    } else {
        require(err == -EINVAL && why != NULL && line <= lines);
    }
    keylog_free(&log);
    return 0;
}
