/*
 * tls.h - what a provider of role "tls" offers libssl. Outside.
 *
 * libssl takes the secrets of a connection from one call and gives them to the
 * next: key exchange, then a KDF many times, then a cipher's key. These
 * algorithms are all three, and what passes between them is a handle
 * (secret.h), so that libssl works as ever and holds nothing.
 */
#ifndef MPKPROV_TLS_H
#define MPKPROV_TLS_H

#include "prov.h"

/*
 * The property of what default_properties is to prefer: "?mpk.use=yes". A name
 * without a dot would be rejected, and everything would run elsewhere.
 */
#define TLS_PROPERTIES "provider=mpk,mpk.use=yes"

/* tls_kdf.c: TLS13-KDF and TLS1-PRF; with quic = protect HKDF too. */
const OSSL_ALGORITHM *tls_kdfs(enum quic quic);
/* tls_group.c: the groups' keys under names of their own, exchange and KEM. */
extern const OSSL_ALGORITHM tls_keymgmts[], tls_exchanges[], tls_kems[];
OSSL_FUNC_provider_get_capabilities_fn tls_get_capabilities;
/* The same of a provider of role "keys", under their usual names. */
OSSL_FUNC_provider_get_capabilities_fn keys_get_capabilities;
/* tls_cipher.c: the AEADs of TLS. */
extern const OSSL_ALGORITHM tls_ciphers[];
/* tls_rand.c: the domain's random numbers. */
extern const OSSL_ALGORITHM tls_rands[];
/* OSSL_FUNC_provider_random_bytes_fn of OpenSSL 3.5. */
#ifndef OSSL_FUNC_PROVIDER_RANDOM_BYTES
#define OSSL_FUNC_PROVIDER_RANDOM_BYTES 1032
#endif
int tls_random_bytes(void *provctx, int which, void *buf, size_t n,
                     unsigned int strength);
/* tls_selfcheck.c: are session secrets protected in this configuration? Once,
 * when libssl asks for groups; 1, or 0 when connections must not be made. */
int tls_selfcheck(struct prov_ctx *ctx);
/* The same, of default properties that have changed since, for an SSL_CTX that
 * was there before: asked when a cipher gets a key in the clear. */
int tls_still_ours(struct prov_ctx *ctx);

/* tls_boot.c: makes what the tables above need inside; |why| says what is
 * wrong when it returns 0. Once in a process. */
int tls_boot(const struct tls_settings *s, char *why, size_t room);

/*
 * keylog.c: keylog_open opens |path|, if it is not empty; 1, or 0 with |why|.
 * keylog_say says loudly that it is on; keylog_close takes it back.
 * keylog_write adds a line made of |len| bytes, up to KEYLOG_ROOM (tls_kdf.h),
 * that a KDF has shown; nothing when |len| is 0.
 */
int keylog_open(const char *path, char *why, size_t room);
void keylog_say(const char *path);
void keylog_close(void);
int keylog_is_on(void);
void keylog_write(int tls13, const unsigned char *p, size_t len);

#endif
