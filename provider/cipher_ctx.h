/* cipher_ctx.h - an AEAD context outside: its state, and its functions. */
#ifndef MPKPROV_CIPHER_CTX_H
#define MPKPROV_CIPHER_CTX_H

#include "cipher.h"
#include "prov.h"

#include <string.h>

enum record {
    RECORD_NONE,
    RECORD_COMPLETE, /* encrypted or decrypted, libssl has not said final */
    RECORD_SPENT     /* and has: the next one needs a nonce */
};

struct cipher_ctx {
    struct prov_ctx *ctx;
    int slot;
    uint64_t handle; /* 0 as long as nothing had to go in */
    int encrypt;
    int keyed;             /* the inner one has taken a key; if in doubt, no */
    int sealed;            /* which was a handle */
    int has_nonce;         /* the inner one, or will have; if in doubt, no */
    enum cipher_mode mode; /* of |slot|'s row */
    int has_tls_aad;       /* once: CCM never forgets that */
    size_t iv_len, tag_len;
    size_t key_iv_len; /* the nonce's length when the key came: CCM's stays */
    struct cipher_held held;
    enum record record;
    int verdict; /* of a complete record */
    size_t made_tag_len;
    unsigned char made_tag[CIPHER_TAG_MAX];
    void *answers; /* what was asked for by reference */
};

static inline const struct cipher_row *
cipher_ctx_row(const struct cipher_ctx *c)
{
    return &mpkprov_ciphers[c->slot];
}

/* The tag's length, where the cipher lets it be chosen that of the last. */
static inline size_t cipher_ctx_tag_len(const struct cipher_ctx *c)
{
    return c->mode == CIPHER_CCM ? c->tag_len : CIPHER_TAG_MAX;
}

/* Fills a frame with handle, slot and what is held; and going in with it. After
 * that nothing is held that the inside has come to, and what is known of a tag
 * is forgotten. */
void cipher_ctx_frame(struct cipher_ctx *c, struct mpkprov_frame *f);
int64_t cipher_ctx_enter(struct cipher_ctx *c, enum mpkprov_op op,
                         struct mpkprov_frame *f);
/* Takes the lengths that cipher_init and cipher_set tell. */
void cipher_ctx_hear_lengths(struct cipher_ctx *c,
                             const struct mpkprov_frame *f);

/*
 * Whether |slot|'s cipher is known not to run on the caller's stack with |len|
 * bytes. prov.cipher_deep_from says from how many on, plus one, as far as the
 * inside has said: once for each is enough. 0: it has not yet.
 */
static inline int cipher_goes_deep(int slot, size_t len)
{
    size_t from =
        __atomic_load_n(&prov.cipher_deep_from[slot], __ATOMIC_RELAXED);

    return from != 0 && len >= from - 1;
}
void cipher_note_deep(int slot, size_t len);

/* An update with data at |in| and room at |out|, in one crossing, with what
 * follows it where that completes a record of TLS. (cipher_ctx_record.c) */
int cipher_ctx_data(struct cipher_ctx *c, unsigned char *out, size_t *outl,
                    size_t outsize, const unsigned char *in, size_t inl);
/* Any update, and no more than that. */
int cipher_ctx_step(struct cipher_ctx *c, unsigned char *out, size_t *outl,
                    size_t outsize, const unsigned char *in, size_t inl);

/* A copy of |len| bytes, which takes no call where it is |mostly|: of what
 * libssl has for each record. */
static inline __attribute__((always_inline)) void
cipher_ctx_copy(void *to, const void *from, size_t len, size_t mostly)
{
    if (len == mostly) {
        memcpy(to, from, mostly);
    } else {
        memcpy(to, from, len);
    }
}

/* A context of |slot|; nothing goes in before it has to. */
void *cipher_ctx_new(struct prov_ctx *ctx, int slot);

OSSL_FUNC_cipher_freectx_fn cipher_ctx_free;
OSSL_FUNC_cipher_dupctx_fn cipher_ctx_dup;
OSSL_FUNC_cipher_encrypt_init_fn cipher_ctx_einit;
OSSL_FUNC_cipher_decrypt_init_fn cipher_ctx_dinit;
OSSL_FUNC_cipher_update_fn cipher_ctx_update;
OSSL_FUNC_cipher_final_fn cipher_ctx_final;
OSSL_FUNC_cipher_cipher_fn cipher_ctx_cipher;
OSSL_FUNC_cipher_get_ctx_params_fn cipher_ctx_get;
OSSL_FUNC_cipher_set_ctx_params_fn cipher_ctx_set;

#endif
