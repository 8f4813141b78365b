/*
 * pem.c - where libcrypto would find a private key in text.
 *
 * What is no block for libcrypto must be none here, such as a key that
 * somebody has commented out: a reader that takes it and fails makes
 * libcrypto's old code read on, to the key that is meant. So lines are what
 * they are there (get_name in crypto/pem/pem_lib.c).
 */
#include "pem.h"

#include "keyload.h"

#include <string.h>
#include <strings.h>

static const char *const key_labels[] = {
    "PRIVATE KEY",    "ENCRYPTED PRIVATE KEY", "RSA PRIVATE KEY",
    "EC PRIVATE KEY", "DSA PRIVATE KEY",       "ANY PRIVATE KEY",
    KEYLOAD_REFERENCE};

#define BEGIN "-----BEGIN "
#define END "-----END "
#define DASHES "-----"
#define BOM "\xef\xbb\xbf"

/* What is longer is several lines. */
#define LINE_MAX_LEN 254

struct line {
    const char *p;
    size_t len; /* without the end, and what is no text before that */
};

static int begins(const struct line *l, const char *with)
{
    size_t n = strlen(with);

    return l->len >= n && memcmp(l->p, with, n) == 0;
}

/* Takes the line at |*at|; 0 if there is none, or not all of it. */
static int take_line(const char **at, const char *end, int at_end,
                     struct line *l)
{
    size_t left = (size_t)(end - *at);
    size_t max = left < LINE_MAX_LEN ? left : LINE_MAX_LEN;
    const char *nl = memchr(*at, '\n', max);

    if (left == 0 || (nl == NULL && left < LINE_MAX_LEN && !at_end)) {
        return 0;
    }
    l->p = *at;
    l->len = nl != NULL ? (size_t)(nl + 1 - *at) : max;
    *at += l->len;
    while (l->len > 0 && (signed char)l->p[l->len - 1] <= ' ') {
        l->len--;
    }
    if (begins(l, BOM)) {
        l->p += strlen(BOM);
        l->len -= strlen(BOM);
    }
    return 1;
}

static int begins_block(const struct line *l)
{
    return begins(l, BEGIN) && l->len >= strlen(BEGIN DASHES) &&
           memcmp(l->p + l->len - strlen(DASHES), DASHES, strlen(DASHES)) == 0;
}

/* In any case, as libcrypto's old code knows the types' own labels. */
static int label_is_key(const struct line *l)
{
    size_t len = l->len - strlen(BEGIN DASHES);

    for (size_t i = 0; i < sizeof(key_labels) / sizeof(key_labels[0]); i++) {
        if (len == strlen(key_labels[i]) &&
            strncasecmp(l->p + strlen(BEGIN), key_labels[i], len) == 0) {
            return 1;
        }
    }
    return 0;
}

enum pem_found pem_find(const char *text, size_t len, int only_first,
                        int at_end, const char **start, const char **stop)
{
    const char *at = text, *end = text + len;
    struct line l;

    *start = NULL;
    while (take_line(&at, end, at_end, &l)) {
        if (*start != NULL && begins(&l, END)) {
            *stop = at;
            return PEM_ALL;
        }
        if (*start != NULL || !begins_block(&l)) {
            continue;
        }
        if (label_is_key(&l)) {
            *start = l.p;
        } else if (only_first) {
            return PEM_NONE;
        }
    }
    *stop = end;
    if (*start == NULL) {
        return at_end ? PEM_NONE : PEM_NOT_YET;
    }
    return at_end ? PEM_ALL : PEM_START;
}
