/*
 * cipher.h - the AEADs of TLS: their list, and what the two sides of a context
 * say to each other.
 *
 * The context outside (cipher_ctx.c) holds nothing secret: it keeps the public
 * inputs of a message (nonce, header, tag) back until there is data, and hands
 * them in together with it. The context inside (cipher_stub.c) is the inner
 * OpenSSL's own, with the key. See docs/design/records.md.
 */
#ifndef MPKPROV_CIPHER_H
#define MPKPROV_CIPHER_H

#include "ops.h"

#include <openssl/opensslconf.h>

#include <stddef.h>
#include <stdint.h>

enum cipher_mode { CIPHER_GCM, CIPHER_CCM, CIPHER_CHACHA };

/*
 * Every AEAD suite of TLS has its cipher here: a KDF cannot know which of those
 * with the same key length a key is for, so one that stayed elsewhere would be
 * given a handle. X(slot, names, mode, key_len); names as the default provider
 * has them.
 */
#ifdef OPENSSL_NO_ARIA
#define CIPHERS_ARIA(X)
#else
#define CIPHERS_ARIA(X)                                                        \
    X(aria_128_gcm, "ARIA-128-GCM:1.2.410.200046.1.1.34", CIPHER_GCM, 16)      \
    X(aria_256_gcm, "ARIA-256-GCM:1.2.410.200046.1.1.36", CIPHER_GCM, 32)
#endif
#if defined(OPENSSL_NO_CHACHA) || defined(OPENSSL_NO_POLY1305)
#define CIPHERS_CHACHA(X)
#else
#define CIPHERS_CHACHA(X)                                                      \
    X(chacha20_poly1305, "ChaCha20-Poly1305", CIPHER_CHACHA, 32)
#endif
#define CIPHERS(X)                                                             \
    X(aes_256_gcm, "AES-256-GCM:id-aes256-GCM:2.16.840.1.101.3.4.1.46",        \
      CIPHER_GCM, 32)                                                          \
    X(aes_128_gcm, "AES-128-GCM:id-aes128-GCM:2.16.840.1.101.3.4.1.6",         \
      CIPHER_GCM, 16)                                                          \
    X(aes_256_ccm, "AES-256-CCM:id-aes256-CCM:2.16.840.1.101.3.4.1.47",        \
      CIPHER_CCM, 32)                                                          \
    X(aes_128_ccm, "AES-128-CCM:id-aes128-CCM:2.16.840.1.101.3.4.1.7",         \
      CIPHER_CCM, 16)                                                          \
    CIPHERS_ARIA(X)                                                            \
    CIPHERS_CHACHA(X)

enum cipher_slot {
#define X(slot, names, mode, key_len) CIPHER_##slot,
    CIPHERS(X)
#undef X
        CIPHER_SLOTS
};

/* What cipher_info is asked for: an algorithm's constants, the parameters that
 * it answers, and those that a context answers and takes. */
enum { CIPHER_INFO, CIPHER_INFO_GET, CIPHER_CTX_GET, CIPHER_CTX_SET };

struct cipher_row {
    const char *names; /* the first one finds it in the inner provider */
    enum cipher_mode mode;
    size_t key_len;
};

/*
 * Whether the code for |mode| has on its stack what others could forge a
 * message with, so that it runs on a stack inside. With the header of a record
 * of TLS 1.2 ChaCha20-Poly1305's keeps the one-time key there. And before they
 * compare, CCM's and ChaCha20-Poly1305's have the tag that a message should
 * have there: whoever reads that sends the message again, with its tag.
 */
static inline int cipher_shows(enum cipher_mode mode, int encrypt,
                               int has_tls12_header)
{
    return (mode == CIPHER_CHACHA && has_tls12_header) ||
           (mode != CIPHER_GCM && !encrypt);
}

/* Read-only, for both sides (cipher_stub.c). */
extern const struct cipher_row mpkprov_ciphers[CIPHER_SLOTS];

/* ---- a message's public inputs ------------------------------------------ */

