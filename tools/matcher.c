#include "matcher.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

/*
 * Nearly every position in memory is turned away by one bit: 2^17 of them are
 * 16 KiB, which stays in the first-level cache. A long key log makes millions
 * of windows, which would set nearly all of these bits; so there are 32 for
 * each window, up to 32 MiB.
 */
#define FILTER_BITS_MIN 17
#define FILTER_BITS_MAX 28
#define FILTER_BITS_PER_WINDOW 32

#define NONE UINT32_MAX

/* One window at one place. */
struct hit {
    uint64_t addr;
    uint32_t window;
};

struct matcher {
    const struct pattern_set *set;
    uint64_t *filter;
    unsigned int filter_bits;
    uint32_t *bucket; /* first window of each hash value */
    uint32_t *next;   /* the window after each window in its bucket */
    unsigned int bucket_bits;
    struct hit *hits;
    size_t hits_len;
    size_t hits_cap;
};

static uint64_t hash_at(const uint8_t *bytes)
{
    uint64_t word;

    memcpy(&word, bytes, sizeof(word));
    return word * UINT64_C(0x9e3779b97f4a7c15);
}

static void index_windows(struct matcher *m)
{
    uint64_t hash;
    uint32_t *bucket;

    memset(m->bucket, 0xff, sizeof(m->bucket[0]) << m->bucket_bits);
    for (size_t i = 0; i < m->set->windows_len; i++) {
        hash = hash_at(m->set->windows[i].bytes);
        bucket = &m->bucket[hash >> (64 - m->bucket_bits)];
        m->next[i] = *bucket;
        *bucket = (uint32_t)i;
        hash >>= 64 - m->filter_bits;
        m->filter[hash / 64] |= UINT64_C(1) << (hash % 64);
    }
}

/* The power of two from |bits| on that is at least |want|. */
static unsigned int bits_for(unsigned int bits, unsigned int max, size_t want)
{
    while (bits < max && (size_t)1 << bits < want) {
        bits++;
    }
    return bits;
}

int matcher_new(struct matcher **out, const struct pattern_set *set)
{
    struct matcher *m = calloc(1, sizeof(*m));

    *out = NULL;
    if (m == NULL) {
        return -ENOMEM;
    }
    m->set = set;
    m->bucket_bits = bits_for(8, 32, set->windows_len * 2);
    m->filter_bits = bits_for(FILTER_BITS_MIN, FILTER_BITS_MAX,
                              set->windows_len * FILTER_BITS_PER_WINDOW);
    m->filter = calloc(((size_t)1 << m->filter_bits) / 64, sizeof(uint64_t));
    m->bucket = calloc((size_t)1 << m->bucket_bits, sizeof(m->bucket[0]));
    m->next = calloc(set->windows_len + 1, sizeof(m->next[0]));
    if (m->filter == NULL || m->bucket == NULL || m->next == NULL) {
        matcher_free(m);
        return -ENOMEM;
    }
    index_windows(m);
    *out = m;
    return 0;
}

static int add_hit(struct matcher *m, uint32_t window, uint64_t addr)
{
    struct hit *grown;
    size_t cap;

    if (m->hits_len == m->hits_cap) {
        cap = m->hits_cap == 0 ? 256 : m->hits_cap * 2;
        grown = reallocarray(m->hits, cap, sizeof(*grown));
        if (grown == NULL) {
            return -ENOMEM;
        }
        m->hits = grown;
        m->hits_cap = cap;
    }
    m->hits[m->hits_len].addr = addr;
    m->hits[m->hits_len].window = window;
    m->hits_len++;
    return 0;
}

static int look_up(struct matcher *m, uint64_t addr, const uint8_t *at,
                   uint64_t hash)
{
    uint32_t i = m->bucket[hash >> (64 - m->bucket_bits)];
    int err = 0;

    for (; err == 0 && i != NONE; i = m->next[i]) {
        if (memcmp(at, m->set->windows[i].bytes, PATTERN_WINDOW) == 0) {
            err = add_hit(m, i, addr);
        }
    }
    return err;
}

int matcher_feed(struct matcher *m, uint64_t addr, const uint8_t *buf,
                 size_t len)
{
    uint64_t hash;
    uint64_t bit;
    unsigned int shift = 64 - m->filter_bits;
    const uint64_t *filter = m->filter;
    int err = 0;

    for (size_t i = 0; err == 0 && i + PATTERN_WINDOW <= len; i++) {
        hash = hash_at(buf + i);
        bit = hash >> shift;
        if (filter[bit / 64] >> (bit % 64) & 1) {
            err = look_up(m, addr + i, buf + i, hash);
        }
    }
    return err;
}

