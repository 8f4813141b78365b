/*
 * A TLS key log: lines "LABEL CLIENT_RANDOM SECRET", as SSLKEYLOGFILE and
 * "openssl s_client -keylogfile" write them.
 */
#ifndef MPK_TOOLS_KEYLOG_H
#define MPK_TOOLS_KEYLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KEYLOG_LABEL_MAX 48
#define KEYLOG_RANDOM 32
#define KEYLOG_SECRET_MAX 128

/* More than a million connections. */
#define KEYLOG_FILE_MAX ((size_t)1 << 30)

/* Lines that are left of a text; |number| is that of the last one, from 1. */
struct keylog_text {
    const char *at;
    const char *end;
    unsigned long number;
};

/* The three words of a line; nothing is 0-terminated. */
struct keylog_words {
    const char *at[3];
    size_t len[3];
};

struct keylog_entry {
    unsigned long line; /* from 1 */
    bool repeat;        /* an earlier line has the same secret */
    size_t secret_len;
    uint8_t random[KEYLOG_RANDOM];
    uint8_t secret[KEYLOG_SECRET_MAX];
    char label[KEYLOG_LABEL_MAX];
};

struct keylog {
    const char *path;
    struct keylog_entry *at;
    size_t len;
    size_t cap;
};

/*
 * keylog_line returns the next line of |t| that is neither empty nor a comment,
 * and its length without the line's end, or NULL.
 */
const char *keylog_line(struct keylog_text *t, size_t *len);

/* keylog_split returns what is wrong with a line, or NULL. */
const char *keylog_split(struct keylog_words *w, const char *line, size_t len);

/*
 * keylog_parse reads the |len| bytes |text| into |out|, which keylog_free
 * releases in any case. Labels that are not known are kept. Returns 0, -ENOMEM,
 * or -EINVAL with the number of the bad line in |*line| (0: there is no secret
 * at all) and in |*why| what is wrong with it.
 */
int keylog_parse(struct keylog *out, const char *text, size_t len,
                 unsigned long *line, const char **why);

/*
 * keylog_load parses the file |path|, which |out| keeps. Returns 0, or -1 after
 * an error message.
 */
int keylog_load(struct keylog *out, const char *path);

/* keylog_free wipes and releases what |log| holds and empties it. */
void keylog_free(struct keylog *log);

#endif
