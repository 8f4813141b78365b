/* cipher_inside.h - what the stubs of a cipher context share. Inside only. */
#ifndef MPKPROV_CIPHER_INSIDE_H
#define MPKPROV_CIPHER_INSIDE_H

#include "cipher.h"
#include "inside.h"
#include "secret.h"

#include <openssl/core_names.h>

#define CIPHER_KEY_MAX 64
#define GCM_IV_MAX 128 /* the inner GCM's room for a nonce */

/*
 * The object of an OBJECT_CIPHER. What comes in with a message is copied here
 * and not to the stack, which may be the caller's (record-stack), and so is the
 * parameter that points to it.
 */
struct cipher_inside {
    const struct inner_alg *alg;
    const struct cipher_row *row;
    void *ctx;
    size_t deep_from; /* see cipher_deep_from */
    int encrypt;
    enum key_use sealed; /* what a key that came as a handle is for */
    enum key_use comes; /* the same of the one that comes, while an init runs */
    int counts;         /* GCM makes the ends of its nonces itself */
    uint32_t forks; /* that lie before the process which began to: mpk_forks */
    int has_nonce;  /* was given one, or a part; if in doubt, no */
    int has_tls12_header; /* once was given one */
    struct cipher_held held;
    OSSL_PARAM param[2]; /* see cipher_param */
    union {
        unsigned char key[CIPHER_KEY_MAX]; /* while an init runs */
        struct {
            unsigned char iv[CIPHER_IV_LEN]; /* a nonce that is set whole */
            unsigned char made_tag[CIPHER_TAG_MAX];
            unsigned char nowhere[CIPHER_TAG_MAX]; /* what final writes to:
                                                    * nothing */
            size_t none; /* a length, mostly one that nobody wants to know */
        };
    };
};

_Static_assert(sizeof(struct cipher_inside) <= 312,
               "every connection has two: a block of 320 bytes is enough");

/* The parameter |name| with |len| bytes at |data|, until the next one. */
static inline OSSL_PARAM *cipher_param(struct cipher_inside *s,
                                       const char *name, void *data, size_t len)
{
    s->param[0].key = name;
    s->param[0].data_type = OSSL_PARAM_OCTET_STRING;
    s->param[0].data = data;
    s->param[0].data_size = len;
    return s->param;
}

/* The same with the length in s->none. */
static inline OSSL_PARAM *cipher_none_param(struct cipher_inside *s,
                                            const char *name)
{
    cipher_param(s, name, &s->none, sizeof(s->none));
    s->param[0].data_type = OSSL_PARAM_UNSIGNED_INTEGER;
    return s->param;
}

#define CIPHER_FN(s, fn, id) INNER((s)->alg, cipher_##fn, OSSL_FUNC_CIPHER_##id)

/* Pins the context f->handle, or makes one of slot f->type when it is 0. NULL
 * with an error. For handle_unpin; its data is the struct above. */
struct object *cipher_open(struct mpkprov_frame *f);

/*
 * How many bytes at once are too many for the caller's stack: with fewer, the
 * inner code for |row| keeps the key, and what it makes of it, in registers and
 * in its context. 0: it is never run there. (cipher_registers.c)
 */
size_t cipher_deep_from(const struct cipher_row *row);

/* The inner init, which takes note of a nonce; 1 or 0. */
static inline int cipher_inner_init(struct cipher_inside *s, int encrypt,
                                    const unsigned char *key, size_t key_len,
                                    const unsigned char *iv, size_t iv_len,
                                    const OSSL_PARAM *params)
{
    OSSL_FUNC_cipher_encrypt_init_fn *init =
        encrypt ? CIPHER_FN(s, encrypt_init, ENCRYPT_INIT)
                : CIPHER_FN(s, decrypt_init, DECRYPT_INIT);
    int ok;

    s->encrypt = encrypt;
    ok = init(s->ctx, key, key_len, iv, iv_len, params);
    if (ok && iv != NULL) {
        s->has_nonce = 1;
    }
    return ok;
}

/* What is said for each message: it goes to the inner cipher as it is. */
static inline int cipher_set_for_message(struct cipher_inside *s,
                                         const char *name, unsigned char *p,
                                         size_t len)
{
    return CIPHER_FN(s, set_ctx_params,
                     SET_CTX_PARAMS)(s->ctx, cipher_param(s, name, p, len));
}

/* Puts the first |len| bytes of an encrypted message's tag, 16 at most, and for
 * CCM all that it has, at |tag|. 1 or 0. */
static inline int cipher_make_tag(struct cipher_inside *s, unsigned char *tag,
                                  size_t len)
{
    OSSL_PARAM *p = cipher_param(s, OSSL_CIPHER_PARAM_AEAD_TAG, tag, len);

    return CIPHER_FN(s, get_ctx_params, GET_CTX_PARAMS)(s->ctx, p);
}

/*
 * cipher_failed reports what the inner cipher says, if it says anything; 0. An
 * error is only where the default provider has one, because libssl looks at
 * what is in the queue after it has dropped a datagram.
 */
int cipher_failed(struct mpkprov_frame *f, const char *what)
    __attribute__((cold));

/* cipher_replay does what the context outside has held back and given with
 * f->in2, if anything. 1, and f->in2_len is 0; or 0 and perhaps an error, and
 * the context outside goes on to hold it. Without |may_draw| also
 * CIPHER_DRAW, if that takes a random number, and none is left; nothing is done
 * then. With |data_comes| also what it needs in a child of fork (below).
 * (cipher_run.c) */
int cipher_replay(struct mpkprov_frame *f, struct cipher_inside *s,
                  int may_draw, int data_comes);

/*
 * Whether a child of fork is about to count on from its parent's number. Both
 * have the connection, and both may write: a last alert is enough. Two records
 * under one nonce give the authentication key to whoever sees them.
 */
int cipher_counts_for_another(const struct cipher_inside *s);

/* How long the inner cipher has its nonce now. (cipher_params.c) */
size_t cipher_iv_len(struct cipher_inside *s);

/* Puts the lengths of nonce and tag, which the context outside keeps, into
 * f->out_len and f->out2_len. (cipher_params.c) */
void cipher_tell_lengths(struct mpkprov_frame *f, struct cipher_inside *s);

/* A fixed part makes the rest of every nonce GCM's to count: after |params|
 * were set. cipher_inner_set sets them and sees to that; 1 or 0.
 * (cipher_params.c) */
void cipher_notice_set(struct cipher_inside *s, const OSSL_PARAM *params);
int cipher_inner_set(struct cipher_inside *s, const OSSL_PARAM *params);

/* cipher_settable_safely: may the inner cipher be given |params| to set, when
 * its nonce has |iv_len| bytes? 1, or 0 with an error. cipher_nonce_is_safe is
 * for a nonce of |len| bytes, or its length alone. (cipher_params.c) */
int cipher_settable_safely(struct mpkprov_frame *f,
                           const struct cipher_inside *s,
                           const struct params_in *params, size_t iv_len);
int cipher_nonce_is_safe(struct mpkprov_frame *f, const struct cipher_inside *s,
                         size_t len);

#endif
