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
#include "types.h"

#include <string.h>
#include <strings.h>

/* Besides the types' own. */
static const char *const key_labels[] = {"PRIVATE KEY", "ENCRYPTED PRIVATE KEY",
                                         "ANY PRIVATE KEY", KEYLOAD_REFERENCE};

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

/* Where the search is: libcrypto takes a byte order mark off the first line
 * that it looks at for a block, so one more may follow each block. */
struct place {
    const char *at;
    int in_block, fresh;
};

static int begins(const struct line *l, const char *with)
{
    size_t n = strlen(with);

    return l->len >= n && memcmp(l->p, with, n) == 0;
}

static size_t up_to_zero(const char *p, size_t len)
{
    const char *zero = memchr(p, '\0', len);

    return zero != NULL ? (size_t)(zero - p) : len;
}

static void strip(struct line *l)
{
    while (l->len > 0 && (signed char)l->p[l->len - 1] <= ' ') {
        l->len--;
    }
}

/* Takes the line at |w|; 0 if there is none, or not all of it. */
static int take_line(struct place *w, const char *end, int at_end,
                     struct line *l)
{
    size_t left = (size_t)(end - w->at);
    size_t max = left < LINE_MAX_LEN ? left : LINE_MAX_LEN;
    const char *nl = memchr(w->at, '\n', max);

    if (left == 0 || (nl == NULL && left < LINE_MAX_LEN && !at_end)) {
        return 0;
    }
    l->p = w->at;
    l->len = nl != NULL ? (size_t)(nl + 1 - w->at) : max;
    w->at += l->len;
    strip(l);
    if (w->fresh && begins(l, BOM)) {
        l->p += strlen(BOM);
        l->len -= strlen(BOM);
    }
    w->fresh = 0;
    return 1;
}

static int begins_block(const struct line *l)
{
    return begins(l, BEGIN) && l->len >= strlen(BEGIN DASHES) &&
           memcmp(l->p + l->len - strlen(DASHES), DASHES, strlen(DASHES)) == 0;
}

/*
 * Of a line with a zero byte in it a file's BIO gives what is before that, and
 * one of memory all, whose label then ends there.
 */
static int cut(struct line *l)
{
    size_t len = up_to_zero(l->p, l->len);
    int has = len < l->len;

    l->len = len;
    strip(l);
    return has;
}

/* In any case, as libcrypto's old code knows the types' own labels. */
static int label_is_key(const struct line *l)
{
    const char *label = l->p + strlen(BEGIN);
    size_t len = up_to_zero(label, l->len - strlen(BEGIN DASHES));

    for (size_t i = 0; i < sizeof(key_labels) / sizeof(key_labels[0]); i++) {
        if (len == strlen(key_labels[i]) &&
            strncasecmp(label, key_labels[i], len) == 0) {
            return 1;
        }
    }
    return mpkprov_type_by_label(label, len) != KEY_ANY;
}

enum pem_found pem_find(const char *text, size_t len, int only_first,
                        int at_end, const char **start, const char **stop)
{
    struct place w = {text, 0, 1};
    const char *end = text + len;
    struct line l;

    *start = NULL;
    while (take_line(&w, end, at_end, &l)) {
        if (*start != NULL && begins(&l, END)) {
            *stop = w.at;
            return PEM_ALL;
        }
        if (w.in_block && begins(&l, END)) {
            w.in_block = 0;
            w.fresh = 1;
        }
        if (*start != NULL ||
            !(begins_block(&l) || (cut(&l) && begins_block(&l)))) {
            continue;
        }
        w.in_block = 1;
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