static uint32_t piece_of(const struct matcher *m, const struct hit *hit)
{
    return m->set->windows[hit->window].piece;
}

/* Where the piece begins that |hit| is a part of. */
static uint64_t base_of(const struct matcher *m, const struct hit *hit)
{
    return hit->addr - (uint64_t)(int64_t)m->set->windows[hit->window].off;
}

static int compare_copies(const void *left, const void *right, void *arg)
{
    const struct matcher *m = arg;
    const struct hit *a = left;
    const struct hit *b = right;

    if (piece_of(m, a) != piece_of(m, b)) {
        return piece_of(m, a) < piece_of(m, b) ? -1 : 1;
    }
    if (base_of(m, a) != base_of(m, b)) {
        return base_of(m, a) < base_of(m, b) ? -1 : 1;
    }
    return a->addr < b->addr ? -1 : a->addr > b->addr;
}

static void add_to_match(const struct matcher *m, struct match *match,
                         const struct hit *hit)
{
    const struct pattern_window *w = &m->set->windows[hit->window];

    if (w->framing) {
        match->in_der = true;
        return;
    }
    if (match->windows == 0) {
        match->begin = hit->addr;
    }
    match->windows++;
    match->end = hit->addr + PATTERN_WINDOW;
    match->full = match->windows == m->set->pieces[w->piece].windows;
}

/* Puts the hits that share piece and base into one match. */
static size_t make_matches(struct matcher *m, struct match *out)
{
    const struct hit *hit;
    struct match *match = NULL;
    size_t len = 0;

    qsort_r(m->hits, m->hits_len, sizeof(m->hits[0]), compare_copies, m);
    for (size_t i = 0; i < m->hits_len; i++) {
        hit = &m->hits[i];
        if (match == NULL || match->piece != piece_of(m, hit) ||
            base_of(m, hit - 1) != base_of(m, hit)) {
            match = &out[len++];
            match->piece = piece_of(m, hit);
            match->addr = hit->addr;
        }
        add_to_match(m, match, hit);
    }
    return len;
}

/* Does |a| explain the bytes that both have in common better than |b|? */
static bool better(const struct match *a, const struct match *b)
{
    if (a->full != b->full) {
        return a->full;
    }
    return a->windows != b->windows ? a->windows > b->windows
                                    : a->piece < b->piece;
}

static int compare_begins(const void *left, const void *right)
{
    const struct match *const *a = left;
    const struct match *const *b = right;

    return (*a)->begin < (*b)->begin ? -1 : (*a)->begin > (*b)->begin;
}

static unsigned int subject_of(const struct matcher *m,
                               const struct match *match)
{
    return m->set->pieces[match->piece].subject;
}

/*
 * Two PEM encodings of a key can have 16 characters in common, so that one
 * line looks like part of another too. Of matches that overlap, only the best
 * is one. (Other keys' matches stay: the same key may be given twice.)
 */
static size_t drop_doubles(const struct matcher *m, struct match *matches,
                           size_t len)
{
    struct match **by_begin = calloc(len + 1, sizeof(struct match *));
    struct match *a;
    struct match *b;
    size_t kept = 0;

    if (by_begin == NULL) {
        return len; /* counted twice rather than not at all */
    }
    for (size_t i = 0; i < len; i++) {
        by_begin[i] = &matches[i];
    }
    qsort(by_begin, len, sizeof(struct match *), compare_begins);
    for (size_t i = 0; i < len; i++) {
        a = by_begin[i];
        for (size_t k = i + 1; k < len && by_begin[k]->begin < a->end; k++) {
            b = by_begin[k];
            if (subject_of(m, a) == subject_of(m, b)) {
                (better(a, b) ? b : a)->doubled = true;
            }
        }
    }
    for (size_t i = 0; i < len; i++) {
        if (!matches[i].doubled) {
            matches[kept++] = matches[i];
        }
    }
    free(by_begin);
    return kept;
}

int matcher_finish(struct matcher *m, struct match **out, size_t *len)
{
    *len = 0;
    *out = calloc(m->hits_len + 1, sizeof(**out));
    if (*out == NULL) {
        return -ENOMEM;
    }
    if (m->hits_len > 0) {
        *len = make_matches(m, *out);
        *len = drop_doubles(m, *out, *len);
    }
    m->hits_len = 0;
    return 0;
}

void matcher_free(struct matcher *m)
{
    if (m == NULL) {
        return;
    }
    free(m->filter);
    free(m->bucket);
    free(m->next);
    free(m->hits);
    OPENSSL_cleanse(m, sizeof(*m));
    free(m);
}
