/* tls_rand.c - the domain's random numbers. */
#include "secret.h"
#include "tls.h"

const OSSL_ALGORITHM tls_rands[] = {{NULL, NULL, NULL, NULL}};
