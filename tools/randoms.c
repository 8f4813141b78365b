#include "randoms.h"

#include <stdlib.h>
#include <string.h>

#define RANDOM KEYLOG_RANDOM

/* More places than this beside copies of one client random are not tried. */
#define CANDIDATES_MAX 6

/* What was found beside one client random. */
struct candidates {
    size_t len;
    uint8_t at[CANDIDATES_MAX][RANDOM];
};

/* The windows are those of the matcher, one subject for each line. */
static int make_set(struct pattern_set *set, const struct keylog *log)
{
    int err = 0;

    for (size_t i = 0; err == 0 && i < log->len; i++) {
        if (secrets_is_tls12(&log->at[i])) {
            err = pattern_bytes_add(set, (unsigned int)i, FORM_RAW, "random",
                                    log->at[i].random, RANDOM);
        }
    }
    return err;
}

/* Random bytes have few repetitions among 32. */
static bool could_be_random(const uint8_t bytes[RANDOM])
{
    bool seen[256] = {false};
    unsigned int distinct = 0;

    for (size_t i = 0; i < RANDOM; i++) {
        distinct += !seen[bytes[i]];
        seen[bytes[i]] = true;
    }
    return distinct >= 20;
}

static void add_candidate(struct candidates *c, const uint8_t bytes[RANDOM])
{
    if (!could_be_random(bytes) || c->len == CANDIDATES_MAX) {
        return;
    }
    for (size_t i = 0; i < c->len; i++) {
        if (memcmp(c->at[i], bytes, RANDOM) == 0) {
            return;
        }
    }
    memcpy(c->at[c->len++], bytes, RANDOM);
}

static void look_beside(struct candidates *c, const struct target *t,
                        const struct mapping_list *list, uint64_t addr)
{
    uint8_t bytes[RANDOM];

    if (addr >= RANDOM &&
        target_read(t, list, addr - RANDOM, bytes, RANDOM) == 0) {
        add_candidate(c, bytes);
    }
    if (target_read(t, list, addr + RANDOM, bytes, RANDOM) == 0) {
        add_candidate(c, bytes);
    }
}

static int add_key_blocks(struct secrets *s, const struct keylog *log,
                          const struct candidates *c, size_t line)
{
    int err = 0;

    s->tls12_blocks += c->len > 0;
    for (size_t i = 0; err == 0 && i < c->len; i++) {
        err = secrets_add_key_block(s, log, &log->at[line], c->at[i]);
    }
    return err;
}

/* Matches come by piece, that is by line of the key log. */
static int use_matches(struct secrets *s, const struct target *t,
                       const struct keylog *log,
                       const struct mapping_list *list,
                       const struct pattern_set *set,
                       const struct match *matches, size_t len)
{
    struct candidates c = {0};
    int err = 0;

    for (size_t i = 0; err == 0 && i < len; i++) {
        if (matches[i].full) {
            look_beside(&c, t, list, matches[i].begin);
        }
        if (i + 1 == len || matches[i + 1].piece != matches[i].piece) {
            err = add_key_blocks(s, log, &c,
                                 set->pieces[matches[i].piece].subject);
            c.len = 0;
        }
    }
    return err;
}

int randoms_find(struct secrets *s, const struct target *t,
                 const struct keylog *log)
{
    struct pattern_set set = {0};
    struct mapping_list list = {0};
    struct matcher *matcher = NULL;
    struct match *matches = NULL;
    uint64_t searched = 0;
    size_t len = 0;
    int err = make_set(&set, log);

    if (err == 0 && set.windows_len > 0) {
        err = matcher_new(&matcher, &set);
        if (err == 0) {
            err = target_search(t, &list, matcher, &searched);
        }
        if (err == 0) {
            err = matcher_finish(matcher, &matches, &len);
        }
        if (err == 0) {
            err = use_matches(s, t, log, &list, &set, matches, len);
        }
    }
    free(matches);
    matcher_free(matcher);
    mapping_free(&list);
    patterns_free(&set);
    return err;
}
