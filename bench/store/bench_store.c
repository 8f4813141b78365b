/*
 * bench_store.c - what does it cost a key-value store to be closed between
 * requests? After the Memcached of libmpk's paper: 1 GiB of slabs and their
 * hash table, each a page group or plain memory, and around each request
 *   none           nothing
 *   begin-end      mpk_begin and mpk_end of both groups, for the thread
 *   mpk-mprotect   mpk_mprotect of both groups, for all threads
 *   mprotect       mprotect of both regions
 *
 * Cases: "socket-" through a socket, as a store is used; "direct-" without,
 * where little else is left to measure. The figure is CPU time of the server's
 * threads.
 *
 * It first makes sure that what is to be closed is closed.
 */
#include "load.h"

#include "../rows.h"
#include "../stats.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t mib = 1024;
static struct load loads[GUARDS];
static double batch_ms;
static const char *beside = "*"; /* columns beside the baseline */

static bool own_option(const char *name, const char *value)
{
    unsigned n = (unsigned)strtoul(value, NULL, 10);

    if (strcmp(name, "--column") == 0) {
        beside = value;
    } else if (strcmp(name, "--mib") == 0 && n >= 4) {
        mib = n;
    } else if (strcmp(name, "--workers") == 0 && n >= 1 && n <= 16) {
        loads[NONE].workers = n;
    } else if (strcmp(name, "--connections") == 0 && n >= 2 && n <= 64) {
        loads[NONE].connections = n;
    } else {
        return false;
    }
    return true;
}

static double direct(struct way *w)
{
    return load_direct(w->arg, batch_ms);
}

static double sockets(struct way *w)
{
    return load_sockets(w->arg, batch_ms);
}

/* Each way has a store of its own: pages that another way has closed and opened
 * are slow for a while, on some machines. */
static bool make_store(struct load *l, enum way_to_guard way)
{
    static struct region regions[GUARDS][REGIONS];
    size_t slabs = mib * STORE_SLAB;
    const size_t len[REGIONS] = {store_index_len(slabs), slabs};
    bool ok;

    *l = loads[NONE];
    l->keys = (uint32_t)(slabs / 10 * 8 / (LOAD_VALUE + 300));
    l->guard = guard_of(way, regions[way]);
    guard_map(&l->guard, len);
    l->store = store_new(regions[way][INDEX].p, regions[way][SLABS].p, slabs);
    ok = load_fill(l);
    guard_settle(&l->guard);
    return ok;
}

/* Each guard lets one request through, and nothing after it. */
static bool closes(struct load *l)
{
    const struct region *r = l->guard.regions;

    if (load_direct(l, 0.001) < 0) {
        return false;
    }
    for (int i = 0; i < REGIONS; i++) {
        for (size_t at = 0; at < r[i].len; at += r[i].len / 4) {
            if (guard_faults(r[i].p + at, false) != l->guard.closes ||
                guard_faults(r[i].p + at, true) != l->guard.closes) {
                return false;
            }
        }
    }
    return true;
}

/* Why a column has no figures, or NULL. */
static const char *reason(enum way_to_guard way, const char *no_keys)
{
    if (way == BEGIN_END && no_keys != NULL) {
        return no_keys;
    }
    return closes(&loads[way]) ? NULL : "it does not protect as it should";
}

static bool is_wanted(enum way_to_guard way)
{
    return way == NONE || fnmatch(beside, guard_of(way, NULL).name, 0) == 0;
}

static void run(struct rows *r, const char *name,
                double (*measure)(struct way *), const char *no_keys)
{
    struct way ways[GUARDS];
    size_t n = 0;

    if (!rows_wants(r, name)) {
        return;
    }
    for (enum way_to_guard i = 0; i < GUARDS; i++) {
        if (is_wanted(i)) {
            ways[n++] = (struct way){.name = guard_of(i, NULL).name,
                                     .why = reason(i, no_keys),
                                     .measure = measure,
                                     .arg = &loads[i]};
        }
    }
    rows_case(r, name, ways, n);
}

int main(int argc, char **argv)
{
    struct rows r = {
        .bench = "store", .baseline = "none", .rounds = 15, .batch_ms = 100};
    char notes[256];
    const char *no_keys = NULL;

    loads[NONE].workers = 4;
    loads[NONE].connections = 16;
    rows_options(&r, argc, argv, own_option,
                 "  --column PATTERN  only these beside none\n"
                 "  --mib N         of slabs (1024); each column has as many\n"
                 "  --workers N     threads of the server (4)\n"
                 "  --connections N to it (16)\n");
    batch_ms = r.batch_ms;
    stats_start();
    guard_start(&no_keys);
    for (int i = GUARDS - 1; i >= 0; i--) {
        if (is_wanted((enum way_to_guard)i) &&
            (i != BEGIN_END || no_keys == NULL) &&
            !make_store(&loads[i], (enum way_to_guard)i)) {
            fputs("the store does not answer as it should\n", stderr);
            return 1;
        }
    }
    snprintf(notes, sizeof(notes),
             "# %zu MiB of slabs in pages of 4 KiB, %u values of %d bytes, %u "
             "workers, %u connections\n# time: CPU of the server's threads\n",
             mib, loads[NONE].keys, LOAD_VALUE, loads[NONE].workers,
             loads[NONE].connections);
    rows_head(&r, notes);
    run(&r, "socket-get90", sockets, no_keys);
    run(&r, "direct-get90", direct, no_keys);
    return rows_close(&r);
}
