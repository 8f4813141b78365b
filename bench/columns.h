#ifndef MPK_BENCH_COLUMNS_H
#define MPK_BENCH_COLUMNS_H

/*
 * A column is one configuration of OpenSSL. A process has one domain, with one
 * backend, so each column is a process of its own, with a configuration file
 * of its own.
 */

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>

enum profile { PROFILE_STOCK, PROFILE_LOADED, PROFILE_KEYS, PROFILE_FULL };

struct column {
    const char *name;
    const char *what; /* one line for people */
    enum profile profile;
    const char *backend; /* NULL: without the module */
    bool per_key;        /* a page group for each private key */
};

/* column_at returns the |i|th column, NULL past the last one; 0 is stock. */
const struct column *column_at(size_t i);
const struct column *column_find(const char *name);

/* column_write_conf writes the column's openssl.cnf. */
bool column_write_conf(const struct column *c, const char *module,
                       const char *path);

/*
 * column_holds makes sure that |key| is where this column says, so that no
 * column measures another one. |why| gets a line if it is not.
 */
bool column_holds(const struct column *c, const EVP_PKEY *key, char *why,
                  size_t room);

/* column_has_secrets does so for the algorithms of TLS sessions. */
bool column_has_secrets(const struct column *c, char *why, size_t room);

/* column_build says what the module was built from, "-" without a module. */
void column_build(char *text, size_t room);

/*
 * column_works is false when the module is there and refuses all keys, which
 * it has explained on standard error.
 */
bool column_works(void);

/*
 * column_crossings returns how often this process has gone through the gate,
 * or -1 where nothing counts that.
 */
long long column_crossings(void);

#endif
