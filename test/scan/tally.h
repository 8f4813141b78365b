/* tally.h - what became of all secrets of each name, and what has to be seen of
 * them in the stock subject, or the search is blind to them. */
#ifndef MPK_TEST_SCAN_TALLY_H
#define MPK_TEST_SCAN_TALLY_H

#include "connection.h"
#include "patterns.h"
#include "spy.h"

#include <stdbool.h>
#include <stddef.h>

#define TALLY_NAMES 64
#define TALLY_PRIVATE_KEY                                                      \
    100000 /* and more: subjects that are no session's secret                  \
            */

enum { STOCK, FULL, SUBJECTS };

/* Of one connection, by secret (all private keys are the last) and name. */
struct tally {
    const struct kind *kind;
    int subject;
    unsigned first; /* secret of this connection, and not of one before */
    bool sought[SPY_MAX + 1][TALLY_NAMES];
    bool lay[SPY_MAX + 1][TALLY_NAMES];   /* was there in a look */
    bool wiped[SPY_MAX + 1][TALLY_NAMES]; /* was wiped before it */
};

/* tally_start says which end the subjects are. */
void tally_start(bool client);

/* tally_sought notes that |piece| is looked for, tally_found that it was found,
 * and returns what it is called. */
void tally_sought(struct tally *t, const struct pattern_piece *piece);
const char *tally_found(struct tally *t, const struct pattern_piece *piece,
                        bool wiped);

/* tally_allowed: that the full profile does not protect this one. */
bool tally_allowed(const struct tally *t, const struct pattern_piece *piece,
                   bool wiped);

/* tally_add adds the connection to the table. tally_missing returns the name of
 * a secret that a stock subject should have shown and has not, or NULL. */
void tally_add(const struct tally *t);
const char *tally_missing(const struct tally *t);

/* tally_print prints the table. False when the stock subject has shown no
 * secret of some name at all. */
bool tally_print(void);

#endif
