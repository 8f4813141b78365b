/*
 * secret.h - what libssl holds in place of the secrets of a connection.
 * Inside only.
 *
 * A secret that leaves the domain is enciphered under a key of the domain, with
 * a wide-block cipher that keeps its length and takes the secret's type as
 * tweak: a handle. Nothing is remembered for one, because libssl never says
 * that it has dropped a secret, and because handles travel to other processes
 * in tickets and shared caches. A handle that is changed, or given as another
 * type, opens to noise. See docs/design/secrets.md.
 */
#ifndef MPKPROV_SECRET_H
#define MPKPROV_SECRET_H

#include "inside.h"

/*
 * Types of secrets, after what may be done with them (RFC 8446 7.1, RFC 5246
 * 8.1). The numbers are part of every handle: never change one, since tickets
 * outlive a process where there is a handle-key-file.
 */
enum secret_type {
    SECRET_STAGE = 1,   /* early, handshake, master secret of TLS 1.3 */
    SECRET_TRAFFIC = 2, /* traffic secrets and binder keys */
    SECRET_EXPORT = 3,  /* exporter master secrets */
    SECRET_EXPORT2 = 4, /* what one of these gives for a label */
    SECRET_RESUME = 5,  /* resumption master secret */
    SECRET_PSK = 6,     /* of a session */
    SECRET_KEY = 7,     /* key of a cipher */
    SECRET_MASTER = 8,  /* master secret of TLS 1.2 */
    SECRET_PREMASTER = 9,
    SECRET_RSA = 10 /* pre-master secret of RSA key transport */
};

#define SECRET_MIN 16
/* Of what is sealed most: up to here tweaks are made beforehand. */
#define SECRET_READY 64

/* Whether tls_boot has run: there is a provider with role "tls" in the process.
 */
int secrets_on(void);

/*
 * secret_boot makes the domain's handle key: random, or from the file |path|,
 * a string inside (see mpkctl handle-key). Once, before any other function
 * here. Returns 1, or 0 with an error in |f|.
 */
int secret_boot(struct mpkprov_frame *f, const char *path);

/* Each file's part of the start, once; called by tls_boot. cipher_boot can fail
 * as secret_boot can; a group that cannot be had is not offered. */
void kdf_boot(const struct mpkprov_frame *f);
void group_boot(void);
int cipher_boot(struct mpkprov_frame *f);

/*
 * kdf_follow makes derivations that go along with another call, each
 * by the rules of one of its own: f->in2_len struct kdf_next at f->in2, of
 * |digest|. Sets f->handle2 to how many were made. Uses f->out.
 */
void kdf_follow(struct mpkprov_frame *f, int32_t digest);

/* Turns a secret of |len| bytes, SECRET_MIN or more, into its handle, in place;
 * and a handle into the secret. Thread safe. */
void secret_seal(enum secret_type type, unsigned char *p, size_t len);
void secret_open(enum secret_type type, unsigned char *p, size_t len);

/*
 * Pre-master secrets: libssl takes their length from us, so their handles are
 * longer and know themselves. premaster_seal writes |len| + PREMASTER_MORE
 * bytes to |out|, which may be |pms|; |len| is up to PREMASTER_MAX.
 * premaster_open returns 1 and the secret in |out| (which may be |in|) and
 * |*out_len|, or 0 when |in| is no such handle; |out| is wiped then. What
 * premaster_seal_tls12 has sealed is for TLS 1.2 and before: of that,
 * premaster_open returns PREMASTER_TLS12.
 */
#define PREMASTER_TLS12 2
#define PREMASTER_MORE 16
#define PREMASTER_MAX 1088
void premaster_seal(unsigned char *out, const unsigned char *pms, size_t len);
void premaster_seal_tls12(unsigned char *out, const unsigned char *pms,
                          size_t len);
int premaster_open(unsigned char *out, size_t *out_len, const unsigned char *in,
                   size_t len);

/*
 * The one of RSA key transport has to be 48 bytes, of which the first two are
 * a protocol version: in a handle these two say what it is. |version| is the
 * one that the client has named, which they have to be, or 0 if they may be
 * another one (SSL_OP_TLS_ROLLBACK_BUG).
 */
#define RSA_PREMASTER 48
/*
 * rsa_premaster_unpad takes it out of the |len| bytes at |padded|, at least
 * RSA_PREMASTER_LEAST, that RSA gives (RFC 8017 7.2.2), if it has one of these
 * versions (|other| may be 0); else |p| is what nobody knows, and always the
 * same for the same bytes and versions. Nobody sees by its time which.
 */
#define RSA_PREMASTER_LEAST (RSA_PREMASTER + 11)
void rsa_premaster_unpad(unsigned char p[RSA_PREMASTER],
                         const unsigned char *padded, size_t len,
                         unsigned version, unsigned other);
void rsa_premaster_seal(unsigned char p[RSA_PREMASTER], unsigned version);
int rsa_premaster_open(unsigned char p[RSA_PREMASTER]);
/* Whether |p| may be one in the clear, as a client makes it itself. */
int rsa_premaster_is_raw(const unsigned char p[RSA_PREMASTER]);

/*
 * Cipher keys: a cipher cannot tell a handle from a key that an application
 * chose, so the handles that the KDFs have given out are kept, a bounded
 * number of them, until a cipher takes one, once. key_take returns what it is
 * for and the key in place of the handle at |p|; KEY_RAW with |p| untouched if
 * that is no handle, but a key as it is; KEY_GONE if it is a handle that was
 * taken or has given way. It can run on the caller's stack. key_give turns the
 * key at |p|, which is for |use|, into its handle and remembers it; not what
 * |call| has given before, and no handle more than twice at a time. It returns
 * 0 when there is no memory: nobody could use that handle.
 */
enum key_use {
    KEY_GONE = -1,
    KEY_RAW,
    KEY_OF_QUIC,
    KEY_OF_TLS13,
    KEY_OF_TLS12
};
#define KEY_LONGEST 32
struct keys_given;
int key_give(struct keys_given *call, unsigned char *p, size_t len,
             enum key_use use);
enum key_use key_take(unsigned char *p, size_t len);

/* What the handles of cipher keys begin with: as good as random, and the same
 * for all of a handle key. No secret. */
#define KEY_MARK 8
uint64_t key_mark(void);

#endif
