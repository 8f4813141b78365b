#ifndef MPK_TEST_INTEROP_H
#define MPK_TEST_INTEROP_H

/*
 * What every interop program shares: claims, and the two sides compared.
 *
 * The side under test is the default library context, configured by the
 * openssl.cnf in OPENSSL_CONF. The reference side is a library context of its
 * own that never reads a configuration and holds the default provider only.
 *
 * MPK_TEST_PROVIDER names the provider that must hold the private keys ("mpk"
 * when unset). "default" runs a program as a control of its own logic against
 * plain OpenSSL; only the claims about protection are skipped then.
 */

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>

/* Each CHECK records a claim and has its truth as value; none of them exits. */
#define CHECK(claim) interop_check((claim), #claim, __FILE__, __LINE__)
#define CHECK_INT(got, want)                                                   \
    interop_check_int((got), (want), #got, __FILE__, __LINE__)
#define CHECK_STR(got, want)                                                   \
    interop_check_str((got), (want), #got, __FILE__, __LINE__)
#define CHECK_MEM(got, got_len, want, want_len)                                \
    interop_check_mem((got), (got_len), (want), (want_len), #got, __FILE__,    \
                      __LINE__)
/*
 * The same of what the reference does. A newer OpenSSL inside may do it as its
 * own version does: with one the claim is counted, no more, and compare_test.sh
 * makes it against a reference of that version. What nobody may do is claimed
 * besides.
 */
#define CHECK_AS_REF(claim)                                                    \
    interop_check_as_ref((claim), #claim, __FILE__, __LINE__)
#define CHECK_INT_AS_REF(got, want)                                            \
    interop_check_int_as_ref((got), (want), #got, __FILE__, __LINE__)
#define CHECK_MEM_AS_REF(got, got_len, want, want_len)                         \
    interop_check_mem_as_ref((got), (got_len), (want), (want_len), #got,       \
                             __FILE__, __LINE__)
/* The key is held by the provider under test. */
#define CHECK_HELD(key)                                                        \
    interop_check_str(interop_provider_of(key), interop_provider(),            \
                      "provider of " #key, __FILE__, __LINE__)
/* Nothing is in the error queue. */
#define CHECK_QUEUE_EMPTY() interop_check_queue(true, __FILE__, __LINE__)
/* Something is in the error queue; it is taken out. */
#define CHECK_QUEUE_FILLED() interop_check_queue(false, __FILE__, __LINE__)

bool interop_check(bool ok, const char *claim, const char *file, int line);
bool interop_check_int(long long got, long long want, const char *claim,
                       const char *file, int line);
bool interop_check_str(const char *got, const char *want, const char *claim,
                       const char *file, int line);
bool interop_check_mem(const void *got, size_t got_len, const void *want,
                       size_t want_len, const char *claim, const char *file,
                       int line);
bool interop_check_as_ref(bool ok, const char *claim, const char *file,
                          int line);
bool interop_check_int_as_ref(long long got, long long want, const char *claim,
                              const char *file, int line);
bool interop_check_mem_as_ref(const void *got, size_t got_len, const void *want,
                              size_t want_len, const char *claim,
                              const char *file, int line);
bool interop_check_queue(bool empty, const char *file, int line);

/* interop_subject says what the claims that follow are about. */
void interop_subject(const char *format, ...)
    __attribute__((format(printf, 1, 2)));

/* interop_skip prints why some claims are left out. */
void interop_skip(const char *format, ...)
    __attribute__((format(printf, 1, 2)));

/*
 * interop_need_backend ends the program with 77 when MPK_TEST_BACKEND is mpk
 * and the machine has no protection keys: every key is refused then, which is
 * for config_test to see. interop_start does so.
 */
void interop_need_backend(void);

/*
 * interop_start makes both sides ready and ends the program with 1 when a
 * plain P-256 key is not held by the provider under test: no other claim
 * would mean anything.
 */
void interop_start(void);

/* interop_finish cleans up, prints the count and returns the exit status. */
int interop_finish(void);

/* interop_failures is how many claims were not true so far. */
unsigned long interop_failures(void);

/* interop_provider names the provider that must hold the private keys. */
const char *interop_provider(void);

/* interop_protected is false in the control run. */
bool interop_protected(void);

/* interop_provider_of names who holds |key|: a provider, "legacy" or "none". */
const char *interop_provider_of(const EVP_PKEY *key);

/*
 * interop_crossings counts how often the gate was entered so far, its own
 * looks apart, as the section |provider| of the configuration says. Not in the
 * control run.
 */
long long interop_crossings(const char *provider);

/* interop_blocks is the same for the blocks that the domain's heap has given
 * out. */
long long interop_blocks(const char *provider);

/* interop_inner_is_newer says whether the OpenSSL inside, of 3.5 or later, is
 * of a newer version than the reference. */
bool interop_inner_is_newer(void);

/* interop_ref is the library context of the reference side. */
OSSL_LIB_CTX *interop_ref(void);

/* interop_memory_counts is false where the process' own memory says nothing:
 * under a sanitizer or valgrind. */
bool interop_memory_counts(void);

/* interop_in_turn says whether case |i| is to be run: with MPK_TEST_SLOW, in
 * instrumented builds and where the same runs elsewhere too, each third;
 * otherwise all. */
bool interop_in_turn(size_t i);

/*
 * interop_file writes |len| bytes to a file of the program's own directory and
 * returns its path, which stays valid until the next call.
 */
const char *interop_file(const char *name, const void *data, size_t len);

/*
 * interop_queue_says is true if an entry of the error queue has |text| in its
 * reason or data, in any case of letters. It empties the queue.
 */
bool interop_queue_says(const char *text);

/* interop_new is malloc that ends the program when memory is out. */
void *interop_new(size_t len);

#endif
