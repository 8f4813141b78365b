/*
 * kdf_tls1.c - inside: the four uses that TLS 1.2 and its predecessors make of
 * their PRF (RFC 5246 8.1, 6.3, 7.4.9; RFC 7627; RFC 5705), each known by the
 * label with which the seed starts.
 *
 * The seed comes in pieces, of which libssl has five. The label is looked for
 * in all of them together: "k" and "ey expansion" give the same bytes as
 * "key expansion", so they must be treated the same.
 */
#include "nonce.h"
#include "secret.h"
#include "tls_kdf.h"

#include <openssl/crypto.h>

#include <string.h>

#define MASTER 48
#define RANDOMS 64
#define SEED_SMALL 512
#define SEED_MAX (1 << 17) /* an exporter's context has up to 65535 bytes */

/* The concatenation; |p| is |small| or a block. */
struct seed {
    unsigned char *p;
    size_t len;
    unsigned char small[SEED_SMALL];
};

static int refuse(struct mpkprov_frame *f)
{
    return fail(f, MPKPROV_R_PARAMETER,
                "TLS1-PRF: not a derivation of TLS; for others fetch it with "
                "provider=default");
}

/* ---- the seed ------------------------------------------------------------ */

static void seed_release(struct seed *s)
{
    if (s->p != s->small) {
        mpk_heap_free(s->p);
    }
}

static int seed_enter(struct mpkprov_frame *f, struct seed *s,
                      const struct kdf_request *r)
{
    size_t total = 0, at = 0;

    for (int i = 0; i < r->n_seeds; i++) {
        if (r->seed[i].len > SEED_MAX) {
            return refuse(f);
        }
        total += r->seed[i].len;
    }
    s->len = total;
    s->p = total <= sizeof(s->small) ? s->small : mpk_heap_alloc(total);
    if (s->p == NULL) {
        return fail(f, MPKPROV_R_MEMORY, NULL);
    }
    for (int i = 0; i < r->n_seeds; i++) {
        if (!kdf_enter(f, s->p + at, total - at, &r->seed[i])) {
            seed_release(s);
            return 0;
        }
        at += r->seed[i].len;
    }
    return 1;
}

/* Whether the seed starts with |label|, and how much follows. */
static int starts_with(const struct seed *s, const char *label, size_t *rest)
{
    size_t n = strlen(label);

    if (s->len < n || memcmp(s->p, label, n) != 0) {
        return 0;
    }
    *rest = s->len - n;
    return 1;
}

static void run(struct kdf_work *w, const struct seed *s)
{
    tls1_prf(w->digest, w->out, w->out_len, w->key, w->key_len, s->p, s->len);
}

/* ---- the master secret --------------------------------------------------- */

/* Less than what any Diffie-Hellman over numbers gives that is still allowed,
 * with its leading zeros cut; more than any elliptic curve. */
#define CURVES_MAX 95

/* Before TLS 1.3, numbers have no leading zeros (RFC 5246 8.1.2), of which the
 * exchange of a group knows nothing. */
static void cut_zeros(unsigned char *secret, size_t *len)
{
    size_t zeros = 0;

    while (*len > CURVES_MAX && zeros < *len && secret[zeros] == 0) {
        zeros++;
    }
    memmove(secret, secret + zeros, *len - zeros);
    *len -= zeros;
}

/* A handle among other bytes: the room it takes, and what comes in its place.
 */
static int open_at(struct kdf_work *w, size_t at, size_t len, size_t *opened)
{
    unsigned char secret[PREMASTER_MAX + PREMASTER_MORE];

    if (premaster_open(secret, opened, w->key + at, len)) {
        cut_zeros(secret, opened);
        memcpy(w->key + at, secret, *opened);
        OPENSSL_cleanse(secret, len);
        return 1;
    }
    *opened = len;
    return len == RSA_PREMASTER && rsa_premaster_open(w->key + at);
}

/* Two strings of any length, each after its two bytes of length: what a cipher
 * suite with a pre-shared key has (RFC 4279 2). The length of the first, or 0.
 */
static size_t composite(const struct kdf_work *w)
{
    size_t first, second;

    if (w->key_len < 4) {
        return 0;
    }
    first = (size_t)w->key[0] << 8 | w->key[1];
    if (first > w->key_len - 4) {
        return 0;
    }
    second = (size_t)w->key[2 + first] << 8 | w->key[3 + first];
    return first + second + 4 == w->key_len ? first : 0;
}

