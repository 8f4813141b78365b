#ifndef MPK_TEST_INTEROP_ATTACK_ENTRY_H
#define MPK_TEST_INTEROP_ATTACK_ENTRY_H

/* What the parts of attack_entry_test share: the gate, and things inside. */

#include "interop.h"

/* The tests and the provider have a type of this name each. */
#define key_type prov_key_type
#include "../../provider/ops.h"
#include "../../provider/reason.h"
#include "../../provider/tls_group.h"
#undef key_type

/* The gate itself. */
extern int64_t (*call)(uint32_t op, void *frame);

/* Keys as PEM, RSA's file, and handles of both. */
extern char *p256, *rsa, *rsa_path;
extern uint64_t p256_handle, rsa_handle;

/* For a frame's pointers; P-256 by name. */
extern unsigned char room[8192], room2[8192], message[1024];
extern OSSL_PARAM group_param[2];

/* What a child was at, for when it dies. */
extern struct progress {
    char at[160];
} * progress;

/* The variants, as the operations' own files number them. */
enum { SIG_SIGN, SIG_VERIFY, SIG_RECOVER, SIG_DIGEST_SIGN, SIG_DIGEST_VERIFY };

/* load returns a key's handle, made one that |op| makes without a key, context
 * that of a context that |op| has made ready for |key|, signer one that signs
 * with P-256. */
uint64_t load(const char *text);
uint64_t made(enum mpkprov_op op, enum prov_key_type type, int what);
uint64_t context(enum mpkprov_op op, uint64_t key, int what, const char *name);
uint64_t signer(void);

/* try_op is |call|, and says what it is at. */
int64_t try_op(uint32_t op, const char *what, struct mpkprov_frame *f);

/* test_in_a_child calls |body| in a process of its own, which a missing check
 * may end. */
void test_in_a_child(void (*body)(void));

/* Frames whose pointers are good, with numbers that are not
 * (attack_entry_asked.c, attack_entry_groups.c). */
void test_what_is_asked_for(void);
void test_what_is_asked_of_groups(void);

#endif
