#ifndef MPK_BENCH_LOAD_H
#define MPK_BENCH_LOAD_H

/*
 * Load for a store: nine requests of ten get, the tenth sets, each a key at
 * random; every answer is checked. Either the server's threads make their
 * requests themselves (direct), or clients send them through sockets.
 */

#include "guard.h"
#include "store.h"

#include <stddef.h>
#include <stdint.h>

#define LOAD_VALUE 1000

struct load {
    struct store *store;
    struct guard guard;
    uint32_t keys;
    unsigned workers, connections;
};

/* load_fill sets every key; the store is open. False if an answer is wrong. */
bool load_fill(const struct load *l);

/*
 * These make requests for |ms| milliseconds, one of each thread or connection
 * at least, and return the CPU time of one for the server's threads in ns;
 * below 0 if an answer was wrong.
 */
double load_direct(const struct load *l, double ms);
double load_sockets(const struct load *l, double ms);

#endif