static int is_zeros(const unsigned char *p, size_t len)
{
    unsigned char any = 0;

    while (len-- > 0) {
        any |= *p++;
    }
    return any == 0;
}

/*
 * |p| is no handle. What may be in the clear: Diffie-Hellman over numbers,
 * whose keys libssl makes under their public name; the secret that a client
 * makes itself for RSA. What is as short as the secrets of curves is one, from
 * a group that should have been ours.
 */
static int take_raw(struct mpkprov_frame *f, struct kdf_work *w,
                    const unsigned char *p, size_t len)
{
    if (w->no_raw) {
        return fail(f, MPKPROV_R_UNPROTECTED,
                    "TLS 1.2: a pre-master secret that is in the clear "
                    "(tls12-premaster = refuse)");
    }
    return len > CURVES_MAX ||
           (len == RSA_PREMASTER && rsa_premaster_is_raw(p)) ||
           kdf_take_raw(f, w, len);
}

/* libssl has put a handle between the lengths: put the secret there. With a
 * pre-shared key alone there are zeros. */
static int open_composite(struct mpkprov_frame *f, struct kdf_work *w,
                          size_t first)
{
    size_t opened, after = 2 + first;

    if (!open_at(w, 2, first, &opened)) {
        return (!w->no_raw && is_zeros(w->key + 2, first)) ||
               take_raw(f, w, w->key + 2, first);
    }
    memmove(w->key + 2 + opened, w->key + after, w->key_len - after);
    w->key_len -= first - opened;
    w->key[0] = (unsigned char)(opened >> 8);
    w->key[1] = (unsigned char)opened;
    return 1;
}

static int open_premaster(struct mpkprov_frame *f, struct kdf_work *w)
{
    size_t opened, first;

    if (open_at(w, 0, w->key_len, &opened)) {
        w->key_len = opened;
        return 1;
    }
    first = composite(w);
    return first != 0 ? open_composite(f, w, first)
                      : take_raw(f, w, w->key, w->key_len);
}

static int master_secret(struct mpkprov_frame *f, struct kdf_work *w,
                         const struct seed *s, size_t rest, size_t wanted)
{
    if (rest != wanted || w->out_len != MASTER) {
        return refuse(f);
    }
    if (!open_premaster(f, w)) {
        return 0;
    }
    run(w, s);
    secret_seal(SECRET_MASTER, w->out, MASTER);
    return 1;
}

/* ---- what comes of the master secret ------------------------------------- */

/*
 * The key block, by its length, since nothing else tells the cipher suite.
 * AEADs: two keys and two IVs. In the clear: CBC, whose two keys for MACs go
 * to where HMAC is computed, as do suites that encrypt nothing. One of these,
 * NULL-SHA, has the length of AES-128-GCM in TLS 1.2: it does not work there.
 */
static const struct block {
    uint8_t digest;
    uint16_t len, key; /* 0: in the clear */
} blocks[] = {
    {PRF_SHA256, 40, 16}, /* AES-128 and ARIA-128 in GCM, CCM, CCM8 */
    {PRF_SHA256, 72, 32}, /* AES-256 in CCM, CCM8 */
    {PRF_SHA256, 88, 32}, /* ChaCha20-Poly1305 */
    {PRF_SHA384, 72, 32}, /* AES-256 and ARIA-256 in GCM */
    {PRF_SHA256, 104, 0}, /* AES-128-SHA, Camellia, 3DES, SEED */
    {PRF_SHA256, 128, 0}, /* AES-128-SHA256, Camellia */
    {PRF_SHA256, 136, 0}, /* AES-256-SHA, Camellia */
    {PRF_SHA256, 160, 0}, /* AES-256-SHA256, Camellia */
    {PRF_SHA384, 192, 0}, /* AES-256-SHA384, Camellia */
    {PRF_SHA256, 32, 0},  /* NULL-MD5 */
    {PRF_SHA256, 64, 0},  /* NULL-SHA256 */
    {PRF_SHA384, 96, 0},  /* NULL-SHA384 */
    /* TLS 1.1 and 1.0: the same, and PSK suites with hashes of 1.2. */
    {PRF_MD5_SHA1, 104, 0},
    {PRF_MD5_SHA1, 128, 0},
    {PRF_MD5_SHA1, 136, 0},
    {PRF_MD5_SHA1, 192, 0},
    {PRF_MD5_SHA1, 32, 0}, /* NULL-MD5 */
    {PRF_MD5_SHA1, 40, 0}, /* NULL-SHA */
    {PRF_MD5_SHA1, 64, 0}, /* NULL-SHA256, with PSK */
    {PRF_MD5_SHA1, 96, 0}, /* NULL-SHA384, with PSK */
};

