/*
 * spy.h - what a stock libssl in this process computes for its connections:
 * the program stands between libssl and libcrypto and writes down what the
 * key derivations and key exchanges give out. One end's secrets are
 * the other's too, so this is all that there is to look for, what no key log
 * has included.
 */
#ifndef MPK_TEST_SCAN_SPY_H
#define MPK_TEST_SCAN_SPY_H

#include <stddef.h>
#include <stdint.h>

#define SPY_MAX 256 /* secrets */
#define SPY_BYTES 1024

struct spied {
    char name[32]; /* "pre-master", what an Extract gave, or a label */
    uint8_t bytes[SPY_BYTES];
    size_t len;
};

/* spy_forget wipes all that was written down. */
void spy_forget(void);

/* spy_len is how much that is, spy_at one of it. */
size_t spy_len(void);
const struct spied *spy_at(size_t i);

#endif
