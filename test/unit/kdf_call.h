/* kdf_call.h - requests to the inside of the KDFs, without a domain. */
#ifndef MPK_TEST_KDF_CALL_H
#define MPK_TEST_KDF_CALL_H

#include "fake_inside.h"
#include "tls_kdf.h"

#define PIECE(p, n) ((struct kdf_piece){(const unsigned char *)(p), (n)})
#define WORD(s) PIECE(s, sizeof(s) - 1)

/* kdf_start is what each of these programs begins with. */
void kdf_start(void);

/* ours derives; |last| is the frame of the last derivation. */
extern struct mpkprov_frame last;
int ours(const struct kdf_request *r, int strict, void *out, size_t len);

/* stock has the default provider derive the same. */
void stock(const struct kdf_request *r, void *out, size_t len);

/* For TLS 1.2: a client's and a server's, and a request of two seeds. */
extern unsigned char randoms[64];
struct kdf_request request12(enum prf_digest d, struct kdf_piece label,
                             struct kdf_piece rest, struct kdf_piece key);

/* set_flags is what the configuration does. */
void set_flags(int flags);

#endif
