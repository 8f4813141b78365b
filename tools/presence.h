/*
 * The positive control of a scan. That nothing is found says little of a
 * process that never had it: so what is public, and lies in the memory of
 * whoever has the connection or the key, is looked for besides.
 */
#ifndef MPK_TOOLS_PRESENCE_H
#define MPK_TOOLS_PRESENCE_H

#include "keylog.h"
#include "matcher.h"

struct presence {
    struct pattern_set *set;
    bool *seen; /* of each key, in their order, then of each connection */
    size_t len;
    size_t cap;
    size_t keys_len;
};

/*
 * presence_add_key adds the public number of |pkey| to |p|->set; no key may
 * come after a key log. One that has none of 16 bytes counts as seen. Returns 0
 * or -ENOMEM, as does presence_add_keylog, which adds the client randoms of
 * |log|.
 */
int presence_add_key(struct presence *p, const EVP_PKEY *pkey);
int presence_add_keylog(struct presence *p, const struct keylog *log);

/*
 * presence_take notes which of |p| are among the |len| |matches|, and takes
 * them out of there. Returns how many are left.
 */
size_t presence_take(struct presence *p, struct match *matches, size_t len);

/* presence_key_seen tells it of the key with the number |key|. */
bool presence_key_seen(const struct presence *p, size_t key);

/* presence_connections counts all of the key logs, and those not seen. */
size_t presence_connections(const struct presence *p);
size_t presence_connections_unseen(const struct presence *p);

/* presence_free releases what |p| holds, which |p|->set is no part of. */
void presence_free(struct presence *p);

#endif
