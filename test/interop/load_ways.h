#ifndef MPK_TEST_LOAD_WAYS_H
#define MPK_TEST_LOAD_WAYS_H

/* The public functions by which an application loads a private key. */

#include "load_forms.h"

/* A passphrase callback that counts: |answer| < 0 is a user who gives up. */
struct asker {
    const char *passphrase;
    int answer;
    int calls;
};

struct file {
    const unsigned char *data;
    size_t len;
    const char *path;
};

struct way {
    const char *label;
    bool (*takes)(const struct form *form, const struct key_type *type);
    /* The caller owns the key; NULL on failure. */
    EVP_PKEY *(*load)(const struct file *file, const struct key_type *type,
                      struct asker *asker);
    /* How often default asks a user who gives up: each decoder chain and the
     * legacy reader ask again. */
    int asks;
};

/* way_at returns the |i|th way, NULL past the last one. */
const struct way *way_at(size_t i);

/* way_find returns the way called |label|, NULL if there is none. */
const struct way *way_find(const char *label);

/* ask is the pem_password_cb over a struct asker. */
int ask(char *buf, int size, int writing, void *asker);

#endif
