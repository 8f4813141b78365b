/*
 * pem.c - where libcrypto would find a private key in text.
 *
 * What is no block for libcrypto must be none here, such as a key that
 * somebody has commented out: a reader that takes it and fails makes
 * libcrypto's old code read on, to the key that is meant. So lines are what
 * they are there (get_name in crypto/pem/pem_lib.c).
 */
#include "pem.h"

#include "der.h"
#include "keyload.h"
#include "seal.h"
#include "types.h"

#include <string.h>
#include <strings.h>

/* Besides the types' own. */
static const char *const key_labels[] = {"PRIVATE KEY", "ENCRYPTED PRIVATE KEY",
                                         "ANY PRIVATE KEY", KEYLOAD_REFERENCE};

#define BOM "\xef\xbb\xbf"

struct line {
    const char *p;
    size_t len; /* without the end, and what is no text before that */
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

size_t pem_stripped(const char *p, size_t len)
{
    while (len > 0 && (signed char)p[len - 1] <= ' ') {
        len--;
    }
    return len;
}

/*
 * Takes the next line; 0 if there is none, or not all of it. libcrypto takes a
 * byte order mark off the first line that it looks at for a block, so one more
 * may follow each block.
 */
static int take_line(struct pem_search *s, const char *text, size_t len,
                     int at_end, struct line *l)
{
    size_t left = len - s->at;
    size_t max = left < PEM_LINE_MAX ? left : PEM_LINE_MAX;
    const char *nl;

    l->p = text + s->at;
    nl = memchr(l->p, '\n', max);
    if (left == 0 || (nl == NULL && left < PEM_LINE_MAX && !at_end)) {
        return 0;
    }
    l->len = nl != NULL ? (size_t)(nl + 1 - l->p) : max;
    s->at += l->len;
    l->len = pem_stripped(l->p, l->len);
    if (!s->not_fresh && begins(l, BOM)) {
        l->p += strlen(BOM);
        l->len -= strlen(BOM);
    }
    s->not_fresh = 1;
    return 1;
}

static int begins_block(const struct line *l)
{
    return begins(l, PEM_BEGIN) && l->len >= strlen(PEM_BEGIN PEM_DASHES) &&
           memcmp(l->p + l->len - strlen(PEM_DASHES), PEM_DASHES,
                  strlen(PEM_DASHES)) == 0;
}

/*
 * Of a line with a zero byte in it a file's BIO gives what is before that, and
 * one of memory all, whose label then ends there.
 */
static int cut(struct line *l)
{
    size_t len = up_to_zero(l->p, l->len);
    int has = len < l->len;

    l->len = pem_stripped(l->p, len);
    return has;
}

/* The label in a line that begins a block. */
static const char *label_of(const struct line *l, size_t *len)
{
    const char *label = l->p + strlen(PEM_BEGIN);

    *len = up_to_zero(label, l->len - strlen(PEM_BEGIN PEM_DASHES));
    return label;
}

/* In any case, as libcrypto's old code knows the types' own labels. */
static int label_is_key(const struct line *l)
{
    size_t len;
    const char *label = label_of(l, &len);
    char plain[SEAL_LABEL_MAX];

    if (seal_is_label(label, len, plain)) {
        label = plain;
    }
    for (size_t i = 0; i < sizeof(key_labels) / sizeof(key_labels[0]); i++) {
        if (len == strlen(key_labels[i]) &&
            strncasecmp(label, key_labels[i], len) == 0) {
            return 1;
        }
    }
    return mpkprov_type_by_label(label, len) != KEY_ANY;
}

/* libcrypto takes a private key under these too, and they are not skipped by
 * their labels only. A TLS session, which begins as a key does, is none. */
static int label_is_public(const struct line *l)
{
    static const char *const ends[] = {" PUBLIC KEY", " PARAMETERS"};
    static const char session[] = "SSL SESSION PARAMETERS";
    size_t len;
    const char *label = label_of(l, &len);

    if (len == strlen(session) && memcmp(label, session, len) == 0) {
        return 0;
    }
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        size_t n = strlen(ends[i]);

        if (len > n && memcmp(label + len - n, ends[i], n) == 0) {
            return 1;
        }
    }
    return 0;
}

/* PKCS#8 of RSA takes 26 to where its octets begin; a modulus is longer. */
#define START_LEN 32

const char pem_digits[PEM_DIGITS + 1] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijkl"
                                        "mnopqrstuvwxyz0123456789+/";

int pem_digit(char c)
{
    const char *digit = memchr(pem_digits, c, PEM_DIGITS);

    return digit != NULL ? (int)(digit - pem_digits) : -1;
}

size_t pem_decode(const char *p, size_t len, unsigned char *out, size_t room)
{
    unsigned bits = 0, n_bits = 0;
    size_t n = 0;

    for (; len > 0 && n < room; p++, len--) {
        int digit = pem_digit(*p);

        if (digit >= 0) {
            bits = bits << 6 | (unsigned)digit;
            n_bits += 6;
        }
        if (n_bits >= 8) {
            n_bits -= 8;
            out[n++] = (unsigned char)(bits >> n_bits);
        }
    }
    return n;
}

/* Whether there is a private key in the |len| bytes at |text| of a block, or
 * what is encrypted, and may be one. */
static int hides_key(const char *text, size_t len)
{
    unsigned char der[START_LEN];
    int is;

    if (memchr(text, ':', len) != NULL) {
        return 1;
    }
    is = der_begins_key(der, pem_decode(text, len, der, sizeof(der)));
    explicit_bzero(der, sizeof(der));
    return is;
}

enum pem_found pem_find(struct pem_search *s, const char *text, size_t len,
                        int only_first, int at_end)
{
    struct line l;

    while (take_line(s, text, len, at_end, &l)) {
        if (s->has_start && begins(&l, PEM_END)) {
            s->stop = s->at;
            return PEM_ALL;
        }
        if (s->in_block && begins(&l, PEM_END)) {
            s->in_block = s->not_fresh = 0;
            s->stop = (size_t)(l.p - text);
            if (s->in_public &&
                hides_key(text + s->start, s->stop - s->start)) {
                return PEM_HIDDEN;
            }
            if (only_first) {
                return PEM_OTHER;
            }
        }
        if (s->has_start || (only_first && s->in_block) ||
            !(begins_block(&l) || (cut(&l) && begins_block(&l)))) {
            continue;
        }
        s->in_block = 1;
        s->in_public = label_is_public(&l);
        s->has_start = label_is_key(&l);
        s->start = s->has_start ? (size_t)(l.p - text) : s->at;
    }
    s->stop = len;
    if (s->has_start) {
        return PEM_START;
    }
    return at_end ? PEM_NONE : PEM_NOT_YET;
}
