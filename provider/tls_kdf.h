/*
 * tls_kdf.h - what the two sides of the KDFs of TLS say to each other, and the
 * files inside to one another.
 */
#ifndef MPKPROV_TLS_KDF_H
#define MPKPROV_TLS_KDF_H

#include "prf.h"

#include <openssl/core.h>

#include <stdint.h>

enum kdf_which { KDF_TLS13, KDF_TLS1 };
enum kdf_mode { KDF_NO_MODE, KDF_EXTRACT, KDF_EXPAND };

/* Memory outside; |p| is NULL for a parameter that is not there. */
struct kdf_piece {
    const unsigned char *p;
    size_t len;
};

#define KDF_SEEDS 8 /* libssl has five */

/* All of a derivation's parameters. The proxy collects them, so that the inside
 * has one struct of known size to copy and need not walk a list. */
struct kdf_request {
    int32_t which;  /* enum kdf_which */
    int32_t mode;   /* enum kdf_mode */
    int32_t digest; /* enum prf_digest */
    int32_t n_seeds;
    struct kdf_piece key; /* or the PRF's secret */
    struct kdf_piece salt, prefix, label, data;
    struct kdf_piece seed[KDF_SEEDS];
};

/*
 * A derivation that goes in with another call, and may be of what that one or
 * an earlier one of the list has put at its |out|. Each is what it would be in
 * a call of its own. With KDF_NO_MODE it is one of TLS 1.2, whose seed is
 * |label| and |data|.
 */
struct kdf_next {
    int32_t mode;
    struct kdf_piece key, salt, label, data;
    unsigned char *out;
    size_t out_len;
};

#define KDF_NEXT_MAX 8

/* Longest output. */
#define KDF_OUT_MAX (1 << 16)

/* Most that a KDF shows for the key log. */
#define KEYLOG_ROOM 96

/* What of the settings the inside has to know, told at start. */
enum kdf_flags {
    KDF_REVEAL = 1,
    KDF_NO_CBC = 2,
    KDF_LEAVE_X448 = 4,
    KDF_NO_RAW = 8
};

/* What a derivation says of its pre-master secret. */
enum kdf_raw {
    KDF_RAW_NONE,
    KDF_RAW_LEFT, /* in the clear, of a group that is left to others */
    KDF_RAW       /* in the clear */
};

/* ---- outside ------------------------------------------------------------- */

struct prov_ctx;

/* tls_kdf.c: set |r|'s mode, and its digest, to what |p| says; -1 for others.
 */
void kdf_take_mode(struct kdf_request *r, const OSSL_PARAM *p);
void kdf_take_digest(struct kdf_request *r, const OSSL_PARAM *p);
/* One derivation; 1, or 0 with an error raised. */
int kdf_request_derive(const struct prov_ctx *ctx, const struct kdf_request *r,
                       unsigned char *out, size_t len);

/* tls_hkdf.c */
extern const OSSL_DISPATCH hkdf_functions[];

/* ---- inside ------------------------------------------------------------- */

#define X448_SECRET 56 /* no other group's secret is as long */

/* Longer secrets than any that TLS has: 8192-bit DHE within a PSK. */
#define KDF_KEY_MAX 2048
#define KDF_SMALL_OUT 512

/* The secret that was expanded last, hashed in: the next derivation of a call
 * is often of the same one. */
struct kdf_expanding {
    int type; /* of the handle; 0: there is none */
    enum prf_digest digest;
    unsigned char handle[PRF_SIZE_MAX];
    struct prf_hmac hmac;
};

/* The handles of keys that the derivations of one call have given out, two for
 * each of TLS 1.2; n = 0 is how it begins. */
#define KEYS_PER_CALL (2 * (KDF_NEXT_MAX + 1))
struct keys_given {
    uint32_t n;
    uint8_t len[KEYS_PER_CALL];
    unsigned char handle[KEYS_PER_CALL][32];
};

/*
 * What a derivation works on: copies, whose lengths have been checked. |key|
 * and |out| are wiped when it is over.
 */
struct kdf_work {
    enum prf_digest digest;
    int strict;     /* tls-secrets = require */
    int no_cbc;     /* tls12-cbc = refuse */
    int no_raw;     /* tls12-premaster = refuse */
    int leave_x448; /* x448 = leave */
    unsigned char key[KDF_KEY_MAX];
    size_t key_len;
    int has_key;
    unsigned char *out; /* made there */
    size_t out_len;
    enum kdf_raw raw_premaster; /* set when that is what |key| was */
    /* keylog = reveal-for-debugging, see keylog.c: */
    int reveal;
    unsigned char revealed[KEYLOG_ROOM];
    size_t revealed_len;
    struct kdf_expanding last; /* wiped when all of a call's are over */
    struct keys_given given;   /* by all of a call's */
};

struct mpkprov_frame;

/* What is wrong when a secret comes from a key exchange that is not ours. */
#define KDF_RAW_PREMASTER                                                      \
    "a key exchange ran in another provider: list the section with role = "    \
    "tls first in openssl.cnf, named to sort before 'default' (MPK); or take " \
    "the group out of the program's list; or set tls-secrets = warn"

/* Hashes in what every connection without a PSK begins with. */
void kdf_tls13_boot(void);

/* kdf_tls13.c and kdf_tls1.c: the rules. 1, or 0 with an error in |f|. */
int kdf_tls13_derive(struct mpkprov_frame *f, struct kdf_work *w,
                     const struct kdf_request *r);
int kdf_tls1_derive(struct mpkprov_frame *f, struct kdf_work *w,
                    const struct kdf_request *r);

/* A pre-master secret that is no handle: 1, or 0 with an error in |f|. */
int kdf_take_raw(struct mpkprov_frame *f, struct kdf_work *w, size_t len);

/* Copies |piece|, of at most |room| bytes; 1, or 0 with an error in |f|. */
int kdf_enter(struct mpkprov_frame *f, unsigned char *out, size_t room,
              const struct kdf_piece *piece);

#endif
