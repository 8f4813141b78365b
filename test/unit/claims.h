/* claims.h - for tests of few files: claims that are counted. */
#ifndef MPK_TEST_CLAIMS_H
#define MPK_TEST_CLAIMS_H

#include <stdio.h>

/* CHECK counts and reports a claim that does not hold, and goes on. */
#define CHECK(claim)                                                           \
    do {                                                                       \
        claims++;                                                              \
        if (!(claim)) {                                                        \
            failed_claims++;                                                   \
            printf("%s:%d: not true: %s\n", __func__, __LINE__, #claim);       \
        }                                                                      \
    } while (0)

/* One of each, however many files the program has. */
__attribute__((weak)) int claims, failed_claims;

/* The exit status. */
static inline int claims_end(void)
{
    printf("%d claims, %d failed\n", claims, failed_claims);
    return claims == 0 || failed_claims != 0;
}

#endif
