/*
 * What "mpkctl scan" prints.
 */
#ifndef MPK_TOOLS_REPORT_H
#define MPK_TOOLS_REPORT_H

#include "keyfile.h"
#include "mapping.h"
#include "matcher.h"
#include "patterns.h"
#include "presence.h"
#include "secrets.h"

/* One look at the whole of the memory. */
struct report_pass {
    struct mapping_list mappings;
    struct match *matches;
    size_t matches_len;
};

struct report {
    int pid;          /* 0: a core file was searched */
    const char *name; /* of the process or of the core file */
    bool verbose;
    double seconds;
    uint64_t searched;
    const struct keyfile *keys;
    size_t keys_len;
    const struct secrets *secrets;
    const struct presence *presence;
    const struct pattern_set *set;
    const struct report_pass *passes;
    size_t passes_len; /* at least 1 */
};

/* One line of the result: copies of one form of one component in one place. */
struct report_row {
    const struct pattern_piece *piece;
    enum pattern_form form;
    const char *mapping;
    uint64_t first; /* address of the first of them */
    uint64_t full;
    uint64_t partial;
};

/* Sums over all keys and passes; of mappings, those of the last pass. */
struct report_totals {
    uint64_t full;
    uint64_t partial;
    uint64_t passes_found; /* in how many passes there was anything */
    uint64_t keyed;
    uint64_t prot_none;
    uint64_t unread;
    uint64_t open; /* of |unread|: what a wild read can read all the same */
    uint64_t not_dumped;
};

/*
 * report_print writes |r| to standard output, as text or as one JSON object.
 * Returns 0, -ENOMEM, or -EIO when the output cannot be written.
 */
int report_print(const struct report *r, bool json);

/*
 * report_open_in returns how many bytes there are in |list| that the process
 * can read and mpkctl cannot: secretmem without a protection key. report_open
 * looks at the mappings of the last pass.
 */
uint64_t report_open_in(const struct mapping_list *list);
uint64_t report_open(const struct report *r);

/* report_fate returns the word for why a mapping was searched or not. */
const char *report_fate(const struct mapping *m);

/*
 * report_not_derived calls |say| with one sentence for each kind of secret that
 * belongs to the key logs' connections and could not be looked for.
 */
void report_not_derived(const struct report *r, void (*say)(const char *text));

/* report_unseen tells whether neither the private nor the public part of the
 * key with the number |key| was seen. */
bool report_unseen(const struct report *r, const struct report_row *rows,
                   size_t rows_len, size_t key);

/*
 * report_unseen_connections counts those of the key logs of which nothing was
 * seen; none when a secret of a key log was found.
 */
size_t report_unseen_connections(const struct report *r,
                                 const struct report_row *rows,
                                 size_t rows_len);

/* report_json is the JSON half of report_print. */
void report_json(const struct report *r, const struct report_row *rows,
                 size_t rows_len, const struct report_totals *t);

#endif
