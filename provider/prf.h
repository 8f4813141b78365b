/*
 * prf.h - the key derivation of TLS: HKDF with its labels (RFC 5869, RFC 8446
 * 7.1), and the PRF of earlier versions (RFC 5246 5, RFC 4346 5).
 *
 * Put together from libcrypto's hash functions rather than taken from its
 * KDFs, which build an HMAC with some ten allocations for each of the twenty
 * derivations of a handshake. Nothing is allocated here, and what is secret
 * is wiped. Knows nothing of the domain or of handles.
 */
#ifndef MPKPROV_PRF_H
#define MPKPROV_PRF_H

#include <openssl/md5.h>
#include <openssl/sha.h>

#include <stddef.h>

enum prf_digest { PRF_SHA256, PRF_SHA384, PRF_MD5_SHA1, PRF_DIGESTS };

#define PRF_SIZE_MAX 48

/* 32, 48; 36 for MD5 and SHA-1 one after the other, as TLS 1.1 signs them. */
size_t prf_size(enum prf_digest d);

/*
 * HKDF for SHA256 and SHA384, in two steps: half of a derivation's work is to
 * hash the secret or salt in, and often more than one thing is made of it.
 * hkdf_key does that; |secret| has prf_size(d) bytes, and |k| is as secret. The
 * caller wipes it.
 */
union prf_hash {
    MD5_CTX md5;
    SHA_CTX sha1;
    SHA256_CTX sha256;
    SHA512_CTX sha512;
};
struct prf_hmac {
    const struct prf_md *md;
    union prf_hash inner, outer, run;
};
void hkdf_key(struct prf_hmac *k, enum prf_digest d,
              const unsigned char *secret);
/* HKDF-Extract, |k| being the salt. |out| has the hash's size. */
void hkdf_extract(struct prf_hmac *k, unsigned char *out,
                  const unsigned char *ikm, size_t ikm_len);
/* HKDF-Expand-Label. 1, or 0 when a length cannot be written in the label's
 * structure. */
struct hkdf_label {
    const unsigned char *prefix, *label, *context;
    size_t prefix_len, label_len, context_len;
};
int hkdf_expand_label(struct prf_hmac *k, unsigned char *out, size_t out_len,
                      const struct hkdf_label *l);

/* The hash of |len| bytes, for SHA256 and SHA384; and the hash of nothing. */
void prf_hash(enum prf_digest d, unsigned char *out, const void *p, size_t len);
extern const unsigned char prf_empty[2][PRF_SIZE_MAX];

/* The PRF with a seed that has its label in front. */
void tls1_prf(enum prf_digest d, unsigned char *out, size_t out_len,
              const unsigned char *secret, size_t secret_len,
              const unsigned char *seed, size_t seed_len);

#endif
