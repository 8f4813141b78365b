/* cipher_random.h - a pair of cipher contexts and steps on both. */
#ifndef MPK_TEST_CIPHER_RANDOM_H
#define MPK_TEST_CIPHER_RANDOM_H

#include "pair.h"

#include <openssl/err.h>

#define ROOM 1024
#define GUARD 0xa7

/* One side of a pair of contexts, and what the last step did there. */
struct side {
    EVP_CIPHER *cipher;
    EVP_CIPHER_CTX *ctx;
    const unsigned char *key;
    int ret, len;
    bool error;
    unsigned char out[ROOM];
};

struct pair {
    const struct cipher_name *name;
    struct side side[SIDES];
    bool encrypt, has_iv, counts;
    bool sealed; /* the key is a handle on our side */
    bool spent;  /* and a record has used the nonce up */
    unsigned char key[SIDES][32], iv[12], aad[64];
    size_t aad_len;
    char step[96];
};

/* Does |call| on both sides, with s as the side. */
#define BOTH(p, call)                                                          \
    do {                                                                       \
        for (int side_ = 0; side_ < SIDES; side_++) {                          \
            struct side *s = &(p)->side[side_];                                \
                                                                               \
            s->key = (p)->key[side_];                                          \
            s->len = 0;                                                        \
            ERR_clear_error();                                                 \
            s->ret = (call);                                                   \
            s->error = ERR_peek_error() != 0;                                  \
        }                                                                      \
        compare(p);                                                            \
    } while (0)

#define STEP(p, ...) snprintf((p)->step, sizeof((p)->step), __VA_ARGS__)

/* Compares what the last step did; ends the program with |p| shown when it is
 * not the same on both sides. */
void compare(struct pair *p);
void different(const struct pair *p, const char *what);

bool is_mode(const struct pair *p, int mode);
void fresh_output(struct pair *p);
/* A handle is good for one init. */
void new_key(struct pair *p);

/* Whole messages, which random steps seldom make. */
void step_message(struct pair *p);
void step_tls13(struct pair *p);

#endif
