/* cipher_ctx.h - an AEAD context outside: its state, and its functions. */
#ifndef MPKPROV_CIPHER_CTX_H
#define MPKPROV_CIPHER_CTX_H

#include "cipher.h"
#include "prov.h"

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
    int keyed;     /* the inner one has taken a key; if in doubt, no */
    int sealed;    /* which was a handle */
    int has_nonce; /* the inner one, or will have; if in doubt, no */
    size_t iv_len, tag_len;
    size_t key_iv_len; /* the nonce's length when the key came: CCM's stays */
    struct cipher_held held;
    int has_tls_aad; /* once: CCM never forgets that */
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
    return cipher_ctx_row(c)->mode == CIPHER_CCM ? c->tag_len : CIPHER_TAG_MAX;
}

/* Fills a frame with handle, slot and what is held; and going in with it. After
 * that nothing is held, and what is known of a tag is forgotten. */
void cipher_ctx_frame(struct cipher_ctx *c, struct mpkprov_frame *f);
int64_t cipher_ctx_enter(struct cipher_ctx *c, enum mpkprov_op op,
                         struct mpkprov_frame *f);
/* Takes the lengths that cipher_init and cipher_set tell. */
void cipher_ctx_hear_lengths(struct cipher_ctx *c,
                             const struct mpkprov_frame *f);

/* Whether |slot|'s cipher is known not to run on the caller's stack with |len|
 * bytes; the inside has said so. */
int cipher_goes_deep(int slot, size_t len);
void cipher_note_deep(int slot, size_t len);

/*
 * The update of a record that is whole with this data, in one crossing: as that
 * 1 or 0, or CIPHER_NOT_A_RECORD, and nothing is done. (cipher_ctx_record.c)
 */
#define CIPHER_NOT_A_RECORD (-1)
int cipher_ctx_record(struct cipher_ctx *c, unsigned char *out, size_t *outl,
                      size_t outsize, const unsigned char *in, size_t inl);

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