static const struct block *block_of(const struct kdf_work *w)
{
    for (size_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++) {
        if (blocks[i].digest == w->digest && blocks[i].len == w->out_len) {
            return &blocks[i];
        }
    }
    return NULL;
}

/* For a key log: the client's random, which comes second, and the master. */
static void reveal(struct kdf_work *w, const struct seed *s)
{
    memcpy(w->revealed, s->p + s->len - RANDOMS / 2, RANDOMS / 2);
    memcpy(w->revealed + RANDOMS / 2, w->key, MASTER);
    w->revealed_len = RANDOMS / 2 + MASTER;
}

static int key_block(struct mpkprov_frame *f, struct kdf_work *w,
                     const struct seed *s, size_t rest)
{
    const struct block *block = block_of(w);

    if (rest != RANDOMS || block == NULL) {
        return refuse(f);
    }
    if (block->key == 0 && w->no_cbc) {
        return fail(f, MPKPROV_R_UNPROTECTED,
                    "a CBC or NULL cipher suite, whose keys would not be "
                    "protected "
                    "(tls12-cbc = refuse)");
    }
    secret_open(SECRET_MASTER, w->key, MASTER);
    run(w, s);
    if (block->key != 0) {
        if (!key_give(&w->given, w->out, block->key, KEY_OF_TLS12) ||
            !key_give(&w->given, w->out + block->key, block->key,
                      KEY_OF_TLS12)) {
            return fail(f, MPKPROV_R_MEMORY, OUT_OF_MEMORY);
        }
        /* If it cannot, the cipher tries again. */
        nonce_fill();
    }
    if (w->reveal) {
        reveal(w, s);
    }
    return 1;
}

static int in_the_clear(struct kdf_work *w, const struct seed *s)
{
    secret_open(SECRET_MASTER, w->key, MASTER);
    run(w, s);
    return 1;
}

/*
 * OpenVPN makes the keys of its data channel by the PRF of TLS 1.0, with labels
 * of its own, of secrets that it has itself, by an interface that names no
 * provider. What is answered is made of what was given, so nothing is opened.
 */
static int is_openvpn(const struct kdf_work *w, const struct seed *s)
{
    size_t rest;

    return w->digest == PRF_MD5_SHA1 && w->key_len == MASTER &&
           (starts_with(s, "OpenVPN master secret", &rest) ||
            starts_with(s, "OpenVPN key expansion", &rest));
}

static int derive(struct mpkprov_frame *f, struct kdf_work *w,
                  const struct seed *s)
{
    size_t rest;

    if (starts_with(s, "master secret", &rest)) {
        return master_secret(f, w, s, rest, RANDOMS);
    }
    if (starts_with(s, "extended master secret", &rest)) {
        return master_secret(f, w, s, rest, prf_size(w->digest));
    }
    if (is_openvpn(w, s)) {
        run(w, s);
        return 1;
    }
    /* The rest starts from a master secret. */
    if (w->key_len != MASTER) {
        return refuse(f);
    }
    if (starts_with(s, "key expansion", &rest)) {
        return key_block(f, w, s, rest);
    }
    if (starts_with(s, "client finished", &rest) ||
        starts_with(s, "server finished", &rest)) {
        return rest == prf_size(w->digest) && w->out_len == 12
                   ? in_the_clear(w, s)
                   : refuse(f);
    }
    /* An exporter: a label of the application's, and both randoms. */
    return s->len > RANDOMS ? in_the_clear(w, s) : refuse(f);
}

int kdf_tls1_derive(struct mpkprov_frame *f, struct kdf_work *w,
                    const struct kdf_request *r)
{
    struct seed s;
    int ok;

    if (r->n_seeds < 0 || r->n_seeds > KDF_SEEDS || !w->has_key ||
        r->mode != KDF_NO_MODE) {
        return refuse(f);
    }
    if (!seed_enter(f, &s, r)) {
        return 0;
    }
    ok = derive(f, w, &s);
    seed_release(&s);
    return ok;
}
