/*
 * blinding.c - the blinding of RSA keys when memory runs out. Inside only.
 *
 * libcrypto changes the two factors of an RSA key's blinding with each use, and
 * makes new ones every 32 times. Where it gets no memory meanwhile they do not
 * undo each other any more, and nobody is told (BN_BLINDING_create_param): the
 * results are wrong, for all threads that have the key, until the next new
 * ones. So the calls of the inner OpenSSL's objects come here by the linker's
 * --wrap: what was blinded while a block was refused is an error, and the
 * factors are made anew when they are needed next. Who calls has the lock of
 * factors that threads share, so nobody comes between.
 */
#include "inside.h"

#include <openssl/bn.h>
#include <openssl/err.h>

/* Beside libcrypto's own flags, of which it has two. */
#define DAMAGED (1UL << 31)

_Static_assert(((BN_BLINDING_NO_UPDATE | BN_BLINDING_NO_RECREATE) & DAMAGED) ==
                   0,
               "a flag of our own");

int __real_BN_BLINDING_convert_ex(BIGNUM *n, BIGNUM *r, BN_BLINDING *b,
                                  BN_CTX *ctx);
int __wrap_BN_BLINDING_convert_ex(BIGNUM *n, BIGNUM *r, BN_BLINDING *b,
                                  BN_CTX *ctx);

/*
 * |queued| before, whether libcrypto has put another error into its queue: that
 * a random number was missing, when one of the factors may be new and the other
 * old, it says in no other way.
 */
static int queued_none(unsigned long queued)
{
    return ERR_peek_last_error() == queued;
}

int __wrap_BN_BLINDING_convert_ex(BIGNUM *n, BIGNUM *r, BN_BLINDING *b,
                                  BN_CTX *ctx)
{
    unsigned long flags = BN_BLINDING_get_flags(b),
                  queued = ERR_peek_last_error();
    uint64_t refused = mpk_heap_refused();
    int ok = (!(flags & DAMAGED) ||
              BN_BLINDING_create_param(b, NULL, NULL, ctx, NULL, NULL)) &&
             __real_BN_BLINDING_convert_ex(n, r, b, ctx) &&
             had_memory(refused) && queued_none(queued);

    BN_BLINDING_set_flags(b, ok ? flags & ~DAMAGED : flags | DAMAGED);
    return ok;
}