/* What is held back, in the order in which the inside takes it. */
enum {
    /* Before there is a key, as libssl sets a context up. */
    HELD_DIRECTION = 1, /* an init without key and nonce */
    HELD_IV_LEN = 2,
    HELD_TAG_LEN = 4,  /* CCM */
    HELD_FIXED_IV = 8, /* the first bytes of every nonce; GCM: with a key */
    /* With a key. */
    HELD_IV = 16, /* an init with a nonce and no key */
    HELD_TAG = 32,
    HELD_LENGTH = 64, /* CCM: how long the message will be */
    HELD_AAD = 128,
    HELD_TLS_AAD = 256 /* a record of TLS 1.2 */
};

/* What may be held for a cipher. */
#define HELD_OF_ALL                                                            \
    (HELD_DIRECTION | HELD_IV_LEN | HELD_IV | HELD_TAG | HELD_AAD |            \
     HELD_TLS_AAD)
#define HELD_OF_GCM (HELD_OF_ALL | HELD_FIXED_IV)
#define HELD_OF_CCM (HELD_OF_ALL | HELD_TAG_LEN | HELD_FIXED_IV | HELD_LENGTH)

#define CIPHER_IV_LEN 12 /* only nonces of this length are held back */
#define CIPHER_TAG_MAX 16
#define CIPHER_AAD_MAX 48 /* longer headers go in by themselves */
#define CIPHER_TLS_AAD_LEN 13
#define CIPHER_TLS13_AAD_LEN 5
/* Whether |aad| is the header of a record of TLS 1.3 of |len| bytes, text and
 * tag (RFC 8446 5.2). */
static inline int cipher_is_header13(const unsigned char *aad, size_t len)
{
    return aad[0] == 23 && aad[1] == 3 && aad[2] == 3 &&
           ((size_t)aad[3] << 8 | aad[4]) == len;
}
#define CIPHER_FIXED_IV_LEN 4

struct cipher_held {
    uint32_t what; /* of HELD_* */
    uint32_t encrypt;
    uint32_t tag_len; /* also of HELD_TAG_LEN */
    uint32_t aad_len; /* also of HELD_TLS_AAD */
    uint64_t message_len;
    unsigned char iv[CIPHER_IV_LEN];
    unsigned char fixed_iv[CIPHER_FIXED_IV_LEN];
    unsigned char tag[CIPHER_TAG_MAX];
    unsigned char aad[CIPHER_AAD_MAX];
};

/* What cipher_run and cipher_draw do with data. */
enum {
    RUN_NOTHING, /* only what is held */
    RUN_UPDATE,
    RUN_FINAL,
    RUN_CIPHER /* EVP_Cipher */
};

/*
 * The frame of cipher_record and cipher_record_deep: a record of libssl's, as
 * one update makes it; in TLS 1.3 with final and tag. All of it is public.
 */
struct cipher_record {
    uint64_t handle;
    const void *in;
    void *out;
    size_t len;                        /* of both */
    size_t out_len;                    /* set */
    unsigned char tag[CIPHER_TAG_MAX]; /* TLS 1.3: the expected one, or set */
    uint32_t tag_len;
    unsigned char iv[CIPHER_IV_LEN];       /* TLS 1.3 */
    unsigned char aad[CIPHER_TLS_AAD_LEN]; /* TLS 1.3: the first 5 */
    uint8_t is_tls12, encrypt;
    uint8_t done, verdict; /* set: update has worked; so has final */
    uint8_t raised;        /* set: it has not, and has said so */
};
/*
 * The same of a record. A connection of TLS 1.2 ends by a wrong tag; one of
 * DTLS goes on (RFC 6347 4.1), and so does a server of TLS 1.3 that passes over
 * early data: whatever does not decipher is that, and what comes next is tried
 * with the same nonce (RFC 8446 4.2.10).
 */
static inline int cipher_shows_record(enum cipher_mode mode, int encrypt,
                                      const struct cipher_record *r)
{
    int ends = r->is_tls12 && r->aad[9] != 0xfe;

    return cipher_shows(mode, encrypt || ends, r->is_tls12);
}

/* It is copied twice: in steps of 64 and of 32 bytes. */
_Static_assert(sizeof(struct cipher_record) == 96, "a record is short");

/*
 * What an entry on the caller's stack returns, and has done nothing: a random
 * number has to be drawn first; or this cipher never runs on that stack, since
 * its code keeps the key there (cipher_registers.c).
 */
#define CIPHER_DRAW 2
#define CIPHER_DEEP 3

#endif
