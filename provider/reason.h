/* reason.h - reasons of the provider's entries in the error queue. */
#ifndef MPKPROV_REASON_H
#define MPKPROV_REASON_H

/* 100 is EVP_R_BAD_DECRYPT, by which programs (OpenVPN) tell a wrong
 * passphrase. 3 and 8 were others once: no number is used again. */
#define MPKPROV_REASONS(X)                                                     \
    X(OPERATION, 1, "operation failed")                                        \
    X(PROTECTED, 2, "private key is protected")                                \
    X(PASSPHRASE, 100, "bad decrypt: wrong passphrase")                        \
    X(NO_PASSPHRASE, 4, "no passphrase given")                                 \
    X(BAD_KEY, 5, "damaged private key")                                       \
    X(UNSUPPORTED_KEY, 6, "unsupported private key")                           \
    X(REFUSED, 7, "key refused")                                               \
    X(UNAVAILABLE, 9, "protection is not available")                           \
    X(HANDLE, 10, "invalid handle")                                            \
    X(MEMORY, 11, "out of domain memory")                                      \
    X(POINTER, 12, "pointer into the domain")                                  \
    X(FILE, 13, "key file cannot be read")                                     \
    X(URI, 14, "bad mpk: URI")                                                 \
    X(PARAMETER, 15, "bad parameter")                                          \
    X(BUFFER, 16, "buffer too small")                                          \
    X(UNPROTECTED, 17, "keys are not protected")

enum {
#define X(name, number, text) MPKPROV_R_##name = number,
    MPKPROV_REASONS(X)
#undef X
};

#endif
