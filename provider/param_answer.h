/*
 * param_answer.h - answers to what is asked for in an OSSL_PARAM array, where
 * the inner OpenSSL has no part in it. Outside.
 *
 * Each answers the first element |name| as OSSL_PARAM_set_* would: without data
 * by its size, and with 0 when the type is another one or there is too little
 * room. 1 also when nobody asks.
 */
#ifndef MPKPROV_PARAM_ANSWER_H
#define MPKPROV_PARAM_ANSWER_H

#include <openssl/params.h>

#include <stdint.h>

int answer_int(OSSL_PARAM params[], const char *name, int value);
int answer_size(OSSL_PARAM params[], const char *name, uint64_t value);
/* A string that stays, by its address or as a copy. */
int answer_text(OSSL_PARAM params[], const char *name, const char *text);
int answer_octets(OSSL_PARAM params[], const char *name, const void *value,
                  size_t len);
/* A natural number of any length, of which the low byte comes first. */
int answer_natural(OSSL_PARAM params[], const char *name,
                   const unsigned char *value, size_t len);

#endif
